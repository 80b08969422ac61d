"""Artifacts on S3: what goes wrong between here and there, and the cache of copies."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.s3_server import S3Server

from referee.core.errors import InvalidInput, NotFound, StorageFull, Unavailable
from referee.foundation.metrics import render_metrics
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import open_artifacts
from referee.foundation.store.artifacts import name_key

WRITER = """
import asyncio, sys
from pathlib import Path
from referee.foundation.settings import load_settings
from referee.foundation.store import open_artifacts
store = open_artifacts(load_settings())
print("begins", flush=True)
print(asyncio.run(store.adopt_file(Path(sys.argv[1]), sys.argv[2], "x/y")).sha256, flush=True)
"""
LARGE_BYTES = 80_000_000


@pytest.fixture
def s3_settings(home: Path, s3_server: S3Server) -> Settings:
    return load_settings(home=home, **s3_server.overrides(uuid4().hex))


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of these tests' own, to be stopped and killed."""
    server = S3Server(tmp_path_factory.mktemp("own-s3-server"))
    server.start()
    yield server
    server.kill()


def variables(settings: Settings, server: S3Server) -> dict[str, str]:
    prefix = (settings.artifacts_url or "").rpartition("/")[2]
    return {**os.environ, **server.variables(prefix), "REFEREE_HOME": str(settings.home)}


