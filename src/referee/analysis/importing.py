"""Take in an analysis that another system made: the same rows, files and manifest as a native one, marked as imported.

The importer says what was run and what came out; nothing is run here. The analysis' profile is ``imported``. Its
original files are artifacts of its manifest, named ``original/…``, byte for byte.

Findings of imported analyses have fingerprints of their own: they neither reopen nor close what this server's own
analyses found, since an old file says nothing about the source as it is now. Among imported analyses of one subject
the same finding is one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.finishing import finish_analysis
from referee.analysis.recording import ToolRunKey, record_tool_run
from referee.analysis.results import PreparedOccurrence, RawStream, ToolRunResult, digest_json
from referee.analysis.running import AnalysisRoom
from referee.analysis.storable import make_storable
from referee.analysis.tables import AnalysisRow, SubjectRow, ToolRunAttemptRow, ToolRunRow
from referee.analysis.views import ManifestEntry
from referee.apps import render_listing, reserve_app
from referee.core.findings import Coverage, JsonValue, ToolReport
from referee.core.ids import new_id
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import AnalysisState, ExitMeaning, Outcome, ParseState, Service, SubjectKind
from referee.foundation.sandbox.commands import Limits
from referee.foundation.store import Artifact, record_artifacts
from referee.tools.contract import ToolDescription
from referee.tools.fingerprints import compute_cluster_key, compute_fingerprints
from referee.tools.registry import TOOL_NAMES, get_tool
from referee.tools.sarif import SarifInvocation, render_sarif, validate_sarif

__all__ = [
    "IMPORTED_PROFILE",
    "ImportedAnalysis",
    "ImportedRun",
    "OriginalFile",
    "find_imported_analysis",
    "has_analysis",
    "import_analysis",
]

IMPORTED_PROFILE: Final = "imported"
_EXECUTOR: Final = "import"
_NO_COVERAGE: Final = Coverage("file", 0)
_CODE_LINE_CHARACTERS: Final = 500
_NOT_RUN: Final = frozenset(
    (Outcome.unavailable, Outcome.skipped, Outcome.not_applicable, Outcome.target_unreachable)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRun:
    """One tool of an old analysis."""

    tool: str
    """Any name; it need not be one of this server's tools."""
    service: Service
    outcome: Outcome
    reason: str = ""
    report: ToolReport | None = None
    """None when nothing is known of what it found."""
    code_lines: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """Path and line → the line's text, where the old result quotes it."""
    raw: Mapping[str, bytes] = field(default_factory=dict)
    """Verbatim output by stream."""
    version: str | None = None
    exit_code: int | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """A file that an old analysis came from."""

    name: str
    """Relative, POSIX; unique within the analysis."""
    size_bytes: int
    media_type: str
    read: Callable[[], bytes]
    """Blocking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedAnalysis:
    """An old analysis, read and understood."""

    key: str
    """Says which one it is: the same key is imported once for each project."""
    model: str | None
    number: int | None
    name: str
    """Of the subject where it is no app."""
    runs: Sequence[ImportedRun]
    """At least one, each tool once."""
    originals: Sequence[OriginalFile]
    started_at: datetime | None = None
    finished_at: datetime | None = None
    claims: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the old files say of it, as they say it."""


async def find_imported_analysis(
    session: AsyncSession, project_id: UUID, key: str
) -> tuple[UUID, bool] | None:
    """Return the analysis that was imported under a key and whether it is whole; None when there is none."""
    row = (
        await session.execute(
            select(AnalysisRow.analysis_id, AnalysisRow.state).where(
                AnalysisRow.project_id == project_id, AnalysisRow.idempotency_key == _idempotency_key(key)
            )
        )
    ).first()
    return None if row is None else (row.analysis_id, AnalysisState(row.state).is_final)


async def has_analysis(session: AsyncSession, project_id: UUID, analysis_id: UUID) -> bool:
    """Return whether a project has an analysis of this id."""
    found = await session.scalar(
        select(AnalysisRow.analysis_id).where(
            AnalysisRow.analysis_id == analysis_id, AnalysisRow.project_id == project_id
        )
    )
    return found is not None


async def import_analysis(room: AnalysisRoom, project_id: UUID, draft: ImportedAnalysis) -> tuple[UUID, bool]:
    """Write an old analysis, unless it is here already. One that a crash cut off is finished.

    Returns:
        Its id, and whether it is new.

    Raises:
        InvalidInput: Model or number cannot name an app.
        StorageFull: The disk took no more.
        IntegrityError: What was written could not be read back.
    """
    async with room.database.reading() as session:
        known = await find_imported_analysis(session, project_id, draft.key)
    if known is not None and known[1]:
        return known[0], False
    originals = [await _store_original(room, original) for original in draft.originals]
    if known is None:
        analysis_id = await _write_rows(room, project_id, draft, [artifact for _, artifact in originals])
    else:
        analysis_id = known[0]
    await finish_analysis(
        room,
        project_id,
        analysis_id,
        finished_at=draft.finished_at,
        originals=[entry for entry, _ in originals],
    )
    return analysis_id, known is None


