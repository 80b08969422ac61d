"""Artifacts in a folder and on an S3 server of this machine, in turns in the same run."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Final
from uuid import uuid4

from bench.measuring import Measured, temporary_folder
from tests.s3_server import S3Server

from referee.foundation.settings import load_settings
from referee.foundation.store import ArtifactStore, open_artifacts

__all__ = ["measure_artifacts"]

OBJECT_BYTES: Final = 1_000_000
OBJECTS_COUNT: Final = 100
"""Of one round."""
ROUNDS_COUNT: Final = 7
PARALLEL_COUNT: Final = 8
LARGE_BYTES: Final = 200_000_000
MEGABYTE: Final = 1_000_000


def measure_artifacts() -> list[Measured]:
    """Put and read objects of 1 MB, eight at a time, and one large file; S3 against the folder."""
    with temporary_folder() as folder:
        server = S3Server(folder / "server")
        server.start()
        try:
            stores = {
                "folder": open_artifacts(load_settings(home=folder / "folder-home")),
                "S3": open_artifacts(load_settings(home=folder / "s3-home", **server.overrides(uuid4().hex))),
            }
            source = folder / "large"
            with source.open("wb") as file:
                for _ in range(LARGE_BYTES // MEGABYTE):
                    file.write(os.urandom(MEGABYTE))
            speeds: dict[tuple[str, str], list[float]] = {}
            for number in range(ROUNDS_COUNT):
                names = list(stores) if number % 2 else list(reversed(stores))
                for name in names:
                    for what, speed in asyncio.run(_measure_round(stores[name])).items():
                        speeds.setdefault((what, name), []).append(speed)
            large = {name: asyncio.run(_measure_large(store, source)) for name, store in stores.items()}
        finally:
            server.kill()
    measured = []
    for what in ("put", "read"):
        ours, theirs = (statistics.median(speeds[what, name]) for name in ("folder", "S3"))
        measured.append(
            Measured(
                name=f"{what} objects of 1 MB: the folder's throughput over that of S3, median of {ROUNDS_COUNT}",
                value=ours / theirs,
                unit="×",
                goal=2.0,
                details={"folder_mb_per_s": speeds[what, "folder"], "s3_mb_per_s": speeds[what, "S3"]},
            )
        )
        measured += [
            Measured(name=f"… {what}, {name}", value=statistics.median(speeds[what, name]), unit="MB/s")
            for name in stores
        ]
    for name, found in large.items():
        measured += [
            Measured(name=f"a file of 200 MB, {what}, {name}", value=speed, unit="MB/s")
            for what, speed in found.items()
        ]
    return measured


async def _measure_round(store: ArtifactStore) -> dict[str, float]:
    """Return MB/s of new objects put, and of the same read and checked."""
    objects = [os.urandom(OBJECT_BYTES) for _ in range(OBJECTS_COUNT)]
    digests: list[str] = []
    waiting = iter(objects)

    async def put() -> None:
        for data in waiting:
            digests.append((await store.put_bytes(data, "application/octet-stream")).sha256)

    started_s = time.perf_counter()
    await asyncio.gather(*(put() for _ in range(PARALLEL_COUNT)))
    put_s = time.perf_counter() - started_s
    asked = iter(list(digests))

    async def read() -> None:
        for sha256 in asked:
            assert len(await store.read_bytes(sha256)) == OBJECT_BYTES

    started_s = time.perf_counter()
    await asyncio.gather(*(read() for _ in range(PARALLEL_COUNT)))
    read_s = time.perf_counter() - started_s
    round_mb = OBJECT_BYTES * OBJECTS_COUNT / MEGABYTE
    return {"put": round_mb / put_s, "read": round_mb / read_s}


async def _measure_large(store: ArtifactStore, source: Path) -> dict[str, float]:
    """Return MB/s of a large file put and streamed."""
    started_s = time.perf_counter()
    artifact = await store.put_file(source, "application/octet-stream")
    put_s = time.perf_counter() - started_s
    started_s = time.perf_counter()
    async for _ in store.stream(artifact.sha256):
        pass
    return {
        "put": LARGE_BYTES / MEGABYTE / put_s,
        "streamed": LARGE_BYTES / MEGABYTE / (time.perf_counter() - started_s),
    }
