"""Clips on their way in: signed addresses, and files that grow until they are whole.

An address holds which upload it is for, its size and until when, under our signature; it stands in for the presigned
ones of object stores. What has come lies in one file per video, whose length says where to go on, so nothing is
asked of the database for a piece.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import fcntl
import hashlib
import hmac
import json
import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import select

from referee.core.errors import Conflict, Forbidden, PayloadTooLarge, StorageFull
from referee.foundation.settings import Settings
from referee.foundation.web.sessions import ensure_session_secret
from referee.videos.room import VideosRoom
from referee.videos.tables import VideoRow

__all__ = [
    "UPLOADS_PATH",
    "UploadClaim",
    "check_room_on_disk",
    "count_received",
    "hold_file",
    "read_claim",
    "receive",
    "remove_upload",
    "sign_upload",
    "upload_path",
]

UPLOADS_PATH: Final = "/v1/video-uploads"
"""One path for all, since the limit of a body is by path; the token names the upload."""
_MIN_FREE_BYTES: Final = 256 * 1024 * 1024
"""What has to stay free on the disk: the database lies on it too."""
_MAX_TOKEN_CHARS: Final = 600


@dataclass(frozen=True, slots=True)
class UploadClaim:
    """What a signed address allows."""

    video_id: UUID
    upload_id: UUID
    size_bytes: int


def sign_upload(
    settings: Settings, *, video_id: UUID, upload_id: UUID, size_bytes: int, expires_at: datetime
) -> str:
    """Return the address that one upload may be put to until an instant."""
    claim = {
        "video": video_id.hex,
        "upload": upload_id.hex,
        "size_bytes": size_bytes,
        "until": int(expires_at.timestamp()),
    }
    body = base64.urlsafe_b64encode(json.dumps(claim, separators=(",", ":")).encode()).rstrip(b"=").decode()
    return f"{UPLOADS_PATH}?token={quote(body)}.{_sign(settings, body)}"


def read_claim(settings: Settings, token: str) -> UploadClaim:
    """Return what a token allows.

    Raises:
        Forbidden: It was not made here, was changed, or its time is over.
    """
    body, _, signature = token.partition(".")
    expected = _sign(settings, body)
    if len(token) > _MAX_TOKEN_CHARS or not hmac.compare_digest(
        signature.encode(errors="replace"), expected.encode()
    ):
        raise Forbidden(
            "video.upload_address_invalid",
            "This is not an address that was given out for an upload.",
            "Ask for one with POST /v1/videos/{video_id}/upload.",
        )
    claim = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    if claim["until"] < time.time():
        raise Forbidden(
            "video.upload_address_expired",
            "The time of this address for an upload is over.",
            "Ask for a new one with POST /v1/videos/{video_id}/upload; what has come is kept.",
        )
    return UploadClaim(UUID(claim["video"]), UUID(claim["upload"]), claim["size_bytes"])


def upload_path(settings: Settings, video_id: UUID) -> Path:
    """Return where a clip lies until it is whole."""
    return settings.uploads_dir / f"{video_id.hex}.part"


def check_room_on_disk(settings: Settings, size_bytes: int) -> None:
    """Refuse at the start what the disk could not hold at the end.

    Raises:
        StorageFull: There is not enough free.
    """
    settings.uploads_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(settings.uploads_dir).free
    if size_bytes + _MIN_FREE_BYTES > free_bytes:
        raise StorageFull(
            "video.disk_too_small",
            f"The clip has {size_bytes:,} bytes, and the disk has {free_bytes:,} free.",
            "Free some space, or send a shorter clip.",
        )


def count_received(settings: Settings, video_id: UUID) -> int:
    """Return how many bytes of a clip have come."""
    try:
        return upload_path(settings, video_id).stat().st_size
    except FileNotFoundError:
        return 0


def remove_upload(settings: Settings, video_id: UUID) -> None:
    """Forget what has come of a clip."""
    upload_path(settings, video_id).unlink(missing_ok=True)


async def receive(
    room: VideosRoom, claim: UploadClaim, pieces: AsyncIterator[bytes], *, start: int | None
) -> int:
    """Write bytes of a clip as they come, and return how many there are now, on disk.

    Args:
        room: Whose uploads.
        claim: Which upload, and how long it is.
        pieces: The bytes.
        start: Where they belong; None: they are all of it. What came from there on before is replaced.

    Raises:
        Conflict: The upload is complete or was given another address, somebody else writes, or ``start`` leaves a gap.
        PayloadTooLarge: They are more than announced.
        StorageFull: The disk takes no more.
    """
    await _check_open(room, claim)
    with hold_file(room.settings, claim.video_id, is_written=True) as descriptor:
        has_bytes = os.fstat(descriptor).st_size
        position = start or 0
        if position > has_bytes:
            raise Conflict(
                "video.upload_gap",
                f"The bytes begin at {position:,}, and {has_bytes:,} have come.",
                f"Go on at {has_bytes}.",
                received_bytes=has_bytes,
            )
        os.ftruncate(descriptor, position)
        os.lseek(descriptor, position, os.SEEK_SET)
        try:
            async for piece in pieces:
                position += len(piece)
                if position > claim.size_bytes:
                    raise PayloadTooLarge(
                        "video.upload_too_long",
                        f"More than the {claim.size_bytes:,} bytes came that were announced.",
                        "Make the video again with the size of the file.",
                    )
                await asyncio.to_thread(_write, descriptor, piece)
        finally:
            # What came before a cut counts: the next piece goes on behind it.
            await asyncio.to_thread(os.fsync, descriptor)
    return position


@contextmanager
def hold_file(settings: Settings, video_id: UUID, *, is_written: bool = False) -> Iterator[int]:
    """Hold the file of an upload, so that nobody else writes to it.

    Raises:
        Conflict: Somebody writes to it.
    """
    path = upload_path(settings, video_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_written:
        _part_from_store(path)
    flags = (
        os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC if is_written else os.O_RDONLY | os.O_CLOEXEC
    )
    descriptor = os.open(path, flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "video.upload_busy",
                "Another request writes to this upload.",
                "Wait until it is over, or ask how much has come.",
            ) from None
        yield descriptor
    finally:
        os.close(descriptor)


def _part_from_store(path: Path) -> None:
    """Never write to bytes that the artifact store has taken: a crash may have left the file with both names."""
    with suppress(FileNotFoundError):
        found = path.lstat()
        if found.st_nlink > 1 or not stat.S_ISREG(found.st_mode):
            path.unlink()


async def _check_open(room: VideosRoom, claim: UploadClaim) -> None:
    async with room.database.reading() as session:
        upload_id = await session.scalar(
            select(VideoRow.upload_id).where(VideoRow.video_id == claim.video_id)
        )
    if upload_id != claim.upload_id:
        raise Conflict(
            "video.upload_closed",
            "This upload is complete, was given up, or has another address.",
            "Look at the video; ask for a new address if it still waits for its upload.",
        )


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(
            "storage.full", "The disk is full; the upload can go on later.", "Free some space, then go on."
        ) from error


def _sign(settings: Settings, body: str) -> str:
    secret = ensure_session_secret(settings.home / "upload.key")
    return hmac.new(secret, f"PUT video upload\n{body}".encode(errors="replace"), hashlib.sha256).hexdigest()
