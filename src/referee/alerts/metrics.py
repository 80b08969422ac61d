"""The alerts room's own numbers, at ``/-/metrics``."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from referee.foundation.metrics import REGISTRY

__all__ = ["DELIVERIES", "DISK_FREE", "EVALUATIONS", "EVALUATION_SECONDS"]

EVALUATIONS = Counter(
    "referee_alerts_evaluations",
    "Evaluations of rules, by what they came to.",
    ("outcome",),
    registry=REGISTRY,
)
EVALUATION_SECONDS = Histogram(
    "referee_alerts_evaluation_seconds",
    "Time to read one rule's windows; rules that share one are read together.",
    registry=REGISTRY,
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
DELIVERIES = Counter(
    "referee_alerts_deliveries",
    "Attempts to tell, by kind of channel and result.",
    ("kind", "result"),
    registry=REGISTRY,
)
DISK_FREE = Gauge(
    "referee_alerts_disk_free_share", "Share of the home's disk that is free, 0 to 1.", registry=REGISTRY
)
