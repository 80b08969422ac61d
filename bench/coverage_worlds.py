"""The worlds that ``bench.coverage`` simulates: two models over templates, and how far they truly lie apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCENARIOS", "SINGLE_PASSES", "Array", "Scenario", "draw_skewed"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world of two models: scores per template (rows) and replication (columns), repeats averaged."""

    name: str
    draw: Callable[[np.random.Generator, int, int], tuple[Array, Array]]
    difference: float
    """True mean of first less second."""
    is_symmetric: bool = False
    """Whether the differences are, so that the Hodges–Lehmann shift is the mean difference."""


def draw_normal(random: np.random.Generator, count: int, columns: int) -> tuple[Array, Array]:
    """Templates are hard or easy for both; three noisy runs of each."""
    shared = random.normal(size=(count, columns))
    first, second = (random.normal(size=(count, 3, columns)).mean(axis=1) for _ in range(2))
    return shared + first + 0.3, shared + second


def draw_clustered(random: np.random.Generator, count: int, columns: int) -> tuple[Array, Array]:
    """Models differ from template to template; five runs of one template say nearly the same."""
    shared = random.normal(size=(count, columns))
    first, second = (
        random.normal(size=(count, columns)) + 0.3 * random.normal(size=(count, 5, columns)).mean(axis=1)
        for _ in range(2)
    )
    return shared + first + 0.3, shared + second


def draw_heavy(random: np.random.Generator, count: int, columns: int) -> tuple[Array, Array]:
    """A few templates go very wrong: Student's t with three degrees of freedom."""
    return random.standard_t(3, size=(count, columns)), random.standard_t(3, size=(count, columns))


def draw_skewed(random: np.random.Generator, count: int, columns: int) -> tuple[Array, Array]:
    """Exponential durations, one model twice as slow."""
    return random.exponential(2, size=(count, columns)), random.exponential(1, size=(count, columns))


def draw_one_sided(random: np.random.Generator, count: int, columns: int) -> tuple[Array, Array]:
    """One model never fails, the other by exponential amounts: as skewed as it gets."""
    return random.exponential(1, size=(count, columns)), np.zeros((count, columns))


def draw_shares(random: np.random.Generator, count: int, columns: int) -> tuple[Array, Array]:
    """Share of 20 requirements met, with many ties."""
    first, second = (random.beta(alpha, 2, size=(count, columns)) for alpha in (8, 4))
    return random.binomial(20, first) / 20, random.binomial(20, second) / 20


def draw_counts(random: np.random.Generator, count: int, columns: int) -> tuple[Array, Array]:
    """Findings of an app: Poisson around a gamma that the template sets."""
    hard = random.gamma(1.5, size=(count, columns))
    return random.poisson(6 * hard).astype(float), random.poisson(4 * hard).astype(float)


def draw_passes(random: np.random.Generator, count: int, columns: int, repeats: int) -> tuple[Array, Array]:
    """Pass or fail, with chances that the template sets for both."""
    ease = random.uniform(-0.3, 0.2, size=(count, columns))
    first, second = (random.binomial(repeats, base + ease) / repeats for base in (0.75, 0.6))
    return first, second


SCENARIOS = (
    Scenario("normal, 3 runs", draw_normal, 0.3, is_symmetric=True),
    Scenario("clustered, 5 runs", draw_clustered, 0.3, is_symmetric=True),
    Scenario("heavy tails", draw_heavy, 0.0, is_symmetric=True),
    Scenario("skewed", draw_skewed, 1.0),
    Scenario("shares of 20", draw_shares, 0.8 - 4 / 6),
    Scenario("counts", draw_counts, 3.0),
    Scenario("pass or fail, 3 runs", partial(draw_passes, repeats=3), 0.15),
    Scenario("one-sided", draw_one_sided, 1.0),
)
SINGLE_PASSES = Scenario("pass or fail, 1 run", partial(draw_passes, repeats=1), 0.15)
