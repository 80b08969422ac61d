"""The database: one engine on the embedded server or on the user's own, and its transactions.

``open_database`` brings everything about: it starts or joins the embedded
server, makes the database, checks the server's version, applies migrations.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from referee.core.errors import InvalidInput, RefereeError, StorageFull, Unavailable
from referee.foundation.settings import Settings
from referee.foundation.store import backups, migrating
from referee.foundation.store.server import ServerLease, join_server
from referee.foundation.store.supervisor import SUPERUSER

__all__ = [
    "APPLICATION_NAME",
    "OLDEST_MAJOR",
    "Database",
    "Upgrade",
    "current_revision",
    "database_url_of",
    "dump_database",
    "open_database",
    "restore_backup",
    "upgrade_database",
]

APPLICATION_NAME = "referee"
DATABASE_NAME = "referee"
OLDEST_MAJOR = 15
"""Nothing newer than PostgreSQL 15 is used in SQL, and nothing older is tested."""

_CONNECT_TIMEOUT_S = 10
_REVIVE_S = 10
"""Seconds in which a connection to the embedded server is tried again: a restart takes one."""
_REVIVE_STEP_S = 0.05

_OUT_OF_SPACE = frozenset({"53100"})
_UNREACHABLE = frozenset({"57P01", "57P02", "57P03", "53300", "08000", "08001", "08003", "08004", "08006"})


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade of the schema did."""

    from_revision: str | None
    """None when the database was empty."""
    to_revision: str | None
    backup: Path | None
    """The dump made before; None when nothing had to change, or none was wanted."""


