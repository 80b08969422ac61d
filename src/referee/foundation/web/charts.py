"""Charts made on the server as SVG: bars, stacked bars, intervals, histograms, lines, sparklines and timelines.

They print, they need no script, and their colours are classes from
``tokens.css``, so both themes and reports use the same drawing. Every chart
has a title that states something, an axis from 0 where bars are compared, and
its numbers as a table for whoever cannot or does not want to see it.

Not here: time series that need zoom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from markupsafe import Markup

from referee.foundation.web.formats import format_count, format_number, show_text

__all__ = [
    "Bar",
    "Bin",
    "Estimate",
    "Line",
    "Mark",
    "Segment",
    "Span",
    "render_bar_chart",
    "render_chart_definitions",
    "render_histogram",
    "render_interval_chart",
    "render_line_chart",
    "render_marks",
    "render_sparkline",
    "render_timeline",
]

MAX_SERIES_COUNT: Final = 8
"""More colours cannot be told apart; the rest becomes "other"."""
MIN_BAR_WIDTH: Final = 2.0
"""A span of a millisecond in an hour is still seen."""

_WIDTH: Final = 480
"""Drawn at 480 to 560 px wide, so that its text stays between 12 and 14 px."""
_LABEL_WIDTH: Final = 120
"""At least, so that charts of one page begin at the same place; longer labels get more room."""
_MAX_LABEL_WIDTH: Final = 216
_VALUE_WIDTH: Final = 64
"""At least."""
_CHARACTER_WIDTH: Final = 7.0
"""Of the widest system fonts at this size, on average."""
_GAP: Final = 8
_MAX_TABLE_ROWS_COUNT: Final = 160
"""Longer tables say how many rows they leave out; the data behind a chart has them all."""
_HIDDEN_HEAD: Final = Markup('<span class="visually-hidden">Row</span>')
"""Of a column that needs no name to be understood by whoever sees it."""
_ROW_HEIGHT: Final = 24
_BAR_HEIGHT: Final = 12
_AXIS_HEIGHT: Final = 24

Format: TypeAlias = Callable[[float], str]
Tone: TypeAlias = Literal[
    "series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7", "series-8",
    "critical", "high", "medium", "low", "info", "ok", "warn", "bad", "idle", "accent",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a bar."""

    label: str
    value: float
    tone: Tone = "series-1"


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a bar chart; more than one segment makes it stacked."""

    label: str
    segments: tuple[Segment, ...]
    url: str = ""

    @property
    def total(self) -> float:
        """The length of the whole bar."""
        return sum(segment.value for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One row of an interval chart: a point in its interval."""

    label: str
    point: float | None
    """None: there is nothing to draw, and the table says so."""
    low: float | None = None
    """None: a point without an interval."""
    high: float | None = None
    tone: Tone = "series-1"
    detail: str = ""
    """What stands behind it, such as "12 of 14"."""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Bin:
    """One column of a histogram."""

    low: float
    """Lower edge, above 0."""
    high: float
    """Upper edge."""
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a line chart; a point without a value is a gap."""

    label: str
    values: tuple[float | None, ...]
    tone: Tone = "series-1"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on a line chart where something changed."""

    index: int
    """Of the first point after it."""
    caption: str
    """What changed, in a sentence."""


@dataclass(frozen=True, slots=True)
class Span:
    """One row of a timeline."""

    label: str
    start_s: float
    """Seconds since the timeline's beginning."""
    duration_s: float
    tone: Tone = "series-1"
    detail: str = ""
    """What stands behind the bar, such as the outcome."""
    is_failed: bool = False
    """Hatched, whatever the colour."""
    url: str = ""


