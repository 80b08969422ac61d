"""Transactions of the database, its errors in words, and its address."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError as UniqueError
from sqlalchemy.ext.asyncio import create_async_engine

from referee.core.errors import InvalidInput, Unavailable
from referee.foundation.settings import Settings
from referee.foundation.store import Database, current_revision, open_database
from referee.foundation.store.database import check_version, database_url_of, read_database_url
from referee.foundation.store.migrating import find_head


async def test_default_project_is_there_from_the_first_migration(database: Database) -> None:
    async with database.reading() as session:
        assert (await session.execute(text("SELECT slug FROM projects"))).scalars().all() == ["default"]
    assert await current_revision(database) == find_head()


async def test_transaction_commits_at_its_end_and_rolls_back_on_an_error(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("UPDATE projects SET name = 'kept'"))
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as session:
            await session.execute(text("UPDATE projects SET name = 'lost'"))
            raise ZeroDivisionError
    async with database.reading() as session:
        assert await session.scalar(text("SELECT name FROM projects")) == "kept"


async def test_reading_sees_one_unmoving_state_and_cannot_write(database: Database) -> None:
    async with database.reading() as reader:
        before = await reader.scalar(text("SELECT name FROM projects"))
        async with database.transaction() as writer:
            await writer.execute(text("UPDATE projects SET name = 'changed'"))
        assert await reader.scalar(text("SELECT name FROM projects")) == before
    with pytest.raises(Exception, match="read-only transaction"):
        async with database.reading() as reader:
            await reader.execute(text("UPDATE projects SET name = 'no'"))
    async with database.transaction() as session:
        assert await session.scalar(text("SHOW transaction_read_only")) == "off"


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800b"])
async def test_text_that_postgresql_cannot_keep_is_invalid_input(database: Database, name: str) -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        async with database.transaction() as session:
            await session.execute(text("UPDATE projects SET name = :name"), {"name": name})


@pytest.mark.parametrize("value", [r'{"a": "\u0000"}', r'{"a": "\ud800"}'])
async def test_json_that_postgresql_cannot_keep_is_invalid_input(database: Database, value: str) -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        async with database.transaction() as session:
            await session.execute(text("SELECT CAST(:value AS jsonb)"), {"value": value})


async def test_faults_of_the_caller_keep_their_own_error(database: Database) -> None:
    with pytest.raises(UniqueError):
        async with database.transaction() as session:
            await session.execute(
                text(
                    "INSERT INTO projects (project_id, slug, name) VALUES (gen_random_uuid(), 'default', 'x')"
                )
            )


async def test_statement_that_takes_too_long_is_given_up(database_settings: Settings) -> None:
    database = await open_database(database_settings.model_copy(update={"database_statement_timeout_s": 0.2}))
    started_s = time.monotonic()
    with pytest.raises(Unavailable) as refusal:
        async with database.transaction() as session:
            await session.execute(text("SELECT pg_sleep(30)"))
    assert refusal.value.code == "database.statement_timeout"
    assert time.monotonic() - started_s < 10
    await database.close()


async def test_connections_carry_a_name_and_utc(database: Database) -> None:
    async with database.reading() as session:
        found = await session.execute(
            text("SELECT current_setting('application_name'), current_setting('TimeZone')")
        )
        assert found.one() == ("referee", "UTC")


async def test_url_works_for_other_engines(database: Database) -> None:
    engine = create_async_engine(database.url)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM projects")) == 1
    await engine.dispose()


async def test_many_transactions_wait_for_a_free_connection(database: Database) -> None:
    async def count() -> int:
        async with database.transaction() as session:
            return int(await session.scalar(text("SELECT count(*) FROM projects")) or 0)

    assert await asyncio.gather(*(count() for _ in range(50))) == [1] * 50


@pytest.mark.parametrize(
    "url", ["", "mysql://host/db", "host=/tmp", "postgresql", "postgresql://host:port/db", "http://x"]
)
def test_address_of_another_kind_is_invalid_input(url: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_database_url(url)
    assert refusal.value.code == "database.url_invalid"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgres://u:p%40ss@host:5433/db", "postgresql+psycopg://u:p%40ss@host:5433/db"),
        ("postgresql+psycopg://u@host/db", "postgresql+psycopg://u@host/db"),
        ("postgresql+asyncpg:///db?host=/run/pg", "postgresql+psycopg:///db?host=%2Frun%2Fpg"),
        ("postgresql://host/db?sslmode=require", "postgresql+psycopg://host/db?sslmode=require"),
        ("postgresql://u@[::1]:5432/db", "postgresql+psycopg://u@[::1]:5432/db"),
    ],
)
def test_address_is_understood_as_hosts_write_it(given: str, expected: str) -> None:
    assert database_url_of(read_database_url(given)) == expected


async def test_unreachable_server_is_told_without_its_password(settings: Settings) -> None:
    wrong = settings.model_copy(update={"database_url": "postgresql://me:hush@127.0.0.1:1/db"})
    with pytest.raises(Unavailable) as refusal:
        await open_database(wrong)
    assert refusal.value.code == "database.unreachable"
    assert "hush" not in str(refusal.value)
    assert "hush" not in repr(wrong)


def test_server_older_than_15_is_refused() -> None:
    with pytest.raises(Unavailable, match="PostgreSQL 14, and Referee needs 15"):
        check_version(140_012)
    check_version(150_000)
