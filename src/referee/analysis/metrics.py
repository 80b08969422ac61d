"""The analysis room's own numbers, at ``/-/metrics``."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from referee.foundation.metrics import REGISTRY

__all__ = ["ANALYSES", "COMPLETIONS_REFUSED", "CREATION_SECONDS", "TOOL_RUNS"]

TOOL_RUNS = Counter(
    "referee_analysis_tool_runs",
    "Tool runs recorded, by tool and outcome.",
    ("tool", "outcome"),
    registry=REGISTRY,
)
ANALYSES = Counter("referee_analysis_analyses", "Analyses ended, by state.", ("state",), registry=REGISTRY)
COMPLETIONS_REFUSED = Counter(
    "referee_analysis_completions_refused",
    "Ends of analyses that were refused: an artifact is broken, or something that belongs to it is missing.",
    registry=REGISTRY,
)
CREATION_SECONDS = Histogram(
    "referee_analysis_creation_seconds",
    "Time from a request to the acknowledged analysis, its source copied.",
    registry=REGISTRY,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
