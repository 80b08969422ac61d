"""Annotation queues filled by hand and by themselves, reviewed on pages; events kept from traces; metrics tried."""

from __future__ import annotations

import re
from typing import Any

import httpx

HOSTILE = "<img src=x onerror=alert(1)>"


async def send(client: httpx.AsyncClient, name: str, **content: Any) -> str:
    event = {
        "event_type": "model",
        "event_name": name,
        "inputs": {"q": HOSTILE},
        "outputs": {"a": name},
        **content,
    }
    event_id: str = (await client.post("/events", json={"event": event})).json()["event_id"]
    return event_id


async def read(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path, headers={"Accept": "text/html"})
    assert (answer.status_code, "<img src=x" in answer.text) == (200, False), answer.text[:400]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


async def list_items(client: httpx.AsyncClient, queue: str, **parameters: str) -> list[tuple[str, str, str]]:
    found = (await client.get(f"/v1/queues/{queue}/items", params=parameters)).json()["items"]
    return [(one["event_id"], one["state"], one["origin"]) for one in found]


async def test_queue_fills_itself_and_is_reviewed_one_by_one(client: httpx.AsyncClient) -> None:
    assert "No queues yet" in await read(client, "/ui/queues")
    for name, kind in (("right", "boolean"), ("stars", "float")):
        body = {"name": name, "type": "HUMAN", "criteria": HOSTILE, "return_type": kind, "scale": 5}
        assert (await client.post("/v1/metrics", json=body)).status_code == 200
    made = await client.post(
        "/ui/queues", data={"name": HOSTILE, "where": "event_type is model; outputs.a is bad"}
    )
    page = made.headers["location"]
    queue = page.rpartition("/")[2]
    first, other = await send(client, "bad"), await send(client, "good")
    second = await send(client, "bad")
    await client.put(f"/v1/queues/{queue}", json={"id": queue, "add_event_ids": [other, first]})
    assert await list_items(client, queue) == [
        (first, "waiting", "by_filter"), (second, "waiting", "by_filter"), (other, "waiting", "by_hand")
    ]  # fmt: skip
    assert "3 events wait" in await read(client, page)
    assert "What do you say?" in await read(client, f"{page}/review")

    scores = {
        "event_id": first,
        "verdict": "save",
        "score:right": "false",
        "score:stars": "4",
        "note": HOSTILE,
    }
    done = await client.post(f"{page}/review", data=scores)
    assert (done.status_code, done.headers["location"]) == (303, f"{page}/review")
    event = (await client.get(f"/v1/events/{first}")).json()["event"]
    assert (event["metrics"], event["feedback"]["note"]) == ({"right": False, "stars": 4.0}, HOSTILE)
    await client.post(f"{page}/review", data={"event_id": second, "verdict": "skip"})
    assert [state for _, state, _ in await list_items(client, queue)] == ["done", "skipped", "waiting"]
    assert [one for one, _, _ in await list_items(client, queue, state="waiting")] == [other]
    refused = await client.post(f"{page}/review", data={**scores, "event_id": other, "score:stars": "lots"})
    assert (refused.status_code, "stars" in refused.json()["detail"]) == (422, True)
    unknown = await client.put(f"/v1/queues/{queue}/items/{other}", json={"scores": {"nothing": 1}})
    absent = await client.put(f"/v1/queues/{queue}/items/none", json={"scores": {}})
    assert (unknown.status_code, absent.status_code) == (400, 404)
    last = await client.put(f"/v1/queues/{queue}/items/{other}", json={"scores": {"stars": 2}})
    assert (last.status_code, last.json()["state"]) == (200, "done")
    assert "No event waits" in await read(client, f"{page}/review")

    await client.post(page, data={"where": "event_type is model"})  # without is_enabled: paused
    await send(client, "bad")
    assert len(await list_items(client, queue)) == 3
    again = {"cursor": (await client.get(f"/v1/queues/{queue}/items?limit=2")).json()["next_cursor"]}
    assert [one for one, _, _ in await list_items(client, queue, **again)] == [other]
    assert (await client.post(f"{page}/delete")).headers["location"] == "/ui/queues"


async def test_event_of_a_trace_is_kept_in_a_dataset_and_a_queue(client: httpx.AsyncClient) -> None:
    assert "No event is named" in await read(client, "/ui/events/keep")
    event = await send(client, "answer", feedback={"ground_truth": {"a": "yes"}})
    assert "a new one" in await read(client, f"/ui/events/keep?event={event}&event=unknown")
    kept = await client.post("/ui/events/keep/dataset", data={"event": event, "name": "cases"})
    assert kept.status_code == 303, kept.text
    (datapoint,) = (await client.get("/v1/datapoints")).json()["datapoints"]
    assert (datapoint["linked_event"], datapoint["ground_truth"]) == (event, {"a": "yes"})
    assert (await client.post("/ui/events/keep/dataset", data={"event": event})).status_code == 422
    queue = (await client.post("/v1/queues", json={"name": "look"})).json()["queue"]["id"]
    await client.post("/ui/events/keep/queue", data={"event": event, "queue_id": queue})
    assert await list_items(client, queue) == [(event, "waiting", "by_hand")]


async def test_metric_is_tried_on_an_event_that_is_there(client: httpx.AsyncClient) -> None:
    event = await send(client, "answer", metrics={"a": 1, "b": 0})
    code = "def score(event):\n    return len(event['outputs']['a'])"
    body = {"name": "length", "type": "PYTHON", "criteria": code}
    path = f"/ui/metrics/{(await client.post('/v1/metrics', json=body)).json()['metric_id']}/try"
    assert "answer" in await read(client, f"{path}?where=event_type is model")
    tried = await client.post(path, data={"event": event, "criteria": code})
    assert (tried.status_code, "<dd>6.0</dd>" in tried.text) == (200, True), tried.text
    draft = await client.post(path, data={"event": event, "criteria": "def score(event):\n    return 'many'"})
    assert ("Unscored" in draft.text, "changed, and tried" in draft.text) == (True, True)
    judge = {
        "name": "judge",
        "type": "LLM",
        "criteria": "{{inputs.absent}} [[rating]]",
        "model_provider": "none",
    }
    path = f"/ui/metrics/{(await client.post('/v1/metrics', json=judge)).json()['metric_id']}/try"
    said = await client.post(path, data={"event": event, "criteria": judge["criteria"]})
    assert ("Unscored" in said.text, "none, no model was asked" in said.text) == (True, True)
    assert (await client.post(path, data={"event": "absent", "criteria": "x"})).status_code == 404
    assert "notice is-bad" in (await client.get(f"{path}?where=what")).text
