"""A pipeline with everything it came to, as one zip file.

====================================  ====================================================================
``export_metadata.json``              what was exported, when, with counts and the first names
``pipeline.yaml``, ``pipeline.json``  the file as it was given; the pipeline and its counts as the API answers
``cells.jsonl``                       every cell, also those without results, with the reasons
``results/MODEL/appN/task_…/…``       each analysis: its result files, raw outputs and source listing
``generated/apps/MODEL/appN/…``       each app's source as it was analysed, where it can still be had
``SHA256SUMS``                        a digest of every file above; ``sha256sum -c SHA256SUMS`` reads it
====================================  ====================================================================

Counts are those of ``queries.count_cells``, as everywhere.

Source:
    The layout of ``results/``, ``generated/apps/`` and ``export_metadata.json`` is that of the app-analysis
    results that Referee took over.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from referee import __version__
from referee.analysis import Analysis, ManifestEntry, get_analysis, list_manifest_entries, list_tool_runs
from referee.apps import SourceLimits, get_app, take_snapshot
from referee.core.errors import RefereeError
from referee.core.sources import SourceSnapshot
from referee.pipelines.archives import ZipStream
from referee.pipelines.models import CellModel, PipelineModel
from referee.pipelines.queries import get_pipeline, list_cells
from referee.pipelines.room import PipelinesRoom
from referee.pipelines.views import Cell, Pipeline

__all__ = ["EXPORT_SCHEMA", "EXPORT_SCHEMA_VERSION", "name_export", "stream_export"]

EXPORT_SCHEMA: Final = "referee-pipeline-export"
EXPORT_SCHEMA_VERSION: Final = "1.0"
_NAMED_FILES_COUNT: Final = 100
"""Names in the metadata; all are in SHA256SUMS."""
_CELLS_AT_ONCE: Final = 500
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Exported:
    """One cell with what its analysis kept."""

    cell: Cell
    analysis: Analysis | None
    entries: Sequence[ManifestEntry]
    findings_count: int


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
    exported = await _collect(room, project_id, pipeline)
    sources = await _find_sources(room, project_id, exported)
    archive = ZipStream()
    for piece in archive.add("pipeline.json", _dump(PipelineModel.of(pipeline).model_dump(mode="json"))):
        yield piece
    definition = room.artifacts.stream(pipeline.definition_sha256)
    async for piece in archive.add_stream("pipeline.yaml", definition, pipeline.definition_sha256):
        yield piece
    for piece in archive.add("cells.jsonl", _render_cells(exported)):
        yield piece
    for one in exported:
        async for piece in _pack_results(room, archive, one):
            yield piece
    for folder, snapshot in sources.items():
        async for piece in _pack_source(archive, folder, snapshot):
            yield piece
    metadata = _describe(pipeline, project_slug, exported, sources, archive)
    for piece in archive.add("export_metadata.json", _dump(metadata)):
        yield piece
    for piece in archive.add("SHA256SUMS", _render_sums(archive)):
        yield piece
    for piece in archive.close():
        yield piece


async def _collect(room: PipelinesRoom, project_id: UUID, pipeline: Pipeline) -> list[_Exported]:
    """Read every cell and what its analysis kept."""
    exported: list[_Exported] = []
    cursor: str | None = None
    while True:
        async with room.database.reading() as session:
            page = await list_cells(session, pipeline.pipeline_id, cursor=cursor, limit=_CELLS_AT_ONCE)
            for cell in page.items:
                if cell.analysis_id is None:
                    exported.append(_Exported(cell, None, (), 0))
                    continue
                analysis = await get_analysis(session, project_id, cell.analysis_id)
                entries = await list_manifest_entries(session, cell.analysis_id)
                runs = await list_tool_runs(session, cell.analysis_id)
                count = sum(run.findings_count or 0 for run in runs)
                exported.append(_Exported(cell, analysis, entries, count))
        cursor = page.next_cursor
        if cursor is None:
            return exported


async def _find_sources(
    room: PipelinesRoom, project_id: UUID, exported: Sequence[_Exported]
) -> dict[str, SourceSnapshot]:
    """Return the source of each app as it was analysed: folder in the archive → snapshot.

    An app that has changed since is left out: its files as they are now would pass for those that were judged.
    """
    limits = SourceLimits.from_settings(room.settings)
    found: dict[str, SourceSnapshot] = {}
    for one in exported:
        if one.analysis is None or one.cell.app_id is None:
            continue
        async with room.database.reading() as session:
            app = await get_app(session, project_id, one.cell.app_id)
        folder = f"generated/apps/{_safe(app.model)}/app{app.number}"
        if folder in found:  # two models whose names differ only in what a file name cannot have
            folder = f"{folder}-{app.app_id.hex}"
        try:
            snapshot = await asyncio.to_thread(
                take_snapshot, Path(app.path), room.settings.snapshots_dir, limits, name=app.model
            )
        except RefereeError:  # it is gone, or no longer what can be read
            continue
        if snapshot.source_digest == one.analysis.source_digest:
            found[folder] = snapshot
    return found


async def _pack_results(room: PipelinesRoom, archive: ZipStream, one: _Exported) -> AsyncIterator[bytes]:
    if one.analysis is None or one.analysis.results_path is None:
        return
    for entry in one.entries:
        name = _name_entry(f"results/{one.analysis.results_path}/{entry.name}")
        if name in archive.digests:
            continue
        async for piece in archive.add_stream(name, room.artifacts.stream(entry.sha256), entry.sha256):
            yield piece


async def _pack_source(archive: ZipStream, folder: str, snapshot: SourceSnapshot) -> AsyncIterator[bytes]:
    for file in snapshot.files:
        name = _name_entry(f"{folder}/{file.path}")
        async for piece in archive.add_stream(name, _read_file(snapshot.root / file.path), file.sha256):
            yield piece


async def _read_file(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield piece


def _describe(
    pipeline: Pipeline,
    project_slug: str,
    exported: Sequence[_Exported],
    sources: dict[str, SourceSnapshot],
    archive: ZipStream,
) -> dict[str, Any]:
    analyses = [one.analysis for one in exported if one.analysis is not None]
    apps = {one.cell.app_id for one in exported if one.cell.app_id is not None}
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
            "apps_count": len(apps),
            "apps_with_source_count": len(sources),
            "analyses_count": len(analyses),
            "findings_count": sum(one.findings_count for one in exported),
            "files_count": len(archive.digests),
            "total_bytes": archive.total_bytes,
        },
        "exported_files": list(archive.digests)[:_NAMED_FILES_COUNT],
    }


def _render_cells(exported: Sequence[_Exported]) -> bytes:
    lines = []
    for one in exported:
        cell = CellModel.of(one.cell).model_dump(mode="json")
        cell["results_path"] = None if one.analysis is None else one.analysis.results_path
        cell["findings_count"] = one.findings_count if one.analysis is not None else None
        lines.append(json.dumps(cell, ensure_ascii=False))
    return ("\n".join(lines) + "\n").encode() if lines else b""


def _render_sums(archive: ZipStream) -> bytes:
    return "".join(f"{sha256}  {name}\n" for name, sha256 in archive.digests.items()).encode()


def _dump(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _name_entry(name: str) -> str:
    """Return a name that every system unpacks to the same place: some read a backslash as a separator."""
    return name.replace("\\", "%5C")


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name).lstrip(".") or "_"
