"""Asking a program of the machine for its version."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path

from referee.tools.reading import decode_text

__all__ = ["probe_program_version"]

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024


async def probe_program_version(program: Path, pattern: str, *, argument: str = "--version") -> str:
    """Return the first group of ``pattern`` in what the program says of itself; empty when it says no such thing.

    Runs outside the sandbox: it is the machine's own program, and meets nothing of an app.
    """
    process = await asyncio.create_subprocess_exec(
        str(program),
        argument,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
    try:
        async with asyncio.timeout(TIMEOUT_S):
            data = await process.stdout.read(MAX_ANSWER_BYTES)
            await process.wait()
    except BaseException as error:
        # Not ``process.kill()``, which reaps the process behind asyncio's back.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        if isinstance(error, TimeoutError):
            return ""
        raise
    found = re.search(pattern, decode_text(data), re.MULTILINE)
    return found.group(1) if found else ""
