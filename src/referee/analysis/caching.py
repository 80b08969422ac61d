"""When a tool's earlier answer is still true, and that answer as a result.

A tool is asked again only if something it depends on changed: its pinned
environment, its adapter, its parameters, its plan (which carries the digest of
the advisory store where there is one), the interpreter or the source. Results
that were cut, failed or timed out are never reused.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.results import PreparedOccurrence, RawStream, ToolRunResult, digest_json
from referee.analysis.tables import (
    AnalysisRow,
    FindingRow,
    MeasurementRow,
    OccurrenceRow,
    RuleRow,
    ToolRunRow,
)
from referee.core.findings import Coverage, CoverageHole, JsonValue, Location, Measurement, Rule, ToolFinding
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import Confidence, ExitMeaning, Outcome, ParseState, Severity
from referee.foundation.store import Artifact
from referee.tools.contract import ToolDescription, ToolPlan
from referee.tools.fingerprints import compute_cluster_key

__all__ = ["compute_cache_key", "find_cached_runs", "load_cached_result"]


def compute_cache_key(
    description: ToolDescription, lock_digest: str, version: str, plan: ToolPlan, snapshot: SourceSnapshot
) -> str | None:
    """Return the SHA-256 of everything a tool's answer depends on.

    None for a tool that looks at a running app: its answer depends on the run too, and is never reused.
    """
    if description.needs != "source":
        return None
    return digest_json(
        {
            "tool": description.name,
            "version": version,
            "adapter_version": description.adapter_version,
            "lock_digest": lock_digest,
            "python": list(sys.version_info[:2]),
            "parameters": dict(plan.parameters),
            "details": dict(plan.details),
            "files": list(plan.files),
            "source_digest": snapshot.source_digest,
        }
    )


async def find_cached_runs(
    session: AsyncSession, cache_keys: Sequence[str], *, project_id: UUID
) -> dict[str, UUID]:
    """Return the project's latest original tool run that succeeded, for each key that has one.

    Projects share no answers: one could tell from an answer that another has the same source.
    """
    rows = await session.execute(
        select(ToolRunRow.cache_key, ToolRunRow.tool_run_id)
        .join(AnalysisRow, AnalysisRow.analysis_id == ToolRunRow.analysis_id)
        .where(
            AnalysisRow.project_id == project_id,
            ToolRunRow.cache_key.in_(cache_keys),
            ToolRunRow.outcome == Outcome.succeeded.value,
            ToolRunRow.cached_from_tool_run_id.is_(None),
        )
        .order_by(ToolRunRow.finished_at)
    )
    return {str(cache_key): tool_run_id for cache_key, tool_run_id in rows}


async def load_cached_result(session: AsyncSession, tool_run_id: UUID) -> ToolRunResult:
    """Return the stored result of a tool run in the form it was recorded from."""
    run = (
        await session.execute(select(ToolRunRow).where(ToolRunRow.tool_run_id == tool_run_id))
    ).scalar_one()
    rows = (
        await session.execute(
            select(OccurrenceRow, FindingRow.fingerprint)
            .join(FindingRow, FindingRow.finding_id == OccurrenceRow.finding_id)
            .where(OccurrenceRow.tool_run_id == tool_run_id)
            .order_by(OccurrenceRow.ordinal)
        )
    ).all()
    occurrences = tuple(_occurrence(row, fingerprint) for row, fingerprint in rows)
    sources = {
        row.path: Artifact(row.source_sha256, 0, "text/plain")
        for row, _ in rows
        if row.path is not None and row.source_sha256 is not None
    }
    return ToolRunResult(
        outcome=Outcome.succeeded,
        reason="",
        did_run=True,
        exit_meaning=ExitMeaning(run.exit_meaning or ExitMeaning.unknown),
        parse_state=ParseState(run.parse_state or ParseState.parsed),
        exit_code=run.exit_code,
        occurrences=occurrences,
        is_counted=True,
        rules=await _rules(session, run.tool, {occurrence.finding.rule_id for occurrence in occurrences}),
        coverage=None if run.coverage_json is None else _coverage(run.coverage_json),
        measurements=await _measurements(session, tool_run_id),
        notices=tuple(str(notice) for notice in run.notices_json or ()),
        version=run.version,
        adapter_version=run.adapter_version,
        cache_key=run.cache_key,
        command=tuple(str(word) for word in run.command_json or ()),
        isolation=run.isolation_json,
        plan=run.plan_json,
        raw={name: _stream(value) for name, value in (run.raw_json or {}).items()},
        sarif=None if run.sarif_sha256 is None else Artifact(run.sarif_sha256, 0, "application/sarif+json"),
        sources=sources,
        duration_ms=0,
        cpu_ms=0,
        peak_memory_bytes=None,
    )


def _occurrence(row: OccurrenceRow, fingerprint: str) -> PreparedOccurrence:
    location = None
    if row.path is not None:
        location = Location(row.path, row.start_line, row.start_column, row.end_line, row.end_column)
    finding = ToolFinding(
        rule_id=row.rule_id,
        message=row.message,
        severity=Severity(row.severity),
        location=location,
        tool_severity=row.tool_severity,
        confidence=None if row.confidence is None else Confidence(row.confidence),
        cwe_ids=tuple(row.cwe_ids),
        identity=tuple(str(value) for value in row.identity_json),
        suppression=row.suppression,
        help_url=row.help_url,
        related=tuple(Location(**place) for place in row.related_json if isinstance(place, dict)),  # type: ignore[arg-type]  # stored by asdict
        properties=row.properties_json,
    )
    return PreparedOccurrence(
        finding=finding,
        fingerprint=fingerprint,
        # Computed again: the finding may have moved, or left its cluster, since.
        cluster_key=compute_cluster_key(row.path, row.start_line, row.cwe_ids),
        code_line=row.code_line,
    )


async def _rules(session: AsyncSession, tool: str, rule_ids: set[str]) -> tuple[Rule, ...]:
    rows = await session.scalars(select(RuleRow).where(RuleRow.tool == tool, RuleRow.rule_id.in_(rule_ids)))
    return tuple(
        Rule(
            row.rule_id,
            row.name,
            row.summary,
            Severity(row.default_severity),
            row.help_url,
            tuple(row.cwe_ids),
        )
        for row in rows
    )


async def _measurements(session: AsyncSession, tool_run_id: UUID) -> tuple[Measurement, ...]:
    rows = await session.scalars(
        select(MeasurementRow)
        .where(MeasurementRow.tool_run_id == tool_run_id)
        .order_by(MeasurementRow.ordinal)
    )
    return tuple(
        Measurement(
            row.name,
            row.value,
            row.unit,
            row.better,  # type: ignore[arg-type]  # one of the Literal's words, stored from a Measurement
            None if row.path is None else Location(row.path, row.start_line),
        )
        for row in rows
    )


def _coverage(data: dict[str, JsonValue]) -> Coverage:
    holes = data.pop("holes", [])
    assert isinstance(holes, list)  # noqa: S101 - stored by dump_coverage
    return Coverage(
        **data,  # type: ignore[arg-type]  # stored by dump_coverage
        holes=tuple(CoverageHole(**hole) for hole in holes if isinstance(hole, dict)),  # type: ignore[arg-type]
    )


def _stream(value: JsonValue) -> RawStream:
    assert isinstance(value, dict)  # noqa: S101 - stored by recording
    return RawStream(
        artifact=Artifact(str(value["sha256"]), int(str(value["size_bytes"])), "application/octet-stream"),
        total_bytes=int(str(value["total_bytes"])),
        is_truncated=bool(value["is_truncated"]),
    )
