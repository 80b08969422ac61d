"""What Referee itself did, told as spans: rooms describe their finished work, the traces room keeps it.

A room that carries out work has a ``WorkSource``; the composition root hands them all to the traces room. The work is
described from the rows that the room keeps of it, so a restart loses nothing and telling it again says the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from referee.core.findings import JsonValue

__all__ = ["OwnSpan", "OwnWork", "WorkSource", "make_span_id", "make_trace_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSpan:
    """One part of a piece of work."""

    key: str
    """Which part; unique within its work and the same each time it is told."""
    parent_key: str | None
    """None for the whole."""
    name: str
    service: str
    """Who did it, as the map of services shows it: ``referee``, ``static``, ``bandit``."""
    started_at: datetime
    finished_at: datetime
    error: str | None = None
    """One sentence: why it failed."""
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)
    """By OpenTelemetry's names where it has one, else ``referee.…``."""
    linked_work_id: str | None = None
    """Another piece of work that has a trace of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWork:
    """A finished piece of work: one trace."""

    work_id: str
    """Its whole id, such as ``analysis:<uuid>``."""
    finished_at: datetime
    spans: Sequence[OwnSpan]
    """The whole first."""


WorkSource: TypeAlias = Callable[[datetime, int], Awaitable[Sequence[OwnWork]]]
"""Called with an instant and a limit: the work that finished at or after it, the earliest first."""


def make_trace_id(work_id: str) -> str:
    """Return the W3C trace id of a piece of work: 32 hexadecimal digits, always the same."""
    return hashlib.sha256(f"referee trace {work_id}".encode()).hexdigest()[:32]


def make_span_id(work_id: str, key: str) -> str:
    """Return the W3C span id of a part of it: 16 hexadecimal digits, always the same."""
    return hashlib.sha256(f"referee span {work_id} {key}".encode()).hexdigest()[:16]
