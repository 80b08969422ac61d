"""``kill -9`` while spans arrive, and reads that follow writes; the counting is that of ``tests/faults``."""

from __future__ import annotations

import asyncio
import sys

from bench.measuring import Measured, temporary_folder
from tests.faults.reading_back import run_read_your_write
from tests.faults.trace_kills import RunningServer, run_trace_kills

__all__ = ["measure_trace_kills", "measure_trace_reads"]

WRITERS = 8


def measure_trace_kills(*, kills: int, seed: int) -> list[Measured]:
    """Kill the server or a process of its database ``kills`` times while four clients send spans."""
    print(f"seed {seed}, {kills} kills", file=sys.stderr)
    with temporary_folder() as folder:
        count = run_trace_kills(folder, kills=kills, seed=seed, tell=_tell)
    told: list[tuple[str, int, int | None]] = [
        ("kills while spans arrive", count.kills, None),
        ("spans acknowledged", count.acknowledged, None),
        ("requests sent again", count.sent_again, None),
        ("acknowledged spans lost", count.lost, 0),
        ("spans doubled", count.doubled, 0),
        ("spans by which sums of sessions are wrong", count.sums_wrong, 0),
        ("answers of 500", count.server_errors, 0),
    ]
    return [Measured(name=name, value=value, unit="", goal=goal) for name, value, goal in told]


def measure_trace_reads(*, writes: int, seed: int) -> list[Measured]:
    """Create from eight writers what clients create, and read each back at once: get, list, filter, count, export."""
    print(f"seed {seed}, {writes} writes", file=sys.stderr)
    with temporary_folder() as folder, RunningServer(folder / "home") as server:
        count = asyncio.run(
            run_read_your_write(server.base, writes=writes, writers=WRITERS, seed=seed, tell=_tell)
        )
    return [
        Measured(name="creations", value=count.writes, unit="", details=dict(count.by_kind)),
        *(
            Measured(name=f"… {kind}", value=number, unit="")
            for kind, number in sorted(count.by_kind.items())
        ),
        Measured(name="reads right after the answer", value=count.reads, unit=""),
        Measured(
            name="reads that missed it",
            value=sum(count.misses.values()),
            unit="",
            goal=0,
            details=dict(count.misses),
        ),
    ]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
