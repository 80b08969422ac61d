"""pass@k and pass^k."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.errors import InvalidInput
from referee.foundation.statistics import (
    compute_mean_interval,
    compute_pass_all,
    compute_pass_any,
    compute_pass_rate,
)


@pytest.mark.parametrize(
    ("trials", "passes", "k"), [(200, 10, 1), (200, 10, 10), (200, 10, 100), (5, 2, 3), (5, 0, 5), (9, 9, 2)]
)
def test_pass_any_is_the_product_form_of_chen_et_al(trials: int, passes: int, k: int) -> None:
    """M. Chen et al. (2021), figure 3: 1 - prod(1 - k / i for i from n - c + 1 to n)."""
    product = np.prod(1.0 - k / np.arange(trials - passes + 1, trials + 1))
    assert compute_pass_any(trials, passes, k) == pytest.approx(1.0 - float(product), abs=1e-12)


def test_too_few_failures_to_fill_k_trials_pass_for_sure() -> None:
    assert compute_pass_any(5, 2, 4) == 1
    assert compute_pass_all(5, 2, 3) == 0


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_both_are_the_share_of_all_choices_of_k_trials(sizes: tuple[int, int, int]) -> None:
    trials, passes, k = sizes
    choices = list(combinations([True] * passes + [False] * (trials - passes), k))
    assert compute_pass_any(*sizes) == pytest.approx(sum(map(any, choices)) / len(choices))
    assert compute_pass_all(*sizes) == pytest.approx(sum(map(all, choices)) / len(choices))


@pytest.mark.parametrize("kind", ["any", "all"])
def test_rate_over_tasks_is_the_mean_of_tasks_with_its_interval(kind: Literal["any", "all"]) -> None:
    tasks = [(5, 3), (5, 1), (4, 4), (5, 0), (6, 2), (5, 4)]
    compute = compute_pass_any if kind == "any" else compute_pass_all
    expected = compute_mean_interval([compute(trials, passes, 2) for trials, passes in tasks])
    found = compute_pass_rate(tasks, 2, kind=kind)
    assert found.point == expected.point
    assert (found.low, found.high) == (max(0.0, expected.low), min(1.0, expected.high))


@pytest.mark.parametrize("sizes", [(3, 4, 1), (3, 1, 4), (3, 1, 0), (3, -1, 1)])
def test_impossible_counts_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInput):
        compute_pass_any(*sizes)
    with pytest.raises(InvalidInput):
        compute_pass_all(*sizes)
