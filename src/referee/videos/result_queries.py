"""Every read of what passes gave: their files, metrics, findings, chunks; and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import NotFound
from referee.videos.dumping import load
from referee.videos.shapes import (
    BallTrack,
    Evidence,
    Level,
    MetricCode,
    MotionEvent,
    PassKind,
    Report,
    Segment,
    VideoFinding,
)
from referee.videos.states import ChunkState, PassState
from referee.videos.tables import (
    VideoChunkRow,
    VideoEventRow,
    VideoFindingRow,
    VideoMetricRow,
    VideoPassRow,
    VideoPictureRow,
)
from referee.videos.views import PASS_FILES, Metric, Pass, Picture, Revision, Stretch, VideoResults

__all__ = [
    "find_missing",
    "find_results",
    "get_best_results",
    "get_results",
    "list_passes",
    "list_stretches",
]


async def list_passes(session: AsyncSession, revision_id: UUID) -> dict[PassKind, Pass]:
    """Return the passes of a revision that have begun, quick first."""
    rows = (
        await session.scalars(
            select(VideoPassRow)
            .where(VideoPassRow.revision_id == revision_id)
            .order_by(VideoPassRow.kind.desc())
            .execution_options(populate_existing=True)
        )
    ).all()
    return {PassKind(row.kind): _view_pass(row) for row in rows}


def find_missing(revision: Revision, passes: dict[PassKind, Pass]) -> tuple[str, ...]:
    """Return the names of what the passes of a revision were to give and is not recorded."""
    missing = [] if revision.original_sha256 is not None else ["original"]
    for kind in revision.kinds:
        found = passes.get(kind)
        for name in PASS_FILES:
            if found is None or name not in found.artifacts:
                missing.append(f"{kind}_{name}")
        if found is None or found.findings_count is None:
            missing.append(f"{kind}_findings")
    return tuple(missing)


async def find_results(session: AsyncSession, revision_id: UUID, kind: PassKind) -> VideoResults | None:
    """Return what a finished pass found; None when it is not finished."""
    row = await session.get(VideoPassRow, (revision_id, kind.value), populate_existing=True)
    if row is None or row.state != PassState.done:
        return None
    keys = {"revision_id": revision_id, "kind": kind.value}
    events = (
        await session.scalars(select(VideoEventRow).filter_by(**keys).order_by(VideoEventRow.t_s))
    ).all()
    metrics = (
        await session.scalars(select(VideoMetricRow).filter_by(**keys).order_by(VideoMetricRow.position))
    ).all()
    findings = (
        await session.scalars(select(VideoFindingRow).filter_by(**keys).order_by(VideoFindingRow.position))
    ).all()
    pictures = (
        await session.scalars(select(VideoPictureRow).filter_by(**keys).order_by(VideoPictureRow.position))
    ).all()
    return VideoResults(
        done=_view_pass(row),
        events=tuple(
            load(
                MotionEvent,
                {
                    "name": one.name,
                    "t_s": one.t_s,
                    "uncertainty_s": one.uncertainty_s,
                    "is_edited": one.is_edited,
                },
            )
            for one in events
        ),
        metrics=tuple(map(_view_metric, metrics)),
        findings=tuple(map(_view_finding, findings)),
        pictures=tuple(
            Picture(position=one.position, t_s=one.t_s, caption=one.caption, sha256=one.sha256)
            for one in pictures
        ),
    )


async def get_results(session: AsyncSession, revision: Revision, kind: PassKind) -> VideoResults:
    """Return what a finished pass found.

    Raises:
        NotFound: The pass is not finished, or was not asked for.
    """
    found = await find_results(session, revision.revision_id, kind)
    if found is None:
        raise NotFound(
            "video.results_not_found",
            f"The {kind} pass of revision {revision.number} has no results; the revision is {revision.state}.",
            revision.reason or "Wait until the pass is finished, or ask for it.",
        )
    return found


async def get_best_results(session: AsyncSession, revision: Revision) -> VideoResults | None:
    """Return what the deepest finished pass found; None when there is none yet."""
    for kind in reversed(revision.kinds):
        found = await find_results(session, revision.revision_id, kind)
        if found is not None:
            return found
    return None


async def list_stretches(session: AsyncSession, revision_id: UUID) -> Sequence[Stretch]:
    """Return the chunks of the deep pass, in order of time."""
    rows = (
        await session.scalars(
            select(VideoChunkRow)
            .where(VideoChunkRow.revision_id == revision_id)
            .order_by(VideoChunkRow.position)
            .execution_options(populate_existing=True)
        )
    ).all()
    return [
        Stretch(
            position=row.position,
            start_s=row.start_s,
            end_s=row.end_s,
            frames_count=row.frames_count,
            is_action=row.is_action,
            state=ChunkState(row.state),
            attempts_count=row.attempts_count,
            done_share=row.done_share,
            reason=row.reason,
            keypoints_sha256=row.keypoints_sha256,
            facts=row.facts_json,
        )
        for row in rows
    ]


def _view_pass(row: VideoPassRow) -> Pass:
    stored = {name: getattr(row, f"{name}_sha256") for name in PASS_FILES}
    return Pass(
        revision_id=row.revision_id,
        kind=PassKind(row.kind),
        state=PassState(row.state),
        artifacts={name: sha256 for name, sha256 in stored.items() if sha256 is not None},
        report=None if row.report_json is None else load(Report, row.report_json),
        overall_level=row.overall_level,
        findings_count=row.findings_count,
        legacy_scores=load(dict[str, float | None], row.legacy_scores_json or {}),
        facts=row.facts_json or {},
        ball=None if row.ball_json is None else load(BallTrack, row.ball_json),
        finished_at=row.finished_at,
    )


def _view_metric(row: VideoMetricRow) -> Metric:
    return Metric(
        code=row.code,
        value=row.value,
        unit=row.unit,
        low=row.low,
        high=row.high,
        level=row.level,
        is_uncertain=row.is_uncertain,
        frames_count=row.frames_count,
        coverage_share=row.coverage_share,
        reason_code=row.reason_code,
        reason=row.reason,
        detail=row.detail_json,
    )


def _view_finding(row: VideoFindingRow) -> VideoFinding:
    return VideoFinding(
        code=row.code,
        metric=None if row.metric is None else MetricCode(row.metric),
        title=row.title,
        severity=Level(row.severity),
        is_uncertain=row.is_uncertain,
        message=row.message,
        why_it_matters=row.why_it_matters,
        cues=tuple(map(str, row.cues_json)),
        drills=tuple(map(str, row.drills_json)),
        confidence_share=row.confidence_share,
        worst_frames=tuple(load(Evidence, one) for one in row.worst_frames_json),
        bad_segments=tuple(load(Segment, one) for one in row.bad_segments_json),
    )
