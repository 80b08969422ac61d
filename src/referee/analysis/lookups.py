"""What other rooms ask about many analyses at once: a few queries, however many there are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, and_, any_, case, cast, func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.tables import (
    AnalysisRow,
    FindingRow,
    ManifestRow,
    MeasurementRow,
    OccurrenceRow,
    SubjectRow,
    ToolRunRow,
)
from referee.core.vocabulary import AnalysisState, Outcome, Service

__all__ = [
    "AnalysisFacts",
    "ToolFacts",
    "ToolTime",
    "count_reported_findings",
    "count_succeeded_findings",
    "list_analysis_facts",
    "read_repeated_runs",
    "read_tool_facts",
    "read_tool_times",
]

_MAX_THINGS_COUNT: Final = 200_000
_MAX_REPEATED_RUNS_COUNT: Final = 400
"""Tool runs read for flip rates, the latest first."""
_MAX_TIMED_RUNS_COUNT: Final = 1_000
"""Tool runs read for how long tools take, the latest first."""
_MIDDLE_MEASUREMENTS: Final = ("latency_p95_ms", "requests_per_s")
"""Of these the median over addresses counts."""
_SUMMED_MEASUREMENTS: Final = (
    "requirements_count", "requirements_met_count", "requirements_not_met_count", "requirements_unknown_count",
    "endpoints_count", "endpoints_passed_count", "endpoints_not_passed_count", "endpoints_unknown_count",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisFacts:
    """What one analysis judged, and how it stands."""

    analysis_id: UUID
    state: AnalysisState
    reason: str
    app_id: UUID | None
    """None when it judged no app of a model."""
    template_id: UUID | None
    source_digest: str | None
    code_lines_count: int | None
    has_manifest: bool
    """Whether its results were verified and sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """What one tool run came to."""

    tool: str
    service: Service
    outcome: Outcome | None
    """None while it has not ended."""
    reason: str
    findings_count: int | None
    version: str | None
    duration_ms: int | None
    severities: Mapping[str, int] = field(default_factory=dict)
    """Findings that the code does not suppress, by severity."""
    rules: Mapping[str, int] = field(default_factory=dict)
    cwes: Mapping[int, int] = field(default_factory=dict)
    things: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """What it found, in a form that is the same for all tools → CWEs it names there."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Its measurements by name: over addresses the median of latencies and rates, the sum of counts."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing of it is missing."""
        return self.outcome is not None and self.outcome.is_complete


@dataclass(frozen=True, slots=True)
class ToolTime:
    """How long a tool took lately."""

    mean_ms: float
    runs_count: int


@dataclass(slots=True)
class _Found:
    """What a tool run found, while it is read."""

    severities: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    cwes: dict[int, int] = field(default_factory=dict)
    things: dict[str, frozenset[int]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


async def read_tool_facts(
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
        .where(_among(ToolRunRow.analysis_id, analysis_ids))
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
    counted = and_(_among(OccurrenceRow.analysis_id, analysis_ids), OccurrenceRow.suppression.is_(None))
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
            _among(MeasurementRow.analysis_id, analysis_ids),
            MeasurementRow.name.in_((*_MIDDLE_MEASUREMENTS, *_SUMMED_MEASUREMENTS)),
        )
        .group_by(MeasurementRow.tool_run_id, MeasurementRow.name)
    )
    for tool_run_id, name, number in rows:
        found[tool_run_id].numbers[name] = float(number)


async def read_repeated_runs(
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
        .where(_among(OccurrenceRow.tool_run_id, [row.tool_run_id for row in rows]))
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


async def list_analysis_facts(
    session: AsyncSession, project_id: UUID, analysis_ids: Sequence[UUID]
) -> list[AnalysisFacts]:
    """Return those of these analyses that the project has, the oldest first."""
    rows = await session.execute(
        select(AnalysisRow, SubjectRow.app_id, ManifestRow.analysis_id)
        .join(SubjectRow, SubjectRow.subject_id == AnalysisRow.subject_id)
        .outerjoin(ManifestRow, ManifestRow.analysis_id == AnalysisRow.analysis_id)
        .where(AnalysisRow.project_id == project_id, _among(AnalysisRow.analysis_id, analysis_ids))
        .order_by(AnalysisRow.sequence)
    )
    return [
        AnalysisFacts(
            analysis_id=row.analysis_id,
            state=AnalysisState(row.state),
            reason=row.reason,
            app_id=app_id,
            template_id=row.template_id,
            source_digest=row.source_digest,
            code_lines_count=row.code_lines_count,
            has_manifest=manifest_id is not None,
        )
        for row, app_id, manifest_id in rows
    ]


async def read_tool_times(
    session: AsyncSession, project_id: UUID, tools: Sequence[str]
) -> dict[str, ToolTime]:
    """Return how long each of these tools took on average in its latest runs; none for one that never succeeded."""
    last = (
        select(ToolRunRow.tool, ToolRunRow.duration_ms)
        .join(AnalysisRow, AnalysisRow.analysis_id == ToolRunRow.analysis_id)
        .where(
            AnalysisRow.project_id == project_id,
            ToolRunRow.tool.in_(tools),
            ToolRunRow.outcome == Outcome.succeeded.value,
            ToolRunRow.cached_from_tool_run_id.is_(None),
            ToolRunRow.duration_ms.is_not(None),
        )
        .order_by(ToolRunRow.finished_at.desc())
        .limit(_MAX_TIMED_RUNS_COUNT)
        .subquery()
    )
    rows = await session.execute(
        select(last.c.tool, func.avg(last.c.duration_ms), func.count()).group_by(last.c.tool)
    )
    return {tool: ToolTime(float(mean_ms), count) for tool, mean_ms, count in rows}


async def count_succeeded_findings(session: AsyncSession, analysis_ids: Sequence[UUID]) -> Mapping[UUID, int]:
    """Return how many findings the tools of each analysis came to; none where no tool succeeded."""
    rows = await session.execute(
        select(ToolRunRow.analysis_id, func.coalesce(func.sum(ToolRunRow.findings_count), 0))
        .where(_among(ToolRunRow.analysis_id, analysis_ids), ToolRunRow.outcome == Outcome.succeeded.value)
        .group_by(ToolRunRow.analysis_id)
    )
    return {analysis_id: int(count or 0) for analysis_id, count in rows}


async def count_reported_findings(session: AsyncSession, analysis_ids: Sequence[UUID | None]) -> int:
    """Return how many findings all tools of these analyses came to, each analysis once for each time it is named."""
    named = Counter(analysis_id for analysis_id in analysis_ids if analysis_id is not None)
    rows = await session.execute(
        select(ToolRunRow.analysis_id, func.coalesce(func.sum(ToolRunRow.findings_count), 0))
        .where(_among(ToolRunRow.analysis_id, list(named)))
        .group_by(ToolRunRow.analysis_id)
    )
    return sum(int(count or 0) * named[analysis_id] for analysis_id, count in rows)


def _among(column: Any, ids: Sequence[UUID]) -> ColumnElement[bool]:
    """Return whether a column is one of many ids, sent as one array."""
    found: ColumnElement[bool] = column == any_(cast(list(ids), ARRAY(Uuid(as_uuid=True))))
    return found
