"""The sample apps, analysed once by the real command line against a running server, for all workers of a test run."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.samples_apps.expectations import SampleApp, load_sample_apps


@dataclass(frozen=True, slots=True)
class Referee:
    """A home of its own, the command line on it, and its running server."""

    home: Path
    tools_dir: Path

    @property
    def url(self) -> str:
        """Where the server answers."""
        return str(json.loads(self.run("status", "--json").stdout)["url"])

    def ensure_up(self) -> None:
        """Start the server unless it runs."""
        if finish(self.start("status"), allowed=(0, 6)).returncode == 6:
            self.run("up", "--detach", "--port", "0")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command without waiting for its end."""
        environment = {
            **os.environ,
            "REFEREE_HOME": str(self.home),
            "REFEREE_TOOLS_DIR": str(self.tools_dir),
            "REFEREE_DATABASE_IDLE_STOP_S": "0",
        }
        command = [sys.executable, "-m", "referee", *arguments]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which must be a good one."""
        return finish(self.start(*arguments))


def finish(
    process: subprocess.Popen[str], *, allowed: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Wait for a command's end, which must be one of the allowed ones."""
    stdout, stderr = process.communicate(timeout=540)
    assert process.returncode in allowed, (
        f"{process.args!r} ended with {process.returncode}: {stdout}{stderr}"
    )
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@dataclass(frozen=True, slots=True)
class AnalysedApp:
    """One sample app and what the product stored about it."""

    app: SampleApp
    analysis_id: str
    printed: str
    """What ``referee analyze`` printed."""


@dataclass(frozen=True)
class Site:
    """A running server and what it answers."""

    referee: Referee
    client: httpx.Client

    def get(self, path: str, **query: str | int) -> Any:
        """Return the JSON of an address."""
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def read_page(self, path: str, **query: str) -> str:
        """Return the HTML of a page."""
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.text

    def export(self, analysis_id: str, export_format: str) -> bytes:
        """Return an analysis in an export format."""
        answer = self.client.get(f"/v1/analyses/{analysis_id}/export", params={"format": export_format})
        assert answer.status_code == 200, answer.text
        return answer.content

    def list_all(self, path: str, filter: str = "") -> list[dict[str, Any]]:
        """Return every item of a list, page by page."""
        page = self.get(path, filter=filter, limit=500)
        items = list(page["items"])
        while page["next_cursor"] is not None:
            page = self.get(path, filter=filter, limit=500, cursor=page["next_cursor"])
            items.extend(page["items"])
        assert len(items) == page["total_count"]
        return items


@dataclass(frozen=True)
class AnalysedSamples(Site):
    """The four sample apps after their analysis, and the server that shows them."""

    by_app_id: dict[str, AnalysedApp]


@contextmanager
def open_client(referee: Referee) -> Iterator[httpx.Client]:
    """Give a client of the running server."""
    with httpx.Client(base_url=referee.url, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory, tools_dir: Path) -> Iterator[AnalysedSamples]:
    """The four sample apps, analysed by ``referee analyze``, and a server that shows them."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "acceptance"
    root.mkdir(exist_ok=True)
    referee = Referee(root / "home", tools_dir)
    with _locked(root):
        _count_users(root, 1)
    try:
        with _locked(root):
            referee.ensure_up()
            analysed = _ensure_analysed(root, referee)
        with open_client(referee) as client:
            yield AnalysedSamples(referee, client, analysed)
    finally:
        with _locked(root):
            if _count_users(root, -1) == 0:
                referee.run("down")


@pytest.fixture(params=[app.app_id for app in load_sample_apps()])
def sample(request: pytest.FixtureRequest, samples: AnalysedSamples) -> AnalysedApp:
    """Each of the four in turn."""
    return samples.by_app_id[request.param]


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Keep the other workers of this test run out."""
    with (root / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _count_users(root: Path, change: int) -> int:
    """Return how many workers use the server after this change."""
    path = root / "users"
    count = (int(path.read_text()) if path.exists() else 0) + change
    path.write_text(str(count))
    return count


def _ensure_analysed(root: Path, referee: Referee) -> dict[str, AnalysedApp]:
    """Analyse all four at once, unless another worker has."""
    apps = {app.app_id: app for app in load_sample_apps()}
    path = root / "printed.json"
    if not path.exists():
        commands = {app_id: referee.start("analyze", str(app.path)) for app_id, app in apps.items()}
        path.write_text(json.dumps({app_id: finish(command).stdout for app_id, command in commands.items()}))
    printed: dict[str, str] = json.loads(path.read_text())
    return {
        app_id: AnalysedApp(apps[app_id], _read_analysis_id(text), text) for app_id, text in printed.items()
    }


def _read_analysis_id(printed: str) -> str:
    """The last line that ``referee analyze`` prints is the analysis' id."""
    return printed.rsplit(maxsplit=1)[-1]
