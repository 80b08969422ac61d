"""The writer: requests that arrive together are committed together.

Each process has one. A request waits until its spans are committed; while one
group is being written the next one gathers. The queue is bounded by spans and
by bytes: what does not fit is refused with 429 and nothing of it is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from referee.core.errors import RefereeError, TooManyRequests, Unavailable
from referee.foundation.store import Database
from referee.traces.storing import Arrival, store_arrivals

__all__ = ["SpanWriter"]

GROUP_MAX_SPANS: Final = 5_000
GROUP_WAIT_S: Final = 0.005
"""How long the first request of a group waits for others, when nothing is being written."""
QUEUE_MAX_SPANS: Final = 50_000
QUEUE_MAX_BYTES: Final = 256 * 1024 * 1024
RETRY_AFTER_S: Final = 1

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Waiting:
    arrival: Arrival
    committed: asyncio.Future[None]


class SpanWriter:
    """Writes what arrives, in groups.

    Args:
        database: Where to.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: deque[_Waiting] = deque()
        self._spans_count = 0
        self._bytes_count = 0
        self._task: asyncio.Task[None] | None = None

    async def write(self, arrival: Arrival) -> None:
        """Return when the spans are committed.

        Raises:
            TooManyRequests: The queue is full; nothing was kept.
            RefereeError: The database is not there or refuses.
        """
        count, size_bytes = len(arrival.spans), arrival.size_bytes
        if self._queue and (
            self._spans_count + count > QUEUE_MAX_SPANS or self._bytes_count + size_bytes > QUEUE_MAX_BYTES
        ):
            raise TooManyRequests(
                "traces.queue_full",
                "More spans arrive than can be written.",
                "Send them again in a moment.",
                retry_after_s=RETRY_AFTER_S,
            )
        waiting = _Waiting(arrival, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._spans_count += count
        self._bytes_count += size_bytes
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await asyncio.shield(waiting.committed)

    async def close(self) -> None:
        """Finish what was accepted."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        await asyncio.sleep(GROUP_WAIT_S)
        while self._queue:
            await self._write_group(self._take_group())

    def _take_group(self) -> list[_Waiting]:
        group = [self._queue.popleft()]
        count = len(group[0].arrival.spans)
        while self._queue and count + len(self._queue[0].arrival.spans) <= GROUP_MAX_SPANS:
            group.append(self._queue.popleft())
            count += len(group[-1].arrival.spans)
        self._spans_count -= count
        self._bytes_count -= sum(waiting.arrival.size_bytes for waiting in group)
        return group

    async def _write_group(self, group: Sequence[_Waiting]) -> None:
        """Write a group; when that fails for a reason in the data, each request by itself."""
        try:
            await self._store(group)
        except Unavailable as error:
            self._fail(group, error)
        except Exception as error:
            if len(group) == 1:
                if not isinstance(error, RefereeError):
                    _log.exception("spans.failed")
                self._fail(group, error)
                return
            for waiting in group:
                await self._write_group([waiting])

    async def _store(self, group: Sequence[_Waiting]) -> None:
        async with self._database.transaction() as session:
            await store_arrivals(session, [waiting.arrival for waiting in group])
        for waiting in group:
            with contextlib.suppress(asyncio.InvalidStateError):
                waiting.committed.set_result(None)

    def _fail(self, group: Sequence[_Waiting], error: Exception) -> None:
        for waiting in group:
            if not waiting.committed.done():
                waiting.committed.set_exception(error)
                waiting.committed.exception()  # one that nobody waits for any more is no surprise
