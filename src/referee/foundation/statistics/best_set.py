"""Which models are statistically among the best: the model confidence set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats, check_share, read_columns
from referee.foundation.statistics.resampling import RESAMPLES_COUNT, draw_weights

__all__ = ["BestSet", "BestSetStatistic", "compute_best_set"]

BestSetStatistic = Literal["studentized", "range", "max"]
"""What is compared: the largest difference of two models, in the error of each resample (``studentized``) or in
one error for all (``range``), or the largest difference to the average (``max``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BestSet:
    """The models that cannot be told from the best one at this level."""

    members: tuple[int, ...]
    """Positions of the models that stay, ascending."""
    p_values: tuple[float, ...]
    """Per model: the least error rate at which it would leave; 1 for the one that stays last."""
    level: float
    """Chance that the set holds every best model, a share."""


def compute_best_set(
    scores: Sequence[Sequence[float]] | Floats,
    *,
    higher_is_better: bool = True,
    level: float = 0.95,
    statistic: BestSetStatistic = "studentized",
    resamples_count: int = RESAMPLES_COUNT,
    seed: int = 1,
    weights: Floats | None = None,
) -> BestSet:
    """Return the model confidence set of scores on the same units.

    As long as the remaining models differ, the one that lies furthest behind
    leaves. What stays holds the best model with the chance ``level``; with little
    data that are many, and that is the answer.

    Args:
        scores: One row per unit (template), one column per model; two of each at least.
        higher_is_better: Direction of the scores.
        level: A share strictly between 0 and 1.
        statistic: ``range`` and ``max`` are those of the source; ``studentized`` keeps its level with few
            units, where these drop best models too often.
        resamples_count: Bootstrap resamples of units.
        seed: Of the resamples.
        weights: Resamples to use instead, as ``draw_weights`` gives them.

    Raises:
        InvalidInput: Fewer than two units or models, a score that is not finite, or ``level`` is no share.

    Source:
        P. R. Hansen, A. Lunde, J. M. Nason (2011), Econometrica 79(2), 453-497; units are independent, so
        the bootstrap needs no blocks. P. Hall (1988), Annals of Statistics 16(3), 927-953, for studentising.
    """
    check_share(level, "level")
    table = read_columns(scores, least_count=2)
    if table.shape[1] < 2:
        raise InvalidInput("statistics.values_invalid", "A best set needs at least two models.")
    if weights is None:
        weights = draw_weights(table.shape[0], resamples_count=resamples_count, seed=seed)
    losses = -table if higher_is_better else table
    choose = _Averages(losses, weights) if statistic == "max" else _Pairs(losses, weights, statistic)
    left = np.arange(table.shape[1])
    p_values = np.ones(table.shape[1])
    reached = 0.0
    while left.size > 1:
        worst, p_value = choose.find_worst(left)
        reached = max(reached, p_value)
        p_values[worst] = reached
        left = left[left != worst]
    members = np.flatnonzero(p_values > 1 - level + 1e-12)
    return BestSet(members=tuple(members.tolist()), p_values=tuple(p_values.tolist()), level=level)


class _Pairs:
    """Every two models: their difference in its error, in the data and in each resample."""

    def __init__(self, losses: Floats, weights: Floats, statistic: BestSetStatistic) -> None:
        least = 1e-12 * float(np.abs(losses).max())  # what rounding may make of nothing
        self._firsts, self._seconds = np.triu_indices(losses.shape[1], k=1)
        apart = losses[:, self._firsts] - losses[:, self._seconds]
        means = apart.mean(axis=0)
        centred = apart - means
        moved = weights @ centred
        if statistic == "range":
            errors = np.sqrt((moved**2).mean(axis=0))
            resampled = np.broadcast_to(errors, moved.shape)
        else:
            freedom = losses.shape[0] - 1
            errors = np.sqrt((centred**2).mean(axis=0) / freedom)
            resampled = np.sqrt(np.maximum(weights @ centred**2 - moved**2, 0.0) / freedom)
        self._standing = _divide(means, errors, least)
        self._moved = np.abs(_divide(moved, resampled, least))

    def find_worst(self, left: NDArray[np.intp]) -> tuple[int, float]:
        """Return the model with the largest standardised loss against another one, and the p of equality."""
        kept = np.flatnonzero(np.isin(self._firsts, left) & np.isin(self._seconds, left))
        place = kept[int(np.argmax(np.abs(self._standing[kept])))]
        worst = self._firsts[place] if self._standing[place] > 0 else self._seconds[place]
        return int(worst), _compute_p(abs(float(self._standing[place])), self._moved[:, kept])


class _Averages:
    """Each model against the average of those that are left."""

    def __init__(self, losses: Floats, weights: Floats) -> None:
        self._least = 1e-12 * float(np.abs(losses).max())
        self._means = losses.mean(axis=0)
        self._moved = weights @ (losses - self._means)

    def find_worst(self, left: NDArray[np.intp]) -> tuple[int, float]:
        """Return the model with the largest standardised loss against the average, and the p of equality."""
        moved, means = self._moved[:, left], self._means[left]
        around = moved - moved.mean(axis=1, keepdims=True)
        errors = np.sqrt((around**2).mean(axis=0))
        standing = _divide(means - means.mean(), errors, self._least)
        worst = int(np.argmax(standing))
        return int(left[worst]), _compute_p(float(standing[worst]), _divide(around, errors, self._least))


def _compute_p(furthest: float, moved: Floats) -> float:
    """Return how often chance lies further apart; always when the models do not lie apart at all."""
    return float(np.mean(moved.max(axis=1) > furthest)) if furthest > 0 else 1.0


def _divide(value: Floats, error: Floats, least: float) -> Floats:
    """Divide; without any error a difference is infinite when there is one, and 0 when there is none."""
    flat = error <= least
    endless = np.where(np.abs(value) > least, np.copysign(np.inf, value), 0.0)
    result: Floats = np.where(flat, endless, value / np.where(flat, 1.0, error))
    return result
