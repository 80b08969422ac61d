"""``referee selftest`` through cut connections and stopped apps: four of everything, and the rates hold."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.faults.original_pipeline import run_original_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


def test_four_apps_are_four_everywhere_through_cuts_and_stops(tmp_path: Path, tools_dir: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")

    count = run_original_pipeline(tmp_path, tools_dir, rounds=4, seed=seed, submitters=20, tell=print)

    print(count.dump())
    faults = {check: told for check, told in count.faults.items() if check != "creation time"}
    assert faults == {}, "how fast a pipeline is accepted is for bench/ to say"
    assert count.connections_cut > 0
    assert count.apps_stopped > 0
