"""A server and an analyzer as people start them: two processes, two homes, a key between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select
from tests.programs import Referee

from referee.analysis.tables import ToolRunAttemptRow, ToolRunRow
from referee.foundation.settings import load_settings
from referee.foundation.store import open_database

SAMPLE = Path(__file__).parents[3] / "samples" / "apps" / "models" / "pico-coder" / "app1"
TOOLS = ("mypy", "pylint", "ruff", "curl")
"""Of two services; mypy is the first of its own, and the others need some seconds more."""
CONNECT_S = 200.0
"""The analyzer starts a database of its own and asks each tool for its version."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def wait_for(look: Callable[[], bool], timeout_s: float) -> None:
    """Wait until something is seen."""
    deadline_s = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < deadline_s, "not seen in time"
        time.sleep(0.1)


@contextmanager
def start_analyzer(home: Path, tools_dir: Path, server: str, key: str) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "REFEREE_HOME": str(home),
        "REFEREE_TOOLS_DIR": str(tools_dir),
        "REFEREE_DATABASE_IDLE_STOP_S": "0",
        "REFEREE_ANALYZER_KEY": key,
    }
    command = [sys.executable, "-m", "referee", "analyzer", "--services", "static,dynamic"]
    process = subprocess.Popen(
        [*command, "--name", "lab", "--server", server],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def list_tries(home: Path, analysis_id: UUID) -> list[tuple[str, str, bool]]:
    """Return tool, who tried, and whether that became its result, for each try of an analysis."""
    database = await open_database(load_settings(home=home))
    try:
        async with database.reading() as session:
            rows = await session.execute(
                select(ToolRunRow.tool, ToolRunAttemptRow.executor_id, ToolRunAttemptRow.is_accepted)
                .join(ToolRunAttemptRow, ToolRunAttemptRow.tool_run_id == ToolRunRow.tool_run_id)
                .where(ToolRunRow.analysis_id == analysis_id)
                .order_by(ToolRunRow.tool)
            )
            return [(tool, executor_id, is_accepted) for tool, executor_id, is_accepted in rows]
    finally:
        await database.close()


async def test_analyzer_runs_two_services_and_leaves(home: Path, tools_dir: Path, referee: Referee) -> None:
    assert referee("up", "--detach", "--port", "0", REFEREE_DATABASE_URL="").returncode == 0
    try:
        key = referee("key", "create", "lab", "--scope", "write", REFEREE_DATABASE_URL="").stdout.split()[0]
        address = f"127.0.0.1:{json.loads((home / 'server.json').read_text())['port']}"
        client = httpx.Client(base_url=f"http://{address}", timeout=30)

        def list_connected() -> list[str]:
            analyzers = client.get("/v1/analyzers").json()["analyzers"]
            return [analyzer["analyzer_id"] for analyzer in analyzers if analyzer["is_connected"]]

        with start_analyzer(home.with_name("lab"), tools_dir, f"ws://{address}", key) as analyzer:
            wait_for(lambda: bool(list_connected()), CONNECT_S)
            (analyzer_id,) = list_connected()
            page = client.get("/ui/analyzers").text
            assert "lab" in page
            assert "connected" in page

            request = {"path": str(SAMPLE), "tools": TOOLS}
            analysis_id = client.post("/v1/analyses", json=request).json()["analysis_id"]

            def is_shown_early() -> bool:
                runs = client.get(f"/v1/analyses/{analysis_id}").json()["tool_runs"]
                is_running = any(
                    one["service"] == "static" for one in client.get("/v1/analyzers").json()["requests"]
                )
                outcomes = {run["tool"]: run["outcome"] for run in runs}
                is_first_there = outcomes["mypy"] == "succeeded" and outcomes["ruff"] is None
                return bool(is_running and is_first_there)

            wait_for(is_shown_early, 240)

            def is_done() -> bool:
                return bool(client.get(f"/v1/analyses/{analysis_id}").json()["state"] == "completed")

            wait_for(is_done, 240)
            analyzer.send_signal(signal.SIGTERM)
            printed, told = analyzer.communicate(timeout=60)
            assert (analyzer.returncode, printed) == (0, "")
            for event in ("analyzer.connected", "request.taken", "result.handed_over", "analyzer.stopped"):
                assert event in told
            assert key not in told
            assert "Traceback" not in told
        wait_for(lambda: not list_connected(), 30)

        detail = client.get(f"/v1/analyses/{analysis_id}").json()
        counts = {run["tool"]: run["findings_count"] for run in detail["tool_runs"]}
        assert counts["ruff"] > 0  # its report names places by where the source lay on the analyzer
        assert counts["curl"] > 0
        tries = await list_tries(home, UUID(analysis_id.rpartition("_")[2]))
        assert tries == [(tool, f"analyzer:{analyzer_id}", True) for tool in sorted(TOOLS)]

        here = client.post(
            "/v1/analyses", json={"path": str(SAMPLE), "tools": ["ruff"], "is_cache_allowed": False}
        )
        here_id = here.json()["analysis_id"]
        wait_for(lambda: client.get(f"/v1/analyses/{here_id}").json()["state"] == "completed", 120)
        (local,) = client.get(f"/v1/analyses/{here_id}").json()["tool_runs"]
        assert local["findings_count"] == counts["ruff"]
        ((_, executor_id, _),) = await list_tries(home, UUID(here_id.rpartition("_")[2]))
        assert not executor_id.startswith("analyzer:")
    finally:
        referee("down")
