"""Pages of imports: the list with its form, and one import with what it found and set aside."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from referee.backfills.old_results import queries, service
from referee.backfills.old_results.api import GetEngine, GetRoom, ImportId, create_api
from referee.backfills.old_results.documents import FORMATS
from referee.backfills.old_results.queries import ResultImport, ResultImportItem
from referee.core.errors import RefereeError
from referee.core.ids import format_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import Column, EmptyState, ListView, Row, read_list_query
from referee.foundation.web.rendering import Crumb, render_page

__all__ = ["create_import_pages", "create_result_import_routes"]

_CRUMB: Final = Crumb("Result imports", "/ui/result-imports")
_COLUMNS: Final = (
    Column("source", "Source", "mono", is_title=True),
    Column("state", "State", "state"),
    Column("imported", "Imported", "count"),
    Column("known", "Known before", "count"),
    Column("quarantined", "Set aside", "count"),
    Column("findings", "Findings", "count"),
    Column("created", "Asked for", "time"),
)
_ITEM_COLUMNS: Final = (
    Column("task", "Old analysis", is_title=True),
    Column("state", "State", "state"),
    Column("format", "Format"),
    Column("services", "Services"),
    Column("tools", "Tools"),
    Column("findings", "Findings"),
    Column("note", "Where, and why it was set aside"),
)
_NO_IMPORTS: Final = EmptyState(
    "No imports yet",
    "Results of earlier systems become analyses here, each file kept as it was. Begin with a dry run: it counts, and "
    "names what could not be read.",
    "referee import results old/results --dry-run",
)
_NO_ITEMS: Final = EmptyState(
    "Nothing yet", "What the import finds and what it sets aside is listed here.", ""
)
_NOTHING_ENTERED: Final = {"source": "", "mode": "dry"}


def create_result_import_routes(room: GetRoom, engine: GetEngine) -> tuple[APIRouter, APIRouter]:
    """Return the routes and the pages of imports."""
    return create_api(room, engine), create_import_pages(room, engine)


def create_import_pages(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the pages of imports."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/result-imports")
    async def show_imports(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        return await _show_list(request, room, principal.project_id, cursor, {})

    @router.post("/ui/result-imports")
    async def start(
        request: Request,
        principal: PrincipalParameter,
        source: Annotated[str, Form()] = "",
        mode: Annotated[str, Form()] = "dry",
    ) -> Response:
        principal.require("admin")
        try:
            made = await service.create_import(
                room(), engine(), principal.project_id, source, is_dry=mode != "run"
            )
        except RefereeError as error:
            entered = {"source": source, "mode": mode}
            return await _show_list(request, room, principal.project_id, None, entered, error)
        return RedirectResponse(f"/ui/result-imports/{made.result_import_id}", 303)

    @router.get("/ui/result-imports/{result_import_id}")
    async def show_import(
        request: Request,
        result_import_id: ImportId,
        principal: PrincipalParameter,
        cursor: CursorParameter = None,
    ) -> Response:
        return await _show_one(request, room, principal.project_id, result_import_id, cursor)

    return router


async def _show_list(
    request: Request,
    room: GetRoom,
    project_id: UUID,
    cursor: str | None,
    entered: dict[str, str],
    error: RefereeError | None = None,
) -> Response:
    query = read_list_query(request, queries.IMPORT_FIELDS)
    async with room().database.reading() as session:
        page = await queries.list_imports(
            session, project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
        )
    view = ListView(
        title="Result imports",
        noun="imports",
        query=query,
        columns=_COLUMNS,
        rows=[_row(one) for one in page.items],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_IMPORTS,
        twin_url=query.url(item=None).replace("/ui/", "/v1/", 1),
        fields=queries.IMPORT_FIELDS,
        live_topic="result_imports",
        caption="Imports of old results, newest first",
    )
    context = {"view": view, "entered": SimpleNamespace(**(_NOTHING_ENTERED | entered)), "error": error}
    return await render_page(
        request,
        "backfills/imports.html",
        context,
        title="Result imports",
        twin_url=view.twin_url,
        status=200 if error is None else error.status,
    )


async def _show_one(
    request: Request, room: GetRoom, project_id: UUID, import_id: UUID, cursor: str | None
) -> Response:
    query = read_list_query(request, queries.ITEM_FIELDS)
    async with room().database.reading() as session:
        found = await queries.get_import(session, project_id, import_id)
        page = await queries.list_items(
            session, project_id, import_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
        )
    view = ListView(
        title="Old analyses",
        noun="old analyses",
        query=query,
        columns=_ITEM_COLUMNS,
        rows=[_item_row(one) for one in page.items],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_ITEMS,
        twin_url=query.url(item=None).replace("/ui/", "/v1/", 1).replace("?", "/items?", 1),
        fields=queries.ITEM_FIELDS,
        caption="What the import found and set aside",
    )
    return await render_page(
        request,
        "backfills/import.html",
        _describe(found, view),
        title=f"Import of {found.source}",
        twin_url=f"/v1/result-imports/{import_id}",
        breadcrumb=(_CRUMB,),
    )


def _describe(found: ResultImport, view: ListView) -> dict[str, Any]:
    return {
        "found": found,
        "counts": found.counts,
        "view": view,
        "label": format_id("import", found.result_import_id),
        "topic": f"result_import:{found.result_import_id}",
    }


def _row(one: ResultImport) -> Row:
    return Row(
        row_id=one.result_import_id.hex,
        url=f"/ui/result-imports/{one.result_import_id}",
        cells={
            "source": f"{one.source}{', dry run' if one.is_dry else ''}",
            "state": one.state,
            "imported": one.counts.imported_count,
            "known": one.counts.known_count,
            "quarantined": one.counts.quarantined_count,
            "findings": one.counts.findings_count,
            "created": one.created_at,
        },
    )


def _count_findings(one: ResultImportItem) -> str:
    """Return how many findings were counted, and how many are claimed where that is another number."""
    claims = one.claimed_count is not None and one.claimed_count != one.findings_count
    return f"{one.findings_count:,}{f', {one.claimed_count:,} claimed' if claims else ''}"


def _item_row(one: ResultImportItem) -> Row:
    is_aside = one.state == "quarantined"
    return Row(
        row_id=str(one.sequence),
        url="" if one.analysis_id is None else f"/ui/analyses/{one.analysis_id}",
        cells={
            "task": one.place if is_aside else f"{one.name} {one.task_id}",
            "state": one.state,
            "format": f"{one.format} {FORMATS[one.format]}" if one.format in FORMATS else "",
            "services": ", ".join(one.services),
            "tools": "" if is_aside else f"{one.tools_count:,}",
            "findings": "" if is_aside else _count_findings(one),
            "note": one.reason or one.place,
        },
    )
