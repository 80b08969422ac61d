"""One server that real clients talk to, and their environments."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest


@pytest.fixture(scope="session")
def clients_dir(tools_dir: Path) -> Path:
    """Folder of the clients' environments, which outlives the tests."""
    folder = tools_dir.parent / "test-clients"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory, tools_dir: Path) -> Iterator[dict[str, str]]:
    """Start a server, make keys; what the clients find in their environment."""
    port, grpc_port = find_port(), find_port()
    environment = {
        **os.environ,
        "REFEREE_HOME": str(tmp_path_factory.mktemp("clients") / "home"),
        "REFEREE_TOOLS_DIR": str(tools_dir),
        "REFEREE_DATABASE_IDLE_STOP_S": "0",
        "REFEREE_OTLP_GRPC_PORT": str(grpc_port),
    }

    def referee(*arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "referee", *arguments],
            env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    referee("up", "--detach", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    key = referee("key", "create", "sdk", "--scope", "admin")
    headers = {"Authorization": f"Bearer {key}"}
    (project,) = httpx.get(f"{url}/v1/projects", headers=headers).json()["projects"]
    yield {
        "HH_API_URL": url,
        "HH_API_KEY": key,
        "HH_WRITE_KEY": referee("key", "create", "writer"),
        "HH_DATA_PLANE_API_KEY": referee("key", "create", "boards", "--kind", "data_plane"),
        "HH_PROJECT_ID": project["id"],
        "GRPC_ADDRESS": f"127.0.0.1:{grpc_port}",
        "PATH": "/usr/bin:/bin",
    }
    referee("down")


def find_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
