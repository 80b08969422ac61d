"""Spans as agents send them, in OTLP: the same for every backend that is measured.

About ten spans a trace: an agent, a chain, an embedding, a retrieval, three calls of a model and the tools between
them, with the attributes of OpenInference and of OpenTelemetry's GenAI conventions, 1.3 KB of them a span.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pydoc_data.topics import topics
from typing import Any, TypeAlias

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["SpanSet", "make_large_trace", "make_span_set"]

MS = 1_000_000
DAY_NS = 86_400_000_000_000
PROSE = "\n".join(str(topics[name]) for name in sorted(topics))
"""700 KB of English that every Python has."""
SYSTEM_PROMPTS = [PROSE[number * 5_000 :][:380] for number in range(8)]
MODELS = (
    ("gpt-4o-mini", "openai", 0.15e-6, 0.6e-6),
    ("gpt-4o", "openai", 2.5e-6, 10e-6),
    ("claude-sonnet-4", "anthropic", 3e-6, 15e-6),
    ("gemini-2.0-flash", "google", 0.1e-6, 0.4e-6),
)
TOOLS = ("search_docs", "get_order", "run_sql", "send_email", "get_weather", "calc")
RESOURCE = {
    "service.name": "bench",
    "service.version": "1.4.2",
    "deployment.environment.name": "prod",
    "telemetry.sdk.language": "python",
    "openinference.project.name": "bench",
}
Attributes: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanSet:
    """Requests that are ready to be sent."""

    bodies: list[tuple[int, bytes]]
    """Spans and protobuf of each request."""
    spans_count: int
    trace_ids: list[str]
    end_ns: int
    days: float

    @property
    def size_bytes(self) -> int:
        """Bytes of all bodies."""
        return sum(len(body) for _, body in self.bodies)


@dataclass(slots=True)
class _Span:
    name: str
    kind: int
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    start_ns: int
    end_ns: int
    attributes: Attributes
    error: str | None = None


def make_span_set(spans_count: int, *, per_request: int, seed: int, days: float = 7.0) -> SpanSet:
    """Return requests with ``spans_count`` spans together, which began within the last ``days`` days."""
    maker = _TraceMaker(random.Random(seed), time.time_ns(), days)
    waiting: list[_Span] = []
    bodies: list[tuple[int, bytes]] = []
    trace_ids: list[str] = []
    made = 0
    while made < spans_count:
        trace = maker.make()[: spans_count - made]
        made += len(trace)
        trace_ids.append(trace[0].trace_id.hex())
        waiting += trace
        while len(waiting) >= per_request or (made == spans_count and waiting):
            batch, waiting = waiting[:per_request], waiting[per_request:]
            bodies.append((len(batch), _encode(batch, maker.chooser)))
    return SpanSet(bodies=bodies, spans_count=made, trace_ids=trace_ids, end_ns=maker.end_ns, days=days)


def make_large_trace(spans_count: int, *, per_request: int, seed: int) -> SpanSet:
    """Return requests with one trace of ``spans_count`` spans: a root, and below it agents with their own spans."""
    maker = _TraceMaker(random.Random(seed), time.time_ns(), 0.01)
    root = maker.make()[0]
    spans = [root]
    at_ns = root.start_ns + MS
    while len(spans) < spans_count:
        below = maker.make()[: spans_count - len(spans)]
        moved_ns = at_ns - below[0].start_ns
        for span in below:
            span.trace_id, span.parent_id = root.trace_id, span.parent_id or root.span_id
            span.start_ns, span.end_ns = span.start_ns + moved_ns, span.end_ns + moved_ns
        at_ns += maker.chooser.randint(10, 900) * MS
        spans += below
    root.end_ns = max(span.end_ns for span in spans)
    bodies = []
    for first in range(0, len(spans), per_request):
        batch = spans[first : first + per_request]
        bodies.append((len(batch), _encode(batch, maker.chooser)))
    return SpanSet(
        bodies=bodies,
        spans_count=len(spans),
        trace_ids=[root.trace_id.hex()],
        end_ns=maker.end_ns,
        days=maker.days,
    )


@dataclass(slots=True)
class _TraceMaker:
    chooser: random.Random
    end_ns: int
    days: float
    spans: list[_Span] = field(default_factory=list)
    shared: Attributes = field(default_factory=dict)
    trace_id: bytes = b""

    def make(self) -> list[_Span]:
        """Return one trace."""
        chooser = self.chooser
        self.spans, self.trace_id = [], chooser.randbytes(16)
        session = f"sess-{chooser.getrandbits(40):010x}"
        self.shared = {"session.id": session, "user.id": f"user-{chooser.randrange(2_000)}"}
        start_ns = self.end_ns - int(chooser.random() * self.days * DAY_NS)
        question, answer = _text(chooser, 80, 260), _text(chooser, 300, 900)
        root = self._add(
            "agent.run", b"", start_ns, 0, "AGENT", _make_root(chooser, question, answer, session)
        )
        at_ns = start_ns + chooser.randint(1, 5) * MS
        said = {"input.value": question, "output.value": answer, "graph.node.id": "plan"}
        chain = self._add("RunnableSequence", root, at_ns, 0, "CHAIN", said)
        at_ns = self._retrieve(chain, at_ns, question)
        at_ns = self._talk(chain, at_ns, question, answer)
        if chooser.random() < 0.5:
            checked = {"input.value": answer, "output.value": "pass", "guardrail.name": "pii"}
            self._add("guardrail", root, at_ns, 2 * MS, "GUARDRAIL", checked)
        self.spans[0].end_ns = self.spans[1].end_ns = at_ns + 2 * MS
        return self.spans

    def _add(
        self, name: str, parent: bytes, start_ns: int, took_ns: int, kind: str, attributes: Attributes
    ) -> bytes:
        span_id = self.chooser.randbytes(8)
        whole = {"openinference.span.kind": kind, **self.shared, **attributes}
        number = 3 if kind in ("LLM", "EMBEDDING") else 1
        span = _Span(name, number, self.trace_id, span_id, parent, start_ns, start_ns + took_ns, whole)
        failing = {"LLM": (0.02, "RateLimitError"), "TOOL": (0.03, "TimeoutError")}.get(kind)
        if failing and self.chooser.random() < failing[0]:
            span.error = failing[1]
        self.spans.append(span)
        return span_id

    def _retrieve(self, chain: bytes, at_ns: int, question: str) -> int:
        chooser = self.chooser
        took_ns = chooser.randint(20, 90) * MS
        embedded = {
            "embedding.model_name": "text-embedding-3-small",
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "openai",
            "embedding.embeddings.0.embedding.text": question,
            "llm.token_count.prompt": len(question) // 4,
        }
        self._add("embed_query", chain, at_ns, took_ns // 3, "EMBEDDING", embedded)
        documents: Attributes = {"input.value": question}
        for number in range(3):
            documents[f"retrieval.documents.{number}.document.id"] = f"doc-{chooser.randrange(10_000)}"
            documents[f"retrieval.documents.{number}.document.score"] = round(chooser.random(), 4)
            documents[f"retrieval.documents.{number}.document.content"] = _text(chooser, 200, 450)
        self._add("vector_search", chain, at_ns + took_ns // 3, took_ns, "RETRIEVER", documents)
        return at_ns + 2 * took_ns

    def _talk(self, chain: bytes, at_ns: int, question: str, answer: str) -> int:
        chooser = self.chooser
        model = chooser.choices(MODELS, (5, 2, 2, 1))[0]
        history = [("system", chooser.choice(SYSTEM_PROMPTS)), ("user", question)]
        for turn in range(3):
            said = answer if turn == 2 else _text(chooser, 80, 320)
            tool = None if turn == 2 else chooser.choice(TOOLS)
            took_ns = chooser.randint(250, 2_500) * MS
            name = "ChatCompletion" if model[1] == "openai" else f"chat {model[0]}"
            self._add(name, chain, at_ns, took_ns, "LLM", _make_call(chooser, model, history, said, tool))
            at_ns += took_ns
            if tool is not None or chooser.random() < 0.5:
                used, result = tool or chooser.choice(TOOLS), _text(chooser, 80, 350)
                took_ns = chooser.randint(5, 300) * MS
                self._add(
                    f"tool {used}", chain, at_ns, took_ns, "TOOL", _make_tool(chooser, used, said, result)
                )
                at_ns += took_ns
                history = [*history, ("tool", result)]
        return at_ns


def _text(chooser: random.Random, least: int, most: int) -> str:
    size = chooser.randint(least, most)
    start = chooser.randrange(len(PROSE) - size)
    return PROSE[start : start + size]


def _make_root(chooser: random.Random, question: str, answer: str, session: str) -> Attributes:
    return {
        "input.value": json.dumps({"messages": [{"role": "user", "content": question}]}),
        "input.mime_type": "application/json",
        "output.value": answer,
        "output.mime_type": "text/plain",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": chooser.choice(("support-bot", "sql-analyst", "doc-qa")),
        "gen_ai.conversation.id": session,
        "metadata": json.dumps({"env": chooser.choice(("prod", "staging")), "build": chooser.randrange(40)}),
        "tag.tags": ["bench", f"v{chooser.randrange(5)}"],
    }


def _make_call(
    chooser: random.Random,
    model: tuple[str, str, float, float],
    history: list[tuple[str, str]],
    said: str,
    tool: str | None,
) -> Attributes:
    name, provider, prompt_usd, completion_usd = model
    prompt, completion = sum(len(content) for _, content in history) // 4, len(said) // 4 + 12
    attributes: Attributes = {
        "llm.model_name": name,
        "llm.provider": provider,
        "llm.system": provider,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": name,
        "gen_ai.response.model": f"{name}-2026-05-13",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.response.id": f"chatcmpl-{chooser.getrandbits(80):x}",
        "gen_ai.response.finish_reasons": ["stop" if tool is None else "tool_calls"],
        "gen_ai.usage.input_tokens": prompt,
        "gen_ai.usage.output_tokens": completion,
        "llm.token_count.prompt": prompt,
        "llm.token_count.completion": completion,
        "llm.token_count.total": prompt + completion,
        "llm.cost.total": prompt * prompt_usd + completion * completion_usd,
        "llm.invocation_parameters": json.dumps({"model": name, "temperature": 0.2, "max_tokens": 1024}),
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": said,
    }
    for number, (role, content) in enumerate(history):
        attributes[f"llm.input_messages.{number}.message.role"] = role
        attributes[f"llm.input_messages.{number}.message.content"] = content
    if tool is not None:
        called = "llm.output_messages.0.message.tool_calls.0.tool_call.function"
        attributes[f"{called}.name"] = tool
        attributes[f"{called}.arguments"] = json.dumps({"query": said[:60]})
    return attributes


def _make_tool(chooser: random.Random, tool: str, said: str, result: str) -> Attributes:
    return {
        "tool.name": tool,
        "gen_ai.tool.name": tool,
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.call.id": f"call_{chooser.getrandbits(64):x}",
        "tool.parameters": json.dumps({"query": said[:60]}),
        "input.value": json.dumps({"query": said[:60]}),
        "input.mime_type": "application/json",
        "output.value": result,
        "output.mime_type": "text/plain",
    }


def _encode(spans: list[_Span], chooser: random.Random) -> bytes:
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    _fill(of_resource.resource.attributes, RESOURCE)
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name, of_scope.scope.version = "openinference.instrumentation.langchain", "0.1.29"
    for span in spans:
        message = of_scope.spans.add(
            name=span.name,
            kind=span.kind,
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent_id,
            start_time_unix_nano=span.start_ns,
            end_time_unix_nano=span.end_ns,
        )
        _fill(message.attributes, span.attributes)
        message.status.code = 1
        if span.error:
            message.status.code, message.status.message = 2, span.error
            event = message.events.add(name="exception", time_unix_nano=span.end_ns)
            raised = {
                "exception.type": span.error,
                "exception.message": _text(chooser, 60, 160),
                "exception.stacktrace": _text(chooser, 400, 900),
            }
            _fill(event.attributes, raised)
    body: bytes = request.SerializeToString()
    return body


def _fill(pairs: Any, attributes: Mapping[str, Any]) -> None:
    for key, value in attributes.items():
        pair = pairs.add()
        pair.key = key
        for name, plain in _list_values(value):
            target = pair.value.array_value.values.add() if isinstance(value, list) else pair.value
            setattr(target, name, plain)


def _list_values(value: Any) -> Iterator[tuple[str, Any]]:
    names = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    for plain in value if isinstance(value, list) else [value]:
        yield names[type(plain)], plain
