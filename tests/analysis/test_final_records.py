"""What is final in the database stays as it is, whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.analysis.conftest import Analyse

from referee.app import Application
from referee.core.errors import RefereeError

REFUSED = (
    "UPDATE tool_runs SET findings_count = findings_count + 1",
    "UPDATE tool_runs SET outcome = 'failed'",
    "UPDATE tool_runs SET outcome = NULL",
    "UPDATE tool_runs SET reason = reason || 'x'",
    "UPDATE tool_runs SET findings_digest = 'x'",
    "UPDATE tool_runs SET findings_digest = NULL",
    "UPDATE tool_runs SET attempts_count = attempts_count + 1",
    "UPDATE tool_runs SET raw_json = '{}'::jsonb",
    "UPDATE manifests SET sha256 = (SELECT min(a.sha256) FROM artifacts a WHERE a.sha256 <> manifests.sha256)",
    "UPDATE manifests SET entries_count = 0",
    "UPDATE manifest_entries SET size_bytes = size_bytes + 1",
)
ALLOWED = (
    "UPDATE tool_runs SET outcome = outcome",
    "UPDATE manifests SET sha256 = sha256",
    "SET LOCAL referee.is_repairing = 'on'; UPDATE manifest_entries SET size_bytes = size_bytes + 1",
)
"""What changes nothing, and what says that it puts back what a digest proves."""


async def test_sealed_manifests_and_ended_tool_runs_cannot_be_changed(
    analyse: Analyse, subject: Path, application: Application
) -> None:
    await analyse(subject, "radon", "mypy")
    refusals = []
    for statement in REFUSED:
        with pytest.raises((DBAPIError, RefereeError)) as refused:
            await execute(application, statement)
        refusals.append(f"{refused.value} {refused.value.__cause__}")
    for statement in ALLOWED:
        with pytest.raises(ZeroDivisionError):
            await execute(application, statement, is_kept=False)

    assert [one for one in refusals if "stays so" not in one and "is sealed" not in one] == []


async def execute(application: Application, statements: str, *, is_kept: bool = True) -> None:
    """Run statements in one transaction, which comes to nothing unless it is to be kept."""
    async with application.database.transaction() as session:
        for statement in statements.split("; "):
            await session.execute(text(statement))
        if not is_kept:
            raise ZeroDivisionError
