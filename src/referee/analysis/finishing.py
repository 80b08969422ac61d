"""End an analysis: files, manifest, verification and the final state, together or not at all.

The order is what makes "completed" mean complete: result files are rendered
from the rows, every artifact is re-read and its digest compared, the files are
put into place, and only then one transaction writes the manifest and the state.
The database itself refuses ``completed`` without that manifest.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Select, case, select, text, update
from sqlalchemy import exc as database_errors
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.finding_queries import stream_occurrences
from referee.analysis.metrics import ANALYSES, COMPLETIONS_REFUSED
from referee.analysis.queries import get_analysis, list_measurements, list_tool_runs
from referee.analysis.recording import lock_subject
from referee.analysis.result_files import (
    ResultFiles,
    render_folder_manifest,
    render_result_files,
    results_folder,
)
from referee.analysis.running import AnalysisRoom
from referee.analysis.sarif_logs import load_sarif_logs
from referee.analysis.sealing import (
    ANALYSIS_COLUMNS,
    MEASUREMENTS_MAX_COUNT,
    seal_analysis,
    seal_tool_runs,
)
from referee.analysis.tables import AnalysisRow, ManifestEntryRow, ManifestRow, ToolRunRow
from referee.analysis.views import Analysis, ManifestEntry, Measured, ToolRun
from referee.core.errors import IntegrityError, StorageFull
from referee.core.ids import new_id
from referee.core.vocabulary import AnalysisState, Outcome
from referee.foundation.store import Artifact, record_artifacts
from referee.foundation.web.live import publish

__all__ = ["close_tool_runs", "conclude", "fail_analysis", "finish_analysis", "render_manifest"]

MANIFEST_SCHEMA: Final = "referee-manifest"
MANIFEST_SCHEMA_VERSION: Final = "1.0"

log = structlog.get_logger("referee.analysis")

_MARK_FIXED = """
WITH judges AS MATERIALIZED (
    SELECT DISTINCT ON (tool_runs.tool, tool_runs.parameters_digest)
           tool_runs.tool, tool_runs.parameters_digest, tool_runs.coverage_json AS coverage,
           analyses.analysis_id, analyses.sequence
      FROM tool_runs
      JOIN analyses ON analyses.analysis_id = tool_runs.analysis_id
      JOIN tool_runs AS mine ON mine.analysis_id = CAST(:analysis_id AS uuid) AND mine.tool = tool_runs.tool
                            AND mine.parameters_digest = tool_runs.parameters_digest
     WHERE analyses.subject_id = CAST(:subject_id AS uuid)
       AND (analyses.analysis_id = CAST(:analysis_id AS uuid) OR analyses.state NOT IN ('queued', 'running'))
       AND (tool_runs.outcome = 'succeeded' OR (tool_runs.outcome = 'not_applicable' AND NOT tool_runs.did_run))
       AND COALESCE((tool_runs.coverage_json ->> 'skipped_count')::int, 0)
           + COALESCE((tool_runs.coverage_json ->> 'unreadable_count')::int, 0)
           <= COALESCE(jsonb_array_length(tool_runs.coverage_json -> 'holes'), 0)
     ORDER BY tool_runs.tool, tool_runs.parameters_digest, analyses.sequence DESC
), holes AS MATERIALIZED (
    SELECT judges.tool, judges.parameters_digest, judges.coverage ->> 'unit' AS unit, hole ->> 'name' AS name,
           translate(lower(hole ->> 'name'), '_.', '--') AS package
      FROM judges, jsonb_array_elements(judges.coverage -> 'holes') AS hole
), fixed AS (
    UPDATE findings SET state = 'fixed', state_reason = ''
      FROM judges, analyses AS seen
     WHERE findings.subject_id = CAST(:subject_id AS uuid)
       AND findings.state = 'open'
       AND findings.tool = judges.tool
       AND findings.parameters_digest = judges.parameters_digest
       AND seen.analysis_id = findings.last_analysis_id
       AND seen.sequence < judges.sequence
       AND NOT EXISTS (
           SELECT 1 FROM holes
            WHERE holes.tool = findings.tool AND holes.parameters_digest = findings.parameters_digest
              AND holes.name = findings.path
       )
       AND NOT EXISTS (
           SELECT 1 FROM holes
             JOIN occurrences ON occurrences.finding_id = findings.finding_id
                             AND occurrences.analysis_id = findings.last_analysis_id
            CROSS JOIN LATERAL (
                SELECT translate(lower(occurrences.identity_json ->> 0), '_.', '--') AS package
            ) AS judged
            WHERE holes.unit = 'dependency'
              AND holes.tool = findings.tool AND holes.parameters_digest = findings.parameters_digest
              AND (
                  left(holes.name, length(findings.path) + 1) = findings.path || ':'
                  OR (left(holes.package, length(judged.package)) = judged.package
                      AND substr(holes.package, length(judged.package) + 1, 1) !~ '[a-z0-9-]')
              )
       )
    RETURNING findings.finding_id, judges.analysis_id
)
INSERT INTO finding_events (finding_id, state, reason, actor, analysis_id)
SELECT finding_id, 'fixed', 'A complete run no longer reports it.', 'analysis', analysis_id FROM fixed
"""
"""The newest complete run of a tool with the same parameters judges, in whatever order analyses end. It says
nothing of what it left out: a file, a dependency, or more than its report could name."""


def conclude(tool_runs: Sequence[ToolRun], *, is_cancelled: bool = False) -> tuple[AnalysisState, str]:
    """Return the final state that a ledger amounts to, and one sentence why.

    Args:
        tool_runs: All planned tool runs.
        is_cancelled: Whether a person cancelled the analysis.
    """
    if is_cancelled:
        return AnalysisState.cancelled, "It was cancelled."
    holes = [run for run in tool_runs if run.outcome is None or not run.outcome.is_complete]
    if not holes:
        return AnalysisState.completed, ""
    named = ", ".join(f"{run.tool} {run.status.replace('_', ' ')}" for run in holes[:5])
    more = f" and {len(holes) - 5} more" if len(holes) > 5 else ""
    if all(run.outcome is not Outcome.succeeded for run in tool_runs):
        return AnalysisState.failed, f"No tool came to a result: {named}{more}."
    return (
        AnalysisState.partially_completed,
        f"{len(holes)} of {len(tool_runs)} tools have no result: {named}{more}.",
    )


async def finish_analysis(
    room: AnalysisRoom,
    project_id: UUID,
    analysis_id: UUID,
    *,
    is_cancelled: bool = False,
    finished_at: datetime | None = None,
    originals: Sequence[ManifestEntry] = (),
) -> AnalysisState:
    """Render, verify and commit the end of an analysis; idempotent.

    Args:
        room: Of analyses.
        project_id: Whose.
        analysis_id: Which.
        is_cancelled: Whether a person cancelled it.
        finished_at: When it ended; None: now.
        originals: Stored artifacts that it came from, which become part of its manifest.

    Returns:
        The final state.

    Raises:
        StorageFull: The disk took no more; nothing was committed and a retry may help.
    """
    ended_at = finished_at or datetime.now(UTC)
    async with room.database.reading() as session:
        analysis = await get_analysis(session, project_id, analysis_id)
        tool_runs = await list_tool_runs(session, analysis_id)
        if analysis.state.is_final:
            return analysis.state
        state, reason = conclude(tool_runs, is_cancelled=is_cancelled)
        analysis = replace(
            analysis, state=state, reason=reason, finished_at=ended_at, results_path=results_folder(analysis)
        )
        measurements = await list_measurements(session, analysis_id, limit=MEASUREMENTS_MAX_COUNT)
        occurrences = [occurrence async for occurrence in stream_occurrences(session, analysis_id)]
        sources = await _source_entries(session, analysis_id)
    sarif_logs = await load_sarif_logs(room, analysis, tool_runs)
    result = await asyncio.to_thread(
        render_result_files, analysis, tool_runs, occurrences, measurements, sarif_logs
    )
    folder_manifest = render_folder_manifest(analysis, result, tool_runs)
    result = ResultFiles(result.folder, {**result.files, "manifest.json": folder_manifest}, result.primary)
    entries, artifacts = await _store_files(room, result)
    listing = await _listing_entry(room, analysis_id)
    entries = [*entries, *_recorded_entries(tool_runs), *sources, listing, *originals]
    with _counting_refusals():
        await _verify_entries(room, entries)
    manifest = await room.artifacts.put_bytes(
        render_manifest(analysis, tool_runs, measurements, entries), "application/json"
    )
    async with room.database.transaction() as session:
        ended = await _lock_unless_ended(session, analysis)
        if ended is not None:
            return ended
        await record_artifacts(session, [*artifacts, manifest])
        # Under the lock: of two that finish at once, the files are those of the one whose manifest counts.
        await asyncio.to_thread(_write_folder, room.settings.results_dir, result)
        with _counting_refusals():
            await _commit_end(session, analysis, manifest, entries)
    ANALYSES.labels(state.value).inc()
    log.info(
        "analysis.finished", analysis_id=str(analysis_id), state=state.value, findings_count=len(occurrences)
    )
    return state


@contextmanager
def _counting_refusals() -> Iterator[None]:
    """Count what this room or the database itself refuses to call ended, for whoever watches."""
    try:
        yield
    except (IntegrityError, database_errors.IntegrityError):
        COMPLETIONS_REFUSED.inc()
        raise


async def fail_analysis(session: AsyncSession, analysis_id: UUID, reason: str) -> None:
    """End an analysis that could not be carried out or stored, and say so. Does nothing to one that has ended."""
    state = await session.scalar(_select_locked(analysis_id))
    if state is None or AnalysisState(state).is_final:
        return
    await close_tool_runs(session, analysis_id, Outcome.failed, "The analysis ended before it ran.")
    project_id = await session.scalar(
        update(AnalysisRow)
        .where(AnalysisRow.analysis_id == analysis_id)
        .values(state=AnalysisState.failed.value, reason=reason, finished_at=text("clock_timestamp()"))
        .returning(AnalysisRow.project_id)
    )
    await publish(session, f"analysis:{analysis_id}", {"state": "failed"})
    await publish(session, "analyses", {"analysis_id": str(analysis_id)}, project_id=project_id)
    ANALYSES.labels("failed").inc()
    log.error("analysis.failed", analysis_id=str(analysis_id), reason=reason)


async def close_tool_runs(session: AsyncSession, analysis_id: UUID, outcome: Outcome, reason: str) -> None:
    """Give every tool run of an analysis that has no outcome this one.

    The analysis is locked first, as everywhere: whoever ends it waits, and nobody waits in a circle.
    """
    await session.scalar(_select_locked(analysis_id))
    await session.execute(
        update(ToolRunRow)
        .where(ToolRunRow.analysis_id == analysis_id, ToolRunRow.outcome.is_(None))
        .values(
            outcome=outcome.value,
            reason=reason,
            did_run=ToolRunRow.started_at.is_not(None),
            exit_meaning=case((ToolRunRow.started_at.is_not(None), "killed"), else_="not_run"),
            parse_state="not_attempted",
            finished_at=text("clock_timestamp()"),
        )
    )


def render_manifest(
    analysis: Analysis,
    tool_runs: Sequence[ToolRun],
    measurements: Sequence[Measured],
    entries: Sequence[ManifestEntry],
) -> bytes:
    """Return the manifest: artifacts with digests, outcomes, and what rows must still say later."""
    document: dict[str, object] = {
        "schema": MANIFEST_SCHEMA,
        "schema_version": MANIFEST_SCHEMA_VERSION,
        "analysis_id": str(analysis.analysis_id),
        "state": analysis.state.value,
        "source_digest": analysis.source_digest,
        "entries": {
            entry.name: {
                "sha256": entry.sha256,
                "size_bytes": entry.size_bytes,
                "media_type": entry.media_type,
            }
            for entry in sorted(entries, key=lambda entry: entry.name)
        },
        "analysis_digest": seal_analysis(
            {
                **{name: getattr(analysis, name) for name in ANALYSIS_COLUMNS if name != "subject_id"},
                "subject_id": analysis.subject.subject_id,
            }
        ),
        "tool_runs": seal_tool_runs(tool_runs, measurements),
    }
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


async def _store_files(room: AnalysisRoom, result: ResultFiles) -> tuple[list[ManifestEntry], list[Artifact]]:
    entries, artifacts = [], []
    for name, data in sorted(result.files.items()):
        artifact = await room.artifacts.put_bytes(data, "application/json")
        artifacts.append(artifact)
        entries.append(
            ManifestEntry(
                name=f"files/{name}",
                sha256=artifact.sha256,
                size_bytes=len(data),
                media_type="application/json",
            )
        )
    return entries, artifacts


def _recorded_entries(tool_runs: Sequence[ToolRun]) -> list[ManifestEntry]:
    entries = []
    for run in tool_runs:
        for name, stream in run.raw.items():
            assert isinstance(stream, dict)  # noqa: S101 - written by recording
            entries.append(
                ManifestEntry(
                    name=f"raw/{run.tool}/{name}",
                    sha256=str(stream["sha256"]),
                    size_bytes=int(str(stream["size_bytes"])),
                    media_type="application/octet-stream",
                )
            )
    return entries


async def _source_entries(session: AsyncSession, analysis_id: UUID) -> list[ManifestEntry]:
    rows = await session.execute(
        text(
            "SELECT DISTINCT occurrences.path, artifacts.sha256, artifacts.size_bytes FROM occurrences"
            " JOIN artifacts ON artifacts.sha256 = occurrences.source_sha256 WHERE analysis_id = :analysis_id"
        ),
        {"analysis_id": analysis_id},
    )
    return [
        ManifestEntry(name=f"source/{path}", sha256=sha256, size_bytes=size_bytes, media_type="text/plain")
        for path, sha256, size_bytes in rows
    ]


async def _listing_entry(room: AnalysisRoom, analysis_id: UUID) -> ManifestEntry:
    async with room.database.reading() as session:
        sha256 = (
            await session.execute(
                select(AnalysisRow.listing_sha256).where(AnalysisRow.analysis_id == analysis_id)
            )
        ).scalar_one()
    listing = await room.artifacts.read_bytes(sha256)
    return ManifestEntry(
        name="listing.json", sha256=sha256, size_bytes=len(listing), media_type="application/json"
    )


async def _verify_entries(room: AnalysisRoom, entries: Sequence[ManifestEntry]) -> None:
    checked: dict[str, str | None] = {}
    for entry in entries:
        if entry.sha256 not in checked:
            checked[entry.sha256] = await room.artifacts.check(entry.sha256)
        problem = checked[entry.sha256]
        if problem is not None:
            raise IntegrityError(
                "analysis.artifact_broken",
                f"The artifact {entry.name} is not what was stored: {problem}",
                "Check the disk, then start the analysis again.",
            )


def _write_folder(results_dir: Path, result: ResultFiles) -> None:
    """Put the files into place, fsynced, all at once. Blocking."""
    final = results_dir / result.folder
    staging = final.parent / f".{final.name}-{new_id().hex}"
    try:
        staging.mkdir(parents=True)
        for name, data in result.files.items():
            path = staging / name
            path.parent.mkdir(exist_ok=True)
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for folder in (staging / "sarif", staging / "services", staging):
            if folder.is_dir():
                _fsync_folder(folder)
        if final.exists():  # an earlier try got this far and then died before its commit
            shutil.rmtree(final)
        staging.rename(final)
        _fsync_folder(final.parent)
        for leftover in final.parent.glob(f".{final.name}-*"):  # of a try that died while it wrote
            shutil.rmtree(leftover, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise StorageFull(
            "analysis.files_not_written",
            f"The result files could not be written: {error.strerror or error}.",
            "Free space or correct the permissions of the results folder, then retry the analysis.",
        ) from error


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _select_locked(analysis_id: UUID) -> Select[str]:
    """Lock an analysis against other ends; rows that refer to it can still be written."""
    return (
        select(AnalysisRow.state)
        .where(AnalysisRow.analysis_id == analysis_id)
        .with_for_update(key_share=True)
    )


async def _lock_unless_ended(session: AsyncSession, analysis: Analysis) -> AnalysisState | None:
    """Lock what an end changes; return the state when somebody else has ended the analysis."""
    await lock_subject(session, analysis.subject.subject_id)
    state = AnalysisState((await session.execute(_select_locked(analysis.analysis_id))).scalar_one())
    return state if state.is_final else None


async def _commit_end(
    session: AsyncSession,
    analysis: Analysis,
    manifest: Artifact,
    entries: Sequence[ManifestEntry],
) -> None:
    await session.execute(
        insert(ManifestRow).values(
            analysis_id=analysis.analysis_id,
            sha256=manifest.sha256,
            entries_count=len(entries),
            verified_at=text("clock_timestamp()"),
        )
    )
    await session.execute(
        insert(ManifestEntryRow),
        [
            {
                "analysis_id": analysis.analysis_id,
                "name": entry.name,
                "sha256": entry.sha256,
                "size_bytes": entry.size_bytes,
                "media_type": entry.media_type,
            }
            for entry in entries
        ],
    )
    await session.execute(
        text(_MARK_FIXED),
        {"analysis_id": analysis.analysis_id, "subject_id": analysis.subject.subject_id},
    )
    await session.execute(
        update(AnalysisRow)
        .where(AnalysisRow.analysis_id == analysis.analysis_id)
        .values(
            state=analysis.state.value,
            reason=analysis.reason,
            results_path=analysis.results_path,
            finished_at=analysis.finished_at,
        )
    )
    await publish(session, f"analysis:{analysis.analysis_id}", {"state": analysis.state.value})
    await publish(
        session,
        "analyses",
        {"analysis_id": str(analysis.analysis_id)},
        project_id=analysis.project_id,
    )
