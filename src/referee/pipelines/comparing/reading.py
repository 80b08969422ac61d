"""What tools, starts and generations gave, for many analyses and apps in one query each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, and_, any_, case, cast, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.tables import AnalysisRow, FindingRow, MeasurementRow, OccurrenceRow, ToolRunRow
from referee.apps import FailureKind, GenerationFailure
from referee.apps.tables import AppRunRow, GenerationRow
from referee.core.vocabulary import Outcome, Service
from referee.pipelines.comparing.cells import GenerationFacts, ToolFacts

__all__ = ["among", "read_generations", "read_repeats", "read_starts", "read_tools"]

_MAX_THINGS_COUNT: Final = 200_000
_MAX_REPEATED_RUNS_COUNT: Final = 400
"""Tool runs read for flip rates, the latest first."""

_MIDDLE_MEASUREMENTS: Final = ("latency_p95_ms", "requests_per_s")
"""Of these the median over addresses counts."""
_SUMMED_MEASUREMENTS: Final = (
    "requirements_count", "requirements_met_count", "requirements_not_met_count", "requirements_unknown_count",
    "endpoints_count", "endpoints_passed_count", "endpoints_not_passed_count", "endpoints_unknown_count",
)  # fmt: skip

_MODELS_FAULTS: Final = frozenset(
    {
        GenerationFailure.placeholder,
        GenerationFailure.confirmation_seeking,
        GenerationFailure.truncated,
        GenerationFailure.syntax_error,
        GenerationFailure.no_code,
        GenerationFailure.refused,
    }
)
_APPS_FAULTS: Final = [kind.value for kind in FailureKind if kind.is_of_app]
"""Ways a start fails that blame the app."""


@dataclass(slots=True)
class _Found:
    """What a tool run found, while it is read."""

    severities: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    cwes: dict[int, int] = field(default_factory=dict)
    things: dict[str, frozenset[int]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


async def read_tools(
    session: AsyncSession, analysis_ids: Sequence[UUID]
) -> tuple[dict[UUID, dict[str, ToolFacts]], bool]:
    """Return the tool runs of each analysis, and whether what tools found in common is among it."""
    if not analysis_ids:
        return {}, True
    found, has_all_things = await _read_found(session, analysis_ids)
    rows = await session.execute(
        select(
            ToolRunRow.tool_run_id,
            ToolRunRow.analysis_id,
            ToolRunRow.tool,
            ToolRunRow.service,
            ToolRunRow.outcome,
            ToolRunRow.reason,
            ToolRunRow.findings_count,
            ToolRunRow.version,
            ToolRunRow.duration_ms,
        )
        .where(among(ToolRunRow.analysis_id, analysis_ids))
        .order_by(ToolRunRow.analysis_id, ToolRunRow.position)
    )
    nothing = _Found()
    tools: dict[UUID, dict[str, ToolFacts]] = {}
    for row in rows:
        one = found.get(row.tool_run_id, nothing)
        tools.setdefault(row.analysis_id, {})[row.tool] = ToolFacts(
            tool=row.tool,
            service=Service(row.service),
            outcome=None if row.outcome is None else Outcome(row.outcome),
            reason=row.reason,
            findings_count=row.findings_count,
            version=row.version,
            duration_ms=row.duration_ms,
            severities=one.severities,
            rules=one.rules,
            cwes=one.cwes,
            things=one.things,
            numbers=one.numbers,
        )
    return tools, has_all_things


async def _read_found(
    session: AsyncSession, analysis_ids: Sequence[UUID]
) -> tuple[defaultdict[UUID, _Found], bool]:
    found: defaultdict[UUID, _Found] = defaultdict(_Found)
    counted = and_(among(OccurrenceRow.analysis_id, analysis_ids), OccurrenceRow.suppression.is_(None))
    rows = await session.execute(
        select(OccurrenceRow.tool_run_id, OccurrenceRow.rule_id, OccurrenceRow.severity, func.count())
        .where(counted)
        .group_by(OccurrenceRow.tool_run_id, OccurrenceRow.rule_id, OccurrenceRow.severity)
    )
    for tool_run_id, rule_id, severity, count in rows:
        one = found[tool_run_id]
        one.severities[severity] = one.severities.get(severity, 0) + count
        one.rules[rule_id] = one.rules.get(rule_id, 0) + count
    numbers: Any = func.unnest(OccurrenceRow.cwe_ids).table_valued("number").render_derived()
    named = await session.execute(
        select(OccurrenceRow.tool_run_id, numbers.c.number, func.count())
        .join(numbers, true())
        .where(counted)
        .group_by(OccurrenceRow.tool_run_id, numbers.c.number)
    )
    for tool_run_id, cwe, count in named:
        found[tool_run_id].cwes[cwe] = count
    thing = func.coalesce(FindingRow.cluster_id, FindingRow.finding_id)
    things = (
        await session.execute(
            select(OccurrenceRow.tool_run_id, thing, FindingRow.cwe_ids)
            .join(FindingRow, FindingRow.finding_id == OccurrenceRow.finding_id)
            .where(counted)
            .distinct()
            .limit(_MAX_THINGS_COUNT + 1)
        )
    ).all()
    has_all_things = len(things) <= _MAX_THINGS_COUNT
    for tool_run_id, thing_id, cwe_ids in things if has_all_things else ():
        mine = found[tool_run_id].things
        mine[thing_id.hex] = mine.get(thing_id.hex, frozenset()) | frozenset(cwe_ids)
    await _read_numbers(session, analysis_ids, found)
    return found, has_all_things


async def _read_numbers(
    session: AsyncSession, analysis_ids: Sequence[UUID], found: defaultdict[UUID, _Found]
) -> None:
    middle: ColumnElement[float] = func.percentile_cont(0.5).within_group(MeasurementRow.value)
    value = case(
        (MeasurementRow.name.in_(_MIDDLE_MEASUREMENTS), middle), else_=func.sum(MeasurementRow.value)
    )
    rows = await session.execute(
        select(MeasurementRow.tool_run_id, MeasurementRow.name, value)
        .where(
            among(MeasurementRow.analysis_id, analysis_ids),
            MeasurementRow.name.in_((*_MIDDLE_MEASUREMENTS, *_SUMMED_MEASUREMENTS)),
        )
        .group_by(MeasurementRow.tool_run_id, MeasurementRow.name)
    )
    for tool_run_id, name, number in rows:
        found[tool_run_id].numbers[name] = float(number)


async def read_starts(session: AsyncSession, project_id: UUID, digests: Sequence[str]) -> dict[str, bool]:
    """Return whether the app of a source was ever up; none for one that was never tried in earnest."""
    rows = await session.execute(
        select(AppRunRow.source_digest, func.bool_or(AppRunRow.started_at.is_not(None)))
        .where(
            AppRunRow.project_id == project_id,
            AppRunRow.source_digest.in_(set(digests)),
            or_(
                AppRunRow.started_at.is_not(None),
                AppRunRow.failure.in_(_APPS_FAULTS),
            ),
        )
        .group_by(AppRunRow.source_digest)
    )
    return {digest: bool(has_started) for digest, has_started in rows}


async def read_generations(
    session: AsyncSession, project_id: UUID, app_ids: Sequence[UUID]
) -> dict[UUID, GenerationFacts]:
    """Return the writings of each app; none for an app that was not written here."""
    rows = await session.scalars(
        select(GenerationRow)
        .where(GenerationRow.project_id == project_id, among(GenerationRow.app_id, list(set(app_ids))))
        .order_by(GenerationRow.app_id, GenerationRow.version)
    )
    by_app: dict[UUID, list[GenerationRow]] = {}
    for row in rows:
        by_app.setdefault(row.app_id, []).append(row)
    return {app_id: _sum_generations(group) for app_id, group in by_app.items()}


def _sum_generations(rows: Sequence[GenerationRow]) -> GenerationFacts:
    costs = [row.cost_usd for row in rows]
    last = rows[-1]
    known = [cost for cost in costs if cost is not None]
    return GenerationFacts(
        attempts_count=len(rows),
        calls_count=sum(row.calls_count for row in rows),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        state=last.state,
        failure=last.failure,
        is_models_fault=last.failure is not None and last.failure in _MODELS_FAULTS,
    )


async def read_repeats(
    session: AsyncSession, project_id: UUID, digests: Sequence[str]
) -> dict[str, list[list[frozenset[str]]]]:
    """Return what a tool found each time in one version, with one setting, on one source.

    Runs that a cache answered are none. Only static tools: nothing but the source decides what they say.
    """
    same = (
        AnalysisRow.source_digest,
        ToolRunRow.tool,
        ToolRunRow.version,
        ToolRunRow.adapter_version,
        ToolRunRow.parameters_digest,
    )
    own = (
        AnalysisRow.project_id == project_id,
        AnalysisRow.source_digest.in_(set(digests)),
        ToolRunRow.outcome == Outcome.succeeded.value,
        ToolRunRow.cached_from_tool_run_id.is_(None),
        ToolRunRow.service == Service.static.value,
    )
    window: Any = func.count().over(partition_by=same)
    ranked = (
        select(ToolRunRow.tool_run_id, *same, window.label("runs_count"), AnalysisRow.sequence)
        .join(AnalysisRow, AnalysisRow.analysis_id == ToolRunRow.analysis_id)
        .where(*own)
        .subquery()
    )
    rows = (
        await session.execute(
            select(ranked)
            .where(ranked.c.runs_count > 1)
            .order_by(ranked.c.sequence.desc())
            .limit(_MAX_REPEATED_RUNS_COUNT)
        )
    ).all()
    if not rows:
        return {}
    seen: defaultdict[UUID, set[str]] = defaultdict(set)
    prints = await session.execute(
        select(OccurrenceRow.tool_run_id, FindingRow.fingerprint)
        .join(FindingRow, FindingRow.finding_id == OccurrenceRow.finding_id)
        .where(among(OccurrenceRow.tool_run_id, [row.tool_run_id for row in rows]))
        .distinct()
    )
    for tool_run_id, fingerprint in prints:
        seen[tool_run_id].add(fingerprint)
    groups: dict[tuple[object, ...], list[frozenset[str]]] = {}
    for row in rows:
        same_run = (row.tool, row.source_digest, row.version, row.adapter_version, row.parameters_digest)
        groups.setdefault(same_run, []).append(frozenset(seen[row.tool_run_id]))
    repeats: dict[str, list[list[frozenset[str]]]] = {}
    for key, runs in groups.items():
        if len(runs) > 1:
            repeats.setdefault(str(key[0]), []).append(runs)
    return dict(sorted(repeats.items()))


def among(column: Any, ids: Sequence[UUID]) -> ColumnElement[bool]:
    """Return whether a column is one of many ids, sent as one array."""
    found: ColumnElement[bool] = column == any_(cast(list(ids), ARRAY(Uuid(as_uuid=True))))
    return found
