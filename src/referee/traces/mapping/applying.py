"""Applies the table to one span."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from referee.core.findings import JsonValue
from referee.traces.mapping.rules import KINDS, SPAN_EVENTS, Rule, find_rule
from referee.traces.mapping.shaping import nest, parse_json, read_count, read_messages, read_usd
from referee.traces.otlp.spans import DecodedSpan

__all__ = ["BUCKETS", "EVENT_TYPES", "MappedSpan", "fill_columns", "map_span"]

BUCKETS: Final = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties")
EVENT_TYPES: Final = frozenset({"model", "tool", "chain", "session"})
_ERROR: Final = 2


@dataclass(slots=True)
class MappedSpan:
    """What a span says, in the words of events."""

    event_type: str
    event_name: str
    inputs: dict[str, JsonValue] = field(default_factory=dict)
    outputs: dict[str, JsonValue] = field(default_factory=dict)
    config: dict[str, JsonValue] = field(default_factory=dict)
    metadata: dict[str, JsonValue] = field(default_factory=dict)
    metrics: dict[str, JsonValue] = field(default_factory=dict)
    feedback: dict[str, JsonValue] = field(default_factory=dict)
    user_properties: dict[str, JsonValue] = field(default_factory=dict)
    source: str = ""
    session_id: str | None = None
    session_name: str | None = None
    is_session_made: bool = False
    """Whether the session's own event is to be made when nobody started it."""
    event_id: str | None = None
    parent_id: str | None = None
    user_id: str | None = None
    error: str | None = None
    model: str | None = None
    provider: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where each of a set of attributes goes. It depends on their names and their order alone."""

    metadata: tuple[str, ...]
    """Those that stay under their own name."""
    below: tuple[tuple[Rule, tuple[tuple[str, str], ...]], ...]
    """Rule of a prefix, and of what stands below it the attribute and the rest of its name; the weakest first."""
    chosen: tuple[tuple[Rule, str], ...]
    """Rule of a target and the attribute that won it; the weakest first."""


@lru_cache(maxsize=4_096)
def _make_plan(keys: tuple[str, ...]) -> _Plan:
    metadata: list[str] = []
    below: dict[Rule, list[tuple[str, str]]] = {}
    chosen: dict[str, tuple[Rule, str]] = {}
    for key in keys:
        rule, rest = find_rule(key)
        if rule is None:
            metadata.append(key)
        elif rest:
            below.setdefault(rule, []).append((key, rest))
        else:
            held = chosen.get(rule.slot)
            loser: str | None = None
            if held is None:
                chosen[rule.slot] = (rule, key)
            elif rule.rank < held[0].rank:
                chosen[rule.slot] = (rule, key)
                loser = held[1]
            else:
                loser = key
            if loser is not None and not loser.startswith(_OUR_OWN):
                metadata.append(loser)
    return _Plan(
        tuple(metadata),
        tuple((rule, tuple(below[rule])) for rule in sorted(below, key=_by_rank, reverse=True)),
        tuple(sorted(chosen.values(), key=_by_choice, reverse=True)),
    )


_OUR_OWN: Final = ("honeyhive", "traceloop.association.properties.")
"""Attributes that repeat what another one says; the loser of two is not kept apart."""
MAX_PLANNED_KEYS: Final = 200
"""Attributes of a span whose plan is kept: one with more of them will hardly be met again."""


def _find_plan(attributes: Mapping[str, JsonValue]) -> _Plan:
    keys = tuple(attributes)
    return _make_plan(keys) if len(keys) <= MAX_PLANNED_KEYS else _make_plan.__wrapped__(keys)


def map_span(span: DecodedSpan) -> MappedSpan:
    """Return what a span says, by the rules of the table."""
    attributes = span.attributes
    plan = _find_plan(attributes)
    mapped = MappedSpan(
        event_type="", event_name=span.name, metadata={key: attributes[key] for key in plan.metadata}
    )
    kinds: list[tuple[int, str]] = []
    for rule, parts in plan.below:
        _fill_below(mapped, rule, {rest: attributes[key] for key, rest in parts})
    for rule, key in plan.chosen:
        target, value = rule.target, attributes[key]
        if target == "=kind":
            kinds.append((rule.rank, str(value).lower()))
        elif target[0] == "=":
            _set_field(mapped, target, value)
        else:
            _fill(mapped, rule, value)
    _read_span_events(mapped, span)
    _lift_content(mapped)
    mapped.error = mapped.error or _find_error(span)
    _finish_type(mapped, kinds, span)
    fill_columns(mapped)
    if span.extras:
        mapped.metadata.update({f"otel_{name}": value for name, value in span.extras.items()})
    return mapped


def _by_rank(rule: Rule) -> int:
    return rule.rank


def _by_choice(item: tuple[Rule, str]) -> int:
    return item[0].rank


def _fill_below(mapped: MappedSpan, rule: Rule, flat: dict[str, JsonValue]) -> None:
    bucket: dict[str, JsonValue] = getattr(mapped, rule.bucket)
    path = rule.path
    if rule.form == "flat":
        bucket.update(flat)
        return
    value = read_messages(flat) if rule.form == "messages" else nest(flat, is_json=rule.form == "json_tree")
    if path:
        bucket[path] = value
    elif isinstance(value, dict):
        bucket.update(value)
    else:
        bucket["value"] = value


def _fill(mapped: MappedSpan, rule: Rule, value: JsonValue) -> None:
    bucket: dict[str, JsonValue] = getattr(mapped, rule.bucket)
    path = rule.path
    if rule.form == "spread":
        if _MESSAGES.get(rule.attribute) in bucket:
            return  # the same request or answer once more, as one text; the messages say it in parts
        whole = parse_json(value)
        if isinstance(whole, dict):
            bucket.update(whole)
        elif whole is not None:
            bucket["value"] = whole
        return
    bucket[path] = parse_json(value) if rule.form == "json" else value


_MESSAGES: Final = {"input.value": "chat_history", "output.value": "messages"}


def _set_field(mapped: MappedSpan, target: str, value: JsonValue) -> None:
    name = target[1:]
    if name in ("drop", "project"):
        return
    if name == "is_session_made":
        mapped.is_session_made = value is True or str(value).lower() == "true"
        return
    if value is None or value == "":
        return
    text = value if isinstance(value, str) else str(value)
    if name == "event_type":
        mapped.event_type = text.lower() if text.lower() in EVENT_TYPES else ""
        return
    setattr(mapped, name, text)


def _read_span_events(mapped: MappedSpan, span: DecodedSpan) -> None:
    """Take messages from span events, as the older GenAI conventions send them."""
    messages: dict[str, list[JsonValue]] = {"inputs": [], "outputs": []}
    for event in span.events or ():
        if not isinstance(event, dict) or event["name"] not in SPAN_EVENTS:
            continue
        bucket, role = SPAN_EVENTS[str(event["name"])]
        attributes = event["attributes"]
        if not isinstance(attributes, dict):
            continue
        whole = attributes.get("gen_ai.prompt", attributes.get("gen_ai.completion"))
        content = attributes.get("content", parse_json(whole) if whole is not None else None)
        message = parse_json(attributes.get("message"))
        if isinstance(message, dict):
            messages[bucket].append({"role": role, **message})
        elif isinstance(content, list):
            messages[bucket].extend(content)
        elif content is not None:
            messages[bucket].append({"role": attributes.get("role", role), "content": content})
    if messages["inputs"] and "chat_history" not in mapped.inputs:
        mapped.inputs["chat_history"] = messages["inputs"]
    if messages["outputs"] and "messages" not in mapped.outputs:
        mapped.outputs["messages"] = messages["outputs"]


def _lift_content(mapped: MappedSpan) -> None:
    """Put the answer's role and content beside its messages, where evaluators look for them."""
    messages = mapped.outputs.get("messages")
    if not isinstance(messages, list) or not messages or "content" in mapped.outputs:
        return
    first = messages[0]
    if not isinstance(first, dict):
        return
    content = first.get("content")
    parts = first.get("parts", first.get("contents"))
    if content is None and isinstance(parts, list):
        texts = [_read_part(part) for part in parts]
        content = "\n".join(text for text in texts if text) or None
    if content is not None:
        mapped.outputs["content"] = content
    mapped.outputs.setdefault("role", first.get("role", "assistant"))


