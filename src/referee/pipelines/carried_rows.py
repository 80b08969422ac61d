"""Which rows go with a pipeline into an export, and how they are written there.

``rows.jsonl`` has a header with its schema, then one line for each row: ``{"table": …, "row": {column: value}}``,
in an order in which every row stands after those it refers to. Rows keep their ids, so that what manifests promise of
them holds wherever they are read again. Models are the exception: they are what the project knows them as by slug.

Carried with the analyses of the cells: those whose results they repeat from the cache. Not carried: jobs, leases,
decisions and keys, which belong to an installation.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps import list_record_artifacts
from referee.core.errors import IntegrityError
from referee.foundation.store import ArtifactStore

__all__ = [
    "CARRIED_TABLES",
    "FIRST_ROWS_SCHEMA_VERSION",
    "ROWS_NAME",
    "ROWS_SCHEMA",
    "ROWS_SCHEMA_VERSION",
    "CarriedTable",
    "Cone",
    "dump_header",
    "dump_row",
    "find_cone",
]

ROWS_NAME: Final = "rows.jsonl"
ROWS_SCHEMA: Final = "referee-pipeline-rows"
ROWS_SCHEMA_VERSION: Final = "1.1"
FIRST_ROWS_SCHEMA_VERSION: Final = "1.0"
"""Without models, and without what only the records of generations name: their traces."""


@dataclass(frozen=True, slots=True)
class CarriedTable:
    """A table whose rows are carried."""

    name: str
    key: tuple[str, ...]
    select: str
    """Condition on ``row``, and an order after it. Parameters are those of ``Cone``."""
    refers: Mapping[str, str] = field(default_factory=dict)
    """Column → table whose key it names; that row is carried too, or the column is null."""
    given: frozenset[str] = frozenset()
    """Columns that the database gives anew where the row is read again."""
    cleared: frozenset[str] = frozenset()
    """Columns that mean something only where they come from; null in the archive."""
    replaced: Mapping[str, str] = field(default_factory=dict)
    """Column → SQL expression instead of it."""
    is_shared: bool = False
    """Whether a row of this key may be there already, as of another source."""


_IN_ANALYSES: Final = "row.analysis_id = ANY(:analyses)"
_IN_RUNS: Final = (
    "row.tool_run_id IN (SELECT tool_run_id FROM tool_runs WHERE tool_runs.analysis_id = ANY(:analyses))"
)
_SEEN: Final = (
    "row.finding_id IN (SELECT finding_id FROM occurrences WHERE occurrences.analysis_id = ANY(:analyses))"
)
_SEEN_IN: Final = (
    "(SELECT analysis_id FROM occurrences JOIN analyses USING (analysis_id)"
    " WHERE occurrences.finding_id = row.finding_id AND occurrences.analysis_id = ANY(:analyses)"
    " ORDER BY sequence {way} LIMIT 1)"
)
_KEEP_OR_SEEN: Final = "CASE WHEN {column} = ANY(:analyses) THEN {column} ELSE " + _SEEN_IN + " END"

CARRIED_TABLES: Final = (
    CarriedTable(
        "artifacts",
        ("sha256",),
        "row.sha256 = ANY(:artifacts) ORDER BY row.sha256",
        is_shared=True,
    ),
    CarriedTable(
        "templates",
        ("template_id",),
        "row.template_id IN (SELECT template_id FROM analyses WHERE analysis_id = ANY(:analyses)"
        " UNION SELECT template_id FROM generations WHERE app_id = ANY(:apps)) ORDER BY row.created_at",
        refers={"sha256": "artifacts"},
    ),
    CarriedTable(
        "models",
        ("slug",),
        "row.project_id = :project_id AND row.slug IN ("
        "SELECT model FROM cells WHERE pipeline_id = :pipeline_id"
        " UNION SELECT model FROM generations WHERE app_id = ANY(:apps)) ORDER BY row.slug",
        is_shared=True,
    ),
    CarriedTable("apps", ("app_id",), "row.app_id = ANY(:apps) ORDER BY row.app_id"),
    CarriedTable(
        "generations",
        ("generation_id",),
        "row.app_id = ANY(:apps) AND row.finished_at IS NOT NULL ORDER BY row.app_id, row.version",
        refers={
            "app_id": "apps",
            "template_id": "templates",
            "source_sha256": "artifacts",
            "record_sha256": "artifacts",
        },
        cleared=frozenset({"job_id"}),
    ),
    CarriedTable(
        "subjects",
        ("subject_id",),
        "row.subject_id IN (SELECT subject_id FROM analyses WHERE analysis_id = ANY(:analyses))"
        " ORDER BY row.subject_id",
        refers={"app_id": "apps"},
    ),
    CarriedTable(
        "app_runs",
        ("app_run_id",),
        "row.app_run_id = ANY(:app_runs) ORDER BY row.created_at",
        refers={"app_id": "apps", "listing_sha256": "artifacts"},
        cleared=frozenset({"host_pid", "host_started", "network_json"}),
        replaced={"app_id": "CASE WHEN row.app_id = ANY(:apps) THEN row.app_id END"},
    ),
    CarriedTable(
        "analyses",
        ("analysis_id",),
        f"{_IN_ANALYSES} ORDER BY row.sequence",
        refers={"subject_id": "subjects", "listing_sha256": "artifacts", "template_id": "templates"},
        given=frozenset({"sequence"}),
        cleared=frozenset({"job_id", "idempotency_key"}),
    ),
    CarriedTable(
        "tool_runs",
        ("tool_run_id",),
        f"{_IN_ANALYSES} ORDER BY row.cached_from_tool_run_id IS NOT NULL, row.analysis_id, row.position",
        refers={
            "analysis_id": "analyses",
            "cached_from_tool_run_id": "tool_runs",
            "app_run_id": "app_runs",
            "sarif_sha256": "artifacts",
        },
        # A result that came from elsewhere answers no analysis of this installation.
        cleared=frozenset({"cache_key"}),
        replaced={"app_run_id": "CASE WHEN row.app_run_id = ANY(:app_runs) THEN row.app_run_id END"},
    ),
    CarriedTable(
        "tool_run_attempts",
        ("tool_run_id", "attempt"),
        f"{_IN_RUNS} ORDER BY row.tool_run_id, row.attempt",
        refers={"tool_run_id": "tool_runs"},
    ),
    CarriedTable(
        "rules",
        ("tool", "rule_id"),
        "EXISTS (SELECT 1 FROM occurrences JOIN tool_runs USING (tool_run_id) WHERE tool_runs.tool = row.tool"
        " AND occurrences.rule_id = row.rule_id AND tool_runs.analysis_id = ANY(:analyses))"
        " ORDER BY row.tool, row.rule_id",
        is_shared=True,
    ),
    CarriedTable(
        "clusters",
        ("cluster_id",),
        f"row.cluster_id IN (SELECT cluster_id FROM findings AS row WHERE {_SEEN})"  # noqa: S608 - our own words
        " ORDER BY row.cluster_id",
        refers={"subject_id": "subjects"},
    ),
    CarriedTable(
        "findings",
        ("finding_id",),
        f"{_SEEN} ORDER BY row.finding_id",
        refers={
            "subject_id": "subjects",
            "cluster_id": "clusters",
            "first_analysis_id": "analyses",
            "last_analysis_id": "analyses",
        },
        replaced={
            "first_analysis_id": _KEEP_OR_SEEN.format(column="row.first_analysis_id", way=""),
            "last_analysis_id": _KEEP_OR_SEEN.format(column="row.last_analysis_id", way="DESC"),
        },
    ),
    CarriedTable(
        "finding_events",
        ("sequence",),
        f"{_SEEN} ORDER BY row.sequence",
        refers={"finding_id": "findings", "analysis_id": "analyses"},
        given=frozenset({"sequence"}),
        replaced={"analysis_id": "CASE WHEN row.analysis_id = ANY(:analyses) THEN row.analysis_id END"},
    ),
    CarriedTable(
        "occurrences",
        ("tool_run_id", "ordinal"),
        f"{_IN_ANALYSES} ORDER BY row.tool_run_id, row.ordinal",
        refers={"tool_run_id": "tool_runs", "analysis_id": "analyses", "finding_id": "findings"},
    ),
    CarriedTable(
        "measurements",
        ("tool_run_id", "ordinal"),
        f"{_IN_ANALYSES} ORDER BY row.tool_run_id, row.ordinal",
        refers={"tool_run_id": "tool_runs", "analysis_id": "analyses"},
    ),
    CarriedTable(
        "manifests",
        ("analysis_id",),
        f"{_IN_ANALYSES} ORDER BY row.analysis_id",
        refers={"analysis_id": "analyses", "sha256": "artifacts"},
    ),
    CarriedTable(
        "manifest_entries",
        ("analysis_id", "name"),
        f"{_IN_ANALYSES} ORDER BY row.analysis_id, row.name",
        refers={"analysis_id": "manifests", "sha256": "artifacts"},
    ),
    CarriedTable(
        "pipelines",
        ("pipeline_id",),
        "row.pipeline_id = :pipeline_id",
        refers={"definition_sha256": "artifacts"},
        given=frozenset({"sequence"}),
        cleared=frozenset({"job_id", "idempotency_key"}),
    ),
    CarriedTable(
        "cells",
        ("cell_id",),
        "row.pipeline_id = :pipeline_id ORDER BY row.position, row.cell_id",
        refers={"pipeline_id": "pipelines", "app_id": "apps", "analysis_id": "analyses"},
        cleared=frozenset({"job_id"}),
    ),
    CarriedTable(
        "pipeline_events",
        ("event_id",),
        "row.pipeline_id = :pipeline_id ORDER BY row.event_id",
        refers={"pipeline_id": "pipelines", "cell_id": "cells"},
        given=frozenset({"event_id"}),
    ),
)
"""In the order in which their rows are written."""

# Text of JSON columns is searched for digests: what is no artifact does not match the table.
_ARTIFACTS_SQL: Final = """
WITH named AS (
    SELECT definition_sha256 AS sha256 FROM pipelines WHERE pipeline_id = :pipeline_id
    UNION SELECT listing_sha256 FROM analyses WHERE analysis_id = ANY(:analyses)
    UNION SELECT sarif_sha256 FROM tool_runs WHERE analysis_id = ANY(:analyses)
    UNION SELECT (regexp_matches(raw_json::text, '[0-9a-f]{64}', 'g'))[1]
            FROM tool_runs WHERE analysis_id = ANY(:analyses)
    UNION SELECT source_sha256 FROM occurrences WHERE analysis_id = ANY(:analyses)
    UNION SELECT sha256 FROM manifests WHERE analysis_id = ANY(:analyses)
    UNION SELECT sha256 FROM manifest_entries WHERE analysis_id = ANY(:analyses)
    UNION SELECT listing_sha256 FROM app_runs WHERE app_run_id = ANY(:app_runs)
    UNION SELECT (regexp_matches(logs_json::text, '[0-9a-f]{64}', 'g'))[1]
            FROM app_runs WHERE app_run_id = ANY(:app_runs)
    UNION SELECT source_sha256 FROM generations WHERE app_id = ANY(:apps)
    UNION SELECT record_sha256 FROM generations WHERE app_id = ANY(:apps)
    UNION SELECT (regexp_matches(calls_json::text, '[0-9a-f]{64}', 'g'))[1]
            FROM generations WHERE app_id = ANY(:apps)
    UNION SELECT unnest(CAST(:told AS text[]))
    UNION SELECT templates.sha256 FROM templates JOIN analyses USING (template_id) WHERE analysis_id = ANY(:analyses)
    UNION SELECT templates.sha256 FROM templates JOIN generations USING (template_id) WHERE app_id = ANY(:apps)
)
SELECT artifacts.sha256 FROM artifacts JOIN named USING (sha256) ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Cone:
    """Everything a pipeline rests on, as ids."""

    project_id: UUID
    pipeline_id: UUID
    analyses: list[UUID]
    """Ended ones of its cells, and those whose results they repeat."""
    apps: list[UUID]
    app_runs: list[UUID]
    artifacts: list[str]

    async def read_rows(self, session: AsyncSession, table: CarriedTable) -> AsyncIterator[dict[str, object]]:
        """Yield the rows of one table as JSON objects."""
        replaced = {**dict.fromkeys(table.cleared, "NULL"), **table.replaced}
        changes = "".join(
            f" || jsonb_build_object('{name}', {value})" for name, value in sorted(replaced.items())
        )
        removed = "".join(f" - '{name}'" for name in sorted(table.given))
        statement = text(
            f"SELECT to_jsonb(row){removed}{changes} FROM {table.name} AS row WHERE {table.select}"  # noqa: S608 - our words
        )
        parameters = {
            "project_id": self.project_id,
            "pipeline_id": self.pipeline_id,
            "analyses": self.analyses,
            "apps": self.apps,
            "app_runs": self.app_runs,
            "artifacts": self.artifacts,
        }
        used = {name: value for name, value in parameters.items() if f":{name}" in statement.text}
        result = await session.stream(statement, used)
        async for (row,) in result:
            yield row


