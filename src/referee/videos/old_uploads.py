"""Uploads that were begun and that nobody went on with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import select

from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.videos.shapes import VideoState
from referee.videos.tables import VideoRevisionRow, VideoRow
from referee.videos.uploading import upload_path

__all__ = ["OldUpload", "list_old_uploads"]

_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OldUpload:
    """One of them."""

    video_id: UUID
    revision_id: UUID
    path: Path
    touched_at: datetime
    """When the last bytes came."""
    size_bytes: int


async def list_old_uploads(
    database: Database, settings: Settings, keep_days: float, project_id: UUID | None = None
) -> list[OldUpload]:
    """Return uploads without new bytes for so many days, of one project or of all."""
    statement = (
        select(VideoRow.video_id, VideoRevisionRow.revision_id, VideoRow.created_at)
        .join(VideoRevisionRow, VideoRevisionRow.video_id == VideoRow.video_id)
        .where(VideoRevisionRow.state == VideoState.awaiting_upload.value)
        .order_by(VideoRow.sequence)
        .limit(_LIMIT)
    )
    if project_id is not None:
        statement = statement.where(VideoRow.project_id == project_id)
    async with database.reading() as session:
        waiting = (await session.execute(statement)).all()
    oldest = datetime.now(UTC) - timedelta(days=keep_days)
    found = await asyncio.to_thread(lambda: [_look(settings, *row) for row in waiting])
    return [one for one in found if one.touched_at <= oldest]


def _look(settings: Settings, video_id: UUID, revision_id: UUID, created_at: datetime) -> OldUpload:
    path = upload_path(settings, video_id)
    try:
        status = path.stat()
    except FileNotFoundError:
        touched_at, size_bytes = created_at, 0
    else:
        touched_at, size_bytes = datetime.fromtimestamp(status.st_mtime, UTC), status.st_size
    return OldUpload(
        video_id=video_id, revision_id=revision_id, path=path, touched_at=touched_at, size_bytes=size_bytes
    )
