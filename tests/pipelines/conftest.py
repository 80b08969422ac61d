"""An application with a worker in this process, and tiny apps to analyse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import pytest

from referee.app import Application, open_application
from referee.apps import ensure_app
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.pipelines import Pipeline, PipelineRequest, create_pipeline
from referee.pipelines.queries import get_pipeline

RunPipeline: TypeAlias = Callable[[str], Awaitable[Pipeline]]

FLAWED = "import subprocess\n\n\ndef run(name):\n    return subprocess.call('ls ' + name, shell=True)\n"


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
async def four_apps(application: Application, project_id: UUID, tmp_path: Path) -> Path:
    """Two models with two tiny apps each, known to the project; the folder that holds them."""
    root = tmp_path / "models"
    await add_four_apps(application, project_id, root)
    return root


async def add_four_apps(application: Application, project_id: UUID, root: Path) -> None:
    """Write two models with two tiny apps each, and make them known to a project."""
    async with application.database.transaction() as session:
        for model in ("alpha", "beta"):
            for number in (1, 2):
                folder = root / model / f"app{number}"
                folder.mkdir(parents=True)
                (folder / "main.py").write_text(f"NAME = '{model} {number}'\n{FLAWED}")
                await ensure_app(session, project_id=project_id, model=model, number=number, path=folder)


@pytest.fixture
def run_pipeline(application: Application, project_id: UUID) -> RunPipeline:
    """Return a function that accepts a pipeline and waits for its end or pause."""

    async def run(text: str) -> Pipeline:
        request = PipelineRequest(definition_text=text)
        accepted = await create_pipeline(application.pipelines, application.engine, project_id, request)
        return await wait_for_end(application, project_id, accepted.pipeline_id)

    return run


async def wait_for_end(application: Application, project_id: UUID, pipeline_id: UUID) -> Pipeline:
    """Return a pipeline when its drive has ended."""
    async with application.database.reading() as session:
        pipeline = await get_pipeline(session, project_id, pipeline_id)
    assert pipeline.job_id is not None
    await application.engine.wait(pipeline.job_id, 120)
    async with application.database.reading() as session:
        return await get_pipeline(session, project_id, pipeline_id)
