"""Where the artifacts of a database lie: on record, so that no process writes them anywhere else.

A process with another setting would acknowledge bytes that nobody else finds. It is
refused before it does anything.
"""

from __future__ import annotations

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from referee.core.errors import Conflict
from referee.foundation.settings import Settings
from referee.foundation.store.database import Database
from referee.foundation.store.tables import ArtifactPlaceRow, ArtifactRow

__all__ = ["FOLDER_PLACE", "claim_artifact_place", "name_artifact_place", "record_artifact_place"]

FOLDER_PLACE = "folder"
"""The folder of the home, whichever that is: homes are moved, and shared under several names."""


def name_artifact_place(settings: Settings) -> str:
    """Return where these settings keep artifacts: ``folder`` or the address on S3."""
    return settings.artifacts_url or FOLDER_PLACE


async def claim_artifact_place(database: Database, settings: Settings) -> None:
    """Make sure that this process keeps artifacts where all others of the database do.

    As long as there are none, whoever comes last decides.

    Raises:
        Conflict: They lie elsewhere.
    """
    own = name_artifact_place(settings)
    async with database.reading() as session:
        place = await session.scalar(select(ArtifactPlaceRow.place))
        if place == own:
            return
        is_empty = await session.scalar(select(ArtifactRow.sha256).limit(1)) is None
    if place is None or is_empty:
        await record_artifact_place(database, settings)
        return
    setting = (
        "REFEREE_ARTIFACTS_URL to nothing" if place == FOLDER_PLACE else f"REFEREE_ARTIFACTS_URL={place}"
    )
    raise Conflict(
        "artifacts.place_differs",
        f"The artifacts of this database are kept in {place}, and this process would keep them in {own}.",
        f"Set {setting}, or move them with `referee artifacts move --to {own}` under that setting.",
        place=place,
    )


async def record_artifact_place(database: Database, settings: Settings) -> None:
    """Say that all artifacts lie where these settings say. A schema that has no such record yet stays without."""
    async with database.transaction() as session:
        if await session.scalar(text("SELECT to_regclass('artifact_places') IS NOT NULL")):
            place = name_artifact_place(settings)
            await session.execute(
                insert(ArtifactPlaceRow)
                .values(place=place)
                .on_conflict_do_update(
                    index_elements=["is_only"], set_={"place": place, "updated_at": func.now()}
                )
            )
