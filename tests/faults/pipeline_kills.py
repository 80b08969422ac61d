"""Kill everything that belongs to a pipeline, again and again, and look at what it comes to.

A pipeline of 3 models × 5 apps is set going. Server, worker, database and running tools are ended by ``kill -9``
at random instants, and what Referee itself does not start again is started again. In the end each cell must be
valid, each tool run accepted once, and no process, app, port or lease may be left. ``bench/pipelines.py`` runs
the same with more kills.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import psutil
from sqlalchemy import text
from tests.faults.kills import ORACLE as KILLS_ORACLE
from tests.faults.kills import Herd

from referee.foundation.settings import load_settings
from referee.foundation.store import open_database

__all__ = ["MODELS", "TARGETS", "PipelineCount", "run_pipeline_kills"]

MODELS: Final = ("alder", "birch", "cedar")
APPS_EACH: Final = 5
CELLS_COUNT: Final = len(MODELS) * APPS_EACH
TARGETS: Final = ("server", "worker", "database", "tool", "tool", "app")
END_TIMEOUT_S: Final = 900.0
LEFT_TIMEOUT_S: Final = 60.0
TOOLS: Final = ("bandit", "ruff", "vulture", "radon", "curl")

_NO_TOOLS: Final = ("referee.apps.hosting", "store/supervisor.py", "postgres", "app.py")

APP: Final = """\
import os
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer

NAME = {name!r}


def list_files(folder):
    return subprocess.call("ls " + folder, shell=True)


