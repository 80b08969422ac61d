"""Whether two worker processes finish a bag of CPU-bound tool runs twice as fast as one."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

import httpx
from bench.measuring import ROOT, Measured, temporary_folder, tools_dir
from tests.faults.kills import Herd

__all__ = ["measure_workers"]

RUNS_COUNT: Final = 12
END_TIMEOUT_S: Final = 600.0
TOOL: Final = "pylint"
SOURCE: Final = ROOT / "samples" / "apps" / "models" / "aurora-large" / "app2" / "backend"


def measure_workers() -> list[Measured]:
    """Run the same bag on a server alone, and on a server with a worker, each with one slot for tools."""
    alone_s = _measure(has_worker=False)
    together_s = _measure(has_worker=True)
    return [
        Measured(name=f"{RUNS_COUNT} runs of {TOOL}, one process with one slot", value=alone_s, unit="s"),
        Measured(name="… two processes with one slot each", value=together_s, unit="s"),
        Measured(
            name="… share of the time of one that two take",
            value=together_s / alone_s,
            unit="",
            goal=1 / 1.8,
            details={"times_as_fast": alone_s / together_s},
        ),
    ]


def _measure(*, has_worker: bool) -> float:
    """Return the seconds from the first request to the end of the last analysis."""
    with temporary_folder() as folder:
        herd = Herd(folder / "herd", tools_dir(), has_worker=has_worker)
        herd.environment["REFEREE_WORKER_TOOL_SLOTS_COUNT"] = "1"
        subjects = [_make_subject(folder / "bag", number) for number in range(RUNS_COUNT)]
        try:
            herd.start_all()
            with httpx.Client(base_url=herd.url, timeout=60, trust_env=False) as client:
                while has_worker and len(client.get("/v1/system").json()["workers"]) < 2:
                    time.sleep(0.2)
                return _run(client, subjects)
        finally:
            herd.stop()


def _make_subject(folder: Path, number: int) -> Path:
    """Return a copy of real sources that no other one equals, so that no result answers for another."""
    subject = folder / f"subject{number}"
    shutil.copytree(SOURCE, subject)
    (subject / "numbered.py").write_text(f"NUMBER = {number}\n", encoding="utf-8")
    return subject


def _run(client: httpx.Client, subjects: list[Path]) -> float:
    begun_s = time.monotonic()
    for subject in subjects:
        client.post("/v1/analyses", json={"path": str(subject), "tools": [TOOL]}).raise_for_status()
    while time.monotonic() - begun_s < END_TIMEOUT_S:
        found = client.get("/v1/analyses", params={"limit": RUNS_COUNT}).json()["items"]
        if len(found) == RUNS_COUNT and all(one["state"] == "completed" for one in found):
            return time.monotonic() - begun_s
        if bad := [one["state"] for one in found if one["state"] not in ("queued", "running", "completed")]:
            raise RuntimeError(f"an analysis ended as {bad[0]}")
        time.sleep(0.5)
    raise TimeoutError("the bag did not come to its end")