async def find_cone(
    session: AsyncSession, artifacts: ArtifactStore, project_id: UUID, pipeline_id: UUID
) -> Cone:
    """Return what a pipeline of a project rests on. In a transaction that sees one state of everything.

    Raises:
        IntegrityError: The record of a generation is not what was written.
    """
    analyses = await _list_ids(
        session,
        """
        WITH RECURSIVE carried AS (
            SELECT analyses.analysis_id FROM cells JOIN analyses USING (analysis_id)
             WHERE cells.pipeline_id = :pipeline_id AND analyses.finished_at IS NOT NULL
            UNION
            SELECT origin.analysis_id FROM carried JOIN tool_runs AS repeated USING (analysis_id)
              JOIN tool_runs AS origin ON origin.tool_run_id = repeated.cached_from_tool_run_id
        )
        SELECT analysis_id FROM carried
        """,
        pipeline_id=pipeline_id,
    )
    apps = await _list_ids(
        session,
        """
        SELECT app_id FROM cells WHERE pipeline_id = :pipeline_id AND app_id IS NOT NULL
        UNION SELECT app_id FROM subjects JOIN analyses USING (subject_id)
               WHERE analysis_id = ANY(:analyses) AND app_id IS NOT NULL
        """,
        pipeline_id=pipeline_id,
        analyses=analyses,
    )
    app_runs = await _list_ids(
        session,
        """
        SELECT app_run_id FROM app_runs
         WHERE project_id = :project_id AND finished_at IS NOT NULL AND (
               source_digest IN (SELECT source_digest FROM analyses WHERE analysis_id = ANY(:analyses))
            OR app_run_id IN (SELECT app_run_id FROM tool_runs WHERE analysis_id = ANY(:analyses)))
        """,
        project_id=project_id,
        analyses=analyses,
    )
    parameters = {
        "pipeline_id": pipeline_id,
        "analyses": analyses,
        "apps": apps,
        "app_runs": app_runs,
        "told": await _read_records(session, artifacts, apps),
    }
    found = [sha256 for (sha256,) in await session.execute(text(_ARTIFACTS_SQL), parameters)]
    return Cone(project_id, pipeline_id, analyses, apps, app_runs, found)


