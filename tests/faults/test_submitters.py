"""The same pipeline and the same cell from many clients at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.submitters import run_submitters


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_same_pipeline_and_same_cell_are_one_for_200_threads(tmp_path: Path, tools_dir: Path) -> None:
    count = run_submitters(tmp_path, tools_dir, threads=200, rounds=10, tell=print)

    print(count.dump())
    assert count.faults == {}
    assert count.answers == 2_000
