"""The queries of projects and keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Update, and_, func, literal_column, or_, select, tuple_, update

from referee.foundation.access.tables import ApiKeyRow, ProjectRow

__all__ = [
    "select_key_by_digest",
    "select_key_by_id",
    "select_keys",
    "update_last_used",
    "update_revoked",
]

LAST_USED_STEP_S = 60
"""``last_used_at`` moves at most once a minute, so that a busy key does not write on every request."""

_is_live = and_(
    ApiKeyRow.revoked_at.is_(None),
    or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > func.now()),
)


def select_key_by_digest(secret_digest: bytes) -> Select[Any]:
    """Who owns a secret, and whether it still counts: asked on every request, one index look-up."""
    return _select_principal().where(ApiKeyRow.secret_digest == secret_digest)


def select_key_by_id(api_key_id: UUID) -> Select[Any]:
    """Whether the key behind a session still counts: asked on every page of a session."""
    return _select_principal().where(ApiKeyRow.api_key_id == api_key_id)


def _select_principal() -> Select[Any]:
    return select(
        ApiKeyRow.api_key_id,
        ApiKeyRow.secret_digest,
        ApiKeyRow.scopes_json,
        ApiKeyRow.revoked_at,
        ApiKeyRow.expires_at,
        _is_live.label("is_live"),
        _is_stale().label("is_stale"),
        ProjectRow.project_id,
        ProjectRow.slug,
    ).join(ProjectRow, ProjectRow.project_id == ApiKeyRow.project_id)


def select_keys(project_id: UUID, *, limit: int, after: tuple[datetime, UUID] | None) -> Select[Any]:
    """The keys of a project, newest first, after a position."""
    statement = select(ApiKeyRow).where(ApiKeyRow.project_id == project_id)
    if after is not None:
        statement = statement.where(tuple_(ApiKeyRow.created_at, ApiKeyRow.api_key_id) < after)
    return statement.order_by(ApiKeyRow.created_at.desc(), ApiKeyRow.api_key_id.desc()).limit(limit)


def update_last_used(api_key_id: UUID) -> Update:
    """Note that a key is in use, unless that was noted within the last minute by anyone."""
    return (
        update(ApiKeyRow)
        .where(ApiKeyRow.api_key_id == api_key_id, _is_stale())
        .values(last_used_at=func.now())
    )


def update_revoked(project_id: UUID, api_key_id: UUID) -> Update:
    """End a key for good; the first revocation's instant stays."""
    return (
        update(ApiKeyRow)
        .where(ApiKeyRow.project_id == project_id, ApiKeyRow.api_key_id == api_key_id)
        .values(revoked_at=func.coalesce(ApiKeyRow.revoked_at, func.now()))
    )


def _is_stale() -> Any:
    step: Any = literal_column(f"interval '{LAST_USED_STEP_S} seconds'")
    return or_(ApiKeyRow.last_used_at.is_(None), ApiKeyRow.last_used_at < func.now() - step)
