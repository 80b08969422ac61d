"""Videos against each other: two of them synchronised on events, and one player's over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import hypot
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.videos.consistency import compute_consistency
from referee.videos.queries import get_video, list_videos
from referee.videos.releases import MAX_RELEASES_COUNT
from referee.videos.result_queries import get_best_results
from referee.videos.room import VideosRoom
from referee.videos.shapes import Discipline, EventName, Level, MetricCode, ReleaseConsistency, ReleasePoint
from referee.videos.tables import VideoRow
from referee.videos.targets import compute_compliance
from referee.videos.views import Metric, Video, VideoResults

__all__ = [
    "SYNC_ORDER",
    "Comparison",
    "MetricChange",
    "PlayerSummary",
    "TrendPoint",
    "compare_videos",
    "read_trend",
    "summarise_player",
]

SYNC_ORDER: Final = (
    EventName.release,
    EventName.impact,
    EventName.front_foot_contact,
    EventName.stride,
    EventName.backlift,
    EventName.stance,
)
"""Events on which two clips are laid over each other, the first that both have."""
_MORE_IS_BETTER: Final = {MetricCode.hip_shoulder_timing.value}
"""Hips before shoulders; of every other metric less is better."""
_RANK: Final = {Level.low.value: 0, Level.medium.value: 1, Level.high.value: 2}
MAX_TREND_COUNT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """A metric of two videos. A difference whose 95 % interval holds 0 is no change."""

    code: str
    unit: str
    baseline: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: str
    """``better``, ``worse``, ``unchanged`` or ``not_comparable``."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two videos side by side."""

    baseline: Video
    candidate: Video
    sync_event: str | None
    """None: they share no event, and begin together."""
    baseline_t_s: float
    candidate_t_s: float
    changes: tuple[MetricChange, ...]
    persistent: tuple[str, ...]
    """Codes of findings that both have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """One metric of one video, for error bars over time."""

    video_id: UUID
    title: str
    at: datetime
    code: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    level: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerSummary:
    """What a player's videos say together."""

    player: str
    videos_count: int
    analysed_count: int
    worst: tuple[tuple[str, int], ...]
    """Codes of findings with in how many videos, most first."""
    improved: tuple[str, ...]
    """Metrics whose level got lower from the first to the last video."""
    worsened: tuple[str, ...]
    compliance_share: float | None
    """Of the last video with targets."""
    consistency: ReleaseConsistency | None
    """Of the release points in bowling, from the side from which most are filmed; None: fewer than three."""
    trend: tuple[TrendPoint, ...]


async def compare_videos(
    room: VideosRoom,
    project_id: UUID,
    baseline_id: UUID,
    candidate_id: UUID,
    *,
    event: EventName | None = None,
) -> Comparison:
    """Lay a video over another one, synchronised on an event that both have.

    Raises:
        NotFound: The project has no such video.
    """
    async with room.database.reading() as session:
        baseline = await get_video(session, project_id, baseline_id)
        candidate = await get_video(session, project_id, candidate_id)
        first = await get_best_results(session, baseline.revision)
        second = await get_best_results(session, candidate.revision)
    before, after = _times(first), _times(second)
    wanted = (event, *SYNC_ORDER) if event is not None else SYNC_ORDER
    shared = next((name for name in wanted if name in before and name in after), None)
    codes = (
        {one.code for one in first.findings} & {one.code for one in second.findings}
        if first and second
        else set()
    )
    return Comparison(
        baseline=baseline,
        candidate=candidate,
        sync_event=None if shared is None else shared.value,
        baseline_t_s=0.0 if shared is None else before[shared],
        candidate_t_s=0.0 if shared is None else after[shared],
        changes=_compare_metrics(first, second),
        persistent=tuple(sorted(codes)),
    )


async def read_trend(
    session: AsyncSession,
    project_id: UUID,
    *,
    player: str,
    discipline: Discipline | None = None,
    code: MetricCode | None = None,
) -> tuple[TrendPoint, ...]:
    """Return the metrics of a player's videos, oldest first."""
    return tuple(
        TrendPoint(
            video_id=video.video_id,
            title=video.title,
            at=video.created_at,
            code=metric.code,
            unit=metric.unit,
            value=metric.value,
            low=metric.low,
            high=metric.high,
            level=metric.level,
            reason=metric.reason,
        )
        for video, results in await _read_player(session, project_id, player, discipline)
        if results is not None
        for metric in results.metrics
        if code is None or metric.code == code.value
    )


