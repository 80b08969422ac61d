"""The same audit log in both kinds of database, and a plain look at it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
from tests.conftest import fresh_database

from referee.backfills.audit_worlds import create_audit_database, create_audit_table
from referee.backfills.registry import create_backfill
from referee.backfills.targets.opening import open_target
from referee.backfills.targets.target import Target
from referee.foundation.settings import load_settings
from referee.foundation.store.server import ServerLease

ROWS_COUNT = 3_000
CONTENT = (
    "SELECT audit_id, task_id, level, event_type, payload, CAST(created_at AS TEXT), source_event_ts, "
    "supervisor_processed_at FROM task_audits ORDER BY audit_id"
)
Content: TypeAlias = list[tuple[Any, ...]]
Ask: TypeAlias = Callable[..., Content]


@pytest.fixture(scope="session")
def audit_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "template.db"
    create_audit_database(path, ROWS_COUNT)
    return path


@pytest.fixture
def audit_file(audit_template: Path, tmp_path: Path) -> Path:
    path = tmp_path / "audit.db"
    path.write_bytes(audit_template.read_bytes())
    return path


@pytest.fixture(scope="session")
def postgres_address(shared_server: ServerLease, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database for all tests: making one takes longer than any of them."""
    settings = load_settings(home=tmp_path_factory.mktemp("backfills") / "home")
    with fresh_database(settings, shared_server) as made:
        assert made.database_url is not None
        yield made.database_url


@pytest.fixture(params=["sqlite", "postgresql"])
def audit_address(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return str(request.getfixturevalue("audit_file"))
    address: str = request.getfixturevalue("postgres_address")
    with psycopg.connect(address) as connection:
        tables = connection.execute(
            "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND "
            "(relname LIKE 'referee\\_backfill%' OR relname IN ('task_audits', 'schema_version'))"
        ).fetchall()
        for (name,) in tables:
            connection.execute(f"DROP TABLE {name}".encode())
    create_audit_table(address, ROWS_COUNT, is_vacuumed=False)
    return address


@pytest.fixture
def ask(audit_address: str) -> Ask:
    """Ask the database a statement over a connection of one's own."""

    def run(sql: str) -> Content:
        return run_sql(audit_address, sql)

    return run


def run_sql(address: str, sql: str) -> Content:
    if address.startswith("postgres"):
        with psycopg.connect(address) as server:
            cursor = server.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(address, timeout=30)) as connection, connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def target(audit_address: str) -> Iterator[Target]:
    with open_target(audit_address) as opened:
        yield opened


DECISIONS = create_backfill("audit-decisions")
