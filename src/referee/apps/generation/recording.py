"""Sending to a model within the budget, and keeping both sides of each exchange before the next.

Each answer is an artifact and an entry in the generation's row as soon as it is
there. An attempt that takes over from one that died gets those answers again
without asking: the same question is not paid for twice.

Not here: what is asked (``conversation.py``), the life of the row (``running.py``), and what is kept at its end
(``records.py``).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, text, update

from referee.apps.catalogue import Model
from referee.apps.generation.contract import (
    Generation,
    GenerationFailed,
    GenerationFailure,
    ModelCall,
)
from referee.apps.generation.conversation import Answer
from referee.apps.room import AppsRoom
from referee.apps.tables import GenerationRow
from referee.core.findings import JsonValue
from referee.foundation.llm import ChatMessage, LlmClient, LlmError
from referee.foundation.store import Artifact, record_artifacts
from referee.foundation.web.live import publish

__all__ = ["LIVE_TOPIC", "CallRecorder"]

LIVE_TOPIC: Final = "generations"
_BYTES_FOR_A_TOKEN: Final = 3
"""As for budgets of the client: rather too many tokens than too few."""
_LEAST_ANSWER_TOKENS: Final = 512
_CONTEXT_RESERVE: Final = 64
"""Tokens that chat templates put around messages."""


class CallRecorder:
    """Asks one model for one generation. The ``Ask`` of its conversation.

    Args:
        room: Of apps.
        client: Asks this model.
        model: From the catalogue, with its prices.
        generation: As it stood when this attempt began.
    """

    def __init__(self, room: AppsRoom, client: LlmClient, model: Model, generation: Generation) -> None:
        self._room = room
        self._client = client
        self._model = model
        self._generation = generation
        self._earlier = list(generation.calls)
        self.calls: list[ModelCall] = []
        """All calls of this generation so far, those of attempts that died included."""

    async def __call__(self, purpose: str, messages: Sequence[ChatMessage]) -> Answer:
        """Return the model's answer, from an earlier attempt if that had it.

        Raises:
            GenerationFailed: There is none, or it might cost more than is left.
        """
        max_tokens = self._limit_tokens(messages)
        prompt = await self._room.artifacts.put_bytes(self._render(messages, max_tokens), "application/json")
        earlier = self._earlier.pop(0) if self._earlier else None
        if earlier is not None and earlier.prompt_sha256 == prompt.sha256:
            self.calls.append(earlier)
            said = (await self._room.artifacts.read_bytes(earlier.reply_sha256)).decode()
            return Answer(said, earlier.finish_reason == "length")
        self._earlier.clear()
        await self._hold(messages, max_tokens)
        calls_before = self._client.purse.spent_calls_count
        try:
            reply = await self._client.complete_text(
                messages,
                max_tokens=max_tokens,
                temperature=self._generation.temperature,
                seed=self._generation.seed,
            )
        except LlmError as error:
            attempts = self._client.purse.spent_calls_count - calls_before
            await self._give_back(attempts, is_spent=error.kind == "timeout")
            raise GenerationFailed(
                GenerationFailure(error.kind), " ".join(filter(None, (error.message, error.hint)))
            ) from error
        said_bytes = reply.text.encode("utf-8", errors="replace")
        answer = await self._room.artifacts.put_bytes(said_bytes, "text/plain; charset=utf-8")
        prices = self._model.prices
        call = ModelCall(
            purpose=purpose,
            prompt_sha256=prompt.sha256,
            reply_sha256=answer.sha256,
            model=_make_storable(reply.model),
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            attempts_count=reply.attempts_count,
            cost_usd=None
            if prices is None
            else prices.compute_cost_usd(reply.prompt_tokens, reply.completion_tokens),
            finish_reason=_make_storable(reply.finish_reason),
            duration_ms=reply.duration_ms,
            finished_at=datetime.now(UTC).isoformat(),
            span_id=secrets.token_hex(8),
        )
        await self._keep(call, [prompt, answer])
        self.calls.append(call)
        return Answer(said_bytes.decode(), reply.finish_reason == "length")

    def _limit_tokens(self, messages: Sequence[ChatMessage]) -> int:
        """Return the tokens that the answer may have: those of the settings, as far as the context has room."""
        wanted = self._room.settings.generator_max_tokens_count
        context = self._model.context_tokens
        if context is None:
            return wanted
        room_left = context - _estimate_tokens(messages) - _CONTEXT_RESERVE
        if room_left < _LEAST_ANSWER_TOKENS:
            raise GenerationFailed(
                GenerationFailure.truncated,
                f"The conversation leaves no room for an answer in the {context:,} tokens of the model's context.",
            )
        return min(wanted, room_left)

    def _render(self, messages: Sequence[ChatMessage], max_tokens: int) -> bytes:
        return _dump(
            {
                "model": self._model.model_name,
                "messages": [{"role": message.role, "content": message.text} for message in messages],
                "max_tokens": max_tokens,
                "temperature": self._generation.temperature,
                "seed": self._generation.seed,
            }
        )

    async def _hold(self, messages: Sequence[ChatMessage], max_tokens: int) -> None:
        """Set aside the most that a request can cost, if the project's budget of a day has that much left."""
        budget_usd, prices = self._room.settings.generator_budget_usd, self._model.prices
        if budget_usd is None:
            return
        if prices is None:
            raise GenerationFailed(
                GenerationFailure.over_budget,
                f"{self._model.slug} has no prices, so nobody can tell what it costs. Import them, 0 for a model that "
                "costs nothing, or unset REFEREE_GENERATOR_BUDGET_USD.",
            )
        # Only an answer costs: a request that is tried again brought none.
        most_usd = prices.compute_cost_usd(_estimate_tokens(messages), max_tokens)
        project_id = self._generation.project_id
        async with self._room.database.transaction() as session:
            # One after another for each project: two requests must not both see the same dollars left.
            await session.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
                {"name": f"generation_budget:{project_id}"},
            )
            since = func.clock_timestamp() - timedelta(hours=24)
            spent_usd = await session.scalar(
                select(
                    func.coalesce(
                        func.sum(func.coalesce(GenerationRow.cost_usd, 0.0) + GenerationRow.held_usd), 0.0
                    )
                ).where(
                    GenerationRow.project_id == project_id,
                    func.coalesce(GenerationRow.started_at, GenerationRow.created_at) > since,
                )
            )
            left_usd = budget_usd - float(spent_usd or 0.0)
            if most_usd > left_usd:
                raise GenerationFailed(
                    GenerationFailure.over_budget,
                    f"The next request may cost {most_usd:.4f} US dollars, and {max(0.0, left_usd):.4f} are left "
                    f"of the {budget_usd:g} for 24 hours. Raise REFEREE_GENERATOR_BUDGET_USD or wait.",
                )
            await session.execute(self._update(held_usd=most_usd))

    async def _give_back(self, attempts_count: int, *, is_spent: bool) -> None:
        """Count requests without an answer. What a timeout held is spent: the provider may have worked."""
        values: dict[str, Any] = {"calls_count": GenerationRow.calls_count + attempts_count, "held_usd": 0.0}
        if is_spent:
            values["cost_usd"] = GenerationRow.cost_usd + GenerationRow.held_usd
        async with self._room.database.transaction() as session:
            await session.execute(self._update(**values))

    async def _keep(self, call: ModelCall, artifacts: Sequence[Artifact]) -> None:
        async with self._room.database.transaction() as session:
            await record_artifacts(session, artifacts)
            # The earlier ones that were read back, and this one: what an attempt went another way from is dropped.
            calls = [one.to_json() for one in (*self.calls, call)]
            await session.execute(
                self._update(
                    calls_json=calls,
                    calls_count=GenerationRow.calls_count + call.attempts_count,
                    prompt_tokens=GenerationRow.prompt_tokens + call.prompt_tokens,
                    completion_tokens=GenerationRow.completion_tokens + call.completion_tokens,
                    cost_usd=None if call.cost_usd is None else GenerationRow.cost_usd + call.cost_usd,
                    held_usd=0.0,
                )
            )
            await publish(
                session,
                LIVE_TOPIC,
                {"generation_id": str(self._generation.generation_id)},
                project_id=self._generation.project_id,
            )

    def _update(self, **values: Any) -> Any:
        return (
            update(GenerationRow)
            .where(GenerationRow.generation_id == self._generation.generation_id)
            .values(**values)
        )


def _estimate_tokens(messages: Sequence[ChatMessage]) -> int:
    return sum(
        len(message.text.encode("utf-8", errors="replace")) // _BYTES_FOR_A_TOKEN + 8 for message in messages
    )


def _make_storable(said: str) -> str:
    """Return a text of a server as PostgreSQL keeps it: no NUL, no half surrogate pair."""
    return said.encode("utf-8", errors="replace").decode().replace("\0", "�")


def _dump(value: JsonValue) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", errors="replace")
