"""Who watches events hears of those that were stored: of what several requests brought at the same time, at once.

Each observer asks the database a few things whatever the number of events, so requests that were committed together
are told together. A request is answered after that: what an observer writes for its events is there with the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

import structlog

__all__ = ["EventTeller", "SpansObserver"]

SpansObserver: TypeAlias = Callable[[UUID, Sequence[str]], Awaitable[None]]
"""Told of the project and the ids of events that are committed."""
MAX_TOLD_COUNT: Final = 5_000
"""Events that an observer hears of at once, unless one request brings more."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    project_id: UUID
    event_ids: Sequence[str]
    told: asyncio.Future[None]


class EventTeller:
    """Tells observers of events, one round after another."""

    def __init__(self) -> None:
        self.observers: list[SpansObserver] = []
        """Told in their order."""
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    async def tell(self, project_id: UUID, event_ids: Sequence[str]) -> None:
        """Return when every observer has heard that these events are committed as they are now.

        Their failures are theirs: they go to the log.
        """
        if not self.observers:
            return
        waiting = _Waiting(project_id, event_ids, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await asyncio.shield(waiting.told)

    async def close(self) -> None:
        """Finish what was begun."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # what was committed in the same group arrives now
            told = self._take()
            event_ids = [event_id for one in told for event_id in one.event_ids]
            try:
                await self._tell(told[0].project_id, event_ids)
            finally:
                for one in told:
                    if not one.told.done():
                        one.told.set_result(None)

    def _take(self) -> list[_Waiting]:
        """Return the first one, and those of its project that wait too."""
        taken = [self._waiting.popleft()]
        count, others = len(taken[0].event_ids), deque[_Waiting]()
        while self._waiting:
            one = self._waiting.popleft()
            if one.project_id == taken[0].project_id and count + len(one.event_ids) <= MAX_TOLD_COUNT:
                taken.append(one)
                count += len(one.event_ids)
            else:
                others.append(one)
        self._waiting = others
        return taken

    async def _tell(self, project_id: UUID, event_ids: Sequence[str]) -> None:
        for observe in self.observers:
            try:
                await observe(project_id, event_ids)
            except Exception:
                _log.exception("spans_observer.failed", project_id=str(project_id))
