"""Projects and keys: who is asking, what they may do, and giving or taking that right.

A revoked or expired key stops working with the next request: every one asks
the database, whose clock alone decides. Secrets are shown once, when made, and
are never logged or stored.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from referee.core.ids import format_id, new_id
from referee.core.pages import DEFAULT_LIMIT, MAX_LIMIT, Page
from referee.foundation.access import queries
from referee.foundation.access.keys import (
    KeyKind,
    Scope,
    hash_secret,
    make_secret,
    read_secret,
    shown_part,
)
from referee.foundation.access.tables import ApiKeyRow, ProjectRow
from referee.foundation.store import Database, decode_cursor, encode_cursor

__all__ = [
    "KEY_SCOPES",
    "LOCAL_SCOPES",
    "KeyView",
    "Principal",
    "Project",
    "authenticate",
    "check_description",
    "check_name",
    "confirm_principal",
    "create_key",
    "create_project",
    "find_local_principal",
    "get_project",
    "list_keys",
    "list_projects",
    "revoke_key",
    "to_project",
]

LOCAL_SCOPES: Final[frozenset[str]] = frozenset((Scope.read, Scope.write, Scope.admin))
"""What a request on loopback without a key may do: whoever sits at the machine owns it."""

KEY_SCOPES: Final[Mapping[KeyKind, frozenset[str]]] = {
    KeyKind.project: LOCAL_SCOPES,
    KeyKind.ingestion: frozenset((Scope.ingest,)),
    KeyKind.data_plane: frozenset((Scope.charts_read, Scope.charts_write)),
}
"""Scopes that a key of each kind may have."""

_INCLUDED: Final[Mapping[str, frozenset[str]]] = {
    Scope.ingest: frozenset((Scope.ingest,)),
    Scope.charts_read: frozenset((Scope.charts_read,)),
    Scope.charts_write: frozenset((Scope.charts_read, Scope.charts_write)),
    Scope.read: frozenset((Scope.read, Scope.charts_read)),
    Scope.write: frozenset(Scope) - {Scope.admin},
    Scope.admin: frozenset(Scope),
}
"""What each scope lets its holder do."""

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NAME_MAX_CHARACTERS = 200
_DESCRIPTION_MAX_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class Project:
    """The owner of apps, subjects, analyses and keys."""

    project_id: UUID
    slug: str
    name: str
    created_at: datetime
    description: str = ""


@dataclass(frozen=True, slots=True)
class KeyView:
    """What may be shown of a key."""

    api_key_id: UUID
    project_id: UUID
    kind: KeyKind
    name: str
    description: str | None
    prefix: str
    """The first characters of the secret."""
    scopes: frozenset[str]
    permissions: tuple[str, ...]
    """What a client asked for in its own words; empty for most keys."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking."""

    project_id: UUID
    project_slug: str
    key_id: UUID | None
    """None on loopback without a key."""
    scopes: frozenset[str]

    def can(self, scope: str) -> bool:
        """Whether it may do what ``scope`` names: ``admin`` includes ``write``, that includes ``read``."""
        return any(scope in _INCLUDED.get(held, ()) for held in self.scopes)

    def require(self, scope: str) -> None:
        """Let it pass only with ``scope``.

        Raises:
            Forbidden: The key does not have that scope.
        """
        if not self.can(scope):
            raise Forbidden(
                "access.scope_missing",
                f"This key may not do that: it needs the scope {scope}.",
                "Use another key: `referee key create --help` says how to make one.",
                scope=scope,
            )


async def get_project(database: Database, slug: str) -> Project:
    """Return the project of that slug.

    Raises:
        NotFound: There is none.
    """
    async with database.reading() as session:
        row = await session.scalar(select(ProjectRow).where(ProjectRow.slug == slug))
    if row is None:
        raise NotFound(
            "project.not_found",
            f"There is no project {slug[:80]!r}.",
            "Give the slug of one that exists, such as default.",
        )
    return to_project(row)


