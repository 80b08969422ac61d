"""Run by the environment of the contract's tools: goes through the main nouns by the client made from the document.

Every body is the document's own example of it. An answer that the document does
not know makes the client raise.
"""
# mypy: ignore-errors

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

DOCUMENT = json.loads(Path(os.environ["OPENAPI_DOCUMENT"]).read_text("utf-8"))
sys.path.insert(0, os.environ["GENERATED_PARENT"])
OPERATIONS = {
    operation["operationId"]: operation
    for operations in DOCUMENT["paths"].values()
    for operation in operations.values()
}
CLIENT = import_module("generated_client").AuthenticatedClient(
    base_url=os.environ["REFEREE_URL"], token=os.environ["REFEREE_KEY"], raise_on_unexpected_status=True
)


def find(name: str) -> tuple[ModuleType, dict[str, object]]:
    """Return the module of an operation, and its description."""
    operation = OPERATIONS[name]
    tag = operation["tags"][0].replace(" ", "_")
    return import_module(f"generated_client.api.{tag}.{name}"), operation


def example(name: str) -> object:
    """Return the example of an operation's body, as the client's own class."""
    _, operation = find(name)
    content = operation["requestBody"]["content"]["application/json"]
    kind = content["schema"]["$ref"].rpartition("/")[2]
    models = import_module("generated_client.models")
    return getattr(models, kind).from_dict(content["example"])


def call(name: str, **arguments: object) -> dict[str, object]:
    """Call an operation; an answer of another class than the documented one is told as it is."""
    answered = find(name)[0].sync_detailed(client=CLIENT, **arguments)
    assert answered.parsed is not None, (name, answered.status_code, answered.content[:300])
    return {"status": int(answered.status_code), **answered.parsed.to_dict()}


def drive() -> dict[str, object]:
    """Make, read, change and delete one thing of each noun."""
    session = call("session_start", body=example("session_start"))
    event = call("event_create", body=example("event_create"))
    call("event_update", event_id=event["event_id"], body=example("event_update"))
    exported = call("events_export", body=example("events_export"))
    dataset_id = call("dataset_create", body=example("dataset_create"))["result"]["insertedId"]
    added = call("datapoints_add", dataset_id=dataset_id, body=example("datapoints_add"))["datapoint_ids"]
    datapoint = call("datapoint_get", datapoint_id=added[0])["datapoint"][0]
    configuration = call("configuration_create", body=example("configuration_create"))["insertedId"]
    metric_id = call("metric_create", body=example("metric_create"))["metric_id"]
    chart = call("chart_create", body=example("chart_create"))["data"]
    queue = call("queue_create", body=example("queue_create"))
    run_id = call("run_create", body=example("run_create"))["run_id"]
    run = call("run_update", run_id=run_id, body=example("run_update"))["evaluation"]
    result = call("run_result_get", run_id=run_id)
    key = call("api_key_create", body=example("api_key_create"))
    return {
        "session": [session["event_type"], session["event_name"]],
        "event": [one["feedback"] for one in exported["events"] if one["event_id"] == event["event_id"]],
        "datapoint": [datapoint["inputs"], datapoint["ground_truth"]],
        "configuration": call("configuration_get", configuration_id=configuration)["name"],
        "metric": [one["id"] == metric_id for one in call("metrics_list")["metrics"]],
        "chart": call("chart_get", chart_id=chart["id"])["data"]["name"],
        "queue": [queue["status"], call("queue_get", queue_id=queue["queue"]["id"])["name"]],
        "run": [run["status"], result["success"], result["status"]],
        "key": [key["status"], call("api_key_revoke", key_id=key["key_id"])["revoked_at"] is not None],
        "deleted": call("dataset_delete", dataset_id=dataset_id)["result"]["id"] == dataset_id,
        "gone": call("dataset_get", dataset_id=dataset_id)["code"],
        "analyses": call("analyses_list")["total_count"],
        "health": find("health_get")[0].sync_detailed(client=CLIENT).parsed.to_dict()["status"],
    }


print(json.dumps(drive()))
