"""Apps in trouble while they are analysed; the rounds and the counting are those of ``tests/faults``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.measuring import Measured, temporary_folder, tools_dir
from tests.faults.app_oracle import FAULTS
from tests.faults.app_rounds import KINDS, run_app_rounds

__all__ = ["measure_app_faults"]


def measure_app_faults(
    *, rounds: int, seed: int, first_round: int = 1, kinds: Sequence[str] = KINDS
) -> list[Measured]:
    """Run ``rounds`` rounds of these kinds in turn, from ``first_round`` on, and return what was counted.

    Everything with a goal of 0 must be 0.
    """
    print(f"seed {seed}, {rounds} rounds from {first_round} on of {', '.join(kinds)}", file=sys.stderr)
    with temporary_folder() as folder:
        count = run_app_rounds(
            folder,
            tools_dir(),
            rounds=rounds,
            seed=seed,
            first_round=first_round,
            kinds=kinds,
            tell=_tell,
        )
    outcomes = [
        (f"{kind.replace('_', ' ')}: tool runs {outcome.replace('_', ' ')}", number, None)
        for kind, by_outcome in sorted(count.outcomes.items())
        for outcome, number in sorted(by_outcome.items())
    ]
    told = [
        ("rounds", sum(count.rounds.values()), None),
        *((f"{kind.replace('_', ' ')}: rounds", number, None) for kind, number in count.rounds.items()),
        *outcomes,
        ("tool runs that lost their app", count.tool_runs_struck, None),
        *((name.replace("_", " "), count.faults.get(name, 0), 0) for name in FAULTS),
    ]
    details = count.dump()
    return [
        Measured(name=name, value=value, unit="", goal=goal, details=details if name == "rounds" else {})
        for name, value, goal in told
    ]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
