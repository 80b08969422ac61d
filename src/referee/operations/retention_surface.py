"""What would be deleted, as JSON and as a page. Neither deletes anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from referee.foundation.access import Principal
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.rendering import render_page
from referee.operations.api import GetApplication
from referee.operations.retention import KEPT_FOR_EVER, KindRetention, read_retention
from referee.traces.retention import MAX_KEEP_DAYS

__all__ = ["RetentionKindsModel", "create_retention_routes"]

DaysParameter = Annotated[
    int | None,
    Query(ge=1, le=MAX_KEEP_DAYS, description="Days to try, for every kind; left out: as decided."),
]


class KindRetentionModel(BaseModel):
    """One kind of rows."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    kind: str
    title: str
    decided_by: str = Field(description="The command or the setting that decides.")
    keep_days: float | None = Field(description="As decided; null keeps it for ever.")
    asked_days: float | None = Field(description="Days that the count is for; null: nothing would go.")
    count: int = Field(description="How many would go.")
    oldest_at: datetime | None = Field(description="Instant of the oldest of them.")
    size_bytes: int | None = Field(description="Null where it is not known without reading them.")


class RetentionKindsModel(BaseModel):
    """What would go, kind by kind."""

    model_config = ConfigDict(extra="forbid")

    kinds: list[KindRetentionModel]
    kept_for_ever: str = Field(description="What no age deletes.")

    @classmethod
    def of(cls, found: Sequence[KindRetention]) -> RetentionKindsModel:
        """Return the shape of what was found."""
        return cls(
            kinds=[KindRetentionModel.model_validate(one) for one in found], kept_for_ever=KEPT_FOR_EVER
        )


def create_retention_routes(application: GetApplication) -> tuple[APIRouter, APIRouter]:
    """Return the routes of the API and those of the pages."""
    api, pages = APIRouter(prefix="/v1"), APIRouter(include_in_schema=False)

    async def read(principal: Principal, keep_days: int | None) -> Sequence[KindRetention]:
        principal.require("read")
        current = application()
        return await read_retention(current.database, current.settings, principal.project_id, keep_days)

    @api.get("/retention/kinds", tags=["operations"])
    async def list_retention_kinds(
        principal: PrincipalParameter, keep_days: DaysParameter = None
    ) -> RetentionKindsModel:
        """Return what would be deleted by its age, kind by kind: a dry run, nothing is changed."""
        return RetentionKindsModel.of(await read(principal, keep_days))

    @pages.get("/ui/retention")
    async def show_retention(
        request: Request, principal: PrincipalParameter, keep_days: DaysParameter = None
    ) -> Response:
        twin = "/v1/retention/kinds" + (f"?keep_days={keep_days}" if keep_days else "")
        context = {
            "kinds": await read(principal, keep_days),
            "keep_days": keep_days,
            "kept_for_ever": KEPT_FOR_EVER,
            "max_days": MAX_KEEP_DAYS,
        }
        return await render_page(
            request, "operations/retention.html", context, title="Retention", twin_url=twin
        )

    return api, pages
