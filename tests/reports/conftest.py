import html.parser
import re

import pytest

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Checker(html.parser.HTMLParser):
    """Tags in order, whether they nest, and the text outside the style."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


@pytest.fixture
def checked():
    """Parses a page, asserts that it is whole and needs no network."""

    def check(text):
        assert not re.search(r"https?://|@import|<script|<link", text)
        page = Checker()
        page.feed(text)
        assert page.open == []
        assert page.tags.count("main") == page.tags.count("h1") == 1
        images = [a for tag, a in page.attributes if tag == "img"]
        assert all(a["alt"] and a["src"].startswith("data:image/png") for a in images)
        return page

    return check
