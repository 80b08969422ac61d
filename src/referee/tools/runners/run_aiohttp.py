"""Put the addresses named on stdin under load with aiohttp, one after another, and print what was measured.

Reads one JSON object: ``urls`` (each with ``url`` and ``headers``), ``requests``,
``concurrency``, ``timeout_s``, ``warmup_requests``, ``run_time_s``,
``time_budget_s`` and ``samples_limit``. Prints one line per address (see
``load_recording.py``) and a last one ``{"kind": "end"}``.
"""

# mypy: ignore-errors
# The packages it imports are in the tool's environment, not in ours.

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path

import aiohttp

sys.path.append(str(Path(__file__).parent))

from load_recording import TICK_S, Recording, name_error, print_end, share_time


async def _send(session, target):
    """Send one request and read the whole answer; return when it was sent and ended, status and error."""
    sent_s = time.perf_counter()
    status, error = 0, ""
    try:
        async with session.get(target["url"], headers=target["headers"], allow_redirects=False) as answer:
            async for _ in answer.content.iter_any():
                pass
            status = answer.status
    except (aiohttp.ClientError, OSError, ValueError) as trouble:
        error = name_error(trouble)
    return sent_s, time.perf_counter(), status, error


async def _watch_loop(recording):
    while True:
        due_s = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        recording.add_lag(time.perf_counter() - due_s)


async def _load(session, target, recording, job, address_time_s):
    end_s = time.perf_counter() + address_time_s
    for _ in range(job["warmup_requests"]):
        *_, status, _error = await _send(session, target)
        if not status or time.perf_counter() >= end_s:
            break
    left = job["requests"]
    end_s = time.perf_counter() + address_time_s

    async def send_one_by_one():
        nonlocal left
        while left > 0 and time.perf_counter() < end_s and not recording.is_full:
            left -= 1
            recording.add(*await _send(session, target))

    recording.begin()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(job["concurrency"], job["requests"])):
            group.create_task(send_one_by_one())


async def main():
    """Do the job on stdin."""
    job = json.load(sys.stdin)
    for index, target, address_time_s in share_time(job):
        recording = Recording(index, job["samples_limit"])
        # One pool for each address: no connection of the one before is used again.
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=job["concurrency"]),
            timeout=aiohttp.ClientTimeout(total=job["timeout_s"]),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            watcher = asyncio.create_task(_watch_loop(recording))
            await _load(session, target, recording, job, address_time_s)
            cpu_s = time.process_time()
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
        recording.write(cpu_s=cpu_s)
    print_end()


asyncio.run(main())
