"""Kill a backfill with ``kill -9`` at random instants, let it go on, and compare with one that nobody killed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from referee.backfills.audit_worlds import create_audit_database
from referee.backfills.checking import compare_with_plan
from referee.backfills.ledger import Ledger, Run, RunOptions
from referee.backfills.planning import Plan, make_plan
from referee.backfills.registry import create_backfill
from referee.backfills.running import RunRequest, run_backfill, start_run
from referee.backfills.states import RunState
from referee.backfills.targets.opening import open_target
from referee.backfills.undoing import undo_run

__all__ = ["KillCount", "digest_file", "run_kills"]

_BEGIN_S = 30.0
_TABLES = {
    "task_audits": "SELECT * FROM task_audits ORDER BY audit_id",
    "changes": "SELECT * FROM referee_backfill_changes__audit_decisions ORDER BY row_key",
    "dead_letters": "SELECT * FROM referee_backfill_dead_letters ORDER BY row_key",
}


@dataclass(frozen=True, slots=True)
class KillCount:
    """What came of it."""

    kills: int
    kills_amid_work: int
    """Kills after which the run had come further, and was not at its end."""
    written_files: tuple[str, ...]
    """Files of the database that were changed or made by the dry run."""
    wrong_predictions: tuple[str, ...]
    """What the dry run had predicted otherwise: rows, rules and reasons by name."""
    uncounted_rules: tuple[str, ...]
    """Rules whose values in the side table are not as many as the run says."""
    differing_tables: int
    is_undone: bool
    """Whether undo gave the first content back, byte for byte."""


def run_kills(
    folder: Path, *, kills: int, rows: int, batch_size: int, seed: int, tell: Callable[[str], None] = print
) -> KillCount:
    """Kill so many times and return what was counted."""
    chance = random.Random(seed)
    original, whole, killed = (folder / f"{name}.db" for name in ("original", "whole", "killed"))
    create_audit_database(original, rows, seed=seed)
    for path in (whole, killed):
        shutil.copy(original, path)
    plan, written_files = _plan(killed)
    began = time.monotonic()
    work(whole, batch_size, plan)
    whole_s = time.monotonic() - began
    amid_count = last_seen = 0
    for number in range(kills):
        after_s, is_early = chance.uniform(0, 2 * whole_s / kills), chance.random() < 0.1
        _kill_once(killed, batch_size, plan, after_s, is_early=is_early)
        run = read_run(killed)
        seen = 0 if run is None else run.counts.seen_count
        amid_count += run is not None and seen > last_seen and run.state is RunState.running
        last_seen = seen
        if number % 20 == 19:
            tell(f"{number + 1} kills, {seen:,} rows done")
    work(killed, batch_size, plan)
    differing = [name for name in _TABLES if digest_file(whole, name) != digest_file(killed, name)]
    with open_target(str(killed)) as target:
        run = Ledger(target).find_run()
        assert run is not None
        wrong = tuple(name for name, predicted, actual in compare_with_plan(run) if predicted != actual)
        held = Ledger(target).count_provenance(create_backfill("audit-decisions"))
        rules = sorted(run.counts.rules.keys() | held.keys())
        uncounted = tuple(rule for rule in rules if held.get(rule) != run.counts.rules.get(rule))
        undo_run(target, run)
    return KillCount(
        kills,
        amid_count,
        written_files,
        wrong,
        uncounted,
        len(differing),
        digest_file(original, "task_audits") == digest_file(killed, "task_audits"),
    )


def _plan(path: Path) -> tuple[Plan, tuple[str, ...]]:
    """Make a dry run. Returns its plan, and the files it wrote to or made: there should be none."""

    def read_files() -> dict[str, str]:
        found = {}
        for one in path.parent.glob(f"{path.name}*"):
            with one.open("rb") as file:
                found[one.name] = hashlib.file_digest(file, "sha256").hexdigest()
        return found

    before = read_files()
    with open_target(str(path), is_read_only=True) as target:
        plan = make_plan(target, create_backfill("audit-decisions"))
    after = read_files()
    names = sorted(before.keys() | after.keys())
    return plan, tuple(name for name in names if before.get(name) != after.get(name))


def _kill_once(path: Path, batch_size: int, plan: Plan, after_s: float, *, is_early: bool) -> None:
    """Kill a process so long after it has begun to work, or after it was made: a busy machine takes long to begin."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(path, batch_size, plan, lambda: there.send(None)))
    process.start()
    there.close()
    if not is_early:
        here.poll(_BEGIN_S)
    time.sleep(after_s)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    here.close()


def work(path: Path, batch_size: int, plan: Plan, on_begin: Callable[[], None] = lambda: None) -> None:
    """Start the run or go on with it. What a killed process did."""
    with open_target(str(path)) as target:
        last = Ledger(target).find_run()
        if last is not None and last.state is RunState.finished:
            return
        request = RunRequest(options=RunOptions(batch_size=batch_size), plan=plan)
        run = start_run(target, create_backfill("audit-decisions"), request)
        on_begin()
        run_backfill(target, run)


def read_run(path: Path) -> Run | None:
    """Return the run as the file has it."""
    with open_target(str(path)) as target:
        return Ledger(target).find_run()


def digest_file(path: Path, name: str) -> str:
    """Return SHA-256 over every value of a table, with its type."""
    digest = hashlib.sha256()
    with closing(sqlite3.connect(path)) as connection:
        for row in connection.execute(_TABLES[name]):
            digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
