"""How the database goes about lists of traces that are asked for by what is inside of them."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from referee.foundation.store import Database
from referee.foundation.web.filters import parse_filter
from referee.traces.filter_fields import TRACE_FIELDS, build_trace_conditions
from referee.traces.tables import SpanRow


@pytest.mark.parametrize("words", ["is:failed", "error:timeout", "user:me", "model:gpt-9", "-is:failed"])
async def test_spans_inside_are_looked_for_once_and_not_again_for_each_trace(
    database: Database, project_id: UUID, words: str
) -> None:
    conditions = build_trace_conditions(project_id, parse_filter(words, TRACE_FIELDS))
    statement = select(func.count()).select_from(SpanRow).where(*conditions)
    dialect = PGDialect()  # type: ignore[no-untyped-call]
    sql = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    async with database.reading() as session:
        rows = await session.execute(text("EXPLAIN " + sql.replace("%%", "%").replace(":", "\\:")))
        plan = "\n".join(row[0] for row in rows)
    assert "hashed SubPlan" in plan
    assert "Join" not in plan
    assert "Nested Loop" not in plan
