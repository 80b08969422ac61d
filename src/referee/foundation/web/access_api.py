"""Projects and keys as JSON, in the shapes that telemetry clients know."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, Field, model_validator

from referee.core.errors import InvalidInput
from referee.core.ids import format_id
from referee.foundation.access import (
    KeyKind,
    KeyView,
    Project,
    create_key,
)
from referee.foundation.access import projects as service
from referee.foundation.store import Database
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.client_values import Name, Text
from referee.foundation.web.legacy_names import rename_legacy

__all__ = ["create_access_api"]

GetDatabase: TypeAlias = Callable[[], Database]
ForgetProject: TypeAlias = Callable[[str], object]
"""Told the slug of a project that is no more."""

MAX_PERMISSIONS_COUNT = 100
_ADMIN: dict[str, Any] = {"security": [{"project_key": ["admin"]}]}
"""Who these operations are for, in the API's description."""
_PERMISSIONS = {
    "read": "charts_read",
    "view": "charts_read",
    "list": "charts_read",
    "write": "charts_write",
    "create": "charts_write",
    "update": "charts_write",
    "delete": "charts_write",
    "manage": "charts_write",
    "*": "charts_write",
}


class ProjectModel(BaseModel):
    """A project."""

    id: str
    name: str
    description: str
    slug: str
    org_id: str
    workspace_id: str
    created_at: datetime

    @classmethod
    def of(cls, project: Project) -> ProjectModel:
        """Return the model of a project."""
        text = str(project.project_id)
        return cls(
            id=text,
            name=project.name,
            description=project.description,
            slug=project.slug,
            org_id=text,
            workspace_id=text,
            created_at=project.created_at,
        )


class ProjectsModel(BaseModel):
    """Projects that the caller may see."""

    projects: list[ProjectModel]


class _Wrapped(BaseModel):
    """A body that older clients put into a member of its own."""

    @model_validator(mode="before")
    @classmethod
    def unwrap(cls, value: Any) -> Any:
        """Take the project out of ``{"project": {…}}``."""
        return rename_legacy(value, {"_id": "project_id", "id": "project_id"}, wrapper="project")


class ProjectRequestModel(_Wrapped):
    """A project to make."""

    name: Name
    description: Annotated[Text, Field(max_length=1_000)] = ""


class ProjectChangeModel(_Wrapped):
    """What to change of a project."""

    project_id: Annotated[str, Field(max_length=100)]
    name: Name | None = None
    description: Annotated[Text, Field(max_length=1_000)] | None = None


class ProjectDeletedModel(BaseModel):
    """What was deleted."""

    success: Literal[True] = True
    id: str
    name: str


class IngestionKeyRequestModel(BaseModel):
    """A key that may only send telemetry."""

    name: Name
    description: Annotated[Text, Field(max_length=1_000)] | None = None


class DataPlaneKeyRequestModel(IngestionKeyRequestModel):
    """A key for operations that have the project's id in their path."""

    permissions: list[Annotated[str, Field(max_length=100)]] = Field(
        min_length=1, max_length=MAX_PERMISSIONS_COUNT, description="Such as charts:read or charts:write."
    )
    expires_at: AwareDatetime


class IngestionKeyModel(BaseModel):
    """A key that was made; its value is shown this once."""

    key_value: str
    key_id: str
    name: str
    description: str | None
    root_scope_type: Literal["project"] = "project"
    root_scope_id: str


class DataPlaneKeyModel(BaseModel):
    """A key that was made; its value is shown this once."""

    key_value: str
    key_id: str
    permissions: list[str]
    root_scope_type: Literal["project"] = "project"
    root_scope_id: str
    expires_at: datetime


class IngestionKeyAnswerModel(BaseModel):
    """The answer to a key's creation."""

    success: Literal[True] = True
    data: IngestionKeyModel


class DataPlaneKeyAnswerModel(BaseModel):
    """The answer to a key's creation."""

    success: Literal[True] = True
    data: DataPlaneKeyModel


def read_permissions(permissions: list[str]) -> set[str]:
    """Return the scopes that a client's words of permission mean.

    Raises:
        InvalidInput: One of them means nothing here.
    """
    scopes = set()
    for permission in permissions:
        noun, _, verb = permission.strip().lower().replace(".", ":").replace("_", ":").partition(":")
        if noun not in ("chart", "charts", "*") or (verb or "*") not in _PERMISSIONS:
            raise InvalidInput(
                "access.permission_unknown",
                f"The permission {permission[:80]!r} is not one that a key of the data plane can have.",
                "Give charts:read or charts:write.",
            )
        scopes.add(_PERMISSIONS[verb or "*"])
    return scopes


def create_access_api(database: GetDatabase, forget: ForgetProject) -> ClientRouter:
    """Return the routes of projects and of the keys that clients make."""
    router = ClientRouter(tags=["access"])
    _add_reads(router, database)
    _add_changes(router, database, forget)
    _add_keys(router, database)
    return router


