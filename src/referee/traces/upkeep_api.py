"""How long sessions are kept, and attributes read again by a newer table, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from referee.foundation.web.answers import PrincipalParameter
from referee.traces import remapping, retention
from referee.traces.room import TracesRoom

__all__ = ["create_upkeep_api"]

Days = Annotated[int, Field(ge=1, le=retention.MAX_KEEP_DAYS)]


class RetentionModel(BaseModel):
    """How long a project keeps its sessions."""

    keep_days: int | None = Field(
        description="Days after the last span of a session; null keeps it for ever."
    )
    updated_at: datetime | None


class RetentionRequest(BaseModel):
    """How long a project is to keep its sessions."""

    model_config = ConfigDict(extra="forbid")

    keep_days: Days | None = Field(description="Null keeps them for ever.")


class RetentionPreviewModel(BaseModel):
    """What would go now."""

    keep_days: int
    sessions_count: int
    events_count: int = Field(description="Spans and events, without the sessions' own.")
    oldest_at: datetime | None = Field(description="When the oldest of them got its last span.")


class MappingModel(BaseModel):
    """Stored spans by the version of the mapping that read their attributes."""

    current_version: int
    spans_count_by_version: dict[str, int]
    older_count: int = Field(
        description="Spans that an older version read, and whose bodies are still there."
    )


class RemapRequest(BaseModel):
    """How much to read again at once."""

    model_config = ConfigDict(extra="forbid")

    bodies_count: int = Field(default=100, ge=1, le=1_000, description="Bodies of requests at most.")


class RemapModel(BaseModel):
    """What was read again. Ask again until nothing is left."""

    bodies_count: int
    remapped_count: int = Field(description="Spans that the present version has read now.")
    changed_count: int = Field(description="Those of them that became something else.")
    is_finished: bool


def create_upkeep_api(room: Callable[[], TracesRoom]) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["traces"])

    @router.get("/v1/retention")
    async def get_retention(principal: PrincipalParameter) -> RetentionModel:
        """Return how long the project keeps its sessions."""
        found = await retention.get_retention(room().database, principal.project_id)
        return RetentionModel(keep_days=found.keep_days, updated_at=found.updated_at)

    @router.put("/v1/retention")
    async def set_retention(body: RetentionRequest, principal: PrincipalParameter) -> RetentionModel:
        """Decide how long the project keeps its sessions; older ones go within the hour."""
        principal.require("admin")
        found = await retention.set_retention(room().database, principal.project_id, body.keep_days)
        return RetentionModel(keep_days=found.keep_days, updated_at=found.updated_at)

    @router.get("/v1/retention/preview")
    async def preview_retention(
        principal: PrincipalParameter,
        keep_days: Annotated[Days, Query(description="Days after the last span of a session.")],
    ) -> RetentionPreviewModel:
        """Return what would go if the project kept its sessions for so many days."""
        found = await retention.preview_retention(room().database, principal.project_id, keep_days)
        return RetentionPreviewModel(
            keep_days=found.keep_days,
            sessions_count=found.sessions_count,
            events_count=found.events_count,
            oldest_at=found.oldest_at,
        )

    @router.get("/v1/mapping")
    async def get_mapping(principal: PrincipalParameter) -> MappingModel:
        """Return which versions of the mapping have read the stored spans."""
        found = await remapping.count_versions(room().database, principal.project_id)
        return MappingModel(
            current_version=found.current_version,
            spans_count_by_version={str(version): count for version, count in found.counts.items()},
            older_count=found.older_count,
        )

    @router.post("/v1/mapping/remap")
    async def remap(body: RemapRequest, principal: PrincipalParameter) -> RemapModel:
        """Read some of the older spans again, by the present version."""
        principal.require("admin")
        done = await remapping.remap_some(room(), principal.project_id, body.bodies_count)
        return RemapModel(
            bodies_count=done.bodies_count,
            remapped_count=done.remapped_count,
            changed_count=done.changed_count,
            is_finished=done.is_finished,
        )

    return router
