"""Undo a run: the columns that it filled become NULL again, where they still hold what it wrote."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from referee.backfills.ledger import DEAD_LETTERS, Ledger, Run
from referee.backfills.registry import create_backfill
from referee.backfills.states import RunState
from referee.backfills.targets.target import RowsLocked, Target
from referee.core.errors import Conflict

__all__ = ["Undone", "undo_run"]

_LOCK_TRIES = 12


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did."""

    run: Run
    restored_count: int
    """Cells that are NULL again."""
    changed_count: int
    """Cells that somebody changed after the run; they stay."""


def undo_run(
    target: Target,
    run: Run,
    *,
    batch_size: int = 5_000,
    on_progress: Callable[[int], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Undone:
    """Undo a run. Stopped half-way, it is gone on with by calling it again.

    Raises:
        Conflict: The run works, or was undone already; pause or cancel it first.
    """
    if run.state in (RunState.running, RunState.undone):
        raise Conflict(
            "backfill.not_undoable",
            f"Run {run.run_no} of {run.backfill} is {run.state}.",
            "Pause or cancel it first."
            if run.state is RunState.running
            else "There is nothing left to undo.",
        )
    ledger, backfill = Ledger(target), create_backfill(run.backfill, run.parameters)
    if run.state is not RunState.undoing:
        with target.transaction():
            run = ledger.set_state(run, RunState.undoing, checks=run.checks)
    restored_count = changed_count = tries_count = 0
    after = None
    while True:
        try:
            with target.transaction():
                last, restored, changed = target.undo_batch(backfill, run.run_no, after, batch_size)
        except RowsLocked:
            tries_count += 1
            if tries_count > _LOCK_TRIES:
                raise
            sleep(min(1.0, 0.05 * 2**tries_count))
            continue
        tries_count = 0
        if last is None:
            break
        after = last
        restored_count, changed_count = restored_count + restored, changed_count + changed
        if on_progress is not None:
            on_progress(restored_count)
    note = f"{changed_count:,} cells had been changed after the run and stayed." if changed_count else ""
    with target.transaction():
        target.execute(
            f"DELETE FROM {DEAD_LETTERS} WHERE backfill = ? AND run_no = ?",
            run.backfill,
            run.run_no,
        )
        run = ledger.set_state(run, RunState.undone, reason=note)
    return Undone(run, restored_count, changed_count)
