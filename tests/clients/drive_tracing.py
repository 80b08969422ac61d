"""Run by an environment of honeyhive 1.x: traces functions, and reads every event back at once."""
# mypy: ignore-errors

from __future__ import annotations

import json
import os

from honeyhive import HoneyHive, HoneyHiveTracer, enrich_span, trace

tracer = HoneyHiveTracer.init(
    api_key=os.environ["HH_API_KEY"],
    project="default",
    session_name="one conversation",
    source="test",
    disable_batch=False,
)


@trace(event_type="model", event_name="call a model")
def call_model(question: str) -> str:
    """Answer, and say what it took."""
    enrich_span(
        metadata={"prompt_tokens": 12, "completion_tokens": 5, "cost": 0.25},
        metrics={"quality": 0.5},
        config={"model": "small", "provider": "local"},
    )
    return f"answer to {question}"


@trace(event_type="tool", event_name="look up")
def look_up(word: str) -> dict[str, str]:
    """Find nothing, twice."""
    try:
        fail(word)
    except ValueError:
        enrich_span(feedback={"is_found": False})
    return {"word": word}


@trace(event_type="tool", event_name="fail")
def fail(word: str) -> None:
    """Raise."""
    raise ValueError(f"no {word}")


@trace(event_type="chain", event_name="agent")
def run_agent(question: str) -> str:
    """Ask a model after a look into a book."""
    look_up(question)
    return call_model(question)


def describe(node: dict, depth: int = 0) -> list[list[object]]:
    """Return the events below a node: depth, name, type and error."""
    below = [line for child in node["children"] for line in describe(child, depth + 1)]
    return [[depth, node["event_name"], node["event_type"], node["error"]], *below]


def read_tree(url: str, session_id: str) -> dict:
    """Return a session as a tree, which the SDK itself has no method for any more."""
    import httpx

    headers = {"Authorization": f"Bearer {os.environ['HH_API_KEY']}"}
    return httpx.get(f"{url}/v1/sessions/{session_id}", headers=headers).json()


def export(client: HoneyHive, field: str, operator: str, value: object, kind: str) -> list[str]:
    """Return the names of events of this session that a filter leaves."""
    wanted = {"field": field, "operator": operator, "value": value, "type": kind}
    mine = {"field": "session_id", "operator": "is", "value": tracer.session_id, "type": "string"}
    found = client.events.export(project="default", filters=[mine, wanted])
    return sorted(
        event["event_name"] if isinstance(event, dict) else event.event_name for event in found.events
    )


def main() -> None:
    """Trace, flush, read."""
    returned = run_agent("cats")
    tracer.enrich_session(
        metadata={"plan": "free"}, user_properties={"user_id": "user-7"}, feedback={"stars": 4}
    )
    tracer.force_flush()
    client = HoneyHive(api_key=os.environ["HH_API_KEY"])
    tree = read_tree(os.environ["HH_API_URL"], tracer.session_id)
    (agent,) = tree["children"]
    model = next(child for child in agent["children"] if child["event_type"] == "model")
    seen = {
        "returned": returned,
        "tree": describe(tree),
        "session": [tree["source"], tree["metadata"]["plan"], tree["user_properties"], tree["feedback"]],
        "sums": [
            tree["metadata"][name] for name in ("num_events", "num_model_events", "total_tokens", "cost")
        ],
        "inputs": agent["inputs"],
        "outputs": agent["outputs"],
        "model": [
            model["config"],
            model["metrics"],
            model["metadata"]["prompt_tokens"],
            model["metadata"]["cost"],
        ],
        "filters": {
            "is": export(client, "event_name", "is", "agent", "string"),
            "is not": export(client, "event_name", "is not", "agent", "string"),
            "contains": export(client, "event_name", "contains", "look", "string"),
            "not contains": export(client, "event_name", "not contains", "a", "string"),
            "exists": export(client, "metrics.quality", "exists", None, "number"),
            "not exists": export(client, "error", "not exists", None, "string"),
            "greater than": export(client, "metadata.cost", "greater than", 0.2, "number"),
            "less than": export(client, "metrics.quality", "less than", 0.6, "number"),
            "after": export(client, "start_time", "after", "2020-01-01T00:00:00Z", "datetime"),
            "before": export(client, "start_time", "before", "2020-01-01T00:00:00Z", "datetime"),
            "boolean": export(client, "feedback.is_found", "is", False, "boolean"),
        },
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
