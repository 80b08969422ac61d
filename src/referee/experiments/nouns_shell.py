"""What datasets, configurations and metrics register in the app shell: pages, side bar and "Jump to"."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from referee.core.errors import RefereeError
from referee.experiments.charts.pages import create_charts_pages
from referee.experiments.configurations.pages import create_configurations_pages
from referee.experiments.configurations.service import count_configurations
from referee.experiments.datasets.pages import create_datasets_pages
from referee.experiments.datasets.queries import DATASET_FIELDS, count_datasets, list_datasets
from referee.experiments.keeping_pages import create_keeping_pages
from referee.experiments.metrics.pages import create_metrics_pages
from referee.experiments.metrics.queries import count_metrics
from referee.experiments.queues.pages import create_queues_pages
from referee.experiments.queues.service import count_queues
from referee.experiments.room import GetRoom
from referee.foundation.access import Principal
from referee.foundation.web.filters import parse_filter
from referee.foundation.web.navigation import JumpHit, NavigationEntry
from referee.foundation.web.shell import Shell

__all__ = ["create_nouns_pages", "register_nouns_in_shell"]


def create_nouns_pages(room: GetRoom) -> Sequence[APIRouter]:
    """Return the pages of datasets, configurations and metrics."""
    return (
        create_datasets_pages(room),
        create_configurations_pages(room),
        create_metrics_pages(room),
        create_charts_pages(room),
        create_queues_pages(room),
        create_keeping_pages(room),
    )


def register_nouns_in_shell(shell: Shell, room: GetRoom) -> None:
    """Register templates, entries of the side bar, and what "Jump to" finds."""

    async def count_of_datasets(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await count_datasets(session, principal.project_id)

    async def count_of_configurations(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await count_configurations(session, principal.project_id)

    async def count_of_metrics(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await count_metrics(session, principal.project_id)

    async def count_of_queues(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await count_queues(session, principal.project_id)

    async def find_datasets(principal: Principal, text: str, limit: int) -> Sequence[JumpHit]:
        try:
            where = parse_filter(f'"{text}"', DATASET_FIELDS)
        except RefereeError:
            return []
        async with room().database.reading() as session:
            page = await list_datasets(session, principal.project_id, where=where, limit=limit)
        return [
            JumpHit(
                one.name, f"/ui/datasets/{one.dataset_id}", "dataset", f"{one.datapoints_count:,} datapoints"
            )
            for one in page.items
        ]

    shell.register_templates("referee.experiments")
    for package in ("datasets", "configurations", "metrics", "charts", "queues", "evaluators"):
        shell.register_templates(f"referee.experiments.{package}")
    shell.navigation.register(
        NavigationEntry(
            "Observe",
            "Datasets",
            "/ui/datasets",
            "database",
            30,
            count_of_datasets,
            "d",
            covers=("/ui/datapoints",),
        ),
        NavigationEntry(
            "Observe", "Configurations", "/ui/configurations", "settings", 50, count_of_configurations
        ),
        NavigationEntry("Observe", "Metrics", "/ui/metrics", "gauge", 60, count_of_metrics),
        NavigationEntry("Observe", "Charts", "/ui/charts", "activity", 70),
        NavigationEntry("Observe", "Queues", "/ui/queues", "list", 80, count_of_queues),
    )
    shell.navigation.register_jump(find_datasets)
