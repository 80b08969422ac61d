"""Configurations, tools, metrics, charts and queues as clients use them: exact answers and clear refusals."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx

from referee.foundation.access import KeyKind, create_key, create_project, find_local_principal, get_project
from referee.foundation.store import Database

UNKNOWN = str(uuid4())
PARAMETERS = {"call_type": "chat", "model": "small", "hyperparameters": {"temperature": 0}, "own": [1]}
CONFIGURATION = {"name": "prompt", "provider": "openai", "parameters": PARAMETERS}
METRIC = {"name": "accuracy", "type": "PYTHON", "criteria": "def f(event): return 1"}
CHART = {"name": "cost", "metric": "cost"}


async def ask(client: httpx.AsyncClient, method: str, path: str, body: object = None) -> Any:
    answer = await client.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_configuration_is_made_filtered_changed_and_deleted(client: httpx.AsyncClient) -> None:
    made = await ask(
        client, "POST", "/v1/configurations", {**CONFIGURATION, "env": ["dev"], "tags": ["a", "b"]}
    )
    assert made["acknowledged"] is True
    configuration_id = made["insertedId"]
    await ask(client, "POST", "/configurations", {**CONFIGURATION, "name": "other", "env": ["prod"]})

    (found,) = (await ask(client, "GET", "/v1/configurations?name=prompt"))["configurations"]
    assert {key: found[key] for key in ("id", "name", "type", "provider", "env", "tags", "updated_at")} == {
        "id": configuration_id, "name": "prompt", "type": "LLM", "provider": "openai", "env": ["dev"],
        "tags": ["a", "b"], "updated_at": None,
    }  # fmt: skip
    assert {key: found["parameters"][key] for key in PARAMETERS} == PARAMETERS
    counts = [
        (await ask(client, "GET", f"/v1/configurations?{query}"))["total_count"]
        for query in (
            "",
            "env=prod",
            "tags=a",
            "tags[]=a&tags[]=b",
            "tags[]=a&tags[]=c",
            "env=dev&name=other",
        )
    ]
    assert counts == [2, 1, 1, 1, 0, 0]

    changed = await ask(client, "PUT", f"/v1/configurations/{configuration_id}", {"name": "new", "tags": []})
    assert changed == {
        "acknowledged": True, "modifiedCount": 1, "upsertedId": None, "upsertedCount": 0, "matchedCount": 1,
    }  # fmt: skip
    same = await ask(client, "PUT", f"/v1/configurations/{configuration_id}", {"name": "new"})
    assert (same["modifiedCount"], same["matchedCount"]) == (0, 1)
    versions = (await ask(client, "GET", f"/v1/configurations/{configuration_id}/versions"))["versions"]
    assert [(one["version"], one["content"]["name"], one["content"]["tags"]) for one in versions] == [
        (2, "new", []),
        (1, "prompt", ["a", "b"]),
    ]
    gone = await ask(client, "DELETE", f"/v1/configurations/{configuration_id}")
    assert (gone["acknowledged"], gone["deletedCount"]) == (True, 1)
    assert (await client.get(f"/v1/configurations/{configuration_id}")).status_code == 404


async def test_tool_of_an_older_client_is_kept(client: httpx.AsyncClient) -> None:
    body = {"tool": {"task": "p", "name": "search", "parameters": {"a": 1}, "type": "tool"}}
    tool_id = (await ask(client, "POST", "/tools", body))["result"]["insertedId"]
    await ask(client, "PUT", "/tools", {"_id": tool_id, "name": "find"})
    (found,) = await ask(client, "GET", "/tools")
    assert [found[key] for key in ("id", "_id", "name", "tool_type", "parameters")] == [
        tool_id, tool_id, "find", "tool", {"a": 1},
    ]  # fmt: skip
    assert (await ask(client, "DELETE", f"/tools?function_id={tool_id}"))["deleted"] is True
    assert await ask(client, "GET", "/v1/tools") == []


async def test_metric_gets_a_version_with_each_change(client: httpx.AsyncClient) -> None:
    metric_id = (await ask(client, "POST", "/v1/metrics", METRIC))["metric_id"]
    (found,) = (await ask(client, "GET", f"/v1/metrics?id={metric_id}"))["metrics"]
    assert {key: found[key] for key in METRIC} == METRIC
    assert [found[key] for key in ("return_type", "enabled_in_prod", "sampling_percentage", "filters")] == [
        "float", False, 10, {"filterArray": []},
    ]  # fmt: skip
    assert await ask(client, "PUT", "/v1/metrics", {"id": metric_id, "enabled_in_prod": True}) == {
        "updated": True
    }
    added = await ask(
        client,
        "POST",
        f"/v1/metrics/{metric_id}/versions",
        {"message": "later", "content": {**METRIC, "criteria": "x"}},
    )
    assert (added["success"], added["data"]["name"], added["data"]["deployed"]) == (True, "v3", False)
    (before,) = (await ask(client, "GET", f"/v1/metrics?id={metric_id}"))["metrics"]
    deployed = await ask(client, "POST", f"/v1/metrics/{metric_id}/versions/v3/deploy")
    (after,) = (await ask(client, "GET", f"/v1/metrics?id={metric_id}"))["metrics"]
    assert (before["criteria"], after["criteria"], deployed["data"]["deployed"]) == (
        METRIC["criteria"], "x", True,
    )  # fmt: skip
    assert (before["enabled_in_prod"], after["enabled_in_prod"]) == (True, False)
    versions = (await ask(client, "GET", f"/v1/metrics/{metric_id}/versions"))["data"]
    assert [(one["name"], one["deployed"]) for one in versions] == [
        ("v1", False),
        ("v2", False),
        ("v3", True),
    ]
    assert len({one["full_sha"] for one in versions}) == 3
    by_digest = await ask(
        client, "POST", f"/v1/metrics/{metric_id}/versions/{versions[0]['full_sha']}/deploy"
    )
    assert by_digest["data"]["name"] == "v1"
    assert (await ask(client, "DELETE", f"/v1/metrics?metric_id={metric_id}"))["deleted"] is True
    assert (await ask(client, "GET", f"/v1/metrics?id={metric_id}"))["metrics"] == []


async def test_name_of_a_metric_is_its_own_however_many_ask(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post("/v1/metrics", json=METRIC) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    other = (await ask(client, "POST", "/v1/metrics", {**METRIC, "name": "other"}))["metric_id"]
    renamed = await client.put(f"/v1/metrics/{other}", json={"name": "accuracy"})
    assert (renamed.status_code, renamed.json()["errorCode"]) == (409, "metric.name_taken")
    added = {"message": "m", "content": METRIC, "deploy_immediately": True}
    assert (await client.post(f"/v1/metrics/{other}/versions", json=added)).status_code == 409
    assert len((await ask(client, "GET", f"/v1/metrics/{other}/versions"))["data"]) == 1


async def test_metric_of_an_older_client_is_understood(client: httpx.AsyncClient) -> None:
    body = {"task": "p", "name": "judge", "type": "model", "prompt": "Rate it [[1]]"}
    metric_id = (await ask(client, "POST", "/metrics", body))["metric_id"]
    (found,) = (await ask(client, "GET", f"/metrics?type=LLM&id={metric_id}"))["metrics"]
    assert (found["type"], found["criteria"], "prompt" in found) == ("LLM", "Rate it [[1]]", False)


async def test_chart_is_the_same_with_and_without_the_project(
    client: httpx.AsyncClient, project_id: UUID
) -> None:
    body = {**CHART, "dateRange": {"gte": 1, "lte": 2}, "query": [
        {"field": "event_type", "operator": "is", "value": "model", "type": "string"}
    ]}  # fmt: skip
    made = (await ask(client, "POST", "/v1/charts", body))["data"]
    assert (made["bucketing"], made["dateRange"], made["query"]) == (
        "day", {"$gte": 1, "$lte": 2}, body["query"],
    )  # fmt: skip
    base = f"/v1/projects/{project_id}/charts"
    assert (await ask(client, "GET", f"{base}/{made['id']}"))["data"] == made
    changed = await ask(client, "PATCH", f"{base}/{made['id']}", {"dateRange": {"relative": "7d"}})
    assert (changed["data"]["dateRange"], changed["data"]["name"]) == ({"relative": "7d"}, "cost")
    assert (await ask(client, "PUT", f"/v1/charts/{made['id']}", {"name": "new"}))["data"]["name"] == "new"
    assert [one["name"] for one in (await ask(client, "GET", base))["data"]] == ["new"]
    gone = await ask(client, "DELETE", f"{base}/{made['id']}")
    assert (gone["success"], bool(gone["message"])) == (True, True)
    assert (await client.get(f"/v1/charts/{made['id']}")).status_code == 404


async def test_data_plane_key_sees_charts_of_its_project_only(
    client: httpx.AsyncClient, project_id: UUID, store: Database
) -> None:
    project = await get_project(store, "default")
    _, secret = await create_key(store, project, "boards", ["charts_read"], kind=KeyKind.data_plane)
    client.headers["Authorization"] = f"Bearer {secret}"
    statuses = [
        (await client.request(method, path, json=CHART)).status_code
        for method, path in (
            ("GET", f"/v1/projects/{project_id}/charts"),
            ("GET", f"/v1/projects/{UNKNOWN}/charts"),
            ("POST", f"/v1/projects/{project_id}/charts"),
            ("GET", "/v1/charts"),
            ("GET", "/v1/metrics"),
        )
    ]
    assert statuses == [200, 404, 403, 403, 403]


async def test_queue_is_made_filled_emptied_and_deleted(client: httpx.AsyncClient, project_id: UUID) -> None:
    filters = {"filterArray": [{"field": "error", "operator": "exists", "value": None, "type": "string"}]}
    answer = await client.post(
        "/v1/queues", json={"name": "look", "filters": filters, "event_ids": ["a", "b"]}
    )
    queue = answer.json()["queue"]
    assert (answer.status_code, bool(answer.json()["message"])) == (201, True)
    assert [queue[key] for key in ("name", "description", "filters", "enabled", "scope_type", "scope_id")] == [
        "look", "", filters, True, "project", str(project_id),
    ]  # fmt: skip
    path = f"/v1/queues/{queue['id']}"
    body = {"id": queue["id"], "enabled": False, "add_event_ids": ["c", "a"], "remove_event_ids": ["b", "x"]}
    changed = (await ask(client, "PUT", path, body))["queue"]
    assert (changed["enabled"], changed["events_count"], changed["filters"]) == (False, 2, filters)
    assert (await ask(client, "GET", path))["event_ids"] == ["a", "c"]
    assert [one["id"] for one in (await ask(client, "GET", "/v1/queues"))["queues"]] == [queue["id"]]
    assert (await ask(client, "DELETE", path))["message"]
    assert (await client.get(path)).status_code == 404


REFUSED: list[tuple[str, str, object, int]] = [
    ("POST", "/v1/configurations", {"name": "x", "provider": "y"}, 400),
    ("POST", "/v1/configurations", {**CONFIGURATION, "env": ["home"]}, 400),
    ("POST", "/v1/configurations", {**CONFIGURATION, "type": "other"}, 400),
    ("POST", "/v1/configurations", {**CONFIGURATION, "parameters": {**PARAMETERS, "call_type": "x"}}, 400),
    ("POST", "/v1/configurations", {**CONFIGURATION, "parameters": {**PARAMETERS, "own": "\x00"}}, 400),
    ("POST", "/v1/configurations", {**CONFIGURATION, "parameters": {**PARAMETERS, "template": 7}}, 400),
    ("PUT", f"/v1/configurations/{UNKNOWN}", {"name": "x"}, 404),
    ("PUT", "/v1/configurations/x", {"provider": "x"}, 400),
    ("DELETE", "/v1/configurations/x", None, 404),
    ("POST", "/tools", {"name": "x", "parameters": []}, 400),
    ("POST", "/tools", {"name": "x", "type": "hammer"}, 400),
    ("PUT", "/tools", {"id": UNKNOWN, "name": "x"}, 404),
    ("DELETE", "/tools", None, 400),
    ("POST", "/v1/metrics", {**METRIC, "type": "GUESS"}, 400),
    ("POST", "/v1/metrics", {**METRIC, "criteria": ""}, 400),
    ("POST", "/v1/metrics", {**METRIC, "sampling_percentage": 101}, 400),
    ("POST", "/v1/metrics", {**METRIC, "categories": []}, 400),
    ("POST", "/v1/metrics", {**METRIC, "scale": 10**30}, 400),
    (
        "POST",
        "/v1/metrics",
        {**METRIC, "filters": {"filterArray": [{"field": "a", "operator": "like"}]}},
        400,
    ),
    ("POST", "/v1/metrics", {**METRIC, "filters": [{"field": "a", "operator": "is", "type": "id"}]}, 400),
    ("PUT", "/v1/metrics", {"name": "x"}, 400),
    ("PUT", "/v1/metrics", {"id": UNKNOWN}, 404),
    ("GET", "/v1/metrics?type=other", None, 400),
    ("GET", f"/v1/metrics/{UNKNOWN}/versions", None, 404),
    ("POST", f"/v1/metrics/{UNKNOWN}/versions", {"message": "m", "content": METRIC}, 404),
    ("POST", f"/v1/metrics/{UNKNOWN}/versions/v1/deploy", None, 404),
    ("POST", "/v1/charts", {"name": "x"}, 400),
    ("POST", "/v1/charts", {**CHART, "bucketing": "year"}, 400),
    ("POST", "/v1/charts", {**CHART, "dateRange": {}}, 400),
    ("POST", "/v1/charts", {**CHART, "query": [{"field": "a"}]}, 400),
    ("PUT", f"/v1/charts/{UNKNOWN}", {"name": "x"}, 404),
    ("GET", "/v1/charts/x", None, 404),
    ("POST", "/v1/queues", {}, 400),
    ("POST", "/v1/queues", {"name": "x", "description": "y" * 1_001}, 400),
    ("POST", "/v1/queues", {"name": "x", "event_ids": [""]}, 400),
    ("PUT", f"/v1/queues/{UNKNOWN}", {"id": "other"}, 400),
    ("PUT", f"/v1/queues/{UNKNOWN}", {"name": "x"}, 404),
    ("POST", "/v1/datapoints/batch", {}, 400),
    ("POST", "/v1/datapoints/batch", {"events": [UNKNOWN]}, 404),
    ("POST", "/v1/datapoints/batch", {"selectAll": True, "filters": [{"field": "a", "operator": "~"}]}, 400),
    ("POST", "/v1/datapoints/batch", {"selectAll": True, "dateRange": {"$gte": "soon"}}, 400),
]


async def test_what_cannot_be_done_is_said(client: httpx.AsyncClient) -> None:
    answers = [await client.request(method, path, json=body) for method, path, body, _ in REFUSED]
    assert [(case[:2], answer.status_code) for case, answer in zip(REFUSED, answers, strict=True)] == [
        ((method, path), status) for method, path, _, status in REFUSED
    ]
    problems = [answer.json() for answer in answers]
    assert [one for one in problems if not one["message"] or not one["errorCode"]] == []


async def test_another_project_has_none_of_it(client: httpx.AsyncClient, store: Database) -> None:
    made = [
        f"/v1/configurations/{(await ask(client, 'POST', '/v1/configurations', CONFIGURATION))['insertedId']}",
        f"/v1/charts/{(await ask(client, 'POST', '/v1/charts', CHART))['data']['id']}",
        f"/v1/queues/{(await client.post('/v1/queues', json={'name': 'x'})).json()['queue']['id']}",
        f"/v1/metrics/{(await ask(client, 'POST', '/v1/metrics', METRIC))['metric_id']}",
    ]
    other = await create_project(store, await find_local_principal(store), "other", "Other")
    _, secret = await create_key(store, other, "key", ["write"])
    headers = {"Authorization": f"Bearer {secret}"}
    assert [(await client.delete(path, headers=headers)).status_code for path in made] == [404] * 4
    assert (await client.post("/v1/metrics", headers=headers, json=METRIC)).status_code == 200


async def test_datapoints_are_made_of_events(client: httpx.AsyncClient) -> None:
    for number in range(3):
        event = {
            "event_type": "model",
            "event_name": "ask",
            "inputs": {"question": number, "chat_history": [{"role": "user", "content": "Hi"}]},
            "outputs": {"answer": number * 2},
            "metadata": {"level": number},
        }
        await ask(client, "POST", "/events", {"event": event})
    listed = await ask(client, "POST", "/v1/events/export", {"filters": []})
    ids = [one["event_id"] for one in listed["events"] if one["event_type"] == "model"]
    dataset_id = (await ask(client, "POST", "/v1/datasets", {"name": "made"}))["result"]["insertedId"]
    mapping = {"inputs": ["question"], "ground_truth": ["outputs"], "history": ["inputs.chat_history"]}
    body = {"events": ids[:1], "checkState": {ids[1]: True, ids[2]: False}, "mapping": mapping}
    made = await ask(client, "POST", "/v1/datapoints/batch", {**body, "dataset_id": dataset_id})
    assert (made["inserted"], len(made["insertedIds"])) == (True, 2)
    found = (await ask(client, "GET", f"/v1/datasets/{dataset_id}/datapoints"))["datapoints"]
    assert [one["linked_event"] for one in found] == ids[:2]
    assert [
        one["inputs"]["question"] * 2 == one["ground_truth"]["answer"] and one["history"][0]["role"] == "user"
        for one in found
    ] == [True, True]
    filters = [{"field": "metadata.level", "operator": "greater than", "value": 0, "type": "number"}]
    every = await ask(client, "POST", "/v1/datapoints/batch", {"selectAll": True, "filters": filters})
    assert len(every["insertedIds"]) == 2
    (plain,) = (await ask(client, "GET", f"/v1/datapoints/{every['insertedIds'][0]}"))["datapoint"]
    assert (set(plain["inputs"]), set(plain["ground_truth"])) == ({"question", "chat_history"}, {"answer"})
