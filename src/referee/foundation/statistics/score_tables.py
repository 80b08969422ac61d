"""Scores of models over templates as one table, with holes where a cell has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log10

import numpy as np
from numpy.typing import NDArray

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats, read_values
from referee.foundation.statistics.proportions import PairedOutcomes

__all__ = ["ScoreTable", "read_scores"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreTable:
    """One row per planned template, one column per model."""

    models: tuple[str, ...]
    templates: tuple[str, ...]
    means: NDArray[np.float64]
    """Mean of a cell's repeats; NaN: the cell has none."""
    runs: tuple[tuple[Floats, ...], ...]
    """Per model and template, the repeats themselves."""
    is_binary: bool
    """Every cell has one score at most, and each is 0 or 1."""

    @property
    def is_valid(self) -> NDArray[np.bool_]:
        """Which cells have a score."""
        valid: NDArray[np.bool_] = ~np.isnan(self.means)
        return valid

    def list_cells(self, model: int) -> list[float | None]:
        """Return the mean of each planned template, None where there is none."""
        return [None if np.isnan(mean) else float(mean) for mean in self.means[:, model]]

    def count_outcomes(self, first: int, second: int, shared: NDArray[np.bool_]) -> PairedOutcomes:
        """Return how often which of two models passed, where every score is 0 or 1."""
        one, other = self.means[shared, first] == 1, self.means[shared, second] == 1
        return PairedOutcomes(
            both_count=int((one & other).sum()),
            first_only_count=int((one & ~other).sum()),
            second_only_count=int((~one & other).sum()),
            neither_count=int((~one & ~other).sum()),
        )


def read_scores(
    scores: Mapping[str, Mapping[str, Sequence[float]]], templates: Sequence[str] | None
) -> ScoreTable:
    """Return the scores as a table; repeats of a cell are averaged here and nowhere else.

    Args:
        scores: Model → template → scores of its repeats; an absent template or no repeat is a missing cell.
        templates: All that were planned; None: those that any model has.

    Raises:
        InvalidInput: Fewer than two models, no template, one that was not planned or is named twice, or a
            score that is not finite.
    """
    seen = sorted({template for cells in scores.values() for template in cells})
    planned = tuple(seen if templates is None else templates)
    unplanned = sorted(set(seen) - set(planned))
    if len(scores) < 2 or not planned or unplanned or len(set(planned)) < len(planned):
        raise InvalidInput(
            "statistics.scores_invalid",
            "A comparison needs two models or more, and templates that were planned once each.",
            models_count=len(scores),
            templates_count=len(planned),
            unplanned=unplanned[:10],
        )
    runs = tuple(
        tuple(read_values(cells.get(template, ()), least_count=0) for template in planned)
        for cells in scores.values()
    )
    means = np.array([[one.mean() if one.size else np.nan for one in model] for model in runs]).T
    means = _round_off(means)
    return ScoreTable(
        models=tuple(scores),
        templates=planned,
        means=means,
        runs=runs,
        is_binary=all(one.size < 2 and bool(np.isin(one, (0, 1)).all()) for model in runs for one in model),
    )


def _round_off(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep 12 digits, so that equal scores stay equal in whichever order they were added up."""
    largest = float(np.nanmax(np.abs(means), initial=0.0))
    return np.round(means, 12 - ceil(log10(largest))) if largest > 0 else means
