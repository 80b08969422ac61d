"""Running apps in every kind of trouble: no finding of the wrong app, nothing clean without a scan, nothing left."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.faults.app_oracle import AppCount
from tests.faults.app_rounds import KINDS, run_app_rounds

from referee.foundation.settings import Settings

pytestmark = pytest.mark.apt

ROUNDS = 25


def check(count: AppCount, rounds: int) -> None:
    print(count.dump())
    assert (count.faults, count.sayings) == ({}, [])
    assert sum(count.rounds.values()) == rounds


def choose_seed() -> int:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    return seed


def test_app_whose_port_is_taken_or_that_ends_in_mid_scan_has_no_wrong_result(
    tmp_path: Path, database_settings: Settings, tools_dir: Path
) -> None:
    count = run_app_rounds(
        tmp_path,
        tools_dir,
        rounds=2,
        seed=choose_seed(),
        kinds=("port_taken", "stopped_mid_scan"),
        database_url=database_settings.database_url,
        tell=print,
    )

    check(count, 2)


@pytest.mark.slow
@pytest.mark.timeout(2_400)
def test_no_trouble_of_an_app_leads_to_a_wrong_result_or_leaves_anything(
    tmp_path: Path, tools_dir: Path
) -> None:
    count = run_app_rounds(tmp_path, tools_dir, rounds=ROUNDS, seed=choose_seed(), tell=print)

    check(count, ROUNDS)
    assert sorted(count.rounds) == sorted(KINDS)
    assert count.tool_runs_struck > 0
