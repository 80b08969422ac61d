"""What the command line does on a database that it opens itself: no server, no settings, no own database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from referee.backfills.backing_up import back_up
from referee.backfills.computing import CRASHED
from referee.backfills.contract import Answer, Backfill
from referee.backfills.ledger import Ledger, Run, RunOptions
from referee.backfills.migrating import Migration, migrate_audit
from referee.backfills.planning import Plan, load_plan, make_plan
from referee.backfills.progress import Progress
from referee.backfills.registry import create_backfill
from referee.backfills.running import RunRequest, resume_run, run_backfill, start_run
from referee.backfills.states import RunState
from referee.backfills.targets.opening import open_target
from referee.backfills.targets.target import Scope, Target, changes_table_of, check_shape
from referee.backfills.undoing import Undone, undo_run
from referee.core.errors import Conflict, InvalidInput, NotFound

__all__ = [
    "ENGINE_REASONS",
    "LocalRun",
    "ask",
    "find_run",
    "migrate",
    "plan",
    "read_plan_option",
    "retry_or_run",
    "tell_reason",
    "undo",
    "verify",
]

ENGINE_REASONS: Mapping[str, str] = {
    "row_locked": "Another transaction held the row for long; a retry fills it.",
    CRASHED: "The backfill itself failed on the row, which is a fault of it.",
}
"""Why the engine itself leaves a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """What to run, and how."""

    options: RunOptions
    scope: Scope = "all"
    plan: str = ""
    """Digest, or path of a plan's file."""
    is_difference_accepted: bool = False
    has_backup: bool = True
    is_forced: bool = False


def tell_reason(backfill: Backfill | type[Backfill], reason: str) -> str:
    """Return the sentence about a reason."""
    return {**ENGINE_REASONS, **backfill.reasons}.get(reason, "")


