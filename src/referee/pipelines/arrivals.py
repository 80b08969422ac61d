"""The same request from many clients at the same time, done once in this process.

The database decides what is unique; this only spares it the crowd. Whoever arrives while the work is being done
gets its result, which is committed by then; whoever arrives later reads what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Arrivals"]

Result = TypeVar("Result")


class Arrivals(Generic[Result]):
    """Work that is being done now, by what was asked for."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Result]] = {}

    async def share(self, request: Hashable, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do the work, or wait for whoever does it already.

        Args:
            request: Equal for those who ask for the same; everything that the result depends on.
            work: Called for the first; it goes on when that client leaves.
        """
        task = self._tasks.get(request)
        if task is None:
            task = asyncio.ensure_future(_run(work))
            self._tasks[request] = task
            task.add_done_callback(lambda _: self._tasks.pop(request, None))
        return await asyncio.shield(task)


async def _run(work: Callable[[], Awaitable[Result]]) -> Result:
    return await work()