async def _store_original(room: AnalysisRoom, original: OriginalFile) -> tuple[ManifestEntry, Artifact]:
    data = await asyncio.to_thread(original.read)
    artifact = await room.artifacts.put_bytes(data, original.media_type)
    entry = ManifestEntry(
        name=f"original/{original.name}",
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        media_type=original.media_type,
    )
    return entry, artifact


async def _write_rows(
    room: AnalysisRoom, project_id: UUID, draft: ImportedAnalysis, originals: Sequence[Artifact]
) -> UUID:
    snapshot = SourceSnapshot(Path(), hashlib.sha256(b"").hexdigest(), (), name=draft.name)
    listing = await room.artifacts.put_bytes(render_listing(snapshot), "application/json")
    results = [await _build_result(room, draft, run, snapshot.source_digest) for run in draft.runs]
    parameters_digest = digest_json(
        {"imported": draft.key}
    )  # of no other run: none may judge another's findings
    async with room.database.transaction() as session:
        await record_artifacts(session, [listing, *originals])
        subject_id = await _ensure_subject(session, project_id, draft)
        analysis_id = await session.scalar(
            insert(AnalysisRow)
            .values(
                **_analysis_values(draft),
                analysis_id=new_id(),
                project_id=project_id,
                subject_id=subject_id,
                source_digest=snapshot.source_digest,
                listing_sha256=listing.sha256,
            )
            .on_conflict_do_nothing(index_elements=["project_id", "idempotency_key"])
            .returning(AnalysisRow.analysis_id)
        )
        if analysis_id is None:  # another process imported it a moment ago
            found = await find_imported_analysis(session, project_id, draft.key)
            assert found is not None  # noqa: S101 - the row that conflicted is committed and never deleted
            return found[0]
        for position, (run, result) in enumerate(zip(draft.runs, results, strict=True)):
            key = ToolRunKey(
                tool_run_id=new_id(),
                analysis_id=analysis_id,
                subject_id=subject_id,
                project_id=project_id,
                tool=run.tool,
                parameters_digest=parameters_digest,
                attempt=1,
            )
            await _plan_run(session, key, run, position)
            await record_tool_run(session, key, result)
        await session.execute(
            update(AnalysisRow)
            .where(AnalysisRow.analysis_id == analysis_id)
            .values(state=AnalysisState.running.value)
        )
    return UUID(str(analysis_id))


def _analysis_values(draft: ImportedAnalysis) -> dict[str, object]:
    started_at = draft.started_at or draft.finished_at
    values: dict[str, object] = {
        "state": AnalysisState.queued.value,
        "profile": IMPORTED_PROFILE,
        "parameters_json": {"imported": dict(draft.claims)},
        "is_cache_allowed": False,
        "files_count": 0,
        "excluded_count": 0,
        "started_at": started_at or datetime.now(UTC),
        "idempotency_key": _idempotency_key(draft.key),
        "request_digest": digest_json({"imported": draft.key}),
    }
    return values if started_at is None else {**values, "created_at": started_at}


async def _plan_run(session: AsyncSession, key: ToolRunKey, run: ImportedRun, position: int) -> None:
    await session.execute(
        insert(ToolRunRow).values(
            tool_run_id=key.tool_run_id,
            analysis_id=key.analysis_id,
            position=position,
            tool=run.tool,
            service=run.service.value,
            parameters_json={},
            parameters_digest=key.parameters_digest,
            attempts_count=1,
        )
    )
    await session.execute(
        insert(ToolRunAttemptRow).values(
            tool_run_id=key.tool_run_id, attempt=key.attempt, executor_id=_EXECUTOR
        )
    )


async def _ensure_subject(session: AsyncSession, project_id: UUID, draft: ImportedAnalysis) -> UUID:
    app_id, path, name = None, f"imported:{draft.name}", draft.name
    if draft.model is not None and draft.number is not None:
        app = await reserve_app(session, project_id, draft.model, None, draft.number)
        app_id, path, name = app.app_id, app.path, f"{app.model}/app{app.number}"
        known = await session.scalar(select(SubjectRow.subject_id).where(SubjectRow.app_id == app_id))
    else:
        known = await session.scalar(
            select(SubjectRow.subject_id).where(
                SubjectRow.project_id == project_id,
                SubjectRow.kind == SubjectKind.folder.value,
                SubjectRow.path == path,
            )
        )
    if known is not None:
        return known
    kind = SubjectKind.folder if app_id is None else SubjectKind.app
    statement = insert(SubjectRow).values(
        subject_id=new_id(), project_id=project_id, kind=kind.value, app_id=app_id, name=name, path=path
    )
    conflict = (
        {"index_elements": ["app_id"], "index_where": text("app_id IS NOT NULL")}
        if app_id is not None
        else {"index_elements": ["project_id", "kind", "path"], "index_where": text("app_id IS NULL")}
    )
    statement = statement.on_conflict_do_update(**conflict, set_={"name": statement.excluded.name})  # type: ignore[arg-type]  # one of two forms
    return (await session.execute(statement.returning(SubjectRow.subject_id))).scalar_one()


