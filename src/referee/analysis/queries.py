"""Every read of analyses and tool runs. Page, API, command line and export count with these.

Findings have their own module (``finding_queries.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.tables import (
    AnalysisRow,
    ManifestEntryRow,
    MeasurementRow,
    OccurrenceRow,
    SubjectRow,
    ToolRunRow,
)
from referee.analysis.views import Analysis, Facet, ManifestEntry, Measured, SeverityCounts, Subject, ToolRun
from referee.apps.judgements import AppVersion
from referee.apps.tables import AppRow, AppRunRow, TemplateRow
from referee.core.errors import NotFound
from referee.core.findings import JsonValue
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.core.vocabulary import AnalysisState, ExitMeaning, Outcome, ParseState, Service, SubjectKind
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where
from referee.tools.registry import TOOL_NAMES, get_tool

__all__ = [
    "ANALYSIS_COLUMNS",
    "ANALYSIS_FIELDS",
    "count_analyses_by_state",
    "count_by_severity",
    "count_outcomes",
    "get_analysis",
    "list_analyses",
    "list_app_analyses",
    "list_app_versions",
    "list_manifest_entries",
    "list_measurements",
    "list_outcomes",
    "list_tool_runs",
]

_ENDED: Final = func.count(ToolRunRow.outcome)
_COMPLETE: Final = func.count(case((ToolRunRow.outcome.in_(("succeeded", "not_applicable")), 1)))

ANALYSIS_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField.of_enum(AnalysisState, "State of the analysis."),
    "model": FilterField("text", "Part of the model's slug.", is_searched=True, example="model:coder"),
    "app": FilterField("number", "Number of the app.", example="app:1"),
    "subject": FilterField("text", "Part of the subject's name.", is_searched=True),
    "path": FilterField("text", "Part of the subject's path, or a pattern with *.", is_searched=True),
    "profile": FilterField("keyword", "quick, standard or deep."),
    "template": FilterField(
        "keyword", "Slug of what the app was asked to do.", example="template:task-board"
    ),
    "created": FilterField("time", "When it was accepted.", example="created:>=-7d"),
    "files": FilterField("number", "Files that tools saw.", example="files:>100"),
}
ANALYSIS_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": AnalysisRow.__table__.c.state,
    "model": AppRow.__table__.c.model,
    "app": AppRow.__table__.c.number,
    "subject": SubjectRow.__table__.c.name,
    "path": SubjectRow.__table__.c.path,
    "profile": AnalysisRow.__table__.c.profile,
    "template": TemplateRow.__table__.c.slug,
    "created": AnalysisRow.__table__.c.created_at,
    "files": AnalysisRow.__table__.c.files_count,
}


def _select_analyses() -> Select[AnalysisRow, SubjectRow, str, int, str]:
    return (
        select(AnalysisRow, SubjectRow, AppRow.model, AppRow.number, TemplateRow.slug)
        .join(SubjectRow, SubjectRow.subject_id == AnalysisRow.subject_id)
        .outerjoin(AppRow, AppRow.app_id == SubjectRow.app_id)
        .outerjoin(TemplateRow, TemplateRow.template_id == AnalysisRow.template_id)
    )


async def get_analysis(session: AsyncSession, project_id: UUID, analysis_id: UUID) -> Analysis:
    """Return one analysis.

    Raises:
        NotFound: The project has no such analysis.
    """
    rows = (
        await session.execute(
            _select_analyses().where(
                AnalysisRow.analysis_id == analysis_id, AnalysisRow.project_id == project_id
            )
        )
    ).all()
    if not rows:
        raise NotFound(
            "analysis.not_found",
            "There is no such analysis.",
            "List the analyses with `referee analysis list`.",
        )
    return (await _views(session, rows))[0]


async def list_analyses(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Analysis]:
    """Return analyses, newest first."""
    conditions = [AnalysisRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, ANALYSIS_COLUMNS))
    counted = select(func.count()).select_from(
        _select_analyses().where(*conditions).with_only_columns(AnalysisRow.analysis_id).subquery()
    )
    total_count = await session.scalar(counted) or 0
    statement = _select_analyses().where(*conditions).order_by(AnalysisRow.sequence.desc()).limit(limit + 1)
    if cursor is not None:
        (before,) = decode_cursor(cursor, "analyses")
        statement = statement.where(AnalysisRow.sequence < int(str(before)))
    rows = (await session.execute(statement)).all()
    items = await _views(session, rows[:limit])
    next_cursor = encode_cursor("analyses", [items[-1].sequence]) if len(rows) > limit else None
    return Page(tuple(items), total_count, limit, next_cursor)


async def list_app_analyses(
    session: AsyncSession,
    project_id: UUID,
    *,
    app_id: UUID | None = None,
    sequences: Sequence[int] | None = None,
    limit: int = 1000,
) -> tuple[Analysis, ...]:
    """Return analyses of apps, newest first: of one app, or those with the given sequence numbers."""
    conditions = [AnalysisRow.project_id == project_id]
    if app_id is not None:
        conditions.append(SubjectRow.app_id == app_id)
    if sequences is not None:
        conditions.append(AnalysisRow.sequence.in_(sequences))
    statement = _select_analyses().where(*conditions).order_by(AnalysisRow.sequence.desc()).limit(limit)
    return tuple(await _views(session, (await session.execute(statement)).all()))


async def list_app_versions(
    session: AsyncSession, project_id: UUID, app_id: UUID, *, limit: int
) -> tuple[AppVersion, ...]:
    """Return the states of an app's source that were analysed, last seen first."""
    latest = func.max(AnalysisRow.sequence)
    grouped = (
        select(
            AnalysisRow.source_digest,
            func.min(AnalysisRow.created_at).label("first_at"),
            func.max(AnalysisRow.created_at).label("last_at"),
            func.count().label("analyses_count"),
            latest.label("sequence"),
        )
        .join(SubjectRow, SubjectRow.subject_id == AnalysisRow.subject_id)
        .where(AnalysisRow.project_id == project_id, SubjectRow.app_id == app_id)
        .group_by(AnalysisRow.source_digest)
        .order_by(latest.desc())
        .limit(limit)
        .subquery()
    )
    rows = await session.execute(
        select(AnalysisRow.analysis_id, AnalysisRow.listing_sha256, grouped)
        .join(grouped, grouped.c.sequence == AnalysisRow.sequence)
        .order_by(grouped.c.sequence.desc())
    )
    return tuple(
        AppVersion(
            source_digest=row.source_digest,
            listing_sha256=row.listing_sha256,
            first_seen_at=row.first_at,
            last_seen_at=row.last_at,
            analyses_count=row.analyses_count,
            latest_analysis_id=row.analysis_id,
        )
        for row in rows
    )


