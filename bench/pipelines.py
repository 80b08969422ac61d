"""Pipelines: how fast they are accepted and shown, what they cost beside the tools, and what they survive."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from bench.measuring import Measured, temporary_folder, tools_dir
from tests.faults.kills import Herd
from tests.faults.original_pipeline import run_original_pipeline
from tests.faults.pipeline_kills import run_pipeline_kills
from tests.faults.submitters import run_submitters

__all__ = ["measure_original_pipeline", "measure_pipeline_kills", "measure_pipelines", "measure_submitters"]

MODELS_COUNT: Final = 250
TEMPLATES_COUNT: Final = 40
PAGE_LOADS_COUNT: Final = 9
CELLS_COUNT: Final = 200
END_TIMEOUT_S: Final = 3_600.0


def measure_pipelines() -> list[Measured]:
    """Accept 10,000 cells and show them; then carry 200 to their end and look at the server's processor time."""
    with temporary_folder() as folder:
        herd = Herd(folder / "herd", tools_dir(), has_worker=False)
        try:
            herd.start_all()
            with httpx.Client(base_url=herd.url, timeout=120, trust_env=False) as client:
                return [*_measure_large(client), *_measure_overhead(client, herd, folder)]
        finally:
            herd.stop()


def _measure_large(client: httpx.Client) -> list[Measured]:
    for number in range(TEMPLATES_COUNT):
        _check(client.post("/v1/templates", json=_write_template(f"template-{number:02d}")), 200, 201)
    definition = {
        "name": "ten thousand",
        "generate": {
            "models": [f"maker/model-{number:03d}" for number in range(MODELS_COUNT)],
            "templates": [f"template-{number:02d}" for number in range(TEMPLATES_COUNT)],
        },
        "analysis": {"tools": ["vulture"]},
    }
    begun_s = time.perf_counter()
    accepted = _check(client.post("/v1/pipelines", json={"definition": definition}), 202)
    created_s = time.perf_counter() - begun_s
    assert accepted["cells"]["total_count"] == MODELS_COUNT * TEMPLATES_COUNT
    page = f"/ui/pipelines/{accepted['pipeline_id']}"
    client.get(page)
    loads_ms = []
    for _ in range(PAGE_LOADS_COUNT):
        begun_s = time.perf_counter()
        shown = client.get(page, headers={"Accept-Encoding": "gzip"})
        loads_ms.append((time.perf_counter() - begun_s) * 1_000)
        assert shown.status_code == 200
    return [
        Measured(name="10,000 cells accepted", value=created_s, unit="s", goal=10),
        Measured(
            name="page with the grid of 10,000 cells, median of 9",
            value=statistics.median(loads_ms),
            unit="ms",
            goal=200,
            details={"all_ms": loads_ms, "page_bytes": len(shown.content)},
        ),
    ]


def _measure_overhead(client: httpx.Client, herd: Herd, folder: Path) -> list[Measured]:
    for number in range(1, CELLS_COUNT + 1):
        app = folder / "models" / "tiny" / f"app{number}"
        app.mkdir(parents=True)
        (app / "app.py").write_text(f"import os\n\nNAME = {number}\nprint(os.getcwd(), NAME)\n")
    definition = {
        "name": "two hundred",
        "existing": {"folder": str(folder / "models")},
        "analysis": {"profile": "quick", "services": ["static"]},
        "limits": {"cells_at_once": 2},
    }
    server = psutil.Process(herd.processes["server"].pid)
    before_s, begun_s = _read_cpu_s(server), time.perf_counter()
    accepted = _check(client.post("/v1/pipelines", json={"definition": definition}), 202)
    while True:
        pipeline = _check(client.get(f"/v1/pipelines/{accepted['pipeline_id']}"), 200)
        if pipeline["finished_at"] is not None or time.perf_counter() - begun_s > END_TIMEOUT_S:
            break
        time.sleep(1)
    took_s = time.perf_counter() - begun_s
    cpu_s = _read_cpu_s(server) - before_s
    return [
        Measured(
            name="200 tiny apps, static service, profile quick: cells that are not valid",
            value=CELLS_COUNT - pipeline["cells"]["valid_count"],
            unit="cells",
            goal=0,
        ),
        Measured(name="… from acceptance to the end", value=took_s, unit="s"),
        Measured(
            name="… processor time of the server for each cell, tools apart",
            value=cpu_s / CELLS_COUNT,
            unit="s",
            goal=0.5,
        ),
    ]


