"""The eight questions that show whether an audit log was filled rightly, with their answers as tables."""

from __future__ import annotations

from collections import Counter
from statistics import quantiles
from typing import Final

from referee.backfills.contract import Answer, Backfill, Poison, QueryTarget
from referee.backfills.lags import lag_ms
from referee.core.instants import UnreadableInstant, parse_instant

__all__ = ["answer_questions"]

_LIMIT: Final = 50
_SAMPLES: Final = 5
_PAYLOAD_CHARS: Final = 120
_FALLBACK: Final = "created_at"


def answer_questions(backfill: Backfill, target: QueryTarget, changes_table: str) -> list[Answer]:
    """Return the answers. The whole table is read once; timestamps are compared as instants, not as text."""
    where = backfill.where
    compared = _compare(backfill, target, changes_table)
    return [
        _coverage(target, where),
        compared.payload_against_columns(),
        _event_types(target, where),
        _index_use(target),
        compared.timestamp_range(),
        _nulls(target, where, backfill, changes_table),
        _samples(target, where),
        compared.decision_lags(),
    ]


class _Compared:
    """What one pass over the rows found."""

    def __init__(self) -> None:
        self.agreement: Counter[tuple[str, str]] = Counter()
        self.ranges: dict[str, list[str]] = {}
        self.unreadable: Counter[str] = Counter()
        self.lags: list[tuple[float, int]] = []
        self.negative_count = 0
        self.fallback_count = 0

    def payload_against_columns(self) -> Answer:
        rows = [(column, word, count) for (column, word), count in sorted(self.agreement.items())]
        wrong_count = sum(count for (_, word), count in self.agreement.items() if word == "differs")
        return Answer(
            "Do the columns say what the payloads say?",
            ("column", "compared as instants", "rows"),
            rows,
            is_right=wrong_count == 0,
        )

    def timestamp_range(self) -> Answer:
        rows = [(column, *bounds, self.unreadable[column]) for column, bounds in sorted(self.ranges.items())]
        return Answer(
            "From when to when do the timestamps go?",
            ("column", "earliest", "latest", "unreadable"),
            rows,
            is_right=not self.unreadable,
        )

    def decision_lags(self) -> Answer:
        values = sorted(lag for lag, _ in self.lags)
        p50, p95 = _percentiles(values)
        worst = sorted(self.lags, reverse=True)[:_SAMPLES]
        rows: list[tuple[object, ...]] = [
            ("decisions with a lag", len(values), ""),
            ("left out: created_at stands in for an instant", self.fallback_count, ""),
            ("left out: decided before the event", self.negative_count, ""),
            ("p50, s", p50, ""),
            ("p95, s", p95, ""),
        ]
        rows += [("longest, s", round(lag / 1_000, 3), f"audit_id {key}") for lag, key in worst]
        return Answer("How long after the event was it decided?", ("what", "value", "which"), rows)


def _compare(backfill: Backfill, target: QueryTarget, changes_table: str) -> _Compared:
    found = _Compared()
    rules_sql = _rules_sql(backfill, target, changes_table)
    rows = target.stream(
        "SELECT t.audit_id, t.payload, t.created_at, t.source_event_ts, t.supervisor_processed_at, "
        f"{rules_sql} WHERE {backfill.where}"
    )
    names = dict(enumerate(backfill.rules, start=1))
    for key, payload, created_at, source, processed, *numbers in rows:
        cells = backfill.compute((payload, None if created_at is None else str(created_at)))
        rules = [None if number is None else names[number] for number in numbers]
        instants = []
        for column, cell, value, rule in zip(
            backfill.columns, cells, (source, processed), rules, strict=True
        ):
            instant = _read(found, column, value)
            instants.append(instant)
            found.agreement[column, _judge(cell, value, instant, rule)] += 1
        if None in instants:
            continue
        if any(_stands_in(*one) for one in zip(cells, instants, rules, strict=True)):
            found.fallback_count += 1
            continue
        lag = lag_ms(str(instants[0]), str(instants[1]))
        if lag < 0:
            found.negative_count += 1
        else:
            found.lags.append((lag, key))
    return found


def _read(found: _Compared, column: str, value: object) -> str | None:
    if value is None:
        return None
    try:
        instant = parse_instant(value, 1, 9999)
    except UnreadableInstant:
        found.unreadable[column] += 1
        return None
    bounds = found.ranges.setdefault(column, [instant, instant])
    bounds[0], bounds[1] = min(bounds[0], instant), max(bounds[1], instant)
    return instant


def _judge(cell: object, value: object, instant: str | None, rule: str | None) -> str:
    """Return how a column stands to its payload. Only what a run of ours wrote can be wrong."""
    if isinstance(cell, Poison):
        return (
            "payload unreadable, column NULL" if value is None else "payload unreadable, column set by others"
        )
    if value is None:
        return "column NULL"
    computed = cell[0] if isinstance(cell, tuple) else None
    if rule is None:
        return "set by others, the same" if computed == instant else "set by others, another instant"
    if computed != instant:
        return "differs"
    return "created_at stands in" if rule.startswith(_FALLBACK) else "same"


