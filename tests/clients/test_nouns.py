"""Real, unmodified clients against a real server: datasets, configurations, metrics, charts, tools, projects."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.clients.environments import drive, ensure_client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_client_1_7_0_reads_back_everything_it_wrote(variables: dict[str, str], clients_dir: Path) -> None:
    seen = drive(ensure_client(clients_dir, "honeyhive-1.7.0"), "drive_nouns.py", variables)
    chart = {
        "found": ["cost per hour", "hour", {"$gte": 1.0, "$lte": 2.5}, 1],
        "count": 1,
        "is_deleted": True,
    }
    assert seen == {
        "datasets": {
            "late_truth": [None, {"a": 6}, {"a": 8}],
            "datapoint": [{"q": 3}, {"a": 6}, {"k": "v"}],
            "by_ids": 3,
            "by_dataset": 3,
            "is_in_order": True,
            "by_name": [True],
            "is_removed": True,
            "is_datapoint_deleted": True,
            "is_deleted": True,
            "left": 0,
        },
        "configurations": {
            "updated": [True, 1, 1],
            "found": [True, "prompt 2", "LLM", ["dev"], ["u"]],
            "template": [["system", "Hi"]],
            "deleted_count": 1,
        },
        "metrics": {
            "metric": ["accuracy", "new", 10],
            "filter": [["event_type", "is", "model"]],
            "version": ["v3", False, True],
            "versions": [["v1", False, "Created."], ["v2", False, "Updated."], ["v3", True, "twice"]],
            "criteria": "def f(event): return 2",
            "is_deleted": True,
        },
        "charts": chart,
        "project_charts": chart,
    }


def test_client_0_2_57_keeps_tools_and_projects(variables: dict[str, str], clients_dir: Path) -> None:
    seen = drive(ensure_client(clients_dir, "honeyhive-0.2.57"), "drive_legacy.py", variables)
    assert seen == {
        "tools": {
            "found": [True, "default", "find", "Finds", {"type": "object", "n": 1}],
            "kind": "function",
            "left": 0,
        },
        "projects": {"found": [True, "Team C", "agents"], "left": ["Default"]},
        "refused": "403 Forbidden route",
    }


def test_client_1_0_0_reads_back_what_that_version_has(variables: dict[str, str], clients_dir: Path) -> None:
    seen = drive(ensure_client(clients_dir, "honeyhive-1.0.0"), "drive_nouns.py", variables)
    assert sorted(seen) == ["configurations", "datasets", "metrics"]
    assert seen["metrics"] == {
        "metric": ["accuracy", "new", 10],
        "filter": [["event_type", "is", "model"]],
        "is_deleted": True,
    }
