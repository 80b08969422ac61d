"""Projects as clients of the telemetry interface know them: by id or by name, changed by admins only."""

from __future__ import annotations

import re
import unicodedata
from uuid import UUID

from sqlalchemy import Select, Text, cast, delete, or_, select, update
from sqlalchemy.exc import IntegrityError

from referee.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from referee.core.pages import MAX_LIMIT
from referee.foundation.access.service import (
    Principal,
    Project,
    check_description,
    check_name,
    create_project,
    to_project,
)
from referee.foundation.access.tables import ProjectRow
from referee.foundation.store import Database

__all__ = [
    "create_named_project",
    "delete_project",
    "get_project_by_id",
    "list_own_projects",
    "make_slug",
    "require_project",
    "update_project",
]

_DEFAULT_SLUG = "default"
_SLUG_MAX_CHARACTERS = 63


def require_admin(principal: Principal) -> None:
    """Let only admins pass.

    Raises:
        Forbidden: With the sentence that clients know.
    """
    if not principal.can("admin"):
        raise Forbidden("project.forbidden_route", "Forbidden route")


def require_project(principal: Principal, project_id: str) -> UUID:
    """Return the id in a path, which has to be that of the project the caller's key is of.

    Raises:
        NotFound: It is another's, or none.
    """
    if project_id.strip().lower() != str(principal.project_id):
        raise _not_found(project_id)
    return principal.project_id


async def list_own_projects(
    database: Database, principal: Principal, *, name: str | None = None, limit: int = MAX_LIMIT
) -> list[Project]:
    """Return the project of a key, or all for an admin, by slug; only those of a name or slug if one is given."""
    statement = _select_own(principal).order_by(ProjectRow.slug).limit(limit)
    if name is not None:
        statement = statement.where(or_(ProjectRow.name == name, ProjectRow.slug == name))
    async with database.reading() as session:
        return [to_project(row) for row in (await session.scalars(statement)).all()]


async def get_project_by_id(database: Database, principal: Principal, project_id: str) -> Project:
    """Return a project that the caller may see.

    Raises:
        NotFound: There is none of that id, or it is another's.
    """
    try:
        statement = _select_own(principal).where(ProjectRow.project_id == UUID(project_id.strip()))
    except ValueError:
        raise _not_found(project_id) from None
    async with database.reading() as session:
        row = await session.scalar(statement)
    if row is None:
        raise _not_found(project_id)
    return to_project(row)


async def create_named_project(
    database: Database, principal: Principal, name: str, description: str
) -> Project:
    """Create a project whose slug is made of its name.

    Raises:
        Forbidden: ``principal`` is no admin.
        InvalidInput: The name has no letter or digit that a slug could be made of.
        Conflict: There is one of that slug.
    """
    require_admin(principal)
    return await create_project(database, principal, make_slug(name), name, description=description)


async def update_project(
    database: Database,
    principal: Principal,
    project_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
) -> Project:
    """Change a project's name or description; its slug stays.

    Raises:
        Forbidden: ``principal`` is no admin.
        NotFound: There is none of that id.
    """
    require_admin(principal)
    known = await get_project_by_id(database, principal, project_id)
    values = {
        "name": known.name if name is None else check_name(name),
        "description": known.description if description is None else check_description(description),
    }
    statement = update(ProjectRow).where(ProjectRow.project_id == known.project_id).values(values)
    async with database.transaction() as session:
        row = (await session.execute(statement.returning(ProjectRow))).scalar_one_or_none()
    if row is None:
        raise _not_found(project_id)
    return to_project(row)


async def delete_project(database: Database, principal: Principal, text: str) -> Project:
    """Delete a project that nothing belongs to; its keys end with it.

    Args:
        database: Where it is.
        principal: Who asks.
        text: Its id, slug or name.

    Raises:
        Forbidden: ``principal`` is no admin.
        NotFound: There is none of that id or name.
        Conflict: It is the default project, or something belongs to it.
    """
    require_admin(principal)
    async with database.reading() as session:
        is_named = or_(
            cast(ProjectRow.project_id, Text) == text, ProjectRow.slug == text, ProjectRow.name == text
        )
        rows = (await session.scalars(_select_own(principal).where(is_named).limit(2))).all()
    if len(rows) != 1:
        raise _not_found(text)
    known = to_project(rows[0])
    if known.slug == _DEFAULT_SLUG:
        raise Conflict("project.default", "The default project stays.", "Delete what is in it instead.")
    try:
        async with database.transaction() as session:
            await session.execute(delete(ProjectRow).where(ProjectRow.project_id == known.project_id))
    except IntegrityError as error:
        raise Conflict(
            "project.not_empty",
            f"The project {known.slug} is not empty, so it was not deleted.",
            "Revoke its keys if it is to be used no more.",
        ) from error
    return known


def make_slug(name: str) -> str:
    """Return a slug made of a name.

    Raises:
        InvalidInput: Nothing of the name could be part of one.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_MAX_CHARACTERS].strip("-")
    if not slug:
        raise InvalidInput(
            "project.slug_invalid",
            f"{name[:80]!r} has no letter or digit that an address could be made of.",
            "Use letters a to z or digits in the name.",
        )
    return slug


def _select_own(principal: Principal) -> Select[ProjectRow]:
    statement = select(ProjectRow)
    return (
        statement
        if principal.can("admin")
        else statement.where(ProjectRow.project_id == principal.project_id)
    )


def _not_found(text: str) -> NotFound:
    return NotFound(
        "project.not_found", f"There is no project {text[:80]!r}.", "List them with GET /v1/projects."
    )
