"""Runs over HTTP, in the shapes that the client reads."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from tests.experiments.runs.conftest import MakeRun

from referee.core.ids import new_id
from referee.experiments.datasets.tables import DatasetRow
from referee.foundation.access import get_project
from referee.foundation.store import Database


async def create(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/runs", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_run_keeps_the_clients_id_and_is_there_at_once(client: httpx.AsyncClient) -> None:
    run_id = str(uuid4())
    body = {
        "run_id": run_id,
        "name": "baseline",
        "metadata": {"git": {"commit": "abc"}, "offline_dataset_id": "EXT-1"},
        "datapoint_ids": ["EXT-a"],
        "evaluators": ["accuracy"],
        "configuration": {"function": "answer"},
    }
    created = await create(client, **body)
    assert created["run_id"] == run_id
    run = (await client.get(f"/v1/runs/{run_id}")).json()["evaluation"]
    assert run == created["evaluation"]
    assert run["metadata"] == {
        "git": {"commit": "abc"},
        "offline_dataset_id": "EXT-1",
        "datapoint_ids": ["EXT-a"],
        "evaluators": ["accuracy"],
    }
    assert (run["dataset_id"], run["dataset_name"], run["status"], run["is_active"]) == (
        "EXT-1",
        None,
        "pending",
        True,
    )
    assert (run["event_ids"], run["results"], run["scope_type"]) == ([], {}, "project")


async def test_everything_may_be_left_out_and_the_server_chooses(client: httpx.AsyncClient) -> None:
    created = await create(client)
    assert created["evaluation"]["name"] == f"run {created['run_id'][:8]}"


async def test_the_same_creation_again_is_the_same_run_and_another_one_is_refused(
    client: httpx.AsyncClient,
) -> None:
    body = {"run_id": str(uuid4()), "name": "one"}
    first = await create(client, **body)
    assert await create(client, **body) == first
    refused = await client.post("/v1/runs", json={**body, "name": "other"})
    assert (refused.status_code, refused.json()["errorCode"]) == (409, "run.id_taken")


async def test_an_update_merges_objects_and_keeps_what_is_not_sent(client: httpx.AsyncClient) -> None:
    run_id = (await create(client, name="one", metadata={"git": 1}, results={"a": 1}))["run_id"]
    answer = await client.put(
        f"/v1/runs/{run_id}",
        json={
            "status": "completed",
            "event_ids": ["s1"],
            "metadata": {"offline_dataset_id": "EXT-9"},
            "results": {"b": 2},
            "configuration": {"c": 3},
        },
    )
    run = answer.json()["evaluation"]
    assert (run["metadata"], run["results"]) == ({"git": 1, "offline_dataset_id": "EXT-9"}, {"a": 1, "b": 2})
    assert (run["name"], run["status"], run["event_ids"], run["configuration"]) == (
        "one",
        "completed",
        ["s1"],
        {"c": 3},
    )
    assert (run["dataset_id"], answer.json()["warning"]) == ("EXT-9", None)
    assert run["updated_at"] is not None
    other = await client.put(f"/v1/runs/{run_id}", json={"dataset_id": "EXT-other"})
    assert other.json()["warning"] == "The dataset of a run cannot be changed; it stays as it was."


async def test_a_managed_dataset_gives_its_name_and_an_unknown_one_is_refused(
    client: httpx.AsyncClient, database: Database
) -> None:
    project = await get_project(database, "default")
    dataset_id = str(new_id())
    async with database.transaction() as session:
        session.add(DatasetRow(dataset_id=UUID(dataset_id), project_id=project.project_id, name="Golden"))
    run = (await create(client, dataset_id=dataset_id))["evaluation"]
    assert (run["dataset_id"], run["dataset_name"]) == (dataset_id, "Golden")
    unknown = await client.post("/v1/runs", json={"dataset_id": str(uuid4())})
    assert (unknown.status_code, unknown.json()["errorCode"]) == (404, "dataset.not_found")


async def test_a_deleted_run_is_gone(client: httpx.AsyncClient) -> None:
    run_id = (await create(client))["run_id"]
    deleted = await client.delete(f"/v1/runs/{run_id}")
    assert (deleted.status_code, deleted.json()) == (200, {"id": run_id, "deleted": True})
    for method in ("GET", "PUT", "DELETE"):
        answer = await client.request(method, f"/v1/runs/{run_id}", json={})
        assert (answer.status_code, answer.json()["errorCode"]) == (404, "run.not_found")


async def test_runs_are_paged_filtered_and_sorted(client: httpx.AsyncClient) -> None:
    ids = [
        (await create(client, name=name, status=status, dataset_id=dataset))["run_id"]
        for name, status, dataset in (
            ("Alpha 1", "completed", "EXT-1"),
            ("beta", "failed", "EXT-2"),
            ("alpha_2", "completed", "EXT-1"),
        )
    ]
    everything = (await client.get("/v1/runs")).json()
    assert [one["run_id"] for one in everything["evaluations"]] == ids[::-1]
    assert everything["pagination"] == {
        "page": 1, "limit": 20, "total": 3, "total_unfiltered": 3, "total_pages": 1,
        "has_next": False, "has_prev": False,
    }  # fmt: skip

    async def names(**query: Any) -> list[str]:
        answer = await client.get("/v1/runs", params=query)
        assert answer.status_code == 200, answer.text
        return [one["name"] for one in answer.json()["evaluations"]]

    assert await names(name="ALPHA") == ["alpha_2", "Alpha 1"]
    assert await names(name="_") == ["alpha_2"]
    assert await names(status="failed") == ["beta"]
    assert await names(dataset_id="EXT-1", sort_by="name", sort_order="asc") == ["Alpha 1", "alpha_2"]
    assert await names(**{"run_ids[]": ids[:2], "limit": 1}) == ["beta"]
    assert await names(run_ids=ids[0]) == ["Alpha 1"]
    assert await names(dateRange="{'$gte': '2020-01-01T00:00:00Z', '$lte': '2021-01-01T00:00:00Z'}") == []
    assert len(await names(dateRange='{"$gte": 1500000000000}')) == 3
    assert len(await names(dateRange='{"relative": "7d"}')) == 3
    second = (await client.get("/v1/runs", params={"limit": 2, "page": 2})).json()
    assert (len(second["evaluations"]), second["pagination"]["has_prev"]) == (1, True)


async def test_who_names_runs_gets_all_of_them_without_a_limit(client: httpx.AsyncClient) -> None:
    ids = [(await create(client))["run_id"] for _ in range(25)]
    answer = (await client.get("/v1/runs", params={"run_ids[]": ids})).json()
    assert (len(answer["evaluations"]), answer["pagination"]["limit"]) == (25, 25)


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 501},
        {"name": "nul \0"},
        {"name": "half \ud800"},
        {"name": 7},
        {"status": "done"},
        {"run_id": "schema"},
        {"run_id": "a/b"},
        {"run_id": "x" * 201},
        {"metadata": []},
        {"metadata": {"deep": "nul \0"}},
        {"event_ids": "s1"},
        {"event_ids": [1]},
        [],
    ],
)
async def test_what_cannot_be_a_run_answers_400_with_a_sentence(client: httpx.AsyncClient, body: Any) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/v1/runs", content=json.dumps(body), headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]
    assert answer.json()["errorCode"]


@pytest.mark.parametrize(
    "content", [b'{"metadata": {"x": NaN}}', b'{"metadata": {"x": 1e999}}', b'{"name":', b"\xff"]
)
async def test_what_is_no_json_answers_400(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/v1/runs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"page": "0"},
        {"page": "x"},
        {"sort_by": "id"},
        {"status": "done"},
        {"dateRange": "[1"},
        {"dateRange": "{'$gte': 'yesterday'}"},
        {"dateRange": "{'$gte': 1e300}"},
        {"dateRange": "__import__('os')"},
    ],
)
async def test_a_query_that_cannot_be_understood_answers_400(
    client: httpx.AsyncClient, query: dict[str, str]
) -> None:
    answer = await client.get("/v1/runs", params=query)
    assert (answer.status_code, bool(answer.json()["message"])) == (400, True)


async def test_older_clients_leave_v1_out_and_wrap_the_run(client: httpx.AsyncClient) -> None:
    answer = await client.post("/runs", json={"run": {"name": "old", "project": "p", "event_ids": ["a"]}})
    run_id = answer.json()["run_id"]
    assert answer.json()["evaluation"]["event_ids"] == ["a"]
    changed = await client.put(f"/runs/{run_id}", json={"run": {"name": "older"}})
    assert changed.json()["evaluation"]["name"] == "older"
    assert (await client.get("/runs")).json()["evaluations"][0]["name"] == "older"
    assert (await client.get(f"/runs/{run_id}/result")).status_code == 200
    assert (await client.delete(f"/runs/{run_id}")).json()["deleted"] is True


async def test_the_result_of_a_run_without_metrics_has_empty_lists(client: httpx.AsyncClient) -> None:
    run_id = (await create(client, status="running"))["run_id"]
    result = (await client.get(f"/v1/runs/{run_id}/result")).json()
    assert (result["status"], result["success"]) == ("running", True)
    assert (result["metrics"], result["datapoints"]) == (
        {"aggregation_function": "average", "details": []},
        [],
    )


async def test_a_result_sums_up_what_the_sessions_scored(
    client: httpx.AsyncClient, make_run: MakeRun
) -> None:
    scores = {
        "EXT-1": {"accuracy": 0.5, "ok": True, "ok_explanation": "fits", "tone": "kind"},
        "EXT-2": {"accuracy": 1.0, "ok": False},
    }
    run_id = await make_run("first", scores, passing_ranges={"accuracy": {"min": 0.4}})
    result = (await client.get(f"/v1/runs/{run_id}/summary")).json()
    assert (result["passed"], result["failed"], result["success"]) == (["EXT-1"], ["EXT-2"], False)
    details = {one["metric_name"]: one for one in result["metrics"]["details"]}
    assert set(details) == {"accuracy", "ok"}
    assert (details["accuracy"]["aggregate"], details["accuracy"]["values"]) == (0.75, [0.5, 1.0])
    assert details["accuracy"]["passing_range"] == {"min": 0.4, "max": None}
    assert (details["ok"]["aggregate"], details["ok"]["values"]) == (0.5, [True, False])
    assert details["ok"]["datapoints"] == {"passed": ["EXT-1"], "failed": ["EXT-2"]}
    metrics = {one["name"]: one for one in result["datapoints"][0]["metrics"]}
    assert (metrics["ok"]["explanation"], metrics["tone"]["value"], metrics["tone"]["text"]) == (
        "fits",
        None,
        "kind",
    )
    highest = await client.get(f"/v1/runs/{run_id}/result", params={"aggregate_function": "max"})
    assert highest.json()["metrics"]["details"][0]["aggregate"] == 1.0
    assert (await client.get("/v1/runs")).json()["metrics"] == ["accuracy", "ok"]
    filtered = await client.get(
        f"/v1/runs/{run_id}/result",
        params={
            "filters[]": "{'field': 'metrics.accuracy', 'operator': 'greater than', 'value': 0.7, 'type': 'number'}"
        },
    )
    assert filtered.json()["metrics"]["details"][0]["values"] == [1.0]


@pytest.mark.parametrize(
    "query", [{"aggregate_function": "p42"}, {"filters[]": "{'field': 'x'}"}, {"filters[]": "x("}]
)
async def test_a_result_asked_for_in_a_way_that_there_is_not_answers_400(
    client: httpx.AsyncClient, query: dict[str, str]
) -> None:
    run_id = (await create(client))["run_id"]
    assert (await client.get(f"/v1/runs/{run_id}/result", params=query)).status_code == 400


async def test_metrics_and_schema_of_a_run(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    run_id = await make_run("first", {"EXT-1": {"accuracy": 0.5}, "EXT-2": {}})
    metrics = (await client.get(f"/v1/runs/{run_id}/metrics")).json()
    assert metrics["totalEvents"] == 1
    [event] = metrics["events"]
    assert (event["event_name"], event["metadata"], event["metrics"]) == (
        "answer",
        {"datapoint_id": "EXT-1"},
        {"accuracy": 0.5},
    )
    for path in (
        f"/v1/runs/{run_id}/schema",
        "/v1/runs/schema",
        "/v1/events/schema",
        f"/events/schema?evaluation_id={run_id}&dateRange={{'relative': '7d'}}",
    ):
        schema = (await client.get(path)).json()
        assert {"name": "metrics.accuracy", "event_type": "chain"} in schema["fields"]
        assert schema["mappings"] == {}


async def test_a_comparison_reads_as_the_client_expects(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    old = await make_run(
        "old", {"EXT-1": {"accuracy": 0.5}, "EXT-2": {"accuracy": 0.5}, "EXT-3": {"accuracy": 1}}
    )
    new = await make_run(
        "new", {"EXT-1": {"accuracy": 1.0}, "EXT-2": {"accuracy": 0.25}, "EXT-4": {"accuracy": 1}}
    )
    both = [(await client.get(f"/v1/runs/{new}/{word}/{old}")).json() for word in ("compare-with", "compare")]
    assert both[0] == both[1]
    compared = both[0]
    assert compared["commonDatapoints"] == ["EXT-1", "EXT-2"]
    assert (compared["old_run"]["run_id"], compared["new_run"]["run_id"]) == (old, new)
    [metric] = compared["metrics"]
    assert (metric["old_aggregate"], metric["new_aggregate"], metric["difference"]) == (0.5, 0.625, 0.125)
    assert (metric["improved"], metric["degraded"], metric["same_count"]) == (["EXT-1"], ["EXT-2"], 0)
    assert (metric["found_count"], metric["old_values"], metric["new_values"]) == (2, [0.5, 0.5], [1.0, 0.25])
    assert {"event_name": "answer", "event_type": "chain", "presence": "both"} in compared["event_details"]


async def test_pairs_of_events_in_both_forms_of_the_address(
    client: httpx.AsyncClient, make_run: MakeRun
) -> None:
    old = await make_run("old", {f"EXT-{n}": {} for n in range(3)})
    new = await make_run("new", {f"EXT-{n}": {} for n in range(1, 4)})
    query: dict[str, str | int] = {"event_name": "answer", "event_type": "chain", "limit": 1, "page": 2}
    plain = await client.get(f"/v1/runs/{new}/compare/{old}/events", params=query)
    older = await client.get("/v1/runs/compare/events", params={"run_id_1": new, "run_id_2": old, **query})
    assert plain.json() == older.json()
    assert plain.json()["totalEvents"] == 2
    [pair] = plain.json()["events"]
    assert pair["datapoint_id"] == pair["event_1"]["metadata"]["datapoint_id"] == "EXT-2"
    assert (pair["event_1"]["outputs"], pair["event_2"]["outputs"]) == (
        {"answer": "new on EXT-2"},
        {"answer": "old on EXT-2"},
    )
    sessions = (await client.get(f"/v1/runs/{new}/compare/{old}/events")).json()
    assert [one["event_1"]["event_type"] for one in sessions["events"]] == ["session", "session"]


async def test_statistics_of_two_runs(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    old = await make_run("old", {f"EXT-{n}": {"accuracy": 0.1 * (n % 3)} for n in range(8)})
    new = await make_run("new", {f"EXT-{n}": {"accuracy": 0.5 + 0.1 * (n % 2)} for n in range(8)})
    found = (await client.get(f"/v1/runs/{new}/compare/{old}/statistics")).json()
    [metric] = found["metrics"]
    assert (metric["verdict"], metric["shared_count"], found["looks_count"]) == ("better", 8, 1)
    assert metric["difference"]["low"] > 0
    unknown = await client.get(f"/v1/runs/{new}/compare/{uuid4()}/statistics")
    assert (unknown.status_code, unknown.json()["errorCode"]) == (404, "run.not_found")
