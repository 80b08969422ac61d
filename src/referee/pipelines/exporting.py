"""A pipeline with everything it came to, as one zip file.

====================================  ====================================================================
``export_metadata.json``              what was exported, when, with counts and the first names
``pipeline.yaml``, ``pipeline.json``  the file as it was given; the pipeline and its counts as the API answers
``cells.jsonl``                       every cell, also those without results, with the reasons
``results/MODEL/appN/task_…/…``       each analysis: its result files, raw outputs and source listing
``generated/apps/MODEL/appN/…``       each app's source as it was analysed, where it can still be had
``rows.jsonl``, ``artifacts/SHA256``  the rows behind it and what they refer to, for ``referee pipeline import``
``SHA256SUMS``                        a digest of every file above; ``sha256sum -c SHA256SUMS`` reads it
====================================  ====================================================================

Counts are those of ``queries.count_cells``, as everywhere.

Source:
    The layout of ``results/``, ``generated/apps/`` and ``export_metadata.json`` is that of the app-analysis
    results that Referee took over.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from referee import __version__
from referee.analysis import Analysis, get_analysis, list_manifest_entries, list_tool_runs
from referee.apps import SourceLimits, get_app, locate_source, take_snapshot
from referee.apps.roots import list_readable_roots
from referee.core.errors import RefereeError
from referee.core.sources import SourceSnapshot
from referee.pipelines.archives import ZipStream
from referee.pipelines.carried_rows import (
    CARRIED_TABLES,
    ROWS_NAME,
    dump_header,
    dump_row,
    find_cone,
)
from referee.pipelines.models import CellModel, PipelineModel
from referee.pipelines.queries import get_pipeline, list_cells
from referee.pipelines.room import PipelinesRoom
from referee.pipelines.views import Cell, Pipeline

__all__ = ["EXPORT_SCHEMA", "EXPORT_SCHEMA_VERSION", "name_export", "read_entry_name", "stream_export"]

EXPORT_SCHEMA: Final = "referee-pipeline-export"
EXPORT_SCHEMA_VERSION: Final = "1.1"
_NAMED_FILES_COUNT: Final = 100
"""Names in the metadata; all are in SHA256SUMS."""
_CELLS_AT_ONCE: Final = 500
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_CHUNK_BYTES: Final = 1 << 20
_SPOOL_BYTES: Final = 16 << 20
"""Rows beyond that wait in a temporary file: their digest stands before them."""


@dataclass(slots=True)
class _Tally:
    """What has been packed so far; of each cell no more than its line."""

    lines: list[bytes] = field(default_factory=list)
    app_ids: set[UUID] = field(default_factory=set)
    folders: dict[str, UUID] = field(default_factory=dict)
    """Folder of a source in the archive → its app."""
    sources_count: int = 0
    analyses_count: int = 0
    findings_count: int = 0
    rows_count: int = 0


def name_export(pipeline: Pipeline) -> str:
    """Return the name that a file gets when nobody gives one."""
    return f"pipeline_{pipeline.pipeline_id.hex}.zip"


async def stream_export(
    room: PipelinesRoom, project_id: UUID, project_slug: str, pipeline_id: UUID
) -> AsyncIterator[bytes]:
    """Yield the zip file of a pipeline. What has not ended is exported as it stands.

    Raises:
        NotFound: The project has no such pipeline.
        IntegrityError: Something stored is not what was recorded; the file that came out so far is no zip file.
    """
    async with room.database.reading() as session:
        pipeline = await get_pipeline(session, project_id, pipeline_id)
    archive, tally = ZipStream(), _Tally()
    async for piece in archive.add(
        "pipeline.json", _dump(PipelineModel.of(pipeline).model_dump(mode="json"))
    ):
        yield piece
    definition = room.artifacts.stream(pipeline.definition_sha256)
    async for piece in archive.add_stream("pipeline.yaml", definition, pipeline.definition_sha256):
        yield piece
    async for cell in _read_cells(room, pipeline_id):
        async for piece in _pack_cell(room, project_id, archive, tally, cell):
            yield piece
    async for piece in archive.add("cells.jsonl", b"".join(tally.lines)):
        yield piece
    async for piece in _pack_rows(room, project_id, archive, tally, pipeline_id):
        yield piece
    async for piece in archive.add(
        "export_metadata.json", _dump(_describe(pipeline, project_slug, tally, archive))
    ):
        yield piece
    async for piece in archive.add("SHA256SUMS", _render_sums(archive)):
        yield piece
    yield archive.close()


async def _pack_rows(
    room: PipelinesRoom, project_id: UUID, archive: ZipStream, tally: _Tally, pipeline_id: UUID
) -> AsyncIterator[bytes]:
    """Pack the rows behind the pipeline, and every artifact that none of the files before is."""
    digest = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as rows:

        def write(line: bytes) -> None:
            digest.update(line)
            rows.write(line)

        async with room.database.reading() as session:
            cone = await find_cone(session, room.artifacts, project_id, pipeline_id)
            write(dump_header())
            for table in CARRIED_TABLES:
                async for row in cone.read_rows(session, table):
                    write(dump_row(table, row))
                    tally.rows_count += 1
        rows.seek(0)

        async def read() -> AsyncIterator[bytes]:
            while piece := await asyncio.to_thread(rows.read, _CHUNK_BYTES):
                yield piece

        async for piece in archive.add_stream(ROWS_NAME, read(), digest.hexdigest()):
            yield piece
    packed = set(archive.digests.values())
    for sha256 in cone.artifacts:
        if sha256 not in packed:
            async for piece in archive.add_stream(
                f"artifacts/{sha256}", room.artifacts.stream(sha256), sha256
            ):
                yield piece


async def _read_cells(room: PipelinesRoom, pipeline_id: UUID) -> AsyncIterator[Cell]:
    """Yield every cell, page by page, without keeping a connection meanwhile."""
    cursor: str | None = None
    while True:
        async with room.database.reading() as session:
            page = await list_cells(session, pipeline_id, cursor=cursor, limit=_CELLS_AT_ONCE)
        for cell in page.items:
            yield cell
        cursor = page.next_cursor
        if cursor is None:
            return


async def _pack_cell(
    room: PipelinesRoom, project_id: UUID, archive: ZipStream, tally: _Tally, cell: Cell
) -> AsyncIterator[bytes]:
    """Pack what the analysis of a cell kept, and its app's source; put the cell's line down."""
    line: dict[str, Any] = CellModel.of(cell).model_dump(mode="json")
    line["results_path"] = line["findings_count"] = line["source_path"] = None
    if cell.app_id is not None:
        tally.app_ids.add(cell.app_id)
    if cell.analysis_id is not None:
        async with room.database.reading() as session:
            analysis = await get_analysis(session, project_id, cell.analysis_id)
            runs = await list_tool_runs(session, cell.analysis_id)
            entries = await list_manifest_entries(session, cell.analysis_id)
        line["results_path"] = analysis.results_path
        line["findings_count"] = sum(run.findings_count or 0 for run in runs)
        tally.analyses_count += 1
        tally.findings_count += line["findings_count"]
        for entry in entries:
            name = _name_entry(f"results/{analysis.results_path}/{entry.name}")
            async for piece in archive.add_stream(name, room.artifacts.stream(entry.sha256), entry.sha256):
                yield piece
        source = await _find_source(room, project_id, tally, cell, analysis)
        if source is not None:
            folder, snapshot = source
            tally.sources_count += 1
            line["source_path"] = folder
            async for piece in _pack_source(archive, folder, snapshot):
                yield piece
    tally.lines.append((json.dumps(line, ensure_ascii=False) + "\n").encode())


async def _find_source(
    room: PipelinesRoom, project_id: UUID, tally: _Tally, cell: Cell, analysis: Analysis
) -> tuple[str, SourceSnapshot] | None:
    """Return the folder in the archive and the source of a cell's app as it was analysed.

    None for one that has changed since: its files as they are now would pass for those that were judged. Also for
    one that this server may not read for those who ask.
    """
    if cell.app_id is None:
        return None
    async with room.database.reading() as session:
        app = await get_app(session, project_id, cell.app_id)
    limits, roots = SourceLimits.from_settings(room.settings), list_readable_roots(room.settings)
    try:
        location = await asyncio.to_thread(locate_source, app.path, allowed_roots=roots)
        snapshot = await asyncio.to_thread(
            take_snapshot, location.path, room.settings.snapshots_dir, limits, name=app.model
        )
    except RefereeError:  # it is gone, or no longer what may be read
        return None
    if snapshot.source_digest != analysis.source_digest:
        return None
    name = _UNSAFE.sub("_", app.model).lstrip(".") or "_"
    folder = f"generated/apps/{name}/app{app.number}"
    if tally.folders.setdefault(folder, app.app_id) != app.app_id:
        folder = f"{folder}-{app.app_id.hex}"  # of a model whose name differs in what a file name cannot have
    return folder, snapshot


async def _pack_source(archive: ZipStream, folder: str, snapshot: SourceSnapshot) -> AsyncIterator[bytes]:
    for file in snapshot.files:
        name = _name_entry(f"{folder}/{file.path}")
        async for piece in archive.add_stream(name, _read_file(snapshot.root / file.path), file.sha256):
            yield piece


async def _read_file(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield piece


def _describe(pipeline: Pipeline, project_slug: str, tally: _Tally, archive: ZipStream) -> dict[str, Any]:
    counts = pipeline.counts
    return {
        "schema": EXPORT_SCHEMA,
        "schema_version": EXPORT_SCHEMA_VERSION,
        "version": "1.0",
        "export_timestamp": datetime.now(UTC).isoformat(),
        "user": project_slug,
        "referee_version": __version__,
        "filters": {"pipeline_id": str(pipeline.pipeline_id)},
        "options": {"includes_results": True, "includes_apps": True},
        "statistics": {
            "cells_count": counts.total_count,
            "valid_cells_count": counts.valid_count,
            "ended_cells_count": counts.ended_count,
            "apps_count": len(tally.app_ids),
            "apps_with_source_count": tally.sources_count,
            "analyses_count": tally.analyses_count,
            "findings_count": tally.findings_count,
            "rows_count": tally.rows_count,
            "files_count": len(archive.digests),
            "total_bytes": archive.total_bytes,
        },
        "exported_files": list(archive.digests)[:_NAMED_FILES_COUNT],
    }


def _render_sums(archive: ZipStream) -> bytes:
    return "".join(f"{sha256}  {name}\n" for name, sha256 in archive.digests.items()).encode()


def _dump(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _name_entry(name: str) -> str:
    """Return a name that every system unpacks to one place: some read a backslash as a separator. ``%`` marks it."""
    return name.replace("%", "%25").replace("\\", "%5C")


def read_entry_name(name: str) -> str:
    """Return the name that a file had before it was packed."""
    return name.replace("%5C", "\\").replace("%25", "%")
