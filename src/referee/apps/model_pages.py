"""The catalogues: models that may write apps, and templates of what apps are asked to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from fastapi import APIRouter, Request
from starlette.responses import Response

from referee.apps.catalogue import MODEL_FIELDS, Model, list_models
from referee.apps.generation.pages import add_generation_page
from referee.apps.generation.starting_pages import GetEngine, add_starting_pages
from referee.apps.judgements import AppJudgements
from referee.apps.known_templates import KnownTemplate, list_templates
from referee.apps.room import AppsRoom
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import Column, EmptyState, ListQuery, ListView, Row, read_list_query
from referee.foundation.web.rendering import render_page
from referee.foundation.web.templating import with_query

__all__ = ["create_catalogue_pages"]

GetRoom: TypeAlias = Callable[[], AppsRoom]

_MODEL_COLUMNS = (
    Column("slug", "Model", "mono", is_title=True),
    Column("model_name", "At the endpoint", "mono", is_optional=True),
    Column("provider", "Provider"),
    Column("input", "Input, $ per million", "custom"),
    Column("output", "Output, $ per million", "custom"),
    Column("context", "Context, tokens", "custom"),
    Column("updated", "Changed", "time", is_optional=True),
)
_TEMPLATE_COLUMNS = (
    Column("slug", "Template", "mono", is_title=True),
    Column("name", "Name"),
    Column("version", "Version"),
    Column("digest", "Digest", "id"),
    Column("created", "Imported", "time"),
)
_NO_MODELS = EmptyState(
    "No models yet",
    "A model of the catalogue can be asked to write apps. Its prices tell what that costs.",
    "referee model import http://127.0.0.1:8080/v1/models",
)
_NO_TEMPLATES = EmptyState(
    "No templates yet",
    "A template says what apps are asked to do, and what they are judged by.",
    "referee template import --library",
)


def create_catalogue_pages(room: GetRoom, judgements: AppJudgements, engine: GetEngine) -> APIRouter:
    """Return the pages of models, of templates, of how an app was written, and the form that has one written."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/models")
    async def show_models(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, MODEL_FIELDS)
        async with room().database.reading() as session:
            page = await list_models(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
        view = _build_models(query, page)
        return await render_page(
            request, "apps/models.html", {"view": view}, title="Models", twin_url=view.twin_url
        )

    @router.get("/ui/templates")
    async def show_templates(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        async with room().database.reading() as session:
            page = await list_templates(session, principal.project_id, cursor=cursor, limit=DEFAULT_LIMIT)
        context = {
            "columns": _TEMPLATE_COLUMNS,
            "rows": _build_templates(page),
            "total_count": page.total_count,
            "next_url": None
            if page.next_cursor is None
            else with_query("/ui/templates", cursor=page.next_cursor),
            "nothing": _NO_TEMPLATES,
        }
        return await render_page(
            request, "apps/templates.html", context, title="Templates", twin_url="/v1/templates"
        )

    add_starting_pages(router, room, engine)
    add_generation_page(router, room, judgements)
    return router


def _build_models(query: ListQuery, page: Page[Model]) -> ListView:
    return ListView(
        title="Models",
        noun="models",
        query=query,
        columns=_MODEL_COLUMNS,
        rows=[_build_model_row(model) for model in page.items],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_MODELS,
        twin_url=query.url(item=None).replace("/ui/", "/v1/", 1),
        fields=MODEL_FIELDS,
        caption="Models by slug",
    )


def _build_model_row(model: Model) -> Row:
    return Row(
        row_id=model.model_id.hex,
        url=with_query("/ui/apps", filter=f'model:"{model.slug}"'),
        cells={
            "slug": model.slug,
            "model_name": model.model_name,
            "provider": model.provider or "not known",
            "input": _format_price(model.input_usd_per_mtok),
            "output": _format_price(model.output_usd_per_mtok),
            "context": "not known" if model.context_tokens is None else f"{model.context_tokens:,}",
            "updated": model.updated_at,
        },
    )


def _build_templates(page: Page[KnownTemplate]) -> list[Row]:
    seen: set[str] = set()
    rows = []
    for template in page.items:
        rows.append(
            Row(
                row_id=template.template_id.hex,
                url=f"/v1/templates/{template.template_id}",
                cells={
                    "slug": template.slug,
                    "name": template.name,
                    "version": "earlier" if template.slug in seen else "latest",
                    "digest": template.sha256,
                    "created": template.created_at,
                },
            )
        )
        seen.add(template.slug)
    return rows


def _format_price(usd: float | None) -> str:
    return "not known" if usd is None else f"{usd:,.4f}".rstrip("0").rstrip(".")
