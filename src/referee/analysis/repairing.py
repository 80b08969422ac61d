"""The analysis room's part of ``referee verify --repair``: files from rows, rows from files, never a guess.

Everything here is checked against a digest that was recorded when the analysis ended: bytes are put back only
when their SHA-256 is the recorded one, and rows only as the sealed manifest says them. What no copy proves is
left as it is, for ``verify`` to name.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert

from referee.analysis.finishing import render_manifest
from referee.analysis.queries import get_analysis, list_manifest_entries, list_measurements, list_tool_runs
from referee.analysis.result_files import results_folder
from referee.analysis.running import AnalysisRoom
from referee.analysis.sealing import ANALYSIS_COLUMNS, MEASUREMENTS_MAX_COUNT, seal_analysis
from referee.analysis.tables import AnalysisRow, ManifestEntryRow, ManifestRow
from referee.analysis.views import ManifestEntry
from referee.core.errors import RefereeError
from referee.core.ids import format_id, new_id
from referee.core.integrity import IntegrityRepair
from referee.foundation.store import ArtifactRow

__all__ = ["repair_analyses"]

_BATCH: Final = 200


async def repair_analyses(room: AnalysisRoom) -> AsyncIterator[IntegrityRepair]:
    """Mend what can be proven of every analysis that has a manifest, and say what was done."""
    last = 0
    while True:
        async with room.database.reading() as session:
            rows = (
                await session.execute(
                    select(AnalysisRow, ManifestRow.sha256)
                    .join(ManifestRow, ManifestRow.analysis_id == AnalysisRow.analysis_id)
                    .where(AnalysisRow.sequence > last)
                    .order_by(AnalysisRow.sequence)
                    .limit(_BATCH)
                )
            ).all()
        if not rows:
            return
        for row, sha256 in rows:
            async for done in _repair_one(room, row, sha256):
                yield done
        last = rows[-1][0].sequence


async def _repair_one(room: AnalysisRoom, row: AnalysisRow, sha256: str) -> AsyncIterator[IntegrityRepair]:
    name = format_id("analysis", row.analysis_id)
    if await room.artifacts.check(sha256) is not None and await _render_again(room, row, sha256):
        yield IntegrityRepair(
            "manifest.restored",
            name,
            "Its manifest was written again from its rows; the digest is the recorded one.",
        )
    try:
        manifest: Mapping[str, Any] = json.loads(await room.artifacts.read_bytes(sha256))
    except (RefereeError, ValueError):
        return
    async for done in _repair_entries(room, row, name, manifest):
        yield done
    if row.results_path is None and await _restore_path(room, row, manifest):
        yield IntegrityRepair(
            "analysis.path_restored",
            name,
            "Its row names its result files again; the seal is the recorded one.",
        )
    folder = room.settings.results_dir / (row.results_path or results_folder(await _view(room, row)))
    async with room.database.reading() as session:
        entries = await list_manifest_entries(session, row.analysis_id)
    async for done in _repair_bytes(room, name, folder, entries):
        yield done


async def _render_again(room: AnalysisRoom, row: AnalysisRow, sha256: str) -> bool:
    """Render the manifest from rows; store it if it is what was recorded. Says whether it was."""
    async with room.database.reading() as session:
        analysis = await get_analysis(session, row.project_id, row.analysis_id)
        tool_runs = await list_tool_runs(session, row.analysis_id)
        measurements = await list_measurements(session, row.analysis_id, limit=MEASUREMENTS_MAX_COUNT)
        entries = await list_manifest_entries(session, row.analysis_id)
    data = render_manifest(analysis, tool_runs, measurements, entries)
    if hashlib.sha256(data).hexdigest() != sha256:
        return False
    await room.artifacts.put_bytes(data, "application/json")
    return True


async def _repair_entries(
    room: AnalysisRoom, row: AnalysisRow, name: str, manifest: Mapping[str, Any]
) -> AsyncIterator[IntegrityRepair]:
    """Bring the rows of the entries back to what the manifest says."""
    async with room.database.transaction() as session:
        # The database keeps sealed manifests as they are, but for whoever proves what they were.
        await session.execute(text("SET LOCAL referee.is_repairing = 'on'"))
        recorded = {entry.name: entry for entry in await list_manifest_entries(session, row.analysis_id)}
        for entry_name, promised in manifest["entries"].items():
            found = recorded.pop(entry_name, None)
            wanted = ManifestEntry(name=entry_name, **promised)
            if found == wanted:
                continue
            known = await session.scalar(
                select(ArtifactRow.sha256).where(ArtifactRow.sha256 == wanted.sha256)
            )
            if known is None:
                continue
            values = {**promised, "analysis_id": row.analysis_id, "name": entry_name}
            await session.execute(
                insert(ManifestEntryRow)
                .values(values)
                .on_conflict_do_update(index_elements=["analysis_id", "name"], set_=promised)
            )
            yield IntegrityRepair(
                "manifest.entry_restored", f"{name}: {entry_name}", "Its row is again as the manifest says."
            )
        for entry_name in recorded:
            await session.execute(
                delete(ManifestEntryRow).where(
                    ManifestEntryRow.analysis_id == row.analysis_id, ManifestEntryRow.name == entry_name
                )
            )
            yield IntegrityRepair(
                "manifest.entry_removed",
                f"{name}: {entry_name}",
                "Its row is not in the manifest, and is gone.",
            )


async def _restore_path(room: AnalysisRoom, row: AnalysisRow, manifest: Mapping[str, Any]) -> bool:
    path = results_folder(await _view(room, row))
    columns = {name: getattr(row, name) for name in ANALYSIS_COLUMNS}
    if seal_analysis({**columns, "results_path": path}) != manifest.get("analysis_digest"):
        return False
    async with room.database.transaction() as session:
        await session.execute(
            update(AnalysisRow).where(AnalysisRow.analysis_id == row.analysis_id).values(results_path=path)
        )
    return True


async def _view(room: AnalysisRoom, row: AnalysisRow) -> Any:
    async with room.database.reading() as session:
        return await get_analysis(session, row.project_id, row.analysis_id)


async def _repair_bytes(
    room: AnalysisRoom, name: str, folder: Path, entries: Sequence[ManifestEntry]
) -> AsyncIterator[IntegrityRepair]:
    """Copy bytes from the artifact to the result file, or the other way, whichever is as recorded."""
    for entry in entries:
        if not entry.name.startswith("files/"):
            continue
        path = folder / entry.name.removeprefix("files/")
        is_file_whole = await asyncio.to_thread(_has_digest, path, entry.sha256)
        is_artifact_whole = await room.artifacts.check(entry.sha256, size_bytes=entry.size_bytes) is None
        if is_file_whole and not is_artifact_whole:
            await room.artifacts.put_file(path, entry.media_type)
            yield IntegrityRepair(
                "artifact.restored", f"{name}: {entry.name}", f"Its artifact was stored again from {path}."
            )
        elif is_artifact_whole and not is_file_whole:
            data = await room.artifacts.read_bytes(entry.sha256)
            await asyncio.to_thread(_write, path, data)
            yield IntegrityRepair(
                "file.restored", f"{name}: {entry.name}", f"{path} was written again from its artifact."
            )


def _has_digest(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _write(path: Path, data: bytes) -> None:
    """Put a file into place, fsynced, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}-{new_id().hex}")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
