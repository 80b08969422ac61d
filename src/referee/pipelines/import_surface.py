"""Taking in an exported pipeline as JSON and from the page of pipelines."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, File, Request, Response, UploadFile
from starlette.responses import RedirectResponse

from referee.core.errors import InvalidInput
from referee.foundation.web.answers import PrincipalParameter
from referee.pipelines.api import GetRoom
from referee.pipelines.importing import ImportedPipeline, import_pipeline
from referee.pipelines.models import PipelineModel
from referee.pipelines.room import PipelinesRoom

__all__ = ["IMPORT_PATHS", "create_import_routes"]

IMPORT_PATHS: Final = ("/v1/pipelines/import", "/ui/pipelines/import")
"""Their bodies are files."""
_CHUNK_BYTES: Final = 1 << 20


def create_import_routes(room: GetRoom) -> tuple[APIRouter, APIRouter]:
    """Return the operation and the form that take a file in."""
    api, pages = APIRouter(), APIRouter(include_in_schema=False)

    @api.post(
        IMPORT_PATHS[0],
        tags=["pipelines"],
        status_code=201,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
        responses={200: {"description": "The same file was imported before.", "model": PipelineModel}},
    )
    async def import_exported_pipeline(
        request: Request, response: Response, principal: PrincipalParameter
    ) -> PipelineModel:
        """Take in the file of an exported pipeline: all of it or nothing. The same file is the same pipeline."""
        principal.require("write")
        imported = await _import_pieces(room(), principal.project_id, request.stream())
        response.status_code = 201 if imported.is_new else 200
        response.headers["Location"] = f"/v1/pipelines/{imported.pipeline.pipeline_id}"
        return PipelineModel.of(imported.pipeline)

    @pages.post(IMPORT_PATHS[1])
    async def import_from_page(
        principal: PrincipalParameter, file: Annotated[UploadFile, File()]
    ) -> Response:
        principal.require("write")

        async def read() -> AsyncIterator[bytes]:
            while piece := await file.read(_CHUNK_BYTES):
                yield piece

        imported = await _import_pieces(room(), principal.project_id, read())
        return RedirectResponse(f"/ui/pipelines/{imported.pipeline.pipeline_id}", 303)

    return api, pages


async def _import_pieces(
    room: PipelinesRoom, project_id: UUID, pieces: AsyncIterator[bytes]
) -> ImportedPipeline:
    async with _kept(room, pieces) as path:
        return await import_pipeline(room, project_id, path)


@asynccontextmanager
async def _kept(room: PipelinesRoom, pieces: AsyncIterator[bytes]) -> AsyncIterator[Path]:
    """Write pieces to a file that is gone afterwards.

    Raises:
        InvalidInput: Nothing came.
    """
    room.settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=room.settings.scratch_dir, prefix="import-", suffix=".zip") as file:
        async for piece in pieces:
            file.write(piece)
        file.flush()
        if file.tell() == 0:
            raise InvalidInput(
                "import.empty", "No file was sent.", "Choose the zip file of an exported pipeline."
            )
        yield Path(file.name)
