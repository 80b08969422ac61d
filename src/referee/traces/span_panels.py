"""One selected span as a page shows it: facts, and one tab of input and output, attributes, events, scores or raw.

Everything here may come from a stranger's program, so it stays text: nothing is
made into markup, and each part has a bound that is said where it cuts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote
from uuid import UUID

from referee.core.findings import JsonValue
from referee.traces.identity import compute_uid
from referee.traces.page_lists import find_session_url, show_cost
from referee.traces.raw_spans import render_raw_span
from referee.traces.views import SpanDetail, read_instant

__all__ = ["TABS", "Block", "KeyValues", "SpanPanel", "build_panel"]

TABS: Final = (
    ("io", "Input and output"),
    ("attributes", "Attributes"),
    ("events", "Events"),
    ("scores", "Scores"),
    ("raw", "Raw"),
)
MAX_BLOCKS: Final = 60
MAX_BLOCK_CHARACTERS: Final = 20_000
MAX_RAW_CHARACTERS: Final = 100_000
MAX_PAIRS: Final = 400
MAX_VALUE_CHARACTERS: Final = 2_000
MAX_LISTED: Final = 100
_KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")


@dataclass(frozen=True, slots=True)
class Block:
    """One text under a heading."""

    label: str
    text: str
    is_json: bool = False
    left_out_count: int = 0
    """Characters that are not shown."""


@dataclass(frozen=True, slots=True)
class KeyValues:
    """The members of a bucket under their paths."""

    label: str
    pairs: Sequence[tuple[str, str]]
    left_out_count: int = 0
    """Pairs that are not shown."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A span event, or a link."""

    title: str
    detail: str
    pairs: Sequence[tuple[str, str]]
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanPanel:
    """What the side panel of a span shows."""

    title: str
    tab: str
    state: str
    event_type: str
    facts: Sequence[tuple[str, str]]
    error: str | None
    event_id: str
    session_url: str
    trace_url: str
    groups: Sequence[tuple[str, Sequence[Block]]] = ()
    buckets: Sequence[KeyValues] = ()
    happenings: Sequence[Happening] = ()
    links: Sequence[Happening] = ()
    raw: Block | None = None


def build_panel(detail: SpanDetail, tab: str, raw: dict[str, JsonValue] | None) -> SpanPanel:
    """Return what is shown of a span under one tab.

    Args:
        detail: The span.
        tab: One of ``TABS``.
        raw: As it came, for the tab ``raw``.
    """
    event = detail.event
    failed = event.status == 2 or event.error is not None
    span_url = "" if event.trace_id is None else f"/ui/traces/{event.trace_id}?span={event.span_id}"
    return SpanPanel(
        title=event.event_name or "unnamed",
        tab=tab,
        state="failed" if failed else ("unset", "ok", "failed")[event.status],
        event_type=event.event_type,
        facts=list(_list_facts(detail)),
        error=None if event.error is None else event.error[:MAX_BLOCK_CHARACTERS],
        event_id=event.event_id,
        session_url=f"{find_session_url_of(detail)}?span={event.span_uid}",
        trace_url=span_url,
        groups=[("Input", _list_blocks(event.inputs)), ("Output", _list_blocks(event.outputs))]
        if tab == "io"
        else (),
        buckets=_list_buckets(detail, tab),
        happenings=_list_happenings(detail) if tab == "events" else (),
        links=_list_links(detail) if tab == "events" else (),
        raw=_make_raw(raw) if tab == "raw" and raw is not None else None,
    )


def find_session_url_of(detail: SpanDetail) -> str:
    """Return the page of a span's session."""
    return find_session_url(UUID(compute_uid(detail.event.session_id)))


def _list_facts(detail: SpanDetail) -> Iterator[tuple[str, str]]:
    event = detail.event
    yield "Type", event.event_type if detail.kind == 0 else f"{event.event_type}, {_KINDS[detail.kind]}"
    yield "Started", f"{read_instant(detail.start_ns):%Y-%m-%d %H:%M:%S.%f} UTC"
    if detail.provider or event.model:
        yield "Model", " · ".join(word for word in (detail.provider, event.model) if word)
    if event.total_tokens is not None:
        yield "Tokens", _show_tokens(detail)
    if event.cost_usd is not None:
        yield "Cost", f"{show_cost(event.cost_usd)} USD"
    if event.user_id:
        yield "User", event.user_id
    if event.source:
        yield "Source", event.source
    yield "Span" if event.span_id else "Event", event.span_id or event.event_id


