"""The time between two instants in the one form."""

from __future__ import annotations

from datetime import datetime

__all__ = ["lag_ms"]


def lag_ms(source: str, processed: str) -> float:
    """Return milliseconds from one instant to another, as ``parse_instant`` writes them."""
    return (datetime.fromisoformat(processed) - datetime.fromisoformat(source)).total_seconds() * 1_000
