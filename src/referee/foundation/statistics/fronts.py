"""Cost against quality: the models that no other one beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats, read_columns
from referee.foundation.statistics.resampling import RESAMPLES_COUNT, draw_weights

__all__ = ["Front", "compute_front"]

RESAMPLES_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The Pareto front; every tuple has one value per model, in the order of the columns."""

    costs: tuple[float, ...]
    """Means over templates, in the unit that came in."""
    qualities: tuple[float, ...]
    is_member: tuple[bool, ...]
    """Whether no model costs no more and is as good, and better in one of both."""
    membership_shares: tuple[float, ...]
    """Share of the resamples of templates in which the model is on the front."""


def compute_front(
    costs: Sequence[Sequence[float]] | Floats,
    qualities: Sequence[Sequence[float]] | Floats,
    *,
    resamples_count: int = RESAMPLES_COUNT,
    seed: int = 1,
) -> Front:
    """Return which models lie on the front of mean cost and mean quality, and how surely.

    Args:
        costs: One row per template, one column per model; less is better.
        qualities: The same templates and models; more is better.
        resamples_count: Resamples of templates; cost and quality of one template stay together.
        seed: Of the resamples.

    Raises:
        InvalidInput: Tables of different shape, fewer than two templates, or a number that is not finite.
    """
    cost, quality = read_columns(costs, least_count=2), read_columns(qualities, least_count=2)
    if cost.shape != quality.shape:
        raise InvalidInput(
            "statistics.values_invalid",
            "Cost and quality need the same templates and models.",
            costs_shape=list(cost.shape),
            qualities_shape=list(quality.shape),
        )
    cost_means, quality_means = cost.mean(axis=0), quality.mean(axis=0)
    weights = draw_weights(cost.shape[0], resamples_count=resamples_count, seed=seed)
    hits = np.zeros(cost.shape[1])
    for start in range(0, resamples_count, RESAMPLES_AT_ONCE):
        part = weights[start : start + RESAMPLES_AT_ONCE]
        hits += _find_members(part @ cost, part @ quality).sum(axis=0)
    return Front(
        costs=tuple(cost_means.tolist()),
        qualities=tuple(quality_means.tolist()),
        is_member=tuple(_find_members(cost_means[np.newaxis], quality_means[np.newaxis])[0].tolist()),
        membership_shares=tuple((hits / resamples_count).tolist()),
    )


def _find_members(costs: Floats, qualities: Floats) -> NDArray[np.bool_]:
    """Return, for each row of means, which models no other one dominates."""
    # Sums in another order differ in the last digits; equal models must stay equal.
    costs, qualities = _round_off(costs), _round_off(qualities)
    cheaper = costs[:, :, np.newaxis] - costs[:, np.newaxis, :]
    better = qualities[:, np.newaxis, :] - qualities[:, :, np.newaxis]
    beaten = (cheaper >= 0) & (better >= 0) & ((cheaper > 0) | (better > 0))
    members: NDArray[np.bool_] = np.logical_not(beaten.any(axis=2))
    return members


def _round_off(means: Floats) -> Floats:
    step = 1e-12 * max(float(np.abs(means).max()), np.finfo(np.float64).tiny * 1e13)
    return np.round(means / step) * step
