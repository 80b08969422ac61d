"""The routes of this room's nouns, in the order in which they are looked at."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from referee.experiments.charts.api import create_charts_api
from referee.experiments.configurations.api import create_configurations_api
from referee.experiments.configurations.function_tools_api import create_function_tools_api
from referee.experiments.datasets.api import create_datasets_api
from referee.experiments.datasets.datapoints_api import create_datapoints_api
from referee.experiments.datasets.files_api import create_files_api
from referee.experiments.metrics.api import create_metrics_api
from referee.experiments.queues.api import create_queues_api
from referee.experiments.queues.items_api import create_queue_items_api
from referee.experiments.room import GetRoom

__all__ = ["create_nouns_api"]


def create_nouns_api(room: GetRoom) -> Sequence[APIRouter]:
    """Return the routers of datasets, datapoints, configurations, metrics, charts and queues."""
    return (
        create_datasets_api(room),
        create_datapoints_api(room),
        create_files_api(room),
        create_configurations_api(room),
        create_function_tools_api(room),
        create_metrics_api(room),
        create_charts_api(room),
        create_queues_api(room),
        create_queue_items_api(room),
    )
