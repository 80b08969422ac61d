"""A pipeline over several machines that are killed, cut off and restarted: 20 valid cells, everything as recorded."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.many_machines import can_make_networks, run_many_machines
from tests.programs import skip_for_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the database's user may pass through, which the folders of tests do not allow."""
    folder = Path(tempfile.mkdtemp(prefix="referee-machines-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_pipeline_over_machines_in_trouble_is_whole(open_folder: Path, tools_dir: Path) -> None:
    if not can_make_networks():
        skip_for_system("network namespaces need root")

    count = run_many_machines(open_folder, tools_dir, tell=print)

    print(count.dump())
    assert count.faults == {}
    assert count.events_before_the_end >= 4
