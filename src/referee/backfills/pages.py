"""Pages of backfills: the runs, and one run with live progress."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from referee.backfills import queries, service
from referee.backfills.api import GetEngine, GetRoom, RunAction, RunId, act_on_run, create_api
from referee.backfills.ledger import RunOptions
from referee.backfills.local import ENGINE_REASONS
from referee.backfills.progress import format_duration
from referee.backfills.registry import get_backfill_class, list_backfills
from referee.backfills.states import RunState
from referee.backfills.views import BackfillRun
from referee.core.errors import InvalidInput, RefereeError
from referee.core.ids import format_id, parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.formats import format_share
from referee.foundation.web.lists import Column, EmptyState, ListView, Row, read_list_query
from referee.foundation.web.rendering import Crumb, render_page

__all__ = ["create_backfill_routes", "create_pages"]

_CRUMB: Final = Crumb("Backfills", "/ui/backfills")
_COLUMNS: Final = (
    Column("backfill", "Backfill", is_title=True),
    Column("state", "State", "state"),
    Column("done", "Done"),
    Column("rows", "Rows", "count"),
    Column("failed", "Failed", "count"),
    Column("database", "Database", "mono"),
    Column("created", "Asked for", "time"),
)
_NO_RUNS: Final = EmptyState(
    "No backfills yet",
    "A backfill fills empty columns of old rows, in any SQLite file or PostgreSQL database. Begin with a dry run: it "
    "writes nothing and says what would be filled.",
    "referee backfill plan audit-decisions --database audit.db",
)
_NOTHING_ENTERED: Final = {"backfill": "", "database": "", "batch_size": "1000", "mode": "dry"}


def create_backfill_routes(room: GetRoom, engine: GetEngine) -> tuple[APIRouter, APIRouter]:
    """Return the routes and the pages of backfills."""
    return create_api(room, engine), create_pages(room, engine)


def create_pages(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the pages of backfills."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/backfills")
    async def show_runs(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        return await _show_list(request, room, principal.project_id, cursor, {})

    @router.post("/ui/backfills")
    async def start(
        request: Request,
        principal: PrincipalParameter,
        backfill: Annotated[str, Form()] = "",
        database: Annotated[str, Form()] = "",
        batch_size: Annotated[str, Form()] = "1000",
        mode: Annotated[str, Form()] = "dry",
        plan: Annotated[str, Form()] = "",
    ) -> Response:
        principal.require("admin")
        entered = {"backfill": backfill, "database": database, "batch_size": batch_size, "mode": mode}
        try:
            if plan:  # what it is about is the plan's, whatever the form says
                async with room().database.reading() as session:
                    planned = await queries.get_run(session, principal.project_id, parse_id(plan, "backfill"))
                entered |= {"backfill": planned.backfill, "database": planned.database}
            wanted = _read_form(entered, plan)
            run = await service.create_run(room(), engine(), principal.project_id, wanted)
        except RefereeError as error:
            return await _show_list(request, room, principal.project_id, None, entered, error)
        return RedirectResponse(f"/ui/backfills/{run.backfill_run_id}", 303)

    @router.get("/ui/backfills/{backfill_run_id}")
    async def show_run(request: Request, backfill_run_id: RunId, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            run = await queries.get_run(session, principal.project_id, backfill_run_id)
        return await render_page(
            request,
            "backfills/run.html",
            _describe(run),
            title=f"Backfill {run.backfill}",
            twin_url=f"/v1/backfill-runs/{backfill_run_id}",
            breadcrumb=(_CRUMB,),
        )

    @router.post("/ui/backfills/{backfill_run_id}/tune")
    async def tune(
        backfill_run_id: RunId, principal: PrincipalParameter, batch_size: Annotated[str, Form()] = ""
    ) -> Response:
        principal.require("admin")
        options = {"batch_size": float(_read_size(batch_size))}
        await service.ask_run(room(), principal.project_id, backfill_run_id, options=options)
        return RedirectResponse(f"/ui/backfills/{backfill_run_id}", 303)

    @router.post("/ui/backfills/{backfill_run_id}/{action}")
    async def act(backfill_run_id: RunId, action: RunAction, principal: PrincipalParameter) -> Response:
        principal.require("admin")
        run = await act_on_run(room(), engine(), principal.project_id, backfill_run_id, action)
        return RedirectResponse(f"/ui/backfills/{run.backfill_run_id}", 303)

    return router


async def _show_list(
    request: Request,
    room: GetRoom,
    project_id: UUID,
    cursor: str | None,
    entered: dict[str, str],
    error: RefereeError | None = None,
) -> Response:
    query = read_list_query(request, queries.RUN_FIELDS)
    async with room().database.reading() as session:
        page = await queries.list_runs(
            session, project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
        )
    view = ListView(
        title="Backfills",
        noun="runs",
        query=query,
        columns=_COLUMNS,
        rows=[_row(run) for run in page.items],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_RUNS,
        twin_url=query.url(item=None).replace("/ui/backfills", "/v1/backfill-runs", 1),
        fields=queries.RUN_FIELDS,
        live_topic="backfills",
        caption="Runs of backfills, newest first",
    )
    context = {
        "view": view,
        "known": [(one.name, one.summary) for one in list_backfills()],
        "entered": SimpleNamespace(**(_NOTHING_ENTERED | entered)),
        "error": error,
    }
    return await render_page(
        request,
        "backfills/backfills.html",
        context,
        title="Backfills",
        twin_url=view.twin_url,
        status=200 if error is None else error.status,
    )


def _row(run: BackfillRun) -> Row:
    return Row(
        row_id=run.backfill_run_id.hex,
        url=f"/ui/backfills/{run.backfill_run_id}",
        cells={
            "backfill": f"{run.backfill}{', dry run' if run.is_dry else ''}",
            "state": run.state,
            "done": "" if run.done_share is None else format_share(run.done_share, 0).replace(" ", "\u00a0"),
            "rows": run.rows_count,
            "failed": run.failed_count,
            "database": run.database,
            "created": run.created_at,
        },
    )


def _describe(run: BackfillRun) -> dict[str, Any]:
    progress = run.progress if run.is_active else None
    known = {**ENGINE_REASONS, **get_backfill_class(run.backfill).reasons}
    return {
        "run": run,
        "label": format_id("backfill", run.backfill_run_id),
        "topic": f"backfill:{run.backfill_run_id}",
        "progress": progress,
        "rate": None if progress is None else progress.get("rows_per_s"),
        "left": _left(progress),
        "rested": _rested(run),
        "has_plan": run.run is not None and run.run.get("predicted") is not None,
        "compared": _compare(run, known),
        "checks": [] if run.run is None else run.run.get("checks", []),
        "options": run.request["options"] if run.run is None or run.is_dry else run.run,
        "actions": _actions(run),
    }


def _left(progress: Any) -> str:
    if progress is None or progress.get("remaining_s") is None:
        return "not known yet"
    return format_duration(progress["remaining_s"])


def _rested(run: BackfillRun) -> tuple[int, int] | None:
    """Return how many rows are done, and of how many, where a run stopped before its end."""
    if (
        run.run is None
        or run.is_dry
        or run.state not in (RunState.paused, RunState.failed, RunState.cancelled)
    ):
        return None
    return run.run["counts"]["seen_count"], run.run["selected_count"]


def _compare(run: BackfillRun, known: dict[str, str]) -> list[tuple[str, str, int | None, int | None]]:
    """Name, meaning, predicted and actual; None where there is none of that."""
    if run.run is None:
        return []
    predicted, actual = run.run.get("predicted"), run.run.get("counts")
    rows: list[tuple[str, str, int | None, int | None]] = []
    for name in ("seen", "filled", "failed", "left"):
        key = f"{name}_count"
        rows.append(
            (
                f"rows {name}",
                "",
                None if predicted is None else predicted[key],
                None if actual is None else actual[key],
            )
        )
    for kind in ("rules", "reasons"):
        then, now = (predicted or {}).get(kind, {}), (actual or {}).get(kind, {})
        for key in sorted({*then, *now}):
            rows.append(
                (
                    key,
                    known.get(key, "") if kind == "reasons" else "",
                    None if predicted is None else then.get(key, 0),
                    None if actual is None else now.get(key, 0),
                )
            )
    return rows


def _actions(run: BackfillRun) -> list[tuple[str, str, bool]]:
    """Action, the word on its button, and whether it takes something back."""
    if run.is_dry:
        return []
    retry = [("retry", "Retry failed rows", False)] if run.failed_count else []
    by_state = {
        RunState.running: [("pause", "Pause run", False), ("cancel", "Cancel run", True)],
        RunState.paused: [
            ("resume", "Resume run", False),
            ("cancel", "Cancel run", True),
            ("undo", "Undo run", True),
        ],
        RunState.failed: [
            ("resume", "Resume run", False),
            ("force", "Take over by force", True),
            *retry,
            ("undo", "Undo run", True),
        ],
        RunState.finished: [*retry, ("undo", "Undo run", True)],
        RunState.cancelled: [("undo", "Undo run", True)],
    }
    return by_state.get(run.state, [])


def _read_form(entered: dict[str, str], plan: str) -> service.ServerRun:
    return service.ServerRun(
        backfill=entered["backfill"],
        database=entered["database"].strip(),
        is_dry=entered["mode"] != "run",
        options=RunOptions(batch_size=_read_size(entered["batch_size"])),
        plan_run_id=parse_id(plan, "backfill") if plan else None,
    )


def _read_size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 100_000:
        raise InvalidInput(
            "backfill.batch_size_invalid",
            f"{text[:40]!r} is no size of a batch.",
            "Give a whole number from 1 to 100,000.",
        )
    return int(text)
