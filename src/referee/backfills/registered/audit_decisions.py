"""Both instants of a supervisor's decision, out of the payloads of an old audit log.

``source_event_ts``: when that happened which was decided on; ``supervisor_processed_at``: when it was decided.
Where the payload names neither, ``created_at`` stands in and the rule says so: a lag between the two would be
a false zero, so statistics leave those rows out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import orjson

from referee.backfills.contract import Answer, Backfill, Cell, Parameter, Poison, QueryTarget, Values
from referee.core.instants import UnreadableInstant, parse_instant

__all__ = ["AuditDecisions"]

_SOURCE_KEYS: Final = ("source_event_ts", "source_ts", "event_timestamp", "task_created_at")
_PROCESSED_KEYS: Final = ("supervisor_processed_at", "processed_at", "timestamp")
_CREATED: Final = "created_at"
_CREATED_NO_PAYLOAD: Final = "created_at.payload_null"
_SNAPSHOT: Final = "payload.decision_snapshot.event.ts"
_SOURCES: Final = tuple((key, f"payload.{key}") for key in _SOURCE_KEYS)
_PROCESSED: Final = tuple((key, f"payload.{key}") for key in _PROCESSED_KEYS)


class AuditDecisions(Backfill):
    """Fill both instants of decisions in ``task_audits``."""

    name = "audit-decisions"
    title = "Instants of audited decisions"
    summary = "Fills source_event_ts and supervisor_processed_at of supervisor events from their payloads."
    version = 1
    table = "task_audits"
    key = "audit_id"
    columns = ("source_event_ts", "supervisor_processed_at")
    inputs = ("payload", "created_at")
    where = "event_type LIKE '%SUPERVISOR%'"
    rules = (*(rule for _, rule in (*_SOURCES, *_PROCESSED)), _SNAPSHOT, _CREATED, _CREATED_NO_PAYLOAD)
    reasons: ClassVar[Mapping[str, str]] = {
        "payload_not_json": "The payload is not JSON.",
        "payload_not_object": "The payload is JSON, but not an object.",
        "timestamp_unreadable": "A timestamp is there and names no instant.",
        "timestamp_absurd": "A timestamp is of an absurd year.",
        "created_at_missing": "The payload names no instant, and created_at is NULL.",
    }
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "min_year": Parameter(2000, 1, 9998, "Years before this one are absurd."),
        "max_year": Parameter(2100, 2, 9999, "Years after this one are absurd."),
        "read_snapshots": Parameter(
            0, 0, 1, "1: before created_at, take decision_snapshot.event.ts for the source."
        ),
    }
    migrate_hint = "Add them with `referee audit migrate PATH --to 21`."

    def __init__(self, given: Mapping[str, int] | None = None) -> None:
        super().__init__(given)
        self._min_year = self.given["min_year"]
        self._max_year = self.given["max_year"]

    def compute(self, values: Values) -> tuple[Cell, ...]:
        """Return both instants of one event."""
        payload, created_at = values
        if payload is None:
            fallback = self._parse(created_at, _CREATED_NO_PAYLOAD)
            return fallback, fallback
        try:
            parsed = orjson.loads(payload)
        except ValueError as error:
            poison = Poison("payload_not_json", str(error)[:120])
            return poison, poison
        if parsed.__class__ is not dict:
            poison = Poison("payload_not_object", f"It is {_name_type(parsed)}.")
            return poison, poison
        return self._find(parsed, _SOURCES, created_at), self._find(parsed, _PROCESSED, created_at)

    def _find(self, payload: dict[str, Any], keys: tuple[tuple[str, str], ...], created_at: object) -> Cell:
        for key, rule in keys:  # noqa: B007 - the rule of the key at which the loop stops
            value = payload.get(key)
            if value is not None and value != "":
                break
        else:
            value, rule = created_at, _CREATED
            if keys is _SOURCES and self.given["read_snapshots"]:
                found = _read_snapshot(payload)
                if found is not None:
                    value, rule = found, _SNAPSHOT
        try:
            return parse_instant(value, self._min_year, self._max_year), rule
        except UnreadableInstant as error:
            return _explain(error, value, rule)

    def _parse(self, value: object, rule: str) -> Cell:
        try:
            return parse_instant(value, self._min_year, self._max_year), rule
        except UnreadableInstant as error:
            return _explain(error, value, rule)

    def verify(self, target: QueryTarget, changes_table: str) -> list[Answer]:
        """Return the answers to the eight questions."""
        from referee.backfills.audit_questions import answer_questions  # noqa: PLC0415 - only a verification needs them

        return answer_questions(self, target, changes_table)


def _explain(error: UnreadableInstant, value: object, rule: str) -> Poison:
    if value is None:
        return Poison("created_at_missing")
    return Poison(error.reason, f"{rule} is {error.detail}")


def _read_snapshot(payload: dict[str, Any]) -> object:
    snapshot = payload.get("decision_snapshot")
    event = snapshot.get("event") if isinstance(snapshot, dict) else None
    return event.get("ts") if isinstance(event, dict) else None


def _name_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return {list: "an array", str: "a text", int: "a number", float: "a number"}[type(value)]
