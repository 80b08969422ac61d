"""Keeps what Referee itself did as traces, in a project of their own.

Rooms describe what has finished (``core.own_work``); each description becomes one OTLP request, so that it goes the
way of all spans. Ids are made of the work's own: told twice, after a crash or because two instants overlap, it is
there once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from referee.core.errors import Conflict, NotFound
from referee.core.own_work import OwnSpan, OwnWork, WorkSource, make_span_id, make_trace_id
from referee.foundation.access import create_project, find_local_principal, get_project
from referee.foundation.store import Database
from referee.traces.ingesting import ingest_otlp
from referee.traces.room import TracesRoom
from referee.traces.tables import OwnWorkRow

__all__ = ["FIRST_LOOK_BACK", "OVERLAP", "keep_own_work", "render_work"]

WORKS_AT_ONCE: Final = 100
MAX_ROUNDS: Final = 20
"""So many times ``WORKS_AT_ONCE`` of one kind in one call; the rest comes with the next."""
OVERLAP: Final = timedelta(minutes=5)
"""A transaction may commit later than the instant it wrote says."""
FIRST_LOOK_BACK: Final = timedelta(days=1)
"""How old work may be when it is kept for the first time."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log = structlog.get_logger(__name__)


async def keep_own_work(room: TracesRoom, sources: Mapping[str, WorkSource]) -> int:
    """Store the traces of what has finished since the last call. Returns how many pieces of work were read.

    Args:
        room: Where to. Its setting ``own_traces_project`` names the project, which is made when there is something
            to keep; empty, nothing is kept.
        sources: Kind of work → who describes it. One that fails is logged, and asked again the next time.
    """
    if not room.settings.own_traces_project:
        return 0
    count = 0
    for kind, source in sources.items():
        try:
            count += await _keep_kind(room, kind, source)
        except Exception:
            _log.exception("own_work.failed", kind=kind)
    return count


async def _keep_kind(room: TracesRoom, kind: str, source: WorkSource) -> int:
    after, limit, count = await _find_place(room.database, kind), WORKS_AT_ONCE, 0
    for _ in range(MAX_ROUNDS):
        works = await source(after, limit)
        for start in range(0, len(works), WORKS_AT_ONCE):
            await _keep(room, works[start : start + WORKS_AT_ONCE])
        if works:
            await _note_place(room.database, kind, works[-1].finished_at)
        count += len(works)
        if len(works) < limit:
            break
        # Many may have ended at the very same instant: then more of them are asked for, not the same again.
        limit = WORKS_AT_ONCE if works[-1].finished_at > after else 4 * limit
        after = works[-1].finished_at
    return count


async def _keep(room: TracesRoom, works: Sequence[OwnWork]) -> None:
    project_id = await _ensure_project(room.database, room.settings.own_traces_project)
    body = orjson.dumps({"resourceSpans": [one for work in works for one in render_work(work)]})
    rejection = await ingest_otlp(room, project_id, body, is_json=True)
    if rejection.count:
        _log.warning("own_work.refused", spans_count=rejection.count, reasons=rejection.reasons[:3])


async def _ensure_project(database: Database, slug: str) -> UUID:
    try:
        return (await get_project(database, slug)).project_id
    except NotFound:
        principal = await find_local_principal(database)
    try:
        made = await create_project(
            database, principal, slug, "Referee", description="What Referee itself did, as traces."
        )
    except Conflict:  # another process was quicker
        made = await get_project(database, slug)
    return made.project_id


def render_work(work: OwnWork) -> list[dict[str, Any]]:
    """Return the spans of a piece of work in OTLP's JSON, grouped by who did them."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for span in work.spans:
        groups.setdefault(span.service, []).append(_render_span(work.work_id, span))
    return [
        {
            "resource": {"attributes": [_render_attribute("service.name", service)]},
            "scopeSpans": [{"scope": {"name": "referee"}, "spans": spans}],
        }
        for service, spans in groups.items()
    ]


def _render_span(work_id: str, span: OwnSpan) -> dict[str, Any]:
    attributes = {
        "honeyhive_event_type": "chain" if span.parent_key is None else "tool",
        "honeyhive.source": "referee",
        **span.attributes,
    }
    rendered: dict[str, Any] = {
        "traceId": make_trace_id(work_id),
        "spanId": make_span_id(work_id, span.key),
        "name": span.name,
        "kind": 1,
        "startTimeUnixNano": str(_to_ns(span.started_at)),
        "endTimeUnixNano": str(_to_ns(max(span.finished_at, span.started_at))),
        "attributes": [
            _render_attribute(key, value) for key, value in attributes.items() if value is not None
        ],
        "status": {"code": 1} if span.error is None else {"code": 2, "message": span.error or "failed"},
    }
    if span.parent_key is not None:
        rendered["parentSpanId"] = make_span_id(work_id, span.parent_key)
    if span.linked_work_id is not None:
        rendered["links"] = [
            {
                "traceId": make_trace_id(span.linked_work_id),
                "spanId": make_span_id(span.linked_work_id, ""),
                "attributes": [_render_attribute("referee.work", span.linked_work_id)],
            }
        ]
    return rendered


def _render_attribute(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    if isinstance(value, float):
        return {"key": key, "value": {"doubleValue": value}}
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return {"key": key, "value": {"stringValue": text}}


def _to_ns(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1_000


async def _find_place(database: Database, kind: str) -> datetime:
    async with database.reading() as session:
        place = await session.scalar(select(OwnWorkRow.finished_at).where(OwnWorkRow.kind == kind))
    return datetime.now(UTC) - FIRST_LOOK_BACK if place is None else place - OVERLAP


async def _note_place(database: Database, kind: str, finished_at: datetime) -> None:
    statement = insert(OwnWorkRow).values(kind=kind, finished_at=finished_at)
    async with database.transaction() as session:
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["kind"],
                set_={"finished_at": statement.excluded.finished_at},
                where=OwnWorkRow.finished_at < statement.excluded.finished_at,
            )
        )