def render_bar_chart(
    title: str, bars: Sequence[Bar], *, unit: str = "", format_value: Format = format_number
) -> Markup:
    """Return horizontal bars from 0, with their values and a table of the same numbers.

    Args:
        title: The statement with its unit, such as "Most findings are of low severity (count)".
        bars: The rows, in the order they are shown.
        unit: Said behind each value in the table's head.
        format_value: How a value is written.
    """
    top = max((bar.total for bar in bars), default=0.0) or 1.0
    left = _measure_labels([bar.label for bar in bars])
    span = _WIDTH - left - _measure_values([format_value(bar.total) for bar in bars])
    parts: list[Markup] = [_line(left, 0, left, len(bars) * _ROW_HEIGHT, "chart-axis")]
    for row, bar in enumerate(bars):
        middle = row * _ROW_HEIGHT + _ROW_HEIGHT / 2
        parts.append(_label(left, middle, bar.label, bar.url))
        x = left
        for segment in bar.segments:
            width = segment.value / top * span
            width = max(MIN_BAR_WIDTH, width) if segment.value > 0 else 0.0
            caption = f"{bar.label}, {segment.label}: {format_value(segment.value)}"
            parts.append(_rect(x, middle - _BAR_HEIGHT / 2, width, segment.tone, caption))
            x += width
        parts.append(_text(x + 8, middle, format_value(bar.total), "chart-value"))
    if all(len(bar.segments) == 1 for bar in bars):
        # Each bar's own label says what it is: a legend would only repeat it.
        totals = [[bar.label, format_value(bar.total)] for bar in bars]
        return _figure(title, len(bars) * _ROW_HEIGHT, parts, ["", unit or "value"], totals, [], unit)
    names = list(dict.fromkeys((s.label, s.tone) for bar in bars for s in bar.segments))
    heads = ["", *(name for name, _ in names)]
    rows = [
        [
            bar.label,
            *(format_value(sum(s.value for s in bar.segments if s.label == name)) for name, _ in names),
        ]
        for bar in bars
    ]
    return _figure(title, len(bars) * _ROW_HEIGHT, parts, heads, rows, names if len(names) > 1 else [], unit)


