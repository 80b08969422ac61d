"""Datasets and datapoints as tables of a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from referee.core.findings import JsonValue
from referee.core.pages import Page
from referee.experiments.datasets.queries import DATAPOINT_FIELDS, DATASET_FIELDS
from referee.experiments.datasets.views import Datapoint, Dataset, DatasetVersion
from referee.foundation.web.formats import truncate_text
from referee.foundation.web.lists import Column, EmptyState, ListQuery, ListView, Row

__all__ = [
    "VERSION_COLUMNS",
    "build_datapoint_list",
    "build_dataset_list",
    "build_parts",
    "build_version_rows",
]

MAX_LINKS_COUNT: Final = 50
MAX_PART_CHARACTERS: Final = 60_000
"""Of one part of a datapoint on its page; the JSON has all."""
_SHOWN_CHARACTERS: Final = 160
_DATASET_COLUMNS: Final = (
    Column("name", "Name", is_title=True),
    Column("description", "Description", is_optional=True),
    Column("datapoints", "Datapoints", "count"),
    Column("version", "Version", "count"),
    Column("updated", "Changed", "time"),
)
_DATAPOINT_COLUMNS: Final = (
    Column("inputs", "Inputs", is_title=True),
    Column("truth", "Ground truth"),
    Column("history", "Messages before", "count", is_optional=True),
    Column("revision", "Revision", "count", is_optional=True),
    Column("updated", "Changed", "time"),
)
VERSION_COLUMNS: Final = (
    Column("version", "Version", is_title=True),
    Column("change", "What changed"),
    Column("datapoints", "Datapoints", "count"),
    Column("created", "Made", "time"),
)
_NO_DATASETS: Final = EmptyState(
    "No datasets yet",
    "A dataset holds the cases that an agent is tried on, each with its inputs and what should come out.",
    "referee dataset create NAME",
)
_NO_DATAPOINTS: Final = EmptyState(
    "No datapoints yet",
    "A datapoint is one case. Import a file here, or add rows or events from a client.",
    "referee dataset import DATASET cases.csv",
)


def build_dataset_list(query: ListQuery, page: Page[Dataset]) -> ListView:
    """Return the list page of datasets."""
    return ListView(
        title="Datasets",
        noun="datasets",
        query=query,
        columns=_DATASET_COLUMNS,
        rows=[
            Row(
                row_id=f"dataset-{one.dataset_id}",
                url=f"/ui/datasets/{one.dataset_id}",
                cells={
                    "name": one.name,
                    "description": truncate_text(one.description or "", _SHOWN_CHARACTERS),
                    "datapoints": one.datapoints_count,
                    "version": one.version,
                    "updated": one.updated_at,
                },
            )
            for one in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_DATASETS,
        twin_url="/v1/datasets",
        fields=DATASET_FIELDS,
        caption="Datasets, newest first",
    )


def build_datapoint_list(query: ListQuery, page: Page[Datapoint], dataset: Dataset) -> ListView:
    """Return the table of a dataset's datapoints."""
    return ListView(
        title=dataset.name,
        noun="datapoints",
        query=query,
        columns=_DATAPOINT_COLUMNS,
        rows=[
            Row(
                row_id=f"datapoint-{one.datapoint_id}",
                url=f"/ui/datapoints/{one.datapoint_id}",
                cells={
                    "inputs": _say(one.content.inputs),
                    "truth": _say(one.content.ground_truth),
                    "history": len(one.content.history),
                    "revision": one.revision,
                    "updated": one.updated_at,
                },
            )
            for one in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_DATAPOINTS,
        fields=DATAPOINT_FIELDS,
        caption="Datapoints in their order",
    )


def build_version_rows(dataset: Dataset, versions: Sequence[DatasetVersion]) -> list[Row]:
    """Return the rows of a dataset's versions."""
    return [
        Row(
            row_id=f"version-{one.version}",
            url=f"/ui/datasets/{dataset.dataset_id}?version={one.version}",
            cells={
                "version": f"Version {one.version}",
                "change": one.change,
                "datapoints": one.datapoints_count,
                "created": one.created_at,
            },
        )
        for one in versions
    ]


def build_parts(datapoint: Datapoint) -> list[tuple[str, str, bool]]:
    """Return a datapoint's parts that say something: title, JSON and whether it was cut."""
    content = datapoint.content
    parts: list[tuple[str, JsonValue]] = [
        ("Inputs", content.inputs),
        ("Ground truth", content.ground_truth),
        ("Messages before", content.history),
        ("Metadata", content.metadata),
    ]
    texts = [
        (title, json.dumps(value, indent=2, ensure_ascii=False))
        for title, value in parts
        if value or title == "Inputs"
    ]
    return [(title, text[:MAX_PART_CHARACTERS], len(text) > MAX_PART_CHARACTERS) for title, text in texts]


def _say(value: JsonValue) -> str:
    if value is None:
        return "none"
    return truncate_text(json.dumps(value, ensure_ascii=False), _SHOWN_CHARACTERS)
