"""A span as it came: found in the body of its request by its position."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.traces.bodies import decode_body
from referee.traces.otlp.spans import DecodedSpan
from referee.traces.tables import SpanBatchRow
from referee.traces.views import SpanDetail

__all__ = ["find_raw_span", "render_raw_span"]


async def find_raw_span(
    session: AsyncSession, project_id: UUID, detail: SpanDetail
) -> dict[str, JsonValue] | None:
    """Return a span as its sender wrote it; None for an event that came by the events API, or a body that is gone."""
    if detail.batch_id is None or detail.batch_position is None:
        return None
    record = (
        await session.execute(
            select(SpanBatchRow.schema, SpanBatchRow.body).where(
                SpanBatchRow.batch_id == detail.batch_id, SpanBatchRow.project_id == project_id
            )
        )
    ).one_or_none()
    if record is None:
        return None
    return await asyncio.to_thread(_find_in_body, record[0], record[1], detail.batch_position)


def _find_in_body(schema: str, body: bytes, position: int) -> dict[str, JsonValue] | None:
    request = decode_body(schema, body)
    if request is None:
        return None
    found = next((span for span in request.spans if span.position == position), None)
    return None if found is None else _describe(found, schema)


def _describe(span: DecodedSpan, schema: str) -> dict[str, JsonValue]:
    described: dict[str, Any] = {
        "schema": schema,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() or None,
        "name": span.name,
        "kind": span.kind,
        "start_time_unix_nano": span.start_ns,
        "end_time_unix_nano": span.end_ns,
        "status": {"code": span.status, "message": span.status_message},
        "attributes": span.attributes,
        "events": span.events or [],
        "links": span.links or [],
        "resource": span.resource.resource,
        "scope": span.resource.scope,
    }
    return {**described, **(span.extras or {})}


def render_raw_span(raw: dict[str, JsonValue]) -> str:
    """Return JSON for people."""
    return json.dumps(raw, indent=2, ensure_ascii=False)
