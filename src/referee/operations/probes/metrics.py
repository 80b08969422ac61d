"""The numbers of probes at ``/-/metrics``."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from referee.foundation.metrics import REGISTRY

__all__ = ["PROBES", "PROBE_SECONDS"]

PROBES = Counter(
    "referee_operations_probes", "Probes that ended, by outcome.", ("probe", "outcome"), registry=REGISTRY
)
PROBE_SECONDS = Histogram(
    "referee_operations_probe_seconds",
    "Time of each step of probes that succeeded, and of the whole.",
    ("probe", "step"),
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
