"""The files of a video: its clip, what passes gave, and exports."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from referee.core.errors import Conflict, NotFound
from referee.foundation.store import encode_cursor
from referee.videos.computing import EXPORT
from referee.videos.folders import work_folder
from referee.videos.queries import list_revisions
from referee.videos.result_queries import get_best_results, get_results
from referee.videos.room import VideosRoom
from referee.videos.shapes import PassKind
from referee.videos.views import PASS_FILES, Revision, Video, VideoResults

__all__ = ["EXPORTS", "FILE_NAMES", "VideoFile", "find_revision", "open_file"]

EXPORTS: Final = {"csv": "text/csv", "trc": "text/plain", "json": "application/json"}
"""Forms of the keypoints."""
FILE_NAMES: Final = ("original", "clip", *PASS_FILES, "picture-N", *EXPORTS, "ball")
"""``clip`` is the one that every browser plays, or the original until there is one."""
MAX_FILE_BYTES: Final = 512 * 1024 * 1024
_PICTURE: Final = re.compile(r"picture-(\d{1,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFile:
    """Bytes, or where they lie as long as they are held."""

    media_type: str
    name: str
    data: bytes | None = None
    path: Path | None = None
    held: AsyncExitStack | None = None
    """Of ``path``: whoever takes the file closes it after the last byte."""
    sha256: str = ""


async def find_revision(room: VideosRoom, video: Video, number: int | None) -> Revision:
    """Return a revision of a video by its number; None: the present one.

    Raises:
        NotFound: It has no such revision.
    """
    if number is None or number == video.revision.number:
        return video.revision
    async with room.database.reading() as session:
        page = await list_revisions(
            session,
            video.project_id,
            video.video_id,
            cursor=encode_cursor("video_revisions", [number + 1]),
            limit=1,
        )
    if not page.items or page.items[0].number != number:
        raise NotFound(
            "video.revision_not_found", "There is no such revision.", "Look at the revisions of the video."
        )
    return page.items[0]


async def open_file(
    room: VideosRoom, video: Video, name: str, *, number: int | None = None, kind: PassKind | None = None
) -> VideoFile:
    """Return a file of a video.

    Args:
        room: Whose video.
        video: Which.
        name: One of ``FILE_NAMES``.
        number: Of the revision; None: the present one.
        kind: Of the pass; None: the deepest that is finished.

    Raises:
        NotFound: There is no such file, revision or finished pass.
        Conflict: The clip has not come.
    """
    if name in ("original", "clip"):
        return await _open_clip(room, video, name)
    revision = await find_revision(room, video, number)
    async with room.database.reading() as session:
        results = (
            await get_best_results(session, revision)
            if kind is None
            else await get_results(session, revision, kind)
        )
        if results is None:
            results = await get_results(session, revision, PassKind.quick)
    stem = f"{_clean(video.title)}-{revision.number}-{results.done.kind}"
    if name in PASS_FILES:
        media_type, ending = PASS_FILES[name]
        sha256 = results.done.artifacts[name]
        data = await room.artifacts.read_bytes(sha256, max_bytes=MAX_FILE_BYTES)
        return VideoFile(media_type=media_type, name=f"{stem}-{ending}", data=data, sha256=sha256)
    if name in EXPORTS:
        data = await _export(room, revision, results, name)
        return VideoFile(media_type=EXPORTS[name], name=f"{stem}.{name}", data=data)
    if name == "ball" and results.done.ball is not None:
        stored = await room.artifacts.read_bytes(results.done.artifacts["results"], max_bytes=MAX_FILE_BYTES)
        data = await asyncio.to_thread(_write_ball, stored)
        return VideoFile(media_type="text/csv", name=f"{stem}-ball.csv", data=data)
    match = _PICTURE.fullmatch(name)
    for picture in results.pictures if match else ():
        if match and picture.position == int(match.group(1)):
            data = await room.artifacts.read_bytes(picture.sha256, max_bytes=MAX_FILE_BYTES)
            return VideoFile(
                media_type="image/jpeg", name=f"{stem}-{name}.jpg", data=data, sha256=picture.sha256
            )
    raise NotFound(
        "video.file_unknown",
        f"A video has no file {name[:80]!r}.",
        f"Ask for one of: {', '.join(FILE_NAMES)}.",
    )


async def _open_clip(room: VideosRoom, video: Video, name: str) -> VideoFile:
    if video.original_sha256 is None:
        raise Conflict("video.not_uploaded", "The clip has not come.", "Upload it first.")
    if name == "clip" and video.proxy_sha256 is not None:
        sha256, media_type, ending = video.proxy_sha256, "video/mp4", "mp4"
    else:
        sha256, media_type = video.original_sha256, video.media_type
        ending = Path(video.file_name).suffix.lstrip(".") or "mp4"
    held = AsyncExitStack()
    path = await held.enter_async_context(room.artifacts.hold_file(sha256))
    name = f"{_clean(video.title)}.{_clean(ending)}"
    return VideoFile(media_type=media_type, name=name, path=path, held=held, sha256=sha256)


async def _export(room: VideosRoom, revision: Revision, results: VideoResults, form: str) -> bytes:
    keypoints = await room.artifacts.read_bytes(results.done.artifacts["keypoints"])
    outcome = await room.artifacts.read_bytes(results.done.artifacts["results"])
    async with work_folder(room.settings, revision.revision_id, f"export-{form}") as work:
        (work / "keypoints.npz").write_bytes(keypoints)
        (work / "outcome.json").write_bytes(outcome)
        await room.compute(EXPORT, work, {"form": form, "tracks": ["keypoints.npz"]})
        return (work / f"export.{form}").read_bytes()


def _write_ball(results: bytes) -> bytes:
    """Return a line a point of the ball, from the results of its pass; the heading alone when there is none."""
    points = json.loads(results)["measurement"]["ball"]["points"]
    lines = ["t_s,x_px,y_px,radius_px"]
    lines += [
        f"{one['t_s']:.6f},{one['x_px']:.2f},{one['y_px']:.2f},{one['radius_px']:.2f}" for one in points
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _clean(text: str) -> str:
    """Return a name that a header and every file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60] or "video"
