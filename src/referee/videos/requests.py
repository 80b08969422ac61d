"""What is asked for with a new video: checked, measured against the quota, and written as rows that wait."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee import __version__
from referee.core.errors import Conflict, InvalidInput, PayloadTooLarge
from referee.core.ids import new_id
from referee.foundation.web.live import publish
from referee.videos.dumping import dump
from referee.videos.room import VideosRoom
from referee.videos.shapes import Capture, MotionEvent, Pitch, VideoState
from referee.videos.tables import VideoRevisionRow, VideoRow
from referee.videos.views import Video

__all__ = [
    "VideoRequest",
    "check_capture",
    "check_events",
    "check_size",
    "check_words",
    "describe_request",
    "insert_video",
    "tell",
]

MAX_TITLE_CHARS: Final = 200
MAX_NOTES_CHARS: Final = 10_000
MAX_FPS: Final = 10_000.0
MIN_PITCH_PX2: Final = 50.0
"""Twice the area of any three of its corners: less is a line."""
_QUOTA_LOCK: Final = 0x76696465  # "vide"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRequest:
    """A video to make."""

    file_name: str
    size_bytes: int
    capture: Capture
    title: str = ""
    """Empty: the file's name."""
    player: str = ""
    notes: str = ""
    media_type: str = "video/mp4"
    is_deep: bool = False
    idempotency_key: str | None = None


async def insert_video(
    session: AsyncSession, room: VideosRoom, project_id: UUID, request: VideoRequest
) -> UUID:
    """Insert a video that waits for its upload, or find the one that has the key."""
    words = describe_request(request)
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()
    if request.idempotency_key is not None:
        known = await _find_by_key(session, project_id, request.idempotency_key, digest)
        if known is not None:
            return known
    # Two creations at the same time must not both find room for themselves.
    await session.execute(
        text("SELECT pg_advisory_xact_lock(:kind, hashtext(:project))"),
        {"kind": _QUOTA_LOCK, "project": str(project_id)},
    )
    await _check_quota(session, room, project_id, request.size_bytes)
    capture = request.capture
    video_id: UUID | None = await session.scalar(
        insert(VideoRow)
        .values(
            video_id=new_id(),
            project_id=project_id,
            title=words["title"],
            player=words["player"],
            notes=words["notes"],
            discipline=capture.discipline.value,
            handedness=capture.handedness.value,
            camera_view=capture.camera_view.value,
            capture_fps=capture.capture_fps,
            athlete_json=None if capture.athlete is None else list(capture.athlete),
            pitch_json=None if capture.pitch is None else dump(capture.pitch),
            file_name=words["file_name"],
            media_type=request.media_type,
            size_bytes=request.size_bytes,
            upload_id=new_id(),
            upload_expires_at=func.now(),
            idempotency_key=request.idempotency_key,
            request_digest=digest,
        )
        .on_conflict_do_nothing(index_elements=["project_id", "idempotency_key"])
        .returning(VideoRow.video_id)
    )
    if video_id is None:  # the same key was committed between our look and our insert
        assert request.idempotency_key is not None  # noqa: S101 - nothing else can conflict
        known = await _find_by_key(session, project_id, request.idempotency_key, digest)
        assert known is not None  # noqa: S101 - a conflicting row is committed
        return known
    video_row = await session.get(VideoRow, video_id)
    assert video_row is not None  # noqa: S101 - inserted above
    await session.execute(
        insert(VideoRevisionRow).values(
            revision_id=new_id(),
            project_id=project_id,
            video_id=video_id,
            number=1,
            state=VideoState.awaiting_upload.value,
            stage="AWAITING_UPLOAD",
            is_deep=request.is_deep,
            capture_json=dump(capture),
            edited_events_json=[],
            targets_json=[],
            code_version=__version__,
        )
    )
    video_row.revisions_count = 1
    await session.flush()
    await tell(session, project_id, video_id)
    return video_id


def check_size(room: VideosRoom, size_bytes: int) -> None:
    """Refuse a clip that is empty or too large.

    Raises:
        InvalidInput: It is empty.
        PayloadTooLarge: It is larger than one may be.
    """
    if size_bytes < 1:
        raise InvalidInput("video.empty", "The file is empty.", "Choose a clip with pictures in it.")
    if size_bytes > room.settings.video_max_bytes:
        raise PayloadTooLarge(
            "video.too_large",
            f"The clip has {size_bytes:,} bytes, and at most {room.settings.video_max_bytes:,} are taken.",
            "Cut it shorter, or raise REFEREE_VIDEO_MAX_BYTES.",
        )


def describe_request(request: VideoRequest) -> dict[str, Any]:
    """Return the words of a request, checked and the way they are kept."""
    check_capture(request.capture)
    captured = dump(request.capture)
    if captured["pitch"] is None:  # as requests were before there was one: their digests are kept
        del captured["pitch"]
    file_name = " ".join(Path(request.file_name).name.split()) or "clip"
    title = " ".join(request.title.split()) or file_name[:MAX_TITLE_CHARS]
    player = " ".join(request.player.split())
    check_words(title, player, request.notes)
    return {
        "file_name": file_name[:MAX_TITLE_CHARS],
        "title": title,
        "player": player,
        "notes": request.notes,
        "size_bytes": request.size_bytes,
        "is_deep": request.is_deep,
        "capture": captured,
    }


