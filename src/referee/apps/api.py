"""Apps as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from referee.apps import service
from referee.apps.bill_of_materials.api import add_bill_route
from referee.apps.judgements import AppAnalysis, AppJudgements, AppSummary
from referee.apps.models import AppSourceModel, AppVersionModel
from referee.apps.room import AppsRoom
from referee.apps.service import App
from referee.apps.versions import list_versions, read_source_tree
from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.core.vocabulary import AnalysisState, Severity
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.filters import Filter

__all__ = ["ANALYSES_COUNT", "AppId", "AppModel", "create_api"]

ANALYSES_COUNT = 20
"""Analyses that an app's page and answer show."""


class AppAnalysisModel(BaseModel):
    """One analysis of an app."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    analysis_id: UUID
    state: AnalysisState
    created_at: datetime
    duration_s: float | None
    tools_count: int
    complete_count: int = Field(description="Tools that came to a result.")
    findings_count: int | None = Field(description="Null when no tool came to a result.")
    severities: dict[Severity, int] = Field(description="Findings that the code does not suppress.")


class AppModel(BaseModel):
    """One generated web app: model × number."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    app_id: UUID
    project_id: UUID
    model: str
    template: str | None
    number: int
    path: str
    created_at: datetime
    placeholder: str | None = Field(
        description="What is there instead of an app: empty, scaffold, unwritten or filler; null: an app."
    )
    placeholder_reason: str = Field(description="One sentence; empty for an app.")
    analyses_count: int
    latest_analysis: AppAnalysisModel | None
    open_findings_count: int
    open_severities: dict[Severity, int] = Field(
        description="Open findings that the code does not suppress, by severity."
    )

    @classmethod
    def of(cls, app: App, summary: AppSummary) -> AppModel:
        """Return the shape of an app and where it stands."""
        return cls(
            app_id=app.app_id,
            project_id=app.project_id,
            model=app.model,
            template=app.template,
            number=app.number,
            path=app.path,
            created_at=app.created_at,
            placeholder=app.placeholder,
            placeholder_reason=app.placeholder_reason,
            analyses_count=summary.analyses_count,
            latest_analysis=None
            if summary.latest is None
            else AppAnalysisModel.model_validate(summary.latest),
            open_findings_count=summary.open_findings_count,
            open_severities=dict(summary.open_severities),
        )


class AppDetailModel(AppModel):
    """An app with its analyses."""

    analyses: list[AppAnalysisModel] = Field(description="The latest, newest first.")

    @classmethod
    def build(cls, app: App, summary: AppSummary, analyses: Sequence[AppAnalysis]) -> AppDetailModel:
        """Return the shape of an app's page."""
        return cls(
            **AppModel.of(app, summary).model_dump(),
            analyses=[AppAnalysisModel.model_validate(one) for one in analyses],
        )


async def read_app_id(app_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(app_id, "app")


AppId = Annotated[UUID, Depends(read_app_id)]
AppFilter = Annotated[Filter, Depends(filter_parameter(service.APP_FIELDS))]


def create_api(room: Callable[[], AppsRoom], judgements: AppJudgements) -> APIRouter:
    """Return the routes of apps."""
    router = APIRouter(prefix="/v1")
    _add_apps(router, room, judgements)
    _add_app_parts(router, room, judgements)
    add_bill_route(router, room)
    return router


def _add_apps(router: APIRouter, room: Callable[[], AppsRoom], judgements: AppJudgements) -> None:

    @router.get("/apps", tags=["apps"])
    async def list_apps(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: AppFilter,
        model: Annotated[str | None, Query(max_length=200, description="Part of the model's slug.")] = None,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[AppModel]:
        """List apps by model and number, with what their analyses say."""
        async with room().database.reading() as session:
            page = await service.list_apps(
                session, principal.project_id, model=model, where=filter, cursor=cursor, limit=limit
            )
            summaries = await judgements.summarise(
                session, principal.project_id, [app.app_id for app in page.items]
            )
        return answer_page(
            request,
            response,
            page,
            lambda app: AppModel.of(app, summaries.get(app.app_id, AppSummary())),
        )

    @router.get("/apps/{app_id}", tags=["apps"])
    async def get_app(app_id: AppId, principal: PrincipalParameter) -> AppDetailModel:
        """Return one app with its latest analyses."""
        async with room().database.reading() as session:
            found = await service.get_app(session, principal.project_id, app_id)
            summaries = await judgements.summarise(session, principal.project_id, [app_id])
            analyses = await judgements.list_analyses(
                session, principal.project_id, app_id, limit=ANALYSES_COUNT
            )
        return AppDetailModel.build(found, summaries.get(app_id, AppSummary()), analyses)


def _add_app_parts(router: APIRouter, room: Callable[[], AppsRoom], judgements: AppJudgements) -> None:
    @router.get("/apps/{app_id}/versions", tags=["apps"])
    async def list_app_versions(
        app_id: AppId, principal: PrincipalParameter, limit: LimitParameter = DEFAULT_LIMIT
    ) -> PageModel[AppVersionModel]:
        """List the states of an app's source, last seen first."""
        async with room().database.reading() as session:
            await service.get_app(session, principal.project_id, app_id)
            versions = await list_versions(session, judgements, principal.project_id, app_id, limit=limit)
        items = [AppVersionModel.of(version) for version in versions]
        return PageModel(items=items, total_count=len(items), limit=limit, next_cursor=None)

    @router.get("/apps/{app_id}/source", tags=["apps"])
    async def get_app_source(app_id: AppId, principal: PrincipalParameter) -> AppSourceModel:
        """Return the files of the version of an app that was analysed or run last."""
        async with room().database.reading() as session:
            await service.get_app(session, principal.project_id, app_id)
            versions = await list_versions(session, judgements, principal.project_id, app_id, limit=1)
        return AppSourceModel.build(app_id, await read_source_tree(room().artifacts, versions))
