"""Success rates: what counts, and that days without a case are no failures."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from tests.pipelines.conftest import RunPipeline
from tests.pipelines.test_existing import FOUR

from referee.app import Application
from referee.pipelines.success_rates import DayCount, SuccessRates, read_success_rates


async def read(application: Application, project_id: UUID, days_count: int = 7) -> SuccessRates:
    async with application.database.reading() as session:
        return await read_success_rates(session, project_id, days_count=days_count)


async def test_cell_that_failed_lowers_cells_and_pipelines_and_not_the_service(
    application: Application, project_id: UUID, four_apps: Path, run_pipeline: RunPipeline
) -> None:
    await run_pipeline(FOUR)
    shutil.rmtree(four_apps / "beta" / "app2")
    await run_pipeline(FOUR)

    rates = await read(application, project_id)

    assert rates.sum_up("cells") == DayCount(7, 8)
    assert rates.sum_up("pipelines") == DayCount(1, 2)
    assert rates.sum_up("static") == DayCount(7, 7), "the cell that failed was never analysed"
    assert rates.sum_up("ai") == DayCount(0, 0)
    assert rates.compute_interval("ai") is None
    interval = rates.compute_interval("cells")
    assert interval is not None
    assert interval.low == pytest.approx(0.5291, abs=1e-4)  # Wilson, 7 of 8
    assert interval.point == 0.875


async def test_day_without_a_case_has_no_rate(application: Application, project_id: UUID) -> None:
    rates = await read(application, project_id, days_count=3)

    today = datetime.now(UTC).date()
    assert rates.days[-1] - rates.days[0] == timedelta(days=2)
    assert rates.days[-1] in (today, today - timedelta(days=1))
    assert rates.find("static", rates.days[0]).rate is None
