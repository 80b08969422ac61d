"""Time as an argument: instants are aware UTC, durations come from the monotonic clock.

Services take a ``Clock`` so that a test can move time without patching. The
database keeps its own clock for leases; this one never decides who owns a job.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """Tells the instant and measures durations."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Return nanoseconds of a clock that never jumps. Only differences mean anything."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        """Return the machine's monotonic nanoseconds."""
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when told to. For tests and simulations."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._monotonic_ns = 0

    def now(self) -> datetime:
        """Return the instant it was set to."""
        return self._now

    def monotonic_ns(self) -> int:
        """Return the nanoseconds it was advanced by."""
        return self._monotonic_ns

    def advance(self, by: timedelta) -> None:
        """Move both clocks forward."""
        self._now += by
        self._monotonic_ns += int(by.total_seconds() * 1_000_000_000)
