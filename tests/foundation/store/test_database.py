"""Transactions of the database."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from referee.core.errors import InvalidInput
from referee.foundation.store import Database


async def test_default_project_is_there_from_the_first_migration(database: Database) -> None:
    async with database.reading() as session:
        assert (await session.execute(text("SELECT slug FROM projects"))).scalars().all() == ["default"]


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800b"])
async def test_text_that_postgresql_cannot_keep_is_invalid_input(database: Database, name: str) -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        async with database.transaction() as session:
            await session.execute(text("UPDATE projects SET name = :name"), {"name": name})
