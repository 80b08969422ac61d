"""The sum of the migrations is the tables, and each can be undone or says why not."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool

from referee.app import ALL_TABLES
from referee.core.errors import Conflict, Unavailable
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import Base, open_database
from referee.foundation.store.database import database_url_of, read_database_url
from referee.foundation.store.migrating import downgrade, find_head, list_revisions, make_config, migrate
from referee.foundation.store.schemas import describe_schema, list_differences

for tables in ALL_TABLES:
    import_module(tables)


@pytest.fixture
def conninfo(database_settings: Settings) -> str:
    return read_database_url(database_settings.database_url or "")


@pytest.fixture
def connection(conninfo: str) -> Iterator[Connection]:
    engine = create_engine(database_url_of(conninfo), poolclass=pool.NullPool)
    with engine.connect() as opened:
        yield opened


def test_sum_of_migrations_is_the_tables(connection: Connection) -> None:
    assert list_differences(connection, Base.metadata) == []


def test_alembic_sees_no_difference_either(connection: Connection) -> None:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    assert compare_metadata(context, Base.metadata) == []


def test_newest_file_is_the_only_head_and_files_follow_one_another() -> None:
    script = ScriptDirectory.from_config(make_config())
    history = [revision.revision for revision in script.walk_revisions()]
    assert script.get_heads() == [find_head()]
    assert tuple(reversed(history)) == list_revisions()


def test_each_revision_can_be_undone_and_redone_or_says_why_not(
    conninfo: str, connection: Connection
) -> None:
    expected = describe_schema(connection)
    connection.rollback()
    steps = list(zip(reversed(list_revisions()), [*reversed(list_revisions()[:-1]), "base"], strict=True))
    for _revision, below in steps:
        try:
            downgrade(conninfo, below)
        except Conflict as refusal:
            assert refusal.message
            assert refusal.hint
            break
    migrate(conninfo)
    assert describe_schema(connection) == expected


async def test_newer_schema_is_refused_with_both_revisions(
    database_settings: Settings, conninfo: str
) -> None:
    with psycopg.connect(conninfo) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_future'")
    with pytest.raises(Conflict) as refusal:
        await open_database(database_settings)
    assert refusal.value.code == "database.schema_newer"
    assert refusal.value.message == (
        f"The database has the schema 9999_future, and this Referee knows up to {find_head()}."
    )


def test_migration_gives_up_when_another_program_holds_its_table(conninfo: str) -> None:
    downgrade(conninfo, "base")
    migrate(conninfo, "0001_foundation")
    with psycopg.connect(conninfo) as holder:
        holder.execute("LOCK TABLE artifacts IN ACCESS SHARE MODE")
        with pytest.raises(Unavailable, match="holds one of its tables"):
            downgrade(conninfo, "base")
    downgrade(conninfo, "base")


def test_migrations_are_files_of_the_package() -> None:
    assert all(name[:4].isdigit() for name in list_revisions())
    assert (Path(make_config().get_main_option("script_location") or "") / "env.py").is_file()


async def test_tables_are_made_once_when_many_open_an_empty_database(home: Path) -> None:
    import asyncio

    settings = load_settings(home=home, database_idle_stop_s=0.0)
    opened = await asyncio.gather(*(open_database(settings) for _ in range(5)))
    await asyncio.gather(*(database.close() for database in opened))