def render_interval_chart(
    title: str,
    estimates: Sequence[Estimate],
    *,
    unit: str = "",
    format_value: Format = format_number,
    has_zero: bool = True,
) -> Markup:
    """Return points with their intervals on one scale, with a table of the same numbers.

    Args:
        title: The statement with its unit.
        estimates: The rows, in the order they are shown.
        unit: Said in the table's head.
        format_value: How a value is written.
        has_zero: Whether the scale reaches 0, which is drawn as a line: for differences.
    """
    known = [
        end
        for one in estimates
        for end in (one.low, one.point, one.high)
        if end is not None and math.isfinite(end)
    ]
    low, high, step = _find_scale([*known, 0.0] if has_zero or not known else known)
    left = _measure_labels([one.label for one in estimates])
    right = _WIDTH - _measure_values([one.detail for one in estimates])
    bottom = len(estimates) * _ROW_HEIGHT

    def place(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (right - left)

    ticks = [low + index * step for index in range(round((high - low) / step) + 1)]
    texts = [format_value(0.0 if abs(tick) < step / 1e6 else tick) for tick in ticks]
    every = 1 + int(max(map(len, texts)) * _CHARACTER_WIDTH * len(ticks) / (right - left))
    parts: list[Markup] = []
    for index, (tick, text) in enumerate(zip(ticks, texts, strict=True)):
        is_zero = abs(tick) < step / 1e6
        parts.append(_line(place(tick), 0, place(tick), bottom, "chart-axis" if is_zero else "chart-grid"))
        if index % every == 0:
            parts.append(_text(place(tick), bottom + 14, text, "chart-tick is-middle"))
    for row, one in enumerate(estimates):
        middle = row * _ROW_HEIGHT + _ROW_HEIGHT / 2
        parts.append(_label(left, middle, one.label, one.url))
        if one.point is None:
            continue
        if one.low is not None and one.high is not None:
            parts.append(_path([(place(one.low), middle), (place(one.high), middle)], one.tone))
        caption = f"{one.label}: {_describe_estimate(one, format_value)}"
        parts.append(_circle(place(one.point), middle, one.tone, caption))
        parts.append(_text(right + _GAP, middle, one.detail, "chart-value"))
    rows = [
        [one.label, *(_show(end, format_value) for end in (one.point, one.low, one.high)), one.detail]
        for one in estimates
    ]
    return _figure(title, bottom + _AXIS_HEIGHT, parts, ["", "estimate", "from", "to", "n"], rows, [], unit)


def render_histogram(
    title: str,
    bins: Sequence[Bin],
    *,
    unit: str = "",
    format_value: Format = format_number,
    height: int = 160,
) -> Markup:
    """Return columns over a logarithmic scale, the count axis from 0, with a table of the same numbers.

    Columns are as wide as their bins on that scale. Empty bins are left out of the table.

    Args:
        title: The statement with the unit of the edges.
        bins: By edge, each beginning where the one before ends.
        unit: What is counted, said in the table's head.
        format_value: How an edge is written.
        height: Of the drawing, in pixels.
    """
    left, right, bottom = 56.0, _WIDTH - 8.0, height - _AXIS_HEIGHT
    top = _round_up(float(max((one.count for one in bins), default=0)))
    parts = _count_grid(left, right, bottom, top)
    if bins:
        first, last = math.log10(bins[0].low), math.log10(bins[-1].high)

        def place(edge: float) -> float:
            return left + (math.log10(edge) - first) / max(last - first, 1e-9) * (right - left)

        for one in bins:
            x, width = place(one.low), max(MIN_BAR_WIDTH, place(one.high) - place(one.low) - 1)
            tall = (bottom - 8) * one.count / top
            caption = f"{format_value(one.low)} to {format_value(one.high)}: {one.count:,}"
            parts.append(_rect(x, bottom - tall, width, "series-1", caption, tall))
        for edge in _log_ticks(bins[0].low, bins[-1].high):
            x = place(edge)
            anchor = "is-end" if x > right - 40 else "is-middle" if x > left + 24 else ""
            parts.append(_text(x, height - 8, format_value(edge), f"chart-tick {anchor}"))
    rows = [
        [f"{format_value(one.low)} to {format_value(one.high)}", f"{one.count:,}"]
        for one in bins
        if one.count
    ]
    return _figure(title, height, parts, ["", unit or "count"], rows, [], unit)


def render_line_chart(
    title: str,
    labels: Sequence[str],
    lines: Sequence[Line],
    *,
    unit: str = "",
    format_value: Format = format_number,
    height: int = 160,
    marks: Sequence[Mark] = (),
) -> Markup:
    """Return lines over equally spaced points, the axis from 0, with a table of the same numbers.

    Args:
        title: The statement with its unit.
        labels: What each point is, first to last.
        lines: At most ``MAX_SERIES_COUNT``.
        unit: Said in the table's head.
        format_value: How a value is written.
        height: Of the drawing, in pixels.
        marks: Changes, drawn as upright lines before their points.
    """
    if len(lines) > MAX_SERIES_COUNT:
        raise ValueError(f"a chart shows at most {MAX_SERIES_COUNT} series; sum the rest up as other")
    top = _round_up(max((v for line in lines for v in line.values if v is not None), default=0.0))
    left, right, bottom = 56.0, _WIDTH - 8.0, height - _AXIS_HEIGHT
    step = (right - left) / max(1, len(labels) - 1)
    parts = _count_grid(left, right, bottom, top, format_value)
    for mark in marks:
        x = left + (mark.index - 0.5) * step
        drawn = Markup('<line class="chart-mark" x1="{0}" y1="8" x2="{0}" y2="{1}"><title>{2}</title></line>')
        parts.append(drawn.format(_round(x), _round(bottom), mark.caption))
    for line in lines:
        points = [
            None if value is None else (left + index * step, bottom - (bottom - 8) * value / top)
            for index, value in enumerate(line.values)
        ]
        parts.append(_path(points, line.tone))
        for point, label, value in zip(points, labels, line.values, strict=True):
            if point is not None and value is not None:
                parts.append(_circle(*point, line.tone, f"{label}, {line.label}: {format_value(value)}"))
    if labels:
        parts.append(_text(left, height - 8, labels[0], "chart-tick"))
        parts.append(_text(right, height - 8, labels[-1], "chart-tick is-end"))
    rows = [
        [label, *("no value" if (v := line.values[i]) is None else format_value(v) for line in lines)]
        for i, label in enumerate(labels)
    ]
    legend = [(line.label, line.tone) for line in lines] if len(lines) > 1 else []
    return _figure(title, height, parts, ["", *(line.label for line in lines)], rows, legend, unit)


def render_sparkline(values: Sequence[float | None], label: str, *, tone: Tone = "series-1") -> Markup:
    """Return a line as high as text; ``label`` says in words what it shows."""
    known = [value for value in values if value is not None]
    top = max(known, default=0.0) or 1.0
    step = 96 / max(1, len(values) - 1)
    points = [None if v is None else (index * step + 2, 18 - 16 * v / top) for index, v in enumerate(values)]
    return Markup('<svg class="sparkline" viewBox="0 0 100 20" role="img" aria-label="{}">{}</svg>').format(
        label, _path(points, tone)
    )


def render_marks(marks: Sequence[tuple[str, Tone]], label: str) -> Markup:
    """Return a row of small marks as high as text; ``label`` says in words what they show.

    A mark's shape says what its colour says: whole for ok, in two parts for bad, middling for warn and accent,
    a foot for what has no news.

    Args:
        marks: What each is, for whoever points at it, and its tone.
        label: For whoever does not see them.
    """
    parts = [
        Markup("<g><title>{}</title>{}</g>").format(name, Markup("").join(_mark(index * 6.0, tone)))
        for index, (name, tone) in enumerate(marks)
    ]
    return Markup(
        '<svg class="marks" viewBox="0 0 {} 16" width="{}" height="16" role="img" aria-label="{}">{}</svg>'
    ).format(len(marks) * 6, len(marks) * 6, label, Markup("").join(parts))


def _mark(x: float, tone: Tone) -> list[Markup]:
    spans = {"ok": ((2, 12),), "bad": ((2, 5), (9, 5)), "warn": ((6, 8),), "accent": ((6, 8),)}
    return [
        Markup('<rect x="{}" y="{}" width="4" height="{}" class="tone-{}"></rect>').format(
            x, top, height, tone
        )
        for top, height in spans.get(tone, ((11, 3),))
    ]


def render_timeline(
    title: str, spans: Sequence[Span], *, total_s: float, format_value: Format = format_number
) -> Markup:
    """Return bars on a common time scale of four parts, each at least 2 px, with a table.

    Args:
        title: The statement, such as "semgrep took 71 % of the 48 s".
        spans: The rows, in the order they are shown.
        total_s: Length of the scale in seconds.
        format_value: How seconds are written.
    """
    total = (
        max(total_s, *(span.start_s + span.duration_s for span in spans), 1e-9)
        if spans
        else max(total_s, 1e-9)
    )
    left = _measure_labels([span.label for span in spans])
    value_width = _measure_values([format_value(span.duration_s) for span in spans])
    width = _WIDTH - left - value_width
    bottom = len(spans) * _ROW_HEIGHT
    ticks = [format_value(total * tick / 4) for tick in range(5)]
    # Where all five would run into each other, the quarters keep their lines and lose their words.
    is_tight = max(map(len, ticks)) * _CHARACTER_WIDTH > width / 4
    parts: list[Markup] = []
    for tick, text in enumerate(ticks):
        x = left + width * tick / 4
        parts.append(_line(x, 0, x, bottom, "chart-axis" if tick == 0 else "chart-grid"))
        if not (is_tight and tick % 2):
            parts.append(_text(x, bottom + 14, text, f"chart-tick {'is-middle' if tick else ''}"))
    for row, span in enumerate(spans):
        middle = row * _ROW_HEIGHT + _ROW_HEIGHT / 2
        parts.append(_label(left, middle, span.label, span.url))
        length = max(MIN_BAR_WIDTH, span.duration_s / total * width)
        x = min(left + span.start_s / total * width, left + width - MIN_BAR_WIDTH)
        caption = f"{span.label}: {format_value(span.duration_s)} {span.detail}".strip()
        parts.append(_rect(x, middle - _BAR_HEIGHT / 2, length, span.tone, caption))
        if span.is_failed:
            parts.append(
                Markup('<rect class="chart-hatch" x="{}" y="{}" width="{}" height="{}" rx="2"/>').format(
                    _round(x), _round(middle - _BAR_HEIGHT / 2), _round(length), _BAR_HEIGHT
                )
            )
        parts.append(_text(left + width + _GAP, middle, format_value(span.duration_s), "chart-value"))
    rows = [[s.label, format_value(s.start_s), format_value(s.duration_s), s.detail] for s in spans]
    return _figure(title, bottom + _AXIS_HEIGHT, parts, ["", "starts after", "took", ""], rows, [], "")


def render_chart_definitions() -> Markup:
    """Return what drawings refer to, once for a page: the hatch of failed spans."""
    return Markup(
        '<svg class="chart-definitions" aria-hidden="true"><defs><pattern id="chart-hatch" width="6" height="6" '
        'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<line class="chart-hatch-line" x1="0" y1="0" x2="0" y2="6"/></pattern></defs></svg>'
    )


def _figure(
    title: str,
    height: float,
    parts: Sequence[Markup],
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    legend: Sequence[tuple[str, Tone]],
    unit: str,
) -> Markup:
    """Return a drawing and its numbers. Names in them may be foreign: nothing hides or turns round what is shown."""
    drawn = Markup("").join(parts)
    # What is in an image cannot be reached, so a drawing with links is a group.
    role = "group" if "<a " in drawn else "img"
    drawing = Markup(
        '<svg class="chart-drawing" viewBox="0 0 {} {}" role="{}" aria-label="{}">{}</svg>'
    ).format(_WIDTH, _round(max(height, _ROW_HEIGHT)), role, title, drawn)
    keys = Markup("").join(
        Markup('<li><span class="chart-key tone-{}"></span>{}</li>').format(tone, name)
        for name, tone in legend
    )
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(name or _HIDDEN_HEAD) for name in heads)
    body = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            row[0], Markup("").join(Markup('<td class="is-number">{}</td>').format(cell) for cell in row[1:])
        )
        for row in rows[:_MAX_TABLE_ROWS_COUNT]
    )
    if len(rows) > _MAX_TABLE_ROWS_COUNT:
        body += Markup(
            '<tr><th scope="row" colspan="{}">{} more rows in the data of this chart</th></tr>'
        ).format(len(heads), format_count(len(rows) - _MAX_TABLE_ROWS_COUNT))
    figure = Markup(
        '<figure class="chart"><figcaption>{}</figcaption>{}'
        '<div class="chart-scroll" tabindex="0" role="group" aria-label="{}">{}</div>'
        '<details class="chart-table"><summary>Table{}</summary>'
        '<div class="scroll" tabindex="0" role="group" aria-label="{}"><table class="table is-compact">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div></details></figure>"
    ).format(
        title,
        Markup('<ul class="chart-legend">{}</ul>').format(keys) if legend else "",
        f"Drawing: {title}",
        drawing,
        f" ({unit})" if unit else "",
        f"Numbers of: {title}",
        head,
        body,
    )
    return Markup(show_text(figure))  # noqa: S704 - nothing is added that markup could take for its own


