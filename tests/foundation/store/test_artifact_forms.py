"""Artifacts: stored once, and found out when they are not what they were; the same in a folder and on S3."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from obstore.store import S3Store
from tests.s3_server import S3Server

from referee.core.errors import IntegrityError, InvalidInput, NotFound, PayloadTooLarge
from referee.foundation.metrics import render_metrics
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import ArtifactStore, open_artifacts
from referee.foundation.store.artifacts import Artifact, name_key

LARGE_BYTES = 20_000_003
"""More than two blocks of S3, and no multiple of anything."""


@dataclass(frozen=True)
class Behind:
    """The place behind a store, which can be looked at and damaged."""

    settings: Settings
    bucket: S3Store | None

    def read(self, sha256: str) -> bytes:
        if self.bucket is None:
            return (self.settings.artifacts_dir / name_key(sha256)).read_bytes()
        return self.bucket.get(name_key(sha256)).bytes().to_bytes()

    def damage(self, sha256: str, data: bytes) -> None:
        if self.bucket is None:
            path = self.settings.artifacts_dir / name_key(sha256)
            path.chmod(0o600)
            path.write_bytes(data)
        else:
            self.bucket.put(name_key(sha256), data, use_multipart=False)

    def remove(self, sha256: str) -> None:
        if self.bucket is None:
            (self.settings.artifacts_dir / name_key(sha256)).unlink()
        else:
            self.bucket.delete(name_key(sha256))

    def list(self) -> list[str]:
        if self.bucket is None:
            return [path.name for path in self.settings.artifacts_dir.rglob("*") if path.is_file()]
        return [str(one["path"]).rpartition("/")[2] for one in self.bucket.list().collect()]


def read_failures() -> list[str]:
    """Return what the counter of failures says, by reason."""
    lines = render_metrics().decode().splitlines()
    return [line for line in lines if line.startswith("referee_store_artifact_failures_total{")]


@pytest.fixture(params=["folder", "s3"])
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    if request.param == "folder":
        yield Behind(load_settings(home=tmp_path / "home"), None)
        return
    server: S3Server = request.getfixturevalue("s3_server")
    prefix = uuid4().hex
    settings = load_settings(home=tmp_path / "home", **server.overrides(prefix))
    yield Behind(settings, server.open_store(prefix))


@pytest.fixture
def store(behind: Behind) -> ArtifactStore:
    return open_artifacts(behind.settings)


async def test_stored_bytes_come_back(store: ArtifactStore) -> None:
    data = os.urandom(3_000_001)
    artifact = await store.put_bytes(data, "application/octet-stream")
    assert artifact == Artifact(hashlib.sha256(data).hexdigest(), 3_000_001, "application/octet-stream")
    assert await store.read_bytes(artifact.sha256) == data
    pieces = [piece async for piece in store.stream(artifact.sha256)]
    assert [len(piece) for piece in pieces] == [1 << 20, 1 << 20, 3_000_001 - (2 << 20)]
    assert b"".join(pieces) == data
    assert await store.check(artifact.sha256, size_bytes=3_000_001) is None


async def test_large_artifact_comes_back_by_every_way(
    store: ArtifactStore, behind: Behind, tmp_path: Path
) -> None:
    data = os.urandom(LARGE_BYTES)
    sha256 = hashlib.sha256(data).hexdigest()
    (tmp_path / "large").write_bytes(data)
    ways = [
        await store.put_pieces(
            (data[start : start + 999_999] for start in range(0, len(data), 999_999)), "x/y"
        ),
        await store.put_file(tmp_path / "large", "x/y"),
        await store.adopt_file(tmp_path / "large", sha256, "x/y"),
        await store.put_bytes(data, "x/y"),
    ]
    assert ways == [Artifact(sha256, LARGE_BYTES, "x/y")] * 4
    assert behind.list() == [sha256]
    assert behind.read(sha256) == data
    assert await store.read_bytes(sha256) == data
    assert b"".join([piece async for piece in store.stream(sha256)]) == data
    assert await store.check(sha256, size_bytes=LARGE_BYTES) is None
    async with store.hold_file(sha256) as path:
        assert path.read_bytes() == data


async def test_storing_what_is_new_counts_as_no_failure(store: ArtifactStore, tmp_path: Path) -> None:
    before = read_failures()
    await store.put_bytes(os.urandom(100), "x/y")
    (tmp_path / "large").write_bytes(os.urandom(LARGE_BYTES))
    await store.put_file(tmp_path / "large", "x/y")
    assert await store.check("0" * 64) is not None
    assert read_failures() == before


async def test_large_file_that_is_sent_first_comes_back(store: ArtifactStore, tmp_path: Path) -> None:
    data = os.urandom(LARGE_BYTES)
    (tmp_path / "large").write_bytes(data)
    artifact = await store.put_file(tmp_path / "large", "x/y")
    assert await store.read_bytes(artifact.sha256) == data


async def test_empty_artifact_is_one_too(store: ArtifactStore) -> None:
    artifact = await store.put_bytes(b"", "text/plain")
    assert artifact.size_bytes == 0
    assert await store.put_pieces([], "text/plain") == artifact
    assert await store.read_bytes(artifact.sha256) == b""
    assert [piece async for piece in store.stream(artifact.sha256)] == []
    assert await store.check(artifact.sha256) is None


async def test_adopted_file_is_stored(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "stream"
    source.write_bytes(b"seen as it came")
    sha256 = hashlib.sha256(b"seen as it came").hexdigest()
    artifact = await store.adopt_file(source, sha256, "text/plain")
    assert (artifact.sha256, artifact.size_bytes) == (sha256, 15)
    source.unlink()
    assert await store.read_bytes(sha256) == b"seen as it came"
    with pytest.raises(NotFound):
        await store.adopt_file(source, sha256, "text/plain")


async def test_fifty_writers_of_the_same_bytes_make_one_artifact(
    store: ArtifactStore, behind: Behind
) -> None:
    artifacts = await asyncio.gather(*(store.put_bytes(b"same" * 100_000, "text/plain") for _ in range(50)))
    assert len(set(artifacts)) == 1
    assert behind.list() == [artifacts[0].sha256]
    assert await store.check(artifacts[0].sha256, size_bytes=400_000) is None


async def test_damage_is_found_and_named(store: ArtifactStore, behind: Behind) -> None:
    altered, cut, emptied, grown, missing = [
        (await store.put_bytes(os.urandom(2_000_000), "text/plain")).sha256 for _ in range(5)
    ]
    behind.damage(altered, b"y" * 2_000_000)
    behind.damage(cut, behind.read(cut)[:1000])
    behind.damage(emptied, b"")
    behind.remove(missing)
    assert (
        await store.check(altered)
        == f"The artifact {altered} is altered: its 2000000 bytes have another digest."
    )
    assert await store.check(cut, size_bytes=2_000_000) == (
        f"The artifact {cut} is cut: 1000 of 2000000 bytes are there."
    )
    assert (
        await store.check(emptied) == f"The artifact {emptied} is altered: its 0 bytes have another digest."
    )
    assert await store.check(grown, size_bytes=1_999_999) == (
        f"The artifact {grown} has 2000000 bytes, and 1999999 were recorded."
    )
    assert await store.check(missing) == f"The artifact {missing} is missing."


@pytest.mark.parametrize("size_bytes", [2_000_000, LARGE_BYTES])
async def test_damaged_bytes_are_never_handed_out_as_whole(
    store: ArtifactStore, behind: Behind, size_bytes: int
) -> None:
    sha256 = (await store.put_pieces([b"z" * size_bytes], "text/plain")).sha256
    behind.damage(sha256, b"z" * (size_bytes - 1))
    with pytest.raises(IntegrityError):
        await store.read_bytes(sha256)
    received = bytearray()
    with pytest.raises(IntegrityError):
        async for piece in store.stream(sha256):
            received += piece
    assert len(received) < size_bytes - 1


@pytest.mark.parametrize("size_bytes", [4, LARGE_BYTES])
async def test_storing_the_true_bytes_again_heals_a_damaged_artifact(
    store: ArtifactStore, behind: Behind, size_bytes: int
) -> None:
    sha256 = (await store.put_pieces([b"t" * size_bytes], "text/plain")).sha256
    behind.damage(sha256, b"f" * size_bytes)
    await store.put_pieces([b"t" * size_bytes], "text/plain")
    assert await store.check(sha256, size_bytes=size_bytes) is None


async def test_unknown_digest_is_not_found_and_no_digest_is_invalid(store: ArtifactStore) -> None:
    with pytest.raises(NotFound) as error:
        await store.read_bytes("0" * 64)
    assert error.value.code == "artifact.not_found"
    with pytest.raises(NotFound):
        [piece async for piece in store.stream("0" * 64)]
    with pytest.raises(NotFound):
        async with store.hold_file("0" * 64):
            pass
    for text in ("../../etc/passwd", "A" * 64, "", "0" * 63):
        with pytest.raises(InvalidInput):
            await store.read_bytes(text)
        with pytest.raises(InvalidInput):
            async with store.hold_file(text):
                pass


async def test_more_bytes_than_asked_for_are_refused(store: ArtifactStore) -> None:
    sha256 = (await store.put_bytes(b"12345", "text/plain")).sha256
    with pytest.raises(PayloadTooLarge):
        await store.read_bytes(sha256, max_bytes=4)
    assert await store.read_bytes(sha256, max_bytes=5) == b"12345"


async def test_file_that_cannot_be_read_is_not_found(store: ArtifactStore, tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(NotFound):
            await store.put_file(path, "text/plain")


async def test_every_digest_is_listed_and_nothing_else(store: ArtifactStore, behind: Behind) -> None:
    stored = [(await store.put_bytes(str(number).encode(), "text/plain")).sha256 for number in range(30)]
    if behind.bucket is None:
        (behind.settings.artifacts_dir / "aa").mkdir(exist_ok=True)
        (behind.settings.artifacts_dir / "aa" / "notes").write_text("")
    else:
        behind.bucket.put("aa/notes", b"x")
        behind.bucket.put("0" * 64, b"x")
    assert sorted([sha256 async for sha256 in store.list_digests()]) == sorted(stored)
