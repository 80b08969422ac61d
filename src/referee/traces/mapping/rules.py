"""The table: which attribute of which convention goes where.

A target is a place in a bucket (``config.model``), a bucket as a whole
(``inputs``), or a field of the event with ``=`` in front (``=session_id``). When
two conventions name the same target, the one that stands first in
``CONVENTIONS`` wins; the other value stays in the metadata under its own name.
An attribute without a rule stays in the metadata, flat, under its own name.

A change here needs a new ``MAPPING_VERSION``; `referee trace remap` runs it over
the spans that are stored.

Source:
    HoneyHive Python SDK 1.7.0 and its attribute registry; OpenInference semantic
    conventions; OpenLLMetry 0.4x; OpenTelemetry GenAI semantic conventions 1.28
    (``gen_ai.system``, prompts as events) to 1.40 (``gen_ai.provider.name``,
    messages as attributes); AI SDK telemetry (Vercel).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, TypeAlias

__all__ = ["CONVENTIONS", "KINDS", "MAPPING_VERSION", "SPAN_EVENTS", "Rule", "find_rule"]

MAPPING_VERSION: Final = 1
"""Raised whenever this table, or what applies it, gives another result."""

CONVENTIONS: Final = ("honeyhive", "openinference", "openllmetry", "gen_ai", "vercel", "generic")
"""From the strongest to the weakest."""

Form: TypeAlias = Literal["plain", "json", "spread", "tree", "json_tree", "messages", "flat"]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Where an attribute, or all below a prefix, goes."""

    convention: str
    attribute: str
    """Ends in a dot for a prefix."""
    target: str
    form: Form = "plain"
    """``plain``: as it is. ``json``: parsed when it is JSON. ``spread``: an object's members, otherwise
    under ``value``. For prefixes: ``tree`` nests at dots, ``json_tree`` also parses the leaves,
    ``messages`` nests and lifts ``message``, ``flat`` keeps the dots."""

    rank: int = field(init=False)
    """Its convention's place: lower is stronger."""
    slot: str = field(init=False)
    """What it competes for with other rules."""
    bucket: str = field(init=False)
    path: str = field(init=False)

    def __post_init__(self) -> None:
        bucket, _, path = self.target.partition(".")
        for name, value in (
            ("rank", CONVENTIONS.index(self.convention)),
            ("slot", f"{self.target}:{self.convention}" if self.form == "spread" else self.target),
            ("bucket", bucket),
            ("path", path),
        ):
            object.__setattr__(self, name, value)


def _rules(convention: str, *rows: tuple[str, str] | tuple[str, str, Form]) -> tuple[Rule, ...]:
    return tuple(Rule(convention, *row) for row in rows)