def _count_grid(
    left: float, right: float, bottom: float, top: float, format_value: Format = format_number
) -> list[Markup]:
    """An upright axis from 0 to ``top`` with its four grid lines."""
    parts: list[Markup] = []
    for tick in range(5):
        y = bottom - (bottom - 8) * tick / 4
        parts.append(_line(left, y, right, y, "chart-axis" if tick == 0 else "chart-grid"))
        parts.append(_text(left - 8, y, format_value(top * tick / 4), "chart-tick is-end"))
    return parts


def _find_scale(values: Sequence[float]) -> tuple[float, float, float]:
    """The ends of an axis that holds all values, and the step of its ticks: 1, 2 or 5 times a power of ten."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high - low < 1e-300:
        low, high = low - 0.5, high + 0.5
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(factor * power for factor in (1, 2, 5, 10) if (high - low) / 4 <= factor * power * (1 + 1e-9))
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _describe_estimate(one: Estimate, format_value: Format) -> str:
    text = _show(one.point, format_value)
    if one.low is not None and one.high is not None:
        text += f", from {format_value(one.low)} to {format_value(one.high)}"
    return f"{text}, {one.detail}" if one.detail else text


def _show(value: float | None, format_value: Format) -> str:
    return "unknown" if value is None else format_value(value)


def _log_ticks(low: float, high: float) -> list[float]:
    """The round numbers between two edges, at most about six: 1, 2, 5 or only powers of ten."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(decades) <= 3 else (1, 3) if len(decades) <= 4 else (1,)
    ticks = [factor * 10.0**decade for decade in decades for factor in factors]
    return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]


