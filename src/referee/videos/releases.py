"""Where a player lets go of the ball, over deliveries: release points of finished passes, and how much they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.videos.dumping import load
from referee.videos.shapes import BallTrack, Capture, Discipline, PassKind, ReleasePoint
from referee.videos.states import PassState
from referee.videos.tables import VideoPassRow, VideoRevisionRow, VideoRow
from referee.videos.views import Video

__all__ = ["MAX_RELEASES_COUNT", "list_releases", "read_releases"]

MAX_RELEASES_COUNT: Final = 20
"""Of the latest deliveries: a player of last year is another one."""


async def list_releases(session: AsyncSession, video: Video, capture: Capture) -> tuple[ReleasePoint, ...]:
    """Return the release points of a player's earlier deliveries, filmed from the same side, oldest first.

    None of a video without a player: nobody says that they are of one person.
    """
    if not video.player or capture.discipline is not Discipline.bowling:
        return ()
    return await read_releases(
        session, video.project_id, video.player, capture, before_sequence=video.sequence
    )


async def read_releases(
    session: AsyncSession,
    project_id: UUID,
    player: str,
    capture: Capture,
    *,
    before_sequence: int | None = None,
) -> tuple[ReleasePoint, ...]:
    """Return the release points of the present revisions of a player's videos, at most twenty, oldest first."""
    statement = (
        select(VideoPassRow.ball_json)
        .join(VideoRevisionRow, VideoRevisionRow.revision_id == VideoPassRow.revision_id)
        .join(
            VideoRow,
            (VideoRow.video_id == VideoRevisionRow.video_id)
            & (VideoRow.revisions_count == VideoRevisionRow.number),
        )
        .where(
            VideoRow.project_id == project_id,
            VideoRow.player == player,
            VideoPassRow.kind == PassKind.deep.value,
            VideoPassRow.state == PassState.done.value,
            VideoRevisionRow.capture_json["discipline"].as_string() == Discipline.bowling.value,
            VideoRevisionRow.capture_json["camera_view"].as_string() == capture.camera_view.value,
            VideoRevisionRow.capture_json["handedness"].as_string() == capture.handedness.value,
            VideoPassRow.ball_json["release"]["t_s"].as_string().is_not(None),
        )
        .order_by(VideoRow.sequence.desc())
        .limit(MAX_RELEASES_COUNT)
    )
    if before_sequence is not None:
        statement = statement.where(VideoRow.sequence < before_sequence)
    found: Sequence[object] = (await session.scalars(statement)).all()
    balls = [load(BallTrack, one) for one in reversed(found)]
    return tuple(ball.release for ball in balls if ball.release is not None)
