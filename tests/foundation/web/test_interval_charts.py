"""Points in their intervals on one scale."""

from __future__ import annotations

import re

import pytest

from referee.foundation.web.charts import Estimate, render_interval_chart


def read_points(drawn: str) -> list[float]:
    return [float(x) for x in re.findall(r'<circle [^>]*cx="([\d.]+)"', drawn)]


def test_points_lie_in_their_order_on_a_scale_with_zero() -> None:
    drawn = str(
        render_interval_chart(
            "Difference",
            [Estimate("a", -2.0, -3.0, -1.0, "ok", "3 of 4"), Estimate("b", 2.0, 1.0, 3.0, "bad", "4 of 4")],
            unit="findings",
        )
    )
    low, high = read_points(drawn)
    zero = float(re.search(r'class="chart-axis" x1="([\d.]+)"', drawn)[1])  # type: ignore[index]
    assert zero - low == pytest.approx(high - zero, abs=0.2)
    assert drawn.count('class="chart-line ') == 2
    assert '<th scope="row">a</th><td class="is-number">-2</td><td class="is-number">-3</td>' in drawn


def test_estimate_without_a_value_is_not_drawn_and_told_in_the_table() -> None:
    drawn = str(render_interval_chart("x", [Estimate("none", None, detail="0 of 4"), Estimate("one", 1.0)]))
    assert len(read_points(drawn)) == 1
    assert 'class="chart-line ' not in drawn
    assert drawn.count("unknown") == 5


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 0.0), (1e-12, 2e-12), (-1e9, 1e9), (0.1, 0.3), (-7.0, float("inf"))]
)
def test_every_scale_has_few_ticks_and_stays_in_the_drawing(low: float, high: float) -> None:
    point = low if high == float("inf") else (low + high) / 2
    drawn = str(render_interval_chart("x", [Estimate("a", point, low, high)]))
    assert 1 <= drawn.count("chart-tick") <= 12
    places = [float(x) for x in re.findall(r'[xM]1?="?([\d.]+)', drawn)]
    assert max(places) <= 480


def test_no_estimates_make_an_empty_chart() -> None:
    assert "<circle" not in str(render_interval_chart("x", []))


def test_labels_are_text() -> None:
    assert "<img" not in str(render_interval_chart("<img>", [Estimate("<img>", 1.0, detail="<img>")]))