def measure_pipeline_kills(*, kills: int, seed: int) -> list[Measured]:
    """End everything that belongs to pipelines of 3 × 5 cells by ``kill -9``."""
    print(f"seed {seed}, {kills} kills", file=sys.stderr)
    with temporary_folder() as folder:
        count = run_pipeline_kills(folder, tools_dir(), kills=kills, seed=seed, tell=_tell)
    told: list[tuple[str, float, float | None]] = [
        ("kills", count.kills, None),
        ("pipelines of 15 cells", count.pipelines, None),
        ("tool runs that needed another attempt", count.tool_runs_repeated, None),
        ("cells that needed another try", count.cells_tried_again, None),
        ("pipelines that did not end", count.not_ended, 0),
        ("problems that `referee verify` names", count.problems_found_by_verify, 0),
        ("processes left", len(count.processes_left), 0),
        *((name.replace("_", " "), value, 0) for name, value in count.oracle.items()),
    ]
    return _to_measured(told, count.dump())


def measure_original_pipeline(*, rounds: int, seed: int, submitters: int) -> list[Measured]:
    """Send pipelines of four apps through cut connections and stopped apps."""
    print(f"seed {seed}, {rounds} rounds, {submitters} submitters", file=sys.stderr)
    with temporary_folder() as folder:
        count = run_original_pipeline(
            folder, tools_dir(), rounds=rounds, seed=seed, submitters=submitters, tell=_tell
        )
    print(json.dumps(count.rows, indent=1), file=sys.stderr)
    told: list[tuple[str, float, float | None]] = [
        ("rounds", count.rounds, None),
        ("connections cut", count.connections_cut, None),
        ("apps stopped while they ran", count.apps_stopped, None),
        *(
            (f"{kind}: failures of {total}", total - succeeded, None)
            for kind, (succeeded, total) in count.rates.items()
            if total
        ),
        ("checks of `referee selftest` that failed", len(count.faults), 0),
    ]
    return _to_measured(told, count.dump())


def measure_submitters(*, threads: int, rounds: int) -> list[Measured]:
    """Ask for the same pipeline and the same cell from many clients at once."""
    with temporary_folder() as folder:
        count = run_submitters(folder, tools_dir(), threads=threads, rounds=rounds, tell=_tell)
    told: list[tuple[str, float, float | None]] = [
        (f"answers to {threads} threads in {rounds} rounds", count.answers, None),
        ("requests refused", len(count.refused), 0),
        ("rounds with two pipelines", count.rounds_with_two_pipelines, 0),
        ("rounds with two cells", count.rounds_with_two_cells, 0),
        ("pipelines lost or doubled", abs(count.pipelines_stored - rounds), 0),
        ("cells lost or doubled", abs(count.cells_stored - rounds), 0),
    ]
    return [
        *_to_measured(told, count.dump()),
        Measured(name="answer, 95th percentile", value=count.answer_p95_ms, unit="ms", goal=500),
    ]


def _to_measured(told: list[tuple[str, float, float | None]], details: dict[str, object]) -> list[Measured]:
    """Return the numbers; the first one carries all that was counted."""
    return [
        Measured(name=name, value=value, unit="", goal=goal, details=details if number == 0 else {})
        for number, (name, value, goal) in enumerate(told)
    ]


def _read_cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _check(answer: httpx.Response, *allowed: int) -> Any:
    assert answer.status_code in allowed, answer.text
    return answer.json()


def _write_template(slug: str) -> dict[str, object]:
    return {
        "slug": slug,
        "name": slug,
        "category": "bench",
        "description": "A list of items that people add to.",
        "backend_requirements": ["Keep items in memory."],
        "frontend_requirements": ["Show all items."],
        "admin_requirements": [],
        "api_endpoints": [
            {
                "method": "GET",
                "path": "/api/items",
                "description": "All items.",
                "request": None,
                "response": [],
            }
        ],
        "admin_api_endpoints": [],
        "data_model": {"name": "Item", "fields": {"id": "integer"}},
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
