"""Pages of runs of apps: which are up, one with its logs, and the forms that start and stop them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from referee.apps.api import AppId
from referee.apps.app_frame import APPS_CRUMB, AppFrame, GetRoom, name_of, read_frame
from referee.apps.judgements import AppJudgements
from referee.apps.log_text import clean_log
from referee.apps.logs import read_log
from referee.apps.room import AppsRoom
from referee.apps.run_api import AppRunId, read_run
from referee.apps.run_requests import DEFAULT_HOURS, start_app_run
from referee.apps.running import stop_app_run
from referee.apps.runs import AppLease, AppRun, list_app_runs
from referee.core.errors import Conflict, InvalidInput, NotFound, RefereeError
from referee.core.findings import JsonValue
from referee.core.ids import format_id
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.access import Principal
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import Column, EmptyState, ListQuery, ListView, Row, read_list_query
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query

__all__ = ["add_run_pages"]

_SHOWN_LOG_BYTES: Final = 64 * 1024
"""End of a log that its page shows."""
_SHOWN_LOGS_COUNT: Final = 8
_COLUMNS: Final = (
    Column("app", "App", is_title=True),
    Column("state", "State", "state"),
    Column("where", "Where it answers", "custom"),
    Column("note", "Note", "custom"),
    Column("created", "Started", "time"),
    Column("finished", "Ended", "custom", is_optional=True),
)
_OWN_COLUMNS: Final = (Column("created", "Started", "time", is_title=True), *_COLUMNS[1:4], _COLUMNS[5])
_NO_RUNS: Final = EmptyState(
    "No app was run yet",
    "Tools that look at a running app start it in a sandbox; a person can start one too and keep it up.",
    "referee app run ./models/my-model/app1",
)
_RUNS_CRUMB: Final = Crumb("Running apps", "/ui/app-runs")


@dataclass(frozen=True, slots=True)
class _ShownLog:
    """The end of one log."""

    name: str
    text: str
    size_bytes: int
    is_cut: bool


def add_run_pages(router: APIRouter, room: GetRoom, judgements: AppJudgements) -> None:
    """Add the list, the page and the forms of runs, and the view of an app's runs."""
    _add_lists(router, room, judgements)
    _add_run(router, room)
    _add_forms(router, room, judgements)


