"""The end of a pass: its findings, report and verified artifacts with the change of state, in one transaction."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Final
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy import delete, func, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import IntegrityError, RefereeError
from referee.foundation.metrics import REGISTRY
from referee.foundation.store import Artifact, record_artifacts
from referee.videos import result_queries
from referee.videos.dumping import dump
from referee.videos.outcomes import Outcome
from referee.videos.queries import get_revision, view_revision
from referee.videos.reporting import QUICK_SHARE
from referee.videos.requests import tell
from referee.videos.room import VideosRoom
from referee.videos.shapes import Measured, Measurement, NotMeasurable, PassKind, VideoFinding, VideoState
from referee.videos.states import PassState
from referee.videos.tables import (
    VideoEventRow,
    VideoFindingRow,
    VideoMetricRow,
    VideoPassRow,
    VideoPictureRow,
    VideoRevisionRow,
)
from referee.videos.views import PASS_FILES, Revision

__all__ = ["DONE_REFUSALS", "advance", "fail_revision", "record_pass"]

DONE_REFUSALS: Final = Counter(
    "referee_videos_done_refusals_total",
    "Times a pass was not called done since findings, report or artifacts were not all there.",
    registry=REGISTRY,
)
_PASSES: Final = Counter(
    "referee_videos_passes_total", "Passes that were finished.", ["kind"], registry=REGISTRY
)
_logger = structlog.get_logger(__name__)


async def record_pass(
    room: VideosRoom, project_id: UUID, revision_id: UUID, kind: PassKind, outcome: Outcome
) -> str:
    """Keep everything a pass found and call it done, all or nothing. Returns the state of the revision.

    A pass that is done already stays as it is.

    Raises:
        IntegrityError: Something of it is not there, or is not what was stored; nothing was called done.
    """
    stored = {
        name: await room.artifacts.put_bytes(outcome.files[name], PASS_FILES[name][0])
        for name in PASS_FILES
        if name in outcome.files
    }
    pictures = [
        (t_s, caption, await room.artifacts.put_bytes(jpeg, "image/jpeg"))
        for t_s, caption, jpeg in outcome.pictures
    ]
    await _verify(room, kind, stored, [artifact for _, _, artifact in pictures])
    try:
        async with room.database.transaction() as session:
            state, is_new = await _write(session, project_id, revision_id, kind, outcome, stored, pictures)
    except RefereeError:
        DONE_REFUSALS.inc()
        raise
    if not is_new:
        return state
    _PASSES.labels(kind.value).inc()
    async with room.database.reading() as session:
        revision = await get_revision(session, project_id, revision_id)
    _logger.info(
        "video.pass_saved",
        job_id=str(revision.job_id),
        revision_id=str(revision_id),
        kind=kind.value,
        frames=outcome.facts.get("decoded_count", 0),
        findings_count=len(outcome.findings),
        report_chars=len(outcome.report.text),
        **{f"{name}_key": artifact.sha256 for name, artifact in stored.items()},
        **{f"{name}_bytes": artifact.size_bytes for name, artifact in stored.items()},
    )
    return state


async def advance(room: VideosRoom, project_id: UUID, revision_id: UUID, kind: PassKind) -> str | None:
    """Go on behind a pass that is done already, and return the state; None when it is not done."""
    async with room.database.transaction() as session:
        done = await session.get(VideoPassRow, (revision_id, kind.value))
        if done is None or done.state != PassState.done.value:
            return None
        revision = await get_revision(session, project_id, revision_id)
        if revision.state is VideoState.quick_running:
            return await _change_state(session, revision, kind)
        return revision.state.value


async def fail_revision(session: AsyncSession, revision_id: UUID, code: str, reason: str) -> None:
    """End a revision that came to nothing more; what it has stays. In the caller's transaction.

    The reason names everything that is missing.
    """
    row = await session.scalar(
        select(VideoRevisionRow).where(VideoRevisionRow.revision_id == revision_id).with_for_update()
    )
    if row is None or row.state in (VideoState.done.value, VideoState.failed.value):
        return
    passes = await result_queries.list_passes(session, revision_id)
    missing = result_queries.find_missing(view_revision(row), passes)
    await session.execute(
        update(VideoRevisionRow)
        .where(VideoRevisionRow.revision_id == revision_id)
        .values(
            state=VideoState.failed.value,
            stage="FAILED",
            reason_code=row.reason_code or code,
            reason=f"{reason} Missing: {', '.join(missing)}." if missing else reason,
            finished_at=func.clock_timestamp(),
        )
    )
    await tell(session, row.project_id, row.video_id)


async def _verify(
    room: VideosRoom, kind: PassKind, stored: dict[str, Artifact], pictures: list[Artifact]
) -> None:
    """Read every artifact again before anything is called done."""
    problems = [f"{kind}_{name} is missing" for name in PASS_FILES if name not in stored]
    for name, artifact in [*stored.items(), *(("picture", one) for one in pictures)]:
        problem = await room.artifacts.check(artifact.sha256, size_bytes=artifact.size_bytes)
        if problem is not None or artifact.size_bytes == 0:
            problems.append(f"{kind}_{name}: {problem or 'it is empty.'}")
    if problems:
        DONE_REFUSALS.inc()
        raise IntegrityError(
            "video.pass_incomplete",
            f"The {kind} pass is not done: {'; '.join(problems)}",
            "Retry the analysis; what is there is kept.",
        )


async def _write(
    session: AsyncSession,
    project_id: UUID,
    revision_id: UUID,
    kind: PassKind,
    outcome: Outcome,
    stored: dict[str, Artifact],
    pictures: list[tuple[float, str, Artifact]],
) -> tuple[str, bool]:
    """Return the state, and whether it is by this call: a pass that is done already stays as it is."""
    row = await session.scalar(
        select(VideoRevisionRow).where(VideoRevisionRow.revision_id == revision_id).with_for_update()
    )
    assert row is not None  # noqa: S101 - a video with a running job is deleted only after the job has ended
    revision = view_revision(row)
    done = await session.get(VideoPassRow, (revision_id, kind.value))
    if done is not None and done.state == PassState.done.value:
        return revision.state.value, False
    keys = {"revision_id": revision_id, "kind": kind.value, "project_id": project_id}
    await record_artifacts(session, [*stored.values(), *(artifact for _, _, artifact in pictures)])
    await session.execute(
        insert(VideoPassRow).values(**keys).on_conflict_do_nothing(index_elements=["revision_id", "kind"])
    )
    await _write_rows(session, keys, outcome, pictures)
    await session.execute(
        update(VideoPassRow)
        .where(VideoPassRow.revision_id == revision_id, VideoPassRow.kind == kind.value)
        .values(
            state=PassState.done.value,
            report_json=dump(outcome.report),
            overall_level=outcome.report.overall_level,
            findings_count=len(outcome.findings),
            legacy_scores_json=dict(outcome.measurement.legacy_scores),
            facts_json={
                **outcome.facts,
                "detection_share": outcome.measurement.detection_share,
                "subject_height_px": outcome.measurement.subject_height_px,
            },
            ball_json=_describe_ball(outcome.measurement) or null(),
            verified_at=func.clock_timestamp(),
            finished_at=func.clock_timestamp(),
            **{f"{name}_sha256": artifact.sha256 for name, artifact in stored.items()},
        )
    )
    return await _change_state(session, revision, kind), True


async def _change_state(session: AsyncSession, revision: Revision, kind: PassKind) -> str:
    is_last = kind is revision.kinds[-1]
    state = VideoState.done if is_last else VideoState.quick_done
    now: Any = func.clock_timestamp()
    values: dict[str, Any] = {
        "state": state.value,
        "stage": "DONE" if is_last else "QUICK_DONE",
        "progress_share": 1.0 if is_last else QUICK_SHARE,
    }
    if kind is PassKind.quick:
        values["quick_done_at"] = now
    if is_last:
        values["finished_at"] = now
    await session.execute(
        update(VideoRevisionRow).where(VideoRevisionRow.revision_id == revision.revision_id).values(**values)
    )
    await tell(session, revision.project_id, revision.video_id)
    return state.value


async def _write_rows(
    session: AsyncSession,
    keys: dict[str, Any],
    outcome: Outcome,
    pictures: list[tuple[float, str, Artifact]],
) -> None:
    """Write the rows of a pass; an attempt that was cut left none, since they are committed with its end."""
    measurement: Measurement = outcome.measurement
    for table in (VideoEventRow, VideoMetricRow, VideoFindingRow, VideoPictureRow):
        await session.execute(
            delete(table).where(
                table.__table__.c.revision_id == keys["revision_id"], table.__table__.c.kind == keys["kind"]
            )
        )
    events = [{**keys, **dump(event)} for event in measurement.events]
    metrics = [
        {**keys, "position": position, **_describe_metric(metric)}
        for position, metric in enumerate(measurement.metrics)
    ]
    findings = [
        {**keys, "position": position, **_describe_finding(finding)}
        for position, finding in enumerate(outcome.findings)
    ]
    shown = [
        {**keys, "position": position, "t_s": t_s, "caption": caption, "sha256": artifact.sha256}
        for position, (t_s, caption, artifact) in enumerate(pictures)
    ]
    for table, rows in (
        (VideoEventRow, events),
        (VideoMetricRow, metrics),
        (VideoFindingRow, findings),
        (VideoPictureRow, shown),
    ):
        if rows:
            await session.execute(insert(table), rows)


def _describe_ball(measurement: Measurement) -> dict[str, Any] | None:
    """Return what a row says of the ball; its points, one a frame, stand in the results."""
    if measurement.ball is None:
        return None
    dumped: dict[str, Any] = dump(replace(measurement.ball, points=()))
    return dumped


def _describe_metric(metric: Measured | NotMeasurable) -> dict[str, Any]:
    if isinstance(metric, NotMeasurable):
        return {
            "code": metric.code.value,
            "value": None,
            "unit": "",
            "low": None,
            "high": None,
            "level": None,
            "is_uncertain": False,
            "frames_count": 0,
            "coverage_share": 0.0,
            "reason_code": metric.reason_code,
            "reason": metric.reason,
            "detail_json": {},
        }
    return {
        "code": metric.code.value,
        "value": metric.value,
        "unit": metric.unit,
        "low": metric.low,
        "high": metric.high,
        "level": metric.level.value,
        "is_uncertain": metric.is_uncertain,
        "frames_count": metric.frames_count,
        "coverage_share": metric.coverage_share,
        "reason_code": "",
        "reason": "",
        "detail_json": {
            "evidence": [asdict(one) for one in metric.evidence],
            "bad_segments": [asdict(one) for one in metric.bad_segments],
            "details": dict(metric.details),
        },
    }


def _describe_finding(finding: VideoFinding) -> dict[str, Any]:
    dumped = dump(finding)
    return {
        **{name: dumped[name] for name in ("code", "metric", "title", "severity", "is_uncertain", "message")},
        "why_it_matters": finding.why_it_matters,
        "cues_json": dumped["cues"],
        "drills_json": dumped["drills"],
        "confidence_share": finding.confidence_share,
        "worst_frames_json": dumped["worst_frames"],
        "bad_segments_json": dumped["bad_segments"],
    }
