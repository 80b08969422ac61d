"""A room whose generator is a scripted server, a model of the catalogue and a template of three lines."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from tests.llm_server import LlmServer, Response, Script, in_turn, serve_llm

from referee.apps import (
    AppsRoom,
    Generation,
    ModelEntry,
    create_generation,
    import_models,
    import_template,
    run_generation,
)
from referee.foundation.llm import LlmClient, Purse

NOTES: dict[str, object] = {
    "slug": "notes",
    "name": "Notes",
    "description": "Notes that are kept.",
    "backend_requirements": ["Notes are kept in memory."],
    "frontend_requirements": ["The notes are shown."],
    "api_endpoints": [
        {
            "method": "GET",
            "path": "/api/notes",
            "description": "All notes.",
            "request": None,
            "response": [{"id": "integer", "text": "string"}],
        }
    ],
}


class Waits(list[float]):
    """Takes the place of sleeping: keeps the seconds and goes on."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@dataclass(frozen=True)
class Writing:
    """A generation that can be carried out, with the server that it asks."""

    room: AppsRoom
    server: LlmServer
    project_id: UUID
    waits: Waits

    async def create(self, **options: Any) -> Generation:
        """Ask for an app of the model for the template."""
        async with self.room.database.transaction() as session:
            return await create_generation(
                session, project_id=self.project_id, model="pico", template="notes", **options
            )

    async def run(self, **options: Any) -> Generation:
        """Ask for an app and have it written."""
        generation = await self.create(**options)
        return await run_generation(self.room, generation.generation_id, wait=self.waits)

    async def read_record(self, generation: Generation) -> dict[str, Any]:
        """Return the record of a generation."""
        assert generation.record_sha256 is not None
        record: dict[str, Any] = json.loads(await self.room.artifacts.read_bytes(generation.record_sha256))
        return record


Write: TypeAlias = Callable[..., AbstractAsyncContextManager[Writing]]


@pytest.fixture
def write(room: AppsRoom, project_id: UUID) -> Write:
    """Opens a server that answers by a script, for a model of two dollars and ten a million tokens."""

    @asynccontextmanager
    async def open_writing(
        *script: Response | Script,
        prices: tuple[float, float] | None = (2.0, 10.0),
        context_tokens: int | None = None,
        template: dict[str, object] = NOTES,
        client: dict[str, Any] | None = None,
        **settings: object,
    ) -> AsyncIterator[Writing]:
        entry = ModelEntry(model_name="maker/pico", slug="pico", context_tokens=context_tokens)
        if prices is not None:
            entry = replace(entry, input_usd_per_mtok=prices[0], output_usd_per_mtok=prices[1])
        async with room.database.transaction() as session:
            await import_models(session, project_id, [entry], source="test")
        await import_template(room.database, room.artifacts, project_id, json.dumps(template).encode())
        waits = Waits()
        with serve_llm(in_turn(*script)) as server:
            options = {
                "timeout_s": 10.0,
                "max_attempts_count": 3,
                "setting_prefix": "generator",
                **(client or {}),
            }
            async with LlmClient(
                server.url, "", purse=Purse(1_000_000_000), wait=waits, **options
            ) as generator:
                changed = room.settings.model_copy(update={"generator_url": server.url, **settings})
                yield Writing(replace(room, settings=changed, generator=generator), server, project_id, waits)

    return open_writing
