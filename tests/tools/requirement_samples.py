"""Recorded runs of requirements-scanner on the four sample apps while they ran.

A case is ``tests/samples/requirements-scanner/<version>/<app_id>/``: ``run.json`` with
what was planned, and one file for each stream. To record them again, install each
app's backend as samples/README.md says into ``<folder>/<app_id>/env`` and call
``python -m tests.tools.requirement_samples <folder>``.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.samples_apps.expectations import SAMPLES_DIR, SampleApp, load_sample_apps
from tests.samples_apps.test_running import find_free_port
from tests.tools.scanning import make_kit, scan

from referee.core.targets import Target
from referee.tools import ToolInstaller
from referee.tools.contract import RawOutput, RunningApp, ToolPlan
from referee.tools.requirements_scanner import create_tool

RECORDED_DIR = Path(__file__).parents[1] / "samples" / "requirements-scanner" / "1.0"
STREAMS = ("scan.json", "template.json", "source.json", "exercise.json")

EXPECTED: dict[str, set[str]] = {
    "aurora-large-app1": {
        "admin-endpoint-open endpoint-delete-api-admin-users-id",
        "requirement-not-met admin-2",
    },
    "aurora-large-app2": {
        "admin-endpoint-open endpoint-get-api-admin-orders",
        "endpoint-broken endpoint-get-api-admin-stats",
        "endpoint-broken endpoint-post-api-admin-products",
        "endpoint-broken endpoint-post-api-admin-products-id-image",
        "endpoint-broken endpoint-put-api-admin-orders-id",
        "requirement-not-met admin-2",
    },
    "pico-coder-app1": {
        "endpoint-missing endpoint-delete-api-admin-users-id",
        "requirement-not-met admin-2",
    },
    "pico-coder-app2": {
        "endpoint-broken endpoint-get-api-admin-orders",
        "endpoint-broken endpoint-get-api-admin-stats",
        "endpoint-broken endpoint-post-api-admin-products",
        "endpoint-broken endpoint-post-api-admin-products-id-image",
        "endpoint-missing endpoint-delete-api-cart-id",
        "endpoint-missing endpoint-post-api-coupons-check",
        "endpoint-missing endpoint-put-api-admin-orders-id",
        "requirement-not-met admin-2",
        "requirement-not-met backend-3",
    },
}
"""Rule and requirement of each finding, every one looked up in the app's source."""


def load_recorded(app_id: str) -> tuple[RawOutput, ToolPlan]:
    """Return the raw output and the plan of a recorded run."""
    folder = RECORDED_DIR / app_id
    run = json.loads((folder / "run.json").read_text("utf-8"))
    streams = {name: (folder / name).read_bytes() for name in STREAMS}
    raw = RawOutput(
        streams=streams,
        total_bytes={name: len(data) for name, data in streams.items()},
        end=run["end"],
        exit_code=run["exit_code"],
        duration_ms=1,
        cpu_ms=1,
        peak_memory_bytes=None,
        isolation=None,
    )
    parameters = create_tool().describe().resolve_parameters({})
    return raw, ToolPlan(parameters=parameters, files=tuple(run["files"]))


def load_labels(app: SampleApp) -> dict[str, str]:
    """Return what a person says about each requirement of a sample app."""
    lines = (SAMPLES_DIR / "labels.jsonl").read_text("utf-8").splitlines()
    labels = [json.loads(line) for line in lines]
    return {one["requirement_id"]: one["label"] for one in labels if SAMPLES_DIR / one["path"] == app.path}


@contextmanager
def _running_backend(app: SampleApp, python: Path) -> Iterator[RunningApp]:
    port = find_free_port()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(app.path / "backend", Path(folder) / "backend")
        process = subprocess.Popen(
            [str(python), "app.py"],
            cwd=Path(folder) / "backend",
            env={**os.environ, "PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(f"{url}/health")
            target = Target(name="backend", url=url, port=port)
            yield RunningApp(targets=(target,), network=None, app_run_id="recorded")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(url: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own address
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)


async def _record(app: SampleApp, environments: Path) -> None:
    template = json.loads((SAMPLES_DIR / "templates" / f"{app.template}.json").read_text("utf-8"))
    python = environments / app.app_id / "env" / "bin" / "python"
    with _running_backend(app, python) as running, tempfile.TemporaryDirectory() as work:
        installer = ToolInstaller(Path(work) / "tools", advisories_dir=Path(work))
        kit = await make_kit(Path(work), app.path, installer, app=running, template=template)
        raw, plan, _ = await scan(kit)
    folder = RECORDED_DIR / app.app_id
    folder.mkdir(parents=True, exist_ok=True)
    run = {"end": raw.end, "exit_code": raw.exit_code, "files": list(plan.files)}
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    for name in STREAMS:
        (folder / name).write_text(_hide_folders(raw.streams[name].decode(), environments), "utf-8")


def _hide_folders(text: str, environments: Path) -> str:
    """Return output without this machine's folders, which crash pages of apps show."""
    places = (
        re.escape(str(environments)),
        re.escape(tempfile.gettempdir()) + "/tmp[a-z0-9_]+",
        re.escape(sys.base_prefix),
    )
    return re.sub("|".join(places), "/app", text)


if __name__ == "__main__":
    for each in load_sample_apps():
        asyncio.run(_record(each, Path(sys.argv[1])))
