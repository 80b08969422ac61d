"""Carry a backfill out: batch after batch, each in one transaction with its cursor, counters and provenance.

Killed at any point, a run goes on at its cursor and comes to the same rows. What it is asked meanwhile (pause,
cancel, another batch size) stands in the target, and it looks there after every batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from referee.backfills.checking import check_run, explain_failure
from referee.backfills.computing import Counts, Work, compute_batch
from referee.backfills.contract import Backfill
from referee.backfills.ledger import Ledger, Run, RunOptions, Wishes
from referee.backfills.planning import Plan, check_plan, make_plan, refuse_difference
from referee.backfills.progress import Pacer, Progress, RateMeter
from referee.backfills.registry import create_backfill
from referee.backfills.states import RunState
from referee.backfills.targets.target import Batch, RowsLocked, Scope, Selection, Target, check_shape
from referee.core.errors import Conflict, NotFound

__all__ = ["RunRequest", "resume_run", "run_backfill", "start_run"]

_FEWEST_JUDGED: Final = 1_000
"""Rows before the share of failures says anything."""
_LOCK_TRIES: Final = 12
_LOCK_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0

OnProgress = Callable[[Progress], None]
Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to run."""

    options: RunOptions = field(default_factory=RunOptions)
    scope: Scope = "all"
    plan: Plan | None = None
    """A dry run's, with what it predicted."""
    plan_digest: str = ""
    """What the plan must still be; empty: whatever it is."""
    is_difference_accepted: bool = False
    run_id: str | None = None


def start_run(target: Target, backfill: Backfill, request: RunRequest) -> Run:
    """Record a run, or take the open one of this backfill over: it goes on as this request says, under its id.

    Raises:
        Conflict: The schema or the plan is another one, or the open run is worked on.
    """
    ledger = Ledger(target)
    open_run = ledger.find_open_run(backfill.name)
    if open_run is not None:
        return resume_run(target, open_run, options=request.options, run_id=request.run_id)
    shape = check_shape(backfill, target.find_shape(backfill.table), target.label)
    if request.scope == "dead_letters" and not ledger.exists():
        raise NotFound(
            "backfill.nothing_to_retry", f"{target.label} has no dead letters.", "Run the backfill first."
        )
    plan = make_plan(target, backfill, scope=request.scope, is_predicting=False)
    wanted = request.plan_digest or (request.plan.digest if request.plan else "")
    differences = check_plan(wanted, plan) if wanted else []
    if differences and not request.is_difference_accepted:
        raise refuse_difference(differences, plan)
    with target.transaction():
        ledger.ensure(backfill, shape)
        return ledger.create_run(
            backfill,
            scope=request.scope,
            digest=plan.digest,
            predicted=None if request.plan is None else request.plan.predicted,
            until=plan.until,
            selected_count=plan.selected_count,
            table_count=plan.table_count,
            options=request.options,
            run_id=request.run_id,
        )


def resume_run(
    target: Target,
    run: Run,
    *,
    is_forced: bool = False,
    options: RunOptions | None = None,
    run_id: str | None = None,
) -> Run:
    """Make this process the owner of a run that has not ended. Without options and id both stay as they are.

    Raises:
        Conflict: It has ended, is being undone, or another process works on it.
    """
    if run.state not in (RunState.running, RunState.paused, RunState.failed):
        raise Conflict(
            "backfill.run_not_resumable",
            f"Run {run.run_no} of {run.backfill} is {run.state}.",
            "Finish its undo first." if run.state is RunState.undoing else "Start a new run.",
        )
    with target.transaction():
        return Ledger(target).take_over(run, is_forced=is_forced, options=options, run_id=run_id)


def run_backfill(
    target: Target,
    run: Run,
    *,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
    sleep: Sleep = time.sleep,
    max_batch_s: float = 1.0,
) -> Run:
    """Work on a run that this process owns until it ends, or is paused.

    Args:
        target: Where it is.
        run: From ``start_run`` or ``resume_run``.
        on_progress: Called after every batch.
        should_stop: Asked after every batch; True pauses the run.
        sleep: For the throttle.
        max_batch_s: Batches become smaller while they take longer than this.

    Returns:
        The run as it ended: finished, failed, paused or cancelled.

    Raises:
        Conflict: Another process took it over.
        Unavailable: The database was lost, or locked for long; a later run goes on at the cursor.
    """
    return _Runner(target, run, on_progress, should_stop, sleep, max_batch_s).work()


