"""Backfills and their runs as JSON routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from referee.backfills import queries, service
from referee.backfills.ledger import RunOptions
from referee.backfills.models import (
    BackfillModel,
    BackfillRunModel,
    BackfillRunRequestModel,
    BackfillTuningModel,
)
from referee.backfills.registry import list_backfills
from referee.backfills.room import BackfillsRoom
from referee.backfills.views import BackfillRun
from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.jobs import JobEngine
from referee.foundation.web.answers import (
    CursorParameter,
    IdempotencyKey,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.filters import Filter

__all__ = ["GetEngine", "GetRoom", "RunId", "act_on_run", "create_api"]

GetRoom: TypeAlias = Callable[[], BackfillsRoom]
GetEngine: TypeAlias = Callable[[], JobEngine]
RunFilter = Annotated[Filter, Depends(filter_parameter(queries.RUN_FIELDS))]
RunAction: TypeAlias = Literal["pause", "resume", "force", "cancel", "undo", "retry"]


async def read_run_id(backfill_run_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(backfill_run_id, "backfill")


RunId = Annotated[UUID, Depends(read_run_id)]


def create_api(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the routes of backfills."""
    router = APIRouter(prefix="/v1", tags=["backfills"])

    @router.get("/backfills")
    async def list_known_backfills(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
    ) -> PageModel[BackfillModel]:
        """List the backfills there are."""
        found = list_backfills()
        return answer_page(
            request, response, Page(tuple(found[:limit]), len(found), limit, None), BackfillModel.of
        )

    @router.get("/backfill-runs")
    async def list_backfill_runs(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: RunFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[BackfillRunModel]:
        """List runs and dry runs, newest first."""
        async with room().database.reading() as session:
            page = await queries.list_runs(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, BackfillRunModel.of)

    @router.post("/backfill-runs", status_code=202)
    async def create_backfill_run(
        body: BackfillRunRequestModel,
        principal: PrincipalParameter,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> BackfillRunModel:
        """Accept a run or dry run. Needs the scope admin, since it opens a database by its address."""
        principal.require("admin")
        run = await service.create_run(
            room(), engine(), principal.project_id, _read_request(body, idempotency_key)
        )
        response.headers["Location"] = f"/v1/backfill-runs/{run.backfill_run_id}"
        return BackfillRunModel.of(run)

    @router.get("/backfill-runs/{backfill_run_id}")
    async def get_backfill_run(backfill_run_id: RunId, principal: PrincipalParameter) -> BackfillRunModel:
        """Return a run with its progress, counts and checks."""
        async with room().database.reading() as session:
            return BackfillRunModel.of(await queries.get_run(session, principal.project_id, backfill_run_id))

    @router.patch("/backfill-runs/{backfill_run_id}")
    async def tune_backfill_run(
        backfill_run_id: RunId, body: BackfillTuningModel, principal: PrincipalParameter
    ) -> BackfillRunModel:
        """Change how an open run works, from its next batch on."""
        principal.require("admin")
        options = body.model_dump(exclude_none=True)
        return BackfillRunModel.of(
            await service.ask_run(room(), principal.project_id, backfill_run_id, options=options)
        )

    @router.post("/backfill-runs/{backfill_run_id}/{action}", status_code=202)
    async def act_on_backfill_run(
        backfill_run_id: RunId,
        action: Annotated[RunAction, Path(description="pause, resume, force, cancel, undo or retry.")],
        principal: PrincipalParameter,
    ) -> BackfillRunModel:
        """Act on a run; it hears after its present batch.

        ``force`` resumes a run that a process holds which is surely gone; ``retry`` answers with a new run over the
        rows that this one could not process.
        """
        principal.require("admin")
        return BackfillRunModel.of(
            await act_on_run(room(), engine(), principal.project_id, backfill_run_id, action)
        )

    return router


async def act_on_run(
    room: BackfillsRoom, engine: JobEngine, project_id: UUID, run_id: UUID, action: RunAction
) -> BackfillRun:
    """Do one of the acts on a run, for route and page."""
    if action in ("resume", "force"):
        return await service.resume_run(room, engine, project_id, run_id, is_forced=action == "force")
    if action == "retry":
        return await service.retry_dead_letters(room, engine, project_id, run_id)
    if action == "undo":
        return await service.undo_run(room, engine, project_id, run_id)
    return await service.ask_run(room, project_id, run_id, requested=action)


def _read_request(body: BackfillRunRequestModel, key: str | None) -> service.ServerRun:
    return service.ServerRun(
        backfill=body.backfill,
        database=body.database,
        parameters=body.parameters,
        is_dry=body.is_dry,
        scope=body.scope,
        options=RunOptions(
            batch_size=body.batch_size,
            throttle_ms=body.throttle_ms,
            max_failure_share=body.max_failure_share,
        ),
        plan_run_id=None if body.plan_run_id is None else parse_id(body.plan_run_id, "backfill"),
        is_difference_accepted=body.is_difference_accepted,
        has_backup=body.has_backup,
        idempotency_key=key,
    )
