"""Datasets and datapoints as clients use them: exact answers, versions that stay, and refusals that say why."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from referee.core.errors import NotFound
from referee.experiments.datasets import queries
from referee.foundation.access import create_key, create_project, find_local_principal
from referee.foundation.store import Database

TOO_DEEP: Any = "x"
for _ in range(250):
    TOO_DEEP = [TOO_DEEP]


async def make_dataset(client: httpx.AsyncClient, **more: object) -> str:
    answer = await client.post("/v1/datasets", json={"name": "cases", **more})
    assert answer.status_code == 200, answer.text
    made: str = answer.json()["result"]["insertedId"]
    return made


async def make_datapoint(client: httpx.AsyncClient, number: int = 1, **more: object) -> str:
    answer = await client.post("/v1/datapoints", json={"inputs": {"question": number}, **more})
    assert answer.status_code == 200, answer.text
    (made,) = answer.json()["result"]["insertedIds"]
    return str(made)


async def get_dataset(client: httpx.AsyncClient, dataset_id: str) -> dict[str, Any]:
    (found,) = (await client.get("/v1/datasets", params={"dataset_id": dataset_id})).json()["datasets"]
    return dict(found)


async def read_version(client: httpx.AsyncClient, dataset_id: str, version: int) -> list[Any]:
    answer = await client.get(f"/v1/datasets/{dataset_id}/datapoints", params={"version": version})
    return [one["inputs"]["question"] for one in answer.json()["datapoints"]]


async def test_dataset_is_made_listed_changed_and_deleted(
    client: httpx.AsyncClient, project_id: UUID
) -> None:
    answer = await client.post("/v1/datasets", json={"name": "cases", "description": "of support"})
    dataset_id = answer.json()["result"]["insertedId"]
    assert answer.json() == {"inserted": True, "result": {"insertedId": dataset_id}}

    found = await get_dataset(client, dataset_id)
    assert (found["id"], found["name"], found["description"], found["datapoints"]) == (
        dataset_id, "cases", "of support", [],
    )  # fmt: skip
    changed = await client.put("/v1/datasets", json={"dataset_id": dataset_id, "name": "renamed"})
    assert (changed.status_code, changed.json()["result"]["name"]) == (200, "renamed")
    changed = await client.put(f"/v1/datasets/{dataset_id}", json={"description": "new"})
    assert (changed.json()["result"]["name"], changed.json()["result"]["description"]) == ("renamed", "new")

    gone = await client.delete("/v1/datasets", params={"dataset_id": dataset_id})
    text = str(project_id)
    assert (gone.status_code, gone.json()) == (
        200,
        {"result": {"id": dataset_id, "org_id": text, "project_id": text}},
    )
    assert (await client.delete(f"/v1/datasets/{dataset_id}")).status_code == 404
    assert (await client.get("/v1/datasets", params={"dataset_id": dataset_id})).json()["datasets"] == []


async def test_datapoint_is_made_read_changed_and_deleted(client: httpx.AsyncClient) -> None:
    dataset_id = await make_dataset(client)
    body = {
        "inputs": {"question": "7 × 6?"},
        "ground_truth": {"answer": 42},
        "history": [{"role": "user", "content": "Hi"}],
        "metadata": {"level": 1},
        "linked_event": "event-1",
        "linked_datasets": [dataset_id],
    }
    answer = await client.post("/v1/datapoints", json=body)
    (datapoint_id,) = answer.json()["result"]["insertedIds"]
    assert answer.json()["inserted"] is True

    (found,) = (await client.get(f"/v1/datapoints/{datapoint_id}")).json()["datapoint"]
    assert {key: found[key] for key in body} == body
    assert found["id"] == datapoint_id
    changed = await client.put(f"/v1/datapoints/{datapoint_id}", json={"ground_truth": {"answer": 43}})
    assert changed.json() == {"updated": True, "result": {"modifiedCount": 1}}
    (found,) = (await client.get(f"/v1/datapoints/{datapoint_id}")).json()["datapoint"]
    assert (found["ground_truth"], found["inputs"]) == ({"answer": 43}, body["inputs"])

    gone = await client.delete(f"/v1/datapoints/{datapoint_id}")
    assert (gone.status_code, gone.json()["deleted"]) == (200, True)
    assert (await client.get(f"/v1/datapoints/{datapoint_id}")).status_code == 404
    assert (await client.delete(f"/v1/datapoints/{datapoint_id}")).status_code == 404
    assert (await get_dataset(client, dataset_id))["datapoints"] == []


async def test_rows_become_datapoints_in_order_by_the_mapping(client: httpx.AsyncClient) -> None:
    dataset_id = await make_dataset(client)
    rows = [
        {"q": number, "a": -number, "talk": [{"role": "user", "content": str(number)}], "extra": number}
        for number in range(30)
    ]
    mapping = {"inputs": ["q"], "ground_truth": ["a"], "history": ["talk"]}
    answer = await client.post(
        f"/v1/datasets/{dataset_id}/datapoints", json={"data": rows, "mapping": mapping}
    )
    ids = answer.json()["datapoint_ids"]
    assert (answer.status_code, answer.json()["inserted"], len(ids)) == (200, True, 30)
    assert (await get_dataset(client, dataset_id))["datapoints"] == ids
    listed = (await client.get("/v1/datapoints", params={"datapoint_ids[]": [ids[7], ids[3]]})).json()
    assert [
        (one["inputs"], one["ground_truth"], one["history"], one["metadata"]) for one in listed["datapoints"]
    ] == [
        ({"q": number}, {"a": -number}, [{"role": "user", "content": str(number)}], {"extra": number})
        for number in (3, 7)
    ]
    named = (await client.get("/v1/datapoints", params={"dataset_name": "cases"})).json()
    assert [one["id"] for one in named["datapoints"]] == ids


async def test_every_change_gives_a_version_and_each_version_stays_as_it_was(
    client: httpx.AsyncClient,
) -> None:
    first, second, third = [await make_datapoint(client, number) for number in (1, 2, 3)]
    dataset_id = await make_dataset(client, datapoints=[first, second])
    await client.put(f"/v1/datapoints/{third}", json={"linked_datasets": [dataset_id]})
    await client.put(f"/v1/datapoints/{first}", json={"inputs": {"question": 10}})
    removed = await client.delete(f"/v1/datasets/{dataset_id}/{second}")
    assert (removed.status_code, removed.json()["dereferenced"]) == (200, True)
    await client.put(f"/v1/datasets/{dataset_id}", json={"datapoints": [third, second, first]})
    await client.delete(f"/v1/datapoints/{third}")
    await client.delete(f"/v1/datasets/{dataset_id}/datapoints/{second}")

    versions = (await client.get(f"/v1/datasets/{dataset_id}/versions")).json()["items"]
    assert [(one["version"], one["datapoints_count"], one["change"]) for one in versions] == [
        (7, 1, "Removed 1 datapoint."),
        (6, 2, "Removed 1 datapoint, which was deleted."),
        (5, 3, "Set to 3 datapoints."),
        (4, 2, "Removed 1 datapoint."),
        (3, 3, "Changed 1 datapoint."),
        (2, 3, "Added 1 datapoint."),
        (1, 2, "Created."),
    ]
    assert {version: await read_version(client, dataset_id, version) for version in range(1, 8)} == {
        1: [1, 2], 2: [1, 2, 3], 3: [10, 2, 3], 4: [10, 3], 5: [3, 2, 10], 6: [2, 10], 7: [10],
    }  # fmt: skip
    assert (await get_dataset(client, dataset_id))["version"] == 7
    missing = await client.get(f"/v1/datasets/{dataset_id}/datapoints", params={"version": 8})
    assert (missing.status_code, missing.json()["errorCode"]) == (404, "dataset_version.not_found")


async def test_what_changes_nothing_gives_no_version(client: httpx.AsyncClient) -> None:
    datapoint_id = await make_datapoint(client)
    dataset_id = await make_dataset(client, datapoints=[datapoint_id])
    await client.put(f"/v1/datapoints/{datapoint_id}", json={"inputs": {"question": 1}})
    await client.put(f"/v1/datasets/{dataset_id}", json={"datapoints": [datapoint_id], "name": "other"})
    await client.put(f"/v1/datapoints/{datapoint_id}", json={"linked_datasets": [dataset_id]})
    assert (await get_dataset(client, dataset_id))["version"] == 1


async def test_changes_at_the_same_time_lose_nothing(client: httpx.AsyncClient) -> None:
    dataset_id = await make_dataset(client)
    made = await asyncio.gather(
        *(make_datapoint(client, number, linked_datasets=[dataset_id]) for number in range(20))
    )
    await asyncio.gather(
        *(client.put(f"/v1/datapoints/{one}", json={"metadata": {"seen": True}}) for one in made),
        *(client.delete(f"/v1/datasets/{dataset_id}/{one}") for one in made[:5]),
    )
    found = await get_dataset(client, dataset_id)
    assert set(found["datapoints"]) == set(made[5:])
    versions = (await client.get(f"/v1/datasets/{dataset_id}/versions")).json()
    assert versions["items"][0]["version"] == versions["total_count"] == found["version"]
    assert versions["items"][0]["datapoints_count"] == 15


async def test_creation_with_a_key_is_made_once(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(
        *(client.post("/v1/datasets", json={"name": "a"}, headers=headers) for _ in range(8)),
        *(client.post("/v1/datapoints", json={"inputs": {"a": 1}}, headers=headers) for _ in range(8)),
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 2
    assert (await client.get("/v1/datasets")).json()["total_count"] == 1
    other = await client.post("/v1/datasets", json={"name": "b"}, headers=headers)
    assert (other.status_code, other.json()["errorCode"]) == (409, "request.idempotency_key_reused")


async def test_older_clients_are_understood(client: httpx.AsyncClient) -> None:
    made = await client.post(
        "/datasets", json={"project": "p", "name": "old", "type": "evaluation", "saved": True}
    )
    listed = (await client.get("/datasets", params={"project": "p"})).json()
    assert [one["id"] for one in listed["testcases"]] == [made.json()["result"]["insertedId"]]
    assert listed["testcases"] == listed["datasets"]
    datapoint = await client.post("/datapoints", json={"project": "p", "ground_truths": {"a": 1}})
    datapoint_id = datapoint.json()["result"]["insertedId"]
    (found,) = (await client.get(f"/datapoints/{datapoint_id}")).json()["datapoint"]
    assert (found["ground_truth"], "ground_truths" in found) == ({"a": 1}, False)
    metrics = (await client.get("/-/metrics")).text
    assert 'referee_web_legacy_names_total{name="ground_truths"}' in metrics


UNKNOWN = str(uuid4())


REFUSED: list[tuple[str, str, object, int]] = [
    ("GET", f"/v1/datapoints/{UNKNOWN}", None, 404),
    ("GET", "/v1/datapoints/663876ec4611c47f4970f0c3", None, 404),
    ("PUT", f"/v1/datapoints/{UNKNOWN}", {"inputs": {}}, 404),
    ("PUT", f"/v1/datasets/{UNKNOWN}", {"name": "x"}, 404),
    ("PUT", "/v1/datasets", {"name": "x"}, 400),
    ("DELETE", f"/v1/datasets/{UNKNOWN}", None, 404),
    ("DELETE", "/v1/datasets", None, 400),
    ("DELETE", f"/v1/datasets/{UNKNOWN}/{UNKNOWN}", None, 404),
    ("POST", f"/v1/datasets/{UNKNOWN}/datapoints", {"data": [{"a": 1}], "mapping": {}}, 404),
    ("POST", "/v1/datasets/x/datapoints", {"data": [], "mapping": {}}, 400),
    ("POST", "/v1/datasets/x/datapoints", {"data": [1], "mapping": {}}, 400),
    ("POST", "/v1/datasets/x/datapoints", {"data": [{"a": 1}]}, 400),
    ("POST", "/v1/datasets", {"name": "x" * 201}, 400),
    ("POST", "/v1/datasets", {"name": ""}, 400),
    ("POST", "/v1/datasets", {"name": 7}, 400),
    ("POST", "/v1/datasets", {"name": "a\x00"}, 400),
    ("POST", "/v1/datasets", {"datapoints": [UNKNOWN]}, 400),
    ("POST", "/v1/datasets", {"datapoints": ["x"]}, 400),
    ("POST", "/v1/datasets", {"datapoints": [""]}, 400),
    ("POST", "/v1/datasets", {"datapoints": "x"}, 400),
    ("POST", "/v1/datasets", [], 400),
    ("POST", "/v1/datapoints", {"inputs": []}, 400),
    ("POST", "/v1/datapoints", {"inputs": {"a": "\x00"}}, 400),
    ("POST", "/v1/datapoints", {"inputs": {"a": TOO_DEEP}}, 400),
    ("POST", "/v1/datapoints", {"history": ["x"]}, 400),
    ("POST", "/v1/datapoints", {"linked_datasets": [UNKNOWN]}, 400),
    ("GET", "/v1/datasets?limit=0", None, 400),
    ("GET", "/v1/datasets?cursor=x", None, 400),
    ("GET", f"/v1/datasets/{UNKNOWN}/datapoints?version=99999999999", None, 400),
]


async def test_what_cannot_be_done_is_said(client: httpx.AsyncClient) -> None:
    answers = [await client.request(method, path, json=body) for method, path, body, _ in REFUSED]
    assert [answer.status_code for answer in answers] == [status for _, _, _, status in REFUSED]
    problems = [answer.json() for answer in answers]
    assert [
        one for one in problems if not one["message"] or not one["errorCode"] or one["status"] < 400
    ] == []


async def test_values_that_no_database_keeps_are_refused(client: httpx.AsyncClient) -> None:
    bodies = [
        body % value
        for body in (
            b'{"inputs": {"a": [%s]}}',
            b'{"history": [{"a": %s}]}',
            b'{"metadata": {"a": {"b": %s}}}',
        )
        for value in (b"NaN", b"1e999", b"-Infinity", b'"\\ud800"', b'"\\u0000"')
    ]
    headers = {"Content-Type": "application/json"}
    answers = [await client.post("/v1/datapoints", content=body, headers=headers) for body in bodies]
    assert {body: answer.status_code for body, answer in zip(bodies, answers, strict=True)} == dict.fromkeys(
        bodies, 400
    )


async def test_numbers_come_back_as_they_were_sent(client: httpx.AsyncClient) -> None:
    inputs = {"big": 2**53 + 1, "huge": 10**300, "small": 1e-300, "float": 0.1, "no": False, "none": None}
    datapoint_id = (await client.post("/v1/datapoints", json={"inputs": inputs})).json()["result"][
        "insertedId"
    ]
    (found,) = (await client.get(f"/v1/datapoints/{datapoint_id}")).json()["datapoint"]
    assert found["inputs"] == inputs


async def test_project_sees_only_its_own(client: httpx.AsyncClient, store: Database) -> None:
    datapoint_id = await make_datapoint(client)
    dataset_id = await make_dataset(client, datapoints=[datapoint_id])
    other = await create_project(store, await find_local_principal(store), "other", "Other")
    _, secret = await create_key(store, other, "key", ["write"])
    headers = {"Authorization": f"Bearer {secret}"}
    statuses = [
        (await client.request(method, path, headers=headers, json=body)).status_code
        for method, path, body in (
            ("GET", f"/v1/datapoints/{datapoint_id}", None),
            ("PUT", f"/v1/datapoints/{datapoint_id}", {"inputs": {}}),
            ("DELETE", f"/v1/datapoints/{datapoint_id}", None),
            ("GET", f"/v1/datasets/{dataset_id}", None),
            ("PUT", f"/v1/datasets/{dataset_id}", {"name": "x"}),
            ("DELETE", f"/v1/datasets/{dataset_id}/{datapoint_id}", None),
            ("DELETE", f"/v1/datasets/{dataset_id}", None),
        )
    ]
    assert statuses == [404] * 7
    refused = await client.post("/v1/datasets", headers=headers, json={"datapoints": [datapoint_id]})
    assert refused.status_code == 400
    assert (await client.get("/v1/datasets", headers=headers)).json()["total_count"] == 0


async def test_reader_changes_nothing(client: httpx.AsyncClient, store: Database, project_id: UUID) -> None:
    from referee.foundation.access import get_project

    _, secret = await create_key(store, await get_project(store, "default"), "key", ["read"])
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await client.post("/v1/datasets", headers=headers, json={})).status_code == 403
    assert (await client.get("/v1/datasets", headers=headers)).status_code == 200


async def test_lists_go_on_where_they_were_cut(client: httpx.AsyncClient) -> None:
    made = [await make_datapoint(client, number) for number in range(5)]
    first = (await client.get("/v1/datapoints", params={"limit": 3})).json()
    rest = (await client.get("/v1/datapoints", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["datapoints"] + rest["datapoints"]] == made
    assert (first["total_count"], rest["next_cursor"]) == (5, None)
    datasets = [await make_dataset(client) for _ in range(3)]
    first = (await client.get("/v1/datasets", params={"limit": 2})).json()
    rest = (await client.get("/v1/datasets", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["datasets"] + rest["datasets"]] == datasets[::-1]


async def test_every_written_datapoint_is_there_at_once(client: httpx.AsyncClient) -> None:
    async def write_and_read(number: int) -> bool:
        datapoint_id = await make_datapoint(client, number)
        single = await client.get(f"/v1/datapoints/{datapoint_id}")
        listed = await client.get("/v1/datapoints", params={"datapoint_ids[]": datapoint_id})
        return single.status_code == 200 and listed.json()["total_count"] == 1

    assert all(await asyncio.gather(*(write_and_read(number) for number in range(100))))


async def test_unknown_dataset_is_not_found_by_the_query(store: Database, project_id: UUID) -> None:
    async with store.reading() as session:
        with pytest.raises(NotFound):
            await queries.get_dataset(session, project_id, uuid4())
