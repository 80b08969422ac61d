"""``kill -9`` of everything while a pipeline of 3 × 5 cells runs: 15 valid cells, and nothing left behind."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.faults.pipeline_kills import CELLS_COUNT, run_pipeline_kills

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


def test_each_cell_of_a_pipeline_is_valid_whatever_is_killed(tmp_path: Path, tools_dir: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")

    count = run_pipeline_kills(tmp_path, tools_dir, kills=12, seed=seed, tell=print)

    print(count.dump())
    assert count.faults == {}
    assert count.cells == CELLS_COUNT * count.pipelines
    assert count.kills == 12
