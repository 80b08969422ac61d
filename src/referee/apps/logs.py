"""What an app printed: from its files while it runs, from the artifact store afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from referee.apps.room import AppsRoom
from referee.apps.runs import AppRun, get_app_run
from referee.core.errors import NotFound

__all__ = ["LogChunk", "follow_log", "list_log_names", "read_log"]

MAX_CHUNK_BYTES: Final = 256 * 1024
_LOOK_S: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """A part of the output of one component."""

    component: str
    text: str
    """UTF-8 with replacement characters; as hostile as the app that printed it."""
    offset: int
    """Byte at which it begins."""
    next_offset: int
    size_bytes: int
    """Bytes there are so far."""


def list_log_names(room: AppsRoom, run: AppRun) -> tuple[str, ...]:
    """Return the names of the logs of a run: its components, and their builds. Blocking."""
    if run.state.is_final:
        return tuple(sorted(run.logs))
    folder = _logs_dir(room, run)
    return tuple(sorted(path.stem for path in folder.glob("*.stdout"))) if folder.is_dir() else ()


async def read_log(
    room: AppsRoom, run: AppRun, component: str, *, offset: int = 0, limit_bytes: int = MAX_CHUNK_BYTES
) -> LogChunk:
    """Return a part of a component's output.

    Args:
        room: Of apps.
        run: Which.
        component: One of ``list_log_names``.
        offset: Byte to begin at; negative: so many from the end.
        limit_bytes: Most bytes to return, at most ``MAX_CHUNK_BYTES``.

    Raises:
        NotFound: The run has no such log.
    """
    if component not in await asyncio.to_thread(list_log_names, room, run):
        raise NotFound("app_run.no_log", f"The run has no log {component[:80]!r}.", "Leave the name out.")
    count = min(limit_bytes, MAX_CHUNK_BYTES)
    if run.state.is_final:
        stored = run.logs[component]
        size = int(str(stored["size_bytes"]))
        start = _begin(offset, size)
        data = await _read_stored(room, str(stored["sha256"]), start, count)
    else:
        path = _logs_dir(room, run) / f"{component}.stdout"
        try:
            data, start, size = await asyncio.to_thread(_read_live, path, offset, count)
        except FileNotFoundError:
            raise NotFound("app_run.no_log", "The log has just been moved.", "Try again.") from None
    return LogChunk(
        component=component,
        text=data.decode("utf-8", errors="replace"),
        offset=start,
        next_offset=start + len(data),
        size_bytes=size,
    )


async def follow_log(
    room: AppsRoom, project_id: UUID, app_run_id: UUID, *, component: str | None, is_followed: bool
) -> AsyncIterator[tuple[str, str]]:
    """Yield component and text, from the beginning, until the end of what there is or of the run."""
    offsets: dict[str, int] = {}
    while True:
        async with room.database.reading() as session:
            run = await get_app_run(session, project_id, app_run_id)
        names = await asyncio.to_thread(list_log_names, room, run)
        if component is not None:
            names = (component,)
        has_more = False
        for name in names:
            chunk = await read_log(room, run, name, offset=offsets.get(name, 0))
            offsets[name] = chunk.next_offset
            has_more = has_more or chunk.next_offset < chunk.size_bytes
            if chunk.text:
                yield name, chunk.text
        if not has_more and (not is_followed or run.state.is_final):
            return
        if not has_more:
            await asyncio.sleep(_LOOK_S)


def _read_live(path: Path, offset: int, count: int) -> tuple[bytes, int, int]:
    with path.open("rb") as file:
        size = path.stat().st_size
        start = _begin(offset, size)
        file.seek(start)
        return file.read(count), start, size


async def _read_stored(room: AppsRoom, sha256: str, start: int, count: int) -> bytes:
    kept, position = bytearray(), 0
    async for piece in room.artifacts.stream(sha256):
        first = max(0, start - position)
        kept += piece[first : first + count - len(kept)]
        position += len(piece)
        if len(kept) >= count:
            break
    return bytes(kept)


def _begin(offset: int, size: int) -> int:
    return max(0, size + offset) if offset < 0 else min(offset, size)


def _logs_dir(room: AppsRoom, run: AppRun) -> Path:
    return room.settings.app_runs_dir / run.app_run_id.hex / "logs"
