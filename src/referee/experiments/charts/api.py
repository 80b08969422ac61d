"""Charts as JSON, in the shapes that telemetry clients know, with the project's id in the path and without."""

from __future__ import annotations

from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import Depends

from referee.core.pages import MAX_LIMIT
from referee.experiments.charts import models, service
from referee.experiments.identifiers import read_id
from referee.experiments.room import GetRoom
from referee.foundation.access import Principal
from referee.foundation.access.projects import require_project
from referee.foundation.web.answers import CursorParameter, IdempotencyKey, LimitParameter, PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter

__all__ = ["create_charts_api"]


def _read_project(project_id: str, principal: PrincipalParameter) -> Principal:
    require_project(principal, project_id)
    return principal


OwnProject: TypeAlias = Annotated[Principal, Depends(_read_project)]
"""Who asks, when the id in the path is that of their project."""


def create_charts_api(room: GetRoom) -> ClientRouter:
    """Return the routes of charts."""
    router = ClientRouter(tags=["charts"])
    _add_plain(router, room)
    _add_of_project(router, room)
    return router


def _add_plain(router: ClientRouter, room: GetRoom) -> None:
    @router.get("/v1/charts")
    async def list_charts(
        principal: PrincipalParameter, limit: LimitParameter = MAX_LIMIT, cursor: CursorParameter = None
    ) -> models.ChartsModel:
        """List charts, newest first."""
        return await _list(room, principal, limit, cursor)

    @router.post("/v1/charts")
    async def create_chart(
        body: models.ChartRequestModel, principal: PrincipalParameter, key: IdempotencyKey
    ) -> models.ChartAnswerModel:
        """Make a chart."""
        return await _create(room, principal, body, key)

    @router.get("/v1/charts/{chart_id}")
    async def get_chart(chart_id: str, principal: PrincipalParameter) -> models.ChartAnswerModel:
        """Return a chart."""
        return await _get(room, principal, chart_id)

    @router.put("/v1/charts/{chart_id}")
    async def update_chart(
        chart_id: str, body: models.ChartChangeModel, principal: PrincipalParameter
    ) -> models.ChartAnswerModel:
        """Change a chart."""
        return await _update(room, principal, chart_id, body)

    @router.delete("/v1/charts/{chart_id}")
    async def delete_chart(chart_id: str, principal: PrincipalParameter) -> models.DeletedChartModel:
        """Delete a chart."""
        return await _delete(room, principal, chart_id)


def _add_of_project(router: ClientRouter, room: GetRoom) -> None:
    @router.get("/v1/projects/{project_id}/charts")
    async def list_project_charts(
        principal: OwnProject, limit: LimitParameter = MAX_LIMIT, cursor: CursorParameter = None
    ) -> models.ChartsModel:
        """List charts, newest first."""
        return await _list(room, principal, limit, cursor)

    @router.post("/v1/projects/{project_id}/charts")
    async def create_project_chart(
        body: models.ChartRequestModel, principal: OwnProject, key: IdempotencyKey
    ) -> models.ChartAnswerModel:
        """Make a chart."""
        return await _create(room, principal, body, key)

    @router.get("/v1/projects/{project_id}/charts/{chart_id}")
    async def get_project_chart(chart_id: str, principal: OwnProject) -> models.ChartAnswerModel:
        """Return a chart."""
        return await _get(room, principal, chart_id)

    @router.patch("/v1/projects/{project_id}/charts/{chart_id}")
    async def update_project_chart(
        chart_id: str, body: models.ChartChangeModel, principal: OwnProject
    ) -> models.ChartAnswerModel:
        """Change a chart."""
        return await _update(room, principal, chart_id, body)

    @router.delete("/v1/projects/{project_id}/charts/{chart_id}")
    async def delete_project_chart(chart_id: str, principal: OwnProject) -> models.DeletedChartModel:
        """Delete a chart."""
        return await _delete(room, principal, chart_id)


def _read(chart_id: str) -> UUID:
    return read_id(chart_id, "chart")


async def _list(room: GetRoom, principal: Principal, limit: int, cursor: str | None) -> models.ChartsModel:
    principal.require("charts_read")
    async with room().database.reading() as session:
        page = await service.list_charts(session, principal.project_id, limit=limit, cursor=cursor)
    return models.ChartsModel(
        data=[models.ChartModel.of(one) for one in page.items],
        total_count=page.total_count,
        next_cursor=page.next_cursor,
    )


async def _create(
    room: GetRoom, principal: Principal, body: models.ChartRequestModel, key: str | None
) -> models.ChartAnswerModel:
    principal.require("charts_write")
    async with room().database.transaction() as session:
        made = await service.create_chart(
            session, principal.project_id, body.to_content(), idempotency_key=key
        )
    return models.ChartAnswerModel(data=models.ChartModel.of(made))


async def _get(room: GetRoom, principal: Principal, chart_id: str) -> models.ChartAnswerModel:
    principal.require("charts_read")
    async with room().database.reading() as session:
        found = await service.get_chart(session, principal.project_id, _read(chart_id))
    return models.ChartAnswerModel(data=models.ChartModel.of(found))


async def _update(
    room: GetRoom, principal: Principal, chart_id: str, body: models.ChartChangeModel
) -> models.ChartAnswerModel:
    principal.require("charts_write")
    async with room().database.transaction() as session:
        changed = await service.update_chart(
            session, principal.project_id, _read(chart_id), body.to_changes()
        )
    return models.ChartAnswerModel(data=models.ChartModel.of(changed))


async def _delete(room: GetRoom, principal: Principal, chart_id: str) -> models.DeletedChartModel:
    principal.require("charts_write")
    async with room().database.transaction() as session:
        await service.delete_chart(session, principal.project_id, _read(chart_id))
    return models.DeletedChartModel(message=f"The chart {chart_id} was deleted.", id=chart_id)
