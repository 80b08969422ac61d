"""Decisions: each once, chained, and every change to the chain shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from referee.audit import DecisionDraft, DecisionKind, list_subject_decisions, record_decision, verify_chain
from referee.audit.recording import FIRST_HASH, compute_hash
from referee.core.errors import InvalidInput
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database, open_database

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DRAFT = DecisionDraft(
    supervisor="tests",
    kind=DecisionKind.retry_recommended,
    policy="transient_fault",
    reason="The app was gone.",
    subject_kind="cell",
    subject_id="1",
    source_event_at=AT,
    evidence=[{"tool": "curl", "outcome": "target_unreachable"}],
    actions=[{"action": "retry_cell", "pause_s": 30}],
)


@pytest.fixture
async def database(database_settings: Settings) -> AsyncIterator[Database]:
    opened = await open_database(database_settings)
    yield opened
    await opened.close()


@pytest.fixture
async def project_id(database: Database) -> UUID:
    return (await get_project(database, "default")).project_id


async def record(database: Database, project_id: UUID, draft: DecisionDraft) -> UUID:
    async with database.transaction() as session:
        return (await record_decision(session, project_id, draft)).decision_id


async def find_problems(database: Database, project_id: UUID) -> list[str]:
    async with database.reading() as session:
        return [problem async for problem in verify_chain(session, project_id)]


async def test_decision_is_kept_with_its_lag_and_evidence(database: Database, project_id: UUID) -> None:
    await record(database, project_id, DRAFT)

    async with database.reading() as session:
        (decision,) = await list_subject_decisions(session, project_id, "cell", "1")
    assert (decision.kind, decision.reason, decision.evidence) == (
        DecisionKind.retry_recommended, "The app was gone.", ({"tool": "curl", "outcome": "target_unreachable"},)
    )  # fmt: skip
    assert decision.supervisor_processed_at is not None
    assert decision.lag_ms == (decision.supervisor_processed_at - AT).total_seconds() * 1_000
    assert decision.chain_position == 1


async def test_same_key_is_the_same_decision_and_the_chain_has_no_gap(
    database: Database, project_id: UUID
) -> None:
    drafts = [replace(DRAFT, source_key=f"key {number % 5}") for number in range(30)]

    ids = await asyncio.gather(*(record(database, project_id, draft) for draft in drafts))

    assert len(set(ids)) == 5
    assert await find_problems(database, project_id) == []


async def test_rolled_back_transaction_leaves_no_decision(database: Database, project_id: UUID) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as session:
            await record_decision(session, project_id, DRAFT)
            raise ZeroDivisionError
    await record(database, project_id, DRAFT)

    assert await find_problems(database, project_id) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE decisions SET content = content || ' '",
        "UPDATE decisions SET hash = reverse(hash)",
        "DELETE FROM decisions",
    ],
)
async def test_database_refuses_to_change_a_decision(
    database: Database, project_id: UUID, change: str
) -> None:
    await record(database, project_id, DRAFT)

    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            await session.execute(text(change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE decisions SET content = replace(content, 'gone', 'here') WHERE chain_position = 2",
         "Decision 2 was altered"),
        ("DELETE FROM decisions WHERE chain_position = 2", "The decisions 2 to 2 are missing"),
        ("DELETE FROM decisions WHERE chain_position = 3", "The chain ends at decision 2, and 3 were recorded"),
        ("UPDATE decision_chains SET decisions_count = 2,"
         " head_hash = (SELECT hash FROM decisions WHERE chain_position = 2)",
         "There are decisions up to 3, and 2 were recorded"),
    ],
)  # fmt: skip
async def test_change_behind_the_databases_back_shows(
    database: Database, project_id: UUID, change: str, words: str
) -> None:
    for _ in range(3):
        await record(database, project_id, DRAFT)

    async with database.transaction() as session:
        await session.execute(text("ALTER TABLE decisions DISABLE TRIGGER decisions_protected"))
        await session.execute(text(change))

    assert any(words in problem for problem in await find_problems(database, project_id))


async def test_instant_without_a_zone_and_huge_evidence_are_refused(
    database: Database, project_id: UUID
) -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        await record(database, project_id, replace(DRAFT, source_event_at=datetime(2026, 1, 2)))  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="more than"):
        await record(database, project_id, replace(DRAFT, evidence=[{"text": "x" * (1 << 20)}]))


def test_hash_is_sha256_over_the_hash_before_and_the_content() -> None:
    # printf '%064d\n{}' 0 | sha256sum
    assert compute_hash(FIRST_HASH, "{}") == (
        "5649d09ed68c17156095d175eef152856c5b1a81c117c409c1e00f096aa6838e"
    )
