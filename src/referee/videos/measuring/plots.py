"""A metric over time as SVG: its series, the limits' sides, and the instants of the movement."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from referee.videos.shapes import Measured, MetricCode, MotionEvent

__all__ = ["draw_plot"]

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 30


def draw_plot(measured: Measured, events: Sequence[MotionEvent]) -> str:
    """Return the picture of a metric with at least two values, all text escaped."""
    times = [time for time, _ in measured.series]
    values = [value for _, value in measured.series]
    low, high = min(0.0, *values), max(0.0, *values)
    high = high if high > low else low + 1
    start, end = times[0], times[-1] if times[-1] > times[0] else times[0] + 1

    def x(time: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (time - start) / (end - start)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    is_turn = measured.code is MetricCode.hip_shoulder_timing
    unit = "shoulders' turn less the hips', degrees a second" if is_turn else measured.unit
    name = escape(f"{measured.code.value.replace('_', ' ').capitalize()}: {unit}")
    path = " ".join(f"{x(time):.1f},{y(value):.1f}" for time, value in measured.series)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<text x="{LEFT}" y="15" font-weight="bold">{name}</text>',
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#777"/>',
        f'<path d="M{LEFT} {y(0):.1f}H{WIDTH - RIGHT}" stroke="#bbb" stroke-dasharray="3 3"/>',
    ]
    for value in (low, high):
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for time in (start, end):
        anchor = "start" if time == start else "end"
        parts.append(f'<text x="{x(time):.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{time:.2f} s</text>')
    for one in events:
        if start <= one.t_s <= end:
            label = escape(one.name.value.replace("_", " "))
            parts.append(f'<path d="M{x(one.t_s):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#c60"/>')
            anchor = "end" if x(one.t_s) > WIDTH * 0.8 else "start"
            parts.append(
                f'<text x="{x(one.t_s) + (3 if anchor == "start" else -3):.1f}" y="{TOP + 10}" fill="#a40" '
                f'text-anchor="{anchor}">{label}</text>'
            )
    parts.append(f'<polyline points="{path}" fill="none" stroke="#06c" stroke-width="2"/></svg>')
    return "".join(parts)
