"""Bodies that the API's description shows: of each noun, what people send first.

A test holds every one against the shape of its operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["API_EXAMPLES"]

_SESSION: Final = {
    "session_name": "support-chat",
    "source": "dev",
    "inputs": {"question": "Where is my order?"},
    "metadata": {"customer_tier": "gold"},
}
_EVENT: Final = {
    "event_type": "tool",
    "event_name": "find_order",
    "inputs": {"order_id": 17},
    "outputs": {"state": "sent"},
    "start_time": 1796000000000,
    "end_time": 1796000000250,
}
_CHART: Final = {"name": "Duration of tools", "metric": "duration", "func": "p95", "bucketing": "day"}

API_EXAMPLES: Final[Mapping[str, Any]] = {
    "analysis_create": {"path": "samples/apps/models/model-one/app1", "profile": "quick"},
    "api_key_create": {"name": "ci", "scopes": ["write"], "expires_at": "2030-01-31T00:00:00Z"},
    "chart_create": _CHART,
    "configuration_create": {
        "name": "answer",
        "provider": "openai",
        "parameters": {
            "call_type": "chat",
            "model": "gpt-5-mini",
            "hyperparameters": {"temperature": 0.2},
            "template": [{"role": "system", "content": "Answer in one sentence."}],
        },
        "env": ["dev"],
    },
    "data_plane_key_create": {
        "name": "board",
        "permissions": ["charts:read"],
        "expires_at": "2030-01-01T00:00:00Z",
    },
    "datapoint_create": {
        "inputs": {"question": "2 + 2"},
        "ground_truth": {"answer": "4"},
        "metadata": {"level": "easy"},
    },
    "datapoints_add": {
        "data": [{"question": "2 + 2", "answer": "4"}],
        "mapping": {"inputs": ["question"], "ground_truth": ["answer"]},
    },
    "dataset_create": {"name": "arithmetic", "description": "Sums that a child can do."},
    "event_create": _EVENT,
    "event_legacy_create": {"event": _EVENT},
    "event_legacy_update": {
        "event_id": "01a22b0d-8f77-7000-99cc-16fcf2b1cc6f",
        "feedback": {"rating": 5},
        "metrics": {"is_polite": True},
    },
    "event_update": {"feedback": {"rating": 5}, "metrics": {"is_polite": True}},
    "events_create": {"events": [_EVENT], "single_session": True},
    "events_export": {
        "filters": [{"field": "event_type", "operator": "is", "value": "tool", "type": "string"}],
        "limit": 100,
        "page": 1,
    },
    "events_search": {
        "filters": [{"field": "metrics.accuracy", "operator": "less than", "value": 0.5, "type": "number"}],
        "limit": 100,
    },
    "function_create": {
        "name": "find_order",
        "description": "Finds an order by its number.",
        "parameters": {"type": "object", "properties": {"order_id": {"type": "integer"}}},
    },
    "ingestion_key_create": {"name": "agents in production"},
    "metric_create": {
        "name": "answers",
        "type": "PYTHON",
        "criteria": "def evaluate(event):\n    return bool(event['outputs'])",
        "return_type": "boolean",
    },
    "model_event_create": {
        "model_event": {
            "model": "gpt-5-mini",
            "provider": "openai",
            "messages": [{"role": "user", "content": "2 + 2"}],
            "response": {"role": "assistant", "content": "4"},
            "usage": {"prompt_tokens": 9, "completion_tokens": 1},
        }
    },
    "project_chart_create": _CHART,
    "project_create": {"name": "Support agents", "description": "What answers customers."},
    "queue_create": {"name": "Odd answers", "description": "Look at them by hand."},
    "run_create": {
        "name": "new prompt",
        "status": "pending",
        "metadata": {"offline_dataset_id": "EXT-arithmetic"},
        "configuration": {"model": "gpt-5-mini"},
    },
    "run_update": {"status": "completed"},
    "session_create": _SESSION,
    "session_start": {"session": _SESSION},
}
"""Id of an operation → a body that it takes as JSON."""