async def count_analyses_by_state(session: AsyncSession, project_id: UUID) -> dict[AnalysisState, int]:
    """Return how many analyses are in each state; states without any are 0."""
    rows = await session.execute(
        select(AnalysisRow.state, func.count())
        .where(AnalysisRow.project_id == project_id)
        .group_by(AnalysisRow.state)
    )
    counts = dict.fromkeys(AnalysisState, 0)
    counts.update({AnalysisState(state): count for state, count in rows})
    return counts


async def count_outcomes(session: AsyncSession, project_id: UUID) -> tuple[Facet, ...]:
    """Return how many tool runs ended in each outcome, by tool: ``Facet(tool, outcome, count)``."""
    rows = await session.execute(
        select(ToolRunRow.tool, ToolRunRow.outcome, func.count())
        .join(AnalysisRow, AnalysisRow.analysis_id == ToolRunRow.analysis_id)
        .where(AnalysisRow.project_id == project_id, ToolRunRow.outcome.is_not(None))
        .group_by(ToolRunRow.tool, ToolRunRow.outcome)
        .order_by(ToolRunRow.tool, ToolRunRow.outcome)
    )
    return tuple(Facet(tool, str(outcome), count) for tool, outcome, count in rows)


async def count_by_severity(
    session: AsyncSession, analysis_ids: Sequence[UUID]
) -> dict[UUID, SeverityCounts]:
    """Return the occurrences of each analysis by severity, suppressed ones apart."""
    is_suppressed = OccurrenceRow.suppression.is_not(None)
    rows = await session.execute(
        select(OccurrenceRow.analysis_id, OccurrenceRow.severity, is_suppressed, func.count())
        .where(OccurrenceRow.analysis_id.in_(analysis_ids))
        .group_by(OccurrenceRow.analysis_id, OccurrenceRow.severity, is_suppressed)
    )
    counts: dict[UUID, dict[str, int]] = {}
    for analysis_id, severity, suppressed, count in rows:
        by_name = counts.setdefault(analysis_id, {})
        name = "suppressed" if suppressed else severity
        by_name[name] = by_name.get(name, 0) + count
    return {analysis_id: SeverityCounts(**by_name) for analysis_id, by_name in counts.items()}


