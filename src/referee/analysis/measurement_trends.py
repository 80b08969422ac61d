"""How the measurements of an app went over its versions: did the latest one make any of them worse?

A version is a state of the app's source. What is compared was measured by one tool with the same parameters, about
the same place; results from the cache are not measured again and do not count.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.tables import AnalysisRow, MeasurementRow, SubjectRow, ToolRunRow
from referee.core.vocabulary import AnalysisState
from referee.foundation.statistics import (
    ChangePoint,
    Interval,
    adjust_p_values,
    compute_group_shift,
    compute_rank_sum_p,
    find_change_points,
)
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "ANALYSES_COUNT",
    "TREND_FIELDS",
    "MeasurementTrend",
    "TrendPoint",
    "compare_versions",
    "find_changes",
    "read_trends",
    "show_value",
]

ANALYSES_COUNT: Final = 200
"""The latest analyses that are looked at."""
CLAIM_LEVEL: Final = 0.05
"""Share of false claims among the measurements that are said to be worse or better."""
_MAX_VALUES_COUNT: Final = 50_000
_ENDED: Final = (AnalysisState.completed.value, AnalysisState.partially_completed.value)

Verdict: TypeAlias = Literal["worse", "better", "changed", "no clear change", "too few values"]
VERDICTS: Final[tuple[Verdict, ...]] = ("worse", "changed", "better", "no clear change", "too few values")

TREND_FIELDS: Final[Mapping[str, FilterField]] = {
    "tool": FilterField("keyword", "Tool that measured.", example="tool:ab"),
    "name": FilterField(
        "keyword", "Name of the measurement, or a pattern with *.", is_searched=True, example="name:*p95*"
    ),
    "address": FilterField("text", "Part of the place that was measured.", example="address:/api"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "tool": ToolRunRow.__table__.c.tool,
    "name": MeasurementRow.__table__.c.name,
    "address": MeasurementRow.__table__.c.address,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """One value."""

    analysis_id: UUID
    at: datetime
    """When the analysis was asked for."""
    source_digest: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementTrend:
    """One measurement of an app over its versions."""

    tool: str
    name: str
    unit: str
    better: str
    """``higher``, ``lower`` or ``neither``."""
    address: str
    """Empty when it is about the whole app."""
    points: Sequence[TrendPoint] = field(repr=False)
    """The earliest first; at least two."""
    verdict: Verdict = "too few values"
    """Of the latest version, against those before it."""
    shift: Interval | None = None
    """Hodges–Lehmann, 95 %: the latest version less those before; None with too few values."""
    p_value: float | None = None
    """Adjusted for all measurements that were looked at; None without a version before."""

    @property
    def key(self) -> str:
        """What it is called in addresses; unique in its app."""
        return f"{self.tool} {self.name} {self.address}".strip()

    @property
    def latest_digest(self) -> str:
        """Digest of the latest version that was measured."""
        return self.points[-1].source_digest

    @property
    def latest(self) -> list[float]:
        """Values of the latest version."""
        return [point.value for point in self.points if point.source_digest == self.latest_digest]

    @property
    def earlier(self) -> list[float]:
        """Values of the versions before."""
        return [point.value for point in self.points if point.source_digest != self.latest_digest]

    @property
    def versions_count(self) -> int:
        """Versions that were measured."""
        return len({point.source_digest for point in self.points})


async def read_trends(
    session: AsyncSession, project_id: UUID, app_id: UUID, *, where: Filter | None = None
) -> list[MeasurementTrend]:
    """Return the measurements of an app that were taken at least twice, those that got worse first.

    Measurements of single places in the source are left out; addresses of the running app are in.
    """
    trends = await _load(session, project_id, app_id, where)
    return await asyncio.to_thread(compare_versions, trends)


async def _load(
    session: AsyncSession, project_id: UUID, app_id: UUID, where: Filter | None
) -> list[MeasurementTrend]:
    latest = (
        select(
            AnalysisRow.analysis_id, AnalysisRow.sequence, AnalysisRow.created_at, AnalysisRow.source_digest
        )
        .join(SubjectRow, SubjectRow.subject_id == AnalysisRow.subject_id)
        .where(
            SubjectRow.app_id == app_id,
            AnalysisRow.project_id == project_id,
            AnalysisRow.state.in_(_ENDED),
        )
        .order_by(AnalysisRow.sequence.desc())
        .limit(ANALYSES_COUNT)
        .subquery()
    )
    conditions = [] if where is None else [to_where(where, _COLUMNS)]
    rows = await session.execute(
        select(
            ToolRunRow.tool,
            ToolRunRow.parameters_digest,
            MeasurementRow.name,
            MeasurementRow.unit,
            MeasurementRow.better,
            MeasurementRow.address,
            MeasurementRow.value,
            latest.c.analysis_id,
            latest.c.created_at,
            latest.c.source_digest,
        )
        .select_from(latest)
        .join(ToolRunRow, ToolRunRow.analysis_id == latest.c.analysis_id)
        .join(MeasurementRow, MeasurementRow.tool_run_id == ToolRunRow.tool_run_id)
        .where(ToolRunRow.cached_from_tool_run_id.is_(None), MeasurementRow.path.is_(None), *conditions)
        .order_by(latest.c.sequence.desc(), ToolRunRow.position, MeasurementRow.ordinal)
        .limit(_MAX_VALUES_COUNT)
    )
    newest_parameters: dict[str, str] = {}
    points: dict[tuple[str, str, str, str, str], list[TrendPoint]] = {}
    for tool, parameters, name, unit, better, address, value, analysis_id, at, digest in rows:
        if newest_parameters.setdefault(tool, parameters) != parameters:
            continue  # measured in another way
        point = TrendPoint(analysis_id=analysis_id, at=at, source_digest=digest, value=value)
        points.setdefault((tool, name, unit, better, address or ""), []).append(point)
    return [
        MeasurementTrend(
            tool=tool, name=name, unit=unit, better=better, address=address, points=tuple(reversed(found))
        )
        for (tool, name, unit, better, address), found in points.items()
        if len(found) > 1
    ]


def compare_versions(trends: Sequence[MeasurementTrend]) -> list[MeasurementTrend]:
    """Return trends with their verdicts, those that got worse first, the clearest of them first.

    The latest version is held against all before it by Mann and Whitney's test; p is adjusted for all measurements
    with a version before, by Benjamini and Hochberg.
    """
    with_two = [trend for trend in trends if trend.earlier]
    raw = [compute_rank_sum_p(trend.earlier, trend.latest) for trend in with_two]
    adjusted = adjust_p_values(raw, method="benjamini_hochberg") if raw else ()
    judged = [_judge(trend, p_value) for trend, p_value in zip(with_two, adjusted, strict=True)]
    rest = [trend for trend in trends if not trend.earlier]
    return sorted(
        [*judged, *rest],
        key=lambda one: (VERDICTS.index(one.verdict), 1.0 if one.p_value is None else one.p_value, one.key),
    )


def _judge(trend: MeasurementTrend, p_value: float) -> MeasurementTrend:
    shift = compute_group_shift(trend.earlier, trend.latest)
    verdict: Verdict
    if shift is None:
        verdict = "too few values"
    elif p_value > CLAIM_LEVEL or shift.low <= 0 <= shift.high:
        verdict = "no clear change"
    elif trend.better == "neither":
        verdict = "changed"
    else:
        verdict = "better" if (shift.point > 0) == (trend.better == "higher") else "worse"
    return replace(trend, verdict=verdict, shift=shift, p_value=p_value)


def find_changes(points: Iterable[TrendPoint]) -> tuple[ChangePoint, ...]:
    """Return where the values changed their level, whatever versions were analysed."""
    return find_change_points([point.value for point in points], level=CLAIM_LEVEL)


def show_value(value: float, sign: str = "") -> str:
    """Return a value with about three figures that count, and without a power of ten; ``sign`` "+" shows one."""
    if value == 0:
        return "0"
    size = abs(value)
    digits = (
        0
        if size >= 100
        else 1
        if size >= 10
        else 2
        if size >= 1
        else min(9, 2 - math.floor(math.log10(size)))
    )
    text = f"{value:{sign},.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if text.strip("+-0") else "0"