async def kill_writer(source: Path, sha256: str, delay_s: float, environment: dict[str, str]) -> str:
    """Kill a process that stores a file so long after it has begun. Returns what it acknowledged."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(source), sha256],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdout is not None
    assert writer.stdout.readline() == "begins\n"
    await asyncio.sleep(delay_s)
    writer.send_signal(signal.SIGKILL)
    said = writer.stdout.read()
    writer.wait()
    return said


async def test_writer_killed_amid_the_parts_leaves_nothing_and_the_next_one_stores_it(
    s3_settings: Settings, s3_server: S3Server, tmp_path: Path
) -> None:
    source = tmp_path / "large"
    store = open_artifacts(s3_settings)
    for delay_s in (0.4, 0.2, 0.1, 0.05):  # a fast machine is done before the first of these
        data = os.urandom(1_000_000) * (LARGE_BYTES // 1_000_000)
        source.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        said = await kill_writer(source, sha256, delay_s, variables(s3_settings, s3_server))
        if said == "" and await store.check(sha256) is not None:
            break
    else:
        pytest.fail("Every writer was faster than its end.")

    # Nothing was acknowledged.
    assert await store.check(sha256) == f"The artifact {sha256} is missing."
    assert sha256 not in [found async for found in store.list_digests()]
    artifact = await store.adopt_file(source, sha256, "x/y")
    assert artifact.size_bytes == LARGE_BYTES
    assert await store.check(sha256, size_bytes=LARGE_BYTES) is None


@pytest.mark.slow
async def test_memory_stays_bounded_while_a_large_file_goes_up_and_comes_back(
    s3_settings: Settings, s3_server: S3Server, tmp_path: Path
) -> None:
    source = tmp_path / "large"
    source.write_bytes(b"m" * LARGE_BYTES)
    program = WRITER + (
        "async def read():\n"
        "    async for piece in store.stream(sys.argv[2]): pass\n"
        "asyncio.run(read())\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.partition('VmHWM:')[2].split()[0], flush=True)\n"
    )
    sha256 = hashlib.sha256(b"m" * LARGE_BYTES).hexdigest()
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, str(source), sha256],
        env=variables(s3_settings, s3_server), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    begins, stored, peak_kib = done.stdout.split()
    assert (begins, stored) == ("begins", sha256)
    assert int(peak_kib) * 1024 < 190_000_000  # Python with its libraries takes 60 MB of it


@pytest.mark.slow
async def test_nothing_is_acknowledged_without_bytes_while_s3_is_killed_and_started_again(
    own_server: S3Server, home: Path
) -> None:
    settings = load_settings(
        home=home, artifacts_timeout_s=2.0, artifacts_retry_s=1.0, **own_server.overrides("kills")
    )
    store = open_artifacts(settings)
    acknowledged: list[str] = []
    refused: list[Unavailable] = []
    is_over = threading.Event()

    async def put(writer: int) -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            try:
                data = f"{writer} {number}".encode() * 10_000
                acknowledged.append((await store.put_bytes(data, "text/plain")).sha256)
            except Unavailable as error:
                refused.append(error)

    writers = [asyncio.create_task(put(writer)) for writer in range(8)]
    await asyncio.sleep(0.5)
    await asyncio.to_thread(own_server.kill)
    before_count = len(acknowledged)
    await asyncio.sleep(2.5)
    during_count = len(acknowledged) - before_count
    await asyncio.to_thread(own_server.start)
    deadline_s = time.monotonic() + 30
    while len(acknowledged) <= before_count + during_count and time.monotonic() < deadline_s:
        await asyncio.sleep(0.1)
    is_over.set()
    await asyncio.gather(*writers)

    assert before_count > 0
    assert during_count <= 8  # what was acknowledged just before, and heard of after
    assert {(error.status, error.code) for error in refused} == {(503, "storage.unavailable")}
    assert len(acknowledged) > before_count + during_count
    assert [problem for sha256 in acknowledged if (problem := await store.check(sha256))] == []


async def test_server_that_hangs_is_given_up_in_time_and_goes_on_afterwards(
    own_server: S3Server, home: Path
) -> None:
    settings = load_settings(
        home=home, artifacts_timeout_s=1.0, artifacts_retry_s=2.0, **own_server.overrides("hangs")
    )
    store = open_artifacts(settings)
    sha256 = (await store.put_bytes(b"before", "text/plain")).sha256
    own_server.pause()
    started_s = time.monotonic()
    with pytest.raises(Unavailable, match="nothing was acknowledged"):
        await store.put_bytes(b"during", "text/plain")
    with pytest.raises(Unavailable):
        await store.check(sha256)  # away is not missing
    took_s = time.monotonic() - started_s
    own_server.resume()
    await store.put_bytes(b"during", "text/plain")
    assert await store.check(sha256) is None
    assert took_s < 15


async def test_short_outage_is_waited_for(own_server: S3Server, home: Path) -> None:
    settings = load_settings(
        home=home, artifacts_timeout_s=1.0, artifacts_retry_s=30.0, **own_server.overrides("waits")
    )
    store = open_artifacts(settings)
    own_server.pause()
    waiting = asyncio.create_task(store.put_bytes(b"patient", "text/plain"))
    await asyncio.sleep(2.5)
    own_server.resume()
    assert await store.read_bytes((await waiting).sha256) == b"patient"


async def test_refusals_are_told_without_the_key(s3_settings: Settings, s3_server: S3Server) -> None:
    wrong = {"artifacts_secret_access_key": "a-wrong-secret-that-nobody-may-see"}
    store = open_artifacts(load_settings(home=s3_settings.home, **{**s3_server.overrides("x"), **wrong}))
    with pytest.raises(InvalidInput, match="SignatureDoesNotMatch") as error:
        await store.put_bytes(b"x", "text/plain")
    assert error.value.code == "storage.not_writable"
    assert wrong["artifacts_secret_access_key"] not in repr(error.value.__cause__) + str(error.value)
    assert wrong["artifacts_secret_access_key"] not in repr(
        load_settings(home=s3_settings.home, **{**s3_server.overrides("x"), **wrong})
    )
    elsewhere = {"artifacts_url": "s3://no-such-bucket/x"}
    store = open_artifacts(load_settings(home=s3_settings.home, **{**s3_server.overrides("x"), **elsewhere}))
    with pytest.raises(InvalidInput, match="NoSuchBucket"):
        await store.read_bytes("0" * 64)


async def test_full_disk_for_copies_is_told_and_leaves_nothing(
    s3_settings: Settings, s3_server: S3Server, tiny_disk: Path
) -> None:
    data = os.urandom(12_000_000)
    sha256 = (await open_artifacts(s3_settings).put_bytes(data, "x/y")).sha256
    prefix = (s3_settings.artifacts_url or "").rpartition("/")[2]
    store = open_artifacts(load_settings(home=tiny_disk, **s3_server.overrides(prefix)))
    with pytest.raises(StorageFull):
        async with store.hold_file(sha256):
            pass
    with pytest.raises(StorageFull):
        await store.put_pieces([data], "x/y")
    assert list((tiny_disk / "artifact-cache" / "tmp").iterdir()) == []
    assert b'referee_store_artifact_failures_total{reason="full"}' in render_metrics()


async def test_copies_that_nobody_holds_go_when_room_is_needed(
    s3_settings: Settings, s3_server: S3Server
) -> None:
    prefix = (s3_settings.artifacts_url or "").rpartition("/")[2]
    settings = load_settings(
        home=s3_settings.home, artifacts_cache_bytes=2_500_000, **s3_server.overrides(prefix)
    )
    store, other_process = open_artifacts(settings), open_artifacts(settings)
    digests = [(await store.put_bytes(os.urandom(1_000_000), "x/y")).sha256 for _ in range(4)]
    async with store.hold_file(digests[0]) as held:
        for sha256 in digests[1:]:
            async with other_process.hold_file(sha256) as path:
                assert path.stat().st_size == 1_000_000
        assert held.exists()
        kept = {path.name for path in settings.artifact_cache_dir.iterdir() if path.is_file()}
        assert kept == {digests[0], digests[3]}


async def test_one_copy_is_fetched_for_all_who_hold_it_at_once(
    s3_settings: Settings, s3_server: S3Server
) -> None:
    store = open_artifacts(s3_settings)
    sha256 = (await store.put_bytes(os.urandom(1_000_000), "x/y")).sha256

    async def hold() -> int:
        async with store.hold_file(sha256) as path:
            return path.stat().st_ino

    assert len(set(await asyncio.gather(*(hold() for _ in range(20))))) == 1


async def test_altered_object_is_never_copied(s3_settings: Settings, s3_server: S3Server) -> None:
    store = open_artifacts(s3_settings)
    sha256 = (await store.put_bytes(b"true", "x/y")).sha256
    prefix = (s3_settings.artifacts_url or "").rpartition("/")[2]
    s3_server.open_store(prefix).put(name_key(sha256), b"lies", use_multipart=False)
    with pytest.raises(Exception, match="not the ones that were stored"):
        async with store.hold_file(sha256):
            pass
    s3_server.open_store(prefix).delete(name_key(sha256))
    with pytest.raises(NotFound):
        async with store.hold_file(sha256):
            pass
    assert [path for path in s3_settings.artifact_cache_dir.iterdir() if path.is_file()] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"artifacts_url": "https://bucket"}, "artifacts_url"),
        ({"artifacts_url": "s3://bucket/../x"}, "artifacts_url"),
        ({"artifacts_endpoint_url": "http://s3.lab.example"}, "in the clear"),
        ({"artifacts_endpoint_url": "https://user:secret@s3.lab.example"}, "artifacts_endpoint_url"),
        ({"artifacts_access_key_id": "id", "artifacts_secret_access_key": ""}, "together"),
        ({"artifacts_secret_access_key": "secret"}, "together"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        load_settings(**given)


def test_library_of_s3_is_not_loaded_for_a_folder(home: Path) -> None:
    program = (
        "import sys\nfrom referee.foundation.settings import load_settings\n"
        "from referee.foundation.store import open_artifacts\nopen_artifacts(load_settings())\n"
        "import referee.cli\nprint('obstore' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "REFEREE_HOME": str(home)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "False\n"