async def _read_records(session: AsyncSession, artifacts: ArtifactStore, apps: list[UUID]) -> list[str]:
    """Return the digests that the records of generations name; no column has those of their traces."""
    records = await session.scalars(
        text(
            "SELECT DISTINCT record_sha256 FROM generations"
            " WHERE app_id = ANY(:apps) AND finished_at IS NOT NULL AND record_sha256 IS NOT NULL"
        ),
        {"apps": apps},
    )
    told: set[str] = set()
    for sha256 in records.all():
        try:
            told.update(list_record_artifacts(json.loads(await artifacts.read_bytes(sha256))))
        except ValueError as error:
            raise IntegrityError(
                "export.record_unreadable",
                f"The record {sha256} of a generation cannot be read: {error}.",
                "Look at `referee verify`.",
            ) from error
    return sorted(told)


async def _list_ids(session: AsyncSession, statement: str, **parameters: object) -> list[UUID]:
    return [row_id for (row_id,) in await session.execute(text(statement), parameters)]


def dump_header() -> bytes:
    """Return the first line of the file of rows."""
    return _dump_line({"schema": ROWS_SCHEMA, "schema_version": ROWS_SCHEMA_VERSION})


def dump_row(table: CarriedTable, row: Mapping[str, object]) -> bytes:
    """Return the line of one row."""
    return _dump_line({"table": table.name, "row": row})


def _dump_line(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
