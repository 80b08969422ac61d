"""Fixtures for every test: a home of its own, and a fresh migrated database within milliseconds."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from tests.programs import Referee
from tests.s3_server import S3Server

from referee.app import open_application
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import Database, open_database
from referee.foundation.store.database import database_url_of
from referee.foundation.store.migrating import find_head, migrate
from referee.foundation.store.server import ServerLease, join_server

TOOLS_DIR = Path(os.environ.get("REFEREE_HOME") or Path(__file__).parents[1] / ".referee") / "tools"
"""That of the checkout's own home, which ``make`` names by REFEREE_HOME."""

TEMPLATE_LOCK = 0x5265666572656502
"""Advisory lock under which one of several test workers makes the template database."""


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> Iterator[None]:
    """Take Referee's variables out of the environment, so that no test depends on who runs it.

    Python's own that forbids bytecode goes too: the tests start some 500 processes, and each would compile
    1,300 modules again (2 s of processor time).
    """
    names = [name for name in os.environ if name.startswith("REFEREE_") or name == "PYTHONDONTWRITEBYTECODE"]
    kept = {name: os.environ.pop(name) for name in names}
    yield
    os.environ.update(kept)


@pytest.fixture(scope="session")
def tools_dir() -> Path:
    """The folder of the tools' environments, shared by all tests so that they are installed once."""
    return TOOLS_DIR


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of this test's own, not yet made."""
    return tmp_path / "home"


NO_PROBES = dict.fromkeys(
    ("probe_trace_interval_s", "probe_artifact_interval_s", "probe_analysis_interval_s"), 0
)
"""Settings of a test that is not about probes: none begins in the minute in which it happens to run."""


@pytest.fixture
def settings(home: Path, tools_dir: Path) -> Settings:
    """Settings with a home of this test's own. Opening their database starts a server of its own (1 s)."""
    return load_settings(home=home, tools_dir=tools_dir, database_idle_stop_s=0.0, **NO_PROBES)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerLease]:
    """One embedded server for all tests and all workers of a run, with a migrated template database."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    server_settings = load_settings(home=root / "shared-database", database_idle_stop_s=0.5)
    lease = join_server(server_settings)
    _ensure_template(lease)
    yield lease
    lease.release()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        _wait_until_gone(server_settings.home)


@pytest.fixture
def database_settings(settings: Settings, shared_server: ServerLease) -> Iterator[Settings]:
    """Settings whose ``database_url`` is a fresh, migrated database of this test's own."""
    with fresh_database(settings, shared_server) as made:
        yield made


@pytest.fixture
def other_settings(tmp_path: Path, tools_dir: Path, shared_server: ServerLease) -> Iterator[Settings]:
    """Settings of another installation: a home and a database that share nothing with the first."""
    other = load_settings(
        home=tmp_path / "other-home", tools_dir=tools_dir, database_idle_stop_s=0.0, **NO_PROBES
    )
    with fresh_database(other, shared_server) as made:
        yield made


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server for the tests of one worker; each store in it takes a prefix of its own."""
    server = S3Server(tmp_path_factory.mktemp("s3-server"))
    server.start()
    yield server
    server.kill()


@contextmanager
def fresh_database(settings: Settings, server: ServerLease) -> Iterator[Settings]:
    """Give settings a database of their own, gone afterwards."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(_conninfo(server, "postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(_template())
            )
        )
        # A test outlives no power cut: its commits need not wait for the disk (7 ms each on a busy one).
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name))
        )
    url = database_url_of(_conninfo(server, name)).replace("postgresql+psycopg", "postgresql")
    yield settings.model_copy(update={"database_url": url})
    with psycopg.connect(_conninfo(server, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
async def database(database_settings: Settings) -> AsyncIterator[Database]:
    """A fresh, migrated database of this test's own."""
    opened = await open_database(database_settings)
    yield opened
    await asyncio.shield(opened.close())


def _template() -> str:
    return f"template_{find_head()}"


def _conninfo(lease: ServerLease, name: str) -> str:
    return make_conninfo("", host=str(lease.socket_dir), user="postgres", dbname=name)


def _ensure_template(lease: ServerLease) -> None:
    """Make the template database unless another worker has."""
    with psycopg.connect(_conninfo(lease, "postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_template()]).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier("unfinished_template")))
            conninfo = _conninfo(lease, "unfinished_template")
            migrate(conninfo)
            asyncio.run(_prepare(database_url_of(conninfo)))
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                    sql.Identifier("unfinished_template"), sql.Identifier(_template())
                )
            )


async def _prepare(url: str) -> None:
    """Have the job library make its tables too, so that no test has to."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            home=Path(folder) / "home", database_url=url.replace("postgresql+psycopg", "postgresql")
        )
        async with open_application(settings, is_worker=False):
            pass


def _wait_until_gone(server_home: Path) -> None:
    """Leave nothing running: wait for the server that stops by itself when its last client has left."""
    deadline_s = time.monotonic() + 30
    while (server_home / "database" / "postmaster.pid").exists() and time.monotonic() < deadline_s:
        time.sleep(0.02)


@pytest.fixture
def referee(home: Path, tools_dir: Path, database_settings: Settings) -> Referee:
    """Return a function that runs the real command line on this test's home and database.

    A variable ``REFEREE_DATABASE_URL=""`` gives it the embedded database of that home instead, which costs
    3 s at its first command.
    """
    url = str(database_settings.database_url)

    def run(*arguments: str | bytes, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "referee", *arguments],
            env={
                **os.environ,
                "REFEREE_HOME": str(home),
                "REFEREE_TOOLS_DIR": str(tools_dir),
                "REFEREE_DATABASE_IDLE_STOP_S": "0",
                **({"REFEREE_DATABASE_URL": url} | variables),
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run
