"""An application whose analyses wait, and a server that analyzers connect to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.analysis.analyzers.site import Site, open_site

from referee.app import Application, open_application
from referee.foundation.settings import Settings


@pytest.fixture
async def application(database_settings: Settings) -> AsyncIterator[Application]:
    """An application that carries out no jobs: what is asked of it waits for analyzers."""
    async with open_application(database_settings, is_worker=False) as opened:
        yield opened


@pytest.fixture
async def site(application: Application) -> AsyncIterator[Site]:
    """A server with small limits."""
    async with open_site(application) as opened:
        yield opened
