"""Workers killed while they analyse clips; the worker and the counting are those of ``tests/videos``."""

from __future__ import annotations

import asyncio
import sys

from bench.measuring import Measured, temporary_folder
from tests.videos.kills import KillCount, run_video_kills

from referee.foundation.settings import load_settings

__all__ = ["measure_video_kills"]


def measure_video_kills(*, kills: int, seed: int) -> list[Measured]:
    """Kill a worker so many times and return what was counted. Everything with a goal of 0 must be 0."""
    print(f"seed {seed}, {kills} kills", file=sys.stderr)
    with temporary_folder() as folder:
        settings = load_settings(home=folder / "home", database_idle_stop_s=5.0)
        count: KillCount = asyncio.run(run_video_kills(settings, kills=kills, seed=seed, tell=_tell))
    states: dict[str, object] = dict(count.states_at_kill)
    told = [
        ("kills of a worker", count.kills, None),
        ("kills amid an analysis", count.kills_amid_work, None),
        ("videos analysed", count.videos, None),
        ("artifacts that differ from the undisturbed analysis", count.differing_digests, 0),
        ("done without a part", count.done_without_parts, 0),
        ("folders of work left behind", count.folders_left, 0),
    ]
    return [
        Measured(name=name, value=value, unit="", goal=goal, details=states if number == 0 else {})
        for number, (name, value, goal) in enumerate(told)
    ]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
