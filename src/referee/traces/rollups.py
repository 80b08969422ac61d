"""What spans add up to: by session, and by hour, type, name and model.

Computed in Python for a group of spans and written with them in one
transaction. Rows are met in the order of their keys, so that two writers never
wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import orjson
import psycopg

from referee.traces.rows import NewSpan, dump_json
from referee.traces.sketches import compute_bucket, merge_sketches

__all__ = [
    "HourKey",
    "HourTotals",
    "SessionKey",
    "SessionTotals",
    "add_hours",
    "add_sessions",
    "compute_change",
    "compute_hours",
    "compute_sessions",
    "make_hour_key",
]

HOUR_NS: Final = 3_600_000_000_000
MAX_NAME_CHARACTERS: Final = 200
"""Of a name in roll-ups; longer ones share a row with those that begin the same."""

SessionKey: TypeAlias = tuple[str, str]
"""Project and session."""
HourKey: TypeAlias = tuple[str, int, str, str, str]
"""Project, hour, event type, event name, model."""


@dataclass(slots=True)
class SessionTotals:
    """What some spans add to a session."""

    session_id: str | None = None
    name: str = ""
    root_name: str = ""
    source: str = ""
    user_id: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    events_count: int = 0
    model_events_count: int = 0
    errors_count: int = 0
    feedback_count: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(slots=True)
class HourTotals:
    """What some spans add to an hour."""

    spans_count: int = 0
    traces_count: int = 0
    errors_count: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float = 0.0
    duration_ns: int = 0
    durations: dict[int, int] = field(default_factory=dict)


def compute_sessions(spans: Iterable[NewSpan], sign: int = 1) -> dict[SessionKey, SessionTotals]:
    """Return what spans add to their sessions; with ``sign`` −1, what taking them away does."""
    sessions: dict[SessionKey, SessionTotals] = {}
    for span in spans:
        key = (span.project_id, span.session_uid)
        totals = sessions.get(key)
        if totals is None:
            totals = sessions[key] = SessionTotals()
        mapped = span.mapped
        totals.session_id = totals.session_id or span.session_id
        totals.user_id = totals.user_id or mapped.user_id
        totals.source = totals.source or mapped.source
        if totals.start_ns is None or span.start_ns < totals.start_ns:
            totals.start_ns = span.start_ns
        end_ns = span.end_ns if span.end_ns is not None else span.start_ns
        if totals.end_ns is None or end_ns > totals.end_ns:
            totals.end_ns = end_ns
        if mapped.feedback:
            totals.feedback_count += sign
        if mapped.event_type == "session":
            totals.name = mapped.event_name
            continue
        if mapped.session_name and not totals.name:
            totals.name = mapped.session_name
        if span.parent_uid is None and not totals.root_name:
            totals.root_name = mapped.event_name
        totals.events_count += sign
        totals.model_events_count += sign if mapped.event_type == "model" else 0
        totals.errors_count += sign if mapped.error is not None else 0
        if span.is_counted:
            _add_numbers(totals, span, sign)
    return sessions


def compute_hours(spans: Iterable[NewSpan], sign: int = 1) -> dict[HourKey, HourTotals]:
    """Return what spans add to their hours; the events of sessions themselves are not spans."""
    hours: dict[HourKey, HourTotals] = {}
    for span in spans:
        mapped = span.mapped
        if mapped.event_type == "session":
            continue
        key = make_hour_key(
            span.project_id, span.start_ns, mapped.event_type, mapped.event_name, mapped.model
        )
        totals = hours.get(key)
        if totals is None:
            totals = hours[key] = HourTotals()
        totals.spans_count += sign
        totals.traces_count += sign if span.parent_uid is None else 0
        totals.errors_count += sign if mapped.error is not None else 0
        if span.end_ns is not None:
            duration_ns = max(span.end_ns - span.start_ns, 0)
            totals.duration_ns += sign * duration_ns
            bucket = compute_bucket(duration_ns)
            totals.durations[bucket] = totals.durations.get(bucket, 0) + sign
        if span.is_counted:
            _add_numbers(totals, span, sign)
    return hours


def compute_change(
    before: NewSpan, after: NewSpan
) -> tuple[dict[SessionKey, SessionTotals], dict[HourKey, HourTotals]]:
    """Return what a change of one span changes in its session and its hours."""
    sessions, hours = compute_sessions([after]), compute_hours([after])
    for session_key, taken in compute_sessions([before], -1).items():
        _add_up(sessions.setdefault(session_key, SessionTotals()), taken)
    for hour_key, lost in compute_hours([before], -1).items():
        totals = hours.setdefault(hour_key, HourTotals())
        _add_up(totals, lost)
        totals.duration_ns += lost.duration_ns
        merge_sketches(totals.durations, lost.durations)
    return sessions, hours


def _add_up(totals: SessionTotals | HourTotals, added: SessionTotals | HourTotals) -> None:
    """Add the sums of one to another; names and bounds are none."""
    for name in totals.__slots__:
        if name.endswith(("_count", "_tokens", "_usd")):
            setattr(totals, name, getattr(totals, name) + getattr(added, name))


def make_hour_key(
    project_id: str, start_ns: int, event_type: str, event_name: str, model: str | None
) -> HourKey:
    """Return the row of roll-ups that a span belongs to."""
    return (
        project_id,
        start_ns // HOUR_NS,
        event_type,
        event_name[:MAX_NAME_CHARACTERS],
        (model or "")[:MAX_NAME_CHARACTERS],
    )


def _add_numbers(totals: SessionTotals | HourTotals, span: NewSpan, sign: int) -> None:
    mapped = span.mapped
    totals.prompt_tokens += sign * (mapped.prompt_tokens or 0)
    totals.completion_tokens += sign * (mapped.completion_tokens or 0)
    totals.total_tokens += sign * (mapped.total_tokens or 0)
    totals.cost_usd += sign * (mapped.cost_usd or 0.0)


_ADD_SESSIONS: Final = """
INSERT INTO sessions AS s (project_id, session_uid, session_id, name, source, user_id, start_ns, end_ns,
  events_count, model_events_count, errors_count, feedback_count,
  prompt_tokens, completion_tokens, total_tokens, cost_usd)
