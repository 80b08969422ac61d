"""Pages of datasets, datapoints, configurations and metrics: what they show, and that hostile text stays text."""

from __future__ import annotations

import re

import httpx

HOSTILE = "<img src=x onerror=alert(1)> \u202egnp"
PARAMETERS = {"call_type": "chat", "model": HOSTILE, "template": [{"role": "system", "content": HOSTILE}]}


async def read(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text[:400]
    assert "<img src=x" not in answer.text
    assert "\u202e" not in answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


async def test_dataset_is_made_filled_and_read_on_pages(client: httpx.AsyncClient) -> None:
    assert "No datasets yet" in await read(client, "/ui/datasets")
    made = await client.post("/ui/datasets", data={"name": HOSTILE})
    path = made.headers["location"]
    assert (made.status_code, "No datapoints yet" in await read(client, path)) == (303, True)
    rows = f'question,answer\n"{HOSTILE}",1\nsecond,2\n'.encode()
    fields = {"inputs": "question", "ground_truth": "answer"}
    done = await client.post(f"{path}/import", data=fields, files={"file": ("cases.csv", rows)})
    assert (done.status_code, done.headers["location"]) == (303, path)
    text = await read(client, path)
    assert ("2 datapoints, version 2" in text, "Added 2 datapoints." in text) == (True, True)
    assert "second" not in await read(client, f"{path}?filter=truth:1")
    assert "No datapoints match" in await read(client, f"{path}?filter=nothing")
    assert "This is version 1" in await read(client, f"{path}?version=1")
    assert (await client.get(f"{path}?version=3")).status_code == 404
    assert [hit["detail"] for hit in (await client.get("/ui/jump?q=onerror")).json()] == ["2 datapoints"]

    (first, _) = (await client.get(path.replace("/ui/", "/v1/") + "/datapoints")).json()["datapoints"]
    page = await read(client, f"/ui/datapoints/{first['id']}")
    assert ("Ground truth" in page, "onerror" in page) == (True, True)


async def test_file_that_cannot_be_read_is_explained_on_a_page(client: httpx.AsyncClient) -> None:
    path = (await client.post("/ui/datasets", data={"name": "cases"})).headers["location"]
    answer = await client.post(
        f"{path}/import", files={"file": ("x.jsonl", b"{")}, headers={"Accept": "text/html"}
    )
    assert (answer.status_code, "Line 1, column" in answer.text) == (422, True)
    nameless = await client.post("/ui/datasets", data={"name": "  "}, headers={"Accept": "text/html"})
    assert nameless.status_code == 422


async def test_configuration_shows_its_prompt_and_versions(client: httpx.AsyncClient) -> None:
    assert "No configurations yet" in await read(client, "/ui/configurations")
    body = {"name": HOSTILE, "provider": "openai", "parameters": PARAMETERS, "tags": [HOSTILE]}
    made = (await client.post("/v1/configurations", json=body)).json()["insertedId"]
    await client.put(f"/v1/configurations/{made}", json={"name": "renamed"})
    assert "renamed" in await read(client, "/ui/configurations?filter=model:onerror")
    assert "No configurations match" in await read(client, "/ui/configurations?filter=type:pipeline")
    text = await read(client, f"/ui/configurations/{made}")
    assert [word in text for word in ("Prompt", "system", "Version 2", "Version 1", "openai")] == [True] * 5


async def test_metric_shows_its_versions_and_deploys_one(client: httpx.AsyncClient) -> None:
    assert "No metrics yet" in await read(client, "/ui/metrics")
    filters = [{"field": HOSTILE, "operator": "is", "value": HOSTILE}]
    body = {"name": HOSTILE, "type": "LLM", "criteria": HOSTILE, "filters": filters, "description": HOSTILE}
    made = (await client.post("/v1/metrics", json=body)).json()["metric_id"]
    await client.put(f"/v1/metrics/{made}", json={"criteria": "second", "enabled_in_prod": True})
    assert "10 % of matching events" in await read(client, "/ui/metrics?filter=is:enabled")
    text = await read(client, f"/ui/metrics/{made}")
    assert ("version v2 is deployed" in text, "Deploy v1" in text) == (True, True)
    deployed = await client.post(f"/ui/metrics/{made}/versions/v1/deploy")
    assert deployed.status_code == 303
    assert "version v1 is deployed" in await read(client, f"/ui/metrics/{made}")
