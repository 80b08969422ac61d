"""Every read of videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where
from referee.videos.dumping import load
from referee.videos.shapes import (
    CameraView,
    Capture,
    Discipline,
    Handedness,
    MotionEvent,
    Pitch,
    Probe,
    Target,
    VideoState,
)
from referee.videos.states import ProxyState
from referee.videos.tables import VideoPassRow, VideoRevisionRow, VideoRow
from referee.videos.views import Revision, Video

__all__ = [
    "VIDEO_FIELDS",
    "count_videos",
    "get_revision",
    "get_video",
    "list_players",
    "list_revisions",
    "list_videos",
    "view_revision",
]

VIDEO_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField.of_enum(VideoState, "State of the analysis."),
    "discipline": FilterField.of_enum(Discipline, "What the athlete does."),
    "title": FilterField("text", "Title of the video.", is_searched=True, example="title:nets"),
    "player": FilterField("text", "Who is seen.", is_searched=True, example="player:Asha"),
    "file": FilterField("text", "Name of the file.", is_searched=True, example="file:clip.mp4"),
    "created": FilterField("time", "When it was added.", example="created:>=-7d"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": VideoRevisionRow.__table__.c.state,
    "discipline": VideoRow.__table__.c.discipline,
    "title": VideoRow.__table__.c.title,
    "player": VideoRow.__table__.c.player,
    "file": VideoRow.__table__.c.file_name,
    "created": VideoRow.__table__.c.created_at,
}
_PRESENT: Final = and_(
    VideoRevisionRow.video_id == VideoRow.video_id, VideoRevisionRow.number == VideoRow.revisions_count
)
_LEVEL: Final = (
    select(VideoPassRow.overall_level)
    .where(VideoPassRow.revision_id == VideoRevisionRow.revision_id, VideoPassRow.state == "done")
    .order_by(case((VideoPassRow.kind == "deep", 0), else_=1))
    .limit(1)
    .correlate(VideoRevisionRow)
    .scalar_subquery()
)


async def get_video(session: AsyncSession, project_id: UUID, video_id: UUID) -> Video:
    """Return one video with its present revision.

    Raises:
        NotFound: The project has no such video.
    """
    found = (
        await session.execute(
            _select().where(VideoRow.video_id == video_id, VideoRow.project_id == project_id),
            execution_options={"populate_existing": True},
        )
    ).one_or_none()
    if found is None:
        raise NotFound("video.not_found", "There is no such video.", "Look at the list of videos.")
    return _view(*found)


async def list_videos(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
    conditions: Sequence[ColumnElement[bool]] = (),
) -> Page[Video]:
    """Return videos, newest first."""
    wanted = [VideoRow.project_id == project_id, *conditions]
    if where is not None:
        wanted.append(to_where(where, _COLUMNS))
    total_count = await count_videos(session, *wanted)
    statement = _select().where(*wanted).order_by(VideoRow.sequence.desc()).limit(limit + 1)
    if cursor is not None:
        (before,) = decode_cursor(cursor, "videos")
        statement = statement.where(VideoRow.sequence < int(str(before)))
    rows = (await session.execute(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("videos", [kept[-1][0].sequence]) if len(rows) > limit else None
    return Page(tuple(_view(*row) for row in kept), total_count, limit, next_cursor)


async def count_videos(session: AsyncSession, *conditions: ColumnElement[bool]) -> int:
    """Return how many videos meet all conditions."""
    statement = select(func.count()).select_from(VideoRow).join(VideoRevisionRow, _PRESENT).where(*conditions)
    return await session.scalar(statement) or 0


async def list_players(session: AsyncSession, project_id: UUID, *, limit: int = 200) -> tuple[str, ...]:
    """Return the names of players, in order."""
    statement = (
        select(VideoRow.player)
        .where(VideoRow.project_id == project_id, VideoRow.player != "")
        .distinct()
        .order_by(VideoRow.player)
        .limit(limit)
    )
    return tuple((await session.scalars(statement)).all())


async def get_revision(session: AsyncSession, project_id: UUID, revision_id: UUID) -> Revision:
    """Return one revision.

    Raises:
        NotFound: The project has no such revision.
    """
    row = (
        await session.execute(
            select(VideoRevisionRow).where(
                VideoRevisionRow.revision_id == revision_id, VideoRevisionRow.project_id == project_id
            ),
            execution_options={"populate_existing": True},
        )
    ).scalar_one_or_none()
    if row is None:
        raise NotFound(
            "video.revision_not_found", "There is no such revision.", "Look at the revisions of the video."
        )
    return view_revision(row)


async def list_revisions(
    session: AsyncSession,
    project_id: UUID,
    video_id: UUID,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Revision]:
    """Return the revisions of a video, newest first.

    Raises:
        NotFound: The project has no such video.
    """
    video = await get_video(session, project_id, video_id)
    statement = (
        select(VideoRevisionRow)
        .where(VideoRevisionRow.video_id == video_id)
        .order_by(VideoRevisionRow.number.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        (before,) = decode_cursor(cursor, "video_revisions")
        statement = statement.where(VideoRevisionRow.number < int(str(before)))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("video_revisions", [kept[-1].number]) if len(rows) > limit else None
    return Page(tuple(view_revision(row) for row in kept), video.revision.number, limit, next_cursor)


def view_revision(row: VideoRevisionRow) -> Revision:
    """Return a row as a value."""
    return Revision(
        revision_id=row.revision_id,
        project_id=row.project_id,
        video_id=row.video_id,
        number=row.number,
        state=VideoState(row.state),
        stage=row.stage,
        progress_share=row.progress_share,
        is_deep=row.is_deep,
        source_revision_id=row.source_revision_id,
        capture=load(Capture, row.capture_json),
        edited_events=tuple(load(MotionEvent, one) for one in row.edited_events_json),
        targets=tuple(load(Target, one) for one in row.targets_json),
        original_sha256=row.original_sha256,
        code_version=row.code_version,
        job_id=row.job_id,
        reason_code=row.reason_code,
        reason=row.reason,
        created_at=row.created_at,
        queued_at=row.queued_at,
        quick_started_at=row.quick_started_at,
        quick_done_at=row.quick_done_at,
        deep_started_at=row.deep_started_at,
        finished_at=row.finished_at,
    )


def _select() -> Select[VideoRow, VideoRevisionRow, str | None]:
    return select(VideoRow, VideoRevisionRow, _LEVEL).join(VideoRevisionRow, _PRESENT)


def _view(row: VideoRow, revision: VideoRevisionRow, overall_level: str | None) -> Video:
    athlete = row.athlete_json
    return Video(
        video_id=row.video_id,
        sequence=row.sequence,
        project_id=row.project_id,
        title=row.title,
        player=row.player,
        notes=row.notes,
        discipline=Discipline(row.discipline),
        handedness=Handedness(row.handedness),
        camera_view=CameraView(row.camera_view),
        capture_fps=row.capture_fps,
        athlete=None if athlete is None else load(tuple[float, float, float], athlete),
        pitch=None if row.pitch_json is None else load(Pitch, row.pitch_json),
        file_name=row.file_name,
        media_type=row.media_type,
        size_bytes=row.size_bytes,
        upload_id=row.upload_id,
        upload_expires_at=row.upload_expires_at,
        original_sha256=row.original_sha256,
        uploaded_at=row.uploaded_at,
        probe=None if row.probe_json is None else load(Probe, row.probe_json),
        proxy_state=ProxyState(row.proxy_state),
        proxy_sha256=row.proxy_sha256,
        proxy_reason=row.proxy_reason,
        created_at=row.created_at,
        revision=view_revision(revision),
        overall_level=overall_level,
    )
