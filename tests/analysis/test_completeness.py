"""Expected × present × valid of every ended analysis, by one query."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from sqlalchemy import text
from tests.analysis.conftest import Analyse

from referee.analysis.completeness import COMPLETENESS_FIELDS, count_completeness, list_completeness
from referee.app import Application
from referee.foundation.web.filters import parse_filter


async def test_missing_tool_result_and_missing_artifact_row_are_counted_and_named(
    application: Application, project_id: UUID, analyse: Analyse, subject: Path
) -> None:
    whole, _ = await analyse(subject, "bandit", "radon")
    async with application.database.reading() as session:
        (one,) = (await list_completeness(session, project_id)).items
    assert (one.analysis_id, one.is_whole, one.holes) == (whole.analysis_id, True, "")
    assert (one.expected_count, one.present_count, one.valid_count) == (2, 2, 2)
    assert one.entries_expected_count == one.entries_present_count == one.entries_valid_count > 5

    async with application.database.transaction() as session:  # what no code of ours does
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        await session.execute(text("UPDATE tool_runs SET outcome = 'timed_out' WHERE tool = 'radon'"))
        await session.execute(text("DELETE FROM manifest_entries WHERE name LIKE 'files/sarif/%'"))
    async with application.database.reading() as session:
        where = parse_filter("-is:whole", COMPLETENESS_FIELDS)
        (one,) = (await list_completeness(session, project_id, where=where)).items
        totals = await count_completeness(session, project_id)
    assert (one.expected_count, one.present_count, one.valid_count) == (2, 2, 1)
    assert one.holes == "radon timed out"
    assert one.entries_expected_count == one.entries_present_count + 2
    assert (totals.analyses_count, totals.whole_count, totals.valid_count) == (1, 0, 1)