async def list_projects(
    database: Database, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[Project]:
    """Return projects in order of their slug."""
    statement = select(ProjectRow).order_by(ProjectRow.slug).limit(_check_limit(limit) + 1)
    if cursor is not None:
        (after,) = decode_cursor(cursor, "projects")
        statement = statement.where(ProjectRow.slug > str(after))
    async with database.reading() as session:
        total_count = await session.scalar(select(func.count()).select_from(ProjectRow)) or 0
        rows = (await session.scalars(statement)).all()
    kept = tuple(to_project(row) for row in rows[:limit])
    next_cursor = encode_cursor("projects", [kept[-1].slug]) if len(rows) > limit else None
    return Page(kept, total_count, limit, next_cursor)


async def create_project(
    database: Database, principal: Principal, slug: str, name: str, *, description: str = ""
) -> Project:
    """Create a project.

    Raises:
        Forbidden: ``principal`` lacks the scope ``admin``.
        InvalidInput: The slug or the name is not usable.
        Conflict: There is a project of that slug.
    """
    principal.require(Scope.admin)
    if not _SLUG.fullmatch(slug):
        raise InvalidInput(
            "project.slug_invalid",
            f"{slug[:80]!r} is not usable as a project's slug.",
            "Use 1 to 63 lower-case letters, digits and hyphens, not beginning with a hyphen.",
        )
    statement = (
        insert(ProjectRow)
        .values(
            project_id=new_id(),
            slug=slug,
            name=check_name(name),
            description=check_description(description) or "",
        )
        .on_conflict_do_nothing(index_elements=["slug"])
        .returning(ProjectRow)
    )
    async with database.transaction() as session:
        row = await session.scalar(statement)
    if row is None:
        raise Conflict("project.exists", f"There is a project {slug!r} already.", "Choose another slug.")
    return to_project(row)


async def create_key(
    database: Database,
    project: Project,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    *,
    kind: KeyKind = KeyKind.project,
    description: str | None = None,
    permissions: Sequence[str] = (),
) -> tuple[KeyView, str]:
    """Create a key. Returns what may be shown of it, and its secret, which cannot be had again.

    Args:
        database: Where it is kept.
        project: What it gives access to.
        name: What it is for, for people.
        scopes: Words of ``Scope``, at least one, and only those that its kind may have.
        expires_at: Aware instant in the future after which it no longer counts; None: never.
        kind: Where it is used.
        description: More about what it is for.
        permissions: What a client asked for in its own words, kept to be shown.

    Raises:
        InvalidInput: The name, a scope or the expiry is not usable.
    """
    wanted = frozenset(scopes)
    if not wanted or not wanted <= KEY_SCOPES[kind]:
        raise InvalidInput(
            "access.scope_unknown",
            f"A key of the kind {kind} has no scopes {', '.join(sorted(wanted - KEY_SCOPES[kind])) or '(none)'}.",
            f"Choose from {', '.join(word for word in Scope if word in KEY_SCOPES[kind])}.",
        )
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= datetime.now(UTC)):
        raise InvalidInput(
            "access.expiry_invalid",
            "A key must expire at a future instant with a time zone.",
            "Write it as 2030-01-31T00:00:00Z, or leave it out.",
        )
    secret = make_secret(kind)
    row = ApiKeyRow(
        api_key_id=new_id(),
        project_id=project.project_id,
        kind=kind,
        name=check_name(name),
        description=check_description(description),
        prefix=shown_part(secret),
        secret_digest=hash_secret(secret),
        scopes_json=sorted(wanted),
        permissions_json=list(permissions) or None,
        expires_at=expires_at,
    )
    async with database.transaction() as session:
        session.add(row)
        await session.flush()
        await session.refresh(row)
    return _key_view(row), secret


