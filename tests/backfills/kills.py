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
from dataclasses import dataclass, replace
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
    differing_tables: int
    is_undone: bool
    """Whether undo gave the first content back, byte for byte."""
    dry_files_changed: int
    """Files of the database (itself, ``-wal``, ``-shm``) that the dry run changed, made or removed."""
    predicted_count: int
    """Rows that the dry run said would be filled."""
    mispredicted: tuple[str, ...]
    """Counters and rules for which the dry run said another number than was done, by counters or side table."""


def run_kills(
    folder: Path, *, kills: int, rows: int, batch_size: int, seed: int, tell: Callable[[str], None] = print
) -> KillCount:
    """Kill so many times and return what was counted."""
    chance = random.Random(seed)
    original, whole, killed = (folder / f"{name}.db" for name in ("original", "whole", "killed"))
    create_audit_database(original, rows, seed=seed)
    for path in (whole, killed):
        shutil.copy(original, path)
    before = _digest_files(killed)
    plan = _plan(killed)
    after = _digest_files(killed)
    tell(
        f"dry run of {plan.selected_count:,} rows in {plan.elapsed_s:.1f} s; files {before} before, {after} after"
    )
    began = time.monotonic()
    work(whole, batch_size)
    whole_s = time.monotonic() - began
    amid_count = last_seen = 0
    for number in range(kills):
        _kill_once(killed, batch_size, chance.uniform(0, 2 * whole_s / kills), is_early=chance.random() < 0.1)
        run = read_run(killed)
        seen = 0 if run is None else run.counts.seen_count
        amid_count += run is not None and seen > last_seen and run.state is RunState.running
        last_seen = seen
        if number % 20 == 19:
            tell(f"{number + 1} kills, {seen:,} rows done")
    work(killed, batch_size)
    differing = [name for name in _TABLES if digest_file(whole, name) != digest_file(killed, name)]
    mispredicted = sorted({name for path in (whole, killed) for name in _name_mispredicted(path, plan)})
    with open_target(str(killed)) as target:
        run = Ledger(target).find_run()
        assert run is not None
        undo_run(target, run)
    return KillCount(
        kills=kills,
        kills_amid_work=amid_count,
        differing_tables=len(differing),
        is_undone=digest_file(original, "task_audits") == digest_file(killed, "task_audits"),
        dry_files_changed=sum(before.get(name) != after.get(name) for name in {*before, *after}),
        predicted_count=0 if plan.predicted is None else plan.predicted.filled_count,
        mispredicted=tuple(mispredicted),
    )


def _plan(path: Path) -> Plan:
    """Return what a dry run says, as ``referee backfill plan`` does it."""
    with open_target(str(path), is_read_only=True) as target:
        return make_plan(target, create_backfill("audit-decisions"))


def _name_mispredicted(path: Path, plan: Plan) -> list[str]:
    """Return what the dry run said differently from the run's counters or from provenance in the side tables."""
    backfill = create_backfill("audit-decisions")
    with open_target(str(path), is_read_only=True) as target:
        ledger = Ledger(target)
        run = ledger.find_run()
        assert run is not None
        assert plan.predicted is not None
        rules = ledger.count_provenance(backfill, run.run_no)
        reasons = ledger.count_dead_letters(backfill.name)
    rows = compare_with_plan(replace(run, predicted=plan.predicted))
    said = {**plan.predicted.rules, **plan.predicted.reasons}
    found = {**rules, **reasons}
    return [name for name, then, now in rows if then != now] + [
        name for name in {*said, *found} if said.get(name, 0) != found.get(name, 0)
    ]


def _digest_files(path: Path) -> dict[str, str]:
    """Return SHA-256 of the database's file and of those SQLite keeps beside it, as far as there are any."""
    digests = {}
    for end in ("", "-wal", "-shm", "-journal"):
        one = path.with_name(path.name + end)
        if one.exists():
            with one.open("rb") as file:
                digests[f"db{end}"] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _kill_once(path: Path, batch_size: int, after_s: float, *, is_early: bool) -> None:
    """Kill a process so long after it has begun to work, or after it was made: a busy machine takes long to begin."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(path, batch_size, lambda: there.send(None)))
    process.start()
    there.close()
    if not is_early:
        here.poll(_BEGIN_S)
    time.sleep(after_s)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    here.close()


def work(path: Path, batch_size: int, on_begin: Callable[[], None] = lambda: None) -> None:
    """Start the run or go on with it. What a killed process did."""
    with open_target(str(path)) as target:
        last = Ledger(target).find_run()
        if last is not None and last.state is RunState.finished:
            return
        request = RunRequest(options=RunOptions(batch_size=batch_size))
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