_HONEYHIVE: Final = _rules(
    "honeyhive",
    ("honeyhive.session_id", "=session_id"),
    ("honeyhive_session_id", "=session_id"),
    ("honeyhive.session_name", "=session_name"),
    ("honeyhive.session_auto_create", "=is_session_made"),
    ("honeyhive.source", "=source"),
    ("honeyhive_source", "=source"),
    ("honeyhive.project", "=project"),
    ("honeyhive_project", "=project"),
    ("honeyhive_event_type", "=event_type"),
    ("honeyhive_event_name", "=event_name"),
    ("honeyhive_event_id", "=event_id"),
    ("honeyhive.parent_id", "=parent_id"),
    ("honeyhive_error", "=error"),
    ("honeyhive_inputs", "inputs", "spread"),
    ("honeyhive_outputs", "outputs", "spread"),
    ("honeyhive_config", "config", "spread"),
    ("honeyhive_metadata", "metadata", "spread"),
    ("honeyhive_metrics", "metrics", "spread"),
    ("honeyhive_feedback", "feedback", "spread"),
    ("honeyhive_user_properties", "user_properties", "spread"),
    ("honeyhive_inputs.", "inputs", "json_tree"),
    ("honeyhive_outputs.", "outputs", "json_tree"),
    ("honeyhive_config.", "config", "tree"),
    ("honeyhive_metadata.", "metadata", "tree"),
    ("honeyhive_metrics.", "metrics", "tree"),
    ("honeyhive_feedback.", "feedback", "tree"),
    ("honeyhive_user_properties.", "user_properties", "tree"),
    ("metadata.ground_truth", "feedback.ground_truth", "json"),
)
_OPENINFERENCE: Final = _rules(
    "openinference",
    ("openinference.span.kind", "=kind"),
    ("session.id", "=session_id"),
    ("user.id", "=user_id"),
    ("input.value", "inputs", "spread"),
    ("input.mime_type", "=drop"),
    ("output.value", "outputs", "spread"),
    ("output.mime_type", "=drop"),
    ("metadata", "metadata", "spread"),
    ("tag.tags", "metadata.tags"),
    ("llm.model_name", "config.model"),
    ("llm.provider", "config.provider"),
    ("llm.system", "metadata.llm_system"),
    ("llm.invocation_parameters", "config", "spread"),
    ("llm.function_call", "outputs.function_call", "json"),
    ("llm.prompt_template.template", "config.template"),
    ("llm.prompt_template.variables", "inputs.template_variables", "json"),
    ("llm.prompt_template.version", "config.template_version"),
    ("llm.token_count.prompt", "metadata.prompt_tokens"),
    ("llm.token_count.completion", "metadata.completion_tokens"),
    ("llm.token_count.total", "metadata.total_tokens"),
    ("llm.cost.total", "metadata.cost"),
    ("llm.input_messages.", "inputs.chat_history", "messages"),
    ("llm.output_messages.", "outputs.messages", "messages"),
    ("llm.prompts.", "inputs.prompts", "tree"),
    ("llm.choices.", "outputs.choices", "tree"),
    ("llm.tools.", "config.tools", "json_tree"),
    ("retrieval.documents.", "outputs.documents", "tree"),
    ("reranker.input_documents.", "inputs.documents", "tree"),
    ("reranker.output_documents.", "outputs.documents", "tree"),
    ("reranker.query", "inputs.query"),
    ("reranker.model_name", "config.model"),
    ("reranker.top_k", "config.top_k"),
    ("embedding.model_name", "config.model"),
    ("embedding.embeddings.", "inputs.embeddings", "tree"),
    ("tool.name", "metadata.tool_name"),
    ("tool.description", "metadata.tool_description"),
    ("tool.parameters", "inputs.parameters", "json"),
    ("tool_call.function.name", "metadata.tool_name"),
    ("tool_call.function.arguments", "inputs.arguments", "json"),
    ("agent.name", "metadata.agent_name"),
    ("graph.node.id", "metadata.graph_node_id"),
    ("graph.node.parent_id", "metadata.graph_node_parent_id"),
)
_OPENLLMETRY: Final = _rules(
    "openllmetry",
    ("traceloop.association.properties.session_id", "=session_id"),
    ("traceloop.association.properties.source", "=source"),
    ("traceloop.association.properties.project", "=project"),
    ("traceloop.association.properties.user_id", "=user_id"),
    ("traceloop.association.properties.", "metadata", "tree"),
    ("traceloop.span.kind", "=kind"),
    ("traceloop.entity.name", "metadata.entity_name"),
    ("traceloop.entity.path", "metadata.entity_path"),
    ("traceloop.entity.version", "metadata.entity_version"),
    ("traceloop.workflow.name", "metadata.workflow_name"),
    ("traceloop.entity.input", "inputs", "spread"),
    ("traceloop.entity.output", "outputs", "spread"),
    ("traceloop.prompt.key", "config.prompt_key"),
    ("traceloop.prompt.version", "config.prompt_version"),
    ("llm.request.type", "=kind"),
    ("llm.vendor", "config.provider"),
    ("llm.request.model", "config.model"),
    ("llm.response.model", "metadata.response_model"),
    ("llm.temperature", "config.temperature"),
    ("llm.top_p", "config.top_p"),
    ("llm.frequency_penalty", "config.frequency_penalty"),
    ("llm.presence_penalty", "config.presence_penalty"),
    ("llm.chat.stop_sequences", "config.stop", "json"),
    ("llm.is_streaming", "config.stream"),
    ("llm.headers", "config.headers", "json"),
    ("llm.user", "=user_id"),
    ("llm.usage.total_tokens", "metadata.total_tokens"),
    ("llm.usage.prompt_tokens", "metadata.prompt_tokens"),
    ("llm.usage.completion_tokens", "metadata.completion_tokens"),
    ("llm.request.functions.", "config.tools", "json_tree"),
    ("gen_ai.prompt.", "inputs.chat_history", "messages"),
    ("gen_ai.completion.", "outputs.messages", "messages"),
)
_GEN_AI: Final = _rules(
    "gen_ai",
    ("gen_ai.operation.name", "=kind"),
    ("gen_ai.provider.name", "config.provider"),
    ("gen_ai.system", "config.provider"),
    ("gen_ai.request.model", "config.model"),
    ("gen_ai.request.max_tokens", "config.max_completion_tokens"),
    ("gen_ai.request.temperature", "config.temperature"),
    ("gen_ai.request.top_p", "config.top_p"),
    ("gen_ai.request.top_k", "config.top_k"),
    ("gen_ai.request.frequency_penalty", "config.frequency_penalty"),
    ("gen_ai.request.presence_penalty", "config.presence_penalty"),
    ("gen_ai.request.stop_sequences", "config.stop"),
    ("gen_ai.request.seed", "config.seed"),
    ("gen_ai.request.choice.count", "config.n"),
    ("gen_ai.request.encoding_formats", "config.encoding_formats"),
    ("gen_ai.request.stream", "config.stream"),
    ("gen_ai.output.type", "config.response_format"),
    ("gen_ai.response.model", "metadata.response_model"),
    ("gen_ai.response.id", "metadata.response_id"),
    ("gen_ai.response.finish_reasons", "metadata.finish_reasons"),
    ("gen_ai.usage.input_tokens", "metadata.prompt_tokens"),
    ("gen_ai.usage.prompt_tokens", "metadata.prompt_tokens"),
    ("gen_ai.usage.output_tokens", "metadata.completion_tokens"),
    ("gen_ai.usage.completion_tokens", "metadata.completion_tokens"),
    ("gen_ai.usage.total_tokens", "metadata.total_tokens"),
    ("gen_ai.usage.cost", "metadata.cost"),
    ("gen_ai.system_instructions", "inputs.system_instructions", "json"),
    ("gen_ai.input.messages", "inputs.chat_history", "json"),
    ("gen_ai.output.messages", "outputs.messages", "json"),
    ("gen_ai.tool.definitions", "config.tools", "json"),
    ("gen_ai.tool.name", "metadata.tool_name"),
    ("gen_ai.tool.call.id", "metadata.tool_call_id"),
    ("gen_ai.tool.type", "metadata.tool_type"),
    ("gen_ai.tool.description", "metadata.tool_description"),
    ("gen_ai.tool.call.arguments", "inputs.arguments", "json"),
    ("gen_ai.tool.call.result", "outputs.result", "json"),
    ("gen_ai.agent.name", "metadata.agent_name"),
    ("gen_ai.agent.id", "metadata.agent_id"),
    ("gen_ai.agent.description", "metadata.agent_description"),
    ("gen_ai.data_source.id", "metadata.data_source_id"),
    ("gen_ai.conversation.id", "=session_id"),
    ("gen_ai.prompt", "inputs.chat_history", "json"),
    ("gen_ai.completion", "outputs.messages", "json"),
)
_VERCEL: Final = _rules(
    "vercel",
    ("ai.operationId", "=kind"),
    ("ai.model.id", "config.model"),
    ("ai.model.provider", "config.provider"),
    ("ai.prompt", "inputs", "spread"),
    ("ai.prompt.messages", "inputs.chat_history", "json"),
    ("ai.prompt.tools", "config.tools", "json"),
    ("ai.prompt.toolChoice", "config.tool_choice", "json"),
    ("ai.value", "inputs.value", "json"),
    ("ai.values", "inputs.values", "json"),
    ("ai.response.text", "outputs.content"),
    ("ai.response.object", "outputs.object", "json"),
    ("ai.response.toolCalls", "outputs.tool_calls", "json"),
    ("ai.response.model", "metadata.response_model"),
    ("ai.response.id", "metadata.response_id"),
    ("ai.response.finishReason", "metadata.finish_reasons"),
    ("ai.toolCall.name", "metadata.tool_name"),
    ("ai.toolCall.id", "metadata.tool_call_id"),
    ("ai.toolCall.args", "inputs.arguments", "json"),
    ("ai.toolCall.result", "outputs.result", "json"),
    ("ai.usage.promptTokens", "metadata.prompt_tokens"),
    ("ai.usage.inputTokens", "metadata.prompt_tokens"),
    ("ai.usage.completionTokens", "metadata.completion_tokens"),
    ("ai.usage.outputTokens", "metadata.completion_tokens"),
    ("ai.usage.tokens", "metadata.total_tokens"),
    ("ai.usage.totalTokens", "metadata.total_tokens"),
    ("ai.settings.", "config", "flat"),
    ("ai.telemetry.metadata.sessionId", "=session_id"),
    ("ai.telemetry.metadata.userId", "=user_id"),
    ("ai.telemetry.metadata.", "metadata", "tree"),
)
_GENERIC: Final = _rules(
    "generic",
    ("enduser.id", "=user_id"),
    ("langfuse.session.id", "=session_id"),
    ("langfuse.user.id", "=user_id"),
    ("input", "inputs", "spread"),
    ("output", "outputs", "spread"),
)