async def _build_result(
    room: AnalysisRoom, draft: ImportedAnalysis, run: ImportedRun, source_digest: str
) -> ToolRunResult:
    report = None if run.report is None else make_storable(run.report)
    run = replace(run, report=report)
    occurrences, sarif = await asyncio.to_thread(partial(_describe, draft, run, source_digest))
    raw = {
        name: RawStream(
            artifact=await room.artifacts.put_bytes(data, "application/octet-stream"),
            total_bytes=len(data),
            is_truncated=False,
        )
        for name, data in run.raw.items()
    }
    did_run = run.outcome not in _NOT_RUN
    return ToolRunResult(
        outcome=run.outcome,
        reason=run.reason,
        did_run=did_run,
        exit_meaning=_exit_meaning(run, did_run=did_run),
        parse_state=_parse_state(run),
        exit_code=run.exit_code,
        occurrences=occurrences,
        is_counted=report is not None,
        rules=() if report is None else report.rules,
        coverage=None,
        measurements=() if report is None else report.measurements,
        notices=() if report is None else report.notices,
        version=run.version,
        raw=raw,
        sarif=await room.artifacts.put_bytes(sarif, "application/sarif+json"),
        duration_ms=run.duration_ms,
        ended_at=draft.finished_at,
    )


def _describe(
    draft: ImportedAnalysis, run: ImportedRun, source_digest: str
) -> tuple[tuple[PreparedOccurrence, ...], bytes]:
    """Return the findings with their fingerprints, and the SARIF log. Blocking."""
    description = _describe_tool(run)
    report = run.report or ToolReport((), (), _NO_COVERAGE)

    def code_line(path: str, line: int) -> str | None:
        return run.code_lines.get((path, line))

    fingerprints = [
        hashlib.sha256(f"imported\0{fingerprint}".encode()).hexdigest()
        for fingerprint in compute_fingerprints(description, report.findings, code_line)
    ]
    occurrences = []
    for finding, fingerprint in zip(report.findings, fingerprints, strict=True):
        place = finding.location
        line = None if place is None or place.start_line is None else code_line(place.path, place.start_line)
        occurrences.append(
            PreparedOccurrence(
                finding=finding,
                fingerprint=fingerprint,
                cluster_key=compute_cluster_key(
                    None if place is None else place.path,
                    None if place is None else place.start_line,
                    finding.cwe_ids,
                ),
                code_line=(line or "")[:_CODE_LINE_CHARACTERS],
            )
        )
    log = render_sarif(
        description,
        run.version or "",
        report,
        invocation=SarifInvocation(
            is_successful=run.outcome.is_complete,
            exit_code=run.exit_code,
            reason="" if run.outcome.is_complete else run.reason,
        ),
        code_line=code_line,
        fingerprints=fingerprints,
        automation_id=f"{draft.name}/{run.tool}",
        subject_digest=source_digest,
    )
    validate_sarif(log)
    return tuple(occurrences), json.dumps(log, ensure_ascii=False, separators=(",", ":")).encode()


def _describe_tool(run: ImportedRun) -> ToolDescription:
    """Return what the tool is, also of one that this server does not have."""
    if run.tool in TOOL_NAMES:
        return get_tool(run.tool).describe()
    return ToolDescription(
        name=run.tool,
        service=run.service,
        summary="A tool of another system, known from its imported results.",
        homepage_url=f"urn:referee:imported-tool:{run.tool}",
        license="NOASSERTION",
        languages=(),
        applies_to="",
        limits=Limits(wall_s=1),
        exit_codes={},
        identity_fields=(),
    )


def _exit_meaning(run: ImportedRun, *, did_run: bool) -> ExitMeaning:
    if not did_run:
        return ExitMeaning.not_run
    if run.outcome in (Outcome.timed_out, Outcome.cancelled):
        return ExitMeaning.killed
    if run.outcome is not Outcome.succeeded:
        return ExitMeaning.error if run.outcome is Outcome.failed else ExitMeaning.unknown
    return ExitMeaning.findings if run.report is not None and run.report.findings else ExitMeaning.clean


def _parse_state(run: ImportedRun) -> ParseState:
    if run.outcome is Outcome.parse_error:
        return ParseState.unreadable if run.report is None else ParseState.partial
    if run.report is None:
        return ParseState.not_attempted
    return ParseState.parsed if run.outcome is Outcome.succeeded else ParseState.partial


def _idempotency_key(key: str) -> str:
    """Return the key as it is stored: no key that a person gives can be the same."""
    return f"import:{hashlib.sha256(key.encode()).hexdigest()}"
