"""``kill -9`` at random points: nothing acknowledged is lost, and nothing is there twice."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import pytest
from tests.faults.kills import Count, run_kills

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500)]

KILLS = 24


def check(count: Count) -> None:
    print(count.dump())
    assert count.faults == {}
    assert count.acknowledged > 0
    assert statistics.median(count.ready_s) < 30


def test_nothing_is_lost_or_doubled_when_server_and_worker_are_killed(
    tmp_path: Path, tools_dir: Path
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    count = run_kills(tmp_path, tools_dir, kills=KILLS, seed=seed, tell=print)

    check(count)
    assert count.kills >= 20
    assert count.attempts_repeated > 0
    assert max(count.taken_over_s, default=0.0) <= 5.0


def test_nothing_is_lost_or_doubled_when_the_database_is_killed(tmp_path: Path, tools_dir: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    count = run_kills(
        tmp_path, tools_dir, kills=8, seed=seed, targets=("database", "supervisor", "server"), tell=print
    )

    check(count)
