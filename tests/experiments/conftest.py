"""The whole web application on a fresh database, asked as a telemetry client asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from tests.answers import CheckedApp
from tests.web_site import open_web_app

from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database, open_database


@pytest.fixture
async def app(database_settings: Settings) -> AsyncIterator[FastAPI]:
    """The running application."""
    async with open_web_app(database_settings) as made:
        yield made


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client on this machine without a key."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(CheckedApp(app)), base_url="http://127.0.0.1:8765", timeout=60
    ) as opened:
        yield opened


@pytest.fixture
async def store(app: FastAPI, database_settings: Settings) -> AsyncIterator[Database]:
    """The application's database, opened a second time."""
    opened = await open_database(database_settings)
    yield opened
    await opened.close()


@pytest.fixture
async def project_id(store: Database) -> UUID:
    """The project ``default``."""
    return (await get_project(store, "default")).project_id
