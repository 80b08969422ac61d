"""A project, and decisions at instants that a test chooses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import pytest

from referee.audit.recording import DecisionDraft, DecisionKind, PastDecision, append_past_decisions
from referee.audit.room import AuditRoom
from referee.core.ids import new_id
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

Past: TypeAlias = tuple[str, str, float, float]
"""Kind, subject, hours before NOW, lag in milliseconds."""
Decide: TypeAlias = Callable[..., Awaitable[list[UUID]]]


@pytest.fixture
async def project_id(database: Database) -> UUID:
    return (await get_project(database, "default")).project_id


@pytest.fixture
def room(database: Database, database_settings: Settings) -> AuditRoom:
    return AuditRoom(settings=database_settings, database=database)


def make_past(
    kind: str,
    subject: str,
    hours: float = 1.0,
    lag_ms: float = 10.0,
    *,
    code: str = "limit",
    findings: Sequence[dict[str, str]] = (),
    provenance: str = "recorded",
) -> PastDecision:
    """Return a decision that was taken some hours before NOW."""
    decided_at = NOW - timedelta(hours=hours)
    return PastDecision(
        decision_id=new_id(),
        draft=DecisionDraft(
            supervisor="tests",
            kind=DecisionKind(kind),
            reason=f"Reason {code}",
            reason_code=code,
            subject_kind="task",
            subject_id=subject,
            source_event_at=decided_at - timedelta(milliseconds=lag_ms),
            findings=findings,
        ),
        source_event_provenance=provenance,
        supervisor_processed_at=decided_at,
        supervisor_processed_provenance="recorded",
    )


@pytest.fixture
def decide(database: Database, project_id: UUID) -> Decide:
    async def append(*decisions: PastDecision) -> list[UUID]:
        async with database.transaction() as session:
            await append_past_decisions(session, project_id, decisions)
        return [one.decision_id for one in decisions]

    return append
