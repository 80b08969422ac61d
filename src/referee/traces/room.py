"""What the traces room works with."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from referee.apps import list_models
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.traces.mapping import MappedSpan
from referee.traces.telling import EventTeller
from referee.traces.writer import SpanWriter

__all__ = ["PriceBook", "TracesRoom", "estimate_cost", "open_traces"]

PRICES_KEPT_S: Final = 30.0
MODELS_PER_PAGE: Final = 100
MAX_MODELS: Final = 5_000


@dataclass(slots=True)
class PriceBook:
    """What a project's models cost, from its catalogue of models.

    A price that was changed counts from half a minute later at most.
    """

    database: Database
    _prices: dict[str, tuple[float, dict[str, tuple[float, float]]]] = field(default_factory=dict)

    async def load(self, project_id: str) -> Callable[[MappedSpan], float | None]:
        """Return the function that says what the tokens of a span cost in US dollars; None when unknown."""
        known = self._prices.get(project_id)
        if known is None or time.monotonic() - known[0] > PRICES_KEPT_S:
            known = (time.monotonic(), await self._read(UUID(project_id)))
            self._prices[project_id] = known
        prices = known[1]

        def find_cost(mapped: MappedSpan) -> float | None:
            if not prices or mapped.model is None or mapped.prompt_tokens is None:
                return None
            pair = prices.get(mapped.model.lower())
            if pair is None and mapped.provider is not None:
                pair = prices.get(f"{mapped.provider}/{mapped.model}".lower())
            if pair is None:
                return None
            return (mapped.prompt_tokens * pair[0] + (mapped.completion_tokens or 0) * pair[1]) / 1e6

        return find_cost

    async def _read(self, project_id: UUID) -> dict[str, tuple[float, float]]:
        prices: dict[str, tuple[float, float]] = {}
        cursor: str | None = None
        async with self.database.reading() as session:
            for _ in range(MAX_MODELS // MODELS_PER_PAGE):
                page = await list_models(session, project_id, limit=MODELS_PER_PAGE, cursor=cursor)
                for model in page.items:
                    if model.input_usd_per_mtok is None or model.output_usd_per_mtok is None:
                        continue
                    pair = (model.input_usd_per_mtok, model.output_usd_per_mtok)
                    for name in (model.slug, model.model_name, model.model_name.rpartition("/")[2]):
                        prices.setdefault(name.lower(), pair)
                cursor = page.next_cursor
                if cursor is None:
                    break
        return prices


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesRoom:
    """Settings, database and the process' one writer of spans."""

    settings: Settings
    database: Database
    writer: SpanWriter
    prices: PriceBook
    decoder: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "decode-spans"))
    """Takes requests apart beside the event loop. One thread: more would only take turns at the interpreter."""
    teller: EventTeller = field(default_factory=EventTeller)
    """Tells those who watch of new events: evaluators that run on ingestion, queues that fill themselves."""

    async def close(self) -> None:
        """Finish what was accepted."""
        await self.writer.close()
        await self.teller.close()
        self.decoder.shutdown(wait=False)


async def estimate_cost(
    database: Database,
    project_id: UUID,
    *,
    model: str,
    provider: str | None,
    prompt_tokens: int,
    completion_tokens: int,
) -> float | None:
    """Return what tokens of a model cost in US dollars by the project's prices; None when unknown."""
    find_cost = await PriceBook(database).load(project_id.hex)
    asked = MappedSpan(event_type="model", event_name="", model=model, provider=provider)
    asked.prompt_tokens, asked.completion_tokens = prompt_tokens, completion_tokens
    return find_cost(asked)


def open_traces(settings: Settings, database: Database) -> TracesRoom:
    """Return the room of this process."""
    return TracesRoom(
        settings=settings, database=database, writer=SpanWriter(database), prices=PriceBook(database)
    )
