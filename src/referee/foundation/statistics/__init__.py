"""Pure functions over numbers: shares with their intervals, agreement of two raters. This is the door."""

from __future__ import annotations

from referee.foundation.statistics.agreement import (
    BinaryAgreement,
    Confusion,
    compute_agreement,
    compute_cohen_kappa,
)
from referee.foundation.statistics.intervals import Interval, compute_share_interval

__all__ = [
    "BinaryAgreement",
    "Confusion",
    "Interval",
    "compute_agreement",
    "compute_cohen_kappa",
    "compute_share_interval",
]
