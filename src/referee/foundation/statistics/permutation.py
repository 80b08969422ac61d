"""The test of a paired difference that assumes nothing but exchangeability.

If two models do not differ, either score of a template could be the other
model's: each difference may change its sign. The p-value is the share of sign
patterns whose sum lies as far from 0 as the observed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats, read_columns, read_values

__all__ = ["EXACT_LIMIT_COUNT", "SignFlipTest", "compute_sign_flip_test", "compute_sign_flip_tests"]

EXACT_LIMIT_COUNT = 32
"""Differences other than 0 up to which all sign patterns count: two halves of 2^16 sums each."""

FLIPS_COUNT = 100_000
"""Patterns that are drawn when there are too many to count."""

FLIPS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SignFlipTest:
    """A two-sided p-value, and how it came about."""

    p_value: float
    """Share; never 0."""
    method: Literal["exact", "monte_carlo"]
    patterns_count: int
    """Sign patterns that were counted (exact) or drawn (Monte Carlo)."""
    nonzero_count: int
    """Units with a difference; the others say nothing about its direction."""


def compute_sign_flip_test(
    differences: Sequence[float] | Floats, *, flips_count: int = FLIPS_COUNT, seed: int = 1
) -> SignFlipTest:
    """Return the exact paired permutation p of a mean difference.

    Args:
        differences: One per unit (template), repeats averaged before; at least one.
        flips_count: Patterns to draw when more than 32 differences are not 0.
        seed: Of the drawn patterns.

    Returns:
        Exact up to 32 differences other than 0. Beyond, Monte Carlo: ``(1 + hits) / (1 + drawn)``,
        which never claims more than was drawn. Without any difference p is 1.

    Raises:
        InvalidInput: No difference, one that is not finite, or no pattern to draw.

    Source:
        R. A. Fisher (1935), The Design of Experiments, section 21. B. Phipson, G. K. Smyth (2010),
        Statistical Applications in Genetics and Molecular Biology 9(1), 39, for the added one.
    """
    column = read_values(differences)[:, np.newaxis]
    return compute_sign_flip_tests(column, flips_count=flips_count, seed=seed)[0]


def compute_sign_flip_tests(
    columns: Sequence[Sequence[float]] | Floats, *, flips_count: int = FLIPS_COUNT, seed: int = 1
) -> tuple[SignFlipTest, ...]:
    """Return ``compute_sign_flip_test`` of each column; a 0 stands for a unit without a difference.

    Raises:
        InvalidInput: As there.
    """
    table = read_columns(columns)
    if flips_count < 1:
        raise InvalidInput("statistics.values_invalid", "At least one sign pattern has to be drawn.")
    counts = np.count_nonzero(table, axis=0)
    drawn = np.flatnonzero(counts > EXACT_LIMIT_COUNT)
    drawn_p = dict(zip(drawn.tolist(), _draw_p(table[:, drawn], flips_count, seed), strict=True))
    return tuple(
        SignFlipTest(
            p_value=drawn_p[index], method="monte_carlo", patterns_count=flips_count, nonzero_count=int(count)
        )
        if index in drawn_p
        else SignFlipTest(
            p_value=_count_p(table[:, index]),
            method="exact",
            patterns_count=1 << int(count),
            nonzero_count=int(count),
        )
        for index, count in enumerate(counts)
    )


def _count_p(differences: Floats) -> float:
    """Count patterns by meeting in the middle: sums of one half, looked up among those of the other."""
    moving = differences[differences != 0]
    if moving.size == 0:
        return 1.0
    reach = _find_least_extreme(moving)
    if reach <= 0:
        return 1.0
    # Only the first sign is fixed: a pattern and its mirror image are equally extreme.
    left = np.sort(_list_sums(moving[1 : 1 + moving.size // 2])) + moving[0]  # looked up faster in order
    right = np.sort(_list_sums(moving[1 + moving.size // 2 :]))
    above = right.size - np.searchsorted(right, reach - left, side="left")
    below = np.searchsorted(right, -reach - left, side="right")
    return float((above.sum() + below.sum()) / (left.size * right.size))


def _list_sums(values: Floats) -> Floats:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums + value, sums - value))
    return sums


def _draw_p(table: Floats, flips_count: int, seed: int) -> list[float]:
    if table.shape[1] == 0:
        return []
    random = np.random.default_rng(seed)
    reach = np.array([_find_least_extreme(column) for column in table.T])
    hits = np.zeros(table.shape[1])
    for start in range(0, flips_count, FLIPS_AT_ONCE):
        rows = min(FLIPS_AT_ONCE, flips_count - start)
        signs = random.integers(0, 2, size=(rows, table.shape[0]), dtype=np.int8) * 2.0 - 1.0
        hits += (np.abs(signs @ table) >= reach).sum(axis=0)
    return [float(hit) for hit in (hits + 1) / (flips_count + 1)]


def _find_least_extreme(differences: Floats) -> float:
    """Return the least sum that counts as extreme: the observed one, less what rounding may take from a tie."""
    total = float(np.abs(differences).sum())
    return abs(float(differences.sum())) - 1e-10 * total
