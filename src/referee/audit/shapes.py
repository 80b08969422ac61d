"""What a row of the agent system's audit log says, in any of its shapes.

A row is a decision, another event, or in quarantine with one sentence that says why; nothing is skipped. Two
shapes of payload are known: the flat one (``decision_type``, ``reason``, ``findings``, ``timestamp``) and the one
with everything below ``decision_snapshot``.

Pure: no file, no database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from referee.audit.recording import MAX_CONTENT_BYTES, UNKNOWN, DecisionKind
from referee.core.findings import JsonValue
from referee.core.instants import UnreadableInstant, read_instant

__all__ = ["CREATED_AT", "AuditRecord", "Quarantined", "ReadDecision", "read_record"]

CREATED_AT: Final = "created_at"
"""Provenance of an instant for which the row had nothing better than when it was written."""

_KINDS_BY_EVENT: Final[Mapping[str, DecisionKind | None]] = {
    "SUPERVISOR_ALLOWED": DecisionKind.allowed,
    "SUPERVISOR_PAUSED": DecisionKind.paused,
    "SUPERVISOR_BLOCKED": DecisionKind.blocked,
    "SUPERVISOR_RETRY_RECOMMENDED": DecisionKind.retry_recommended,
    "SUPERVISOR_ERROR": DecisionKind.error,
    "SUPERVISOR_DECISION": None,
}
"""None: the payload says which."""
_KINDS_BY_TYPE: Final = {
    "allow": DecisionKind.allowed,
    "pause": DecisionKind.paused,
    "block": DecisionKind.blocked,
    "retry": DecisionKind.retry_recommended,
    "require_review": DecisionKind.review_required,
}
_SOURCE_KEYS: Final = ("source_event_ts", "source_ts", "event_timestamp", "task_created_at")
_PROCESSED_KEYS: Final = ("supervisor_processed_at", "processed_at", "timestamp")
_SEVERITIES: Final = frozenset({"critical", "high", "medium", "low", "info"})
_MAX_REASON_CHARS: Final = 2_000
_MAX_CODE_CHARS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One row as it stood in the source."""

    place: str
    """Where: ``task_audits 17`` or ``line 17``."""
    task_id: str
    event_type: str
    payload: bytes | None
    """The column, or for a log the whole line."""
    content: Mapping[str, Any] | None = None
    """The payload where the source held it inside other JSON; None: it is still to be read from ``payload``."""
    columns: Mapping[str, JsonValue]
    """Every other column, as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDecision:
    """The decision in a row."""

    kind: DecisionKind
    policy: str
    reason: str
    reason_code: str
    source_event_at: datetime | None
    source_event_provenance: str
    supervisor_processed_at: datetime | None
    supervisor_processed_provenance: str
    findings: tuple[dict[str, JsonValue], ...]
    evidence: tuple[dict[str, JsonValue], ...]
    actions: tuple[dict[str, JsonValue], ...]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that could not be read."""

    reason: str
    """One sentence."""


def read_record(record: AuditRecord) -> ReadDecision | Quarantined | None:
    """Return the decision in a row, None for any other event, or why it cannot be read."""
    if "SUPERVISOR" not in record.event_type.upper():
        return None
    event_type = record.event_type.upper()
    if event_type not in _KINDS_BY_EVENT:
        return Quarantined(f"The event type {record.event_type[:100]!r} of a supervisor is not known.")
    payload = record.content
    if payload is None:
        found = _read_payload(record.payload)
        if isinstance(found, Quarantined):
            return found
        payload = found
    snapshot = payload.get("decision_snapshot")
    if snapshot is not None and not isinstance(snapshot, dict):
        return Quarantined("Its decision_snapshot is not an object.")
    kind = _KINDS_BY_EVENT[event_type]
    told = _read_type(payload, snapshot)
    if kind is None:
        kind = _KINDS_BY_TYPE.get(told)
        if kind is None:
            return Quarantined(f"Its decision_type {told[:100]!r} is not known.")
    return _build(record, kind, payload, snapshot or {})