async def summarise_player(
    room: VideosRoom, project_id: UUID, player: str, *, discipline: Discipline | None = None
) -> PlayerSummary:
    """Return what a player's videos say together. A player without videos has an empty one."""
    async with room.database.reading() as session:
        read = await _read_player(session, project_id, player, discipline)
        trend = await read_trend(session, project_id, player=player, discipline=discipline)
    counts: dict[str, int] = {}
    compliance = None
    for video, results in read:
        if results is None:
            continue
        for code in {finding.code for finding in results.findings}:
            counts[code] = counts.get(code, 0) + 1
        found = compute_compliance(video.revision.targets, results.metrics)
        compliance = found.share if found.share is not None else compliance
    better, worse = _turns(trend)
    return PlayerSummary(
        player=player,
        videos_count=len(read),
        analysed_count=sum(results is not None for _, results in read),
        worst=tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0]))),
        improved=better,
        worsened=worse,
        compliance_share=compliance,
        consistency=_compare_releases(read) if player else None,
        trend=trend,
    )


async def _read_player(
    session: AsyncSession, project_id: UUID, player: str, discipline: Discipline | None
) -> list[tuple[Video, VideoResults | None]]:
    conditions = [VideoRow.player == player]
    if discipline is not None:
        conditions.append(VideoRow.discipline == discipline.value)
    page = await list_videos(session, project_id, conditions=conditions, limit=MAX_TREND_COUNT)
    return [(video, await get_best_results(session, video.revision)) for video in reversed(page.items)]


def _compare_releases(read: Sequence[tuple[Video, VideoResults | None]]) -> ReleaseConsistency | None:
    """Return how much the release points differ among the videos that are filmed alike."""
    alike: dict[tuple[str, str], list[ReleasePoint]] = {}
    for video, results in read:
        ball = None if results is None else results.done.ball
        if ball is not None and ball.release is not None:
            capture = video.revision.capture
            alike.setdefault((capture.camera_view, capture.handedness), []).append(ball.release)
    most = max(alike.values(), key=len, default=[])
    return compute_consistency(most[-MAX_RELEASES_COUNT:])


def _turns(trend: Sequence[TrendPoint]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return metrics whose level got lower, and those whose level got higher, from first to last."""
    better, worse = [], []
    for code in MetricCode:
        levels = [point.level for point in trend if point.code == code.value and point.level is not None]
        if len(levels) > 1 and _RANK[levels[-1]] < _RANK[levels[0]]:
            better.append(code.value)
        if len(levels) > 1 and _RANK[levels[-1]] > _RANK[levels[0]]:
            worse.append(code.value)
    return tuple(better), tuple(worse)


def _times(results: VideoResults | None) -> dict[EventName, float]:
    return {} if results is None else {event.name: event.t_s for event in results.events}


def _compare_metrics(first: VideoResults | None, second: VideoResults | None) -> tuple[MetricChange, ...]:
    if first is None or second is None:
        return ()
    after = {metric.code: metric for metric in second.metrics}
    return tuple(_compare(metric, after[metric.code]) for metric in first.metrics if metric.code in after)


def _compare(before: Metric, after: Metric) -> MetricChange:
    if before.value is None or after.value is None:
        return MetricChange(
            code=before.code,
            unit=before.unit or after.unit,
            baseline=before.value,
            candidate=after.value,
            difference=None,
            low=None,
            high=None,
            verdict="not_comparable",
            reason=before.reason or after.reason,
        )
    difference = after.value - before.value
    # The two clips are measured independently, so their half widths add as squares.
    low = difference - hypot(after.value - (after.low or 0.0), (before.high or 0.0) - before.value)
    high = difference + hypot((after.high or 0.0) - after.value, before.value - (before.low or 0.0))
    verdict = "unchanged"
    if low > 0 or high < 0:
        is_more = difference > 0
        verdict = "better" if is_more == (before.code in _MORE_IS_BETTER) else "worse"
    return MetricChange(
        code=before.code,
        unit=before.unit,
        baseline=before.value,
        candidate=after.value,
        difference=difference,
        low=low,
        high=high,
        verdict=verdict,
        reason="",
    )