def _add_lists(router: APIRouter, room: GetRoom, judgements: AppJudgements) -> None:
    @router.get("/ui/app-runs")
    async def show_runs(
        request: Request,
        principal: PrincipalParameter,
        is_live: Annotated[bool | None, Query()] = None,
        cursor: CursorParameter = None,
    ) -> Response:
        async with room().database.reading() as session:
            page = await list_app_runs(
                session, principal.project_id, is_live=is_live, cursor=cursor, limit=DEFAULT_LIMIT
            )
            live = await list_app_runs(session, principal.project_id, is_live=True, limit=1)
        word = {None: None, True: "true", False: "false"}[is_live]
        twin_url = with_query("/v1/app-runs", is_live=word, cursor=cursor)
        view = _build_view(read_list_query(request, {}), page, twin_url)
        context = {
            "view": view,
            "is_filtered": is_live is not None,
            "has_live": live.total_count > 0,
            "state_line": f"{live.total_count:,} up or starting." if live.total_count else "None is up.",
            "tab_items": [
                {
                    "label": label,
                    "url": with_query("/ui/app-runs", is_live=value),
                    "is_current": value == word,
                }
                for label, value in (("All", None), ("Up", "true"), ("Ended", "false"))
            ],
        }
        return await render_page(request, "apps/runs.html", context, title="Running apps", twin_url=twin_url)

    @router.get("/ui/apps/{app_id}/runs")
    async def show_app_runs(
        request: Request, app_id: AppId, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        return await _show_app_runs(request, room(), judgements, principal, app_id, cursor)


async def _show_app_runs(
    request: Request,
    room: AppsRoom,
    judgements: AppJudgements,
    principal: Principal,
    app_id: UUID,
    cursor: str | None,
    error: RefereeError | None = None,
) -> Response:
    async with room.database.reading() as session:
        frame: AppFrame = await read_frame(session, judgements, principal.project_id, app_id)
        page = await list_app_runs(
            session, principal.project_id, app_id=app_id, cursor=cursor, limit=DEFAULT_LIMIT
        )
    twin_url = with_query("/v1/app-runs", app_id=app_id, cursor=cursor)
    context = {
        **frame.build_context("runs"),
        "view": _build_view(read_list_query(request, {}), page, twin_url, is_of_one_app=True),
        "error": error,
    }
    return await render_page(
        request,
        "apps/app_runs.html",
        context,
        title=f"Runs of {name_of(frame.app)}",
        twin_url=twin_url,
        breadcrumb=(APPS_CRUMB,),
        status=200 if error is None else error.status,
    )


def _add_run(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/app-runs/{app_run_id}")
    async def show_run(request: Request, app_run_id: AppRunId, principal: PrincipalParameter) -> Response:
        return await _show_run(request, room(), principal, app_run_id)

    @router.post("/ui/app-runs/{app_run_id}/stop")
    async def stop_run(request: Request, app_run_id: AppRunId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        try:
            await stop_app_run(room(), principal.project_id, app_run_id, is_waited=False)
        except Conflict as error:
            return await _show_run(request, room(), principal, app_run_id, error)
        return RedirectResponse(f"/ui/app-runs/{app_run_id}", 303)


async def _show_run(
    request: Request,
    room: AppsRoom,
    principal: Principal,
    app_run_id: UUID,
    error: RefereeError | None = None,
) -> Response:
    run, leases, names = await read_run(room, principal.project_id, app_run_id)
    context = {
        "run": run,
        "label": format_id("app_run", app_run_id),
        "leases": leases,
        "commands": [_fill_command(one) for one in run.components],
        "logs": await _read_logs(room, run, names),
        "logs_count": len(names),
        "is_ending": _is_ending(run, leases),
        "linger_s": room.settings.app_linger_s,
        "error": error,
    }
    return await render_page(
        request,
        "apps/run.html",
        context,
        title=f"Run of {run.name}",
        twin_url=f"/v1/app-runs/{app_run_id}",
        breadcrumb=(_RUNS_CRUMB,),
        status=200 if error is None else error.status,
    )


def _add_forms(router: APIRouter, room: GetRoom, judgements: AppJudgements) -> None:
    @router.post("/ui/apps/{app_id}/runs")
    async def start_run(
        request: Request,
        app_id: AppId,
        principal: PrincipalParameter,
        hours: Annotated[float, Form()] = DEFAULT_HOURS,
    ) -> Response:
        principal.require("write")
        try:
            run = await start_app_run(room(), principal.project_id, app_id, hours=hours)
        except InvalidInput as error:
            return await _show_app_runs(request, room(), judgements, principal, app_id, None, error)
        return RedirectResponse(f"/ui/app-runs/{run.app_run_id}", 303)


def _fill_command(component: Mapping[str, JsonValue]) -> str:
    """Return the command of a component as it was started, as far as its address is known."""
    words = component.get("command")
    if not isinstance(words, list):
        return ""
    text = " ".join(map(str, words))
    url, port = component.get("url"), component.get("port")
    if not url or not port:
        return text
    host = str(url).removeprefix("http://").rpartition(":")[0]
    return text.replace("{host}", host).replace("{port}", str(port))


async def _read_logs(room: AppsRoom, run: AppRun, names: Sequence[str]) -> list[_ShownLog]:
    """Return the ends of the logs; one that is being moved to its last place is left out this time."""
    shown = []
    for name in names[:_SHOWN_LOGS_COUNT]:
        try:
            chunk = await read_log(room, run, name, offset=-_SHOWN_LOG_BYTES, limit_bytes=_SHOWN_LOG_BYTES)
        except NotFound:
            continue
        # What begins in the middle of a line begins with the next.
        text = chunk.text.partition("\n")[2] if chunk.offset else chunk.text
        shown.append(_ShownLog(name, clean_log(text), chunk.size_bytes, chunk.offset > 0))
    return shown


def _is_ending(run: AppRun, leases: Sequence[AppLease]) -> bool:
    """Return whether the app is still up though nobody holds it."""
    return not run.state.is_final and run.started_at is not None and not leases


def _build_view(
    query: ListQuery, page: Page[AppRun], twin_url: str, *, is_of_one_app: bool = False
) -> ListView:
    return ListView(
        title="Running apps",
        noun="runs",
        query=query,
        columns=_OWN_COLUMNS if is_of_one_app else _COLUMNS,
        rows=[
            Row(
                row_id=run.app_run_id.hex,
                url=f"/ui/app-runs/{run.app_run_id}",
                cells={
                    "app": run.name,
                    "state": run.state.value,
                    "where": run,
                    "note": run,
                    "created": run.created_at,
                    "finished": run,
                },
            )
            for run in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_RUNS,
        twin_url=twin_url,
        live_topic="app_runs",
        caption="Runs of apps, newest first",
    )
