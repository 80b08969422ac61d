"""A client of the real application on a database of its own, and runs with sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from uuid import uuid4

import httpx
import pytest
from tests.web_site import open_web_client

from referee.foundation.settings import Settings

MakeRun: TypeAlias = Callable[..., Awaitable[str]]
"""``(name, {datapoint: metrics}, **fields of the run)`` → id."""


@pytest.fixture
async def client(database_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client on loopback, whose server also carries out jobs."""
    async with open_web_client(database_settings) as opened:
        yield opened


@pytest.fixture
def make_run(client: httpx.AsyncClient) -> MakeRun:
    """Return a function that does what ``evaluate`` of the client does: a run, sessions, steps, the end."""

    async def make(name: str, scores: Mapping[str, Mapping[str, Any]], **fields: Any) -> str:
        created = await client.post("/v1/runs", json={"name": name, "datapoint_ids": list(scores), **fields})
        assert created.status_code == 200, created.text
        run_id: str = created.json()["run_id"]
        session_ids = []
        for datapoint_id, metrics in scores.items():
            session_id = str(uuid4())
            session_ids.append(session_id)
            metadata = {"run_id": run_id, "datapoint_id": datapoint_id}
            started = await client.post(
                "/session/start",
                json={"session": {"session_id": session_id, "session_name": name, "metadata": metadata}},
            )
            assert started.status_code == 200, started.text
            step = {
                "event_type": "chain",
                "event_name": "answer",
                "session_id": session_id,
                "inputs": {"question": datapoint_id},
                "outputs": {"answer": f"{name} on {datapoint_id}"},
                "metrics": {key: value for key, value in metrics.items() if key != "error"},
                "metadata": metadata,
                **({"error": metrics["error"]} if "error" in metrics else {}),
            }
            assert (await client.post("/events", json={"event": step})).status_code == 200
            update = {"event_id": session_id, "outputs": {"answer": f"{name} on {datapoint_id}"}}
            assert (await client.put("/events", json=update)).status_code == 200
        done = {"status": "completed", "event_ids": session_ids}
        assert (await client.put(f"/v1/runs/{run_id}", json=done)).status_code == 200
        return run_id

    return make
