"""Start an app for a person who asks through a page or the API."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from referee.apps.holding import NothingToRun, lease_app
from referee.apps.room import AppsRoom
from referee.apps.roots import check_roots
from referee.apps.running import read_app_source
from referee.apps.runs import AppFailed, AppRun, get_app_run
from referee.apps.service import get_app
from referee.core.errors import InvalidInput
from referee.foundation.web.live import publish

__all__ = ["DEFAULT_HOURS", "MAX_HOURS", "start_app_run"]

DEFAULT_HOURS: Final = 8.0
MAX_HOURS: Final = 720.0
_HOUR_S: Final = 3_600.0


async def start_app_run(room: AppsRoom, project_id: UUID, app_id: UUID, *, hours: float) -> AppRun:
    """Take a person's lease on the run of an app as its folder is now, starting a run if there is none.

    Returns at once: the run says what its start is busy with.

    Args:
        room: Of apps.
        project_id: Whose.
        app_id: Which app.
        hours: How long it stays up. Above 0, at most ``MAX_HOURS``.

    Raises:
        NotFound: The project has no such app.
        Forbidden: The server listens beyond its machine, and nobody has said which folders it may read.
        InvalidInput: ``hours`` is out of range, the folder is not usable, or nothing in it can be started.
    """
    if not 0 < hours <= MAX_HOURS:
        raise InvalidInput(
            "app_run.hours_invalid",
            f"An app stays up for more than 0 and at most {MAX_HOURS:g} hours.",
            "Give such a number.",
        )
    check_roots(room.settings)
    async with room.database.reading() as session:
        app = await get_app(session, project_id, app_id)
    source = await read_app_source(room, project_id, app.path, model=app.model, number=app.number)
    try:
        app_run_id, _ = await lease_app(
            room, source, holder="a person", ttl_s=hours * _HOUR_S, is_person=True
        )
    except NothingToRun:
        raise InvalidInput(
            "app.nothing_to_run",
            "Nothing in this folder can be started.",
            "Say how to start it in a referee.toml or a Procfile.",
        ) from None
    except AppFailed as error:
        raise InvalidInput(
            "app.description_invalid", error.reason, "Correct its referee.toml or its Procfile."
        ) from error
    async with room.database.transaction() as session:
        await publish(session, "app_runs", {"app_run_id": str(app_run_id)}, project_id=project_id)
        return await get_app_run(session, project_id, app_run_id)
