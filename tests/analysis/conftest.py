"""An application with a worker in this process, and small subjects to analyse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import pytest

from referee.analysis import Analysis, AnalysisRequest, ToolRun, create_analysis
from referee.analysis.queries import get_analysis, list_tool_runs
from referee.app import Application, open_application
from referee.foundation.access import get_project
from referee.foundation.settings import Settings

Analyse: TypeAlias = Callable[..., Awaitable[tuple[Analysis, dict[str, ToolRun]]]]

FLAWED = """import hashlib
import os
import subprocess


def run(name):
    return subprocess.call("ls " + name, shell=True)


def digest(text):
    return hashlib.md5(text.encode()).hexdigest()


def unused_helper():
    return 1
"""


@pytest.fixture
async def application(database_settings: Settings) -> AsyncIterator[Application]:
    """An application that carries out its own jobs."""
    async with open_application(database_settings, is_worker=True) as opened:
        yield opened


@pytest.fixture
async def project_id(application: Application) -> UUID:
    """The project ``default``."""
    return (await get_project(application.database, "default")).project_id


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    """A folder with one flawed Python file."""
    folder = tmp_path / "subject"
    folder.mkdir()
    (folder / "main.py").write_text(FLAWED)
    return folder


@pytest.fixture
def analyse(application: Application, project_id: UUID) -> Analyse:
    """Return a function that analyses a folder and waits for the end."""

    async def run(path: Path, *tools: str, **options: object) -> tuple[Analysis, dict[str, ToolRun]]:
        request = AnalysisRequest(path=str(path), tools=tools, **options)  # type: ignore[arg-type]  # test options
        accepted = await create_analysis(application.analysis, application.engine, project_id, request)
        assert accepted.job_id is not None
        await application.engine.wait(accepted.job_id, 120)
        async with application.database.reading() as session:
            ended = await get_analysis(session, project_id, accepted.analysis_id)
            runs = await list_tool_runs(session, accepted.analysis_id)
        return ended, {one.tool: one for one in runs}

    return run
