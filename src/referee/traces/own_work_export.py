"""Sends the traces of Referee's own work to another collector, over OTLP/HTTP with protobuf.

Nothing waits in memory: what is to be sent is read again from the rows of what was done, up from the place that was
sent last, so a collector that is away costs nothing but a look each minute, and gets what it missed. What ended more
than a day before it came back is left out. What was sent is written down once the collector has acknowledged it.

Not here: keeping the same traces in a project of this installation (``own_work.py``).
"""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote

import httpx
import structlog
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from prometheus_client import Counter
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from referee.core.findings import JsonValue
from referee.core.own_work import OwnWork, WorkSource
from referee.foundation.access import get_project
from referee.foundation.jobs import ACTIVE_STATES, JobContext, JobEngine, JobRow
from referee.foundation.metrics import REGISTRY
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.traces.own_work import FIRST_LOOK_BACK, OVERLAP, render_work
from referee.traces.tables import OwnWorkExportRow

__all__ = ["ExportedWork", "export_own_work", "read_headers", "register_own_work_export"]

KIND: Final = "schedule.export_traces"
_QUEUE: Final = "trace_export"
WORKS_AT_ONCE: Final = 100
MAX_REQUESTS_COUNT: Final = 50
"""In one call; the next one goes on."""
_JOB_TIMEOUT_S: Final = 900.0
_MAX_SENT_IDS: Final = 20_000
"""Of one kind within the overlap; more would be sent twice, which collectors tell by their ids."""
_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same may be taken later; every other refusal is for good."""
_MAX_ANSWER_BYTES: Final = 1_000_000

SPANS = Counter(
    "referee_traces_exported_spans",
    "Spans of Referee's own work for another collector, by what became of them.",
    ("result",),
    registry=REGISTRY,
)
FAILURES = Counter(
    "referee_traces_export_failures",
    "Requests to that collector that were not answered with success, by kind.",
    ("reason",),
    registry=REGISTRY,
)
_log = structlog.get_logger(__name__)

Reason: TypeAlias = Literal["unreachable", "timed_out", "busy", "refused"]


@dataclass(slots=True)
class ExportedWork:
    """What one call did."""

    spans_count: int = 0
    """Acknowledged."""
    refused_count: int = 0
    """Spans that the collector will never take."""
    problem: str = ""
    """Why it stopped before its end; empty when it did not."""


class _NotNow(Exception):
    """The collector takes nothing now. Its text is one sentence."""


def read_headers(text: str) -> dict[str, str]:
    """Return the headers of ``name=value`` pairs with commas between them, their values percent-encoded.

    Pairs that are none are left out, as OpenTelemetry's own exporters do.

    Source:
        OpenTelemetry specification, OTLP exporter configuration, "Specifying headers via environment variables".
    """
    pairs = (part.partition("=") for part in text.split(","))
    return {
        name.strip().lower(): unquote(value.strip()) for name, sign, value in pairs if sign and name.strip()
    }


async def export_own_work(
    settings: Settings, database: Database, sources: Mapping[str, WorkSource]
) -> ExportedWork:
    """Send what has finished since the last call; nothing without the setting ``otlp_export_url``.

    It never raises for the collector's sake: the rest goes with the next call.

    Args:
        settings: Where to, with which headers, and how long one request may take.
        database: Where it stands up to what was sent.
        sources: Kind of work → who describes it.
    """
    done = ExportedWork()
    if settings.otlp_export_url is None:
        return done
    given = settings.otlp_export_headers
    headers = read_headers(given.get_secret_value()) if given is not None else {}
    timeout = httpx.Timeout(settings.otlp_export_timeout_s)
    async with httpx.AsyncClient(headers=headers, timeout=timeout, follow_redirects=False) as client:
        requests_left = MAX_REQUESTS_COUNT
        for kind, source in sources.items():
            try:
                requests_left = await _export_kind(
                    client, settings, database, kind, source, done, requests_left
                )
            except _NotNow as problem:
                done.problem = str(problem)
                _log.warning("own_work.not_exported", problem=done.problem)
                break
    return done


async def _export_kind(
    client: httpx.AsyncClient,
    settings: Settings,
    database: Database,
    kind: str,
    source: WorkSource,
    done: ExportedWork,
    requests_left: int,
) -> int:
    place, sent = await _find_place(database, kind)
    after, limit = place - OVERLAP, WORKS_AT_ONCE
    while requests_left > 0:
        works = await source(after, limit)
        new = [work for work in works if work.work_id not in sent]
        for start in range(0, len(new), WORKS_AT_ONCE):
            batch = new[start : start + WORKS_AT_ONCE]
            await _send(client, settings, batch, done)
            requests_left -= 1
            sent |= {work.work_id: work.finished_at for work in batch}
            place = max(place, batch[-1].finished_at)
            await _note_place(database, kind, place, sent)
        if len(works) < limit:
            break
        # Many may have ended at the very same instant: then more of them are asked for, not the same again.
        limit = WORKS_AT_ONCE if works[-1].finished_at > after else 4 * limit
        after = works[-1].finished_at
    return requests_left


async def _send(
    client: httpx.AsyncClient, settings: Settings, works: Sequence[OwnWork], done: ExportedWork
) -> None:
    spans_count = sum(len(work.spans) for work in works)
    body = await asyncio.to_thread(_render, works)
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    try:
        # Of the whole, not of each read: a collector that answers byte by byte is as bad as none.
        async with asyncio.timeout(settings.otlp_export_timeout_s):
            answer, content = await _post(client, str(settings.otlp_export_url), body, headers)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise _not_now(
            "timed_out", f"It did not answer within {settings.otlp_export_timeout_s:g} s."
        ) from error
    except (httpx.HTTPError, OSError) as error:
        raise _not_now("unreachable", f"It cannot be reached ({type(error).__name__}).") from error
    if answer.status_code in _RETRIED:
        raise _not_now("busy", f"It answered {answer.status_code}.")
    if not answer.is_success:
        FAILURES.labels("refused").inc()
        SPANS.labels("refused").inc(spans_count)
        done.refused_count += spans_count
        _log.warning("own_work.export_refused", status=answer.status_code, spans_count=spans_count)
        return
    refused_count = min(_count_refused(content), spans_count)
    SPANS.labels("sent").inc(spans_count - refused_count)
    SPANS.labels("refused").inc(refused_count)
    done.spans_count += spans_count - refused_count
    done.refused_count += refused_count


async def _post(
    client: httpx.AsyncClient, url: str, body: bytes, headers: Mapping[str, str]
) -> tuple[httpx.Response, bytes]:
    """Return an answer with as much of its body as is looked at."""
    content = bytearray()
    async with client.stream("POST", url, content=body, headers=dict(headers)) as answer:
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > _MAX_ANSWER_BYTES:
                break
    return answer, bytes(content[:_MAX_ANSWER_BYTES])


def _not_now(reason: Reason, sentence: str) -> _NotNow:
    FAILURES.labels(reason).inc()
    return _NotNow(f"The collector takes no traces now. {sentence}")


def _count_refused(content: bytes) -> int:
    """Return how many spans an answer of success says were refused."""
    try:
        return int(ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans)
    except DecodeError:
        return 0  # a collector that answers in another form has taken them


def _render(works: Sequence[OwnWork]) -> bytes:
    """Return a compressed request. Ids are hexadecimal in OTLP's JSON, and base64 in that of protobuf."""
    groups = [group for work in works for group in render_work(work)]
    for group in groups:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                _encode_ids(span, "traceId", "spanId", "parentSpanId")
                for link in span.get("links", []):
                    _encode_ids(link, "traceId", "spanId")
    request = json_format.ParseDict({"resourceSpans": groups}, ExportTraceServiceRequest())
    return gzip.compress(request.SerializeToString(), compresslevel=1)


