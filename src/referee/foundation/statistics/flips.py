"""Whether a tool says the same thing twice: what changed over runs on unchanged code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import combinations

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import check_share
from referee.foundation.statistics.intervals import Interval

__all__ = ["FlipRate", "compute_flip_rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipRate:
    """How unsteady a tool is on code that does not change."""

    runs_count: int
    seen_count: int
    """Things that at least one run found."""
    unsteady_count: int
    """Those that not every run found."""
    rate: Interval
    """Share of things that are unsteady: the part seen, in its credible interval (equal tails)."""
    overlap_share: float
    """Mean Jaccard index of two runs; 1 when all runs agree or none found anything."""


def compute_flip_rate(
    runs: Sequence[Set[str]], *, prior: tuple[float, float] = (0.5, 0.5), level: float = 0.95
) -> FlipRate:
    """Return how many of the things that a tool found come and go between runs.

    Args:
        runs: What each run found, as fingerprints; two runs at least, on the same code.
        prior: Beta prior of the rate; Jeffreys' unless told.
        level: Of the credible interval, a share strictly between 0 and 1.

    Returns:
        The rate with its Beta posterior. ``point`` is the share that was seen, or the prior's mean when
        nothing was found; the interval then is the prior's own.

    Raises:
        InvalidInput: Fewer than two runs, a prior that is not above 0, or ``level`` is no share.

    Source:
        L. D. Brown, T. T. Cai, A. DasGupta (2001), Statistical Science 16(2), 101-133: Jeffreys interval.
    """
    from scipy.special import betaincinv  # noqa: PLC0415 - the room's door stays light

    check_share(level, "level")
    if len(runs) < 2 or min(prior) <= 0:
        raise InvalidInput(
            "statistics.runs_invalid",
            "A flip rate needs two runs or more, and a prior above 0.",
            runs_count=len(runs),
        )
    times = Counter(thing for run in runs for thing in run)
    unsteady = sum(count < len(runs) for count in times.values())
    above, below = prior[0] + unsteady, prior[1] + len(times) - unsteady
    point = unsteady / len(times) if times else prior[0] / sum(prior)
    low, high = (float(betaincinv(above, below, tail)) for tail in ((1 - level) / 2, (1 + level) / 2))
    overlaps = [_compute_jaccard(one, other) for one, other in combinations(runs, 2)]
    return FlipRate(
        runs_count=len(runs),
        seen_count=len(times),
        unsteady_count=unsteady,
        rate=Interval(min(low, point), point, max(high, point), level),
        overlap_share=sum(overlaps) / len(overlaps),
    )


def _compute_jaccard(one: Set[str], other: Set[str]) -> float:
    together = len(one | other)
    return len(one & other) / together if together else 1.0
