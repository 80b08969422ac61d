"""Folders of work in progress: one for each piece of work; whoever takes it over clears what a killed one left."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from referee.foundation.settings import Settings

__all__ = ["PREFIX", "work_folder"]

PREFIX = "video-"


@asynccontextmanager
async def work_folder(settings: Settings, revision_id: UUID, name: str) -> AsyncIterator[Path]:
    """Give a piece of work an empty folder, gone afterwards."""
    folder = settings.scratch_dir / f"{PREFIX}{revision_id.hex}-{name}"

    def make() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        # The children of the sandbox run as another user and pass through.
        settings.scratch_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        folder.mkdir(mode=0o711)

    await asyncio.to_thread(make)
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
