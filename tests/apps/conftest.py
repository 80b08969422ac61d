"""An apps room with a database of its own, and small apps that need nothing installed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import pytest

from referee.apps import AppSource, AppsRoom
from referee.apps.running import read_app_source
from referee.foundation.access import get_project
from referee.foundation.sandbox import Command, Limits, NetworkHandle, run_command
from referee.foundation.settings import Settings
from referee.foundation.store import Database, open_artifacts
from referee.tools.install import ToolInstaller

WriteApp: TypeAlias = Callable[..., Path]
ENDING_S = 20.0

SERVER = """
import http.server
import os


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        {answer}

    def log_message(self, *words):
        print("request", self.path, flush=True)


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

ANSWER_OK = """
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")
"""


@pytest.fixture
async def room(
    database_settings: Settings, database: Database, request: pytest.FixtureRequest
) -> AsyncIterator[AppsRoom]:
    """An apps room whose apps stop as soon as nobody holds them; none of them outlives the test."""
    changes: Mapping[str, object] = getattr(request, "param", {})
    settings = database_settings.model_copy(
        update={"app_linger_s": 0.2, "app_start_timeout_s": 20.0, "app_lease_ttl_s": 10.0, **changes}
    )
    opened = AppsRoom(
        settings=settings,
        database=database,
        artifacts=open_artifacts(settings),
        install_kit=ToolInstaller(settings.tools_path, advisories_dir=settings.advisories_dir),
    )
    yield opened
    await asyncio.to_thread(end_hosts, settings)


@pytest.fixture
async def project_id(database: Database) -> UUID:
    """The project ``default``."""
    return (await get_project(database, "default")).project_id


@pytest.fixture
def write_app(tmp_path: Path) -> WriteApp:
    """Writes an app of one component, started by its own description."""

    def write(
        code: str = SERVER.format(answer=ANSWER_OK.strip()),
        *,
        name: str = "app",
        port: int | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.py").write_text(code)
        lines = ["[[components]]", 'name = "backend"', 'kind = "python"', 'command = "python main.py"']
        lines += [] if port is None else [f"port = {port}"]
        (folder / "referee.toml").write_text("\n".join(lines) + "\n")
        return folder

    return write


async def read_source(room: AppsRoom, project_id: UUID, folder: Path) -> AppSource:
    """Return what ``hold_app`` runs."""
    return await read_app_source(room, project_id, str(folder))


async def fetch(network: NetworkHandle | None, url: str, folder: Path) -> str:
    """Return the body that a URL of a running app answers with, asked from inside its network."""
    output_dir = folder / "fetched"
    output_dir.mkdir(exist_ok=True)
    code = (
        "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())"
    )
    base = Path(sys.base_prefix).resolve()
    working_dir = folder / "fetching"
    working_dir.mkdir(exist_ok=True)
    result = await run_command(
        Command(
            label="fetch",
            argv=(os.path.realpath(sys.executable), "-I", "-S", "-c", code, url),
            working_dir=working_dir,
            writable=(working_dir,),
            read_only=() if base == Path("/usr") else (base,),
            network=network,
            has_network=network is None,
        ),
        Limits(wall_s=90),
        output_dir,
    )
    assert result.exit_code == 0, result.stderr_path.read_text()
    return result.stdout_path.read_text()


async def fetch_json(network: NetworkHandle | None, url: str, folder: Path) -> dict[str, object]:
    """Return the JSON object that a URL of a running app answers with."""
    value: dict[str, object] = json.loads(await fetch(network, url, folder))
    return value


def list_hosts(settings: Settings) -> list[int]:
    """Return the processes that host apps of a home."""
    return list_processes(f"REFEREE_HOME={settings.home}\0", "referee.apps.hosting")


def list_processes(marker: str, word: str = "") -> list[int]:
    """Return the processes whose environment holds a marker and whose command line holds a word."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                marker.encode() in (folder / "environ").read_bytes()
                and word.encode() in (folder / "cmdline").read_bytes()
            ):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def end_hosts(settings: Settings) -> None:
    """Ask the hosts of a home to stop, and wait until they have."""
    deadline_s = time.monotonic() + ENDING_S
    for pid in list_hosts(settings):
        os.kill(pid, signal.SIGTERM)
    while list_hosts(settings):
        assert time.monotonic() < deadline_s, "an app's host did not stop"
        time.sleep(0.02)
