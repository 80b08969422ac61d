"""Takes an exported pipeline in: everything of it, or nothing that anybody sees.

::

    file ─ rules of archives ─ schemas ─ one transaction: artifacts ─ rows ─ result files and sources into place
         ─ every analysis against its manifest, the counts against those exported ─ commit

The same file is the same pipeline: its digest is the idempotency key. What has a schema that this release does not
know is put aside in ``quarantine`` in the home, with the reason beside it, and nothing of it is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import select, text
from sqlalchemy.exc import DataError
from sqlalchemy.exc import IntegrityError as DatabaseIntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import check_analysis, count_reported_findings
from referee.apps import list_record_artifacts
from referee.core.errors import (
    DamagedInput,
    InvalidInput,
    PayloadTooLarge,
)
from referee.foundation.web.live import publish
from referee.pipelines.archive_reading import ArchiveReader, UnknownSchema, check_name, check_schema
from referee.pipelines.carried_rows import ROWS_NAME
from referee.pipelines.exporting import EXPORT_SCHEMA, EXPORT_SCHEMA_VERSION, read_entry_name
from referee.pipelines.import_files import put_aside, write_folder
from referee.pipelines.queries import count_cells, get_pipeline
from referee.pipelines.room import PipelinesRoom
from referee.pipelines.row_import import ImportedRows, RowImport, check_rows_header
from referee.pipelines.service import note_event
from referee.pipelines.tables import CellRow, PipelineRow
from referee.pipelines.views import Pipeline

__all__ = ["ImportedPipeline", "import_pipeline"]

KNOWN_SCHEMAS: Final = {
    "referee-analysis": "1.0",
    "referee-analysis-manifest": "1.0",
    "referee-analysis-service": "1.0",
    "referee-manifest": "1.0",
    "referee-source-listing": "1.0",
}
_RECORD_SCHEMAS: Final = {"referee-generation": "1.0"}
_RECORDED: Final = ("generation_id", "app_id", "version", "state", "traceparent")
"""What a generation and its record both say."""
_LINES_AT_ONCE: Final = 500
_SOURCES: Final = "generated/apps/"

_MISFITS: Final = (
    AssertionError, AttributeError, KeyError, TypeError, ValueError, DataError, DatabaseIntegrityError,
)  # fmt: skip
"""What a value of another kind than ours leads to, here or in the database."""

log = structlog.get_logger("referee.pipelines")


@dataclass(frozen=True, slots=True)
class ImportedPipeline:
    """What an import came to."""

    pipeline: Pipeline
    is_new: bool
    """False when the same file was imported before."""


async def import_pipeline(room: PipelinesRoom, project_id: UUID, path: Path) -> ImportedPipeline:
    """Take in the pipeline of a file that ``referee pipeline export`` wrote.

    Args:
        room: The room.
        project_id: Whose it becomes.
        path: The file.

    Raises:
        InvalidInput: It is no exported pipeline, breaks a rule for archives, or has an unknown schema.
        PayloadTooLarge: It is larger than ``max_import_bytes``, or unpacks to too much.
        DamagedInput: It is damaged, or what it says does not fit together.
        Conflict: The pipeline or something of it is here already as another one.
        StorageFull: The disk took no more.
    """
    size_bytes = path.stat().st_size
    if size_bytes > room.settings.max_import_bytes:
        raise PayloadTooLarge(
            "import.too_large",
            f"The file has {size_bytes:,} bytes, and at most {room.settings.max_import_bytes:,} are imported.",
            "Set REFEREE_MAX_IMPORT_BYTES to more.",
        )
    digest = await asyncio.to_thread(_digest_file, path)
    async with room.database.reading() as session:
        known = await _find(session, project_id, digest)
    if known is not None:
        return ImportedPipeline(known, is_new=False)
    reader = await asyncio.to_thread(ArchiveReader, path)
    try:
        return await _Import(room, project_id, reader, digest).run()
    except UnknownSchema as error:
        kept = await asyncio.to_thread(put_aside, path, room.settings.home / "quarantine", digest, error)
        raise InvalidInput(error.code, error.message, f"{error.hint} {kept}") from error
    finally:
        reader.close()


@dataclass(slots=True)
class _Import:
    room: PipelinesRoom
    project_id: UUID
    reader: ArchiveReader
    digest: str
    _statistics: dict[str, Any] = field(default_factory=dict)
    _sources: dict[str, str] = field(default_factory=dict)
    """Id of an app → folder of its source in the archive."""
    _judged: dict[str, str] = field(default_factory=dict)
    """Folder of a source in the archive → analysis that judged it."""
    _placed: list[Path] = field(default_factory=list)
    """Folders that exist since this import; gone again when it fails."""

    @property
    def _apps_dir(self) -> Path:
        """Of its own for each file: below the folder that generated apps may be read from."""
        return self.room.settings.generated_dir / "imported" / self.digest[:32]

    async def run(self) -> ImportedPipeline:
        async with self._undoing():
            await asyncio.to_thread(self._check_documents)
            return await self._take_in()

    async def _take_in(self) -> ImportedPipeline:
        async with self.room.database.transaction() as session:
            await session.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
                {"name": f"import:{self.project_id}:{self.digest}"},
            )
            known = await _find(session, self.project_id, self.digest)
            if known is not None:
                return ImportedPipeline(known, is_new=False)
            lines = self.reader.read_json_lines(ROWS_NAME)
            has_records = check_rows_header(await asyncio.to_thread(next, lines, None))
            rows = RowImport(
                session, self.project_id, _make_key(self.digest), self.digest, self._find_app_path
            )
            while taken := await asyncio.to_thread(_take, lines):
                await self._store_artifacts(taken)
                await rows.take(taken)
            if has_records:
                await self._check_records(rows)
            pipeline_id = await rows.finish()
            await self._place_results(rows.imported)
            await self._place_sources(rows.imported)
            await self._check(session, pipeline_id, rows.imported)
            await note_event(session, pipeline_id, "pipeline.imported", "It was imported from a file.")
            await publish(session, "pipelines", {"pipeline_id": str(pipeline_id)}, project_id=self.project_id)
            pipeline = await get_pipeline(session, self.project_id, pipeline_id)
        log.info("pipeline.imported", pipeline_id=str(pipeline_id), digest=self.digest)
        return ImportedPipeline(pipeline, is_new=True)

    def _check_documents(self) -> None:
        """Look at what the archive says of itself, and read every file of it once. Blocking."""
        metadata = self.reader.read_json("export_metadata.json")
        if isinstance(metadata, dict) and metadata.get("schema_version") == "1.0":
            raise InvalidInput(
                "import.rows_missing",
                "The file was exported by a release that left out what an import needs.",
                "Export the pipeline again with this release.",
            )
        check_schema(metadata, "export_metadata.json", {EXPORT_SCHEMA: EXPORT_SCHEMA_VERSION})
        statistics = metadata.get("statistics")
        self._statistics = statistics if isinstance(statistics, dict) else {}
        for name in self.reader.digests:
            if _is_document(name):
                check_schema(self.reader.read_json(name), name, KNOWN_SCHEMAS)
            elif name not in (ROWS_NAME, "cells.jsonl"):
                for _ in self.reader.read_pieces(name):
                    pass
        for cell in self.reader.read_json_lines("cells.jsonl"):
            folder, app_id = cell.get("source_path"), cell.get("app_id")
            if isinstance(folder, str) and isinstance(app_id, str) and folder.startswith(_SOURCES):
                check_name(folder)
                self._sources[app_id] = folder
                self._judged[folder] = str(cell.get("analysis_id"))

    async def _store_artifacts(self, lines: Iterable[Any]) -> None:
        """Keep the bytes of each artifact that a line names, under the digest they have."""
        for line in lines:
            if not isinstance(line, dict) or line.get("table") != "artifacts":
                continue
            row = line["row"]
            sha256 = str(row["sha256"])
            name = self.reader.find_name(sha256)
            if name is None:
                raise DamagedInput(
                    "import.incomplete",
                    f"The archive has no file with the digest {sha256[:64]}.",
                    "Export the pipeline again.",
                )
            artifact = await self.room.artifacts.put_pieces(
                self.reader.read_pieces(name), str(row["media_type"])
            )
            if (artifact.sha256, artifact.size_bytes) != (sha256, row["size_bytes"]):
                raise DamagedInput(
                    "import.altered", f"{name[:200]} is not what its row says.", "Export the pipeline again."
                )

    def _find_app_path(self, app_id: str) -> str:
        folder = self._sources.get(app_id, f"{_SOURCES}without-source/{UUID(app_id).hex}")
        return str(self._apps_dir / folder.removeprefix(_SOURCES))

    async def _place_results(self, imported: ImportedRows) -> None:
        for analysis_id, folder in imported.results_paths.items():
            files = imported.result_files.get(analysis_id, {})
            found = {name: self.reader.find_name(sha256) for name, sha256 in files.items()}
            await self._place(
                self.room.settings.results_dir / folder,
                {name: entry for name, entry in found.items() if entry is not None},
            )

    async def _place_sources(self, imported: ImportedRows) -> None:
        """Put the source of each app into a folder, after comparing it with the listing of its analysis."""
        for folder in dict.fromkeys(self._sources.values()):
            entries = {
                read_entry_name(name).removeprefix(f"{folder}/"): name
                for name in self.reader.digests
                if name.startswith(f"{folder}/")
            }
            listing_sha256 = imported.listings.get(self._judged[folder], "")
            listing = self.reader.find_name(listing_sha256)
            listed = {} if listing is None else await asyncio.to_thread(self.reader.read_json, listing)
            expected = {file["path"]: file["sha256"] for file in listed.get("files", ())}
            if {path: self.reader.digests[name] for path, name in entries.items()} != expected:
                raise DamagedInput(
                    "import.source_differs",
                    f"{folder[:200]} is not the source that its analysis judged.",
                    "Export the pipeline again.",
                )
            await self._place(self._apps_dir / folder.removeprefix(_SOURCES), entries)

    async def _place(self, folder: Path, files: dict[str, str]) -> None:
        """Write entries into a folder of what this import brings, all at once."""
        self._placed.append(folder)
        await asyncio.to_thread(write_folder, self.reader, folder, files)

    async def _check_records(self, rows: RowImport) -> None:
        """Compare each generation with its record, and look whether all that the record names came along."""
        for row in rows.imported.generations:
            where = f"the record of the generation {str(row['generation_id'])[:36]}"
            record = json.loads(await self.room.artifacts.read_bytes(str(row["record_sha256"])))
            check_schema(record, where, _RECORD_SCHEMAS)
            named = list_record_artifacts(record)
            if any(str(record.get(name)) != str(row[name]) for name in _RECORDED):
                raise DamagedInput(
                    "import.altered", f"{where.capitalize()} is of another one.", "Export the pipeline again."
                )
            if not all(rows.has_artifact(sha256) for sha256 in named):
                raise DamagedInput(
                    "import.incomplete",
                    f"The archive has not all that {where} names.",
                    "Export the pipeline again.",
                )

    async def _check(self, session: AsyncSession, pipeline_id: UUID, imported: ImportedRows) -> None:
        """Compare what is here now with what manifests and the exported counts say."""
        for sha256 in imported.manifests:
            document = json.loads(await self.room.artifacts.read_bytes(sha256))
            check_schema(document, f"the manifest {sha256}", KNOWN_SCHEMAS)
        for analysis_id in imported.analysis_states:
            async for problem in check_analysis(session, self.room.analysis, UUID(analysis_id)):
                raise DamagedInput(
                    "import.altered",
                    f"{problem.subject}: {problem.message}",
                    "It was altered before or after its export; look at `referee verify` where it comes from.",
                )
        counts = (await count_cells(session, [pipeline_id]))[pipeline_id]
        judged = await session.scalars(
            select(CellRow.analysis_id).where(
                CellRow.pipeline_id == pipeline_id, CellRow.analysis_id.is_not(None)
            )
        )
        findings_count = await count_reported_findings(session, judged.all())
        here = {
            "cells_count": counts.total_count,
            "valid_cells_count": counts.valid_count,
            "ended_cells_count": counts.ended_count,
            "findings_count": findings_count,
            "rows_count": imported.rows_count,
        }
        for name, count in here.items():
            if self._statistics.get(name) != count:
                raise DamagedInput(
                    "import.counts_differ",
                    f"The file says {name} {str(self._statistics.get(name))[:40]}, and its rows come to {count}.",
                    "Export the pipeline again.",
                )

    @asynccontextmanager
    async def _undoing(self) -> AsyncIterator[None]:
        """Take away the folders of an import that does not come to its end, and say what was wrong with the file."""
        try:
            yield
        except BaseException as error:
            for folder in self._placed:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, _MISFITS):
                log.warning("pipeline.import_refused", digest=self.digest, error=repr(error)[:500])
                raise DamagedInput(
                    "import.rows_broken",
                    "The file has values that do not fit where they stand.",
                    "Export the pipeline again; the log has the details.",
                ) from error
            raise


async def _find(session: AsyncSession, project_id: UUID, digest: str) -> Pipeline | None:
    """Return the pipeline that a file became."""
    pipeline_id = await session.scalar(
        select(PipelineRow.pipeline_id).where(
            PipelineRow.project_id == project_id, PipelineRow.idempotency_key == _make_key(digest)
        )
    )
    return None if pipeline_id is None else await get_pipeline(session, project_id, pipeline_id)


def _make_key(digest: str) -> str:
    # With a space: no key of a request has one, so none meets it.
    return f"import {digest}"


def _digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _take(lines: Iterator[Any]) -> list[Any]:
    return list(itertools.islice(lines, _LINES_AT_ONCE))


def _is_document(name: str) -> bool:
    """Whether an entry is a file of ours with a schema; raw outputs and SARIF logs have those of others."""
    parts = name.split("/")
    if parts[0] != "results" or not name.endswith(".json") or len(parts) < 5:
        return False
    inside = parts[4:]
    return inside == ["listing.json"] or (inside[0] == "files" and inside[1:2] != ["sarif"])
