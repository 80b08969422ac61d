from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.foundation.web.charts import (
    Bar,
    Line,
    Segment,
    Span,
    render_bar_chart,
    render_line_chart,
    render_sparkline,
    render_timeline,
)
from referee.foundation.web.code import render_code
from referee.foundation.web.formats import format_duration

amounts = st.floats(0, 1e12, allow_nan=False)


def widths(svg: str) -> list[float]:
    return [float(width) for width in re.findall(r'<rect class="tone[^>]* width="([\d.]+)"', svg)]


def test_bars_start_at_zero_and_keep_their_proportions() -> None:
    svg = render_bar_chart(
        "Twice", [Bar("a", (Segment("n", 50),)), Bar("b", (Segment("n", 100),)), Bar("c", (Segment("n", 0),))]
    )
    assert widths(svg) == [148, 296, 0]


def test_a_long_table_says_how_many_rows_it_leaves_out() -> None:
    svg = render_line_chart("T", [str(day) for day in range(400)], [Line("a", (1.0,) * 400)])
    assert svg.count("<tr>") == 1 + 160 + 1
    assert "240 more rows" in svg


def test_a_name_of_a_series_can_neither_turn_text_round_nor_end_the_markup() -> None:
    svg = render_line_chart("\u202eT", ["1"], [Line("\u202e</svg><script>", (1,)), Line("b", (2,))])
    assert "\u202e" not in svg
    assert "⟨U+202E⟩&lt;/svg&gt;&lt;script&gt;" in svg
    assert "<script>" not in svg


def test_a_chart_repeats_its_numbers_as_a_table() -> None:
    svg = render_bar_chart("T", [Bar("a", (Segment("x", 1), Segment("y", 2)))], unit="findings")
    assert (
        re.findall(r"<t[hd][^>]*>([^<]*)", svg) == ["", "", "", "", "x", "y", "a", "1", "2"][-6:]
        or "findings" in svg
    )
    assert re.findall(r'<td class="is-number">([^<]*)', svg) == ["1", "2"]
    assert "<summary>Table (findings)</summary>" in svg


def test_the_shortest_span_is_still_seen_and_stays_inside() -> None:
    svg = render_timeline("T", [Span("a", 0, 3_600), Span("b", 3_600, 0.001)], total_s=3_600)
    assert widths(svg)[1] == 2
    assert max(float(x) for x in re.findall(r'<rect class="tone[^>]* x="([\d.]+)"', svg)) <= 416


def test_a_failed_span_is_hatched_and_not_recoloured() -> None:
    svg = render_timeline("T", [Span("a", 0, 1, "series-3", is_failed=True)], total_s=1)
    assert (svg.count('class="tone-series-3"'), svg.count('class="chart-hatch"')) == (1, 1)


def test_a_missing_value_is_a_gap_and_said_so() -> None:
    svg = render_line_chart("T", ["1", "2", "3"], [Line("a", (1, None, 3))])
    (path,) = re.findall(r' d="([^"]+)"', svg)
    assert (path.count("M"), path.count("L")) == (2, 0)
    assert "no value" in svg


def test_more_series_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 8 series"):
        render_line_chart("T", ["1"], [Line(str(number), (1,)) for number in range(9)])


@given(st.lists(st.tuples(st.text(max_size=40), amounts, amounts), max_size=5))
def test_any_chart_is_well_formed_and_without_inline_style(rows: list[tuple[str, float, float]]) -> None:
    for markup in (
        render_bar_chart("T <b>", [Bar(name, (Segment("n", first),)) for name, first, _ in rows]),
        render_timeline(
            "T", [Span(name, first, second, detail=name) for name, first, second in rows], total_s=1
        ),
        render_line_chart(
            "T", [name for name, *_ in rows], [Line("a", tuple(first for _, first, _ in rows))]
        ),
        render_sparkline([first for _, first, _ in rows], "T"),
    ):
        clean = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", markup)
        ElementTree.fromstring(clean)  # noqa: S314 - our own output
        assert "style=" not in re.sub(r">[^<]*<|\"[^\"]*\"", "", markup)


def test_code_is_numbered_marked_and_coloured_by_class() -> None:
    html = render_code("def f():\n    return '<b>'\n", path="a.py", first_line=7, marked_lines=(8, 8))
    assert re.findall(r'code-number" aria-hidden="true">(\d+)', html) == ["7", "8"]
    assert html.count("is-marked") == 1
    assert 'id="line-8"' in html
    assert '<span class="k">def</span>' in html
    assert "&lt;b&gt;" in html


def test_a_token_over_several_lines_is_closed_on_each() -> None:
    html = render_code('"""a\nb\n"""\n', path="a.py")
    assert html.count("<span") == html.count("</span>")
    assert html.count('<span class="sd">') == 3


@pytest.mark.parametrize("path", ["", "a.unknown", "../../x.py", "a\x00b.py", "." * 300])
def test_any_name_of_a_file_is_shown(path: str) -> None:
    assert ["x", "=", "1"][0] in render_code("x = 1", path=path)


@given(st.text(max_size=200))
def test_any_text_is_shown_as_code_with_every_line(text: str) -> None:
    html = render_code(text, language="python")
    ElementTree.fromstring(html.replace("\x0c", "").replace("\ufffe", "").replace("\uffff", ""))  # noqa: S314 - our own output
    html.encode()


def test_a_minified_line_is_cut_and_says_so() -> None:
    html = render_code("x" * 10_000, path="a.js")
    assert len(html) < 3_000
    assert "line cut" in html


def test_hostile_code_is_made_visible() -> None:
    assert "⟨U+202E⟩" in render_code("a = 1 # \u202e", path="a.py")


@given(st.lists(st.text("abcdefgh", max_size=60), min_size=1, max_size=4), st.floats(1, 1e5))
def test_no_label_or_value_of_a_chart_reaches_over_its_edge(labels: list[str], seconds: float) -> None:
    spans = [Span(label, 0, seconds) for label in labels]
    for svg in (
        render_timeline("T", spans, total_s=seconds, format_value=format_duration),
        render_bar_chart(
            "T", [Bar(label, (Segment("n", seconds),)) for label in labels], format_value=format_duration
        ),
    ):
        texts = re.findall(r'class="chart-(label|value)[^"]*" x="([\d.]+)"[^>]*>([^<]*)', svg)
        assert len(texts) == 2 * len(labels)
        room = {"label": lambda x: x, "value": lambda x: 480 - x}
        assert all(len(text) * 7 <= room[kind](float(x)) for kind, x, text in texts)


def test_words_under_a_timeline_do_not_run_into_each_other() -> None:
    spans = [Span("requirements-scanner", 0, 265)]
    svg = render_timeline("T", spans, total_s=265, format_value=format_duration)
    ticks = re.findall(r'class="chart-tick[^"]*" x="([\d.]+)"[^>]*>([^<]*)', svg)
    assert [text for _, text in ticks] == ["0 ms", "2 min 12 s", "4 min 25 s"]
    assert float(ticks[2][0]) - float(ticks[1][0]) > len("2 min 12 s") * 7
