"""Weighted findings per thousand lines, and rankings by several weightings."""

from __future__ import annotations

import numpy as np
import pytest

from referee.core.errors import InvalidInput
from referee.foundation.statistics import WEIGHTINGS, AppCounts, compare_rankings, compute_density
from referee.foundation.statistics.resampling import draw_weights


def app(template: str, lines: int, **severities: int) -> AppCounts:
    return AppCounts(template=template, lines_count=lines, severities=severities)


APPS = (
    app("shop", 800, high=2, low=5),
    app("shop", 1_200, high=1, low=1),
    app("board", 500, critical=1),
    app("wiki", 2_000, medium=3, info=10),
    app("chat", 1_500, high=4),
)


def test_density_is_all_weighted_findings_by_all_lines() -> None:
    expected = (2 * 8 + 5 * 2 + 8 + 2 + 16 + 3 * 4 + 10 + 4 * 8) / 6.0
    assert compute_density(APPS, WEIGHTINGS["doubling"]).point == pytest.approx(expected)


def test_interval_is_that_of_a_plain_loop_over_templates() -> None:
    """Error of a ratio as in W. G. Cochran (1977), 6.4, in each resample of the four templates."""
    found = np.array([16.0, 9.0, 11.0, 16.0])  # board, chat, shop, wiki under "linear"
    found[:] = [5, 16, 2 * 4 + 5 * 2 + 4 + 2, 3 * 3 + 10]
    size = np.array([0.5, 1.5, 2.0, 2.0])
    rate = found.sum() / size.sum()

    def error_of(some: np.ndarray, lines: np.ndarray) -> float:
        ratio = some.sum() / lines.sum()
        return float(np.sqrt(((some - ratio * lines) ** 2).mean() * 4 * 4 / 3) / lines.sum())

    measured = []
    for row in np.rint(draw_weights(4, resamples_count=300, seed=9) * 4).astype(int):
        some, lines = np.repeat(found, row), np.repeat(size, row)
        error = error_of(some, lines)
        apart = abs(some.sum() / lines.sum() - rate)
        measured.append(apart / error if error > 1e-12 else (np.inf if apart > 1e-12 else 0.0))
    reach = np.quantile(np.array(measured), 0.8, method="higher")
    interval = compute_density(APPS, WEIGHTINGS["linear"], level=0.8, resamples_count=300, seed=9)
    assert interval.high == pytest.approx(rate + reach * error_of(found, size), rel=1e-9)


def test_apps_that_all_have_the_same_rate_have_no_width() -> None:
    apps = [app(name, 1_000 * factor, low=3 * factor) for factor, name in enumerate("abcd", start=1)]
    found = compute_density(apps, WEIGHTINGS["equal"])
    assert (found.low, found.point, found.high) == pytest.approx((3, 3, 3), abs=1e-9)


def test_apps_without_findings_have_a_rate_of_zero() -> None:
    found = compute_density([app("a", 10), app("b", 20)], WEIGHTINGS["equal"])
    assert (found.low, found.point, found.high) == (0, 0, 0)


@pytest.mark.parametrize(
    "apps",
    [
        [app("a", 10, high=1)],
        [app("a", 0), app("b", 10)],
        [app("a", 10, grave=1), app("b", 10)],
        [app("a", 10, high=-1), app("b", 10)],
    ],
)
def test_what_has_no_density_is_refused(apps: list[AppCounts]) -> None:
    with pytest.raises(InvalidInput):
        compute_density(apps, WEIGHTINGS["equal"])


def test_rankings_agree_by_kendalls_tau() -> None:
    """M. G. Kendall's first example of ten (1938): τ = 0.11 of A and B."""
    first = dict(zip("abcdefghij", (1, 2, 3, 4, 5, 6, 7, 8, 9, 10), strict=True))
    second = dict(zip("abcdefghij", (4, 7, 2, 10, 3, 6, 8, 1, 5, 9), strict=True))
    (agreement,) = compare_rankings({"first": first, "second": second})
    assert agreement.tau == pytest.approx(5 / 45)


def test_a_weighting_that_ranks_all_alike_agrees_with_nothing() -> None:
    (agreement,) = compare_rankings({"flat": {"a": 1.0, "b": 1.0}, "steep": {"a": 1.0, "b": 2.0}})
    assert (agreement.first, agreement.second, agreement.tau) == ("flat", "steep", None)


def test_rankings_of_different_models_are_refused() -> None:
    with pytest.raises(InvalidInput):
        compare_rankings({"one": {"a": 1.0}, "other": {"b": 1.0}})
