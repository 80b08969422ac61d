"""How far two rankings agree, as a value. It stands apart: who only shows one loads no NumPy."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RankAgreement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankAgreement:
    """How far two weightings rank alike."""

    first: str
    second: str
    tau: float | None
    """Kendall's τ-b, -1 to 1; None when one of them ranks all alike."""
