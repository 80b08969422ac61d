"""Killed at random instants and gone on with, a backfill ends byte for byte like one that nobody killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.backfills.kills import run_kills


def test_run_killed_a_few_times_ends_byte_equal_and_undo_restores_the_original(tmp_path: Path) -> None:
    count = run_kills(tmp_path, kills=6, rows=4_000, batch_size=100, seed=20261130)
    assert (count.kills, count.differing_tables, count.is_undone) == (6, 0, True)
    assert (count.dry_files_changed, count.mispredicted) == (0, ())
    assert count.predicted_count > 0


@pytest.mark.slow
def test_run_killed_200_times_ends_byte_equal(tmp_path: Path) -> None:
    count = run_kills(tmp_path, kills=200, rows=100_000, batch_size=200, seed=20261130)
    assert (count.kills, count.differing_tables, count.is_undone) == (200, 0, True)
    assert (count.dry_files_changed, count.mispredicted) == (0, ())
    assert count.predicted_count > 0
    assert count.kills_amid_work > 50
