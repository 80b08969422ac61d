"""Experiments: datasets, configurations, metrics, charts, queues, and runs over them. This is the door.

Names are loaded when first asked for: the command line mounts this room's commands.
Server-side evaluators have a door of their own, ``referee.experiments.evaluators``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.experiments.datasets.queries import (
        get_dataset,
        list_dataset_datapoints,
        list_datasets,
    )
    from referee.experiments.datasets.views import Datapoint, Dataset
    from referee.experiments.room import ExperimentsRoom
    from referee.experiments.runs.queries import count_runs, get_run, list_runs
    from referee.experiments.runs.service import compare_runs, read_outcome, read_pair
    from referee.experiments.runs.views import Run

__all__ = [
    "Datapoint",
    "Dataset",
    "ExperimentsRoom",
    "Run",
    "compare_runs",
    "count_runs",
    "get_dataset",
    "get_run",
    "list_dataset_datapoints",
    "list_datasets",
    "list_runs",
    "read_outcome",
    "read_pair",
]

__getattr__ = open_door(
    __name__,
    {
        "datasets.queries": ("get_dataset", "list_dataset_datapoints", "list_datasets"),
        "datasets.views": ("Datapoint", "Dataset"),
        "room": ("ExperimentsRoom",),
        "runs.queries": ("count_runs", "get_run", "list_runs"),
        "runs.service": ("compare_runs", "read_outcome", "read_pair"),
        "runs.views": ("Run",),
    },
)
