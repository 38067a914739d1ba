"""A page of HTML that needs nothing but itself: no network, pictures inside.

Text is escaped wherever it enters, so a case called `<script>` stays a name.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from vnet_jax.data.files import whole_file
from vnet_jax.reports.style import STYLE

#: What the browser is told to hold the page to: nothing from anywhere but itself.
OFFLINE = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; connect-src data: blob:; "
    "form-action 'none'; base-uri 'none'"
)


def paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def link(target: str, text: str) -> str:
    """A paragraph that is a link to a file beside the page."""
    return f'<p><a href="{html.escape(target)}">{html.escape(text)}</a></p>'


def notice(text: str) -> str:
    """A sentence that must not be overlooked."""
    return f'<p class="notice" role="note">{html.escape(text)}</p>'


def bullets(lines: Sequence[str]) -> str:
    """Plain lines as a list."""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>"


def preformatted(text: str) -> str:
    """Text as it is, in a fixed-width font: commands, for one."""
    return f"<pre><code>{html.escape(text)}</code></pre>"


def facts(pairs: Mapping[str, str]) -> str:
    """Names and their values, two columns where there is room."""
    rows = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in pairs.items()
    )
    return f'<dl class="facts">{rows}</dl>'


def numbers(pairs: Mapping[str, tuple[str, str]]) -> str:
    """The page's few main numbers, large: name -> (number, what it says)."""
    tiles = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}"
        f"<small>{html.escape(note)}</small></dd></div>"
        for name, (value, note) in pairs.items()
    )
    return f'<dl class="numbers">{tiles}</dl>'


def figure(
    png: str | PathLike | bytes, alt: str, caption: str = "", kind: str = "plot"
) -> str:
    """A PNG inside the page.

    Args:
        png: the file, or its bytes, which go into the page.
        alt: what the picture shows, for those who cannot see it.
        caption: stands below.
        kind: "plot" (dark ink on white; turned over in dark mode) or "picture".
    """
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="{kind}"><div><img alt="{html.escape(alt)}" '
        f'src="{image(png)}"></div>{below}</figure>'
    )


def image(png: str | PathLike | bytes, kind: str = "png") -> str:
    """A file of an image, or its bytes, as the `src` that holds it."""
    data = png if isinstance(png, bytes) else Path(png).read_bytes()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def section(heading: str, *parts: str) -> str:
    """A heading and what stands under it; the parts are HTML already."""
    body = "\n".join(parts)
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{body}\n</section>"


def folded(summary: str, *parts: str) -> str:
    """Parts that open with a click; the parts are HTML already."""
    body = "\n".join(parts)
    return f"<details><summary>{html.escape(summary)}</summary>\n{body}\n</details>"


def page(
    title: str, lead: str, *sections: str, style: str = "", scripts: str = ""
) -> str:
    """The whole page.

    Args:
        title: the heading and the name of the window.
        lead: one or two sentences of plain text under it.
        sections: HTML, from the functions of this file and from `tables.as_html`.
        style: CSS beside that of all pages.
        scripts: HTML for the end of the body.
    """
    body = "\n".join(sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{OFFLINE}">
<title>{html.escape(title)}</title>
<style>
{STYLE}{style}</style>
</head>
<body>
<main>
<header>
<h1>{html.escape(title)}</h1>
<p class="lead">{html.escape(lead)}</p>
</header>
{body}
</main>
{scripts}
</body>
</html>
"""


def write(
    path: str | PathLike, title: str, lead: str, *sections: str, **extras: str
) -> None:
    """Writes `page(title, lead, *sections, **extras)`, whole or not at all."""
    with whole_file(Path(path)) as file:
        file.write(page(title, lead, *sections, **extras).encode())
