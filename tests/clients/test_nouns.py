"""Real, unmodified clients against a real server: datasets, configurations, metrics, charts, tools, projects."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clients.environments import ensure_client
from tests.programs import Referee

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def clients_dir(tools_dir: Path) -> Path:
    """Folder of the clients' environments, which outlives the test."""
    folder = tools_dir.parent / "test-clients"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def variables(referee: Referee) -> Iterator[dict[str, str]]:
    """Start a server, make keys; what the clients find in their environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = referee("up", "--detach", "--port", str(port))
    assert started.returncode == 0, started.stderr
    url = f"http://127.0.0.1:{port}"
    key = referee("key", "create", "sdk", "--scope", "admin").stdout.strip()
    headers = {"Authorization": f"Bearer {key}"}
    (project,) = httpx.get(f"{url}/v1/projects", headers=headers).json()["projects"]
    yield {
        "HH_API_URL": url,
        "HH_API_KEY": key,
        "HH_WRITE_KEY": referee("key", "create", "writer").stdout.strip(),
        "HH_DATA_PLANE_API_KEY": referee("key", "create", "boards", "--kind", "data_plane").stdout.strip(),
        "HH_PROJECT_ID": project["id"],
        "PATH": "/usr/bin:/bin",
    }
    referee("down")


def drive(python: Path, script: str, variables: dict[str, str]) -> Any:
    """Run a script by a client's interpreter and return the JSON that it prints."""
    path = Path(__file__).parent / script
    result = subprocess.run(
        [str(python), str(path)], env=variables, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_client_1_7_0_reads_back_everything_it_wrote(variables: dict[str, str], clients_dir: Path) -> None:
    seen = drive(ensure_client(clients_dir, "honeyhive-1.7.0"), "drive_nouns.py", variables)
    chart = {
        "found": ["cost per hour", "hour", {"$gte": 1.0, "$lte": 2.5}, 1],
        "count": 1,
        "is_deleted": True,
    }
    assert seen == {
        "datasets": {
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
