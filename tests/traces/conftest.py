"""The traces room on a fresh database, and the whole web application asked as a client asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from tests.web_site import open_web_client

from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.traces import TracesRoom, open_traces


@pytest.fixture
async def room(database_settings: Settings, database: Database) -> AsyncIterator[TracesRoom]:
    """The room of one process."""
    opened = open_traces(database_settings, database)
    yield opened
    await opened.close()


@pytest.fixture
async def project_id(database: Database) -> UUID:
    """The project ``default``."""
    return (await get_project(database, "default")).project_id


@pytest.fixture
async def client(database_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client on this machine without a key."""
    async with open_web_client(database_settings) as opened:
        yield opened
