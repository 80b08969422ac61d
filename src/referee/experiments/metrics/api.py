"""Metrics as JSON, in the shapes that telemetry clients know."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query

from referee.core.errors import NotFound
from referee.core.pages import MAX_LIMIT
from referee.experiments.identifiers import read_id
from referee.experiments.metrics import models, queries, service
from referee.experiments.room import GetRoom
from referee.foundation.access import Principal
from referee.foundation.web.answers import CursorParameter, IdempotencyKey, LimitParameter, PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter

__all__ = ["create_metrics_api"]


def create_metrics_api(room: GetRoom) -> ClientRouter:
    """Return the routes of metrics and their versions."""
    router = ClientRouter(tags=["metrics"])
    _add_list(router, room)
    _add_changes(router, room)
    _add_versions(router, room)
    return router


def _read(metric_id: str) -> UUID:
    return read_id(metric_id, "metric")


def _add_list(router: ClientRouter, room: GetRoom) -> None:
    @router.both("GET", "/metrics")
    async def list_metrics(
        principal: PrincipalParameter,
        type: Annotated[models.Kind | None, Query(description="Only of this kind.")] = None,
        id: Annotated[str | None, Query(max_length=200, description="Only this one.")] = None,
        limit: LimitParameter = MAX_LIMIT,
        cursor: CursorParameter = None,
    ) -> models.MetricsModel:
        """List metrics, newest first, as their deployed versions say."""
        try:
            wanted = None if id is None else _read(id)
        except NotFound:
            return models.MetricsModel(metrics=[], total_count=0, next_cursor=None)
        async with room().database.reading() as session:
            page = await queries.list_metrics(
                session, principal.project_id, metric_id=wanted, kind=type, limit=limit, cursor=cursor
            )
        return models.MetricsModel(
            metrics=[models.MetricModel.of(one) for one in page.items],
            total_count=page.total_count,
            next_cursor=page.next_cursor,
        )


def _add_changes(router: ClientRouter, room: GetRoom) -> None:
    @router.both("POST", "/metrics")
    async def create_metric(
        body: models.MetricRequestModel, principal: PrincipalParameter, key: IdempotencyKey
    ) -> models.CreatedMetricModel:
        """Make a metric; its first version is deployed."""
        principal.require("write")
        async with room().database.transaction() as session:
            made = await service.create_metric(
                session, principal.project_id, body.to_content(), idempotency_key=key
            )
        return models.CreatedMetricModel(metric_id=str(made))

    @router.both("PUT", "/metrics")
    async def update_metric_named_in_body(
        body: models.LegacyMetricChangeModel, principal: PrincipalParameter
    ) -> models.UpdatedMetricModel:
        """Change a metric; its id is in the body."""
        return await _update(room, principal, body.id, body)

    @router.both("PUT", "/metrics/{metric_id}")
    async def update_metric(
        metric_id: str, body: models.MetricChangeModel, principal: PrincipalParameter
    ) -> models.UpdatedMetricModel:
        """Change a metric, as a next version that is deployed at once."""
        return await _update(room, principal, metric_id, body)

    @router.both("DELETE", "/metrics")
    async def delete_metric_named_in_query(
        principal: PrincipalParameter,
        metric_id: Annotated[str, Query(max_length=200, description="Which one.")],
    ) -> models.DeletedMetricModel:
        """Delete a metric with its versions."""
        return await _delete(room, principal, metric_id)

    @router.both("DELETE", "/metrics/{metric_id}")
    async def delete_metric(metric_id: str, principal: PrincipalParameter) -> models.DeletedMetricModel:
        """Delete a metric with its versions."""
        return await _delete(room, principal, metric_id)


async def _update(
    room: GetRoom, principal: Principal, metric_id: str, body: models.MetricChangeModel
) -> models.UpdatedMetricModel:
    principal.require("write")
    async with room().database.transaction() as session:
        await service.update_metric(session, principal.project_id, _read(metric_id), body.to_changes())
    return models.UpdatedMetricModel()


async def _delete(room: GetRoom, principal: Principal, metric_id: str) -> models.DeletedMetricModel:
    principal.require("write")
    async with room().database.transaction() as session:
        await service.delete_metric(session, principal.project_id, _read(metric_id))
    return models.DeletedMetricModel(id=metric_id)


def _add_versions(router: ClientRouter, room: GetRoom) -> None:
    @router.get("/v1/metrics/{metric_id}/versions")
    async def list_metric_versions(
        metric_id: str, principal: PrincipalParameter, limit: LimitParameter = MAX_LIMIT
    ) -> models.MetricVersionsModel:
        """List a metric's versions, oldest first."""
        async with room().database.reading() as session:
            metric = await queries.get_metric(session, principal.project_id, _read(metric_id))
            versions = await queries.list_metric_versions(session, metric, limit=limit)
        return models.MetricVersionsModel(data=[models.MetricVersionModel.of(one) for one in versions])

    @router.post("/v1/metrics/{metric_id}/versions")
    async def create_metric_version(
        metric_id: str, body: models.MetricVersionRequestModel, principal: PrincipalParameter
    ) -> models.MetricVersionAnswerModel:
        """Add a version, and deploy it if that is wanted at once."""
        principal.require("write")
        async with room().database.transaction() as session:
            made = await service.create_metric_version(
                session,
                principal.project_id,
                _read(metric_id),
                message=body.message,
                content=body.content.to_content(),
                is_deployed=body.deploy_immediately,
            )
        return models.MetricVersionAnswerModel(data=models.MetricVersionModel.of(made))

    @router.post("/v1/metrics/{metric_id}/versions/{version_name}/deploy")
    async def deploy_metric_version(
        metric_id: str, version_name: str, principal: PrincipalParameter
    ) -> models.MetricVersionAnswerModel:
        """Have a metric judge by one of its versions from now on."""
        principal.require("write")
        async with room().database.transaction() as session:
            deployed = await service.deploy_metric_version(
                session, principal.project_id, _read(metric_id), version_name
            )
        return models.MetricVersionAnswerModel(data=models.MetricVersionModel.of(deployed))
