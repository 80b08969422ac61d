"""Pages and answers of single rooms, in memory, over rows that a test has written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
from fastapi import APIRouter

from referee.foundation.access import Principal, find_local_principal
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.foundation.web import create_shell
from referee.foundation.web.shell import Shell

__all__ = ["open_site"]


@asynccontextmanager
async def open_site(
    settings: Settings,
    database: Database,
    *routers: APIRouter,
    register: Sequence[Callable[[Shell], None]] = (),
    scopes: frozenset[str] | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a shell with these routers.

    Args:
        settings: Of the server.
        database: Where projects are.
        routers: Of the rooms that are tested.
        register: What each room registers in the shell.
        scopes: What who asks may do; None: everything.
    """

    async def find_principal(slug: str) -> Principal:
        found = await find_local_principal(database, slug)
        return found if scopes is None else Principal(found.project_id, found.project_slug, None, scopes)

    app = create_shell(settings, title="Referee", version="0", find_local_principal=find_principal)
    for router in routers:
        app.include_router(router)
    for one in register:
        one(app.state.shell)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8765", timeout=60
    ) as client:
        yield client
