"""Pages and answers of single rooms, in memory, over rows that a test has written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
from fastapi import APIRouter, FastAPI
from tests.answers import CheckedApp

from referee.foundation.access import Principal, find_local_principal
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.foundation.web import create_shell
from referee.foundation.web.shell import Shell
from referee.web_app import create_web_app

__all__ = ["open_site", "open_web_app", "open_web_client"]

_idle: dict[tuple[str, ...], list[tuple[FastAPI, Settings]]] = {}
"""Applications that no test has open, by what they read of their settings when they are made."""


@asynccontextmanager
async def open_web_app(settings: Settings) -> AsyncIterator[FastAPI]:
    """Yield the whole web application of these settings, started; stopped afterwards.

    Its 400 routes cost half a second of processor time to make and depend on no test, so that an application
    that was closed is opened again under the next test's settings: everything with a state begins anew.
    """
    key = (settings.host, str(settings.max_import_bytes), str(settings.tools_path))
    idle = _idle.setdefault(key, [])
    if idle:
        app, own = idle.pop()
        own.__dict__.update(settings.model_copy().__dict__)
        settings.ensure_home()
    else:
        own = settings.model_copy()
        app = create_web_app(own)
    async with app.router.lifespan_context(app):
        yield app
    idle.append((app, own))


@asynccontextmanager
async def open_web_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client without a key of the whole web application of these settings, its answers checked."""
    async with (
        open_web_app(settings) as app,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(CheckedApp(app)), base_url="http://127.0.0.1:8765", timeout=60
        ) as client,
    ):
        yield client


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
        transport=httpx.ASGITransport(CheckedApp(app)), base_url="http://127.0.0.1:8765", timeout=60
    ) as client:
        yield client
