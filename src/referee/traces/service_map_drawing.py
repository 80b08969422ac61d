"""Draws the map of services as SVG: callers to the left of whom they call, the widest lines for most calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from typing import Final

from markupsafe import Markup

from referee.foundation.web.formats import format_count, format_duration, show_text, truncate_text
from referee.traces.service_maps import ServiceCalls, ServiceMap

__all__ = ["draw_service_map"]

BOX_WIDTH: Final = 176
BOX_HEIGHT: Final = 56
GAP_X: Final = 96
GAP_Y: Final = 24
MARGIN: Final = 8
NAME_CHARACTERS: Final = 22


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float


def draw_service_map(found: ServiceMap) -> Markup:
    """Return the drawing; its numbers stand in a table beside it, so it is one image to a screen reader."""
    places = _place(found)
    columns = 1 + max((place.x for place in places.values()), default=0)
    rows = 1 + max((place.y for place in places.values()), default=0)
    width = columns * (BOX_WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    height = rows * (BOX_HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN
    most = max((edge.calls_count for edge in found.edges), default=1)
    lines = [_draw_line(edge, places, most) for edge in found.edges if edge.caller is not None]
    boxes = [_draw_box(one, places[one.service]) for one in found.services]
    label = f"{len(found.services)} services and {len(lines)} kinds of calls between them"
    drawing = Markup(
        '<svg class="service-map" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}{}</svg>'
    ).format(
        round(width), round(height), round(width), round(height), label, Markup("").join(lines), Markup("").join(boxes)
    )  # fmt: skip
    return Markup(show_text(drawing))  # noqa: S704 - nothing is added that markup could take for its own


def _place(found: ServiceMap) -> dict[str, _Place]:
    """Return column and row of each service: one further right than its furthest caller, circles cut."""
    columns = _find_columns(found)
    filled: dict[int, int] = {}
    places: dict[str, _Place] = {}
    callers: dict[str, list[str]] = {}
    for edge in found.edges:
        if edge.caller is not None:
            callers.setdefault(edge.service, []).append(edge.caller)

    def height(name: str) -> float:
        known = [places[caller].y for caller in callers.get(name, ()) if caller in places]
        return sum(known) / len(known) if known else 0.0

    order = [one.service for one in found.services]
    for column in sorted(set(columns.values())):
        here = [name for name in order if columns[name] == column]
        for name in sorted(here, key=height):
            row = filled.get(column, 0)
            filled[column] = row + 1
            places[name] = _Place(column, row)
    return places


def _find_columns(found: ServiceMap) -> dict[str, int]:
    called: dict[str, list[str]] = {}
    has_caller: set[str] = set()
    for edge in found.edges:
        if edge.caller is not None and edge.caller != edge.service:
            called.setdefault(edge.caller, []).append(edge.service)
            has_caller.add(edge.service)
    names = [one.service for one in found.services]
    columns = dict.fromkeys(names, 0)
    # As many rounds as there are services: a longer way than that goes in a circle.
    waiting = [name for name in names if name not in has_caller] or names[:1]
    for column in range(1, len(names)):
        waiting = list(dict.fromkeys(below for name in waiting for below in called.get(name, ())))
        if not waiting:
            break
        if column > _MAX_COLUMNS:
            break
        for name in waiting:
            columns[name] = column
    return columns


_MAX_COLUMNS: Final = 12
"""Circles would push their services ever further right."""


def _x(place: _Place) -> float:
    return MARGIN + place.x * (BOX_WIDTH + GAP_X)


def _y(place: _Place) -> float:
    return MARGIN + place.y * (BOX_HEIGHT + GAP_Y)


def _draw_line(edge: ServiceCalls, places: dict[str, _Place], most: int) -> Markup:
    source, target = places[edge.caller or ""], places[edge.service]
    x1, y1 = _x(source) + BOX_WIDTH, _y(source) + BOX_HEIGHT / 2
    x2, y2 = _x(target), _y(target) + BOX_HEIGHT / 2
    bend = GAP_X / 2 if x2 > x1 else GAP_X
    width = 1 + 4 * log2(1 + edge.calls_count) / log2(2 + most)
    caption = f"{edge.caller} calls {edge.service}: {_tell(edge)}"
    return Markup(
        '<path class="service-call{}" d="M{} {}C{} {} {} {} {} {}" stroke-width="{}"><title>{}</title></path>'
        '<text class="chart-tick is-middle" x="{}" y="{}">{}</text>'
    ).format(
        " is-failing" if edge.errors_count else "", *map(round, (x1, y1, x1 + bend, y1, x2 - bend, y2, x2, y2)),
        round(width, 1), caption, round((x1 + x2) / 2), round((y1 + y2) / 2 - 4), format_count(edge.calls_count),
    )  # fmt: skip


def _draw_box(one: ServiceCalls, place: _Place) -> Markup:
    x, y = round(_x(place)), round(_y(place))
    lines: Sequence[tuple[str, str, int]] = (
        ("chart-label", truncate_text(one.service, NAME_CHARACTERS), 20),
        ("chart-tick", f"{format_count(one.calls_count)} calls, p95 {_show_p95(one)}", 36),
        (
            "chart-tick",
            f"{format_count(one.errors_count)} with errors" if one.errors_count else "no errors",
            50,
        ),
    )
    words = Markup("").join(
        Markup('<text class="{}" x="{}" y="{}">{}</text>').format(kind, x + 12, y + down, said)
        for kind, said, down in lines
    )
    return Markup(
        '<g><title>{}</title><rect class="service-box{}" x="{}" y="{}" width="{}" height="{}" rx="6"/>{}</g>'
    ).format(
        f"{one.service}: {_tell(one)}", " is-failing" if one.errors_count else "", x, y, BOX_WIDTH, BOX_HEIGHT, words
    )  # fmt: skip


def _tell(one: ServiceCalls) -> str:
    return f"{one.calls_count:,} calls, {one.errors_count:,} with errors, p95 {_show_p95(one)}"


def _show_p95(one: ServiceCalls) -> str:
    return "unknown" if one.p95_ms is None else format_duration(one.p95_ms / 1e3)
