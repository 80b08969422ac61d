"""The checks at the end of a run: does the target hold what the counters say, and what did other writers do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from referee.backfills.contract import Backfill
from referee.backfills.ledger import Ledger, Run
from referee.backfills.targets.target import Selection, Target, changes_table_of, quote

__all__ = ["check_run", "compare_with_plan", "explain_failure"]


def check_run(target: Target, backfill: Backfill, run: Run) -> list[dict[str, Any]]:
    """Return each check with what was expected, what was found and whether that is right (None: told only)."""
    ledger = Ledger(target)
    recorded = ledger.count_provenance(backfill, run.run_no)
    counted = dict(sorted(run.counts.rules.items()))
    checks = [
        _check("provenance", "Cells by rule, in the side table and in the counters", counted, recorded),
        _check(
            "rows_seen",
            "Rows that were filled, failed or left, and rows that were seen",
            run.counts.seen_count,
            _count_outcomes(run),
            is_right=_count_outcomes(run) >= run.counts.seen_count,
        ),
    ]
    left_count = _count_selected(target, backfill, run)
    explained_count = run.counts.failed_count + run.counts.left_count
    if run.scope == "all":
        note = ""
        if left_count > explained_count:
            note = f"Other writers added {left_count - explained_count:,} rows or set them to NULL; run it again."
        elif left_count < explained_count:
            note = f"Other writers filled or removed {explained_count - left_count:,} of them."
        checks.append(
            _check("rows_left", "Rows with a NULL, and rows that explain it", explained_count, left_count)
            | {"is_right": True if not note else None, "note": note}
        )
        checks.append(_name_other_writers(target, backfill, run))
    gone_count = _count_gone(target, backfill, run)
    checks.append(
        _check("values_kept", "Rows whose values are NULL again or that are gone", 0, gone_count)
        | {
            "is_right": True if not gone_count else None,
            "note": f"Other writers changed or removed {gone_count:,} rows after they were filled."
            if gone_count
            else "",
        }
    )
    return checks


def explain_failure(checks: Sequence[Mapping[str, Any]]) -> str:
    """Return one sentence about the checks that do not hold; empty when all do."""
    wrong = [str(one["what"]) for one in checks if one["is_right"] is False]
    return f"These do not agree: {'; '.join(wrong)}." if wrong else ""


def compare_with_plan(run: Run) -> list[tuple[str, int | None, int]]:
    """Return what was predicted beside what was done: name, predicted (None without a plan), actual."""
    predicted, actual = run.predicted, run.counts
    names = ["seen", "filled", "failed", "left"]
    rows: list[tuple[str, int | None, int]] = [
        (
            f"rows {name}",
            None if predicted is None else getattr(predicted, f"{name}_count"),
            getattr(actual, f"{name}_count"),
        )
        for name in names
    ]
    for kind in ("rules", "reasons"):
        then = {} if predicted is None else getattr(predicted, kind)
        now = getattr(actual, kind)
        rows += [
            (key, None if predicted is None else then.get(key, 0), now.get(key, 0))
            for key in sorted({*then, *now})
        ]
    return rows


def _check(
    name: str, what: str, expected: object, found: object, is_right: bool | None = None
) -> dict[str, Any]:
    return {
        "check": name,
        "what": what,
        "expected": expected,
        "found": found,
        "is_right": expected == found if is_right is None else is_right,
        "note": "",
    }


def _count_outcomes(run: Run) -> int:
    """A row may be both filled and failed, in different columns, so this may exceed the rows seen."""
    return run.counts.filled_count + run.counts.failed_count + run.counts.left_count


def _name_other_writers(target: Target, backfill: Backfill, run: Run) -> dict[str, Any]:
    """Rows that were selected at the start, and were not there any more when the run came to them."""
    missing_count = run.selected_count - run.counts.seen_count
    table, key = quote(backfill.table), quote(backfill.key)
    now_count = (
        target.query(f"SELECT COUNT(*) FROM {table} WHERE {key} <= ?", run.until)[0][0]
        if run.until is not None
        else 0
    )
    removed_count = max(0, run.table_count - now_count)
    sentences = []
    if missing_count > 0:
        named_removed = min(removed_count, missing_count)
        if named_removed:
            sentences.append(f"{named_removed:,} were removed")
        if missing_count > named_removed:
            sentences.append(f"{missing_count - named_removed:,} were set")
    elif missing_count < 0:
        sentences.append(f"{-missing_count:,} were added")
    if run.counts.recomputed_count:
        sentences.append(
            f"batches with {run.counts.recomputed_count:,} rows were computed again over a change"
        )
    note = f"By other writers, before the run came to them: {', '.join(sentences)}." if sentences else ""
    return _check(
        "other_writers",
        "Rows selected at the start, and rows seen",
        run.selected_count,
        run.counts.seen_count,
    ) | {
        "is_right": True if not note else None,
        "note": note,
    }


def _count_selected(target: Target, backfill: Backfill, run: Run) -> int:
    if run.until is None:
        return 0
    table, key = quote(backfill.table), quote(backfill.key)
    condition = Selection(backfill).condition
    ((count,),) = target.query(
        f"SELECT COUNT(*) FROM {table} t WHERE t.{key} <= ? AND {condition}",
        run.until,
    )
    return int(count)


def _count_gone(target: Target, backfill: Backfill, run: Run) -> int:
    table, key = quote(backfill.table), quote(backfill.key)
    lost = " OR ".join(
        f"(c.{quote(f'{column}_rule')} IS NOT NULL AND t.{quote(column)} IS NULL)"
        for column in backfill.columns
    )
    ((count,),) = target.query(
        f"SELECT COUNT(*) FROM {quote(changes_table_of(backfill))} c LEFT JOIN {table} t ON t.{key} = c.row_key "
        f"WHERE c.run_no = ? AND ({lost})",
        run.run_no,
    )
    return int(count)
