"""Finding an app by what people call it."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.lookups import list_named_apps
from referee.core.errors import NotFound
from referee.core.ids import parse_id

__all__ = ["find_app_id"]

_APP_NAME: Final = re.compile(r"(?P<model>[^/]{1,120})/app(?P<number>[1-9][0-9]{0,5})")


async def find_app_id(session: AsyncSession, project_id: UUID, text: str) -> UUID:
    """Return the app that an id, with or without its prefix, or ``MODEL/appN`` means.

    Raises:
        NotFound: The project has no app of that name.
        InvalidInput: It is no id.
    """
    match = _APP_NAME.fullmatch(text)
    if match is None:
        return parse_id(text, "app")
    name = (match["model"], int(match["number"]))
    found = (await list_named_apps(session, project_id, [name])).get(name)
    if found is None:
        raise NotFound(
            "app.not_found", f"There is no app {text!r}.", "List the apps with `referee app list`."
        )
    return found.app_id
