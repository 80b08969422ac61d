"""Events that come through the API, as rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.traces.events import NS_PER_MS
from referee.traces.identity import MAX_ID_CHARACTERS, compute_uid, show_id
from referee.traces.mapping import MappedSpan
from referee.traces.mapping.applying import BUCKETS, EVENT_TYPES, fill_columns
from referee.traces.mapping.shaping import clean_value
from referee.traces.otlp.spans import clean_text
from referee.traces.rows import NewSpan

__all__ = ["KNOWN_MEMBERS", "MAX_NS", "build_event", "build_session", "read_model_event"]

MAX_NS: Final = 2**63 - 1
KNOWN_MEMBERS: Final = frozenset(
    (
        *BUCKETS,
        "project",
        "project_id",
        "source",
        "event_name",
        "event_type",
        "event_id",
        "session_id",
        "parent_id",
        "children_ids",
        "error",
        "start_time",
        "end_time",
        "duration",
        "session_name",
        "org_id",
        "workspace_id",
    )
)


def build_event(project_id: str, body: Mapping[str, JsonValue]) -> NewSpan:
    """Return the row of an event as a client sent it.

    Members that an event has not are kept in its metadata under their own name.

    Raises:
        InvalidInput: The type is unknown, or an id or a time is not usable.
    """
    event_type = body.get("event_type")
    if event_type not in EVENT_TYPES:
        raise InvalidInput(
            "events.type_unknown",
            f"The event type {str(event_type)[:40]!r} does not exist.",
            "Choose model, tool, chain or session.",
        )
    event_id = _read_id(body, "event_id") or str(new_id())
    session_id = _read_id(body, "session_id")
    if session_id is None:
        session_id = event_id if event_type == "session" else str(uuid4())
    uid, session_uid = compute_uid(event_id), compute_uid(session_id)
    mapped = _map_body(body, str(event_type))
    start_ns, end_ns = _read_times(body)
    parent_id = _read_id(body, "parent_id")
    parent_uid = None if parent_id is None else compute_uid(parent_id)
    if parent_uid in (session_uid, uid):
        parent_id = parent_uid = None
    children = body.get("children_ids")
    return NewSpan(
        project_id,
        uid,
        session_uid,
        show_id(session_id, session_uid),
        start_ns,
        end_ns,
        mapped,
        parent_uid=parent_uid,
        parent_event_id=None if parent_id is None or parent_uid is None else show_id(parent_id, parent_uid),
        event_id=show_id(event_id, uid),
        status=2 if mapped.error is not None else 0,
        children_ids=[clean_text(str(child)) for child in children] if isinstance(children, list) else None,
    )


def build_session(project_id: str, body: Mapping[str, JsonValue]) -> NewSpan:
    """Return the row of a session's own event. A session id that is no UUID gets a new one."""
    text = body.get("session_id")
    session_id = text.strip().lower() if isinstance(text, str) else ""
    if show_id(session_id, compute_uid(session_id)) is not None:
        session_id = str(uuid4())
    name = body.get("session_name") or body.get("event_name") or "unknown"
    return build_event(
        project_id,
        {
            **body,
            "event_type": "session",
            "event_id": session_id,
            "session_id": session_id,
            "event_name": name,
            "parent_id": None,
        },
    )


def read_model_event(body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the event that a client's model event stands for: prompts in, answer out, settings beside."""
    event = {key: value for key, value in body.items() if key not in _MODEL_MEMBERS}
    inputs, outputs = dict(_object(body, "inputs")), dict(_object(body, "outputs"))
    config, metadata = dict(_object(body, "config")), dict(_object(body, "metadata"))
    if body.get("messages") is not None:
        inputs.setdefault("chat_history", body["messages"])
    if body.get("template_inputs") is not None:
        inputs.setdefault("template_inputs", body["template_inputs"])
    response = body.get("response")
    if isinstance(response, dict):
        outputs.update(response)
    elif response is not None:
        outputs.setdefault("content", response)
    model = body.get("model") or body.get("model_name")
    for name in ("provider", "template", "tools", "tool_choice", "response_format", "model_version"):
        if body.get(name) is not None:
            config.setdefault(name, body[name])
    if model is not None:
        config.setdefault("model", model)
    config.update(_object(body, "hyperparameters"))
    usage = _object(body, "usage")
    metadata.update(usage)
    for ours, theirs in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")):
        if ours not in metadata and theirs in usage:
            metadata[ours] = usage[theirs]
    if body.get("cost") is not None:
        metadata.setdefault("cost", body["cost"])
    event.update(inputs=inputs, outputs=outputs, config=config, metadata=metadata)
    event["event_type"] = body.get("event_type") or "model"
    return event


_MODEL_MEMBERS: Final = frozenset(
    (
        "model",
        "model_name",
        "model_version",
        "messages",
        "response",
        "provider",
        "usage",
        "cost",
        "hyperparameters",
        "template",
        "template_inputs",
        "tools",
        "tool_choice",
        "response_format",
    )
)


def _map_body(body: Mapping[str, JsonValue], event_type: str) -> MappedSpan:
    name = body.get("event_name") or body.get("session_name") or "unknown"
    mapped = MappedSpan(event_type=event_type, event_name=clean_text(str(name)))
    for bucket in BUCKETS:
        value = clean_value(body.get(bucket))
        if bucket == "outputs" and value is not None and not isinstance(value, dict):
            value = {"value": value}
        if isinstance(value, dict):
            setattr(mapped, bucket, value)
    for key, value in body.items():
        if key not in KNOWN_MEMBERS and value is not None:
            mapped.metadata.setdefault(clean_text(key), clean_value(value))
    error = body.get("error")
    mapped.error = None if error is None or error == "" else clean_text(str(error))
    mapped.source = clean_text(str(body.get("source") or ""))
    fill_columns(mapped)
    return mapped


def _object(body: Mapping[str, JsonValue], name: str) -> dict[str, JsonValue]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _read_id(body: Mapping[str, JsonValue], name: str) -> str | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_ID_CHARACTERS or not value.isprintable():
        raise InvalidInput(
            "events.id_invalid",
            f"The {name} is not a text of 1 to {MAX_ID_CHARACTERS} printable characters.",
            "Send a UUID, or leave it out.",
        )
    return value


def _read_times(body: Mapping[str, JsonValue]) -> tuple[int, int | None]:
    start_ns, end_ns, duration_ns = (_read_ns(body, name) for name in ("start_time", "end_time", "duration"))
    if start_ns is None:
        start_ns = time.time_ns() if end_ns is None else max(end_ns - (duration_ns or 0), 0)
    if end_ns is None and duration_ns is not None:
        end_ns = min(start_ns + duration_ns, MAX_NS)
    return start_ns, end_ns


def _read_ns(body: Mapping[str, JsonValue], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_NS / NS_PER_MS:
        raise InvalidInput(
            "events.time_invalid",
            f"The {name} is not a number of milliseconds.",
            "Send milliseconds since 1970, for a duration milliseconds.",
        )
    return round(value * NS_PER_MS)
