"""Runs as JSON: what telemetry clients create, change and list. Results and comparisons are in ``results_api``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeAlias

from fastapi import Depends, Path, Query

from referee.experiments.room import GetRoom
from referee.experiments.runs import queries, service
from referee.experiments.runs.models import (
    DeletedRunModel,
    Id,
    RunAnswerModel,
    RunChangedModel,
    RunCreatedModel,
    RunCreateModel,
    RunModel,
    RunsModel,
    RunUpdateModel,
    Status,
)
from referee.experiments.runs.parameters import DateRangeParameter, parse_date_range
from referee.experiments.runs.results_api import add_comparison_routes, add_result_routes
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.client_values import merge_query_lists

__all__ = ["RunId", "create_runs_api"]

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_PAGE: Final = 1_000_000

RunId: TypeAlias = Annotated[str, Path(min_length=1, max_length=200, description="Id of the run.")]


def read_search(
    dataset_id: Annotated[Id | None, Query(description="Only runs over this dataset.")] = None,
    page: Annotated[int, Query(ge=1, le=MAX_PAGE, description="From 1.")] = 1,
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT, description="20, unless given.")] = None,
    run_ids: Annotated[list[Id] | None, Query(alias="run_ids[]", description="Only these.")] = None,
    plain_run_ids: Annotated[list[Id] | None, Query(alias="run_ids", include_in_schema=False)] = None,
    name: Annotated[str | None, Query(max_length=500, description="Part of the name.")] = None,
    status: Annotated[Status | None, Query(description="Only runs in this state.")] = None,
    date_range: DateRangeParameter = None,
    sort_by: Annotated[
        Literal["created_at", "updated_at", "name", "status"], Query(description="What the order goes by.")
    ] = "created_at",
    sort_order: Annotated[Literal["asc", "desc"], Query(description="Rising or falling.")] = "desc",
) -> queries.RunSearch:
    """Return what the query asks for. Who names runs gets all of them, unless a limit says otherwise."""
    ids = merge_query_lists(run_ids, plain_run_ids, max_count=MAX_LIMIT)
    created = parse_date_range(date_range, datetime.now(UTC))
    return queries.RunSearch(
        dataset_id=dataset_id,
        run_ids=ids,
        name=name,
        status=status,
        created_from=created.start,
        created_to=created.end,
        sort_by=sort_by,
        is_descending=sort_order == "desc",
        page=page,
        limit=limit or max(DEFAULT_LIMIT, len(ids)),
    )


def create_runs_api(room: GetRoom) -> ClientRouter:
    """Return the routes of runs, their results and their comparisons."""
    router = ClientRouter(tags=["runs"])
    # Literal words come before the routes that take an id in the same place.
    add_comparison_routes(router, room)
    _add_lists(router, room)
    add_result_routes(router, room)
    _add_single(router, room)
    return router


def _add_lists(router: ClientRouter, room: GetRoom) -> None:
    @router.both("POST", "/runs")
    async def create_run(body: RunCreateModel, principal: PrincipalParameter) -> RunCreatedModel:
        """Create a run. The same creation with the same run_id again answers with the same run."""
        run = await service.create_run(room(), principal.project_id, body.to_request())
        return RunCreatedModel(evaluation=RunModel.of(run), run_id=run.run_id)

    @router.both("GET", "/runs")
    async def list_runs(
        principal: PrincipalParameter, search: Annotated[queries.RunSearch, Depends(read_search)]
    ) -> RunsModel:
        """List runs, newest first unless sorted otherwise."""
        async with room().database.reading() as session:
            page = await queries.search_runs(session, principal.project_id, search)
        return RunsModel.of(page)


def _add_single(router: ClientRouter, room: GetRoom) -> None:
    @router.both("GET", "/runs/{run_id}")
    async def get_run(run_id: RunId, principal: PrincipalParameter) -> RunAnswerModel:
        """Return a run."""
        async with room().database.reading() as session:
            run = await queries.get_run(session, principal.project_id, run_id)
        return RunAnswerModel(evaluation=RunModel.of(run))

    @router.both("PUT", "/runs/{run_id}")
    async def update_run(
        run_id: RunId, body: RunUpdateModel, principal: PrincipalParameter
    ) -> RunChangedModel:
        """Change a run: metadata, results and configuration are merged key by key, the rest is replaced."""
        run, warning = await service.update_run(room(), principal.project_id, run_id, body.to_changes())
        return RunChangedModel(evaluation=RunModel.of(run), warning=warning)

    @router.both("DELETE", "/runs/{run_id}")
    async def delete_run(run_id: RunId, principal: PrincipalParameter) -> DeletedRunModel:
        """Delete a run; its sessions and events stay."""
        await service.delete_run(room(), principal.project_id, run_id)
        return DeletedRunModel(id=run_id, deleted=True)