def plan(
    database: str,
    backfill: Backfill,
    *,
    scope: Scope = "all",
    on_progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Return the plan by a dry run; the database is opened so that nothing can be written."""
    with open_target(database, is_read_only=True) as target:
        return make_plan(target, backfill, scope=scope, on_progress=on_progress)


def read_plan_option(given: str) -> tuple[Plan | None, str]:
    """Return a plan and its digest, from what ``--plan`` was given: a file, or a digest alone.

    Raises:
        InvalidInput: The file is no plan.
    """
    if not given:
        return None, ""
    path = Path(given)
    if path.is_file():
        try:
            loaded = load_plan(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                "backfill.plan_unreadable", f"{path} cannot be read.", "Plan again."
            ) from error
        return loaded, loaded.digest
    return None, given


def retry_or_run(
    database: str,
    backfill: Backfill,
    request: LocalRun,
    *,
    on_begin: Callable[[Run, Path | None, bool], None],
    on_progress: Callable[[Progress], None] | None,
) -> Run:
    """Run a backfill on a database, or go on with its run that has not ended.

    Args:
        database: Path or address.
        backfill: With parameters.
        request: How.
        on_begin: Called with the run, its backup (None without one) and whether it is gone on with.
        on_progress: Called after every batch.
    """
    with open_target(database) as target:
        open_run = Ledger(target).find_open_run(backfill.name)
        if open_run is not None:
            run = resume_run(target, open_run, is_forced=request.is_forced, options=request.options)
            on_begin(run, None, True)
        else:
            check_shape(backfill, target.find_shape(backfill.table), target.label)
            found, digest = read_plan_option(request.plan)
            if digest and not request.is_difference_accepted:
                _refuse_early(target, backfill, request.scope, digest)
            backup = back_up(target) if request.has_backup else None
            run = start_run(
                target,
                backfill,
                RunRequest(
                    options=request.options,
                    scope=request.scope,
                    plan=found,
                    plan_digest=digest,
                    is_difference_accepted=request.is_difference_accepted,
                ),
            )
            on_begin(run, backup, False)
        return run_backfill(target, run, on_progress=on_progress)


def _refuse_early(target: Target, backfill: Backfill, scope: Scope, digest: str) -> None:
    """Before a backup is made for nothing."""
    from referee.backfills.planning import check_plan, refuse_difference  # noqa: PLC0415 - with the others

    now = make_plan(target, backfill, scope=scope, is_predicting=False)
    differences = check_plan(digest, now)
    if differences:
        raise refuse_difference(differences, now)


def migrate(database: str, *, to: int = 21, has_backup: bool = True) -> Migration:
    """Add what an audit database of an older version lacks."""
    with open_target(database) as target:
        return migrate_audit(target, to=to, has_backup=has_backup)


def find_run(target: Target, name: str, run_no: int | None) -> Run:
    """Return a run of a backfill by number, or its newest.

    Raises:
        NotFound: There is none.
    """
    ledger = Ledger(target)
    create_backfill(name)
    run = ledger.find_run(name) if run_no is None else ledger.get_run(run_no)
    if run is None or run.backfill != name:
        raise NotFound(
            "backfill.run_not_found",
            f"{target.label} has no such run of {name}.",
            "List the runs with `referee backfill status --database PATH`.",
        )
    return run


def ask(
    database: str, name: str, *, requested: str | None = None, options: Mapping[str, float] | None = None
) -> Run:
    """Ask the open run of a backfill to pause, to cancel, or to go on in another way.

    Raises:
        Conflict: No run is open.
    """
    with open_target(database) as target:
        ledger = Ledger(target)
        create_backfill(name)
        run = ledger.find_open_run(name)
        if run is None:
            raise Conflict(
                "backfill.no_open_run", f"No run of {name} is open.", "Start one with `referee backfill run`."
            )
        with target.transaction():
            if requested == "cancel" and run.state in (RunState.paused, RunState.failed):
                ledger.set_state(run, RunState.cancelled, reason="Cancelled by a person.")
            else:
                ledger.wish(run.run_no, requested=requested, options=options)
        return ledger.get_run(run.run_no)


def undo(
    database: str,
    name: str,
    run_no: int | None,
    *,
    has_backup: bool,
    on_progress: Callable[[int], None] | None,
) -> Undone:
    """Undo a run; the newest that can be undone when none is named."""
    with open_target(database) as target:
        run = find_run(target, name, run_no)
        if has_backup and run.state is not RunState.undoing:
            back_up(target)
        return undo_run(target, run, on_progress=on_progress)


def verify(database: str, backfill: Backfill) -> list[Answer]:
    """Return the answers to a backfill's questions. Nothing is written."""
    with open_target(database, is_read_only=True) as target:
        check_shape(backfill, target.find_shape(backfill.table), target.label)
        answers = backfill.verify(target, changes_table_of(backfill))
        counted = Ledger(target).count_provenance(backfill)
    return [
        *answers,
        Answer(
            "Which rule gave how many values?",
            ("column", "rule", "cells"),
            [(*key.split("=", 1), count) for key, count in counted.items()],
        ),
    ]


def dump_run(run: Run) -> dict[str, Any]:
    """Return a run as JSON."""
    return {
        "run_no": run.run_no,
        "run_id": run.run_id,
        "backfill": run.backfill,
        "parameters": dict(run.parameters),
        "scope": run.scope,
        "state": run.state.value,
        "reason": run.reason,
        "plan_digest": run.plan_digest,
        "selected_count": run.selected_count,
        "done_share": round(run.done_share, 6),
        "batch_size": run.options.batch_size,
        "throttle_ms": run.options.throttle_ms,
        "max_failure_share": run.options.max_failure_share,
        "counts": run.counts.dump(),
        "predicted": None if run.predicted is None else run.predicted.dump(),
        "checks": json.loads(json.dumps(list(run.checks))),
        "running_s": round(run.running_s, 3),
        "started_at": run.started_at,
        "updated_at": run.updated_at,
        "finished_at": run.finished_at,
    }