async def list_outcomes(
    session: AsyncSession, analysis_ids: Sequence[UUID]
) -> dict[UUID, tuple[tuple[str, Outcome | None], ...]]:
    """Return each analysis' tools with what became of them, in their order; None while nothing has."""
    rows = await session.execute(
        select(ToolRunRow.analysis_id, ToolRunRow.tool, ToolRunRow.outcome)
        .where(ToolRunRow.analysis_id.in_(analysis_ids))
        .order_by(ToolRunRow.analysis_id, ToolRunRow.position)
    )
    found: dict[UUID, list[tuple[str, Outcome | None]]] = {}
    for analysis_id, tool, outcome in rows:
        found.setdefault(analysis_id, []).append((tool, None if outcome is None else Outcome(outcome)))
    return {analysis_id: tuple(tools) for analysis_id, tools in found.items()}


async def list_tool_runs(session: AsyncSession, analysis_id: UUID) -> tuple[ToolRun, ...]:
    """Return the completeness ledger of an analysis: every planned tool, by service and name. At most all tools."""
    rows = await session.execute(
        select(ToolRunRow, AppRunRow.isolation_json)
        .outerjoin(AppRunRow, AppRunRow.app_run_id == ToolRunRow.app_run_id)
        .where(ToolRunRow.analysis_id == analysis_id)
        .order_by(ToolRunRow.service, ToolRunRow.tool)
    )
    return tuple(_tool_run(row, app_isolation) for row, app_isolation in rows)


async def list_measurements(
    session: AsyncSession, analysis_id: UUID, *, limit: int = 1000
) -> tuple[Measured, ...]:
    """Return measurements about the whole subject first, then those about places."""
    rows = await session.execute(
        select(MeasurementRow, ToolRunRow.tool)
        .join(ToolRunRow, ToolRunRow.tool_run_id == MeasurementRow.tool_run_id)
        .where(MeasurementRow.analysis_id == analysis_id)
        .order_by(
            or_(MeasurementRow.path.is_not(None), MeasurementRow.address.is_not(None)),
            ToolRunRow.tool,
            MeasurementRow.ordinal,
        )
        .limit(limit)
    )
    return tuple(
        Measured(
            tool=tool, name=row.name, value=row.value, unit=row.unit, better=row.better, path=row.path,
            start_line=row.start_line, address=row.address,
        )
        for row, tool in rows
    )  # fmt: skip