async def list_keys(
    database: Database, project: Project, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[KeyView]:
    """Return the keys of a project, newest first, revoked and expired ones included."""
    after: tuple[datetime, UUID] | None = None
    if cursor is not None:
        created_at, api_key_id = decode_cursor(cursor, "keys")
        after = (datetime.fromisoformat(str(created_at)), UUID(str(api_key_id)))
    async with database.reading() as session:
        count = select(func.count()).where(ApiKeyRow.project_id == project.project_id)
        total_count = await session.scalar(count) or 0
        statement = queries.select_keys(project.project_id, limit=_check_limit(limit) + 1, after=after)
        rows = (await session.scalars(statement)).all()
    kept = tuple(_key_view(row) for row in rows[:limit])
    next_cursor = None
    if len(rows) > limit:
        next_cursor = encode_cursor("keys", [kept[-1].created_at.isoformat(), str(kept[-1].api_key_id)])
    return Page(kept, total_count, limit, next_cursor)


async def revoke_key(database: Database, project: Project, api_key_id: UUID) -> KeyView:
    """End a key: the next request with it is refused. Doing so again changes nothing.

    Raises:
        NotFound: The project has no such key.
    """
    async with database.transaction() as session:
        await session.execute(queries.update_revoked(project.project_id, api_key_id))
        row = await session.get(ApiKeyRow, api_key_id)
    if row is None or row.project_id != project.project_id:
        raise NotFound(
            "access.key_not_found",
            f"The project {project.slug} has no key {format_id('key', api_key_id)}.",
            "Run `referee key list` for the keys there are.",
        )
    return _key_view(row)


async def authenticate(database: Database, bearer: str) -> Principal:
    """Return who a bearer key stands for, and note that it was used.

    Raises:
        Unauthorized: It is malformed, unknown, revoked or expired.
    """
    digest = hash_secret(read_secret(bearer))
    async with database.transaction() as session:
        record = (await session.execute(queries.select_key_by_digest(digest))).one_or_none()
        if record is None or not hmac.compare_digest(record.secret_digest, digest):
            raise Unauthorized(
                "access.key_unknown", "The API key is not known.", "Make one with `referee key create`."
            )
        return await _accept(session, record)


async def confirm_principal(database: Database, principal: Principal) -> None:
    """Check that the key behind a session still counts.

    Raises:
        Unauthorized: It was revoked, has expired or is gone.
    """
    if principal.key_id is None:
        return
    async with database.transaction() as session:
        record = (await session.execute(queries.select_key_by_id(principal.key_id))).one_or_none()
        if record is None:
            raise Unauthorized("access.key_unknown", "The API key is gone.", "Sign in with another key.")
        await _accept(session, record)


async def find_local_principal(database: Database, project_slug: str = "default") -> Principal:
    """Return who asks from this machine without a key: everything is theirs.

    Raises:
        NotFound: There is no such project.
    """
    project = await get_project(database, project_slug)
    return Principal(project.project_id, project.slug, None, LOCAL_SCOPES)


async def _accept(session: AsyncSession, record: Any) -> Principal:
    """Return the principal of a key's record if the key still counts, and note its use."""
    if not record.is_live:
        word = "was revoked" if record.revoked_at is not None else "has expired"
        raise Unauthorized(
            "access.key_revoked" if record.revoked_at is not None else "access.key_expired",
            f"The API key {word}.",
            "Make a new one with `referee key create`.",
        )
    if record.is_stale:
        await session.execute(queries.update_last_used(record.api_key_id))
    return Principal(record.project_id, record.slug, record.api_key_id, frozenset(record.scopes_json))


def _check_limit(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput(
            "page.limit_invalid", f"A page cannot have {limit} rows.", f"Ask for 1 to {MAX_LIMIT}."
        )
    return limit


def check_name(name: str) -> str:
    """Return a name without space around it.

    Raises:
        InvalidInput: It is empty, too long or cannot be shown.
    """
    text = name.strip()
    if not 1 <= len(text) <= _NAME_MAX_CHARACTERS or not text.isprintable():
        raise InvalidInput(
            "access.name_invalid",
            "The name is empty, too long or holds control characters.",
            f"Give 1 to {_NAME_MAX_CHARACTERS} printable characters.",
        )
    return text


def check_description(text: str | None) -> str | None:
    """Return a description that is not too long.

    Raises:
        InvalidInput: It is.
    """
    if text is not None and len(text) > _DESCRIPTION_MAX_CHARACTERS:
        raise InvalidInput(
            "access.description_invalid",
            f"The description has more than {_DESCRIPTION_MAX_CHARACTERS:,} characters.",
            "Shorten it.",
        )
    return text


def to_project(row: ProjectRow) -> Project:
    """Return what others may know of a row."""
    return Project(row.project_id, row.slug, row.name, row.created_at, row.description)


def _key_view(row: ApiKeyRow) -> KeyView:
    return KeyView(
        api_key_id=row.api_key_id,
        project_id=row.project_id,
        kind=KeyKind(row.kind),
        name=row.name,
        description=row.description,
        prefix=row.prefix,
        scopes=frozenset(row.scopes_json),
        permissions=tuple(row.permissions_json or ()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