def _show_tokens(detail: SpanDetail) -> str:
    parts = [f"{detail.event.total_tokens:,}"]
    if detail.prompt_tokens is not None and detail.completion_tokens is not None:
        parts.append(f"{detail.prompt_tokens:,} in, {detail.completion_tokens:,} out")
    if not detail.is_counted:
        parts.append("counted in the spans below it")
    return " · ".join(parts)


def _list_blocks(bucket: Mapping[str, JsonValue]) -> list[Block]:
    blocks: list[Block] = []
    for key, value in bucket.items():
        messages = value if isinstance(value, list) else []
        if messages and all(isinstance(one, dict) and "role" in one for one in messages):
            for one in messages[:MAX_BLOCKS]:
                said = one if isinstance(one, dict) else {}
                content = said["content"] if set(said) == {"role", "content"} else said
                blocks.append(_make_block(f"{key} · {said['role']}", content))
        else:
            blocks.append(_make_block(key, value))
        if len(blocks) > MAX_BLOCKS:
            rest = len(bucket) - MAX_BLOCKS
            return [
                *blocks[:MAX_BLOCKS],
                Block("More", f"Further members are in the JSON: about {max(rest, 1):,}."),
            ]
    return blocks


def _make_block(label: str, value: JsonValue) -> Block:
    is_json = not isinstance(value, str)
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    shown = text[:MAX_BLOCK_CHARACTERS]
    return Block(label[:MAX_VALUE_CHARACTERS], shown, is_json, len(text) - len(shown))


def _list_buckets(detail: SpanDetail, tab: str) -> list[KeyValues]:
    event = detail.event
    wanted: dict[str, tuple[tuple[str, Mapping[str, JsonValue]], ...]] = {
        "attributes": (
            ("Config", event.config),
            ("Metadata", event.metadata),
            ("User properties", event.user_properties),
            ("Resource", detail.resource),
            ("Scope", detail.scope),
        ),
        "scores": (("Metrics", event.metrics), ("Feedback", event.feedback)),
    }
    return [make_key_values(label, bucket) for label, bucket in wanted.get(tab, ()) if bucket]


def make_key_values(label: str, bucket: Mapping[str, JsonValue]) -> KeyValues:
    """Return the leaves of a bucket under their paths."""
    pairs: list[tuple[str, str]] = []
    count = 0
    for path, value in _flatten(bucket):
        count += 1
        if count <= MAX_PAIRS:
            pairs.append((path[:MAX_VALUE_CHARACTERS], _show_value(value)))
    return KeyValues(label, pairs, count - len(pairs))


def _flatten(bucket: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    waiting: list[tuple[str, JsonValue]] = list(bucket.items())[::-1]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting.extend((f"{path}.{key}", inner) for key, inner in reversed(value.items()))
        else:
            yield path, value


def _show_value(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= MAX_VALUE_CHARACTERS:
        return text
    return f"{text[:MAX_VALUE_CHARACTERS]}… ({len(text):,} characters)"


def _list_happenings(detail: SpanDetail) -> list[Happening]:
    found = []
    for raw in detail.span_events[:MAX_LISTED]:
        said = raw if isinstance(raw, dict) else {}
        time_ns, attributes = said.get("time_ns"), said.get("attributes")
        after_ms = (time_ns - detail.start_ns) / 1e6 if isinstance(time_ns, int) else 0.0
        pairs = make_key_values("", attributes).pairs if isinstance(attributes, dict) else ()
        found.append(Happening(str(said.get("name") or "event"), f"{after_ms:+,.3f} ms", pairs))
    return found


def _list_links(detail: SpanDetail) -> list[Happening]:
    found = []
    for raw in detail.links[:MAX_LISTED]:
        said = raw if isinstance(raw, dict) else {}
        trace_id, span_id, attributes = said.get("trace_id"), said.get("span_id"), said.get("attributes")
        pairs = make_key_values("", attributes).pairs if isinstance(attributes, dict) else ()
        found.append(
            Happening(
                f"{span_id}",
                f"of trace {trace_id}",
                pairs,
                f"/ui/traces/{quote(str(trace_id))}?span={quote(str(span_id))}",
            )
        )
    return found


def _make_raw(raw: dict[str, JsonValue]) -> Block:
    text = render_raw_span(raw)
    shown = text[:MAX_RAW_CHARACTERS]
    return Block("As it came", shown, is_json=True, left_out_count=len(text) - len(shown))
