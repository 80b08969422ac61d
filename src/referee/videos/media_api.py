"""Bytes of videos as routes: clips with ranges, artifacts, pictures and exports."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path as FilePath
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from referee.foundation.web.answers import PrincipalParameter, answers_file
from referee.foundation.web.openapi_problems import answers_with
from referee.videos.api import VideoId, read_video
from referee.videos.files import FILE_NAMES, VideoFile, open_file
from referee.videos.models import PersonModel
from referee.videos.people import list_people
from referee.videos.room import GetRoom
from referee.videos.shapes import PassKind

__all__ = ["ClipResponse", "answer_file", "create_media_api"]

_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,15})-([0-9]{0,15})|-([0-9]{1,15}))")
_MEDIA_TYPES = (
    "video/mp4", "video/quicktime", "video/x-msvideo", "video/webm", "video/x-matroska", "application/zip",
    "application/gzip", "application/json", "application/pdf", "image/jpeg", "text/csv", "text/plain",
)  # fmt: skip


def create_media_api(room: GetRoom) -> APIRouter:
    """Return the routes that answer with bytes."""
    router = APIRouter(prefix="/v1", tags=["videos"])

    @router.get(
        "/videos/{video_id}/files/{video_file}",
        response_class=Response,
        responses={
            **answers_file(*_MEDIA_TYPES),
            206: {**answers_file(*_MEDIA_TYPES)[200], "description": "The range that was asked for."},
            **answers_with(409),
        },
    )
    async def get_video_file(
        video_id: VideoId,
        video_file: Annotated[str, Path(max_length=80, description=f"One of: {', '.join(FILE_NAMES)}.")],
        principal: PrincipalParameter,
        revision: Annotated[
            int | None, Query(ge=1, le=1_000_000, description="Else the present one.")
        ] = None,
        pass_kind: Annotated[
            PassKind | None, Query(alias="pass", description="Else the deepest finished.")
        ] = None,
    ) -> Response:
        """Return a file of a video. Clips take a Range, so that a player can seek."""
        video = await read_video(room(), principal.project_id, video_id)
        return answer_file(await open_file(room(), video, video_file, number=revision, kind=pass_kind))

    @router.get("/videos/{video_id}/people/{t_ms}", responses=answers_with(409))
    async def list_video_people(
        video_id: VideoId,
        t_ms: Annotated[int, Path(ge=0, le=10**9, description="Milliseconds from the first frame.")],
        principal: PrincipalParameter,
    ) -> list[PersonModel]:
        """Return the people at an instant, to choose the athlete among them."""
        video = await read_video(room(), principal.project_id, video_id)
        boxes = await list_people(room(), video, t_ms / 1_000)
        return [
            PersonModel(x_px=x, y_px=y, width_px=width, height_px=height) for x, y, width, height in boxes
        ]

    return router


class ClipResponse(FileResponse):
    """A file that is sent in ranges and let go afterwards; a range that it has not is as if none was asked for.

    Source:
        RFC 9110, section 14.2: a server may ignore the Range header.
    """

    held: AsyncExitStack | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and let it go."""
        async with self.held or AsyncExitStack():
            await self._send(scope, receive, send)

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Headers(scope=scope).get("range")
        if asked is not None and not self._has(asked):
            kept = [pair for pair in scope["headers"] if pair[0].lower() != b"range"]
            scope = {**scope, "headers": kept}
        await super().__call__(scope, receive, send)

    def _has(self, asked: str) -> bool:
        match = _RANGE.fullmatch(asked.strip())
        if match is None:
            return False
        size_bytes = FilePath(self.path).stat().st_size
        start, end, last = match.groups()
        if last is not None:
            return int(last) > 0 and size_bytes > 0
        return int(start) < size_bytes and (not end or int(end) >= int(start))


def answer_file(file: VideoFile) -> Response:
    """Return a file as an answer; shown in the page where browsers can, never run."""
    headers = {"Cache-Control": "private, no-cache"}
    if file.sha256:
        headers["ETag"] = f'"{file.sha256}"'
    if file.path is not None:
        clip = ClipResponse(
            file.path,
            media_type=file.media_type,
            filename=file.name,
            content_disposition_type="inline",
            headers=headers,
        )
        clip.held = file.held
        return clip
    is_shown = file.media_type in ("image/jpeg", "application/pdf", "application/gzip")
    headers["Content-Disposition"] = f'{"inline" if is_shown else "attachment"}; filename="{file.name}"'
    return Response(file.data or b"", media_type=file.media_type, headers=headers)