def _stands_in(cell: object, instant: str | None, rule: str | None) -> bool:
    """Whether an instant is only created_at: by our own rule, or since another program wrote what it would give."""
    if rule is not None:
        return rule.startswith(_FALLBACK)
    return isinstance(cell, tuple) and cell[1].startswith(_FALLBACK) and cell[0] == instant


def _rules_sql(backfill: Backfill, target: QueryTarget, changes_table: str) -> str:
    """Return columns and FROM: for each column, the number of the rule that filled it; NULL: no run of ours did."""
    if not target.has_table(changes_table):
        return "NULL, NULL FROM task_audits t"
    rules = ", ".join(
        f"(SELECT MAX(c.{column}_rule) FROM {changes_table} c WHERE c.row_key = t.audit_id)"
        for column in backfill.columns
    )
    return f"{rules} FROM task_audits t"


def _coverage(target: QueryTarget, where: str) -> Answer:
    ((total, source, processed, both),) = target.query(
        "SELECT COUNT(*), COUNT(source_event_ts), COUNT(supervisor_processed_at), "
        "SUM(CASE WHEN source_event_ts IS NOT NULL AND supervisor_processed_at IS NOT NULL THEN 1 ELSE 0 END) "
        f"FROM task_audits WHERE {where}"
    )
    counts = {"source_event_ts": source, "supervisor_processed_at": processed, "both": both}
    rows = [(name, count or 0, total, _percent(count or 0, total)) for name, count in counts.items()]
    return Answer("How many decisions have their instants?", ("column", "set", "of", "share"), rows)


def _event_types(target: QueryTarget, where: str) -> Answer:
    rows = target.query(
        "SELECT event_type, COUNT(*), COUNT(source_event_ts), COUNT(supervisor_processed_at) FROM task_audits "
        f"WHERE {where} GROUP BY event_type ORDER BY COUNT(*) DESC, event_type LIMIT {_LIMIT}"
    )
    return Answer("Which events are there?", ("event_type", "rows", "source set", "processed set"), rows)


def _index_use(target: QueryTarget) -> Answer:
    lines = target.explain(
        "SELECT source_event_ts, supervisor_processed_at FROM task_audits WHERE source_event_ts IS NOT NULL "
        "AND supervisor_processed_at IS NOT NULL AND source_event_ts >= '2025-01-01T00:00:00.000000Z' "
        "ORDER BY source_event_ts LIMIT 100"
    )
    uses_index = any("INDEX" in line.upper() for line in lines)
    return Answer(
        "Does the query for decision lag use an index?",
        ("plan", "uses an index"),
        [(line.strip(), "yes" if "INDEX" in line.upper() else "no") for line in lines[:_LIMIT]],
        is_right=uses_index if target.dialect == "sqlite" else None,
    )


def _nulls(target: QueryTarget, where: str, backfill: Backfill, changes_table: str) -> Answer:
    ((source, processed),) = target.query(
        "SELECT COUNT(*) - COUNT(source_event_ts), COUNT(*) - COUNT(supervisor_processed_at) "
        f"FROM task_audits WHERE {where}"
    )
    rows: list[tuple[object, ...]] = [
        ("source_event_ts is NULL", source), ("supervisor_processed_at is NULL", processed),
    ]  # fmt: skip
    if target.has_table("referee_backfill_dead_letters"):
        rows += [
            (f"dead letters: {reason}", count)
            for reason, count in target.query(
                "SELECT reason, COUNT(*) FROM referee_backfill_dead_letters WHERE backfill = ? "
                "GROUP BY reason ORDER BY reason",
                backfill.name,
            )
        ]
    return Answer("What is still NULL, and why?", ("what", "rows"), rows)


def _samples(target: QueryTarget, where: str) -> Answer:
    rows = target.query(
        f"SELECT audit_id, event_type, source_event_ts, supervisor_processed_at, SUBSTR(CAST(payload AS TEXT), 1, "
        f"{_PAYLOAD_CHARS}) FROM task_audits WHERE {where} AND source_event_ts IS NOT NULL "
        f"ORDER BY audit_id DESC LIMIT {_SAMPLES}"
    )
    return Answer(
        "What do filled rows look like?",
        ("audit_id", "event_type", "source_event_ts", "supervisor_processed_at", "payload"),
        [(*(str(value) for value in row[:4]), row[4] or "") for row in rows],
    )


def _percentiles(values: list[float]) -> tuple[object, object]:
    if not values:
        return "none", "none"
    if len(values) == 1:
        return round(values[0] / 1_000, 3), round(values[0] / 1_000, 3)
    cuts = quantiles(values, n=20, method="inclusive")
    return round(cuts[9] / 1_000, 3), round(cuts[18] / 1_000, 3)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "none"