SELECT project_id, session_uid, session_id, CASE WHEN name <> '' THEN name ELSE root_name END, source, user_id,
  start_ns, end_ns, events_count, model_events_count, errors_count, feedback_count,
  prompt_tokens, completion_tokens, total_tokens, cost_usd
FROM jsonb_to_recordset(%s::jsonb) AS t (project_id uuid, session_uid uuid, session_id text, name text,
  root_name text, source text, user_id text, start_ns int8, end_ns int8, events_count int8,
  model_events_count int8, errors_count int8, feedback_count int8, prompt_tokens int8, completion_tokens int8,
  total_tokens int8, cost_usd float8)
ORDER BY project_id, session_uid
ON CONFLICT (project_id, session_uid) DO UPDATE SET
  session_id = coalesce(s.session_id, excluded.session_id),
  name = CASE WHEN s.name = '' OR %s THEN coalesce(nullif(excluded.name, ''), s.name) ELSE s.name END,
  source = CASE WHEN s.source = '' THEN excluded.source ELSE s.source END,
  user_id = coalesce(s.user_id, excluded.user_id),
  start_ns = least(s.start_ns, excluded.start_ns),
  end_ns = greatest(s.end_ns, excluded.end_ns),
  events_count = s.events_count + excluded.events_count,
  model_events_count = s.model_events_count + excluded.model_events_count,
  errors_count = s.errors_count + excluded.errors_count,
  feedback_count = s.feedback_count + excluded.feedback_count,
  prompt_tokens = s.prompt_tokens + excluded.prompt_tokens,
  completion_tokens = s.completion_tokens + excluded.completion_tokens,
  total_tokens = s.total_tokens + excluded.total_tokens,
  cost_usd = s.cost_usd + excluded.cost_usd,
  last_seen_at = now()
