"""Many clients ask for the same pipeline and the same cell at the same time: one of each, and everyone gets its id."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text
from tests.faults.kills import Herd

from referee.foundation.settings import load_settings
from referee.foundation.store import Database, open_database
from referee.pipelines.definition import PipelineDefinition, parse_definition
from referee.pipelines.planning import CellPlan, ensure_cells
from referee.tools.load_report import compute_percentile

__all__ = ["SubmitterCount", "run_submitters"]

DEFINITION: Final = """\
name: the same for all
existing: {apps: [maple/app1, maple/app2]}
analysis: {tools: [vulture]}
"""


@dataclass(slots=True, kw_only=True)
class SubmitterCount:
    """What became of it. Everything in ``faults`` must be nought."""

    threads: int
    rounds: int = 0
    answers: int = 0
    refused: list[str] = field(default_factory=list)
    rounds_with_two_pipelines: int = 0
    rounds_with_two_cells: int = 0
    pipelines_stored: int = 0
    cells_stored: int = 0
    answer_p95_ms: float = 0.0
    worst_round_p95_ms: float = 0.0
    duration_s: float = 0.0

    @property
    def faults(self) -> dict[str, int]:
        """Everything that is not nought and must be."""
        must = {
            "refused": len(self.refused),
            "rounds_with_two_pipelines": self.rounds_with_two_pipelines,
            "rounds_with_two_cells": self.rounds_with_two_cells,
            "pipelines_lost_or_doubled": abs(self.pipelines_stored - self.rounds),
            "cells_lost_or_doubled": abs(self.cells_stored - self.rounds),
        }
        return {name: count for name, count in must.items() if count}

    def dump(self) -> dict[str, object]:
        """Return it as JSON."""
        return asdict(self)


class _Submitter(threading.Thread):
    """Sends each round's pipeline as soon as all others are ready too."""

    def __init__(self, url: str, keys: list[str], barrier: threading.Barrier) -> None:
        super().__init__(daemon=True)
        self._url, self._keys, self._barrier = url, keys, barrier
        self.ids: list[str] = []
        self.answers_ms: list[float] = []
        self.refused: list[str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=120, trust_env=False) as client:
            for key in self._keys:
                self._barrier.wait(180)
                begun_s = time.monotonic()
                try:
                    answer = client.post(
                        "/v1/pipelines", json={"definition": DEFINITION}, headers={"Idempotency-Key": key}
                    )
                except httpx.HTTPError as error:
                    self.ids.append("")
                    self.refused.append(repr(error))
                    continue
                self.answers_ms.append((time.monotonic() - begun_s) * 1_000)
                self.ids.append(answer.json().get("pipeline_id", ""))
                if answer.status_code != 202:
                    self.refused.append(answer.text)


def run_submitters(
    base: Path, tools_dir: Path, *, threads: int, rounds: int, tell: Callable[[str], None] = lambda _: None
) -> SubmitterCount:
    """Ask for the same pipeline, then for the same cell, in every round.

    Args:
        base: An empty folder.
        tools_dir: Installed tools.
        threads: Clients that ask at the same time.
        rounds: How often.
        tell: Is told what begins.
    """
    begun_s = time.monotonic()
    count = SubmitterCount(threads=threads, rounds=rounds)
    for number in (1, 2):
        app = base / "models" / "maple" / f"app{number}"
        app.mkdir(parents=True)
        (app / "main.py").write_text(f"NAME = {number}\n")
    herd = Herd(base / "herd", tools_dir, has_worker=False)
    try:
        herd.start_all()
        _import_apps(herd, base / "models")
        tell(f"{threads} threads, {rounds} rounds of one pipeline")
        _submit_pipelines(herd, count)
        tell(f"{threads} tasks, {rounds} rounds of one cell")
        asyncio.run(_ask_for_cells(herd, count))
    finally:
        herd.stop()
    count.duration_s = time.monotonic() - begun_s
    return count


def _import_apps(herd: Herd, folder: Path) -> None:
    """Make the apps known by a pipeline over their folder."""
    definition = {"name": "first", "existing": {"folder": str(folder)}, "analysis": {"tools": ["vulture"]}}
    answer = httpx.post(
        f"{herd.url}/v1/pipelines", json={"definition": definition}, timeout=60, trust_env=False
    )
    assert answer.status_code == 202, answer.text


def _submit_pipelines(herd: Herd, count: SubmitterCount) -> None:
    keys = [f"round-{number}-{uuid4().hex}" for number in range(count.rounds)]
    barrier = threading.Barrier(count.threads)
    submitters = [_Submitter(herd.url, keys, barrier) for _ in range(count.threads)]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join()
    for number in range(count.rounds):
        ids = {submitter.ids[number] for submitter in submitters}
        count.rounds_with_two_pipelines += len(ids) != 1
    count.refused = [text for submitter in submitters for text in submitter.refused][:20]
    answers = [one for submitter in submitters for one in submitter.answers_ms]
    count.answers, count.answer_p95_ms = len(answers), _p95(answers)
    by_round = [
        [one.answers_ms[n] for one in submitters if n < len(one.answers_ms)] for n in range(count.rounds)
    ]
    count.worst_round_p95_ms = max((_p95(one) for one in by_round), default=0.0)


async def _ask_for_cells(herd: Herd, count: SubmitterCount) -> None:
    database = await open_database(load_settings(home=herd.home, database_idle_stop_s=1.0))
    definition = parse_definition(DEFINITION)
    try:
        async with database.reading() as session:
            found = await session.execute(text("SELECT pipeline_id FROM pipelines ORDER BY sequence LIMIT 1"))
            pipeline_id = UUID(str(found.scalar_one()))
        for number in range(count.rounds):
            plan = CellPlan(model="oak", template="", number=number + 1)
            asked = [_ask(database, pipeline_id, definition, plan) for _ in range(count.threads)]
            count.rounds_with_two_cells += len(set(await asyncio.gather(*asked))) != 1
        async with database.reading() as session:
            stored = await session.execute(
                text(
                    "SELECT (SELECT count(*) FROM pipelines WHERE name = 'the same for all'),"
                    " (SELECT count(*) FROM cells WHERE model = 'oak')"
                )
            )
            count.pipelines_stored, count.cells_stored = stored.one()
    finally:
        await database.close()


async def _ask(database: Database, pipeline_id: UUID, definition: PipelineDefinition, plan: CellPlan) -> UUID:
    async with database.transaction() as session:
        (cell_id,) = await ensure_cells(session, pipeline_id, definition, [plan])
        return cell_id


def _p95(values: list[float]) -> float:
    return compute_percentile(sorted(values), 0.95) if values else 0.0
