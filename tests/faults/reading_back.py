"""Creations by several writers at once, each read back by its writer in every way right after the answer.

A way that does not find what was acknowledged is a miss. Counts of what several writers make must be at least what was
acknowledged before they were asked for; counts of what only one writer makes must be exact.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import httpx
from tests.traces.requests import make_request, make_span

__all__ = ["KINDS", "ReadCount", "run_read_your_write"]

TOLD_EVERY: Final = 100
LATEST: Final = 100
"""How many of the newest a list is asked for: more than all writers make while one reads."""
ANSWER_S: Final = 120.0
SPANS_PER_TRACE: Final = 3

Way: TypeAlias = Callable[[], Awaitable[bool]]
Create: TypeAlias = Callable[["_Writer", str], Awaitable[Mapping[str, Way]]]


@dataclass(slots=True)
class ReadCount:
    """Reads that followed a creation."""

    writes: int = 0
    reads: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    """By kind and way."""


@dataclass(slots=True)
class _Writer:
    client: httpx.AsyncClient
    chooser: random.Random
    count: ReadCount
    dataset_id: str = ""
    """Of a dataset that gets datapoints from this writer alone."""
    datapoint_ids: list[str] = field(default_factory=list)

    async def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of an answer; None unless it is a good one."""
        answer = await self.client.get(path, params=parameters)
        return answer.json() if answer.status_code == 200 else None

    async def post(self, path: str, body: object) -> Any:
        """Return the JSON of an answer, which must be a good one."""
        return (await self.client.post(path, json=body)).raise_for_status().json()

    async def export(self, *filters: tuple[str, object], **wanted: Any) -> Any:
        """Return exported events."""
        terms = [
            {"field": name, "operator": "is", "value": value, "type": "string"} for name, value in filters
        ]
        return await self.post("/v1/events/export", {"filters": terms, "limit": LATEST, **wanted})

    async def read_lines(self, path: str, **parameters: Any) -> list[Any]:
        """Return JSON Lines."""
        answer = await self.client.get(path, params=parameters)
        return [json.loads(line) for line in answer.raise_for_status().text.splitlines()]


async def run_read_your_write(
    base: str, *, writes: int, writers: int, seed: int, tell: Callable[[str], None] = lambda _: None
) -> ReadCount:
    """Create things of each kind in turn from several writers at once; each reads its own back in every way.

    The seed says what is in them and in which order they are read back. A creation with its reads costs about 100 ms of
    processor time.
    """
    count, chooser = ReadCount(), random.Random(seed)
    numbers = iter(range(writes))
    mark = f"{chooser.getrandbits(64):x}"

    async def work(own: int) -> None:
        async with httpx.AsyncClient(base_url=base, timeout=ANSWER_S, trust_env=False) as client:
            writer = _Writer(client, chooser, count)
            made = await writer.post("/v1/datasets", {"name": f"of writer {mark}-{own}"})
            writer.dataset_id = made["result"]["insertedId"]
            for number in numbers:
                await _create_and_read(writer, KINDS[number % len(KINDS)], f"{mark}-{number}")
                if number % TOLD_EVERY == TOLD_EVERY - 1:
                    tell(
                        f"{count.writes} writes, {count.reads} reads, missed: {dict(count.misses) or 'none'}"
                    )

    await asyncio.gather(*(work(own) for own in range(writers)))
    return count


async def _create_and_read(writer: _Writer, kind: str, mark: str) -> None:
    ways = await _CREATE[kind](writer, mark)
    writer.count.writes += 1
    writer.count.by_kind[kind] += 1
    order = list(ways)
    writer.chooser.shuffle(order)
    for name in order:
        writer.count.reads += 1
        if not await ways[name]():
            writer.count.misses[f"{kind}: {name}"] += 1


async def _create_event(writer: _Writer, mark: str) -> Mapping[str, Way]:
    event = {
        "event_type": writer.chooser.choice(("tool", "model", "chain")),
        "event_name": f"event {mark}",
        "session_id": f"own-{mark}",
        "inputs": {"text": "x" * writer.chooser.randrange(2_000)},
        "metadata": {"marker": mark},
    }
    event_id: str = (await writer.post("/v1/events", event))["event_id"]

    async def get() -> bool:
        found = await writer.get(f"/v1/events/{event_id}")
        return found is not None and found["event"]["event_id"] == event_id

    async def show_in_list() -> bool:
        found = await writer.get("/v1/spans", limit=LATEST)
        return event_id in {one["span_uid"] for one in found["items"]}

    async def find() -> bool:
        terms = [{"field": "metadata.marker", "operator": "is", "value": mark, "type": "string"}]
        found = await writer.post("/v1/events/search", {"filters": terms})
        return [one["event_id"] for one in found["events"]] == [event_id]

    async def add_up() -> bool:
        found = await writer.export(("session_id", f"own-{mark}"), limit=1)
        return bool(found["totalEvents"] == 1)

    async def export() -> bool:
        found = await writer.export(projections=["event_name"])
        return event_id in {one["event_id"] for one in found["events"]}

    return {"get": get, "list": show_in_list, "filter": find, "count": add_up, "export": export}


