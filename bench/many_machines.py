"""A pipeline over several machines with troubles; the counting is that of ``tests/faults``."""

from __future__ import annotations

import sys

from bench.measuring import Measured, temporary_folder, tools_dir
from tests.faults.many_machines import can_make_networks, run_many_machines

__all__ = ["measure_many_machines"]


def measure_many_machines() -> list[Measured]:
    """Run it once and return what was counted. Everything with a goal of 0 must be 0."""
    if not can_make_networks():
        raise SystemExit("many-machines needs root, and a kernel that makes network namespaces.")
    with temporary_folder() as folder:
        count = run_many_machines(folder, tools_dir(), tell=_tell)
    told = [
        ("troubles that began before the end", count.events_before_the_end, None),
        ("cells that were tried again", count.cells_tried_again, None),
        ("tool runs that needed another attempt", count.tool_runs_repeated, None),
        ("pipelines that did not end", count.not_ended, 0),
        ("exit code of `referee verify`", count.verify_exit_code, 0),
        *((name.replace("_", " "), value, 0) for name, value in count.oracle.items()),
    ]
    measured = [Measured(name=name, value=value, unit="", goal=goal) for name, value, goal in told]
    measured.append(
        Measured(
            name="from the first process to the end", value=count.duration_s, unit="s", details=count.dump()
        )
    )
    return measured


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