class Database:
    """One database with its pool of connections.

    Args:
        conninfo: Where it is, in libpq's form.
        settings: Pool size and the bound of a statement.
        lease: The right to the embedded server; None for a server of the user's own.
    """

    def __init__(self, conninfo: str, settings: Settings, lease: ServerLease | None = None) -> None:
        self.conninfo = conninfo
        """libpq conninfo, for psycopg."""
        self.url = database_url_of(conninfo)
        """SQLAlchemy URL ``postgresql+psycopg://…``, for synchronous and asynchronous engines."""
        self.lease = lease
        self._statement_timeout_ms = int(settings.database_statement_timeout_s * 1000)
        self.engine: AsyncEngine = create_async_engine(
            self.url,
            async_creator=self._connect,
            pool_size=settings.database_pool_count,
            max_overflow=0,
            pool_timeout=30.0,
            pool_pre_ping=True,
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._readers = async_sessionmaker(
            self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True),
            expire_on_commit=False,
        )

    def transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Return a session in a transaction: committed at the end of the block, rolled back on an error.

        Raises:
            InvalidInput: A text holds a NUL or half a surrogate pair, which PostgreSQL cannot keep.
            StorageFull: The database's disk is full.
            Unavailable: The database is not there, or gave a statement up.
        """
        return self._session(self._sessions)

    def reading(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Return a session that only reads, and sees one unmoving state of everything."""
        return self._session(self._readers)

    async def close(self) -> None:
        """Close all connections and stop being a client of the embedded server."""
        try:
            await self.engine.dispose()
        finally:
            if self.lease is not None:
                self.lease.release()

    @asynccontextmanager
    async def _session(self, sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
        try:
            async with sessions() as session, session.begin():
                yield session
        except (DBAPIError, PoolTimeout, psycopg.Error, UnicodeEncodeError) as error:
            explained = explain_database_error(error)
            if explained is None:
                raise
            raise explained from error

    async def _connect(self, *_: object, **__: object) -> psycopg.AsyncConnection:
        """Open one connection; when the embedded server has gone or is recovering, bring it back first."""
        deadline_ns = time.monotonic_ns() + _REVIVE_S * 1_000_000_000
        while True:
            try:
                return await self._connect_once()
            except psycopg.OperationalError:
                if self.lease is None or time.monotonic_ns() > deadline_ns:
                    raise
            socket_dir = await asyncio.to_thread(self.lease.ensure_running)
            self.conninfo = make_conninfo(self.conninfo, host=str(socket_dir))
            await asyncio.sleep(_REVIVE_STEP_S)

    async def _connect_once(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(
            self.conninfo,
            connect_timeout=_CONNECT_TIMEOUT_S,
            application_name=APPLICATION_NAME,
            options=f"-c statement_timeout={self._statement_timeout_ms} -c timezone=UTC",
        )


async def open_database(settings: Settings, *, migrate: bool = True) -> Database:
    """Return the database of these settings, started, reachable and at the schema of this code.

    Args:
        settings: Where it is: ``database_url``, or the embedded server of ``home``.
        migrate: Apply missing migrations, after a backup if there is anything to back up. False
            only checks that nothing is newer than this code.

    Raises:
        InvalidInput: ``database_url`` cannot be understood, or the home cannot be written.
        Unavailable: The server cannot be reached or started, or is too old.
        Conflict: The schema is newer than this code, or the cluster is of another PostgreSQL version.
        StorageFull: The disk has no room.
    """
    conninfo, lease = await asyncio.to_thread(_connect_server, settings)
    try:
        if migrate:
            await asyncio.to_thread(_migrate, settings, conninfo, has_backup=True)
    except BaseException:
        if lease is not None:
            lease.release()
        raise
    return Database(conninfo, settings, lease)


async def current_revision(database: Database) -> str | None:
    """Return the revision of the database's schema; None when it has none of our tables."""
    async with await psycopg.AsyncConnection.connect(database.conninfo, autocommit=True) as connection:
        cursor = await connection.execute("SELECT to_regclass('alembic_version')")
        if await cursor.fetchone() == (None,):
            return None
        cursor = await connection.execute("SELECT version_num FROM alembic_version")
        row = await cursor.fetchone()
    return str(row[0]) if row else None


async def upgrade_database(settings: Settings, *, backup: bool = True) -> Upgrade:
    """Bring the schema to the newest revision, after a backup.

    Raises:
        RefereeError: As ``open_database``; or the backup could not be made, and nothing was changed.
    """
    conninfo, lease = await asyncio.to_thread(_connect_server, settings)
    try:
        return await asyncio.to_thread(_migrate, settings, conninfo, has_backup=backup)
    finally:
        if lease is not None:
            lease.release()


async def dump_database(settings: Settings, target: Path) -> str:
    """Dump the database into a new file while others use it. Returns the revision of its schema.

    Raises:
        RefereeError: As ``open_database``; or the dump could not be made, and nothing was left behind.
    """
    conninfo, lease = await asyncio.to_thread(_connect_server, settings)
    try:
        return await asyncio.to_thread(backups.write_dump, conninfo, target)
    finally:
        if lease is not None:
            lease.release()


async def restore_backup(settings: Settings, backup: Path) -> str:
    """Put a backup in the place of the database. Returns the name under which the replaced one stays.

    Raises:
        RefereeError: As ``open_database``; or the backup is not whole, or the database is in use.
    """
    conninfo, lease = await asyncio.to_thread(_connect_server, settings, is_any_revision=True)
    try:
        return await asyncio.to_thread(backups.replace_database, conninfo, backup)
    finally:
        if lease is not None:
            lease.release()


def read_database_url(url: str) -> str:
    """Return libpq conninfo for a URL as people and hosts write it.

    Raises:
        InvalidInput: It is not a PostgreSQL URL.
    """
    scheme, separator, rest = url.partition("://")
    hint = "Write REFEREE_DATABASE_URL as postgresql://user:password@host:5432/referee."
    if not separator or scheme.split("+")[0] not in ("postgresql", "postgres"):
        raise InvalidInput("database.url_invalid", "The database URL is not one of PostgreSQL.", hint)
    try:
        parts = conninfo_to_dict(f"postgresql://{rest}")
        for port in str(parts.get("port") or "").split(","):
            int(port or 0)
    except (psycopg.Error, ValueError) as error:
        raise InvalidInput("database.url_invalid", "The database URL cannot be understood.", hint) from error
    return make_conninfo("", **parts)


def explain_database_error(error: Exception) -> RefereeError | None:
    """Return what a driver's error means to people; None when it is a fault of our own code."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    sqlstate = getattr(cause, "sqlstate", None) or ""
    if isinstance(error, PoolTimeout):
        return Unavailable(
            "database.pool_busy",
            "All database connections of this process are in use.",
            "Try again in a moment, or raise REFEREE_DATABASE_POOL_COUNT.",
        )
    if is_text_unstorable(cause):
        return InvalidInput(
            "database.text_not_storable",
            "A text holds a NUL character or half a surrogate pair, which the database cannot keep.",
            "Remove these characters and try again.",
        )
    if sqlstate in _OUT_OF_SPACE:
        return StorageFull(
            "storage.full",
            "The disk of the database is full; nothing was stored.",
            "Free some space, then try again.",
        )
    if sqlstate == "57014":
        return Unavailable(
            "database.statement_timeout",
            "The database gave a statement up because it took too long.",
            "Ask for less, or raise REFEREE_DATABASE_STATEMENT_TIMEOUT_S.",
        )
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if lost or sqlstate in _UNREACHABLE or (isinstance(cause, psycopg.OperationalError) and not sqlstate):
        return Unavailable(
            "database.unreachable",
            "The connection to the database was lost or could not be made.",
            "Try again in a moment; `referee status` says whether the database is there.",
        )
    return None


def is_text_unstorable(cause: BaseException | None) -> bool:
    """Whether a driver's error means a NUL or half a surrogate pair, in a text or inside a JSON value."""
    if isinstance(cause, UnicodeEncodeError | psycopg.errors.UntranslatableCharacter):
        return True
    return isinstance(cause, psycopg.DataError) and any(word in str(cause) for word in ("NUL", "surrogate"))


def _connect_server(settings: Settings, *, is_any_revision: bool = False) -> tuple[str, ServerLease | None]:
    """Return where the database is, once its server runs and can be used."""
    if settings.database_url is not None:
        conninfo = read_database_url(settings.database_url)
        _check_server(conninfo, is_any_revision=is_any_revision, is_embedded=False)
        return conninfo, None
    lease = join_server(settings)
    try:
        conninfo = make_conninfo("", host=str(lease.socket_dir), user=SUPERUSER, dbname=DATABASE_NAME)
        _check_server(conninfo, is_any_revision=is_any_revision, is_embedded=True)
    except BaseException:
        lease.release()
        raise
    return conninfo, lease


def _check_server(conninfo: str, *, is_any_revision: bool, is_embedded: bool) -> None:
    """Make the database if need be, and refuse a server too old or a schema too new."""
    try:
        connection = psycopg.connect(conninfo, connect_timeout=_CONNECT_TIMEOUT_S, autocommit=True)
    except psycopg.OperationalError as error:
        if not is_embedded or "does not exist" not in str(error):
            raise _unreachable(conninfo, error) from error
        _create_database(conninfo)
        connection = psycopg.connect(conninfo, connect_timeout=_CONNECT_TIMEOUT_S, autocommit=True)
    with connection:
        check_version(connection.info.server_version)
        if not is_any_revision:
            migrating.check_not_newer(migrating.read_revision(connection))


def check_version(server_version: int) -> None:
    """Refuse a server older than what is tested.

    Raises:
        Unavailable: It is older than PostgreSQL 15.
    """
    major = server_version // 10_000
    if major < OLDEST_MAJOR:
        raise Unavailable(
            "database.too_old",
            f"The database server is PostgreSQL {major}, and Referee needs {OLDEST_MAJOR} or newer.",
            "Upgrade that server, or leave REFEREE_DATABASE_URL unset to use the one that comes along.",
        )


def _migrate(settings: Settings, conninfo: str, *, has_backup: bool) -> Upgrade:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        revision = migrating.read_revision(connection)
    if revision == migrating.find_head():
        return Upgrade(revision, revision, None)
    made: list[Path] = []

    def back_up(_revision: str) -> None:
        settings.ensure_home()
        made.append(backups.make_backup(settings, conninfo))

    found, now = migrating.migrate(conninfo, before=back_up if has_backup else None)
    return Upgrade(found, now, made[0] if made else None)


def _create_database(conninfo: str) -> None:
    """Create the database of ``conninfo`` unless another process does so first."""
    name = conninfo_to_dict(conninfo)["dbname"]
    with (
        psycopg.connect(make_conninfo(conninfo, dbname="postgres"), autocommit=True) as connection,
        suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation),
    ):
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(name))))


