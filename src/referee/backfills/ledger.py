"""The side tables of the target: runs, rules, provenance and dead letters.

They stand in the database that is rewritten, so that cursor, counters, provenance and rows are committed
together: whatever kills the process, they agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from referee.backfills.computing import Counts, DeadLetter, number_rules
from referee.backfills.contract import Backfill
from referee.backfills.states import RESUMABLE_STATES, RunState
from referee.backfills.targets.target import Scope, TableShape, Target, changes_table_of, quote
from referee.core.errors import Conflict, NotFound
from referee.foundation.jobs import ProcessIdentity, is_provably_gone, read_own_identity

__all__ = ["Ledger", "Run", "RunOptions", "Wishes"]

RUNS: Final = "referee_backfill_runs"
RULES: Final = "referee_backfill_rules"
DEAD_LETTERS: Final = "referee_backfill_dead_letters"

_STALE_S: Final = 120.0
"""A runner that has not been heard of for so long is taken over; a batch and a throttle take less."""
_COLUMNS: Final = (
    "run_no", "run_id", "backfill", "parameters", "scope", "plan_digest", "predicted", "state", "requested",
    "owner", "owner_at", "cursor", "until", "selected_count", "table_count", "batch_size", "throttle_ms",
    "max_failure_share", "counts", "running_s", "checks", "reason", "started_at", "updated_at", "finished_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run goes about its work. All may be changed while it runs."""

    batch_size: int = 1_000
    """Rows a transaction, at most."""
    throttle_ms: int = 0
    """Milliseconds without work after each batch."""
    max_failure_share: float = 0.2
    """The run stops when more of its rows than this fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What somebody asked of a run since its last batch."""

    requested: str
    """Empty, ``pause`` or ``cancel``."""
    options: RunOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it stands in the target."""

    run_no: int
    run_id: str
    backfill: str
    parameters: Mapping[str, int]
    scope: Scope
    plan_digest: str
    predicted: Counts | None
    """What its plan said; None when it was started without one."""
    state: RunState
    requested: str
    owner: str
    owner_at: float
    cursor: Any
    until: Any
    selected_count: int
    """Rows that were to be processed when it started."""
    table_count: int
    """Rows of the table up to ``until`` when it started."""
    options: RunOptions
    counts: Counts
    running_s: float
    """Without pauses."""
    checks: Sequence[Mapping[str, Any]]
    reason: str
    started_at: str
    updated_at: str
    finished_at: str | None

    @property
    def done_share(self) -> float:
        """How much of it is done, 0 to 1."""
        if self.state is RunState.finished or self.selected_count == 0:
            return 1.0
        return min(1.0, self.counts.seen_count / self.selected_count)


class Ledger:
    """Reads and writes the side tables of one target."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def exists(self) -> bool:
        """Whether a backfill has ever run here."""
        return self._target.has_table(RUNS)

    def ensure(self, backfill: Backfill, shape: TableShape) -> None:
        """Create what is missing. In a transaction."""
        changes, key_type = changes_table_of(backfill), self._target.key_type(shape, backfill)
        pairs = ", ".join(
            f"{quote(f'{column}_rule')} INTEGER, {quote(f'{column}_written')} TEXT"
            for column in backfill.columns
        )
        ending = " WITHOUT ROWID" if self._target.dialect == "sqlite" else ""
        real = "REAL" if self._target.dialect == "sqlite" else "DOUBLE PRECISION"
        for statement in (
            f"""CREATE TABLE IF NOT EXISTS {RUNS} (
                run_no INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, backfill TEXT NOT NULL,
                parameters TEXT NOT NULL, scope TEXT NOT NULL, plan_digest TEXT NOT NULL, predicted TEXT,
                state TEXT NOT NULL, requested TEXT NOT NULL, owner TEXT NOT NULL, owner_at {real} NOT NULL,
                cursor TEXT NOT NULL, until TEXT NOT NULL, selected_count BIGINT NOT NULL,
                table_count BIGINT NOT NULL, batch_size INTEGER NOT NULL, throttle_ms INTEGER NOT NULL,
                max_failure_share {real} NOT NULL, counts TEXT NOT NULL, running_s {real} NOT NULL,
                checks TEXT NOT NULL, reason TEXT NOT NULL, started_at TEXT NOT NULL, updated_at TEXT NOT NULL,
                finished_at TEXT)""",
            f"""CREATE TABLE IF NOT EXISTS {RULES} (
                backfill TEXT NOT NULL, rule_no INTEGER NOT NULL, rule TEXT NOT NULL,
                PRIMARY KEY (backfill, rule_no))""",
            f"""CREATE TABLE IF NOT EXISTS {DEAD_LETTERS} (
                backfill TEXT NOT NULL, row_key TEXT NOT NULL, run_no INTEGER NOT NULL, columns TEXT NOT NULL,
                reason TEXT NOT NULL, detail TEXT NOT NULL, tries_count INTEGER NOT NULL,
                PRIMARY KEY (backfill, row_key))""",
            f"""CREATE TABLE IF NOT EXISTS {quote(changes)} (
                row_key {key_type} NOT NULL, run_no INTEGER NOT NULL, {pairs},
                PRIMARY KEY (row_key, run_no)){ending}""",
        ):
            self._target.execute(statement)
        known = dict(
            self._target.query(f"SELECT rule, rule_no FROM {RULES} WHERE backfill = ?", backfill.name)
        )
        for rule, number in number_rules(backfill).items():
            if known.get(rule, number) != number:
                raise Conflict(
                    "backfill.rules_renumbered",
                    f"The side table knows the rule {rule} of {backfill.name} under another number.",
                    "Add rules at the end only; undo the earlier runs first.",
                )
            if rule not in known:
                self._target.execute(f"INSERT INTO {RULES} VALUES (?, ?, ?)", backfill.name, number, rule)

    def create_run(
        self,
        backfill: Backfill,
        *,
        scope: Scope,
        digest: str,
        predicted: Counts | None,
        until: Any,
        selected_count: int,
        table_count: int,
        options: RunOptions,
        run_id: str | None = None,
    ) -> Run:
        """Record a new run, owned by this process. In a transaction.

        Raises:
            Conflict: Another run of the backfill has not ended.
        """
        open_run = self.find_open_run(backfill.name)
        if open_run is not None:
            raise Conflict(
                "backfill.run_open",
                f"Run {open_run.run_no} of {backfill.name} is {open_run.state}.",
                "Resume or cancel it first.",
            )
        if self._target.dialect == "postgresql":
            self._target.execute(f"LOCK TABLE {RUNS} IN SHARE ROW EXCLUSIVE MODE")
        ((last,),) = self._target.query(f"SELECT COALESCE(MAX(run_no), 0) FROM {RUNS}")
        now = _now_text()
        marks = ", ".join("?" * len(_COLUMNS))
        self._target.execute(
            f"INSERT INTO {RUNS} ({', '.join(_COLUMNS)}) VALUES ({marks})",
            last + 1, run_id or uuid4().hex, backfill.name, json.dumps(backfill.given, sort_keys=True), scope,
            digest, None if predicted is None else json.dumps(predicted.dump()), RunState.running.value, "",
            _own_name(), _now(), "null", json.dumps(until), selected_count, table_count, options.batch_size,
            options.throttle_ms, options.max_failure_share, json.dumps(Counts().dump()), 0.0, "[]", "", now, now,
            None,
        )  # fmt: skip
        return self.get_run(last + 1)

    def take_over(
        self,
        run: Run,
        *,
        is_forced: bool = False,
        options: RunOptions | None = None,
        run_id: str | None = None,
    ) -> Run:
        """Make this process the owner of a run that is to go on. In a transaction.

        Args:
            run: It has not ended.
            is_forced: Whether it is taken from a process that is surely gone.
            options: How it goes on; None: as before.
            run_id: What it is known by from now on; None: as before.

        Raises:
            Conflict: Another process works on it.
        """
        run = self.get_run(run.run_no)
        if run.state is RunState.running and not is_forced and not _is_abandoned(run):
            raise Conflict(
                "backfill.run_owned",
                f"Run {run.run_no} of {run.backfill} is worked on by {_describe_owner(run.owner)}.",
                "Wait for it, pause it, or take it over with --force when that process is surely gone.",
            )
        self._target.execute(
            f"UPDATE {RUNS} SET state = ?, requested = '', owner = ?, owner_at = ?, reason = '' WHERE run_no = ?",
            RunState.running.value,
            _own_name(),
            _now(),
            run.run_no,
        )
        if options is not None:
            self.wish(run.run_no, options=asdict(options))
        if run_id is not None:
            self._target.execute(f"UPDATE {RUNS} SET run_id = ? WHERE run_no = ?", run_id, run.run_no)
        return self.get_run(run.run_no)

    def advance(self, run: Run, *, cursor: Any, counts: Counts, running_s: float) -> None:
        """Record how far a run is. In the transaction of the batch.

        Raises:
            Conflict: Another process has taken the run over; nothing of the batch may be kept.
        """
        changed = self._target.execute(
            f"UPDATE {RUNS} SET cursor = ?, counts = ?, running_s = ?, owner_at = ?, updated_at = ? "
            "WHERE run_no = ? AND owner = ? AND state = 'running'",
            json.dumps(cursor),
            json.dumps(counts.dump()),
            running_s,
            _now(),
            _now_text(),
            run.run_no,
            run.owner,
        )
        if changed != 1:
            raise Conflict(
                "backfill.run_lost",
                f"Run {run.run_no} of {run.backfill} was taken over by another process.",
                "That one goes on with it.",
            )

    def read_wishes(self, run_no: int) -> Wishes:
        """Return what is asked of a run."""
        ((requested, batch_size, throttle_ms, share),) = self._target.query(
            f"SELECT requested, batch_size, throttle_ms, max_failure_share FROM {RUNS} WHERE run_no = ?",
            run_no,
        )
        return Wishes(
            requested=requested,
            options=RunOptions(batch_size=batch_size, throttle_ms=throttle_ms, max_failure_share=share),
        )

    def wish(
        self, run_no: int, *, requested: str | None = None, options: Mapping[str, float] | None = None
    ) -> None:
        """Ask something of a run: it hears after its present batch. In a transaction."""
        for name, value in (options or {}).items():
            if name in ("batch_size", "throttle_ms", "max_failure_share"):
                self._target.execute(f"UPDATE {RUNS} SET {name} = ? WHERE run_no = ?", value, run_no)
        if requested is not None:
            self._target.execute(f"UPDATE {RUNS} SET requested = ? WHERE run_no = ?", requested, run_no)

    def set_state(
        self, run: Run, state: RunState, *, reason: str = "", checks: Sequence[Mapping[str, Any]] = ()
    ) -> Run:
        """Record that a run has come to a halt. In a transaction."""
        has_ended = state in (RunState.finished, RunState.failed, RunState.cancelled, RunState.undone)
        self._target.execute(
            f"UPDATE {RUNS} SET state = ?, requested = '', reason = ?, checks = ?, updated_at = ?, finished_at = ? "
            "WHERE run_no = ?",
            state.value,
            reason,
            json.dumps(list(checks)),
            _now_text(),
            _now_text() if has_ended else None,
            run.run_no,
        )
        return self.get_run(run.run_no)

    def get_run(self, run_no: int) -> Run:
        """Return a run.

        Raises:
            NotFound: There is none of this number.
        """
        rows = self._select("WHERE run_no = ?", run_no) if self.exists() else []
        if not rows:
            raise NotFound(
                "backfill.run_not_found",
                f"{self._target.label} has no run {run_no}.",
                "List them with `referee backfill status --database PATH`.",
            )
        return rows[0]

    def find_run(self, backfill: str | None = None) -> Run | None:
        """Return the newest run, of any or one backfill."""
        if not self.exists():
            return None
        where = "WHERE backfill = ?" if backfill else ""
        rows = self._select(f"{where} ORDER BY run_no DESC LIMIT 1", *((backfill,) if backfill else ()))
        return rows[0] if rows else None

    def find_by_id(self, run_id: str) -> Run | None:
        """Return the run that was started under an id."""
        rows = self._select("WHERE run_id = ?", run_id) if self.exists() else []
        return rows[0] if rows else None

    def find_open_run(self, backfill: str) -> Run | None:
        """Return the run that has not ended, if there is one."""
        if not self.exists():
            return None
        states = ", ".join(f"'{state.value}'" for state in (*RESUMABLE_STATES, RunState.undoing))
        rows = self._select(
            f"WHERE backfill = ? AND state IN ({states}) ORDER BY run_no DESC LIMIT 1", backfill
        )
        return rows[0] if rows else None

    def list_runs(self, limit: int = 20) -> list[Run]:
        """Return runs, newest first."""
        return self._select("ORDER BY run_no DESC LIMIT ?", limit) if self.exists() else []

    def has_dead_letters(self, backfill: str) -> bool:
        """Whether rows wait there."""
        return bool(self._target.query(f"SELECT 1 FROM {DEAD_LETTERS} WHERE backfill = ? LIMIT 1", backfill))

    def put_dead_letters(self, backfill: str, run_no: int, letters: Sequence[DeadLetter]) -> None:
        """Record rows that could not be processed. In the transaction of the batch."""
        self._target.execute_many(
            f"INSERT INTO {DEAD_LETTERS} AS d VALUES (?, ?, ?, ?, ?, ?, 1) "
            "ON CONFLICT (backfill, row_key) DO UPDATE SET run_no = excluded.run_no, columns = excluded.columns, "
            "reason = excluded.reason, detail = excluded.detail, tries_count = d.tries_count + 1",
            [
                (backfill, str(one.key), run_no, one.columns, one.reason, _storable(one.detail))
                for one in letters
            ],
        )

    def drop_dead_letters(self, backfill: str, keys: Sequence[Any]) -> None:
        """Forget rows that are well now. In the transaction of the batch."""
        self._target.execute_many(
            f"DELETE FROM {DEAD_LETTERS} WHERE backfill = ? AND row_key = ?",
            [(backfill, str(key)) for key in keys],
        )

    def list_dead_letters(self, backfill: str, after: str = "", limit: int = 50) -> list[tuple[Any, ...]]:
        """Return row key, columns, reason, detail, tries and run of rows that wait, by key as text."""
        if not self.exists():
            return []
        return self._target.query(
            f"SELECT row_key, columns, reason, detail, tries_count, run_no FROM {DEAD_LETTERS} "
            "WHERE backfill = ? AND row_key > ? ORDER BY row_key LIMIT ?",
            backfill,
            after,
            limit,
        )

    def count_dead_letters(self, backfill: str) -> dict[str, int]:
        """Return reason → rows that wait."""
        if not self.exists():
            return {}
        return dict(
            self._target.query(
                f"SELECT reason, COUNT(*) FROM {DEAD_LETTERS} WHERE backfill = ? GROUP BY reason ORDER BY reason",
                backfill,
            )
        )

    def count_provenance(self, backfill: Backfill, run_no: int | None = None) -> dict[str, int]:
        """Return ``column=rule`` → cells, counted in the side table."""
        changes = changes_table_of(backfill)
        if not self._target.has_table(changes):
            return {}
        rules = {number: rule for rule, number in number_rules(backfill).items()}
        where, values = ("WHERE run_no = ?", (run_no,)) if run_no is not None else ("", ())
        counted: dict[str, int] = {}
        for column in backfill.columns:
            name = quote(f"{column}_rule")
            for number, count in self._target.query(
                f"SELECT {name}, COUNT(*) FROM {quote(changes)} {where} GROUP BY {name}",
                *values,
            ):
                if number is not None:
                    counted[f"{column}={rules[number]}"] = count
        return dict(sorted(counted.items()))

    def _select(self, rest: str, *values: object) -> list[Run]:
        rows = self._target.query(f"SELECT {', '.join(_COLUMNS)} FROM {RUNS} {rest}", *values)
        return [_view(dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def _view(row: dict[str, Any]) -> Run:
    options = RunOptions(
        batch_size=row.pop("batch_size"),
        throttle_ms=row.pop("throttle_ms"),
        max_failure_share=row.pop("max_failure_share"),
    )
    predicted = row.pop("predicted")
    return Run(
        options=options,
        predicted=None if predicted is None else Counts.load(json.loads(predicted)),
        parameters=json.loads(row.pop("parameters")),
        state=RunState(row.pop("state")),
        cursor=json.loads(row.pop("cursor")),
        until=json.loads(row.pop("until")),
        counts=Counts.load(json.loads(row.pop("counts"))),
        checks=json.loads(row.pop("checks")),
        **row,
    )


def _own_name() -> str:
    own = read_own_identity()
    return json.dumps(
        {
            "host": own.host,
            "machine": own.machine,
            "pid": own.pid,
            "process_start": own.process_start,
            "token": uuid4().hex[:12],
        }
    )


def _read_owner(owner: str) -> ProcessIdentity | None:
    try:
        values = json.loads(owner)
        return ProcessIdentity(**{name: value for name, value in values.items() if name != "token"})
    except (ValueError, TypeError):
        return None


def _is_abandoned(run: Run) -> bool:
    owner = _read_owner(run.owner)
    if owner is None or abs(_now() - run.owner_at) > _STALE_S:
        return True
    return is_provably_gone(owner, replace(read_own_identity()))


def _describe_owner(owner: str) -> str:
    identity = _read_owner(owner)
    return "another process" if identity is None else f"process {identity.pid} on {identity.host}"


def _storable(text: str) -> str:
    """PostgreSQL keeps neither NUL nor half a surrogate pair."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
