"""When a worker looks into its queues: at once when a job has come or gone, seldom while nothing happens.

Whoever submits, ends or hands back a job says so with ``notify_queue`` in the same transaction. Every worker hears
it after commit and looks. For a while after that it looks often, because a place may become free a moment later; then
it looks every ``IDLE_LOOK_S``, in case a word was lost. While its connection for hearing is lost, it looks often.

    quiet → (told) → looks at once → often for ``LIVELY_S`` → quiet
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import Final

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from referee.foundation.store import Database

__all__ = ["ALL_QUEUES", "CHANNEL", "IDLE_LOOK_S", "QueueEar", "QueuePause", "notify_queue"]

CHANNEL: Final = "referee_jobs"
ALL_QUEUES: Final = ""
"""Payload that means every queue."""
IDLE_LOOK_S: Final = 5.0
"""Between two looks into a quiet queue. Ten queues looked into every 0.1 s cost a tenth of a core."""
LIVELY_S: Final = 2.0
"""How long a queue is looked into often after a word: the library frees a job's place after we note its end."""
SPACING_S: Final = 0.05
"""Between two looks at least, however many words come: a thousand jobs submitted at once are not a thousand looks."""
_RECONNECT_S: Final = 1.0
_HEARING_S: Final = 10.0
"""After this the connection is asked for; a peer that vanished without a word is noticed by it."""

logger = structlog.get_logger(__name__)


async def notify_queue(session: AsyncSession, queue: str) -> None:
    """Tell every worker, once the transaction commits, that a job of the queue has come or gone."""
    await session.execute(text("SELECT pg_notify(:channel, :queue)"), {"channel": CHANNEL, "queue": queue})


class QueuePause(threading.Event):
    """What the library's thread of one queue waits on between two looks; set when it has to end.

    ``wait`` returns early when rung, and later than asked while the queue is quiet.
    """

    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.Condition()
        self._is_rung = True
        self._lively_until_s = 0.0
        self._is_deaf = True

    def ring(self) -> None:
        """Look now, and often for a while."""
        with self._turn:
            self._is_rung = True
            self._lively_until_s = time.monotonic() + LIVELY_S
            self._turn.notify_all()

    def set_deaf(self, is_deaf: bool) -> None:
        """Note whether words can be heard; while they cannot, the queue is looked into often."""
        with self._turn:
            self._is_deaf = is_deaf
            self._turn.notify_all()

    def set(self) -> None:
        """End the thread."""
        super().set()
        with self._turn:
            self._turn.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Return when it is time for a look, or when the thread has to end; True for the latter.

        Args:
            timeout: Pause between two looks while the queue is lively. Seconds.
        """
        begun_s = time.monotonic()
        often_s = timeout or 0.0
        with self._turn:
            while not self.is_set():
                passed_s = time.monotonic() - begun_s
                remaining_s = self._choose_pause_s(often_s) - passed_s
                if remaining_s <= 0:
                    break
                self._turn.wait(remaining_s)
            self._is_rung = False
        return self.is_set()

    def _choose_pause_s(self, often_s: float) -> float:
        if self._is_rung:
            return min(SPACING_S, often_s)
        if self._is_deaf or time.monotonic() < self._lively_until_s:
            return often_s
        return max(often_s, IDLE_LOOK_S)


class QueueEar:
    """Hears which queues something happened to, and rings their pauses.

    Args:
        database: Where it is said.
        pauses: By name of the queue.
    """

    def __init__(self, database: Database, pauses: Mapping[str, QueuePause]) -> None:
        self._database = database
        self._pauses = pauses
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen, on the running loop."""
        self._task = asyncio.create_task(self._listen_forever(), name="queue-ear")

    async def stop(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                logger.warning("queue_ear.connection_lost", error=str(error).strip())
            finally:
                self._set_deaf(True)
            await asyncio.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        connecting = psycopg.AsyncConnection.connect(
            self._database.conninfo, autocommit=True, application_name="referee-jobs-ear", connect_timeout=10
        )
        async with await connecting as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self._set_deaf(False)
            self._ring(ALL_QUEUES)  # what came while nobody listened
            while True:
                async for notification in connection.notifies(timeout=_HEARING_S):
                    self._ring(notification.payload)
                await connection.execute("SELECT 1")

    def _set_deaf(self, is_deaf: bool) -> None:
        for pause in self._pauses.values():
            pause.set_deaf(is_deaf)

    def _ring(self, queue: str) -> None:
        for name, pause in self._pauses.items():
            if queue in (ALL_QUEUES, name):
                pause.ring()
