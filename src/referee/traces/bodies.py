"""Takes deleted spans out of the bodies that requests came in.

A body is kept so that no part of a span is lost; once a span is deleted, its
text must not live on there. Each span without a row any more is emptied in its
place, so that the others keep their position; a body with none left is dropped,
and so is one that cannot be written again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any, Final
from uuid import UUID

import orjson
import zstandard
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import RefereeError
from referee.traces.identity import compute_span_uid
from referee.traces.otlp import json_form, protobuf
from referee.traces.otlp.spans import MAX_BODY_BYTES, ZSTD_LEVEL, DecodedRequest
from referee.traces.tables import SpanBatchRow, SpanRow

__all__ = ["decode_body", "empty_spans", "forget_spans"]

BODIES_AT_ONCE: Final = 20
"""Bodies in memory while they are written again: at most 16 MiB each."""
_DECODERS: Final = {
    json_form.SCHEMA: json_form.decode_json,
    protobuf.SCHEMA: protobuf.decode_protobuf,
}


async def forget_spans(session: AsyncSession, project_id: UUID, batch_ids: Iterable[UUID]) -> None:
    """Empty, in the bodies of these requests, every span that has no row any more.

    Called in the transaction that deletes the rows, after that, under ``WRITERS_LOCK``.
    """
    wanted = sorted(set(batch_ids))
    for start in range(0, len(wanted), BODIES_AT_ONCE):
        some = wanted[start : start + BODIES_AT_ONCE]
        batches = await session.execute(
            select(SpanBatchRow.batch_id, SpanBatchRow.schema, SpanBatchRow.body).where(
                SpanBatchRow.project_id == project_id, SpanBatchRow.batch_id.in_(some)
            )
        )
        for batch_id, schema, body in batches.all():
            request = await asyncio.to_thread(decode_body, schema, body)
            kept = await _find_kept(session, project_id, batch_id, request)
            written = await asyncio.to_thread(empty_spans, request, kept) if request and kept else None
            await _write(session, batch_id, len(kept), written)


def decode_body(schema: str, body: bytes) -> DecodedRequest | None:
    """Return the spans of a kept body; None when it cannot be read."""
    if schema not in _DECODERS:
        return None
    try:
        plain = zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_BODY_BYTES)
        return _DECODERS[schema](plain)
    except (zstandard.ZstdError, RefereeError):
        return None


async def _find_kept(
    session: AsyncSession, project_id: UUID, batch_id: UUID, request: DecodedRequest | None
) -> set[int]:
    """Return the positions in a body that rows stand for."""
    if request is None:
        return set()
    uids = [UUID(compute_span_uid(span.trace_id, span.span_id)) for span in request.spans]
    positions = await session.scalars(
        select(SpanRow.batch_position).where(
            SpanRow.project_id == project_id,
            SpanRow.span_uid == func.any(uids),
            SpanRow.batch_id == batch_id,
        )
    )
    return {position for position in positions if position is not None}


async def _write(session: AsyncSession, batch_id: UUID, spans_count: int, plain: bytes | None) -> None:
    if plain is None:
        await session.execute(delete(SpanBatchRow).where(SpanBatchRow.batch_id == batch_id))
        return
    body = await asyncio.to_thread(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress, plain)
    await session.execute(
        update(SpanBatchRow)
        .where(SpanBatchRow.batch_id == batch_id)
        .values(body=body, size_bytes=len(plain), spans_count=spans_count)
    )


def empty_spans(request: DecodedRequest, kept: AbstractSet[int]) -> bytes | None:
    """Return a request's body with only the spans at ``kept`` positions, each where it was.

    Returns:
        None when it cannot be written so that these, and no others, are read from it again.
    """
    is_json = request.schema == json_form.SCHEMA
    written = _empty_json(request.body, kept) if is_json else _empty_protobuf(request.body, kept)
    if written is None:
        return None
    again = _DECODERS[request.schema](written)
    return written if {span.position for span in again.spans} == set(kept) else None


def _empty_protobuf(body: bytes, kept: AbstractSet[int]) -> bytes | None:
    message = ExportTraceServiceRequest()
    try:
        message.ParseFromString(body)
    except DecodeError:
        return None
    position = 0
    for of_resource in message.resource_spans:
        resource_first = position
        for of_scope in of_resource.scope_spans:
            scope_first = position
            for span in of_scope.spans:
                if position not in kept:
                    span.Clear()
                position += 1
            if kept.isdisjoint(range(scope_first, position)):
                of_scope.scope.Clear()
        if kept.isdisjoint(range(resource_first, position)):
            of_resource.resource.Clear()
    return bytes(message.SerializeToString())


def _empty_json(body: bytes, kept: AbstractSet[int]) -> bytes | None:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    position = 0
    for of_resource in _list(document, "resourceSpans", "resource_spans"):
        for of_scope in _list(of_resource, "scopeSpans", "scope_spans"):
            spans = of_scope.get("spans")
            for index in range(len(spans) if isinstance(spans, list) else 0):
                if position not in kept:
                    spans[index] = {}
                position += 1
    try:
        return orjson.dumps(document)
    except TypeError:
        return json.dumps(document).encode()


def _list(holder: Any, name: str, other_name: str) -> list[Any]:
    items = holder.get(name, holder.get(other_name))
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
