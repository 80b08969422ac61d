"""A room of videos, and revisions as they are in the middle of their analysis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from tests.videos.recorded import CLIP, request_of

from referee.app import Application, open_application
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.videos import VideosRoom, service
from referee.videos.views import Video


@dataclass(frozen=True, slots=True)
class Bench:
    """An application without a worker, and its project."""

    application: Application
    project_id: UUID

    @property
    def room(self) -> VideosRoom:
        """The room of videos."""
        return self.application.videos

    async def add(self, data: bytes = CLIP, **changes: object) -> Video:
        """Add a clip of this machine; its analysis waits."""
        path = self.application.settings.home / "clip.mp4"
        path.write_bytes(data)
        return await service.add_file(
            self.room, self.application.engine, self.project_id, path, request_of(len(data), **changes)
        )


@pytest.fixture
async def bench(database_settings: Settings) -> AsyncIterator[Bench]:
    async with open_application(database_settings, is_worker=False) as application:
        project = await get_project(application.database, "default")
        yield Bench(application, project.project_id)
