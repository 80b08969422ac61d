"""Moving artifacts between a folder and S3, or between two buckets: copied, read again, and nothing removed.

What is to be moved is what the database names. Each artifact is digested where it
lies, stored, and read again from where it is then; a run that was cut off goes on
with what is missing. The old place stays as it is: to go back is to set the old setting.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import func, select

from referee.core.errors import Conflict, IntegrityError, InvalidInput, NotFound
from referee.foundation.jobs import list_workers
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import Artifact, ArtifactRow, ArtifactStore, Database
from referee.operations.processes import find_server

__all__ = ["Move", "describe_place", "do_all", "load_target", "move_artifacts", "refuse_while_written"]

_Item = TypeVar("_Item")

FOLDER: Final = "folder"
_BATCH_COUNT: Final = 500
_PARALLEL_COUNT: Final = 8
_PROBLEMS_MAX_COUNT: Final = 1_000


@dataclass(slots=True, kw_only=True)
class Move:
    """How far a move is."""

    total_count: int = 0
    total_bytes: int = 0
    """Of all artifacts that the database names."""
    there_count: int = 0
    """Found whole where they were to go."""
    moved_count: int = 0
    moved_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    """One sentence each for artifacts that are damaged or missing where they lie; at most a thousand."""
    problems_count: int = 0

    @property
    def done_count(self) -> int:
        """Artifacts that were looked at."""
        return self.there_count + self.moved_count + self.problems_count


def load_target(settings: Settings, to: str) -> Settings:
    """Return the settings of the place to move to: ``folder``, or an address as in ``artifacts_url``.

    Raises:
        InvalidInput: It is no such address, or artifacts lie there already.
    """
    target = load_settings(home=settings.home, artifacts_url="" if to == FOLDER else to)
    if target.artifacts_url == settings.artifacts_url:
        raise InvalidInput(
            "artifacts.already_there",
            f"Artifacts are kept in {describe_place(settings)} already.",
            "Give another place; REFEREE_ARTIFACTS_URL says where they are now.",
        )
    return target


def describe_place(settings: Settings) -> str:
    """Return where these settings keep artifacts, in words."""
    return settings.artifacts_url or f"the folder {settings.artifacts_dir}"


async def refuse_while_written(settings: Settings, database: Database) -> None:
    """Make sure that nobody writes artifacts.

    Raises:
        Conflict: A server or a worker runs.
    """
    async with database.reading() as session:
        workers = await list_workers(session)
    running = [f"{worker.kind} on {worker.host} (process {worker.pid})" for worker in workers]
    server = find_server(settings)
    if server is not None and not running:
        running = [f"server on this machine (process {server.pid})"]
    if running:
        raise Conflict(
            "artifacts.in_use",
            f"Artifacts may be written meanwhile by: {', '.join(running[:10])}.",
            "Stop them with `referee down` on each machine and wait for their leases to end; or copy ahead with "
            "--ahead, and again without it when they are stopped.",
        )


async def move_artifacts(
    database: Database,
    source: ArtifactStore,
    target: ArtifactStore,
    *,
    is_dry_run: bool = False,
    on_progress: Callable[[Move], None] | None = None,
) -> Move:
    """Copy every artifact that the database names, and read it again from its new place.

    Args:
        database: Names them.
        source: Where they lie.
        target: Where they go.
        is_dry_run: Only count; what is there already is told by its name and not read.
        on_progress: Told after each batch.

    Raises:
        StorageFull: The target has no room; what was moved so far stays.
        Unavailable: S3 does not answer; start again later, and it goes on.
    """
    move = Move()
    async with database.reading() as session:
        counts = await session.execute(
            select(func.count(), func.coalesce(func.sum(ArtifactRow.size_bytes), 0)).select_from(ArtifactRow)
        )
        move.total_count, move.total_bytes = (int(value) for value in counts.one())
    # A million digests are 100 MB; to ask for each one instead would be a request each.
    there = {bytes.fromhex(sha256) async for sha256 in target.list_digests()}

    async def take(artifact: Artifact) -> None:
        await _move(move, artifact, source, target, is_there=bytes.fromhex(artifact.sha256) in there)

    last = ""
    while batch := await _list_batch(database, last):
        last = batch[-1].sha256
        if is_dry_run:
            for artifact in batch:
                _count(move, artifact, is_there=bytes.fromhex(artifact.sha256) in there)
        else:
            await do_all(take, batch)
        if on_progress is not None:
            on_progress(move)
    return move


async def do_all(function: Callable[[_Item], Awaitable[None]], items: Iterable[_Item]) -> None:
    """Call a function with each item, eight at a time; the first error ends all of them."""
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await function(item)

    workers = [asyncio.create_task(work()) for _ in range(_PARALLEL_COUNT)]
    try:
        await asyncio.gather(*workers)
    except BaseException:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise


async def _list_batch(database: Database, after: str) -> Sequence[Artifact]:
    async with database.reading() as session:
        rows = await session.scalars(
            select(ArtifactRow)
            .where(ArtifactRow.sha256 > after)
            .order_by(ArtifactRow.sha256)
            .limit(_BATCH_COUNT)
        )
        return [Artifact(row.sha256, row.size_bytes, row.media_type) for row in rows]


async def _move(
    move: Move, artifact: Artifact, source: ArtifactStore, target: ArtifactStore, *, is_there: bool
) -> None:
    if is_there and await target.check(artifact.sha256, size_bytes=artifact.size_bytes) is None:
        _count(move, artifact, is_there=True)
        return
    problem: str | None
    try:
        async with source.hold_file(artifact.sha256) as path:
            if await asyncio.to_thread(_digest, path) == artifact.sha256:
                await target.adopt_file(path, artifact.sha256, artifact.media_type)
                problem = await target.check(artifact.sha256, size_bytes=artifact.size_bytes)
            else:
                problem = f"The artifact {artifact.sha256} is altered where it lies."
    except (NotFound, IntegrityError) as error:
        problem = error.message
    if problem is None:
        _count(move, artifact, is_there=False)
        return
    move.problems_count += 1
    if len(move.problems) < _PROBLEMS_MAX_COUNT:
        move.problems.append(problem)


def _count(move: Move, artifact: Artifact, *, is_there: bool) -> None:
    if is_there:
        move.there_count += 1
    else:
        move.moved_count += 1
        move.moved_bytes += artifact.size_bytes


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
