"""Configurations as JSON, in the shapes that telemetry clients know."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from referee.core.pages import MAX_LIMIT
from referee.experiments.configurations import models, service
from referee.experiments.identifiers import read_id
from referee.experiments.room import GetRoom
from referee.foundation.web.answers import CursorParameter, IdempotencyKey, LimitParameter, PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.client_values import merge_query_lists

__all__ = ["create_configurations_api"]


def create_configurations_api(room: GetRoom) -> ClientRouter:
    """Return the routes of configurations."""
    router = ClientRouter(tags=["configurations"])
    _add_reads(router, room)
    _add_changes(router, room)
    return router


def _add_reads(router: ClientRouter, room: GetRoom) -> None:
    @router.both("GET", "/configurations")
    async def list_configurations(
        principal: PrincipalParameter,
        name: Annotated[str | None, Query(max_length=200, description="Exactly this name.")] = None,
        env: Annotated[str | None, Query(max_length=20, description="dev, staging or prod.")] = None,
        tags: Annotated[list[str] | None, Query(alias="tags[]", description="All of these.")] = None,
        plain_tags: Annotated[list[str] | None, Query(alias="tags", include_in_schema=False)] = None,
        limit: LimitParameter = MAX_LIMIT,
        cursor: CursorParameter = None,
    ) -> models.ConfigurationsModel:
        """List configurations, newest first."""
        async with room().database.reading() as session:
            page = await service.list_configurations(
                session,
                principal.project_id,
                name=name,
                env=env,
                tags=merge_query_lists(tags, plain_tags, max_count=100),
                limit=limit,
                cursor=cursor,
            )
        return models.ConfigurationsModel(
            configurations=[models.ConfigurationModel.of(one) for one in page.items],
            total_count=page.total_count,
            next_cursor=page.next_cursor,
        )

    @router.both("GET", "/configurations/{configuration_id}")
    async def get_configuration(
        configuration_id: str, principal: PrincipalParameter
    ) -> models.ConfigurationModel:
        """Return a configuration."""
        async with room().database.reading() as session:
            found = await service.get_configuration(
                session, principal.project_id, read_id(configuration_id, "configuration")
            )
        return models.ConfigurationModel.of(found)

    @router.get("/v1/configurations/{configuration_id}/versions")
    async def list_configuration_versions(
        configuration_id: str, principal: PrincipalParameter, limit: LimitParameter = MAX_LIMIT
    ) -> models.ConfigurationVersionsModel:
        """List a configuration's versions, newest first."""
        async with room().database.reading() as session:
            found = await service.get_configuration(
                session, principal.project_id, read_id(configuration_id, "configuration")
            )
            versions = await service.list_configuration_versions(
                session, principal.project_id, found.configuration_id, limit=limit
            )
        return models.ConfigurationVersionsModel(
            versions=[models.ConfigurationVersionModel.of(one) for one in versions]
        )


def _add_changes(router: ClientRouter, room: GetRoom) -> None:
    @router.both("POST", "/configurations")
    async def create_configuration(
        body: models.ConfigurationRequestModel, principal: PrincipalParameter, key: IdempotencyKey
    ) -> models.CreatedConfigurationModel:
        """Make a configuration."""
        principal.require("write")
        async with room().database.transaction() as session:
            made = await service.create_configuration(
                session, principal.project_id, body.to_content(), idempotency_key=key
            )
        return models.CreatedConfigurationModel(insertedId=str(made))

    @router.both("PUT", "/configurations/{configuration_id}")
    async def update_configuration(
        configuration_id: str, body: models.ConfigurationChangeModel, principal: PrincipalParameter
    ) -> models.UpdatedConfigurationModel:
        """Change a configuration; what it was stays as a version."""
        principal.require("write")
        async with room().database.transaction() as session:
            is_changed = await service.update_configuration(
                session,
                principal.project_id,
                read_id(configuration_id, "configuration"),
                body.to_changes(),
            )
        return models.UpdatedConfigurationModel(modifiedCount=int(is_changed))

    @router.both("DELETE", "/configurations/{configuration_id}")
    async def delete_configuration(
        configuration_id: str, principal: PrincipalParameter
    ) -> models.DeletedConfigurationModel:
        """Delete a configuration with its versions."""
        principal.require("write")
        async with room().database.transaction() as session:
            await service.delete_configuration(
                session, principal.project_id, read_id(configuration_id, "configuration")
            )
        return models.DeletedConfigurationModel(id=configuration_id)
