"""The charts of a report as the page's own drawings."""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from markupsafe import Markup

from referee.foundation.web.charts import (
    Bar,
    Estimate,
    Segment,
    render_bar_chart,
    render_interval_chart,
)
from referee.foundation.web.formats import show_text
from referee.pipelines.reports.document import Chart, format_cell

__all__ = ["draw_chart", "draw_svg"]

_DRAWING: Final = re.compile(
    r"<svg class=\"chart-drawing\" viewBox=\"0 0 (\d+) ([\d.]+)\".*?</svg>", re.DOTALL
)

_STYLE: Final = """
.chart-drawing { font: 11px "DejaVu Sans Mono"; }
.chart-axis { stroke: #7f8b98; } .chart-grid { stroke: #d5dbe1; }
.chart-label, .chart-value { fill: #1b2128; } .chart-tick { fill: #64707d; }
.is-end { text-anchor: end; } .is-middle { text-anchor: middle; }
.chart-line { fill: none; stroke-width: 2; }
.tone-series-1 { fill: #0072b2; } .tone-ok { fill: #1a7f4b; } .tone-bad { fill: #c22f36; } .tone-idle { fill: #64707d; }
.chart-line.tone-series-1 { fill: none; stroke: #0072b2; } .chart-line.tone-ok { fill: none; stroke: #1a7f4b; }
.chart-line.tone-bad { fill: none; stroke: #c22f36; } .chart-line.tone-idle { fill: none; stroke: #64707d; }
"""
"""The light colours of ``tokens.css``: paper has no theme, and a drawing on it no style sheet beside it."""


def draw_chart(chart: Chart) -> Markup:
    """Return a chart as a figure with its numbers as a table."""
    write = partial(format_cell, chart.format)
    title, unit = show_text(chart.title), show_text(chart.unit)
    if chart.kind == "bars":
        bars = [Bar(show_text(row.label), (Segment(unit, row.value or 0.0, row.tone),)) for row in chart.rows]
        return render_bar_chart(title, bars, unit=unit, format_value=write)
    estimates = [
        Estimate(show_text(row.label), row.value, row.low, row.high, row.tone, show_text(row.detail))
        for row in chart.rows
    ]
    return render_interval_chart(title, estimates, unit=unit, format_value=write)


def draw_svg(chart: Chart) -> str:
    """Return the drawing of a chart as an SVG file that stands by itself, in light colours."""
    found = _DRAWING.search(str(draw_chart(chart)))
    assert found is not None  # noqa: S101 - a figure has one drawing
    width, height = found.group(1), found.group(2)
    # Where nobody can point at it, a caption beside the value is only in the way of readers of PDF text.
    drawing = re.sub(r"<title>.*?</title>", "", found.group(0), flags=re.DOTALL)
    return drawing.replace(
        "<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" ', 1
    ).replace(">", f"><style>{_STYLE}</style>", 1)
