"""The bill of materials of a known app, from its folder as it is now."""

from __future__ import annotations

import asyncio
from uuid import UUID

from referee.apps.bill_of_materials.document import render_bill
from referee.apps.room import AppsRoom
from referee.apps.roots import check_roots
from referee.apps.service import get_app, locate_source
from referee.apps.sources import SourceLimits, take_snapshot
from referee.core.errors import Conflict

__all__ = ["make_bill"]


async def make_bill(room: AppsRoom, project_id: UUID, app_id: UUID) -> bytes:
    """Return the CycloneDX document of an app.

    Raises:
        NotFound: The project has no such app.
        Conflict: The app has no folder yet.
        InvalidInput: Its folder is gone, or cannot be read.
        Forbidden: This server may not read folders of its machine.
    """
    async with room.database.reading() as session:
        app = await get_app(session, project_id, app_id)
    name = f"{app.model}/app{app.number}"
    if not app.path:
        raise Conflict("app.no_folder", f"{name} has no folder yet.", "Wait until it has been written.")
    check_roots(room.settings)
    location = locate_source(app.path, allowed_roots=room.settings.source_roots)
    limits = SourceLimits.from_settings(room.settings)
    snapshot = await asyncio.to_thread(
        take_snapshot, location.path, room.settings.snapshots_dir, limits, name=name
    )
    return await asyncio.to_thread(render_bill, snapshot, name)
