"""What is kept of a generation when it has ended: its record, and its calls as a trace.

Plain values in, bytes out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from referee.apps.catalogue import Model
from referee.apps.generation.contract import FileSet, Generation, ModelCall, Notice
from referee.apps.generation.prompts import PROMPTS_VERSION
from referee.core.findings import JsonValue
from referee.core.ids import format_id

__all__ = ["RECORD_SCHEMA", "RECORD_SCHEMA_VERSION", "build_record", "build_trace", "list_record_artifacts"]

RECORD_SCHEMA: Final = "referee-generation"
RECORD_SCHEMA_VERSION: Final = "1.0"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def build_record(
    generation: Generation,
    model: Model,
    calls: Sequence[ModelCall],
    notices: Sequence[Notice],
    files: FileSet,
    *,
    template: tuple[str, str],
    outcome: dict[str, JsonValue],
    trace_sha256: str,
) -> bytes:
    """Return the record of a generation, as JSON: all that is needed to see how an app came to be.

    Args:
        generation: As it began.
        model: That wrote.
        calls: Each with the digests of the artifacts that hold its prompt and its reply.
        notices: What was noticed.
        files: Of the app; none when it failed.
        template: Its slug and the SHA-256 of its document.
        outcome: State, failure and reason.
        trace_sha256: Artifact of the trace.
    """
    return _dump(
        {
            "schema": RECORD_SCHEMA,
            "schema_version": RECORD_SCHEMA_VERSION,
            "generation_id": str(generation.generation_id),
            "app_id": str(generation.app_id),
            "version": generation.version,
            "prompts_version": PROMPTS_VERSION,
            "template": {"slug": template[0], "sha256": template[1]},
            "model": {
                "slug": model.slug,
                "model_name": model.model_name,
                "provider": model.provider,
                "input_usd_per_mtok": model.input_usd_per_mtok,
                "output_usd_per_mtok": model.output_usd_per_mtok,
                "context_tokens": model.context_tokens,
            },
            "seed": generation.seed,
            "temperature": generation.temperature,
            "traceparent": generation.traceparent,
            **outcome,
            "calls": [call.to_json() for call in calls],
            "files": [
                {"path": path, "size_bytes": len(content.encode())} for path, content in sorted(files.items())
            ],
            "notices": [notice.to_json() for notice in notices],
            "trace_sha256": trace_sha256,
        }
    )


def list_record_artifacts(record: JsonValue) -> list[str]:
    """Return the digests of every artifact that a record names: its trace, prompts and replies, each once.

    Raises:
        ValueError: It is no such record.
    """
    if not isinstance(record, dict) or not isinstance(calls := record.get("calls"), list):
        raise ValueError("no record of a generation")
    named = [record.get("trace_sha256")]
    for call in calls:
        if not isinstance(call, dict):
            raise ValueError("a call of the record is none")
        named += [call.get("prompt_sha256"), call.get("reply_sha256")]
    digests = [sha256 for sha256 in named if isinstance(sha256, str) and _DIGEST.fullmatch(sha256)]
    if len(digests) != len(named):
        raise ValueError("the record names something that is no digest")
    return list(dict.fromkeys(digests))


def build_trace(generation: Generation, name: str, calls: Sequence[ModelCall]) -> bytes:
    """Return the calls of a generation as a trace: one span for each below one for all.

    Source:
        OTLP 1.x, JSON encoding; OpenTelemetry semantic conventions for generative AI.
    """
    _, trace_id, root_id, _ = generation.traceparent.split("-")
    began = generation.started_at or generation.created_at
    ends = [datetime.fromisoformat(call.finished_at) for call in calls]
    root = _span(
        trace_id,
        root_id,
        None,
        f"generate {name}",
        began,
        max([began, *ends]),
        {"referee.generation_id": format_id("generation", generation.generation_id)},
    )
    children = [
        _span(
            trace_id,
            call.span_id,
            root_id,
            f"chat {call.model}",
            ended - timedelta(milliseconds=call.duration_ms),
            ended,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": generation.model,
                "gen_ai.response.model": call.model,
                "gen_ai.response.finish_reasons": call.finish_reason,
                "gen_ai.usage.input_tokens": call.prompt_tokens,
                "gen_ai.usage.output_tokens": call.completion_tokens,
                "referee.purpose": call.purpose,
                "referee.prompt_sha256": call.prompt_sha256,
                "referee.reply_sha256": call.reply_sha256,
            },
        )
        for call, ended in zip(calls, ends, strict=True)
    ]
    resource: JsonValue = {"attributes": [_attribute("service.name", "referee")]}
    return _dump(
        {
            "resourceSpans": [
                {
                    "resource": resource,
                    "scopeSpans": [
                        {"scope": {"name": "referee.apps.generation"}, "spans": [root, *children]}
                    ],
                }
            ]
        }
    )


def _span(
    trace_id: str,
    span_id: str,
    parent_id: str | None,
    name: str,
    began: datetime,
    ended: datetime,
    attributes: dict[str, str | int],
) -> JsonValue:
    span: dict[str, JsonValue] = {
        "traceId": trace_id,
        "spanId": span_id,
        "name": name,
        "kind": 1 if parent_id is None else 3,  # internal, client
        "startTimeUnixNano": _nanoseconds(began),
        "endTimeUnixNano": _nanoseconds(ended),
        "attributes": [_attribute(key, value) for key, value in attributes.items()],
    }
    if parent_id is not None:
        span["parentSpanId"] = parent_id
    return span


def _attribute(key: str, value: str | int) -> JsonValue:
    return {
        "key": key,
        "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
    }


def _nanoseconds(instant: datetime) -> str:
    """Return an instant as OTLP writes it in JSON: 64 bits are text there."""
    return str(int(instant.timestamp() * 1_000_000) * 1_000)


def _dump(value: JsonValue) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", errors="replace")