def _rect(x: float, y: float, width: float, tone: Tone, caption: str, height: float = _BAR_HEIGHT) -> Markup:
    return Markup(
        '<rect class="tone-{}" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}</title></rect>'
    ).format(tone, _round(x), _round(y), _round(width), _round(height), caption)


def _circle(x: float, y: float, tone: Tone, caption: str) -> Markup:
    return Markup('<circle class="tone-{}" cx="{}" cy="{}" r="3"><title>{}</title></circle>').format(
        tone, _round(x), _round(y), caption
    )


def _line(x1: float, y1: float, x2: float, y2: float, css_class: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        css_class, _round(x1), _round(y1), _round(x2), _round(y2)
    )


def _text(x: float, y: float, text: str, css_class: str, url: str = "") -> Markup:
    drawn = Markup('<text class="{}" x="{}" y="{}" dominant-baseline="central">{}</text>').format(
        css_class, _round(x), _round(y), text
    )
    return Markup('<a href="{}">{}</a>').format(url, drawn) if url else drawn


def _path(points: Sequence[tuple[float, float] | None], tone: Tone) -> Markup:
    """A line through the points, broken where one is missing."""
    commands: list[str] = []
    is_drawing = False
    for point in points:
        if point is not None:
            commands.append(f"{'L' if is_drawing else 'M'}{_round(point[0])} {_round(point[1])}")
        is_drawing = point is not None
    return Markup('<path class="chart-line tone-{}" d="{}"/>').format(tone, " ".join(commands))


def _label(left: float, y: float, text: str, url: str) -> Markup:
    """What a row is, ending where its bar begins; cut where there is no more room for it."""
    shown = _cut(text, int((left - _GAP) / _CHARACTER_WIDTH))
    return _text(left - _GAP, y, shown, "chart-label is-end", url)


def _measure_labels(labels: Sequence[str]) -> float:
    """The room for labels before bars."""
    longest = max(map(len, labels), default=0) * _CHARACTER_WIDTH + _GAP
    return min(max(_LABEL_WIDTH, longest), _MAX_LABEL_WIDTH)


def _measure_values(values: Sequence[str]) -> float:
    """The room for values behind bars."""
    return max(_VALUE_WIDTH, max(map(len, values), default=0) * _CHARACTER_WIDTH + _GAP)


def _round(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _round_up(value: float) -> float:
    """The next of 1, 2, 4 or 8 times a power of ten, so that its quarters are round too."""
    if value < 1e-300:  # below that a power of ten is no float
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        (factor * power for factor in (1, 2, 4, 8, 10) if value <= factor * power * (1 + 1e-9)), 10 * power
    )


def _cut(text: str, max_chars_count: int) -> str:
    return text if len(text) <= max_chars_count else text[: max_chars_count - 1] + "…"
