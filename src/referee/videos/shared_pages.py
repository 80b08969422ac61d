"""What a link shows to whoever has it: one video with its results, read only, without a key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from referee.foundation.web.rendering import render_page
from referee.videos.files import open_file
from referee.videos.media_api import answer_file
from referee.videos.pages import describe_results
from referee.videos.remarks import SHARES_PATH, find_shared_video
from referee.videos.room import GetRoom

__all__ = ["create_shared_pages"]

ShareToken = Annotated[str, Path(max_length=80)]


def create_shared_pages(room: GetRoom) -> APIRouter:
    """Return the pages of links."""
    router = APIRouter(include_in_schema=False)

    @router.get(SHARES_PATH + "/{share_token}")
    async def show_shared_video(request: Request, share_token: ShareToken) -> Response:
        video = await find_shared_video(room(), share_token)
        context = await describe_results(room(), video, None, None, base=f"{SHARES_PATH}/{share_token}/files")
        return await render_page(request, "videos/shared.html", {**context, "query": ""}, title=video.title)

    @router.get(SHARES_PATH + "/{share_token}/files/{shared_file}")
    async def get_shared_file(
        share_token: ShareToken, shared_file: Annotated[str, Path(max_length=80)]
    ) -> Response:
        video = await find_shared_video(room(), share_token)
        return answer_file(await open_file(room(), video, shared_file))

    return router
