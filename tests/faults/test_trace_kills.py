"""Acknowledged spans through ``kill -9``, and things that are read right after they were made."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from tests.faults.reading_back import KINDS, run_read_your_write
from tests.faults.trace_kills import RunningServer, run_trace_kills

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500)]


def test_no_acknowledged_span_is_lost_or_doubled_when_server_and_database_are_killed(
    tmp_path: Path,
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    count = run_trace_kills(tmp_path, kills=8, seed=seed, tell=print)
    print(count)
    assert count.faults == {}
    assert count.acknowledged > 0


def test_what_was_written_is_read_at_once(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    with RunningServer(tmp_path / "home") as server:
        count = asyncio.run(run_read_your_write(server.base, writes=560, writers=8, seed=seed))
    print(count)
    assert count.misses == {}
    assert (count.writes, count.reads) == (560, 2_800)
    assert count.by_kind == dict.fromkeys(KINDS, 80)
