"""``kill -9`` at random while analyses run; the counting is that of ``tests/faults``."""

from __future__ import annotations

import statistics
import sys

from bench.measuring import Measured, temporary_folder, tools_dir
from tests.faults.kills import run_kills

__all__ = ["measure_faults"]


def measure_faults(*, kills: int, seed: int, targets: tuple[str, ...]) -> list[Measured]:
    """Kill ``kills`` times and return what was counted. Everything with a goal of 0 must be 0."""
    print(f"seed {seed}, {kills} kills of {', '.join(sorted(set(targets)))}", file=sys.stderr)
    with temporary_folder() as folder:
        count = run_kills(folder, tools_dir(), kills=kills, seed=seed, targets=targets, tell=_tell)
    details = count.dump()
    told = [
        ("kills", count.kills, None),
        ("analyses acknowledged", count.acknowledged, None),
        ("tool runs that needed another attempt", count.attempts_repeated, None),
        ("acknowledged analyses lost", count.lost, 0),
        ("analyses doubled", count.doubled, 0),
        ("analyses that did not end", count.not_ended, 0),
        ("analyses whose API, ledger and files disagree", count.disagreeing, 0),
        ("problems that `referee verify` names", count.problems_found_by_verify, 0),
        ("processes left", count.processes_left, 0),
        *((name.replace("_", " "), value, 0) for name, value in count.oracle.items()),
    ]
    measured = [
        Measured(name=name, value=value, unit="", goal=goal, details=details if name == "kills" else {})
        for name, value, goal in told
    ]
    measured.append(
        Measured(name="server ready after a kill, median", value=statistics.median(count.ready_s), unit="s")
    )
    measured.append(
        Measured(
            name="jobs of a dead worker taken over, longest",
            value=max(count.taken_over_s, default=0.0),
            unit="s",
            goal=5.0,
        )
    )
    return measured


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
