"""A disk that takes no more: nothing is said to be stored that is not, reads go on, and freeing it is enough."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.answers import CheckedApp
from tests.faults.conftest import FLAWED, analyse, list_problems

from referee.analysis import Analysis, AnalysisRequest, ToolRun, create_analysis
from referee.analysis.exports import export_analysis
from referee.analysis.queries import get_analysis, list_tool_runs
from referee.app import Application, open_application
from referee.core.errors import StorageFull
from referee.core.vocabulary import AnalysisState, Outcome
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.web_app import create_web_app

SIZE_BYTES = 12 << 20


def skip_or_fail(reason: str) -> None:
    """Skip, unless the checks run where nothing may be skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own with 12 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=0755", "referee-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        skip_or_fail(f"a small disk needs root and the right to mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_settings(database_settings: Settings, small_disk: Path) -> Settings:
    """Settings of a home on the small disk; the database is elsewhere, as its own full disk is tested in the store."""
    return database_settings.model_copy(update={"home": small_disk / "home"})


def fill(disk: Path, *, leave_bytes: int = 0) -> Path:
    """Write until the disk has only so many bytes left."""
    ballast = disk / "ballast"
    status = os.statvfs(disk)
    with ballast.open("wb") as writer:
        os.posix_fallocate(writer.fileno(), 0, max(1, status.f_bavail * status.f_frsize - leave_bytes))
    return ballast


async def test_request_on_a_full_disk_is_refused_and_accepted_again_when_there_is_room(
    small_settings: Settings, small_disk: Path, subject: Path
) -> None:
    app = create_web_app(small_settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(CheckedApp(app)), base_url="http://127.0.0.1:8765"
        ) as client,
    ):
        body = {"path": str(subject), "tools": ["vulture"]}
        ballast = fill(small_disk)
        refused = await client.post("/v1/analyses", json=body)
        listed = await client.get("/v1/analyses")
        ballast.unlink()
        accepted = await client.post("/v1/analyses", json=body)

    assert refused.status_code == 507
    assert refused.headers["content-type"] == "application/problem+json"
    assert "No space left" in refused.text or "full" in refused.text
    assert listed.status_code == 200
    assert listed.json()["total_count"] == 0
    assert accepted.status_code == 202


@pytest.mark.parametrize(
    "leave_bytes", [4_096, *(pytest.param(size, marks=pytest.mark.slow) for size in (0, 16_384, 65_536))]
)
async def test_disk_that_fills_up_before_the_tools_run_fails_the_analysis_and_leaves_reads_alone(
    small_settings: Settings, small_disk: Path, subject: Path, leave_bytes: int
) -> None:
    async with open_application(small_settings, is_worker=False) as submitter:
        before, _ = await carry_out(small_settings, await submit(submitter, subject))
        (subject / "main.py").write_text(f"{FLAWED}\nCHANGED = True\n")
        accepted = await submit(submitter, subject)
        ballast = fill(small_disk, leave_bytes=leave_bytes)
        full, _ = await carry_out(small_settings, accepted)
        report = await export_analysis(submitter.analysis, before.project_id, before.analysis_id, "json")
        ballast.unlink()
        again, runs = await carry_out(small_settings, await submit(submitter, subject))
        problems = await list_problems(submitter)

    assert before.state is AnalysisState.completed
    assert full.state is AnalysisState.failed
    assert full.reason != ""
    assert json.loads(report)["results"]["summary"]["status"] == "completed"
    assert again.state is AnalysisState.completed
    assert {run.outcome for run in runs.values()} == {Outcome.succeeded}
    assert problems == []


async def test_results_folder_that_cannot_be_written_fails_the_analysis_and_says_why(
    database_settings: Settings, subject: Path
) -> None:
    database_settings.ensure_home()
    database_settings.results_dir.write_text("not a folder")
    async with open_application(database_settings, is_worker=True) as application:
        analysis, runs = await analyse(application, subject, "vulture")
        database_settings.results_dir.unlink()
        again, _ = await analyse(application, subject, "vulture")
        problems = await list_problems(application)

    assert analysis.state is AnalysisState.failed
    assert analysis.reason.startswith(
        "The results could not be stored: The result files could not be written"
    )
    assert runs["vulture"].outcome is Outcome.succeeded
    assert again.state is AnalysisState.completed
    assert problems == []


async def test_source_that_does_not_fit_is_refused_with_the_reason(
    small_settings: Settings, subject: Path
) -> None:
    (subject / "large.py").write_bytes(b"x = 1\n" * 1_500_000)
    (subject / "larger.py").write_bytes(b"y = 1\n" * 1_500_000)
    async with open_application(small_settings, is_worker=False) as application:
        with pytest.raises(StorageFull, match="could not be copied: No space left on device"):
            await submit(application, subject)
        left = list(small_settings.snapshots_dir.iterdir())

    assert left == []


async def submit(application: Application, path: Path) -> Analysis:
    project_id = (await get_project(application.database, "default")).project_id
    request = AnalysisRequest(path=str(path), tools=("vulture", "radon"))
    return await create_analysis(application.analysis, application.engine, project_id, request)


async def carry_out(settings: Settings, analysis: Analysis) -> tuple[Analysis, dict[str, ToolRun]]:
    """Be a worker until an analysis has ended, and return it with its ledger."""
    assert analysis.job_id is not None
    async with open_application(settings, is_worker=True) as worker:
        await worker.engine.wait(analysis.job_id, 120)
        async with worker.database.reading() as session:
            ended = await get_analysis(session, analysis.project_id, analysis.analysis_id)
            runs = await list_tool_runs(session, analysis.analysis_id)
    return ended, {run.tool: run for run in runs}