_ALL: Final = (*_HONEYHIVE, *_OPENINFERENCE, *_OPENLLMETRY, *_GEN_AI, *_VERCEL, *_GENERIC)

_EXACT: Final = {rule.attribute: rule for rule in _ALL if not rule.attribute.endswith(".")}
"""Rules for one attribute each."""

_PREFIXES: Final[dict[str, tuple[Rule, ...]]] = {
    head: tuple(
        sorted(
            (rule for rule in _ALL if rule.attribute.endswith(".") and rule.attribute.split(".")[0] == head),
            key=lambda rule: -len(rule.attribute),
        )
    )
    for head in {rule.attribute.split(".")[0] for rule in _ALL if rule.attribute.endswith(".")}
}
"""Rules for all attributes below a prefix, by its first word; the longest first."""


@lru_cache(maxsize=16_384)
def find_rule(attribute: str) -> tuple[Rule | None, str]:
    """Return the rule of an attribute, and what of its name stands below the rule's prefix; None without one."""
    rule = _EXACT.get(attribute)
    if rule is not None:
        return rule, ""
    for rule in _PREFIXES.get(attribute.partition(".")[0], ()):
        if attribute.startswith(rule.attribute):
            return rule, attribute[len(rule.attribute) :]
    return None, ""


KINDS: Final = {
    # OpenInference
    "llm": "model",
    "chain": "chain",
    # OpenLLMetry
    "workflow": "chain",
    "task": "chain",
    "agent": "chain",
    "completion": "model",
    "rerank": "model",
    # GenAI operations
    "chat": "model",
    "text_completion": "model",
    "generate_content": "model",
    "embeddings": "model",
    "execute_tool": "tool",
    "invoke_agent": "chain",
    "create_agent": "chain",
    "invoke_workflow": "chain",
    # AI SDK
    "ai.generatetext": "chain",
    "ai.generateobject": "chain",
    "ai.streamtext": "chain",
    "ai.streamobject": "chain",
    "ai.embed": "chain",
    "ai.embedmany": "chain",
    "ai.generatetext.dogenerate": "model",
    "ai.generateobject.dogenerate": "model",
    "ai.streamtext.dostream": "model",
    "ai.streamobject.dostream": "model",
    "ai.embed.doembed": "model",
    "ai.embedmany.doembed": "model",
    "ai.toolcall": "tool",
    # Plain words
    "model": "model",
    "tool": "tool",
    "session": "session",
    "embedding": "tool",
}
"""What a kind or an operation is; any other word is a tool."""

SPAN_EVENTS: Final = {
    "gen_ai.system.message": ("inputs", "system"),
    "gen_ai.user.message": ("inputs", "user"),
    "gen_ai.assistant.message": ("inputs", "assistant"),
    "gen_ai.tool.message": ("inputs", "tool"),
    "gen_ai.content.prompt": ("inputs", "user"),
    "gen_ai.choice": ("outputs", "assistant"),
    "gen_ai.content.completion": ("outputs", "assistant"),
}
"""Span events of the older GenAI conventions that hold a message: its bucket and its role."""
