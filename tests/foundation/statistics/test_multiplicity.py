"""Adjusted p-values, against the example of Benjamini and Hochberg."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.errors import InvalidInput
from referee.foundation.statistics import adjust_p_values

PUBLISHED = (
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
)
"""Y. Benjamini, Y. Hochberg (1995), JRSS B 57(1), section 4: 15 hypotheses, of which 4 fall, and 3 by Holm."""


def test_the_published_hypotheses_fall() -> None:
    holm = adjust_p_values(PUBLISHED)
    screened = adjust_p_values(PUBLISHED, method="benjamini_hochberg")
    assert [sum(p <= 0.05 for p in adjusted) for adjusted in (holm, screened)] == [3, 4]


def test_adjusted_p_values_of_the_published_example() -> None:
    assert adjust_p_values(PUBLISHED)[:4] == pytest.approx((0.0015, 0.0056, 0.0247, 0.114))
    assert adjust_p_values(PUBLISHED, method="benjamini_hochberg")[:4] == pytest.approx(
        (0.0015, 0.003, 0.0095, 0.035625)
    )


def test_what_was_looked_at_and_is_not_here_counts_as_showing_nothing() -> None:
    padded = adjust_p_values([0.01, 0.02, 1.0, 1.0, 1.0])
    assert adjust_p_values([0.01, 0.02], looks_count=5) == padded[:2]
    screened = adjust_p_values([0.01, 0.02, 1.0, 1.0, 1.0], method="benjamini_yekutieli")
    assert adjust_p_values([0.01, 0.02], method="benjamini_yekutieli", looks_count=5) == pytest.approx(
        screened[:2]
    )


def test_nothing_is_adjusted_when_nothing_is_asked_for() -> None:
    assert adjust_p_values([0.3, 0.01], method="none") == (0.3, 0.01)
    assert adjust_p_values([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusting_never_lowers_keeps_the_order_and_ignores_the_sequence(
    p_values: list[float],
) -> None:
    adjusted = adjust_p_values(p_values)
    assert all(raw <= new <= 1 for raw, new in zip(p_values, adjusted, strict=True))
    assert [new for _, new in sorted(zip(p_values, adjusted, strict=True))] == sorted(adjusted)
    assert adjust_p_values(p_values[::-1]) == adjusted[::-1]


@pytest.mark.parametrize(("p_values", "looks"), [([1.2], None), ([-0.1], None), ([0.1, 0.2], 1)])
def test_what_is_no_p_value_is_refused(p_values: list[float], looks: int | None) -> None:
    with pytest.raises(InvalidInput):
        adjust_p_values(p_values, looks_count=looks)
