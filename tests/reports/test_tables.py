import pytest

from vnet_jax.reports import tables


def test_markdown_aligns_and_escapes():
    text = tables.markdown(["Organ", "Dice"], [["kid|ney", "0.9"], ["x", "0.85"]])
    assert text == (
        "| Organ    | Dice |\n"
        "| -------- | ---: |\n"
        "| kid\\|ney |  0.9 |\n"
        "| x        | 0.85 |\n"
    )


def test_html_escapes_every_cell():
    text = tables.as_html(["<a>", "b"], [["<script>", "1 & 2"]], "<caption>")
    assert "<script>" not in text
    assert "<a>" not in text
    assert "&lt;script&gt;" in text
    assert "1 &amp; 2" in text
    assert "<caption>&lt;caption&gt;</caption>" in text


def test_second_line_of_a_cell():
    cell = tables.interval({"mean": 0.9116, "low": 0.88, "high": 0.93})
    assert cell == "0.912\n(0.880 to 0.930)"
    row = [["x", cell]]
    assert "<td>0.912<small>(0.880 to 0.930)</small></td>" in tables.as_html("ab", row)
    assert "| 0.912 (0.880 to 0.930) |" in tables.markdown("ab", row)


def test_nothing_is_a_dash():
    assert tables.number(None) == tables.interval(None) == tables.NOTHING
    assert tables.number(1.25, 1) == "1.2"


@pytest.mark.parametrize("make", [tables.markdown, tables.as_html])
def test_a_short_row_is_refused(make):
    with pytest.raises(ValueError, match="2 columns"):
        make(["a", "b"], [["1"]])


def test_latex_needs_no_package_and_escapes():
    text = tables.latex(["A & B", "50 %"], [["x_1", "0.9\n(0.8 to 1.0)"]], "p < 0.05")
    assert text == (
        "\\begin{table}\n\\centering\n\\caption{p $<$ 0.05}\n"
        "\\begin{tabular}{lr}\n\\hline\n"
        "A \\& B & 50 \\% \\\\\n\\hline\n"
        "x\\_1 & 0.9 (0.8 to 1.0) \\\\\n\\hline\n"
        "\\end{tabular}\n\\end{table}\n"
    )
    with pytest.raises(ValueError, match="under 2 columns"):
        tables.latex(["a", "b"], [["c"]])


def test_small_words():
    assert tables.span([-1.25, 3.0], 2) == "-1.25 to 3.00"
    assert tables.span(None) == tables.NOTHING
    assert (tables.p_value(0.0004), tables.p_value(0.25)) == ("< 0.001", "0.250")
