import base64

from vnet_jax.reports import pages

#: The smallest PNG: one pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5E"
    "rkJggg=="
)
EVIL = '"><script>alert(1)</script>'


def test_a_page_with_everything_is_whole(tmp_path, checked):
    (tmp_path / "a.png").write_bytes(PNG)
    parts = [
        pages.paragraph("text"),
        pages.notice("mind"),
        pages.bullets(["one", "two"]),
        pages.preformatted("make demo"),
        pages.facts({"name": "value"}),
        pages.numbers({"Dice": ("0.9", "high")}),
        pages.figure(tmp_path / "a.png", "a pixel", "below"),
        pages.folded("more", pages.paragraph("inside")),
    ]
    pages.write(
        tmp_path / "deep" / "page.html", "A title", "A lead", pages.section("H", *parts)
    )
    text = (tmp_path / "deep" / "page.html").read_text(encoding="utf-8")
    page = checked(text)
    assert base64.b64encode(PNG).decode() in text
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["page.html"]
    said = "".join(page.text)
    for word in ("text", "mind", "two", "make demo", "value", "0.9", "below", "inside"):
        assert word in said


def test_text_is_escaped_wherever_it_enters(tmp_path, checked):
    (tmp_path / "a.png").write_bytes(PNG)
    parts = [
        pages.paragraph(EVIL),
        pages.notice(EVIL),
        pages.bullets([EVIL]),
        pages.preformatted(EVIL),
        pages.facts({EVIL: EVIL}),
        pages.numbers({EVIL: (EVIL, EVIL)}),
        pages.figure(tmp_path / "a.png", EVIL, EVIL),
        pages.folded(EVIL),
    ]
    checked(pages.page(EVIL, EVIL, pages.section(EVIL, *parts)))


def test_the_look_knows_night_phone_and_paper():
    text = pages.page("t", "l")
    assert 'name="viewport" content="width=device-width' in text
    for rule in ("prefers-color-scheme: dark", "max-width", "@media print"):
        assert rule in text