async def list_manifest_entries(session: AsyncSession, analysis_id: UUID) -> tuple[ManifestEntry, ...]:
    """Return the artifacts of an analysis by name."""
    rows = await session.scalars(
        select(ManifestEntryRow)
        .where(ManifestEntryRow.analysis_id == analysis_id)
        .order_by(ManifestEntryRow.name)
    )
    return tuple(
        ManifestEntry(name=row.name, sha256=row.sha256, size_bytes=row.size_bytes, media_type=row.media_type)
        for row in rows
    )


async def _views(
    session: AsyncSession, rows: Sequence[Row[AnalysisRow, SubjectRow, str, int, str]]
) -> list[Analysis]:
    ids = [row[0].analysis_id for row in rows]
    runs = await session.execute(
        select(ToolRunRow.analysis_id, func.count(), _ENDED, _COMPLETE)
        .where(ToolRunRow.analysis_id.in_(ids))
        .group_by(ToolRunRow.analysis_id)
    )
    run_counts = {analysis_id: (planned, ended, complete) for analysis_id, planned, ended, complete in runs}
    severities = await count_by_severity(session, ids)
    return [
        _analysis(
            row, subject, (model, number), template, run_counts.get(row.analysis_id, (0, 0, 0)), severities
        )
        for row, subject, model, number, template in rows
    ]


def _analysis(
    row: AnalysisRow,
    subject: SubjectRow,
    app: tuple[str | None, int | None],
    template: str | None,
    run_counts: tuple[int, int, int],
    severities: Mapping[UUID, SeverityCounts],
) -> Analysis:
    tools_count, ended_count, complete_count = run_counts
    model, number = app
    return Analysis(
        analysis_id=row.analysis_id,
        sequence=row.sequence,
        project_id=row.project_id,
        subject=Subject(
            subject_id=subject.subject_id,
            kind=SubjectKind(subject.kind),
            name=subject.name,
            path=subject.path,
            app_id=subject.app_id,
            model=model,
            number=number,
        ),
        job_id=row.job_id,
        state=AnalysisState(row.state),
        reason=row.reason,
        profile=row.profile,
        template_id=row.template_id,
        template=template,
        is_cache_allowed=row.is_cache_allowed,
        source_digest=row.source_digest,
        files_count=row.files_count,
        excluded_count=row.excluded_count,
        results_path=row.results_path,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        tools_count=tools_count,
        ended_count=ended_count,
        complete_count=complete_count,
        severities=severities.get(row.analysis_id, SeverityCounts()),
    )


def _tool_run(row: ToolRunRow, app_isolation: Mapping[str, JsonValue] | None) -> ToolRun:
    return ToolRun(
        tool_run_id=row.tool_run_id,
        analysis_id=row.analysis_id,
        position=row.position,
        tool=row.tool,
        service=Service(row.service),
        parameters=row.parameters_json,
        attempts_count=row.attempts_count,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        reason=row.reason,
        did_run=row.did_run,
        exit_meaning=None if row.exit_meaning is None else ExitMeaning(row.exit_meaning),
        exit_code=row.exit_code,
        parse_state=None if row.parse_state is None else ParseState(row.parse_state),
        findings_count=row.findings_count,
        suppressed_count=row.suppressed_count,
        version=row.version,
        cached_from_tool_run_id=row.cached_from_tool_run_id,
        command=_strings(row.command_json),
        isolation=row.isolation_json,
        coverage=row.coverage_json,
        notices=_strings(row.notices_json),
        raw=row.raw_json or {},
        plan=row.plan_json,
        app_run_id=row.app_run_id,
        app_isolation=None if app_isolation is None else str(app_isolation.get("reason", "")),
        stands_in_for=get_tool(row.tool).describe().stands_in_for if row.tool in TOOL_NAMES else None,
        sarif_sha256=row.sarif_sha256,
        findings_digest=row.findings_digest,
        duration_ms=row.duration_ms,
        cpu_ms=row.cpu_ms,
        peak_memory_bytes=row.peak_memory_bytes,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _strings(values: list[JsonValue] | None) -> tuple[str, ...]:
    return tuple(str(value) for value in values or ())