def _add_reads(router: ClientRouter, database: GetDatabase) -> None:
    @router.get("/v1/projects")
    async def list_projects(
        principal: PrincipalParameter,
        name: Annotated[str | None, Query(max_length=200, description="Exactly this name.")] = None,
    ) -> ProjectsModel:
        """List the project of this key; all of them for an admin."""
        found = await service.list_own_projects(database(), principal, name=name)
        return ProjectsModel(projects=[ProjectModel.of(project) for project in found])

    @router.get("/projects", deprecated=True, operation_id="projects_list_without_v1")
    async def list_projects_bare(
        principal: PrincipalParameter,
        name: Annotated[str | None, Query(max_length=200, description="Exactly this name.")] = None,
    ) -> list[ProjectModel]:
        """List projects in the form of older clients."""
        found = await service.list_own_projects(database(), principal, name=name)
        return [ProjectModel.of(project) for project in found]

    @router.both("GET", "/projects/{project_id}")
    async def get_project(project_id: str, principal: PrincipalParameter) -> ProjectModel:
        """Return a project."""
        return ProjectModel.of(await service.get_project_by_id(database(), principal, project_id))


def _add_changes(router: ClientRouter, database: GetDatabase, forget: ForgetProject) -> None:
    @router.both("POST", "/projects", openapi_extra=_ADMIN)
    async def create_project(body: ProjectRequestModel, principal: PrincipalParameter) -> ProjectModel:
        """Make a project. Needs an admin key."""
        return ProjectModel.of(
            await service.create_named_project(database(), principal, body.name, body.description)
        )

    @router.both("PUT", "/projects", openapi_extra=_ADMIN)
    async def update_project(body: ProjectChangeModel, principal: PrincipalParameter) -> ProjectModel:
        """Change a project's name or description. Needs an admin key."""
        changed = await service.update_project(
            database(), principal, body.project_id, name=body.name, description=body.description
        )
        return ProjectModel.of(changed)

    @router.both("DELETE", "/projects", openapi_extra=_ADMIN)
    async def delete_project(
        principal: PrincipalParameter,
        name: Annotated[str, Query(max_length=200, description="Id, slug or name.")],
    ) -> ProjectDeletedModel:
        """Delete a project that nothing belongs to. Needs an admin key."""
        gone = await service.delete_project(database(), principal, name)
        forget(gone.slug)
        return ProjectDeletedModel(id=str(gone.project_id), name=gone.name)


def _add_keys(router: ClientRouter, database: GetDatabase) -> None:
    @router.post("/v1/projects/{project_id}/ingestion_api_keys", openapi_extra=_ADMIN)
    async def create_ingestion_key(
        project_id: str, body: IngestionKeyRequestModel, principal: PrincipalParameter
    ) -> IngestionKeyAnswerModel:
        """Make a key that may only send telemetry. Needs an admin key."""
        principal.require("admin")
        service.require_project(principal, project_id)
        project = await service.get_project_by_id(database(), principal, project_id)
        key, secret = await create_key(
            database(),
            project,
            body.name,
            ["ingest"],
            kind=KeyKind.ingestion,
            description=body.description,
        )
        return IngestionKeyAnswerModel(data=_ingestion_key(key, secret))

    @router.post("/v1/projects/{project_id}/fine_grained_api_keys", openapi_extra=_ADMIN)
    async def create_data_plane_key(
        project_id: str, body: DataPlaneKeyRequestModel, principal: PrincipalParameter
    ) -> DataPlaneKeyAnswerModel:
        """Make a key for operations that have the project's id in their path. Needs an admin key."""
        principal.require("admin")
        service.require_project(principal, project_id)
        project = await service.get_project_by_id(database(), principal, project_id)
        key, secret = await create_key(
            database(),
            project,
            body.name,
            read_permissions(body.permissions),
            body.expires_at.astimezone(UTC),
            kind=KeyKind.data_plane,
            description=body.description,
            permissions=body.permissions,
        )
        return DataPlaneKeyAnswerModel(data=_data_plane_key(key, secret))


def _ingestion_key(key: KeyView, secret: str) -> IngestionKeyModel:
    return IngestionKeyModel(
        key_value=secret,
        key_id=format_id("key", key.api_key_id),
        name=key.name,
        description=key.description,
        root_scope_id=str(key.project_id),
    )


def _data_plane_key(key: KeyView, secret: str) -> DataPlaneKeyModel:
    if key.expires_at is None:
        raise AssertionError("a key of the data plane expires")
    return DataPlaneKeyModel(
        key_value=secret,
        key_id=format_id("key", key.api_key_id),
        permissions=list(key.permissions),
        root_scope_id=str(key.project_id),
        expires_at=key.expires_at,
    )
