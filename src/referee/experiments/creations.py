"""Creations that a client named: sent again, they make nothing new."""

from __future__ import annotations

import hashlib
import json
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import Conflict
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.experiments.tables import NamedCreationRow

__all__ = ["claim_creation"]


async def claim_creation(
    session: AsyncSession, project_id: UUID, noun: str, key: str | None, request: JsonValue
) -> tuple[UUID, bool]:
    """Return the id that a creation makes, and whether it is to be made now.

    Two requests with one key wait for each other at the key's row, so one of them makes it.

    Args:
        session: In the transaction that makes it.
        project_id: Whose.
        noun: What is made.
        key: The client's name for this creation; None: it has none, and is always made.
        request: What is asked for.

    Raises:
        Conflict: The key names another creation.
    """
    made_id = new_id()
    if key is None:
        return made_id, True
    digest = hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()
    statement = (
        insert(NamedCreationRow)
        .values(
            project_id=project_id,
            noun=noun,
            idempotency_key=key,
            request_digest=digest,
            created_id=made_id,
        )
        .on_conflict_do_nothing()
        .returning(NamedCreationRow.created_id)
    )
    if await session.scalar(statement) is not None:
        return made_id, True
    known = (
        await session.execute(
            select(NamedCreationRow.created_id, NamedCreationRow.request_digest).where(
                NamedCreationRow.project_id == project_id,
                NamedCreationRow.noun == noun,
                NamedCreationRow.idempotency_key == key,
            )
        )
    ).one()
    if known.request_digest != digest:
        raise Conflict(
            "request.idempotency_key_reused",
            "This idempotency key was sent before with another body.",
            "Send another key for another creation.",
        )
    created_id: UUID = known.created_id
    return created_id, False
