"""Rows of text as a table, in Markdown, in HTML and in LaTeX."""

from __future__ import annotations

import html
from collections.abc import Sequence

#: What stands where there is no number.
NOTHING = "-"
#: Signs that mean something else to LaTeX.
LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "\n": " ",
}


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits; a dash for None."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def interval(summary: dict | None, digits: int = 3) -> str:
    """A mean and, on a second line, its interval; a dash for None.

    Args:
        summary: {"mean", "low", "high"}.
        digits: after the point.

    Returns:
        Such as "0.912\\n(0.880 to 0.934)".
    """
    if summary is None:
        return NOTHING
    mean, low, high = (number(summary[k], digits) for k in ("mean", "low", "high"))
    return f"{mean}\n({low} to {high})"


def span(ends: Sequence[float] | None, digits: int = 3) -> str:
    """Two ends as "-1.2 to 3.4"; a dash for None."""
    if ends is None:
        return NOTHING
    return " to ".join(number(end, digits) for end in ends)


def p_value(p: float) -> str:
    """A p value with three digits after the point, as "< 0.001" where they are 0."""
    return "< 0.001" if p < 0.001 else number(p)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right.

    Args:
        header: (c,) column names.
        rows: (r, c) cells; a vertical bar in a cell is escaped, a line break a space.

    Raises:
        ValueError: when a row has not as many cells as the header.
    """
    _check(header, rows)
    cells = [[_escaped(c) for c in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
    lines = [_line(row, widths) for row in cells]
    rule = [("-" * w if i == 0 else "-" * (w - 1) + ":") for i, w in enumerate(widths)]
    return "\n".join([lines[0], _line(rule, widths), *lines[1:]]) + "\n"


def as_html(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = ""
) -> str:
    """An HTML table of escaped text; row heads in the first column.

    It lies in a box of its own that scrolls, so that a wide table does not widen the
    page on a phone.

    Args:
        header: (c,) column names.
        rows: (r, c) cells; what follows a line break stands small on a second line.
        caption: stands above the table.

    Raises:
        ValueError: when a row has not as many cells as the header.
    """
    _check(header, rows)
    head = "".join(f'<th scope="col">{html.escape(c)}</th>' for c in header)
    body = "\n".join(_html_row(row) for row in rows)
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="table"><table>{above}\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def latex(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = ""
) -> str:
    """A LaTeX table that needs no package: the first column left, the others right.

    Args:
        header: (c,) column names.
        rows: (r, c) cells; a line break in a cell becomes a space.
        caption: stands above the table.

    Raises:
        ValueError: when a row has not as many cells as the header.
    """
    _check(header, rows)
    lines = [" & ".join(_latex_escaped(c) for c in row) for row in (header, *rows)]
    body = "".join(f"{line} \\\\\n" for line in lines[1:])
    above = f"\\caption{{{_latex_escaped(caption)}}}\n" if caption else ""
    return (
        f"\\begin{{table}}\n\\centering\n{above}"
        f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}\n\\hline\n"
        f"{lines[0]} \\\\\n\\hline\n{body}\\hline\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def _check(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"row {list(row)} under {len(header)} columns")


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _latex_escaped(cell: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in cell)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    others = [c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)]
    return "| " + " | ".join([first, *others]) + " |"


def _html_row(row: Sequence[str]) -> str:
    head = f'<th scope="row">{html.escape(row[0])}</th>'
    cells = "".join(f"<td>{_two_lines(c)}</td>" for c in row[1:])
    return f"<tr>{head}{cells}</tr>"


def _two_lines(cell: str) -> str:
    first, _, second = html.escape(cell).partition("\n")
    return f"{first}<small>{second}</small>" if second else first
