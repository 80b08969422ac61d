"""What the comparison of a whole pipeline takes, from its rows to every metric."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench.measuring import Measured, temporary_folder, tools_dir
from tests.pipelines.comparing.rows import plant_pipeline

from referee.app import open_application
from referee.foundation.access import get_project
from referee.foundation.settings import load_settings
from referee.pipelines.comparing import compare_pipeline

__all__ = ["measure_pipeline_comparison"]


def measure_pipeline_comparison() -> list[Measured]:
    """Compare a pipeline of 10 models, 30 templates and 3 repeats whose cells all have results."""
    with temporary_folder() as folder:
        return asyncio.run(_measure(folder))


async def _measure(folder: Path) -> list[Measured]:
    settings = load_settings(home=folder / "home", tools_dir=tools_dir(), database_idle_stop_s=0.0)
    async with open_application(settings, is_worker=False) as application:
        project_id = (await get_project(application.database, "default")).project_id
        pipeline_id = await plant_pipeline(
            application,
            project_id,
            models=[f"m{index}" for index in range(10)],
            templates=[f"t{index}" for index in range(30)],
            repeats=3,
        )
        begun_s = time.perf_counter()
        comparison = await compare_pipeline(application.pipelines, project_id, pipeline_id)
        took_s = time.perf_counter() - begun_s
    assert comparison.cells_count == 900
    return [
        Measured(
            name="a pipeline of 10 models × 30 templates × 3 repeats compared, read and computed",
            value=took_s,
            unit="s",
            goal=5,
            details={"metrics": [metric.key for metric in comparison.metrics]},
        )
    ]
