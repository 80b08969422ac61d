"""One number out of many criteria. The weights are an opinion: whoever shows the number says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats, read_columns, read_values

__all__ = ["compute_topsis", "compute_weighted_sum"]


def compute_topsis(
    table: Sequence[Sequence[float]] | Floats,
    weights: Sequence[float],
    higher_is_better: Sequence[bool],
) -> tuple[float, ...]:
    """Return how close each option lies to the best of all criteria and how far from the worst, 0 to 1.

    Args:
        table: One row per option, one column per criterion, in any units.
        weights: One per criterion, not negative; only their proportions count.
        higher_is_better: Direction of each criterion.

    Returns:
        One closeness per option; 1 is best in everything. 0.5 where no criterion tells options apart.

    Raises:
        InvalidInput: Shapes that do not fit, a weight below 0, or no weight at all.

    Source:
        C.-L. Hwang, K. Yoon (1981), Multiple Attribute Decision Making, section 3.2.
    """
    values, shares, signs = _read(table, weights, higher_is_better)
    lengths = np.sqrt((values**2).sum(axis=0))
    scaled = values / np.where(lengths > 0, lengths, 1.0) * shares * signs
    to_best = np.sqrt(((scaled - scaled.max(axis=0)) ** 2).sum(axis=1))
    to_worst = np.sqrt(((scaled - scaled.min(axis=0)) ** 2).sum(axis=1))
    whole = to_best + to_worst
    return tuple(np.where(whole > 0, to_worst / np.where(whole > 0, whole, 1.0), 0.5).tolist())


def compute_weighted_sum(
    table: Sequence[Sequence[float]] | Floats,
    weights: Sequence[float],
    higher_is_better: Sequence[bool],
) -> tuple[float, ...]:
    """Return the weighted mean of each option's place between worst (0) and best (1) of each criterion.

    Args:
        table: One row per option, one column per criterion, in any units.
        weights: One per criterion, not negative; only their proportions count.
        higher_is_better: Direction of each criterion.

    Returns:
        One score per option, 0 to 1. A criterion in which all are equal gives each the same half.

    Raises:
        InvalidInput: As ``compute_topsis``.

    Source:
        P. C. Fishburn (1967), Operations Research 15(3), 537-542: additive utilities.
    """
    values, shares, signs = _read(table, weights, higher_is_better)
    directed = values * signs
    spans = np.ptp(directed, axis=0)
    places = np.where(spans > 0, (directed - directed.min(axis=0)) / np.where(spans > 0, spans, 1.0), 0.5)
    return tuple((places @ shares).tolist())


def _read(
    table: Sequence[Sequence[float]] | Floats, weights: Sequence[float], higher_is_better: Sequence[bool]
) -> tuple[Floats, Floats, Floats]:
    values, raw = read_columns(table), read_values(weights)
    if not values.shape[1] == raw.size == len(higher_is_better) or (raw < 0).any() or raw.sum() <= 0:
        raise InvalidInput(
            "statistics.weights_invalid",
            "Each criterion needs a direction and a weight that is not negative, and one weight is above 0.",
            criteria_count=int(values.shape[1]),
            weights_count=int(raw.size),
        )
    return values, raw / raw.sum(), np.where(np.array(higher_is_better), 1.0, -1.0)
