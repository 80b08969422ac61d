"""Notes and markers of coaches, and links that show a video to others."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput, NotFound
from referee.core.ids import new_id
from referee.core.pages import Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.videos.queries import get_video
from referee.videos.requests import tell
from referee.videos.room import VideosRoom
from referee.videos.states import NoteKind
from referee.videos.tables import VideoNoteRow, VideoShareRow
from referee.videos.views import Note, Share, Video

__all__ = [
    "MAX_SHARES_COUNT",
    "SHARES_PATH",
    "create_note",
    "create_share",
    "delete_note",
    "find_shared_video",
    "list_notes",
    "list_shares",
    "revoke_share",
]

SHARES_PATH: Final = "/shared/videos"
MAX_SHARES_COUNT: Final = 100
_TOKEN_BYTES: Final = 24


async def create_note(
    room: VideosRoom,
    project_id: UUID,
    video_id: UUID,
    *,
    text: str,
    kind: NoteKind = NoteKind.note,
    t_s: float | None = None,
    tags: Sequence[str] = (),
) -> Note:
    """Write a note on a video, or mark an instant of it.

    Raises:
        NotFound: The project has no such video.
        InvalidInput: It is empty, or a marker is at no instant of the clip.
    """
    async with room.database.transaction() as session:
        video = await get_video(session, project_id, video_id)
        if not text.strip():
            raise InvalidInput("video.note_empty", "The note is empty.", "Write what was seen.")
        end_s = float("inf") if video.probe is None else video.probe.duration_s
        if (t_s is None and kind is not NoteKind.note) or (t_s is not None and not 0 <= t_s <= end_s):
            raise InvalidInput(
                "video.note_instant", "The note is at no instant of the clip.", "Give seconds from its start."
            )
        row = VideoNoteRow(
            note_id=new_id(),
            project_id=project_id,
            video_id=video_id,
            kind=kind.value,
            t_s=t_s,
            text=text.strip(),
            tags_json=[" ".join(tag.split())[:60] for tag in tags if tag.strip()],
        )
        session.add(row)
        await session.flush()
        await session.refresh(row)
        await tell(session, project_id, video_id)
        return _view_note(row)


async def list_notes(
    session: AsyncSession, project_id: UUID, video_id: UUID, *, cursor: str | None = None, limit: int = 50
) -> Page[Note]:
    """Return the notes on a video, newest first.

    Raises:
        NotFound: The project has no such video.
    """
    await get_video(session, project_id, video_id)
    statement = (
        select(VideoNoteRow)
        .where(VideoNoteRow.video_id == video_id)
        .order_by(VideoNoteRow.note_id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        (before,) = decode_cursor(cursor, "video_notes")
        statement = statement.where(VideoNoteRow.note_id < UUID(str(before)))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    count = await session.scalar(
        select(func.count()).select_from(VideoNoteRow).where(VideoNoteRow.video_id == video_id)
    )
    next_cursor = encode_cursor("video_notes", [str(kept[-1].note_id)]) if len(rows) > limit else None
    return Page(tuple(map(_view_note, kept)), count or 0, limit, next_cursor)


async def delete_note(room: VideosRoom, project_id: UUID, video_id: UUID, note_id: UUID) -> None:
    """Remove a note.

    Raises:
        NotFound: The video has no such note.
    """
    async with room.database.transaction() as session:
        gone = await session.scalar(
            delete(VideoNoteRow)
            .where(
                VideoNoteRow.note_id == note_id,
                VideoNoteRow.video_id == video_id,
                VideoNoteRow.project_id == project_id,
            )
            .returning(VideoNoteRow.note_id)
        )
        if gone is None:
            raise NotFound(
                "video.note_not_found", "There is no such note.", "Look at the notes of the video."
            )
        await tell(session, project_id, video_id)


async def create_share(
    room: VideosRoom, project_id: UUID, video_id: UUID, *, valid_days: float
) -> tuple[Share, str]:
    """Make a link that shows a video to whoever has it, and return it with its address.

    The address is told this once; only its digest is kept.

    Raises:
        NotFound: The project has no such video.
        InvalidInput: The video has too many links.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    async with room.database.transaction() as session:
        await get_video(session, project_id, video_id)
        if len(await list_shares(session, project_id, video_id)) >= MAX_SHARES_COUNT:
            raise InvalidInput(
                "video.shares_many",
                f"A video has at most {MAX_SHARES_COUNT} links.",
                "Withdraw links that are not needed.",
            )
        row = VideoShareRow(
            share_id=new_id(),
            project_id=project_id,
            video_id=video_id,
            token_digest=_digest(token),
            expires_at=datetime.now(UTC) + timedelta(days=valid_days),
        )
        session.add(row)
        await session.flush()
        await session.refresh(row)
        return _view_share(row), f"{SHARES_PATH}/{token}"


async def list_shares(session: AsyncSession, project_id: UUID, video_id: UUID) -> tuple[Share, ...]:
    """Return the links of a video that are not withdrawn, newest first.

    Raises:
        NotFound: The project has no such video.
    """
    await get_video(session, project_id, video_id)
    rows = await session.scalars(
        select(VideoShareRow)
        .where(VideoShareRow.video_id == video_id, VideoShareRow.revoked_at.is_(None))
        .order_by(VideoShareRow.share_id.desc())
        .limit(MAX_SHARES_COUNT)
    )
    return tuple(map(_view_share, rows))


async def revoke_share(room: VideosRoom, project_id: UUID, video_id: UUID, share_id: UUID) -> None:
    """Withdraw a link; it shows nothing from the next request on.

    Raises:
        NotFound: The video has no such link.
    """
    async with room.database.transaction() as session:
        changed = await session.scalar(
            update(VideoShareRow)
            .where(
                VideoShareRow.share_id == share_id,
                VideoShareRow.video_id == video_id,
                VideoShareRow.project_id == project_id,
            )
            .values(revoked_at=func.coalesce(VideoShareRow.revoked_at, func.clock_timestamp()))
            .returning(VideoShareRow.share_id)
        )
    if changed is None:
        raise NotFound("video.share_not_found", "There is no such link.", "Look at the links of the video.")


async def find_shared_video(room: VideosRoom, token: str) -> Video:
    """Return the video that a link shows.

    Raises:
        NotFound: The link was not given out, is withdrawn, or its time is over.
    """
    async with room.database.reading() as session:
        row = await session.scalar(
            select(VideoShareRow).where(
                VideoShareRow.token_digest == _digest(token),
                VideoShareRow.revoked_at.is_(None),
                VideoShareRow.expires_at > func.now(),
            )
        )
        if row is None:
            raise NotFound(
                "video.share_not_found",
                "This link shows nothing, or not any more.",
                "Ask whoever sent it for a new one.",
            )
        return await get_video(session, row.project_id, row.video_id)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _view_note(row: VideoNoteRow) -> Note:
    return Note(
        note_id=row.note_id,
        video_id=row.video_id,
        kind=NoteKind(row.kind),
        t_s=row.t_s,
        text=row.text,
        tags=tuple(map(str, row.tags_json)),
        created_at=row.created_at,
    )


def _view_share(row: VideoShareRow) -> Share:
    return Share(
        share_id=row.share_id,
        video_id=row.video_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