def _build(
    record: AuditRecord, kind: DecisionKind, payload: Mapping[str, Any], snapshot: Mapping[str, Any]
) -> ReadDecision | Quarantined:
    findings = _read_objects(snapshot.get("findings", payload.get("findings")))
    actions = _read_objects(snapshot.get("actions", payload.get("actions")))
    if findings is None or actions is None:
        return Quarantined("Its findings or actions are not a list of objects.")
    normalised = tuple(_normalise(finding) for finding in findings)
    nested = snapshot.get("decision")
    reason = payload.get("reason") or (nested.get("reason") if isinstance(nested, dict) else "") or ""
    if not reason and normalised:
        reason = normalised[0]["message"]
    code = normalised[0]["code"] if normalised else ""
    source_at, source_rule = _find_instant(_list_source_candidates(record, payload, snapshot))
    processed_at, processed_rule = _find_instant(_list_processed_candidates(record, payload, snapshot))
    evidence: dict[str, JsonValue] = {"imported_from": record.place}
    decision_id = (
        payload.get("decision_id") or snapshot.get("decision_id") or record.columns.get("decision_id")
    )
    if decision_id:
        evidence["decision_id"] = str(decision_id)
    evidence.update({name: snapshot[name] for name in ("event", "inputs", "metrics") if name in snapshot})
    return ReadDecision(
        kind=kind,
        policy=_clean(str(snapshot.get("policy") or ""))[:_MAX_CODE_CHARS],
        reason=_clean(str(reason))[:_MAX_REASON_CHARS],
        reason_code=(str(code) or _clean(str(reason)))[:_MAX_CODE_CHARS],
        source_event_at=source_at,
        source_event_provenance=source_rule,
        supervisor_processed_at=processed_at,
        supervisor_processed_provenance=processed_rule,
        findings=normalised,
        evidence=(_clean_json(evidence),),
        actions=tuple(_clean_json(action) for action in actions),
    )


def _read_payload(payload: bytes | None) -> Mapping[str, Any] | Quarantined:
    if payload is None:
        return {}
    if len(payload) > MAX_CONTENT_BYTES // 2:
        return Quarantined(
            f"Its payload has {len(payload):,} bytes; {MAX_CONTENT_BYTES // 2:,} are read at most."
        )
    try:
        content = json.loads(payload, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return Quarantined("Its payload is not JSON.")
    if content is None:
        return {}
    if not isinstance(content, dict):
        return Quarantined("Its payload is JSON, and not an object.")
    return content


def _refuse_constant(word: str) -> float:
    raise ValueError(word)


def _read_type(payload: Mapping[str, Any], snapshot: Mapping[str, Any] | None) -> str:
    nested = (snapshot or {}).get("decision")
    told = nested.get("decision_type") if isinstance(nested, dict) else payload.get("decision_type")
    return str(told or "").lower()


def _read_objects(value: object) -> Sequence[dict[str, Any]] | None:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return None
    return value


def _normalise(finding: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return a finding of either shape with our four words; what else it has stays below ``evidence``."""
    severity = str(finding.get("severity") or "").lower()
    return {
        "kind": _clean(str(finding.get("kind") or finding.get("category") or "unknown").lower())[
            :_MAX_CODE_CHARS
        ],
        "severity": severity if severity in _SEVERITIES else "info",
        "code": _clean(str(finding.get("code") or finding.get("category") or ""))[:_MAX_CODE_CHARS],
        "message": _clean(str(finding.get("message") or finding.get("description") or ""))[
            :_MAX_REASON_CHARS
        ],
        "evidence": _clean_json(finding.get("evidence")),
    }


def _list_source_candidates(
    record: AuditRecord, payload: Mapping[str, Any], snapshot: Mapping[str, Any]
) -> list[tuple[str, object]]:
    event = snapshot.get("event")
    return [
        ("column", record.columns.get("source_event_ts")),
        *((f"payload.{name}", payload.get(name)) for name in _SOURCE_KEYS),
        ("payload.decision_snapshot.event.ts", event.get("ts") if isinstance(event, dict) else None),
        *_list_created(record),
    ]


def _list_processed_candidates(
    record: AuditRecord, payload: Mapping[str, Any], snapshot: Mapping[str, Any]
) -> list[tuple[str, object]]:
    return [
        ("column", record.columns.get("supervisor_processed_at")),
        *((f"payload.{name}", payload.get(name)) for name in _PROCESSED_KEYS),
        *((f"payload.decision_snapshot.{name}", snapshot.get(name)) for name in _PROCESSED_KEYS),
        *_list_created(record),
    ]


def _list_created(record: AuditRecord) -> list[tuple[str, object]]:
    return [(CREATED_AT, record.columns.get("created_at_ms")), (CREATED_AT, record.columns.get("created_at"))]


def _find_instant(candidates: Sequence[tuple[str, object]]) -> tuple[datetime | None, str]:
    """Return the first candidate that is an instant, and its rule."""
    for rule, value in candidates:
        if value is None:
            continue
        try:
            return read_instant(value), rule
        except UnreadableInstant:
            continue
    return None, UNKNOWN


def _clean(text: str) -> str:
    """Return text that the database can keep: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _clean_json(value: Any) -> Any:
    """Return JSON whose texts and names the database can keep."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list):
        return [_clean_json(one) for one in value]
    if isinstance(value, dict):
        return {_clean(str(name)): _clean_json(one) for name, one in value.items()}
    return value
