"""What repeated trials of a task say: passing at least once in k, and passing all k."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Literal

from referee.core.errors import InvalidInput
from referee.foundation.statistics.intervals import Interval
from referee.foundation.statistics.resampling import RESAMPLES_COUNT, MeanMethod, compute_mean_interval

__all__ = ["compute_pass_all", "compute_pass_any", "compute_pass_rate"]


def compute_pass_any(trials_count: int, passes_count: int, k: int) -> float:
    """Return pass@k of one task, without bias: the chance that one of ``k`` trials passes.

    Args:
        trials_count: Trials of the task, at least ``k``.
        passes_count: Those that passed.
        k: Trials that one is given, at least 1.

    Raises:
        InvalidInput: More passes than trials, or fewer trials than ``k``.

    Source:
        M. Chen et al. (2021), arXiv:2107.03374, equation 1.
    """
    _check(trials_count, passes_count, k)
    return 1 - comb(trials_count - passes_count, k) / comb(trials_count, k)


def compute_pass_all(trials_count: int, passes_count: int, k: int) -> float:
    """Return pass^k of one task, without bias: the chance that all of ``k`` trials pass.

    Raises:
        InvalidInput: As ``compute_pass_any``.

    Source:
        S. Yao et al. (2024), arXiv:2406.12045, section 4.
    """
    _check(trials_count, passes_count, k)
    return comb(passes_count, k) / comb(trials_count, k)


def compute_pass_rate(
    tasks: Sequence[tuple[int, int]],
    k: int,
    *,
    kind: Literal["any", "all"],
    method: MeanMethod = "studentized",
    level: float = 0.95,
    resamples_count: int = RESAMPLES_COUNT,
    seed: int = 1,
) -> Interval:
    """Return the mean pass@k (``any``) or pass^k (``all``) over tasks, with an interval over tasks.

    Args:
        tasks: Trials and passes of each task; two tasks at least, each with ``k`` trials or more.
        k: Trials, at least 1.
        kind: One of ``k``, or all of them.
        method: As for ``compute_mean_interval``.
        level: Two-sided confidence level, a share strictly between 0 and 1.
        resamples_count: Resamples of tasks.
        seed: Of the resamples.

    Raises:
        InvalidInput: As above.
    """
    compute = compute_pass_any if kind == "any" else compute_pass_all
    rates = [compute(trials, passes, k) for trials, passes in tasks]
    found = compute_mean_interval(
        rates, method=method, level=level, resamples_count=resamples_count, seed=seed
    )
    return Interval(max(0.0, found.low), found.point, min(1.0, found.high), level)


def _check(trials_count: int, passes_count: int, k: int) -> None:
    if not 0 <= passes_count <= trials_count or not 1 <= k <= trials_count:
        raise InvalidInput(
            "statistics.counts_invalid",
            "A pass rate needs no more passes than trials, and at least k trials.",
            trials_count=trials_count,
            passes_count=passes_count,
            k=k,
        )
