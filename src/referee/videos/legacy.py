"""The job and session resources of the earlier coaching system, built from videos and their revisions.

A session is a video and a job is a revision; names, states and the scale of scores are that system's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.videos import result_queries
from referee.videos.dumping import dump
from referee.videos.queries import get_video
from referee.videos.room import VideosRoom
from referee.videos.shapes import PassKind, VideoState
from referee.videos.states import ChunkState
from referee.videos.tables import VideoGoalRow
from referee.videos.views import Revision, Video, VideoResults

__all__ = [
    "PREFIX",
    "compute_outcomes",
    "describe_ball_tracking",
    "describe_job",
    "describe_session",
    "find_goals",
    "put_goals",
]

PREFIX: Final = "/api/coaches/plus"
_TYPES: Final = {"keeping": "wicketkeeping"}
_STATUS: Final[Mapping[VideoState, str]] = {
    VideoState.awaiting_upload: "pending",
    VideoState.queued: "uploaded",
    VideoState.failed: "failed",
    VideoState.done: "ready",
}


def describe_session(video: Video) -> dict[str, Any]:
    """Return a video as a session."""
    return {
        "id": str(video.video_id),
        "title": video.title,
        "notes": video.notes,
        "session_type": _TYPES.get(video.discipline.value, video.discipline.value),
        "analysis_context": _TYPES.get(video.discipline.value, video.discipline.value),
        "camera_view": video.camera_view.value,
        "player_ids": [video.player] if video.player else [],
        "file_size_bytes": video.size_bytes,
        "status": _STATUS.get(video.state, "processing"),
        "created_at": _show(video.created_at),
        "uploaded_at": _show(video.uploaded_at),
    }


async def describe_job(session: AsyncSession, video: Video, revision: Revision) -> dict[str, Any]:
    """Return a revision as an analysis job, with everything it found and what is missing."""
    passes = await result_queries.list_passes(session, revision.revision_id)
    stretches = await result_queries.list_stretches(session, revision.revision_id)
    quick = await result_queries.find_results(session, revision.revision_id, PassKind.quick)
    deep = await result_queries.find_results(session, revision.revision_id, PassKind.deep)
    best = deep or quick
    base = f"/v1/videos/{video.video_id}/files"
    goals = await find_goals(session, video.video_id)
    outcomes = compute_outcomes(goals, best)
    return {
        "id": str(revision.revision_id),
        "session_id": str(video.video_id),
        "status": revision.state.value,
        "stage": revision.stage,
        "progress_pct": round(revision.progress_share * 100, 1),
        "deep_enabled": revision.is_deep,
        "deep_mode": "cpu",
        "analysis_mode": _TYPES.get(revision.capture.discipline.value, revision.capture.discipline.value),
        "error_message": revision.reason or None,
        "error_code": revision.reason_code or None,
        "retryable": revision.state is VideoState.failed and revision.original_sha256 is not None,
        "total_chunks": len(stretches),
        "completed_chunks": sum(one.state is ChunkState.done for one in stretches),
        "video_duration_seconds": None if video.probe is None else video.probe.duration_s,
        "missing_artifacts": list(result_queries.find_missing(revision, passes)),
        "quick_results_available": quick is not None,
        "deep_results_available": deep is not None,
        **_describe_pass("quick", quick, base, revision),
        **_describe_pass("deep", deep, base, revision),
        "findings": [] if best is None else _describe_findings(best),
        "overall_level": None if best is None else best.done.overall_level,
        "report": None if best is None else _describe_report(best),
        "ball_tracking": None if deep is None else describe_ball_tracking(deep),
        "pdf_url": None if best is None else _file(base, "pdf", revision, best),
        "stream_url": f"{base}/clip" if video.original_sha256 is not None else None,
        "coach_goals": goals,
        "outcomes": outcomes,
        "goal_compliance_pct": outcomes["overall_compliance_pct"],
        "created_at": _show(revision.created_at),
        "queued_at": _show(revision.queued_at),
        "quick_started_at": _show(revision.quick_started_at),
        "quick_completed_at": _show(revision.quick_done_at),
        "deep_started_at": _show(revision.deep_started_at),
        "completed_at": _show(revision.finished_at),
    }


async def find_goals(session: AsyncSession, video_id: UUID) -> dict[str, Any] | None:
    """Return the goals of a video; None when there are none."""
    return await session.scalar(select(VideoGoalRow.goals_json).where(VideoGoalRow.video_id == video_id))


async def put_goals(
    room: VideosRoom, project_id: UUID, video_id: UUID, goals: dict[str, Any]
) -> dict[str, Any]:
    """Replace the goals of a video.

    Raises:
        NotFound: The project has no such video.
    """
    async with room.database.transaction() as session:
        await get_video(session, project_id, video_id)
        await session.execute(
            insert(VideoGoalRow)
            .values(video_id=video_id, project_id=project_id, goals_json=goals)
            .on_conflict_do_update(
                index_elements=["video_id"], set_={"goals_json": goals, "updated_at": func.now()}
            )
        )
    return goals


def compute_outcomes(goals: Mapping[str, Any] | None, results: VideoResults | None) -> dict[str, Any]:
    """Return how far goals are met. Scores and targets are both 0 to 1; what has no score counts nowhere."""
    scores = {} if results is None else results.done.legacy_scores
    metrics = []
    for goal in (goals or {}).get("metrics", []):
        score, target = scores.get(goal["code"]), float(goal["target_score"])
        share = None if score is None else 1.0 if target <= 0 else min(1.0, score / target)
        metrics.append(
            {
                "code": goal["code"],
                "target_score": target,
                "score": score,
                "is_met": None if score is None else score >= target,
                "compliance_pct": None if share is None else round(share * 100, 1),
                "status": "insufficient_data" if score is None else "measured",
            }
        )
    zones = [
        {
            "zone_id": zone["zone_id"],
            "target_accuracy": zone["target_accuracy"],
            "status": "insufficient_data",
        }
        for zone in (goals or {}).get("zones", [])
    ]
    known = [one["compliance_pct"] for one in metrics if one["compliance_pct"] is not None]
    return {
        "zones": zones,
        "metrics": metrics,
        "overall_compliance_pct": round(sum(known) / len(known), 1) if known else None,
    }


def _describe_pass(name: str, results: VideoResults | None, base: str, revision: Revision) -> dict[str, Any]:
    if results is None:
        return {f"{name}_{part}": None for part in ("results", "findings", "report", "results_url")}
    facts = results.done.facts
    decoded = facts.get("decoded_count", 0)
    return {
        f"{name}_results": {
            "pose_summary": {
                "sampled_frames": decoded,
                "frames_with_pose": facts.get("detected_count", 0),
                "detection_rate_percent": round(100 * facts.get("detected_count", 0) / decoded, 1)
                if decoded
                else 0.0,
            },
            "metrics": dict(results.done.legacy_scores),
            **({} if results.done.ball is None else {"ball_tracking": describe_ball_tracking(results)}),
            "measured": {
                one.code: {"value": one.value, "unit": one.unit, "low": one.low, "high": one.high}
                for one in results.metrics
            },
        },
        f"{name}_findings": _describe_findings(results),
        f"{name}_report": _describe_report(results),
        f"{name}_results_url": _file(base, "results", revision, results),
    }


def describe_ball_tracking(results: VideoResults) -> dict[str, Any] | None:
    """Return the ball of a pass; a consistency is there only over several deliveries, never 100 for want of them."""
    ball = results.done.ball
    if ball is None:
        return None
    found = ball.consistency
    return {
        "status": ball.status,
        "reason": ball.reason or None,
        "detection_rate_percent": round(100 * ball.coverage_share, 1),
        "total_frames": ball.frames_expected_count,
        "frames_with_ball": ball.frames_tracked_count,
        "ball_color": ball.colour or None,
        "release_point": None if ball.release is None else dump(ball.release),
        "bounce_point": None if ball.bounce is None else dump(ball.bounce),
        "speed_px_per_s": ball.speed_px_s,
        "speed_m_per_s": ball.speed_m_s,
        "release_consistency": None if found is None else found.score,
        "deliveries_count": None if found is None else found.deliveries_count,
    }


def _describe_findings(results: VideoResults) -> Sequence[dict[str, Any]]:
    return [
        {
            "code": one.code,
            "metric": None if one.metric is None else one.metric.value,
            "level": one.severity.value,
            "severity": one.severity.value,
            "title": one.title,
            "message": one.message,
            "evidence": {
                "worst_frames": [dump(frame) for frame in one.worst_frames],
                "bad_segments": [dump(segment) for segment in one.bad_segments],
            },
            "why_it_matters": one.why_it_matters,
            "cues": list(one.cues),
            "suggested_drills": list(one.drills),
            "confidence": one.confidence_share,
        }
        for one in results.findings
    ]


def _describe_report(results: VideoResults) -> dict[str, Any] | None:
    report = results.done.report
    if report is None:
        return None
    return {
        "text": report.text,
        "overall_level": report.overall_level,
        "sections": [{"title": one.title, "paragraphs": list(one.paragraphs)} for one in report.sections],
        "top_issues": list(report.top_issues),
        "drills": list(report.drills),
        "one_week_plan": list(report.one_week_plan),
        "reliability_warning": report.reliability_warning,
        "generated_with_llm": report.wording == "model",
    }


def _file(base: str, name: str, revision: Revision, results: VideoResults) -> str:
    return f"{base}/{name}?revision={revision.number}&pass={results.done.kind}"


def _show(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
