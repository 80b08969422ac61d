"""Runs of apps as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from referee.apps.api import AppId
from referee.apps.logs import MAX_CHUNK_BYTES, list_log_names, read_log
from referee.apps.models import AppRunDetailModel, AppRunModel, AppRunRequestModel, LogChunkModel
from referee.apps.room import AppsRoom
from referee.apps.run_requests import start_app_run
from referee.apps.running import stop_app_run
from referee.apps.runs import AppLease, AppRun, get_app_run, list_app_runs, list_leases
from referee.apps.template_api import add_template_routes
from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
)

__all__ = ["AppRunId", "create_run_api", "read_run"]

GetRoom: TypeAlias = Callable[[], AppsRoom]


async def read_app_run_id(app_run_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(app_run_id, "app_run")


async def read_app_parameter(
    app_id: Annotated[str | None, Query(description="Only runs of this app.")] = None,
) -> UUID | None:
    """Return the app that a list is about, if one is named."""
    return None if app_id is None else parse_id(app_id, "app")


AppRunId = Annotated[UUID, Depends(read_app_run_id)]
AppParameter = Annotated[UUID | None, Depends(read_app_parameter)]
LiveParameter = Annotated[
    bool | None, Query(description="Only runs that are up or starting, or only those that ended.")
]
ComponentParameter = Annotated[str, Path(max_length=200, description="One of the run's logs.")]
OffsetParameter = Annotated[
    int, Query(ge=-(2**62), le=2**62, description="Byte to begin at; negative: so many from the end.")
]
LogLimitParameter = Annotated[
    int, Query(ge=1, le=MAX_CHUNK_BYTES, description="Bytes in the answer at most.")
]


async def read_run(
    room: AppsRoom, project_id: UUID, app_run_id: UUID
) -> tuple[AppRun, tuple[AppLease, ...], tuple[str, ...]]:
    """Return a run, who holds it, and the names of its logs.

    Raises:
        NotFound: The project has no such run.
    """
    async with room.database.reading() as session:
        run = await get_app_run(session, project_id, app_run_id)
        leases = await list_leases(session, app_run_id)
    return run, leases, await asyncio.to_thread(list_log_names, room, run)


def create_run_api(room: GetRoom) -> APIRouter:
    """Return the routes of runs and of templates."""
    router = APIRouter(prefix="/v1")
    _add_runs(router, room)
    add_template_routes(router, room)
    return router


def _add_runs(router: APIRouter, room: GetRoom) -> None:
    @router.get("/app-runs", tags=["app runs"], name="list_app_runs")
    async def list_runs(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        app_id: AppParameter,
        is_live: LiveParameter = None,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[AppRunModel]:
        """List runs of apps, newest first."""
        async with room().database.reading() as session:
            page = await list_app_runs(
                session, principal.project_id, app_id=app_id, is_live=is_live, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, AppRunModel.of)

    @router.post("/apps/{app_id}/runs", tags=["app runs"], status_code=202, name="start_app_run")
    async def start_run(
        app_id: AppId,
        principal: PrincipalParameter,
        response: Response,
        body: AppRunRequestModel | None = None,
    ) -> AppRunModel:
        """Start an app in the sandbox and keep it up for a while; an app that is up already gets a longer stay."""
        principal.require("write")
        wanted = body or AppRunRequestModel()
        run = await start_app_run(room(), principal.project_id, app_id, hours=wanted.hours)
        response.headers["Location"] = f"/v1/app-runs/{run.app_run_id}"
        return AppRunModel.of(run)

    @router.get("/app-runs/{app_run_id}", tags=["app runs"], name="get_app_run")
    async def get_run(app_run_id: AppRunId, principal: PrincipalParameter) -> AppRunDetailModel:
        """Return a run with who holds it and which logs there are."""
        return AppRunDetailModel.build(*await read_run(room(), principal.project_id, app_run_id))

    @router.post("/app-runs/{app_run_id}/stop", tags=["app runs"], name="stop_app_run")
    async def stop_run(app_run_id: AppRunId, principal: PrincipalParameter) -> AppRunModel:
        """Stop an app that people keep up, and wait for its end; refused with 409 while a tool uses it."""
        principal.require("write")
        return AppRunModel.of(await stop_app_run(room(), principal.project_id, app_run_id))

    @router.get("/app-runs/{app_run_id}/logs/{component}", tags=["app runs"], name="get_app_run_log")
    async def get_log(
        app_run_id: AppRunId,
        component: ComponentParameter,
        principal: PrincipalParameter,
        offset: OffsetParameter = 0,
        limit_bytes: LogLimitParameter = MAX_CHUNK_BYTES,
    ) -> LogChunkModel:
        """Return a part of what a component printed. Go on at next_offset until it is size_bytes."""
        async with room().database.reading() as session:
            run = await get_app_run(session, principal.project_id, app_run_id)
        chunk = await read_log(room(), run, component, offset=offset, limit_bytes=limit_bytes)
        return LogChunkModel.model_validate(chunk)
