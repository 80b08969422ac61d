"""Who an analyzer is: an id kept in its home, held by one process at a time; and when it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from referee.core.errors import Conflict, IntegrityError
from referee.core.ids import new_id

__all__ = ["hold_identity", "wait_for_stop"]

_FILE: Final = "analyzer.id"


@contextmanager
def hold_identity(home: Path) -> Iterator[UUID]:
    """Be the analyzer of a home as long as the block lasts; its id is made at the first time.

    Raises:
        Conflict: Another process is the analyzer of this home.
        IntegrityError: The file of the id holds something else.
    """
    with (home / _FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "analyzer.runs_already",
                f"An analyzer of {home} is running.",
                "Stop it, or give this one a home of its own (REFEREE_HOME).",
            ) from error
        file.seek(0)
        text = file.read(100).strip()
        if not text:
            text = str(new_id())
            file.write(text)
            file.flush()
        try:
            analyzer_id = UUID(text)
        except ValueError as error:
            raise IntegrityError(
                "analyzer.id_altered",
                f"The file {home / _FILE} holds no id.",
                "Delete it; the analyzer then counts as a new one.",
            ) from error
        yield analyzer_id


@asynccontextmanager
async def wait_for_stop() -> AsyncIterator[asyncio.Event]:
    """Give an event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            with contextlib.suppress(ValueError):
                loop.remove_signal_handler(number)
