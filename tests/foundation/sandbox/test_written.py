"""Files left by a program that wants to lead us astray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.foundation.sandbox.conftest import Bench

from referee.core.errors import InvalidInput, NotFound
from referee.foundation.sandbox import read_written_file, remove_written_folder


def test_file_comes_back_cut_with_its_whole_size(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_bytes(b"0123456789")
    assert read_written_file(tmp_path, "out/report.json", max_bytes=4) == (b"0123", 10)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", ".", "a//b", "a/../b", "a\0b"])
def test_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        read_written_file(tmp_path, name, max_bytes=10)


@pytest.mark.parametrize("name", ["absent", "link", "folder", "pipe", "linked/passwd"])
def test_what_is_not_a_file_of_its_own_is_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "linked").symlink_to("/etc")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotFound):
        read_written_file(tmp_path, name, max_bytes=10)


async def test_folder_of_any_depth_and_mode_is_removed(bench: Bench, method: str) -> None:
    code = (
        "import os\n"
        "for number in range(600):\n"
        "    os.mkdir('d' * 50); open('f', 'w').close(); os.chdir('d' * 50)\n"
        "os.symlink('/etc', 'link'); os.mkdir('closed'); open('closed/f', 'w').close(); os.chmod('closed', 0)"
    )
    result = await bench.python(code)
    assert result.exit_code == 0
    remove_written_folder(bench.scratch_dir)
    assert not bench.scratch_dir.exists()
    assert Path("/etc/passwd").exists()


def test_absent_folder_is_fine(tmp_path: Path) -> None:
    remove_written_folder(tmp_path / "absent")
