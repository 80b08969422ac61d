"""The dry run: the real computation on a connection that cannot write, and a digest of what it rests on.

The digest has four parts, so that a difference can be named: rule, parameters, schema, selection.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from referee.backfills.computing import Counts, compute_batch
from referee.backfills.contract import Backfill
from referee.backfills.registry import create_backfill
from referee.backfills.targets.target import Scope, Selection, TableShape, Target, check_shape, quote
from referee.core.errors import Conflict, InvalidInput

__all__ = ["Plan", "check_plan", "load_plan", "make_plan", "measure_selection"]

SCHEMA: Final = "referee.backfill_plan"
SCHEMA_VERSION: Final = "1.0"
_PARTS: Final = ("rule", "parameters", "schema", "selection")
_PART_CHARS: Final = 12
_DRY_BATCH: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do."""

    backfill: str
    parameters: Mapping[str, int]
    scope: Scope
    target: str
    schema_version: str | None
    until: Any
    selected_count: int
    table_count: int
    digest: str
    predicted: Counts | None = None
    """None: only the selection was looked at."""
    elapsed_s: float = 0.0

    def dump(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "backfill": self.backfill,
            "parameters": dict(self.parameters),
            "scope": self.scope,
            "target": self.target,
            "target_schema_version": self.schema_version,
            "until": self.until,
            "selected_count": self.selected_count,
            "table_count": self.table_count,
            "digest": self.digest,
            "predicted": None if self.predicted is None else self.predicted.dump(),
            "elapsed_s": round(self.elapsed_s, 3),
        }


def make_plan(
    target: Target,
    backfill: Backfill,
    *,
    scope: Scope = "all",
    is_predicting: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Return what a run would do; nothing is written.

    Args:
        target: Opened for reading only when this is a dry run.
        backfill: With its parameters.
        scope: All rows, or those among the dead letters.
        is_predicting: Whether every row is computed too; without it only the selection is measured.
        on_progress: Called with rows done and rows in all after each batch.

    Raises:
        Conflict: The target does not have the schema that the backfill is for.
    """
    began = time.monotonic()
    shape = check_shape(backfill, target.find_shape(backfill.table), target.label)
    until, selected_count, table_count = measure_selection(target, backfill, scope)
    digest = _digest(backfill, shape, scope, until, selected_count)
    predicted = None
    if is_predicting:
        selection = Selection(backfill, scope, until)
        predicted = Counts()
        after = None
        while (batch := target.read_batch(selection, after, _DRY_BATCH)).rows:
            predicted.add(compute_batch(backfill, batch.rows).counts)
            after = batch.last_key
            if on_progress is not None:
                on_progress(predicted.seen_count, selected_count)
    return Plan(
        backfill=backfill.name,
        parameters=backfill.given,
        scope=scope,
        target=target.label,
        schema_version=shape.schema_version,
        until=until,
        selected_count=selected_count,
        table_count=table_count,
        digest=digest,
        predicted=predicted,
        elapsed_s=time.monotonic() - began,
    )


def measure_selection(target: Target, backfill: Backfill, scope: Scope) -> tuple[Any, int, int]:
    """Return the last key of the table, the rows that are selected, and the rows there are."""
    table, key = quote(backfill.table), quote(backfill.key)
    ((until, table_count),) = target.query(f"SELECT MAX({key}), COUNT(*) FROM {table}")
    if until is None:
        return None, 0, 0
    until = until if isinstance(until, int) else str(until)
    if scope == "dead_letters":
        rows = target.query(
            "SELECT COUNT(*) FROM referee_backfill_dead_letters WHERE backfill = ?", backfill.name
        )
    else:
        condition = Selection(backfill).condition
        rows = target.query(f"SELECT COUNT(*) FROM {table} t WHERE {condition}")
    return until, rows[0][0], table_count


def check_plan(wanted: str, plan: Plan) -> list[str]:
    """Return in what a plan differs from the digest that a person saw; empty when in nothing.

    Raises:
        InvalidInput: It is no digest of a plan.
    """
    parts = wanted.strip().split("-")
    if len(parts) != len(_PARTS) or any(len(part) != _PART_CHARS for part in parts):
        raise InvalidInput(
            "backfill.plan_digest_invalid",
            f"{wanted[:80]!r} is no digest of a plan.",
            "Give what `referee backfill plan` printed, or the file it wrote.",
        )
    return [
        name
        for name, then, now in zip(_PARTS, parts, plan.digest.split("-"), strict=True)
        if then.lower() != now
    ]


def refuse_difference(differences: list[str], plan: Plan) -> Conflict:
    """Return what a run says when it is not what was planned."""
    return Conflict(
        "backfill.plan_differs",
        f"The plan differs from the one you gave in: {', '.join(differences)}. It is {plan.digest} now.",
        "Plan again, or run it all the same with --accept-differences.",
        differences=differences,
        digest=plan.digest,
    )


def load_plan(text: str) -> Plan:
    """Return a plan from the JSON that ``plan --output`` wrote.

    Raises:
        InvalidInput: It is none.
    """
    try:
        values = json.loads(text)
        if values["schema"] != SCHEMA:
            raise ValueError(values["schema"])
        backfill = create_backfill(values["backfill"], values["parameters"])
        predicted = values["predicted"]
        return Plan(
            backfill=backfill.name,
            parameters=backfill.given,
            scope="dead_letters" if values["scope"] == "dead_letters" else "all",
            target=str(values["target"]),
            schema_version=values["target_schema_version"],
            until=values["until"],
            selected_count=int(values["selected_count"]),
            table_count=int(values["table_count"]),
            digest=str(values["digest"]),
            predicted=None if predicted is None else Counts.load(predicted),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            "backfill.plan_unreadable",
            "The file holds no plan of a backfill.",
            "Write one with `referee backfill plan NAME --database PATH --output FILE`.",
        ) from error


def _digest(backfill: Backfill, shape: TableShape, scope: Scope, until: Any, selected_count: int) -> str:
    concerned = (backfill.key, *backfill.inputs, *backfill.columns)
    parts: tuple[object, ...] = (
        [backfill.name, backfill.version, list(backfill.rules), sorted(backfill.reasons)],
        backfill.given,
        [shape.name, shape.schema_version, {name: shape.columns[name] for name in concerned}],
        [scope, Selection(backfill).condition, until, selected_count],
    )
    texts = (json.dumps(part, sort_keys=True, default=str) for part in parts)
    return "-".join(hashlib.sha256(text.encode()).hexdigest()[:_PART_CHARS] for text in texts)