def _read_part(part: JsonValue) -> str:
    if isinstance(part, dict):
        inner = part.get("message_content", part)
        if isinstance(inner, dict):
            text = inner.get("content", inner.get("text", ""))
            return text if isinstance(text, str) else ""
    return part if isinstance(part, str) else ""


def _find_error(span: DecodedSpan) -> str | None:
    if span.status != _ERROR:
        return None
    if span.status_message:
        return span.status_message
    for event in span.events or ():
        if isinstance(event, dict) and event["name"] == "exception" and isinstance(event["attributes"], dict):
            attributes = event["attributes"]
            parts = (attributes.get("exception.type"), attributes.get("exception.message"))
            return ": ".join(str(part) for part in parts if part) or "error"
    return "error"


def _finish_type(mapped: MappedSpan, kinds: list[tuple[int, str]], span: DecodedSpan) -> None:
    if mapped.event_type:
        return
    if kinds:
        mapped.event_type = KINDS.get(min(kinds)[1], "tool")
    elif "model" in mapped.config or "chat_history" in mapped.inputs:
        mapped.event_type = "model"
    else:
        mapped.event_type = "tool" if span.parent_span_id else "chain"


def fill_columns(mapped: MappedSpan) -> None:
    """Fill model, provider, user, tokens and cost from the buckets, and the total from its parts."""
    metadata, config = mapped.metadata, mapped.config
    mapped.prompt_tokens = read_count(metadata.get("prompt_tokens"))
    mapped.completion_tokens = read_count(metadata.get("completion_tokens"))
    mapped.total_tokens = read_count(metadata.get("total_tokens"))
    if mapped.total_tokens is None and (
        mapped.prompt_tokens is not None or mapped.completion_tokens is not None
    ):
        mapped.total_tokens = (mapped.prompt_tokens or 0) + (mapped.completion_tokens or 0)
        metadata["total_tokens"] = mapped.total_tokens
    mapped.cost_usd = read_usd(metadata.get("cost"))
    model = config.get("model") or metadata.get("response_model")
    mapped.model = model if isinstance(model, str) and model else None
    provider = config.get("provider")
    mapped.provider = provider if isinstance(provider, str) and provider else None
    if mapped.user_id is None:
        user_id = mapped.user_properties.get("user_id")
        mapped.user_id = user_id if isinstance(user_id, str) and user_id else None