def check_words(title: str, player: str, notes: str) -> None:
    """Refuse texts that are too long.

    Raises:
        InvalidInput: One is, or the title is empty.
    """
    for name, value, most in (
        ("title", title, MAX_TITLE_CHARS),
        ("player", player, MAX_TITLE_CHARS),
        ("notes", notes, MAX_NOTES_CHARS),
    ):
        if len(value) > most:
            raise InvalidInput(
                "video.text_too_long",
                f"The {name} has {len(value):,} characters, and at most {most:,} are taken.",
                "Shorten it.",
            )
    if not title.strip():
        raise InvalidInput("video.title_missing", "The title is empty.", "Give it a title.")


def check_capture(capture: Capture) -> None:
    """Refuse numbers that no camera has.

    Raises:
        InvalidInput: One is out of its range.
    """
    if capture.capture_fps is not None and not 0 < capture.capture_fps <= MAX_FPS:
        raise InvalidInput(
            "video.capture_fps_invalid",
            f"{capture.capture_fps:g} frames a second cannot be captured.",
            f"Give a rate above 0 and up to {MAX_FPS:,.0f}, or leave it out.",
        )
    if capture.athlete is not None and not all(0 <= one < 1e6 for one in capture.athlete):
        raise InvalidInput(
            "video.athlete_invalid", "The click is not on the clip.", "Give seconds, x and y, none below 0."
        )
    if capture.pitch is not None:
        _check_pitch(capture.pitch)


def _check_pitch(pitch: Pitch) -> None:
    """Refuse points that span no rectangle seen from somewhere, and lengths that no pitch has."""
    (a, b), (c, d), (e, f), (g, h) = pitch.points_px
    ring = [(a, b), (c, d), (g, h), (e, f)]
    turns = []
    for index, (x, y) in enumerate(ring):
        (next_x, next_y), (last_x, last_y) = ring[(index + 1) % 4], ring[(index + 2) % 4]
        turns.append((next_x - x) * (last_y - next_y) - (next_y - y) * (last_x - next_x))
    is_convex = min(turns) > MIN_PITCH_PX2 or max(turns) < -MIN_PITCH_PX2
    are_places = all(-1e5 < one < 1e5 for point in ring for one in point)
    if (
        not are_places
        or not is_convex
        or not all(0.1 <= one <= 200 for one in (pitch.across_m, pitch.down_m))
    ):
        raise InvalidInput(
            "video.pitch_invalid",
            "The four points are not the corners of a rectangle that is seen from somewhere, or its sides no lengths.",
            "Give top left, top right, bottom left and bottom right, apart from each other, and sides in metres.",
        )


def check_events(video: Video, events: Sequence[MotionEvent]) -> None:
    """Refuse events that are not on the clip.

    Raises:
        InvalidInput: One is not, or is named twice.
    """
    names = [event.name for event in events]
    end_s = float("inf") if video.probe is None else video.probe.duration_s
    if len(set(names)) != len(names) or any(not 0 <= event.t_s <= end_s for event in events):
        raise InvalidInput(
            "video.events_invalid",
            "An event is named twice, or lies outside of the clip.",
            "Give each event once, in seconds from the first frame.",
        )


async def _find_by_key(session: AsyncSession, project_id: UUID, key: str, digest: str) -> UUID | None:
    found = (
        await session.execute(
            select(VideoRow.video_id, VideoRow.request_digest).where(
                VideoRow.project_id == project_id, VideoRow.idempotency_key == key
            )
        )
    ).one_or_none()
    if found is None:
        return None
    if found.request_digest != digest:
        raise Conflict(
            "video.key_reused",
            "The idempotency key was used for another video.",
            "Use a new key for a new video.",
        )
    known: UUID = found.video_id
    return known


async def _check_quota(session: AsyncSession, room: VideosRoom, project_id: UUID, size_bytes: int) -> None:
    used_bytes = (
        await session.scalar(select(func.sum(VideoRow.size_bytes)).where(VideoRow.project_id == project_id))
        or 0
    )
    quota_bytes = room.settings.video_quota_bytes
    if used_bytes + size_bytes > quota_bytes:
        raise PayloadTooLarge(
            "video.quota_exceeded",
            f"The clip has {size_bytes:,} bytes, and {max(0, quota_bytes - int(used_bytes)):,} of the project's "
            f"{quota_bytes:,} are left.",
            "Delete videos that are not needed, or raise REFEREE_VIDEO_QUOTA_BYTES.",
            left_bytes=max(0, quota_bytes - int(used_bytes)),
        )


async def tell(session: AsyncSession, project_id: UUID, video_id: UUID) -> None:
    """Let open pages look again after the commit."""
    await publish(session, f"video:{video_id}", {})
    await publish(session, "videos", {"video_id": str(video_id)}, project_id=project_id)
