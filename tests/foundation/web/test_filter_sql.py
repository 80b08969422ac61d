from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import BigInteger, Boolean, Column, DateTime, MetaData, Table, Text, Uuid, insert, select

from referee.foundation.store import Database
from referee.foundation.web.filters import FilterField, parse_filter, to_order, to_where

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
examples = Table(
    "filter_examples",
    MetaData(),
    Column("example_id", Uuid, primary_key=True),
    Column("path", Text),
    Column("tool", Text),
    Column("severity", Text),
    Column("state", Text),
    Column("count", BigInteger),
    Column("created_at", DateTime(timezone=True)),
    Column("is_suppressed", Boolean),
)
FIELDS = {
    "path": FilterField("text", "The file.", is_searched=True, is_sortable=True),
    "tool": FilterField("keyword", "Who.", is_searched=True),
    "severity": FilterField(
        "ordered", "How bad.", ("info", "low", "medium", "high", "critical"), is_sortable=True
    ),
    "state": FilterField("enum", "Where it stands.", ("open", "fixed")),
    "count": FilterField("number", "How many.", is_sortable=True),
    "created": FilterField("time", "When."),
    "id": FilterField("id", "Which.", noun="example"),
    "suppressed": FilterField("flag", "Whether."),
}
COLUMNS = {
    "path": examples.c.path,
    "tool": examples.c.tool,
    "severity": examples.c.severity,
    "state": examples.c.state,
    "count": examples.c.count,
    "created": examples.c.created_at,
    "id": examples.c.example_id,
    "suppressed": examples.c.is_suppressed,
}
ROWS = (
    (1, "core/ids.py", "bandit", "high", "open", 3, datetime(2026, 3, 1, 0, 0, tzinfo=UTC), False),
    (2, "core/50%_done.py", "Bandit", "low", "fixed", 7, datetime(2026, 3, 1, 23, 59, tzinfo=UTC), True),
    (3, "app/core/x.py", "my tool", "critical", "open", 10, datetime(2026, 3, 7, 12, tzinfo=UTC), False),
    (4, "back\\slash.py", "mypy", "info", "open", None, datetime(2026, 3, 2, tzinfo=UTC), False),
    (5, None, "mypy", None, "fixed", 0, None, None),
)


@pytest.fixture
async def filled(database: Database) -> Database:
    names = [column.name for column in examples.columns]
    async with database.engine.begin() as connection:
        await connection.run_sync(examples.metadata.create_all)
        await connection.execute(
            insert(examples), [dict(zip(names, (UUID(int=row[0]), *row[1:]), strict=True)) for row in ROWS]
        )
    return database


CASES: list[tuple[str, list[int]]] = [
    ("", [1, 2, 3, 4, 5]),
    ("path:core", [1, 2, 3]),
    ("path:CORE", [1, 2, 3]),
    ("path:core/*", [1, 2]),
    ("path:*core/*", [1, 2, 3]),
    ("path:50%_", [2]),
    ("path:i_s", []),
    ('path:"back\\\\sl"', [4]),
    ("-path:core", [4, 5]),
    ("tool:bandit", [1, 2]),
    ("tool:band", []),
    ("tool:b*", [1, 2]),
    ('tool:"my tool"', [3]),
    ("tool:(mypy OR bandit)", [1, 2, 4, 5]),
    ("severity:>=high", [1, 3]),
    ("severity:>high", [3]),
    ("severity:<=low", [2, 4]),
    ("severity:<low", [4]),
    ("severity:(high OR <low)", [1, 4]),
    ("-severity:high", [2, 3, 4, 5]),
    ("is:open", [1, 3, 4]),
    ("state:(open OR fixed)", [1, 2, 3, 4, 5]),
    ("count:7", [2]),
    ("count:>3", [2, 3]),
    ("count:<=3.5", [1, 5]),
    ("created:2026-03-01", [1, 2]),
    ("created:>2026-03-01", [3, 4]),
    ("created:<=2026-03-01", [1, 2]),
    ("created:<2026-03-01", []),
    ("created:>=2026-03-01T23:59:00Z", [2, 3, 4]),
    ("created:>=-2d", [3]),
    ("created:-1w", [2, 3, 4]),
    ("created:<-7d", [1]),
    (f"id:example_{UUID(int=4).hex}", [4]),
    ("is:suppressed", [2]),
    ("-is:suppressed", [1, 3, 4, 5]),
    ("suppressed:no", [1, 3, 4]),
    ("ids", [1]),
    ("bandit core", [1, 2]),
    ("-core", [4, 5]),
    ("'; drop table filter_examples; --", []),
]


async def find_numbers(database: Database, text: str) -> list[int]:
    parsed = parse_filter(text, FIELDS)
    order = to_order(parsed, COLUMNS) or [examples.c.example_id]
    query = select(examples.c.example_id).where(to_where(parsed, COLUMNS, now=NOW)).order_by(*order)
    async with database.engine.connect() as connection:
        return [identifier.int for identifier in (await connection.execute(query)).scalars()]


async def test_each_filter_selects_its_rows(filled: Database) -> None:
    found = {text: await find_numbers(filled, text) for text, _ in CASES}
    assert found == dict(CASES)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("sort:severity", [4, 2, 1, 3, 5]),
        ("sort:-severity", [3, 1, 2, 4, 5]),
        ("sort:-count sort:path", [3, 2, 1, 5, 4]),
    ],
)
async def test_orders_follow_ranks_with_unknown_last(filled: Database, text: str, numbers: list[int]) -> None:
    assert await find_numbers(filled, text) == numbers


async def test_relative_times_count_from_the_database_clock_by_default(filled: Database) -> None:
    where = to_where(parse_filter("created:>=-1h", FIELDS), COLUMNS)
    async with filled.engine.connect() as connection:
        assert (await connection.execute(select(examples.c.example_id).where(where))).all() == []


def test_values_are_always_bound() -> None:
    text = "path:secret tool:secret* severity:high count:4711 created:2026-01-02 is:suppressed secret"
    compiled = str(to_where(parse_filter(text, FIELDS), COLUMNS))
    assert [word for word in ("secret", "4711", "2026") if word in compiled] == []
