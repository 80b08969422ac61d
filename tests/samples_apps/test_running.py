"""The sample apps really run: backends install, start and answer, frontends install and build."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.samples_apps.expectations import SAMPLES_DIR, SampleApp, load_sample_apps

pytestmark = pytest.mark.slow

APPS = load_sample_apps()
LOGINS = {
    "task-board": "username",
    "shop-orders": "email",
}
ACCOUNTS = {
    "aurora-large-app1": ("demo", "demo123"),
    "aurora-large-app2": ("demo@example.com", "demo123"),
    "pico-coder-app1": ("demo", "demo"),
    "pico-coder-app2": ("demo@example.com", "demo"),
}

each_app = pytest.mark.parametrize("app", APPS, ids=lambda app: app.app_id)


def find_free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def make_environment(folder: Path, requirements: Path) -> Path:
    """Install the requirements, wheels only, into a new environment and return its Python."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "venv", str(folder)], check=True, timeout=120)
    python = folder / "bin" / "python"
    install = ["pip", "install", "--only-binary", ":all:", "--python", str(python), "-r", str(requirements)]
    subprocess.run([*uv, *install], check=True, timeout=280)
    return python


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[httpx.Client]:
    """Run a backend and give a client that waits for the port; at the end nothing of it is left."""
    environment = {**os.environ, "PORT": str(port), "EXPORT_DIR": str(folder / "exports")}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        # Retries of refused connections wait 0, 0.5, 1, 2 … seconds.
        transport = httpx.HTTPTransport(retries=7)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=30) as client:
            yield client
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


@pytest.fixture
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SampleApp, httpx.Client]]:
    """A copy of the app's backend, installed and running."""
    app: SampleApp = request.param
    folder = tmp_path / "backend"
    shutil.copytree(app.path / "backend", folder)
    python = make_environment(tmp_path / "environment", folder / "requirements.txt")
    with running([str(python), "app.py"], folder, find_free_port()) as client:
        yield app, client


@pytest.mark.parametrize("backend", APPS, indirect=True, ids=lambda app: app.app_id)
def test_backend_starts_seeds_itself_and_has_the_endpoints_of_its_template(
    backend: tuple[SampleApp, httpx.Client],
) -> None:
    app, client = backend
    user, password = ACCOUNTS[app.app_id]

    assert client.get("/health").json() == {"status": "ok"}

    answer = client.post("/api/login", json={LOGINS[app.template]: user, "password": password})
    assert answer.status_code == 200
    client.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    template = json.loads((SAMPLES_DIR / "templates" / f"{app.template}.json").read_text("utf-8"))
    endpoints = [*template["api_endpoints"], *template["admin_api_endpoints"]]
    # Reading first, deleting last, so that what one call removes is not missed by another.
    endpoints.sort(key=lambda entry: ("GET", "POST", "PUT", "DELETE").index(entry["method"]))
    statuses = {
        f"{entry['method']} {entry['path']}": client.request(
            entry["method"],
            entry["path"].replace(":id", "1"),
            params={"q": "a", "file": "../requirements.txt"},
            json={} if entry["method"] in ("POST", "PUT") else None,
        ).status_code
        for entry in endpoints
    }
    assert {name for name, status in statuses.items() if status in (404, 405)} == set(app.unmet_endpoints)


@each_app
def test_frontend_installs_and_builds(app: SampleApp, tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not on the search path, so frontends cannot be built here")
    folder = tmp_path / "frontend"
    shutil.copytree(app.path / "frontend", folder)
    verb = "ci" if (folder / "package-lock.json").exists() else "install"

    options = ["--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run([npm, verb, *options], cwd=folder, check=True, capture_output=True, timeout=250)
    subprocess.run([npm, "run", "build"], cwd=folder, check=True, capture_output=True, timeout=120)

    assert (folder / "dist" / "index.html").is_file()
