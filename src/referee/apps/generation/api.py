"""Generations as JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from referee.apps.generation.contract import Generation, GenerationFailure, GenerationState
from referee.apps.generation.creating import DEFAULT_TEMPERATURE, create_generation
from referee.apps.generation.queries import get_generation, list_generations
from referee.apps.generation.running import check_generator
from referee.apps.known_templates import ensure_template
from referee.apps.model_api import add_model_routes
from referee.apps.room import AppsRoom
from referee.core.errors import NotFound
from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.core.trace_context import parse_traceparent
from referee.foundation.jobs import JobEngine
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    answers_file,
)

__all__ = ["GenerationDetailModel", "GenerationModel", "create_generation_api"]

GetRoom: TypeAlias = Callable[[], AppsRoom]
GetEngine: TypeAlias = Callable[[], JobEngine]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class GenerationRequestModel(_Model):
    """An app that is to be written."""

    model: str = Field(max_length=200, description="Slug of a model of the catalogue.")
    template: str = Field(max_length=200, description="Slug or id of a template.")
    number: int | None = Field(
        default=None,
        ge=1,
        lt=1_000_000,
        description="App to write anew or to make; null: the next free number.",
    )
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    temperature: float = Field(default=DEFAULT_TEMPERATURE, ge=0, le=2)


class ModelCallModel(_Model):
    """One answer of the model."""

    purpose: str
    prompt_sha256: str = Field(description="Artifact with the conversation that was sent.")
    reply_sha256: str = Field(description="Artifact with the text of the answer.")
    model: str
    prompt_tokens: int
    completion_tokens: int
    attempts_count: int
    cost_usd: float | None
    finish_reason: str
    duration_ms: int
    finished_at: datetime
    span_id: str


class NoticeModel(_Model):
    """Something that was noticed about what the model wrote."""

    kind: str
    message: str
    subject: str
    path: str


class GenerationModel(_Model):
    """One writing of one app by one model."""

    generation_id: UUID
    project_id: UUID
    app_id: UUID
    job_id: UUID | None
    model: str
    template_id: UUID
    version: int
    state: GenerationState
    stage: str
    failure: GenerationFailure | None
    reason: str
    seed: int | None
    temperature: float
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None = Field(description="Null when the model has no prices.")
    calls_count: int = Field(description="Requests that were sent, retries included.")
    files_count: int | None
    source_sha256: str | None = Field(description="Artifact with a tar of the files.")
    record_sha256: str | None = Field(description="Artifact with the record of it all.")
    traceparent: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class GenerationDetailModel(GenerationModel):
    """A generation with its calls and what was noticed."""

    calls: list[ModelCallModel]
    notices: list[NoticeModel]


async def read_generation_id(generation_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(generation_id, "generation")


async def read_app_parameter(
    app_id: Annotated[str | None, Query(description="Only those of this app.")] = None,
) -> UUID | None:
    """Return the app that a list is about, if one is named."""
    return None if app_id is None else parse_id(app_id, "app")


GenerationId = Annotated[UUID, Depends(read_generation_id)]
AppParameter = Annotated[UUID | None, Depends(read_app_parameter)]


def create_generation_api(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the routes of models and of generations."""
    router = APIRouter(prefix="/v1")
    add_model_routes(router, room)
    _add_generations(router, room, engine)
    return router


def _add_generations(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:

    @router.get("/generations", tags=["generations"], name="list_generations")
    async def list_known(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        app: AppParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[GenerationModel]:
        """List generations, newest first."""
        async with room().database.reading() as session:
            page = await list_generations(
                session, principal.project_id, app_id=app, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, _summarise)

    @router.post("/generations", tags=["generations"], status_code=202, name="create_generation")
    async def create(
        body: GenerationRequestModel, request: Request, response: Response, principal: PrincipalParameter
    ) -> GenerationModel:
        """Have an app written by a model for a template."""
        principal.require("write")
        await ensure_template(room().database, room().artifacts, principal.project_id, body.template)
        async with room().database.transaction() as session:
            await check_generator(room(), session)
            generation = await create_generation(
                session,
                project_id=principal.project_id,
                model=body.model,
                template=body.template,
                number=body.number,
                seed=body.seed,
                temperature=body.temperature,
                traceparent=parse_traceparent(request.headers.get("traceparent")),
                engine=engine(),
            )
        response.headers["Location"] = f"/v1/generations/{generation.generation_id}"
        return _summarise(generation)

    @router.get("/generations/{generation_id}", tags=["generations"], name="get_generation")
    async def get_known(generation_id: GenerationId, principal: PrincipalParameter) -> GenerationDetailModel:
        """Return one generation with its calls and what was noticed."""
        async with room().database.reading() as session:
            generation = await get_generation(session, principal.project_id, generation_id)
        return GenerationDetailModel.model_validate(generation)

    @router.get(
        "/generations/{generation_id}/artifacts/{sha256}",
        tags=["generations"],
        name="get_generation_artifact",
        response_class=Response,
        responses=answers_file("application/octet-stream"),
    )
    async def get_artifact(
        generation_id: GenerationId,
        sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="Digest of the bytes.")],
        principal: PrincipalParameter,
    ) -> Response:
        """Return a prompt, a reply, the files or the record of a generation, checked, as a download."""
        async with room().database.reading() as session:
            generation = await get_generation(session, principal.project_id, generation_id)
        ending = _name_artifacts(generation).get(sha256)
        if ending is None:
            raise NotFound(
                "artifact.not_found",
                "The generation has no such artifact.",
                "Look at its calls and its record.",
            )
        return Response(
            await room().artifacts.read_bytes(sha256),
            media_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{sha256[:16]}.{ending}"'},
        )


def _name_artifacts(generation: Generation) -> dict[str, str]:
    """Return the ending of a file's name for each artifact of a generation."""
    named = {call.prompt_sha256: "json" for call in generation.calls}
    named |= {call.reply_sha256: "md" for call in generation.calls}
    if generation.source_sha256 is not None:
        named[generation.source_sha256] = "tar"
    if generation.record_sha256 is not None:
        named[generation.record_sha256] = "json"
    return named


def _summarise(generation: Generation) -> GenerationModel:
    return GenerationModel(**{name: getattr(generation, name) for name in GenerationModel.model_fields})