async def _create_trace(writer: _Writer, mark: str) -> Mapping[str, Way]:
    trace_id = writer.chooser.randbytes(16)
    spans = [
        make_span(
            number,
            parent=1 if number > 1 else None,
            trace_id=trace_id,
            name=f"span {mark}",
            start_ns=time.time_ns(),
            honeyhive__session_id=f"traced-{mark}",
        )
        for number in range(1, SPANS_PER_TRACE + 1)
    ]
    headers = {"Content-Type": "application/x-protobuf"}
    answer = await writer.client.post("/v1/traces", content=make_request(spans), headers=headers)
    answer.raise_for_status()

    async def get() -> bool:
        found = await writer.get(f"/v1/traces/{trace_id.hex()}")
        return found is not None and len(found["items"]) == SPANS_PER_TRACE

    async def show_in_list() -> bool:
        found = await writer.get("/v1/traces", limit=LATEST)
        return trace_id.hex() in {one["trace_id"] for one in found["items"]}

    async def find() -> bool:
        found = await writer.get("/v1/traces", filter=f'name:"span {mark}"')
        return [one["trace_id"] for one in found["items"]] == [trace_id.hex()]

    async def add_up() -> bool:
        found = await writer.export(("session_id", f"traced-{mark}"), limit=1)
        return bool(found["totalEvents"] == SPANS_PER_TRACE)

    async def export() -> bool:
        return (
            len(await writer.read_lines("/v1/traces/export", filter=f"session:traced-{mark}"))
            == SPANS_PER_TRACE
        )

    return {"get": get, "list": show_in_list, "filter": find, "count": add_up, "export": export}


async def _create_session(writer: _Writer, mark: str) -> Mapping[str, Way]:
    started = await writer.post(
        "/session/start", {"session": {"session_name": f"session {mark}", "source": "reads"}}
    )
    session_id: str = started["session_id"]
    event = {"event_type": "tool", "event_name": f"inside {mark}", "session_id": session_id, "inputs": {}}
    await writer.post("/v1/events", event)

    async def get() -> bool:
        found = await writer.get(f"/v1/sessions/{session_id}")
        return found is not None and found["event_id"] == session_id

    async def show_in_list() -> bool:
        found = await writer.get("/v1/sessions", limit=LATEST)
        return session_id in {one["session_id"] for one in found["items"]}

    async def find() -> bool:
        found = await writer.get("/v1/sessions", filter=f'name:"session {mark}"')
        return [one["session_id"] for one in found["items"]] == [session_id]

    async def add_up() -> bool:
        (found,) = (await writer.get("/v1/sessions", filter=f"session:{session_id}"))["items"]
        return bool(found["events_count"] == 1)

    async def export() -> bool:
        found = await writer.export(("session_id", session_id), ("event_type", "session"))
        return [one["event_id"] for one in found["events"]] == [session_id]

    return {"get": get, "list": show_in_list, "filter": find, "count": add_up, "export": export}


async def _create_dataset(writer: _Writer, mark: str) -> Mapping[str, Way]:
    made = await writer.post("/v1/datasets", {"name": f"dataset {mark}", "description": mark})
    dataset_id: str = made["result"]["insertedId"]
    rows = [{"question": mark, "answer": number} for number in range(2)]
    mapping = {"inputs": ["question"], "ground_truth": ["answer"]}
    added = await writer.post(f"/v1/datasets/{dataset_id}/datapoints", {"data": rows, "mapping": mapping})

    async def get() -> bool:
        found = await writer.get(f"/v1/datasets/{dataset_id}")
        return found is not None and found["name"] == f"dataset {mark}"

    async def show_in_list() -> bool:
        found = await writer.get("/v1/datasets", limit=LATEST)
        return dataset_id in {one["id"] for one in found["datasets"]}

    async def find() -> bool:
        found = await writer.get("/v1/datasets", name=f"dataset {mark}")
        return [one["id"] for one in found["datasets"]] == [dataset_id]

    async def add_up() -> bool:
        known = writer.count.by_kind["dataset"]
        found = await writer.get("/v1/datasets", limit=1)
        (own,) = (await writer.get("/v1/datasets", dataset_id=dataset_id))["datasets"]
        return bool(found["total_count"] >= known and own["datapoints"] == added["datapoint_ids"])

    async def export() -> bool:
        found = await writer.read_lines(f"/v1/datasets/{dataset_id}/export")
        return bool([one["id"] for one in found] == added["datapoint_ids"])

    return {"get": get, "list": show_in_list, "filter": find, "count": add_up, "export": export}


