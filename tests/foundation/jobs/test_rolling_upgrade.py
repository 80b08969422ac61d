"""Workers of two versions on one database: what one began the other finishes, in both directions."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from uuid import UUID

import pytest
from tests.foundation.jobs.conftest import StartWorker
from tests.foundation.jobs.test_take_over import submit

import referee
from referee.foundation.jobs import JobEngine

OLD_VERSION = "0.0.9"


@pytest.fixture
def old_source(tmp_path: Path) -> Path:
    """The code under another version, in a folder of its own."""
    source = Path(referee.__file__).parent
    copy = tmp_path / "old" / "referee"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "static", "templates"))
    opened = copy / "__init__.py"
    opened.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{OLD_VERSION}"', opened.read_text()))
    return copy.parent


@pytest.mark.slow
@pytest.mark.parametrize("is_old_first", [True, False], ids=["upgrade", "roll back"])
async def test_jobs_begun_by_a_worker_of_one_version_are_finished_by_one_of_another(
    submitter: JobEngine,
    project_id: UUID,
    start_worker: StartWorker,
    old_source: Path,
    tmp_path: Path,
    is_old_first: bool,
) -> None:
    gate = str(tmp_path / "gate")
    begun = [await submit(submitter, project_id, kind, {"gate": gate}) for kind in ("two_steps", "family")]
    first = await start_worker(old_source if is_old_first else None)
    await first.wait_for("second-begun", 3)  # the job itself, and both children of the family
    second = await start_worker(None if is_old_first else old_source)
    versions = [first.events[0][2], second.events[0][2]]
    assert sorted(versions) == sorted([OLD_VERSION, referee.__version__]) and versions[0] != versions[1]

    # Together: one slot in each worker, so both are at work at the same time.
    together = [await submit(submitter, project_id, "scarce", {"gate": gate}) for _ in range(2)]
    await first.wait_for("second-begun", 4)
    await second.wait_for("second-begun", 1)

    first.process.terminate()
    await first.read_to_end()
    await second.wait_for("second-begun", 4)  # the other scarce one waits for the slot
    Path(gate).touch()
    ended = [await submitter.wait(job.job_id, timeout_s=60) for job in (*begun, *together)]

    assert [job.state for job in ended] == ["succeeded"] * 4
    assert ended[0].result == {"first": "first in attempt 1", "second": "second in attempt 2"}
    assert ended[1].result == {"states": ["succeeded", "succeeded"]}
    assert {job.executor_id for job in ended} == {second.executor_id}
    assert first.get_events("second-ended") == []
