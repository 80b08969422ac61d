"""A network that an app and the tools that judge it share, and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from types import TracebackType

from referee.core.errors import Unavailable
from referee.foundation.sandbox.commands import NetworkHandle
from referee.foundation.sandbox.isolation import detect_isolation
from referee.foundation.sandbox.launching import supervisor_command
from referee.foundation.sandbox.supervisor.network import read_start_ticks

__all__ = ["SharedNetwork", "is_network_held", "open_network"]

START_TIMEOUT_S = 60.0
"""Of a process that needs a twentieth of a second of a processor: only a very busy machine takes longer than one."""
STOP_TIMEOUT_S = 5.0


class SharedNetwork:
    """A network for as long as this object is open. Commands join it by ``Command.network``.

    It ends with the process that opened it, however that ends; commands inside go on with a
    loopback of their own until they end too.
    """

    def __init__(self, handle: NetworkHandle, process: asyncio.subprocess.Process) -> None:
        self.handle = handle
        self._process = process

    async def close(self) -> None:
        """Let it go. Idempotent."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def __aenter__(self) -> SharedNetwork:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def open_network() -> SharedNetwork | None:
    """Make a network that commands can share; None where the isolation of this machine has no own networks.

    Raises:
        Unavailable: It should work here and did not.
    """
    isolation = await asyncio.to_thread(detect_isolation)
    if not isolation.has_own_network:
        return None
    process = await asyncio.create_subprocess_exec(
        *supervisor_command("network"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )
    if process.stdout is None or process.stderr is None:
        raise AssertionError("both were asked for")
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
            if line:
                pid, started_ticks, inode = json.loads(line)
                handle = NetworkHandle(holder_pid=pid, holder_started_ticks=started_ticks, inode=inode)
                return SharedNetwork(handle, process)
            said = (await process.stderr.read(4096)).decode(errors="replace").strip().splitlines()
    except TimeoutError:
        said = [f"nothing was heard for {START_TIMEOUT_S:g} s"]
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    raise Unavailable(
        "sandbox.no_network",
        f"No network for an app could be made: {said[-1] if said else 'its holder ended at once'}.",
        "See `referee tool doctor` for what isolation this machine gives.",
    )


def is_network_held(handle: NetworkHandle) -> bool:
    """Return whether the network that a handle names is still there."""
    try:
        return (
            read_start_ticks(handle.holder_pid) == handle.holder_started_ticks
            and os.stat(f"/proc/{handle.holder_pid}/ns/net").st_ino == handle.inode  # noqa: PTH116 - follows the link
        )
    except OSError:
        return False
