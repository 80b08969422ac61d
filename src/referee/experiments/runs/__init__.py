"""Runs of experiments: what was run over which cases, what came out, and what changed between two runs. The door.

Names are loaded when first asked for: NumPy and SciPy wait until somebody compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.experiments.runs.comparing import RunComparison, compute_comparison
    from referee.experiments.runs.definitions import MetricDefinition
    from referee.experiments.runs.matching import matches_filters
    from referee.experiments.runs.queries import get_run, list_runs
    from referee.experiments.runs.results import RunResult, compute_result
    from referee.experiments.runs.schemas import EventsSchema, read_events_schema
    from referee.experiments.runs.views import Run

__all__ = [
    "EventsSchema",
    "MetricDefinition",
    "Run",
    "RunComparison",
    "RunResult",
    "compute_comparison",
    "compute_result",
    "get_run",
    "list_runs",
    "matches_filters",
    "read_events_schema",
]

__getattr__ = open_door(
    __name__,
    {
        "comparing": ("RunComparison", "compute_comparison"),
        "definitions": ("MetricDefinition",),
        "matching": ("matches_filters",),
        "queries": ("get_run", "list_runs"),
        "results": ("RunResult", "compute_result"),
        "schemas": ("EventsSchema", "read_events_schema"),
        "views": ("Run",),
    },
)
