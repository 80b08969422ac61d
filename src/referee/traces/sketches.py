"""A sketch of durations: counts by logarithmic bucket, which add up and give quantiles.

Source:
    Masson, Rim, Lee: DDSketch (VLDB 2019). The relative error of a quantile is
    at most ``RELATIVE_ERROR``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

__all__ = ["LOG_GAMMA", "RELATIVE_ERROR", "compute_bucket", "compute_quantile_ns", "merge_sketches"]

RELATIVE_ERROR: Final = 0.02
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
LOG_GAMMA: Final = math.log(_GAMMA)
"""Width of a bucket, as the logarithm of the quotient of its ends."""


def compute_bucket(duration_ns: int) -> int:
    """Return the bucket of a duration; all of a microsecond or less share bucket 0."""
    if duration_ns <= 1_000:
        return 0
    return math.ceil(math.log(duration_ns / 1_000) / LOG_GAMMA)


def compute_quantile_ns(sketch: Mapping[int, int], share: float) -> float | None:
    """Return the duration below which ``share`` (0 to 1) of all lie; None when there are none.

    The rank is ``share × (n − 1)``, rounded down, counted from 0.
    """
    count = sum(sketch.values())
    if not count:
        return None
    rank = math.floor(share * (count - 1))
    passed = 0
    for bucket in sorted(sketch):
        passed += sketch[bucket]
        if passed > rank:
            return 1_000.0 if bucket == 0 else 1_000 * 2 * _GAMMA**bucket / (_GAMMA + 1)
    return None


def merge_sketches(target: dict[int, int], added: Mapping[int, int]) -> None:
    """Add the counts of one sketch to another."""
    for bucket, count in added.items():
        target[bucket] = target.get(bucket, 0) + count
