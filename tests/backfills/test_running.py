"""The engine on both kinds of database: predicting, filling, stopping, going on, undoing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.backfills.conftest import CONTENT, DECISIONS, ROWS_COUNT, Ask

from referee.backfills.checking import compare_with_plan
from referee.backfills.computing import compute_batch
from referee.backfills.ledger import Ledger, Run, RunOptions
from referee.backfills.local import ask as ask_run
from referee.backfills.planning import make_plan
from referee.backfills.progress import Progress
from referee.backfills.running import RunRequest, resume_run, run_backfill, start_run
from referee.backfills.states import RunState
from referee.backfills.targets.opening import open_target
from referee.backfills.targets.target import Selection, Target
from referee.backfills.undoing import undo_run
from referee.core.errors import Conflict

SMALL = RunOptions(batch_size=250)


def begin(target: Target, **changes: object) -> Run:
    return start_run(target, DECISIONS, replace(RunRequest(options=SMALL), **changes))  # type: ignore[arg-type]


def stop_after(count: int) -> Callable[[], bool]:
    asked = iter(range(count + 1))
    return lambda: next(asked, None) is None or next(asked, None) is None


def test_dry_run_predicts_every_change(audit_address: str, ask: Ask) -> None:
    before = ask(CONTENT)
    with open_target(audit_address, is_read_only=True) as reader:
        plan = make_plan(reader, DECISIONS)
    assert ask(CONTENT) == before
    with open_target(audit_address) as writer:
        done = run_backfill(writer, begin(writer, plan=plan))
        assert done.state is RunState.finished
        assert [row for row in compare_with_plan(done) if row[1] != row[2]] == []
        assert Ledger(writer).count_provenance(DECISIONS) == dict(sorted(done.counts.rules.items()))
        assert sum(Ledger(writer).count_dead_letters(DECISIONS.name).values()) == done.counts.failed_count > 0


def test_dry_run_writes_no_byte(audit_file: Path) -> None:
    before = hashlib.sha256(audit_file.read_bytes()).digest()
    with open_target(str(audit_file), is_read_only=True) as reader:
        make_plan(reader, DECISIONS)
    assert hashlib.sha256(audit_file.read_bytes()).digest() == before
    assert [path.name for path in audit_file.parent.iterdir() if path.name.startswith("audit.db")] == [
        "audit.db"
    ]


def test_only_null_columns_are_filled(target: Target, ask: Ask) -> None:
    before = {row[0]: row for row in ask(CONTENT)}
    run_backfill(target, begin(target))
    after = {row[0]: row for row in ask(CONTENT)}
    assert [key for key, row in before.items() if row[:6] != after[key][:6]] == []
    kept = [(key, index) for key, row in before.items() for index in (6, 7) if row[index] is not None]
    assert [one for one in kept if before[one[0]][one[1]] != after[one[0]][one[1]]] == []
    assert len(kept) > 20


def test_undo_restores_the_columns(target: Target, ask: Ask) -> None:
    before = ask(CONTENT)
    done = run_backfill(target, begin(target))
    undone = undo_run(target, done, batch_size=400)
    assert ask(CONTENT) == before
    assert undone.restored_count == sum(done.counts.rules.values())
    assert Ledger(target).count_provenance(DECISIONS) == {}
    assert undone.run.state is RunState.undone


def test_undo_leaves_what_was_changed_since(target: Target, ask: Ask) -> None:
    done = run_backfill(target, begin(target))
    ask("UPDATE task_audits SET source_event_ts = 'by hand' WHERE audit_id = 77")
    assert undo_run(target, done).changed_count == 1
    assert ask("SELECT source_event_ts FROM task_audits WHERE audit_id = 77") == [("by hand",)]


def test_run_stopped_anywhere_goes_on_to_the_same_rows(audit_address: str, target: Target, ask: Ask) -> None:
    whole = run_backfill(target, begin(target))
    expected = ask(CONTENT)
    undo_run(target, whole)
    run = begin(target)
    for _ in range(20):
        run = run_backfill(target, run, should_stop=stop_after(2))
        if run.state is RunState.finished:
            break
        run = resume_run(target, run)
    assert run.state is RunState.finished
    assert ask(CONTENT) == expected
    assert run.counts == whole.counts


def test_batch_whose_process_dies_before_its_commit_leaves_nothing(target: Target, ask: Ask) -> None:
    before = ask(CONTENT)
    run = begin(target)
    with pytest.raises(KeyError), target.transaction():
        batch = target.read_batch(Selection(DECISIONS, "all", run.until), None, 100)
        target.apply_batch(
            batch, compute_batch(DECISIONS, batch.rows), lambda rows: compute_batch(DECISIONS, rows), 1
        )
        raise KeyError
    assert ask(CONTENT) == before
    assert Ledger(target).count_provenance(DECISIONS) == {}


def test_pause_is_heard_after_the_present_batch_and_resume_goes_on(
    audit_address: str, target: Target
) -> None:
    def pause_once(progress: Progress) -> None:
        if progress.done_count == 500:
            ask_run(audit_address, DECISIONS.name, requested="pause")

    paused = run_backfill(target, begin(target), on_progress=pause_once)
    assert (paused.state, paused.counts.seen_count) == (RunState.paused, 500)
    done = run_backfill(target, resume_run(target, paused))
    assert (done.state, done.counts.seen_count) == (RunState.finished, ROWS_COUNT - _preset(done))


def _preset(run: Run) -> int:
    return ROWS_COUNT - run.selected_count


def test_batch_size_changes_while_it_runs(audit_address: str, target: Target) -> None:
    sizes: list[int] = []

    def tune(progress: Progress) -> None:
        sizes.append(progress.batch_size)
        if len(sizes) == 1:
            ask_run(audit_address, DECISIONS.name, options={"batch_size": 1_000})

    run_backfill(target, begin(target), on_progress=tune)
    assert sizes[:3] == [250, 1_000, 1_000]


def test_cancelled_run_ends_and_can_be_undone(audit_address: str, target: Target, ask: Ask) -> None:
    before = ask(CONTENT)

    def cancel(progress: Progress) -> None:
        if progress.done_count == 250 and progress.state == "running":
            ask_run(audit_address, DECISIONS.name, requested="cancel")

    run = run_backfill(
        target,
        begin(target),
        on_progress=cancel,
    )
    assert run.state is RunState.cancelled
    undo_run(target, run)
    assert ask(CONTENT) == before


def test_plan_that_changed_is_refused_and_the_part_is_named(target: Target, ask: Ask) -> None:
    plan = make_plan(target, DECISIONS)
    ask("UPDATE task_audits SET source_event_ts = 'x', supervisor_processed_at = 'x' WHERE audit_id <= 10")
    with pytest.raises(Conflict) as refusal:
        begin(target, plan=plan)
    assert refusal.value.context["differences"] == ["selection"]
    done = run_backfill(target, begin(target, plan=plan, is_difference_accepted=True))
    assert [name for name, then, now in compare_with_plan(done) if then != now][:2] == [
        "rows seen",
        "rows filled",
    ]


def test_rows_of_other_writers_are_kept_and_named(audit_address: str, target: Target, ask: Ask) -> None:
    def interfere(progress: Progress) -> None:
        if progress.done_count == 250:
            ask(
                "UPDATE task_audits SET source_event_ts='other', supervisor_processed_at='other' WHERE audit_id = 2000"
            )
            ask("DELETE FROM task_audits WHERE audit_id = 2001")

    done = run_backfill(target, begin(target), on_progress=interfere)
    assert done.state is RunState.finished
    (note,) = [check["note"] for check in done.checks if check["check"] == "other_writers"]
    assert "1 were removed, 1 were set" in note
    assert ask("SELECT source_event_ts FROM task_audits WHERE audit_id = 2000") == [("other",)]


def test_row_changed_between_reading_and_writing_is_computed_again(
    audit_address: str, target: Target, ask: Ask
) -> None:
    run = begin(target)
    real = target.transaction
    told: list[int] = []

    def transaction():  # type: ignore[no-untyped-def]
        if not told:
            told.append(1)
            ask("""UPDATE task_audits SET payload = '{"source_event_ts": 1767323045}' WHERE audit_id = 5""")
            ask(
                "UPDATE task_audits SET source_event_ts='mine', supervisor_processed_at='mine' WHERE audit_id = 6"
            )
            ask("DELETE FROM task_audits WHERE audit_id = 7")
        return real()

    target.transaction = transaction  # type: ignore[method-assign]
    done = run_backfill(target, run)
    assert done.counts.recomputed_count > 0
    assert ask("SELECT source_event_ts FROM task_audits WHERE audit_id IN (5, 6, 7) ORDER BY audit_id") == [
        ("2026-01-02T03:04:05.000000Z",),
        ("mine",),
    ]
    assert done.state is RunState.finished


def test_dead_letters_are_tried_again_once_they_are_mended(target: Target, ask: Ask) -> None:
    run_backfill(target, begin(target))
    waiting = Ledger(target).list_dead_letters(DECISIONS.name, limit=1_000)
    whole = [row[0] for row in waiting if row[1] == "source_event_ts,supervisor_processed_at"]
    ask(f"UPDATE task_audits SET payload = '{{}}' WHERE audit_id = {int(whole[0])}")
    again = run_backfill(target, begin(target, scope="dead_letters"))
    assert (again.counts.seen_count, again.counts.filled_count) == (len(waiting), 1)
    left = Ledger(target).list_dead_letters(DECISIONS.name, limit=1_000)
    assert {row[0] for row in waiting} - {row[0] for row in left} == {whole[0]}
    assert {row[4] for row in left} == {2}


def test_run_stops_when_too_many_rows_fail(target: Target, ask: Ask) -> None:
    ask("UPDATE task_audits SET payload = 'no' WHERE audit_id > 500")
    done = run_backfill(target, begin(target))
    assert done.state is RunState.failed
    assert done.counts.seen_count == 1_000
    assert "could not be processed" in done.reason


def test_run_of_a_living_process_is_not_taken_over_unless_forced(audit_address: str, target: Target) -> None:
    run = begin(target)
    with open_target(audit_address) as second, pytest.raises(Conflict) as refusal:
        resume_run(second, run)
    assert refusal.value.code == "backfill.run_owned"
    with open_target(audit_address) as second:
        taken = resume_run(second, run, is_forced=True)
        with pytest.raises(Conflict) as lost:
            run_backfill(target, run)
        assert lost.value.code == "backfill.run_lost"
        assert run_backfill(second, taken).state is RunState.finished


def test_second_run_finds_nothing_but_the_dead_letters(target: Target, ask: Ask) -> None:
    first = run_backfill(target, begin(target))
    content = ask(CONTENT)
    second = run_backfill(target, begin(target))
    assert (second.counts.filled_count, second.counts.seen_count) == (0, first.counts.failed_count)
    assert ask(CONTENT) == content


def test_table_of_another_schema_is_refused(target: Target, ask: Ask) -> None:
    ask("DROP INDEX idx_task_audits_decision_lag")
    ask("DROP INDEX idx_task_audits_source_event_ts")
    ask("DROP INDEX idx_task_audits_event_type_ts")
    ask("ALTER TABLE task_audits DROP COLUMN source_event_ts")
    with pytest.raises(Conflict) as refusal:
        begin(target)
    assert refusal.value.code == "backfill.columns_missing"
    assert "audit migrate" in refusal.value.hint


def test_second_process_that_writes_loses_nothing_and_waits_no_longer_than_a_batch(
    audit_address: str, target: Target, ask: Ask
) -> None:
    run = begin(target, options=RunOptions(batch_size=100, throttle_ms=5))
    waiting = ask("SELECT audit_id FROM task_audits WHERE source_event_ts IS NULL ORDER BY audit_id")
    untouched = {key: row for key, *row in ask(CONTENT)}
    writer = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("other_writer.py")),
            audit_address,
            str(waiting[-1][0]),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    ends = [time.monotonic()]
    done = run_backfill(target, run, on_progress=lambda _: ends.append(time.monotonic()))
    told = json.loads(writer.communicate(timeout=60)[0])

    assert done.state is RunState.finished
    now = {key: row for key, *row in ask(CONTENT)}
    assert len(told["inserted"]) > 3
    assert [[key, now[key][5]] for key, _ in told["inserted"]] == told["inserted"]
    # What it set in an empty column stands; what the run had filled before, it set over, as any writer may.
    assert [[key, now[key][5]] for key, _ in told["set"]] == told["set"]
    assert [[key, now[key][0]] for key, _ in told["changed"]] == told["changed"]
    kept = [(untouched[key][:4], now[key][:4]) for key in untouched if now[key][0] == untouched[key][0]]
    assert [pair for pair in kept if pair[0] != pair[1]] == []
    longest_batch_s = max(end - began for began, end in pairwise(ends))
    assert max(told["waits_s"]) <= longest_batch_s + 0.5  # a busy machine gives no turn for so long
