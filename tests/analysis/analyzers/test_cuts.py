"""Connections that are cut at every message, and within messages, by either side: each result arrives once."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from uuid import UUID

import pytest
from tests.analysis.analyzers.relay import Cut, Direction, Relay, open_relay
from tests.analysis.analyzers.site import Kitchen, Site, find_odd, open_analyzer

TOOLS = ("bandit", "pylint", "mypy", "vulture", "ruff", "radon")
SIZE_BYTES = 20_000
"""Of each result: ten chunks, five commits."""
NEVER = 1_000_000


def list_cuts(to_server_count: int, to_analyzer_count: int) -> list[Cut]:
    """Return a cut before and within each of the first messages of both directions, by an end and by a reset.

    The earliest first: a connection that ends there brings nothing forward, so that one hand-over meets many.
    """
    limits: tuple[tuple[Direction, int], ...] = (
        ("to_server", to_server_count),
        ("to_analyzer", to_analyzer_count),
    )
    return [
        Cut(direction=direction, frames_count=count, is_midway=is_midway, is_reset=is_reset)
        for count in range(max(to_server_count, to_analyzer_count))
        for direction, limit_count in limits
        for is_midway, is_reset in itertools.product((False, True), repeat=2)
        if count < limit_count
    ]


async def run_through(
    site: Site, project_id: UUID, subject: Path, relay: Relay, spool_dir: Path, tools: tuple[str, ...]
) -> None:
    """Have one analysis handed over through cuts, and check what has become of it."""
    kitchen = Kitchen(size_bytes=SIZE_BYTES)
    analysis_id = await site.ask(project_id, subject, *tools)
    async with open_analyzer(
        relay.own_port, spool_dir, kitchen.execute, cuts_before_put_count=NEVER
    ) as analyzer:
        runs = await site.wait_for_outcomes(analysis_id)
        async with asyncio.timeout(30):
            while analyzer.waiting_count:
                await asyncio.sleep(0.01)
    assert find_odd(runs, SIZE_BYTES) == []
    assert await site.count_accepted(analysis_id) == dict.fromkeys(tools, 1)
    assert sorted(kitchen.executed) == sorted(tools)
    assert list(spool_dir.iterdir()) == []


async def test_results_arrive_once_through_cuts(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    cuts = list_cuts(8, 4)[::2]
    async with open_relay(site.port) as relay:
        relay.add(cuts)
        await run_through(site, project_id, subject, relay, tmp_path / "spool", TOOLS[:2])
        assert len(relay.made) >= 20


@pytest.mark.slow
async def test_results_arrive_once_through_500_cuts_at_every_message(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    every = list_cuts(26, 14)
    missing, made_count = list(every), 0
    async with open_relay(site.port) as relay:
        for number in itertools.count():
            assert number < 100, f"{len(missing)} cuts could not be made, {made_count} were"
            relay.made.clear()
            relay.cuts[:] = missing or every
            await run_through(site, project_id, subject, relay, tmp_path / f"spool{number}", TOOLS)
            made_count += len(relay.made)
            missing = [cut for cut in missing if cut not in relay.made]
            if not missing and made_count >= 500:
                break
    print(f"{made_count} cuts were made at {len(every)} places.")