def _unreachable(conninfo: str, error: psycopg.OperationalError) -> RefereeError:
    explained = explain_database_error(error)
    if isinstance(explained, StorageFull):
        return explained
    parts = conninfo_to_dict(conninfo)
    reason = str(error).strip().splitlines()[-1].strip() or "no answer"
    return Unavailable(
        "database.unreachable",
        f"The database {parts.get('dbname') or ''} at {parts.get('host') or 'the default host'} "
        f"cannot be reached: {reason}.",
        "Check REFEREE_DATABASE_URL, and that the server is up and lets you in.",
    )


def database_url_of(conninfo: str) -> str:
    """Return the SQLAlchemy form of a conninfo."""
    parts = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    host = parts.pop("host", "")
    user, password, dbname = parts.pop("user", None), parts.pop("password", None), parts.pop("dbname", None)
    port = parts.pop("port", "")
    in_query = host.startswith("/") or "," in host or "," in port
    query = dict(parts)
    if in_query:
        query["host"] = host
        if port:
            query["port"] = port
    url = URL.create(
        "postgresql+psycopg",
        username=user,
        password=password,
        host=None if in_query else host or None,
        port=int(port) if port and not in_query else None,
        database=dbname,
        query=query,
    )
    return url.render_as_string(hide_password=False)