def _encode_ids(record: dict[str, Any], *names: str) -> None:
    for name in names:
        if name in record:
            record[name] = base64.b64encode(bytes.fromhex(record[name])).decode()


async def _find_place(database: Database, kind: str) -> tuple[datetime, dict[str, datetime]]:
    earliest = datetime.now(UTC) - FIRST_LOOK_BACK
    async with database.reading() as session:
        row = await session.scalar(select(OwnWorkExportRow).where(OwnWorkExportRow.kind == kind))
    if row is None:
        return earliest + OVERLAP, {}
    sent = {work_id: datetime.fromisoformat(str(at)) for work_id, at in row.sent_json.items()}
    return max(row.finished_at, earliest + OVERLAP), sent


async def _note_place(database: Database, kind: str, place: datetime, sent: dict[str, datetime]) -> None:
    """Write down up to where it is sent, and which of the last minutes: they are looked at again."""
    recent = {work_id: at for work_id, at in sent.items() if at >= place - OVERLAP}
    sent.clear()
    sent.update(recent)
    latest = sorted(recent.items(), key=lambda one: one[1])[-_MAX_SENT_IDS:]
    values = {"finished_at": place, "sent_json": {work_id: at.isoformat() for work_id, at in latest}}
    async with database.transaction() as session:
        await session.execute(
            insert(OwnWorkExportRow)
            .values(kind=kind, **values)
            .on_conflict_do_update(index_elements=["kind"], set_=values)
        )


def register_own_work_export(
    settings: Settings, database: Database, engine: JobEngine, sources: Mapping[str, WorkSource]
) -> None:
    """Have it sent each minute, on a queue of its own: a slow collector holds nothing else up. Before the start."""

    async def export(context: JobContext, _: dict[str, JsonValue]) -> dict[str, JsonValue]:
        async def once() -> dict[str, JsonValue]:
            done = await export_own_work(settings, database, sources)
            return {
                "spans_count": done.spans_count,
                "refused_count": done.refused_count,
                "problem": done.problem,
            }

        return dict(await context.step("export", once))

    async def tick(_: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if settings.otlp_export_url is None:
            return {"is_asked": False}
        project = await get_project(database, "default")
        async with database.transaction() as session:
            active = (
                select(JobRow.job_id).where(JobRow.kind == KIND, JobRow.state.in_(ACTIVE_STATES)).limit(1)
            )
            if await session.scalar(active) is not None:
                return {"is_asked": False}  # one at a time: the one under way takes what is new with it
            await engine.submit(
                session,
                kind=KIND,
                arguments={},
                project_id=project.project_id,
                key=f"export_traces:{arguments['scheduled_at']}",
                title="Send own traces",
            )
        return {"is_asked": True}

    engine.register_queue(_QUEUE, concurrency=1, poll_s=1.0)
    engine.register(KIND, export, queue=_QUEUE, timeout_s=_JOB_TIMEOUT_S)
    engine.register_schedule("trace_export", "* * * * *", tick)
