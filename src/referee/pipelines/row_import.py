"""Puts the carried rows of an archive into the database: each at most once, none into what belongs to others.

A row may refer only to rows of the same archive, and gets the project it is imported into. A row that is there already
stays as it is, and has to belong to the same things; where it does not, the import ends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps import make_model_slug
from referee.core.errors import Conflict, DamagedInput
from referee.core.ids import new_id
from referee.foundation.store import Base
from referee.pipelines.archive_reading import UnknownSchema, check_schema
from referee.pipelines.carried_rows import (
    CARRIED_TABLES,
    FIRST_ROWS_SCHEMA_VERSION,
    ROWS_NAME,
    ROWS_SCHEMA,
    ROWS_SCHEMA_VERSION,
    CarriedTable,
)

__all__ = ["ImportedRows", "RowImport", "check_rows_header"]

_TABLES: Final = {table.name: table for table in CARRIED_TABLES}
_ORDER: Final = {table.name: place for place, table in enumerate(CARRIED_TABLES)}
_OWNERS: Final = (
    "project_id",
    "pipeline_id",
    "app_id",
    "subject_id",
    "analysis_id",
    "tool_run_id",
    "finding_id",
)
"""Columns that say what a row belongs to; the rest of a row that is there may have changed since."""
_ENDED: Final = frozenset({"completed", "partially_completed", "failed", "cancelled"})
_RESULTS_PATH: Final = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*/task_[0-9a-f]{32}"
)
MAX_MODEL_CHARACTERS: Final = 200
"""As for lists of models."""
_SAFE_URL: Final = re.compile(r"https?://", re.IGNORECASE)


def check_rows_header(header: object) -> bool:
    """Refuse rows of an unknown schema.

    Returns:
        Whether all that records of generations name is carried too, as it is since version 1.1.

    Raises:
        UnknownSchema: They are.
    """
    version = header.get("schema_version") if isinstance(header, dict) else None
    if version == FIRST_ROWS_SCHEMA_VERSION:
        check_schema(header, ROWS_NAME, {ROWS_SCHEMA: FIRST_ROWS_SCHEMA_VERSION})
        return False
    check_schema(header, ROWS_NAME, {ROWS_SCHEMA: ROWS_SCHEMA_VERSION})
    return True


@dataclass(slots=True)
class ImportedRows:
    """What came in, as far as the rest of an import needs it."""

    pipeline_id: UUID | None = None
    rows_count: int = 0
    """Of the archive, those among them that were here already."""
    analysis_states: dict[str, str] = field(default_factory=dict)
    """Id → state at its end, of the analyses that were not here."""
    results_paths: dict[str, str] = field(default_factory=dict)
    """Id → folder of the result files, of the same."""
    result_files: dict[str, dict[str, str]] = field(default_factory=dict)
    """Id of an analysis → name of a result file → its digest."""
    listings: dict[str, str] = field(default_factory=dict)
    """Id of an analysis → digest of its source listing."""
    manifests: list[str] = field(default_factory=list)
    """Digests of manifests."""
    generations: list[dict[str, Any]] = field(default_factory=list)
    """Rows of generations that have a record."""


@dataclass(slots=True)
class RowImport:
    """One import of rows, inside one transaction.

    Args:
        session: In a transaction.
        project_id: Whose the rows become.
        key: Idempotency key of the pipeline.
        digest: Of the archive.
        find_app_path: Folder of an app here, by its id.
    """

    session: AsyncSession
    project_id: UUID
    key: str
    digest: str
    find_app_path: Callable[[str], str]
    imported: ImportedRows = field(default_factory=ImportedRows)
    _keys: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in _TABLES})
    _columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _templates: dict[str, str] = field(default_factory=dict)
    """Id in the archive → id of the same template here."""
    _ends: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Id of an analysis → its state and its folder of result files."""
    _new_findings: set[str] = field(default_factory=set)
    _place: int = 0

    async def take(self, lines: Iterable[Any]) -> None:
        """Take the next lines of the file of rows, which are of any tables in their order.

        Raises:
            UnknownSchema: A table or column is not known here.
            DamagedInput: A line is no row, out of order, or refers to what is not in the archive.
            Conflict: Something is here already as another one's.
        """
        groups: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            table, row = self._read_line(line)
            groups.setdefault(table.name, []).append(row)
            self.imported.rows_count += 1
        for name, rows in groups.items():
            await self._insert(_TABLES[name], rows)

    def has_artifact(self, sha256: str) -> bool:
        """Whether an artifact is among the rows."""
        return sha256 in self._keys["artifacts"]

    async def finish(self) -> UUID:
        """Give the analyses the states they ended in; the database asks for their manifests now.

        Returns:
            The pipeline.

        Raises:
            DamagedInput: There was no pipeline among the rows.
        """
        states = self.imported.analysis_states
        for state in sorted(set(states.values())):
            await self.session.execute(
                text("UPDATE analyses SET state = :state WHERE analysis_id = ANY(CAST(:ids AS uuid[]))"),
                {"state": state, "ids": [one for one, ended in states.items() if ended == state]},
            )
        if self.imported.pipeline_id is None:
            raise DamagedInput("import.incomplete", f"{ROWS_NAME} has no pipeline.", "Export it again.")
        return self.imported.pipeline_id

    def _read_line(self, line: Any) -> tuple[CarriedTable, dict[str, Any]]:
        name = line.get("table") if isinstance(line, dict) else None
        row = line.get("row") if isinstance(line, dict) else None
        if not isinstance(name, str) or not isinstance(row, dict):
            raise _broken("a line is no row")
        table = _TABLES.get(name)
        if table is None:
            raise UnknownSchema(ROWS_NAME, f"it has rows of {name[:60]!r}")
        if _ORDER[name] < self._place:
            raise _broken(f"rows of {name} stand after those that refer to them")
        self._place = _ORDER[name]
        row = {column: value for column, value in row.items() if column not in table.given}
        self._check_columns(table, row)
        row.update(dict.fromkeys(table.cleared & row.keys()))
        self._check_references(table, row)
        if not table.given & set(table.key):
            self._keys[name].add("\0".join(str(row.get(column)) for column in table.key))
        return table, row

    def _check_columns(self, table: CarriedTable, row: Mapping[str, Any]) -> None:
        columns = self._columns.get(table.name)
        if columns is None:
            known = Base.metadata.tables[table.name].columns
            unknown = sorted(row.keys() - set(known.keys()))
            if unknown:
                raise UnknownSchema(ROWS_NAME, f"{table.name} has a column {unknown[0][:60]!r}")
            columns = self._columns[table.name] = tuple(sorted(row))
        if columns != tuple(sorted(row)):
            raise _broken(f"two rows of {table.name} have other columns than each other")

    def _check_references(self, table: CarriedTable, row: Mapping[str, Any]) -> None:
        for column, other in table.refers.items():
            value = row.get(column)
            if value is not None and str(value) not in self._keys[other]:
                raise _broken(f"a row of {table.name} refers to one of {other} that is not in the archive")

    async def _insert(self, table: CarriedTable, rows: list[dict[str, Any]]) -> None:
        if table.name == "templates":
            rows = await self._map_templates(rows)
        rows = [kept for row in rows if (kept := self._adapt(table, row)) is not None]
        if not rows:
            return
        columns = ", ".join(f'"{column}"' for column in self._columns[table.name])
        sent = json.dumps(rows)
        returned = "" if table.given & set(table.key) else f" RETURNING {table.key[0]}::text"
        inserted = await self.session.execute(
            text(
                f"INSERT INTO {table.name} ({columns}) SELECT {columns}"  # noqa: S608 - names of our own tables
                f" FROM jsonb_populate_recordset(CAST(NULL AS {table.name}), CAST(:rows AS jsonb))"
                f" ON CONFLICT DO NOTHING{returned}"
            ),
            {"rows": sent},
        )
        if returned:
            self._note(table, rows, {value for (value,) in inserted})
            if not table.is_shared:
                await self._check_owners(table, sent)

    async def _check_owners(self, table: CarriedTable, sent: str) -> None:
        """Refuse rows that are here already as another one's, or that another row keeps out."""
        owners = [column for column in _OWNERS if column in self._columns[table.name]]
        columns = list(dict.fromkeys([*table.key, *owners]))
        kept = ", ".join(f"kept.{column}" for column in columns)
        given = ", ".join(f"sent.{column}" for column in columns)
        same = " AND ".join(f"kept.{column} = sent.{column}" for column in table.key)
        others = await self.session.scalar(
            text(
                f"SELECT count(*) FROM jsonb_populate_recordset(CAST(NULL AS {table.name}), CAST(:rows AS jsonb))"  # noqa: S608
                f" AS sent LEFT JOIN {table.name} AS kept ON {same}"
                f" WHERE ROW({kept}) IS DISTINCT FROM ROW({given})"
            ),
            {"rows": sent},
        )
        if others:
            raise _taken(table.name)

    async def _map_templates(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Note which templates the project has already, and return the others."""
        found = await self.session.execute(
            text(
                "SELECT sha256, template_id::text FROM templates"
                " WHERE project_id = :project_id AND sha256 = ANY(:digests)"
            ),
            {"project_id": self.project_id, "digests": [row["sha256"] for row in rows]},
        )
        known = {sha256: template_id for sha256, template_id in found}
        self._templates.update(
            {str(row["template_id"]): known[row["sha256"]] for row in rows if row["sha256"] in known}
        )
        return [row for row in rows if row["sha256"] not in known]

    def _adapt(self, table: CarriedTable, row: dict[str, Any]) -> dict[str, Any] | None:
        """Return a row as it is put in here; None for one that is left out."""
        if "project_id" in row:
            row["project_id"] = str(self.project_id)
        if table.name != "templates" and row.get("template_id") is not None:
            row["template_id"] = self._templates.get(str(row["template_id"]), row["template_id"])
        if table.name == "apps":
            row["path"] = self.find_app_path(str(row["app_id"]))
        elif table.name == "subjects":
            if row.get("app_id") is None:
                raise _broken("an analysis judges something else than an app")
            row["path"] = self.find_app_path(str(row["app_id"]))
        elif table.name in ("rules", "occurrences") and not _SAFE_URL.match(str(row.get("help_url") or "")):
            row["help_url"] = None
        elif table.name == "models":
            _check_model(row)
            row["model_id"] = str(new_id())
        elif table.name == "analyses":
            self._adapt_analysis(row)
        elif table.name == "pipelines":
            self._adapt_pipeline(row)
        elif table.name == "finding_events" and str(row["finding_id"]) not in self._new_findings:
            return None  # its events are here since it is
        return row

    def _adapt_analysis(self, row: dict[str, Any]) -> None:
        """Keep its state for the end: the database takes an ended one only after all that belongs to it."""
        analysis_id, state, folder = str(UUID(str(row["analysis_id"]))), row["state"], row["results_path"]
        if state not in _ENDED:
            raise _broken("an analysis has not ended")
        if folder is not None and not (
            isinstance(folder, str)
            and _RESULTS_PATH.fullmatch(folder)
            and folder.endswith(f"/task_{UUID(analysis_id).hex}")
        ):
            raise _broken("the result files of an analysis would lie elsewhere than its own folder")
        self._ends[analysis_id] = (state, folder)
        row["state"] = "queued"

    def _adapt_pipeline(self, row: dict[str, Any]) -> None:
        if self.imported.pipeline_id is not None:
            raise _broken("there are two pipelines")
        if row.get("state") not in _ENDED:
            raise Conflict(
                "import.not_ended",
                f"The pipeline was {str(row.get('state'))[:40].replace('_', ' ')} when it was exported.",
                "Export it again when it has ended.",
            )
        self.imported.pipeline_id = UUID(str(row["pipeline_id"]))
        row["idempotency_key"], row["request_digest"] = self.key, self.digest

    def _note(self, table: CarriedTable, rows: Sequence[Mapping[str, Any]], new: set[str]) -> None:
        imported = self.imported
        if table.name == "pipelines" and not new:
            raise _taken(table.name)
        if table.name == "findings":
            self._new_findings |= new
        elif table.name == "generations":
            imported.generations += [dict(row) for row in rows if row["record_sha256"] is not None]
        elif table.name == "manifests":
            imported.manifests += [str(row["sha256"]) for row in rows]
        elif table.name == "analyses":
            for analysis_id in new:
                imported.analysis_states[analysis_id], folder = self._ends[analysis_id]
                if folder is not None:
                    imported.results_paths[analysis_id] = folder
            imported.listings.update({str(row["analysis_id"]): str(row["listing_sha256"]) for row in rows})
        elif table.name == "manifest_entries":
            for row in rows:
                if str(row["name"]).startswith("files/"):
                    files = imported.result_files.setdefault(str(row["analysis_id"]), {})
                    files[str(row["name"]).removeprefix("files/")] = str(row["sha256"])


def _check_model(row: Mapping[str, Any]) -> None:
    """Refuse a model that a list of models could not have brought: its slug becomes the name of a folder."""
    slug, prices = row["slug"], (row["input_usd_per_mtok"], row["output_usd_per_mtok"])
    texts = (slug, row["name"], row["provider"], row["model_name"], row["source"])
    if not all(
        isinstance(one, str) and one.isprintable() and len(one) <= MAX_MODEL_CHARACTERS for one in texts
    ):
        raise _broken("a model has a name that is none")
    if not slug or make_model_slug(slug) != slug:
        raise _broken("the slug of a model cannot be a folder's name")
    if not all(one is None or (isinstance(one, int | float) and isfinite(one)) for one in prices):
        raise _broken("a price of a model is no number")


def _broken(what: str) -> DamagedInput:
    return DamagedInput(
        "import.rows_broken", f"{ROWS_NAME} cannot be read: {what}.", "Export the pipeline again."
    )


def _taken(table: str) -> Conflict:
    if table == "pipelines":
        return Conflict(
            "import.pipeline_exists",
            "The pipeline of this file is here already.",
            "Find it with `referee pipeline list`.",
        )
    what = "An app of the same model and number" if table == "apps" else f"A row of {table}"
    return Conflict(
        "import.taken",
        f"{what} is here already, and belongs to something else.",
        "Import the file into a project without it, or look at it in the project that has it.",
    )
