"""The analysis room's part of `referee verify`: manifests, result files and rows against each other."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.queries import list_manifest_entries, list_measurements, list_tool_runs
from referee.analysis.recording import load_occurrence_rows
from referee.analysis.results import digest_occurrences
from referee.analysis.running import AnalysisRoom
from referee.analysis.sealing import (
    ANALYSIS_COLUMNS,
    MEASUREMENTS_MAX_COUNT,
    seal_analysis,
    seal_tool_runs,
)
from referee.analysis.tables import AnalysisRow, ManifestRow, OccurrenceRow
from referee.analysis.views import ManifestEntry, ToolRun
from referee.core.errors import RefereeError
from referee.core.findings import JsonValue
from referee.core.ids import format_id
from referee.core.integrity import IntegrityProblem, IntegrityTally
from referee.foundation.store import ArtifactRow

__all__ = ["check_analyses", "check_analysis", "check_artifacts", "check_result_folders"]

_BATCH = 500


async def check_artifacts(room: AnalysisRoom) -> AsyncIterator[IntegrityProblem | IntegrityTally]:
    """Read every recorded artifact again and compare its digest and size."""
    last, count = "", 0
    while True:
        async with room.database.reading() as session:
            rows = (
                await session.execute(
                    select(ArtifactRow.sha256, ArtifactRow.size_bytes)
                    .where(ArtifactRow.sha256 > last)
                    .order_by(ArtifactRow.sha256)
                    .limit(_BATCH)
                )
            ).all()
        if not rows:
            break
        for sha256, size_bytes in rows:
            problem = await room.artifacts.check(sha256, size_bytes=size_bytes)
            if problem is not None:
                yield IntegrityProblem("artifact.broken", f"artifact {sha256}", problem)
        last, count = rows[-1][0], count + len(rows)
    yield IntegrityTally("artifacts", count)


async def check_analyses(room: AnalysisRoom) -> AsyncIterator[IntegrityProblem | IntegrityTally]:
    """Compare every ended analysis with its manifest: entries, files, outcomes, counts and findings."""
    last, count = 0, 0
    while True:
        async with room.database.reading() as session:
            rows = (
                await session.scalars(
                    select(AnalysisRow)
                    .where(
                        AnalysisRow.sequence > last,
                        AnalysisRow.state.in_(("completed", "partially_completed", "failed", "cancelled")),
                    )
                    .order_by(AnalysisRow.sequence)
                    .limit(_BATCH)
                )
            ).all()
        if not rows:
            break
        for row in rows:
            async with room.database.reading() as session:
                async for problem in _check_row(session, room, row):
                    yield problem
        last, count = rows[-1].sequence, count + len(rows)
    yield IntegrityTally("analyses", count)


async def check_result_folders(room: AnalysisRoom) -> AsyncIterator[IntegrityProblem | IntegrityTally]:
    """Find result files whose analysis the database no longer knows."""
    folders = await asyncio.to_thread(_list_result_folders, room.settings.results_dir)
    ids = sorted(folders)
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        async with room.database.reading() as session:
            known = set(
                await session.scalars(
                    select(AnalysisRow.analysis_id).where(AnalysisRow.analysis_id.in_(batch))
                )
            )
        for analysis_id in batch:
            if analysis_id not in known:
                yield IntegrityProblem(
                    "analysis.missing",
                    format_id("analysis", analysis_id),
                    f"Its result files are in {folders[analysis_id]}, and its row is gone.",
                )
    yield IntegrityTally("result folders", len(ids))


def _list_result_folders(results_dir: Path) -> dict[UUID, Path]:
    found = {}
    for folder in results_dir.glob("*/*/task_*"):
        with contextlib.suppress(ValueError):
            found[UUID(folder.name.removeprefix("task_"))] = folder
    return found


async def check_analysis(
    session: AsyncSession, room: AnalysisRoom, analysis_id: UUID
) -> AsyncIterator[IntegrityProblem]:
    """Compare one ended analysis with its manifest, as a transaction sees it. Nothing for one that is not there."""
    row = await session.get(AnalysisRow, analysis_id, populate_existing=True)
    if row is not None:
        async for problem in _check_row(session, room, row):
            yield problem


async def _check_row(
    session: AsyncSession, room: AnalysisRoom, row: AnalysisRow
) -> AsyncIterator[IntegrityProblem]:
    name = format_id("analysis", row.analysis_id)
    manifest_row = await session.get(ManifestRow, row.analysis_id)
    tool_runs = await list_tool_runs(session, row.analysis_id)
    for run in tool_runs:
        async for problem in _check_tool_run(session, room, name, run):
            yield problem
    if manifest_row is None:
        if row.state in ("completed", "partially_completed") or row.results_path is not None:
            yield IntegrityProblem("manifest.missing", name, f"It is {row.state} and has no manifest.")
        return
    try:
        manifest = json.loads(await room.artifacts.read_bytes(manifest_row.sha256))
    except (RefereeError, ValueError) as error:
        yield IntegrityProblem("manifest.unreadable", name, f"Its manifest cannot be read: {error}")
        return
    entries = await list_manifest_entries(session, row.analysis_id)
    measurements = await list_measurements(session, row.analysis_id, limit=MEASUREMENTS_MAX_COUNT)
    facts = seal_tool_runs(tool_runs, measurements)
    for problem in _compare_manifest(name, row, manifest, entries, facts):
        yield problem
    for entry in entries:
        problem_text = await room.artifacts.check(entry.sha256, size_bytes=entry.size_bytes)
        if problem_text is not None:
            yield IntegrityProblem("manifest.entry_broken", f"{name}: {entry.name}", problem_text)
    if row.results_path is not None:
        folder = room.settings.results_dir / row.results_path
        for problem in await asyncio.to_thread(_check_files, name, folder, entries):
            yield problem


def _compare_manifest(
    name: str,
    row: AnalysisRow,
    manifest: dict[str, JsonValue],
    entries: tuple[ManifestEntry, ...],
    facts: Mapping[str, Mapping[str, JsonValue]],
) -> list[IntegrityProblem]:
    problems = []
    recorded = {
        entry.name: {"sha256": entry.sha256, "size_bytes": entry.size_bytes, "media_type": entry.media_type}
        for entry in entries
    }
    promised = manifest["entries"]
    assert isinstance(promised, dict)  # noqa: S101 - written by render_manifest and verified by its digest
    for entry_name in sorted(promised.keys() | recorded.keys()):
        if entry_name not in recorded:
            problems.append(
                IntegrityProblem("manifest.entry_missing", f"{name}: {entry_name}", "Its row is gone.")
            )
        elif entry_name not in promised:
            problems.append(
                IntegrityProblem("manifest.entry_added", f"{name}: {entry_name}", "It was added later.")
            )
        elif promised[entry_name] != recorded[entry_name]:
            problems.append(
                IntegrityProblem("manifest.entry_altered", f"{name}: {entry_name}", "Its row was altered.")
            )
    if manifest["state"] != row.state:
        problems.append(
            IntegrityProblem(
                "analysis.altered", name, f"Its state is {row.state}, and was {manifest['state']} at its end."
            )
        )
    elif manifest.get("analysis_digest") != seal_analysis(
        {name: getattr(row, name) for name in ANALYSIS_COLUMNS}
    ):
        problems.append(IntegrityProblem("analysis.altered", name, "Its row was altered after its end."))
    promised_runs = manifest["tool_runs"]
    assert isinstance(promised_runs, dict)  # noqa: S101 - as above
    for tool in sorted(promised_runs.keys() | facts.keys()):
        then, now = promised_runs.get(tool), facts.get(tool)
        if then == now:
            continue
        if then is None or now is None:
            what = "is gone" if now is None else "was added later"
        else:
            assert isinstance(then, dict)  # noqa: S101 - as above
            is_row = then.get("measurements_digest") == now["measurements_digest"]
            what = "was altered" if is_row else "has other measurements than at its end"
        problems.append(IntegrityProblem("tool_run.altered", f"{name}: {tool}", f"Its row {what}."))
    return problems


async def _check_tool_run(
    session: AsyncSession, room: AnalysisRoom, name: str, run: ToolRun
) -> AsyncIterator[IntegrityProblem]:
    if run.findings_digest is None:
        return
    rows = await load_occurrence_rows(session, run.tool_run_id)
    if digest_occurrences(rows) != run.findings_digest:
        stored = await _count_occurrences(session, run.tool_run_id)
        expected = (run.findings_count or 0) + (run.suppressed_count or 0)
        what = "one was altered" if stored == expected else f"{expected} were recorded and {stored} are there"
        yield IntegrityProblem("findings.altered", f"{name}: {run.tool}", f"Its findings differ: {what}.")


async def _count_occurrences(session: AsyncSession, tool_run_id: UUID) -> int:
    return (
        await session.scalar(
            select(func.count()).select_from(OccurrenceRow).where(OccurrenceRow.tool_run_id == tool_run_id)
        )
        or 0
    )


def _check_files(name: str, folder: Path, entries: tuple[ManifestEntry, ...]) -> list[IntegrityProblem]:
    problems = []
    for entry in entries:
        if not entry.name.startswith("files/"):
            continue
        path = folder / entry.name.removeprefix("files/")
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            problems.append(
                IntegrityProblem("file.missing", f"{name}: {path.name}", f"The file {path} is not there.")
            )
            continue
        if digest != entry.sha256:
            problems.append(
                IntegrityProblem("file.altered", f"{name}: {path.name}", f"The file {path} was altered.")
            )
    return problems
