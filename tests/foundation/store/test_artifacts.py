"""Artifacts in a folder: what only this form has; what both have is in ``test_artifact_forms.py``."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from referee.core.errors import InvalidInput, StorageFull
from referee.foundation.metrics import render_metrics
from referee.foundation.store.artifacts import FolderArtifacts

WRITER = """
import asyncio, sys
from pathlib import Path
from referee.foundation.store.artifacts import FolderArtifacts
store = FolderArtifacts(Path(sys.argv[1]))
print(asyncio.run(store.put_bytes(b"same" * 1_000_000, "text/plain")).sha256)
"""


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "artifacts")


def damage(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)


async def test_file_is_copied_and_kept_read_only(store: FolderArtifacts, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 2_500_000)
    artifact = await store.put_file(source, "text/plain")
    source.write_bytes(b"changed")
    path = store.path_of(artifact.sha256)
    assert path.stat().st_mode & 0o777 == 0o440
    assert path.parts[-3:-1] == (artifact.sha256[:2], artifact.sha256[2:4])
    assert await store.check(artifact.sha256) is None


async def test_file_is_adopted_without_a_copy_and_kept_read_only(
    store: FolderArtifacts, tmp_path: Path
) -> None:
    source = tmp_path / "stream"
    source.write_bytes(b"seen as it came")
    sha256 = hashlib.sha256(b"seen as it came").hexdigest()
    artifact = await store.adopt_file(source, sha256, "text/plain")
    kept = store.path_of(sha256)
    assert kept.samefile(source)
    assert kept.stat().st_mode & 0o777 == 0o440
    assert await store.adopt_file(source, sha256, "text/plain") == artifact


async def test_file_is_held_where_it_lies(store: FolderArtifacts) -> None:
    sha256 = (await store.put_bytes(b"held", "text/plain")).sha256
    async with store.hold_file(sha256) as path:
        assert path == store.path_of(sha256)


async def test_fifty_writers_of_the_same_bytes_make_one_file(store: FolderArtifacts, tmp_path: Path) -> None:
    artifacts = await asyncio.gather(*(store.put_bytes(b"same" * 100_000, "text/plain") for _ in range(50)))
    assert len(set(artifacts)) == 1
    files = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert files == [store.path_of(artifacts[0].sha256)]
    assert files[0].stat().st_nlink == 1


async def test_writers_in_several_processes_make_one_file(store: FolderArtifacts, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "artifacts")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    digests = {process.communicate()[0].strip() for process in processes}
    assert len(digests) == 1
    files = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert files == [store.path_of(digests.pop())]


async def test_healed_artifact_is_read_only_again(store: FolderArtifacts) -> None:
    sha256 = (await store.put_bytes(b"true", "text/plain")).sha256
    damage(store.path_of(sha256), b"false")
    await store.put_bytes(b"true", "text/plain")
    assert await store.check(sha256) is None
    assert store.path_of(sha256).stat().st_mode & 0o777 == 0o440


async def test_full_disk_stores_nothing_and_leaves_nothing(tiny_disk: Path) -> None:
    store = FolderArtifacts(tiny_disk / "artifacts")
    kept = await store.put_bytes(b"kept", "text/plain")
    with pytest.raises(StorageFull):
        await store.put_bytes(os.urandom(6_000_000), "text/plain")
    assert [path.name for path in (tiny_disk / "artifacts").rglob("*") if path.is_file()] == [kept.sha256]
    assert await store.read_bytes(kept.sha256) == b"kept"
    assert b'referee_store_artifact_failures_total{reason="full"}' in render_metrics()


async def test_old_leftovers_are_swept_and_young_ones_stay(tmp_path: Path) -> None:
    temporary = tmp_path / "artifacts" / "tmp"
    temporary.mkdir(parents=True)
    (temporary / "old").write_bytes(b"cut")
    (temporary / "young").write_bytes(b"being written")
    two_hours_ago_s = time.time() - 7200
    os.utime(temporary / "old", (two_hours_ago_s, two_hours_ago_s))
    FolderArtifacts(tmp_path / "artifacts")
    assert [path.name for path in temporary.iterdir()] == ["young"]


def test_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("")
    with pytest.raises(InvalidInput):
        FolderArtifacts(tmp_path / "artifacts")