async def _create_datapoint(writer: _Writer, mark: str) -> Mapping[str, Way]:
    content = {"inputs": {"question": mark}, "ground_truth": {"answer": mark}}
    made = await writer.post("/v1/datapoints", {**content, "linked_datasets": [writer.dataset_id]})
    (datapoint_id,) = made["result"]["insertedIds"]
    writer.datapoint_ids.append(datapoint_id)
    of_dataset = f"/v1/datasets/{writer.dataset_id}"

    async def get() -> bool:
        found = await writer.get(f"/v1/datapoints/{datapoint_id}")
        return found is not None and found["datapoint"][0]["ground_truth"] == content["ground_truth"]

    async def show_in_list() -> bool:
        found = await writer.get(of_dataset)
        return bool(found["datapoints"][-1] == datapoint_id)

    async def find() -> bool:
        found = await writer.get("/v1/datapoints", **{"datapoint_ids[]": datapoint_id})
        return [one["id"] for one in found["datapoints"]] == [datapoint_id]

    async def add_up() -> bool:
        found = await writer.get(f"{of_dataset}/datapoints", limit=1)
        return bool(found["total_count"] == len(writer.datapoint_ids))

    async def export() -> bool:
        return [one["id"] for one in await writer.read_lines(f"{of_dataset}/export")] == writer.datapoint_ids

    return {"get": get, "list": show_in_list, "filter": find, "count": add_up, "export": export}


async def _create_run(writer: _Writer, mark: str) -> Mapping[str, Way]:
    body = {"name": f"run {mark}", "metadata": {"marker": mark}, "dataset_id": writer.dataset_id}
    run_id: str = (await writer.post("/v1/runs", body))["run_id"]

    async def get() -> bool:
        found = await writer.get(f"/v1/runs/{run_id}")
        return found is not None and found["evaluation"]["metadata"]["marker"] == mark

    async def show_in_list() -> bool:
        found = await writer.get("/v1/runs", limit=LATEST)
        return run_id in {one["run_id"] for one in found["evaluations"]}

    async def find() -> bool:
        found = await writer.get("/v1/runs", name=f"run {mark}")
        return [one["run_id"] for one in found["evaluations"]] == [run_id]

    async def add_up() -> bool:
        known = writer.count.by_kind["run"]
        return bool((await writer.get("/v1/runs", limit=1))["pagination"]["total"] >= known)

    async def export() -> bool:
        found = await writer.get(f"/v1/runs/{run_id}/result")
        return found is not None and found["run_object"]["run_id"] == run_id

    return {"get": get, "list": show_in_list, "filter": find, "count": add_up, "result": export}


async def _create_metric(writer: _Writer, mark: str) -> Mapping[str, Way]:
    criteria = f"def score(event):\n    return {writer.chooser.randrange(100)}"
    body = {"name": f"metric {mark}", "type": "PYTHON", "criteria": criteria}
    metric_id: str = (await writer.post("/v1/metrics", body))["metric_id"]

    async def get() -> bool:
        found = await writer.get("/v1/metrics", id=metric_id)
        return [one["criteria"] for one in found["metrics"]] == [criteria]

    async def show_in_list() -> bool:
        found = await writer.get("/v1/metrics", limit=LATEST)
        return metric_id in {one["id"] for one in found["metrics"]}

    async def find() -> bool:
        found = await writer.get("/v1/metrics", type="PYTHON", limit=LATEST)
        return metric_id in {one["id"] for one in found["metrics"]}

    async def add_up() -> bool:
        known = writer.count.by_kind["metric"]
        return bool((await writer.get("/v1/metrics", limit=1))["total_count"] >= known)

    async def list_versions() -> bool:
        found = await writer.get(f"/v1/metrics/{metric_id}/versions")
        return found is not None and [one["deployed"] for one in found["data"]] == [True]

    return {"get": get, "list": show_in_list, "filter": find, "count": add_up, "versions": list_versions}


_CREATE: Final[Mapping[str, Create]] = {
    "event": _create_event,
    "trace": _create_trace,
    "session": _create_session,
    "dataset": _create_dataset,
    "datapoint": _create_datapoint,
    "run": _create_run,
    "metric": _create_metric,
}
KINDS: Final = tuple(_CREATE)
"""Created in turn. A run has no export of its own, its result is read; a metric's versions are."""