class _Runner:
    """One process at work on one run."""

    def __init__(
        self,
        target: Target,
        run: Run,
        on_progress: OnProgress | None,
        should_stop: Callable[[], bool] | None,
        sleep: Sleep,
        max_batch_s: float,
    ) -> None:
        self._target = target
        self._ledger = Ledger(target)
        self._run = run
        self._backfill = create_backfill(run.backfill, run.parameters)
        self._selection = Selection(self._backfill, run.scope, run.until)
        self._compute = partial(compute_batch, self._backfill)
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._sleep = sleep
        self._pacer = Pacer(max_batch_s=max_batch_s)
        self._rate = RateMeter()
        self._has_dead_letters = self._ledger.has_dead_letters(self._backfill.name)

    def work(self) -> Run:
        """Go on until the end or a halt."""
        try:
            halt = self._run_batches()
        except KeyboardInterrupt:
            self._end(RunState.paused, "Interrupted by a person.")
            raise
        if halt is not None:
            return halt
        checks = check_run(self._target, self._backfill, self._run)
        reason = explain_failure(checks)
        state = RunState.failed if reason else RunState.finished
        with self._target.transaction():
            self._run = self._ledger.set_state(self._run, state, reason=reason, checks=checks)
        self._tell(0)
        return self._run

    def _run_batches(self) -> Run | None:
        """Return the run when it came to a halt; None when every row was seen."""
        while True:
            wishes = self._ledger.read_wishes(self._run.run_no)
            halt = self._obey(wishes)
            if halt is not None:
                return halt
            began = time.monotonic()
            limit = self._pacer.size(wishes.options.batch_size)
            batch = self._target.read_batch(self._selection, self._run.cursor, limit)
            if not batch.rows:
                return None
            counts = self._write(batch, began)
            took_s = time.monotonic() - began
            self._pacer.note(limit, len(batch.rows), took_s)
            if wishes.options.throttle_ms:
                self._sleep(wishes.options.throttle_ms / 1_000)
            self._rate.add(counts.seen_count, time.monotonic() - began)
            self._tell(limit)

    def _write(self, batch: Batch, began: float) -> Counts:
        """Write one batch; one that is locked is tried again, and then its locked rows are left as dead letters."""
        work = self._compute(batch.rows)
        for tried in range(_LOCK_TRIES + 1):
            try:
                return self._write_once(batch, work, began)
            except RowsLocked as error:
                if tried == _LOCK_TRIES:
                    return self._write_once(_without(batch, error), self._compute(batch.rows), began)
                self._sleep(min(_LOCK_PAUSE_S * 2**tried, _LONGEST_PAUSE_S))
                batch = self._target.read_batch(self._selection, self._run.cursor, len(batch.rows))
                if not batch.rows:
                    return Counts()
                work = self._compute(batch.rows)
        raise AssertionError("the last try returns or raises")

    def _write_once(self, batch: Batch, work: Work, began: float) -> Counts:
        run, total = self._run, Counts()
        with self._target.transaction():
            done = self._target.apply_batch(batch, work, self._compute, run.run_no)
            if self._has_dead_letters:
                self._ledger.drop_dead_letters(self._backfill.name, _well_keys(done))
            if done.dead:
                self._ledger.put_dead_letters(self._backfill.name, run.run_no, done.dead)
            total.add(run.counts)
            total.add(done.counts)
            running_s = run.running_s + time.monotonic() - began
            self._ledger.advance(run, cursor=batch.last_key, counts=total, running_s=running_s)
        self._run = replace(run, cursor=batch.last_key, counts=total, running_s=running_s)
        return done.counts

    def _obey(self, wishes: Wishes) -> Run | None:
        if wishes.requested == "cancel":
            return self._end(RunState.cancelled, "Cancelled by a person.")
        if wishes.requested == "pause":
            return self._end(RunState.paused, "Paused by a person.")
        if self._should_stop is not None and self._should_stop():
            return self._end(RunState.paused, "Its process was asked to stop.")
        counts = self._run.counts
        has_rest = counts.seen_count < self._run.selected_count
        if has_rest and counts.seen_count >= _FEWEST_JUDGED:
            share = counts.failed_count / counts.seen_count
            if share > wishes.options.max_failure_share:
                return self._end(
                    RunState.failed,
                    f"{share * 100:.3g} % of {counts.seen_count:,} rows could not be processed, which is more than "
                    f"{wishes.options.max_failure_share * 100:.3g} %.",
                )
        return None

    def _end(self, state: RunState, reason: str) -> Run:
        with self._target.transaction():
            self._run = self._ledger.set_state(self._run, state, reason=reason)
        self._tell(0)
        return self._run

    def _tell(self, limit: int) -> None:
        if self._on_progress is None:
            return
        run = self._run
        self._on_progress(
            Progress(
                state=run.state.value,
                done_count=run.counts.seen_count,
                total_count=run.selected_count,
                done_share=run.done_share,
                rows_per_s=self._rate.rows_per_s,
                remaining_s=self._rate.remaining_s(run.selected_count - run.counts.seen_count),
                failed_count=run.counts.failed_count,
                batch_size=limit,
            )
        )


def _well_keys(work: Work) -> list[object]:
    """Keys of rows with nothing left to fill."""
    dead = {letter.key for letter in work.dead}
    return [record[0] for record in work.filled if record[0] not in dead]


def _without(batch: Batch, error: RowsLocked) -> Batch:
    """Return the batch with the locked rows named, so that the target leaves them as dead letters."""
    return replace(batch, locked=frozenset(error.keys))
