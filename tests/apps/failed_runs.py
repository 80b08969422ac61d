"""Runs of apps that came to nothing, put into the database as they would be left there."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from referee.apps.runs import FailureKind
from referee.apps.tables import AppRunRow
from referee.core.ids import new_id
from referee.foundation.settings import Settings
from referee.foundation.store import Database, open_artifacts, record_artifacts

__all__ = ["AT", "add_failed_run"]

AT = datetime(2026, 1, 2, tzinfo=UTC)


async def add_failed_run(
    database: Database,
    settings: Settings,
    project_id: UUID,
    failure: FailureKind,
    *,
    source_digest: str,
    started_at: datetime | None,
) -> None:
    """Add a run of an app that failed."""
    listing = await open_artifacts(settings).put_bytes(b"{}", "application/json")
    async with database.transaction() as session:
        await record_artifacts(session, [listing])
        session.add(
            AppRunRow(
                app_run_id=new_id(),
                project_id=project_id,
                name="an app",
                source_digest=source_digest,
                listing_sha256=listing.sha256,
                machine="here",
                state="failed",
                failure=failure.value,
                started_at=started_at,
                finished_at=AT,
            )
        )
