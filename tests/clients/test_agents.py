"""Real, unmodified clients against a real server: traces, experiments, exporters, instrumentations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clients.environments import drive, ensure_client
from tests.llm_server import Request, Response, answer, failure, serve_llm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VERSIONS = ("1.7.0", "1.0.0")


def get_spans(variables: dict[str, str], trace_id: str) -> dict[str, dict[str, Any]]:
    """Return the spans of a trace by name."""
    headers = {"Authorization": f"Bearer {variables['HH_API_KEY']}"}
    page = httpx.get(f"{variables['HH_API_URL']}/v1/traces/{trace_id}", headers=headers).json()
    return {span["event"]["event_name"]: span for span in page["items"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_traced_functions_are_there_at_once(
    version: str, variables: dict[str, str], clients_dir: Path
) -> None:
    seen = drive(ensure_client(clients_dir, f"honeyhive-{version}"), "drive_tracing.py", variables)
    every = ["agent", "call a model", "fail", "fail_error", "look up", "one conversation"]
    assert seen == {
        "returned": "answer to cats",
        "tree": [
            [0, "one conversation", "session", None],
            [1, "agent", "chain", None],
            [2, "look up", "tool", None],
            [3, "fail", "tool", "ValueError: no cats"],
            [3, "fail_error", "tool", "no cats"],
            [2, "call a model", "model", None],
        ],
        "session": ["test", "free", {"user_id": "user-7"}, {"stars": 4}],
        "sums": [5, 1, 17, 0.25],
        "inputs": {"question": "cats"},
        "outputs": {"result": "answer to cats"},
        "model": [{"model": "small", "provider": "local"}, {"quality": 0.5}, 12, 0.25],
        "filters": {
            "is": ["agent"],
            "is not": every[1:],
            "contains": ["look up"],
            "not contains": ["look up"],
            "exists": ["call a model"],
            "not exists": ["agent", "call a model", "look up", "one conversation"],
            "greater than": ["call a model"],
            "less than": ["call a model"],
            "after": every,
            "before": [],
            "boolean": ["look up"],
        },
    }


@pytest.mark.parametrize(("version", "kinds"), [("1.7.0", ["local", "managed"]), ("1.0.0", ["local"])])
def test_experiments_are_evaluated_and_compared(
    version: str, kinds: list[str], variables: dict[str, str], clients_dir: Path
) -> None:
    """Version 1.0.0 cannot read the datapoints of a dataset of the server: it takes the answer for a dict."""
    seen = drive(
        ensure_client(clients_dir, f"honeyhive-{version}"), "drive_experiments.py", variables, *kinds
    )
    two_thirds = pytest.approx(2 / 3)
    compared = {
        "old": _ended(two_thirds),
        "new": _ended(1.0),
        "common": 3,
        "delta": [two_thirds, 1.0],
        "improved": ["is_right"],
        "pairs": [3, 3],
        "names": ["new", "old"],
        "deleted": [True, True],
    }
    assert {kind: {**seen[kind], "datasets": None} for kind in kinds} == {
        kind: {**compared, "datasets": None} for kind in kinds
    }
    assert all(dataset_id.startswith("EXT-") for dataset_id in seen["local"]["datasets"])
    assert seen.get("is_dataset_known", True)


def _ended(is_right: Any) -> dict[str, Any]:
    return {
        "status": ["completed", "completed"],
        "counts": [3, 3],
        "names": ["is_right"],
        "is_right": is_right,
    }


def test_each_exporter_of_opentelemetry_brings_the_same_complete_trace(
    variables: dict[str, str], clients_dir: Path
) -> None:
    sent = drive(ensure_client(clients_dir, "opentelemetry"), "drive_exporters.py", variables)
    assert [was_taken for _, was_taken in sent.values()] == [True, True, True]
    for trace_id, _ in sent.values():
        spans = get_spans(variables, trace_id)
        order, chat, ship = spans["order"], spans["chat"], spans["ship"]
        assert order["resource"]["attributes"]["service.name"] == "shop"
        assert order["resource"]["attributes"]["deployment.id"] == 7
        assert [order["scope"]["name"], order["scope"]["version"]] == ["shop.orders", "2.1"]
        assert [event["name"] for event in order["span_events"]] == ["paid"]
        assert order["span_events"][0]["attributes"] == {"amount": 2**53 + 1}
        assert order["links"][0]["attributes"] == {"why": "retry"}
        assert order["links"][0]["span_id"] == "0000000000000def"
        assert [chat["kind"], chat["event"]["event_type"], chat["model"], chat["provider"]] == [
            3, "model", "small", "local",
        ]  # fmt: skip
        assert [chat["prompt_tokens"], chat["completion_tokens"]] == [12, 5]
        assert chat["event"]["metadata"]["flags"] == [True, False]
        assert chat["event"]["parent_id"] == ship["event"]["parent_id"] == order["event"]["event_id"]
        assert [ship["status"], ship["event"]["error"]] == ["error", "no lorry"]


def script(request: Request) -> Response:
    """Answer, or refuse what asks for it."""
    return failure(400, "not that") if "fail" in request.text else answer("Mia")


def test_openinference_traces_calls_of_a_model_completely(
    variables: dict[str, str], clients_dir: Path
) -> None:
    python = ensure_client(clients_dir, "openinference")
    with serve_llm(script) as model:
        seen = drive(python, "drive_openinference.py", {**variables, "MODEL_URL": model.url})
    headers = {"Authorization": f"Bearer {variables['HH_API_KEY']}"}
    page = httpx.get(f"{variables['HH_API_URL']}/v1/traces/{seen['trace_id']}", headers=headers).json()
    root, said, refused = sorted(page["items"], key=lambda span: int(span["start_time_unix_nano"]))
    assert [seen["said"], root["event"]["event_name"], root["event"]["event_type"]] == [
        "Mia",
        "agent",
        "chain",
    ]
    assert [span["event"]["parent_id"] for span in (said, refused)] == [root["event"]["event_id"]] * 2
    assert [said["event"]["event_type"], said["model"], said["event"]["error"]] == [
        "model",
        "scripted-1",
        None,
    ]
    assert said["event"]["inputs"]["chat_history"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Name a cat."},
    ]
    assert [said["event"]["outputs"]["role"], said["event"]["outputs"]["content"]] == ["assistant", "Mia"]
    assert said["event"]["config"]["temperature"] == 0.5
    assert [said["prompt_tokens"], said["completion_tokens"], said["total_tokens"]] == [100, 20, 120]
    assert refused["status"] == "error"
    assert "not that" in refused["event"]["error"]
