"""Pages of configurations. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

import json
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from referee.core.pages import DEFAULT_LIMIT, Page
from referee.experiments.configurations import service
from referee.experiments.configurations.views import Configuration
from referee.experiments.identifiers import read_id
from referee.experiments.room import GetRoom
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import Column, EmptyState, ListQuery, ListView, Row, read_list_query
from referee.foundation.web.rendering import Crumb, render_page

__all__ = ["create_configurations_pages"]

CONFIGURATIONS_CRUMB: Final = Crumb("Configurations", "/ui/configurations")
_VERSIONS_COUNT: Final = 10
_MAX_CHARACTERS: Final = 40_000
"""Of one version on the page; the JSON has all."""
_COLUMNS: Final = (
    Column("name", "Name", is_title=True),
    Column("type", "Type"),
    Column("provider", "Provider"),
    Column("model", "Model"),
    Column("env", "Used in", is_optional=True),
    Column("version", "Version", "count"),
    Column("created", "Created", "time"),
)
_EMPTY: Final = EmptyState(
    "No configurations yet",
    "A configuration is a named setting of a model: which one, with what prompt and parameters. Clients make them, "
    "with a key of `referee key create NAME`.",
    "referee key create NAME",
)


def create_configurations_pages(room: GetRoom) -> APIRouter:
    """Return the pages of configurations."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/configurations")
    async def show_configurations(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, service.CONFIGURATION_FIELDS)
        async with room().database.reading() as session:
            page = await service.list_configurations(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
        view = _build_list(query, page)
        return await render_page(
            request, "configurations/configurations.html", {"view": view},
            title="Configurations", twin_url=view.twin_url,
        )  # fmt: skip

    @router.get("/ui/configurations/{configuration_id}")
    async def show_configuration(
        request: Request, configuration_id: str, principal: PrincipalParameter
    ) -> Response:
        async with room().database.reading() as session:
            found = await service.get_configuration(
                session, principal.project_id, read_id(configuration_id, "configuration")
            )
            versions = await service.list_configuration_versions(
                session, principal.project_id, found.configuration_id, limit=_VERSIONS_COUNT
            )
        context = {
            "configuration": found,
            "versions": [(one, *_write(one.content)) for one in versions],
            "template": _list_messages(found.content["parameters"].get("template")),
        }
        return await render_page(
            request, "configurations/configuration.html", context, title=found.name,
            twin_url=f"/v1/configurations/{configuration_id}/versions", breadcrumb=(CONFIGURATIONS_CRUMB,),
        )  # fmt: skip

    return router


def _build_list(query: ListQuery, page: Page[Configuration]) -> ListView:
    return ListView(
        title="Configurations",
        noun="configurations",
        query=query,
        columns=_COLUMNS,
        rows=[
            Row(
                row_id=f"configuration-{one.configuration_id}",
                url=f"/ui/configurations/{one.configuration_id}",
                cells={
                    "name": one.name,
                    "type": one.content["type"],
                    "provider": one.content["provider"],
                    "model": one.content["parameters"].get("model", "none"),
                    "env": ", ".join(one.content["env"]) or "none",
                    "version": one.version,
                    "created": one.created_at,
                },
            )
            for one in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_EMPTY,
        twin_url="/v1/configurations",
        fields=service.CONFIGURATION_FIELDS,
        caption="Configurations, newest first",
    )


def _write(content: dict[str, Any]) -> tuple[str, bool]:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return text[:_MAX_CHARACTERS], len(text) > _MAX_CHARACTERS


def _list_messages(template: object) -> list[tuple[str, str]]:
    """Return the role and text of each message of a prompt; of a prompt that is one text, that."""
    if isinstance(template, str):
        return [("prompt", template[:_MAX_CHARACTERS])]
    messages = template if isinstance(template, list) else []
    return [
        (str(one.get("role", "")), str(one.get("content", ""))[:_MAX_CHARACTERS])
        for one in messages[:50]
        if isinstance(one, dict)
    ]
