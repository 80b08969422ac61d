"""p-values after looking many times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats, read_values

__all__ = ["Adjustment", "adjust_p_values"]

Adjustment = Literal["holm", "benjamini_hochberg", "benjamini_yekutieli", "none"]
"""``holm``: no false claim at all, for few claims. The others: few false ones among many, for screens."""


def adjust_p_values(
    p_values: Sequence[float] | Floats,
    *,
    method: Adjustment = "holm",
    looks_count: int | None = None,
) -> tuple[float, ...]:
    """Return each p-value adjusted for all that was looked at.

    Args:
        p_values: Shares, in any order.
        method: ``holm`` holds the chance of one false claim, ``benjamini_hochberg`` the share of false ones
            among the claims (``benjamini_yekutieli`` under any dependence); ``none`` changes nothing.
        looks_count: Everything looked at, when it is more than what is given here. The rest counts
            as having shown nothing, which is the careful reading.

    Returns:
        One adjusted p-value per p-value, in the same order.

    Raises:
        InvalidInput: A p-value is no share, or ``looks_count`` is less than their number.

    Source:
        S. Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70. Y. Benjamini, Y. Hochberg (1995), JRSS B
        57(1), 289-300. Y. Benjamini, D. Yekutieli (2001), Annals of Statistics 29(4), 1165-1188.
    """
    raw = read_values(p_values, least_count=0)
    total = raw.size if looks_count is None else looks_count
    if total < raw.size or (raw < 0).any() or (raw > 1).any():
        raise InvalidInput(
            "statistics.p_values_invalid",
            "p-values are shares, and no fewer were looked at than are given.",
            count=int(raw.size),
            looks_count=total,
        )
    if method == "none" or raw.size == 0:
        return tuple(raw.tolist())
    order = np.argsort(raw, kind="stable")
    ranks = np.arange(1, raw.size + 1)
    if method == "holm":
        stepped = np.maximum.accumulate(raw[order] * (total - ranks + 1))
    else:
        factor = float(np.sum(1 / np.arange(1, total + 1))) if method == "benjamini_yekutieli" else 1.0
        rising = np.minimum(raw[order] * total * factor / ranks, 1.0)
        stepped = np.minimum.accumulate(rising[::-1])[::-1]
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(adjusted.tolist())