class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(NAME.encode())


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
"""

ORACLE: Final = {
    "cells_not_valid": "SELECT count(*) FROM cells WHERE NOT is_valid OR state <> 'completed'",
    "pipelines_not_completed": "SELECT count(*) FROM pipelines WHERE state <> 'completed'",
    "pipelines_with_other_than_15_cells": """
        SELECT count(*) FROM pipelines WHERE 15 <> (
            SELECT count(*) FROM cells WHERE cells.pipeline_id = pipelines.pipeline_id)""",
    "analyses_of_two_cells": """
        SELECT count(*) FROM (SELECT analysis_id FROM cells GROUP BY analysis_id HAVING count(*) > 1) AS doubled""",
    "tool_runs_with_two_accepted_results": KILLS_ORACLE["tool_runs_with_two_accepted_results"],
    "tool_runs_of_valid_cells_without_an_accepted_result": """
        SELECT count(*) FROM tool_runs JOIN cells USING (analysis_id)
         WHERE cells.is_valid AND tool_runs.cached_from_tool_run_id IS NULL AND NOT EXISTS (
             SELECT 1 FROM tool_run_attempts AS tries
              WHERE tries.tool_run_id = tool_runs.tool_run_id AND tries.is_accepted)""",
    "tool_runs_of_valid_cells_missing": """
        SELECT count(*) FROM cells WHERE is_valid AND 5 <> (
            SELECT count(*) FROM tool_runs WHERE tool_runs.analysis_id = cells.analysis_id)""",
    "tool_runs_without_outcome": KILLS_ORACLE["tool_runs_without_outcome"],
    "analyses_not_ended": "SELECT count(*) FROM analyses WHERE state IN ('queued', 'running')",
    "jobs_not_ended": "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')",
    "apps_still_up": "SELECT count(*) FROM app_runs WHERE state IN ('starting', 'running', 'stopping')",
    "ports_still_reserved": "SELECT count(*) FROM app_ports",
    "leases_left": "SELECT count(*) FROM app_leases",
}  # fmt: skip
"""What must be nought when everything has ended and apps had their time to linger."""


@dataclass(slots=True, kw_only=True)
class PipelineCount:
    """What became of it. Everything in ``faults`` must be nought."""

    seed: int
    kills: int = 0
    kills_by_target: dict[str, int] = field(default_factory=dict)
    misses: int = 0
    """Kills that found nothing of their kind."""
    pipelines: int = 0
    cells: int = 0
    cells_tried_again: int = 0
    tool_runs_repeated: int = 0
    """Tool runs that needed more than one attempt."""
    not_ended: int = 0
    problems_found_by_verify: int = 0
    processes_left: list[str] = field(default_factory=list)
    oracle: dict[str, int] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    """Of cells that are not valid."""
    duration_s: float = 0.0

    @property
    def faults(self) -> dict[str, int]:
        """Everything that is not nought and must be."""
        must = {
            "not_ended": self.not_ended,
            "problems_found_by_verify": self.problems_found_by_verify,
            "processes_left": len(self.processes_left),
            **self.oracle,
        }
        return {name: count for name, count in must.items() if count}

    def dump(self) -> dict[str, object]:
        """Return it as JSON."""
        return asdict(self)


def run_pipeline_kills(
    base: Path,
    tools_dir: Path,
    *,
    kills: int,
    seed: int,
    targets: tuple[str, ...] = TARGETS,
    tell: Callable[[str], None] = lambda _: None,
) -> PipelineCount:
    """Kill until there were so many kills, over as many pipelines as that takes, and count.

    Args:
        base: An empty folder.
        tools_dir: Installed tools.
        kills: How often.
        seed: Of everything that is random here.
        targets: What is killed, chosen evenly.
        tell: Is told each kill.
    """
    choose = random.Random(seed)
    begun_s = time.monotonic()
    count = PipelineCount(seed=seed)
    mark = f"mark{uuid4().hex}"
    folder = base / "models"
    write_apps(folder, mark)
    herd = Herd(base / "herd", tools_dir, has_worker=True)
    try:
        herd.start_all()
        pipeline_id = _submit(herd, folder, count)
        while count.kills < kills:
            time.sleep(choose.expovariate(1 / 2.0) + 0.1)
            if _has_ended(herd, pipeline_id):
                pipeline_id = _submit(herd, folder, count)
                continue
            target = choose.choice(targets)
            if not _kill(herd, target, mark, choose):
                count.misses += 1
                continue
            count.kills += 1
            count.kills_by_target[target] = count.kills_by_target.get(target, 0) + 1
            ready_s = herd.start_all()
            tell(f"kill {count.kills} of {kills}: {target}, ready after {ready_s:.1f} s")
        deadline_s = time.monotonic() + END_TIMEOUT_S
        while not _has_ended(herd, pipeline_id) and time.monotonic() < deadline_s:
            time.sleep(0.5)
        count.not_ended = int(not _has_ended(herd, pipeline_id))
        tell(f"{count.pipelines} pipelines, the last one {'not ' * count.not_ended}ended")
        asyncio.run(_judge(herd, count))
    finally:
        herd.stop()
    count.problems_found_by_verify = len(herd.verify())
    count.processes_left = _wait_until_left(herd, mark)
    count.duration_s = time.monotonic() - begun_s
    return count


def write_apps(folder: Path, mark: str) -> None:
    """Write 3 × 5 tiny apps that say in their command line whose they are."""
    for model in MODELS:
        for number in range(1, APPS_EACH + 1):
            app = folder / model / f"app{number}"
            app.mkdir(parents=True)
            (app / "app.py").write_text(APP.format(name=f"{model} {number}"))
            (app / "Procfile").write_text(f"web: python app.py {mark}\n")


def _submit(herd: Herd, folder: Path, count: PipelineCount) -> str:
    definition = {
        "name": f"kills {count.pipelines + 1}",
        "existing": {"folder": str(folder)},
        "analysis": {"tools": list(TOOLS), "is_cache_allowed": False},
        "limits": {"cells_at_once": 3, "attempts": 10, "retry_pauses_s": [0.5, 1]},
    }
    key = uuid4().hex
    deadline_s = time.monotonic() + 120
    while True:
        with suppress(httpx.HTTPError):
            answer = httpx.post(
                f"{herd.url}/v1/pipelines",
                json={"definition": definition},
                headers={"Idempotency-Key": key},
                timeout=20,
                trust_env=False,
            )
            if answer.status_code == 202:
                count.pipelines += 1
                return str(answer.json()["pipeline_id"])
            assert answer.status_code >= 500, answer.text
        assert time.monotonic() < deadline_s, "no pipeline was accepted"
        time.sleep(0.1)


def _has_ended(herd: Herd, pipeline_id: str) -> bool:
    with suppress(httpx.HTTPError, ValueError):
        answer = httpx.get(f"{herd.url}/v1/pipelines/{pipeline_id}", timeout=20, trust_env=False)
        if answer.status_code == 200:
            pipeline: dict[str, Any] = answer.json()
            assert pipeline["state"] != "paused", pipeline["reason"]
            return pipeline["finished_at"] is not None
    return False


def _kill(herd: Herd, target: str, mark: str, choose: random.Random) -> bool:
    """End one process. Returns whether there was one."""
    if target not in ("tool", "app"):
        herd.kill(target)
        return True
    found = _list_tools(herd) if target == "tool" else _list_apps(mark)
    if not found:
        return False
    with suppress(ProcessLookupError):
        os.kill(choose.choice(found), signal.SIGKILL)
    return True


def _list_tools(herd: Herd) -> list[int]:
    """Return running tools and what watches them: below server and worker, but not what runs apps."""
    found = []
    for owner in herd.processes.values():
        with suppress(psutil.Error):
            for child in psutil.Process(owner.pid).children(recursive=True):
                with suppress(psutil.Error):
                    words = " ".join(child.cmdline())
                    if words and not any(word in words for word in _NO_TOOLS):
                        found.append(child.pid)
    return found


def _list_apps(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if mark in process.cmdline():
                found.append(process.pid)
    return found


async def _judge(herd: Herd, count: PipelineCount) -> None:
    database = await open_database(load_settings(home=herd.home, database_idle_stop_s=1.0))
    try:
        deadline_s = time.monotonic() + LEFT_TIMEOUT_S
        while True:
            async with database.reading() as session:
                count.oracle = {
                    name: int((await session.execute(text(statement))).scalar_one())
                    for name, statement in ORACLE.items()
                }
            if not any(count.oracle.values()) or time.monotonic() > deadline_s:
                break
            await asyncio.sleep(0.5)
        async with database.reading() as session:
            rows = await session.execute(
                text("SELECT state, reason FROM cells WHERE NOT is_valid OR state <> 'completed'")
            )
            count.reasons = [f"{state}: {reason}" for state, reason in rows]
            numbers = await session.execute(
                text(
                    "SELECT (SELECT count(*) FROM cells), (SELECT count(*) FROM cells WHERE tries_count > 1),"
                    " (SELECT count(*) FROM tool_runs WHERE attempts_count > 1)"
                )
            )
            count.cells, count.cells_tried_again, count.tool_runs_repeated = numbers.one()
    finally:
        await database.close()


def _wait_until_left(herd: Herd, mark: str) -> list[str]:
    """Return what is still there after the time in which a database without clients stops."""
    deadline_s = time.monotonic() + 30
    while True:
        left = herd.list_left() + [f"app process {pid}" for pid in _list_apps(mark)]
        if not left or time.monotonic() > deadline_s:
            return left
        time.sleep(0.2)