"""


async def add_sessions(
    cursor: psycopg.AsyncCursor[Any], sessions: Mapping[SessionKey, SessionTotals]
) -> None:
    """Write what was added to sessions. Their rows stay locked to the end of the transaction."""
    for is_named in (True, False):
        rows = [
            {"project_id": project_id, "session_uid": session_uid, **_dump_totals(totals)}
            for (project_id, session_uid), totals in sessions.items()
            if bool(totals.name) is is_named
        ]
        if rows:
            await cursor.execute(_ADD_SESSIONS, [dump_json(rows).decode(), is_named])


def _dump_totals(totals: SessionTotals | HourTotals) -> dict[str, Any]:
    return {name: getattr(totals, name) for name in totals.__slots__}


_SELECT_HOURS: Final = """
SELECT h.project_id::text, h.hour, h.event_type, h.event_name, h.model, h.durations_json::text
FROM span_hours h
JOIN jsonb_to_recordset(%s::jsonb)
  AS t (project_id uuid, hour int8, event_type text, event_name text, model text)
  USING (project_id, hour, event_type, event_name, model)
ORDER BY 1, 2, 3, 4, 5
FOR UPDATE OF h
"""

_ADD_HOURS: Final = """
INSERT INTO span_hours AS h (project_id, hour, event_type, event_name, model, spans_count, traces_count,
  errors_count, prompt_tokens, completion_tokens, total_tokens, cost_usd, duration_ns, durations_json)
SELECT * FROM jsonb_to_recordset(%s::jsonb) AS t (project_id uuid, hour int8, event_type text,
  event_name text, model text, spans_count int8, traces_count int8, errors_count int8, prompt_tokens int8,
  completion_tokens int8, total_tokens int8, cost_usd float8, duration_ns int8, durations jsonb)
ORDER BY project_id, hour, event_type, event_name, model
ON CONFLICT (project_id, hour, event_type, event_name, model) DO UPDATE SET
  spans_count = h.spans_count + excluded.spans_count,
  traces_count = h.traces_count + excluded.traces_count,
  errors_count = h.errors_count + excluded.errors_count,
  prompt_tokens = h.prompt_tokens + excluded.prompt_tokens,
  completion_tokens = h.completion_tokens + excluded.completion_tokens,
  total_tokens = h.total_tokens + excluded.total_tokens,
  cost_usd = h.cost_usd + excluded.cost_usd,
  duration_ns = h.duration_ns + excluded.duration_ns,
  durations_json = excluded.durations_json
"""


async def add_hours(cursor: psycopg.AsyncCursor[Any], hours: Mapping[HourKey, HourTotals]) -> None:
    """Write what was added to hours. Sketches are read, added to and written back under their rows' locks."""
    if not hours:
        return
    keys = [
        {"project_id": key[0], "hour": key[1], "event_type": key[2], "event_name": key[3], "model": key[4]}
        for key in hours
    ]
    sketches = {key: totals.durations for key, totals in hours.items()}
    await cursor.execute(_SELECT_HOURS, [dump_json(keys).decode()])
    for project_id, hour, event_type, event_name, model, durations in await cursor.fetchall():
        key = (project_id.replace("-", ""), hour, event_type, event_name, model)
        stored = {int(bucket): count for bucket, count in orjson.loads(durations).items()}
        merge_sketches(stored, sketches[key])
        sketches[key] = stored
    rows = [
        {
            **key,
            "spans_count": totals.spans_count,
            "traces_count": totals.traces_count,
            "errors_count": totals.errors_count,
            "prompt_tokens": totals.prompt_tokens,
            "completion_tokens": totals.completion_tokens,
            "total_tokens": totals.total_tokens,
            "cost_usd": totals.cost_usd,
            "duration_ns": totals.duration_ns,
            "durations": {str(bucket): count for bucket, count in sketch.items() if count > 0},
        }
        for key, totals, sketch in zip(keys, hours.values(), sketches.values(), strict=True)
    ]
    await cursor.execute(_ADD_HOURS, [dump_json(rows).decode()])
