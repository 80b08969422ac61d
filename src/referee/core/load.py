"""How an address of an app answered under load, whichever tool made the load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from referee.core.addresses import Address

__all__ = ["LoadProfile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProfile:
    """One address under one load. Requests of the warm-up are in none of the numbers."""

    address: Address
    requests_count: int
    failures_count: int
    """Requests without an answer in time, or with a status that the tool counts as a failure."""
    duration_s: float
    requests_per_s: float
    concurrency_count: int
    """Requests or users at the same time."""
    latency_ms: Mapping[str, float]
    """Milliseconds by name: ``min mean p50 p75 p90 p95 p99 max``. Empty when nothing was answered."""
    histogram: tuple[tuple[float, int], ...] = ()
    """(upper edge in milliseconds, requests in the bin), by edge; at most 100 bins."""
    per_second: tuple[tuple[float, int, int], ...] = ()
    """(seconds since the start, requests ended in that second, failures among them); at most 600."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """Answers by status code."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Failures without an answer by kind, such as ``timeout`` or ``connection_refused``."""
    generator_cpu_share: float | None = None
    """Share of one core that the generator used; None when it cannot be known."""
    is_saturated: bool = False
    """Whether the generator itself was the limit, so that the numbers say nothing about the app's."""
