"""Bytes that are altered on their way: found out at the chunk or at the whole, sent again, and at last refused."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from tests.analysis.analyzers.site import Site, find_odd, make_output
from websockets.asyncio.client import ClientConnection, connect

from referee.analysis.analyzers.bundles import write_bundle
from referee.analysis.analyzers.protocol import PROTOCOL_VERSION
from referee.analysis.analyzers.tables import AnalyzerTransferRow
from referee.core.ids import new_id

CHUNK_BYTES = 1_000


@dataclass(slots=True)
class HandMade:
    """An analyzer that says what a test wants."""

    connection: ClientConnection
    transfer_id: str
    tool_run_id: str
    data: bytes

    async def say(self, type: str, data: dict[str, Any]) -> None:
        await self.connection.send(json.dumps({"type": type, "id": "1", "timestamp": "", "data": data}))

    async def hear(self, *types: str) -> dict[str, Any]:
        """Return the content of the next message of these types."""
        while True:
            message = json.loads(await self.connection.recv())
            if message["type"] in types:
                content: dict[str, Any] = message["data"]
                return content

    async def offer(self, sha256: str) -> dict[str, Any]:
        offer = {"transfer_id": self.transfer_id, "tool_run_id": self.tool_run_id, "sha256": sha256}
        await self.say("static_analysis_result", {**offer, "total_bytes": len(self.data)})
        return await self.hear("result_offset", "result_ack")

    async def send_chunk(self, offset: int, sent: bytes, announced: bytes) -> None:
        chunk = {"transfer_id": self.transfer_id, "offset": offset, "length": len(announced)}
        await self.say("result_chunk", {**chunk, "crc32": zlib.crc32(announced)})
        await self.connection.send(sent)

    async def send_piece(self, offset: int) -> None:
        piece = self.data[offset : offset + CHUNK_BYTES]
        await self.send_chunk(offset, piece, piece)

    async def send_from(self, offset: int, data: bytes) -> None:
        for start in range(offset, len(data), CHUNK_BYTES):
            piece = data[start : start + CHUNK_BYTES]
            await self.send_chunk(start, piece, piece)


@asynccontextmanager
async def take_work(site: Site, project_id: UUID, subject: Path) -> AsyncIterator[tuple[HandMade, UUID]]:
    """Connect, take the request for vulture's run, and have its output ready."""
    analysis_id = await site.ask(project_id, subject, "vulture")
    async with connect(f"ws://127.0.0.1:{site.port}/v1/analyzers/connect") as connection:
        made = HandMade(connection, "", "", b"")
        registration = {
            "protocol_version": PROTOCOL_VERSION,
            "analyzer_id": str(new_id()),
            "name": "by hand",
            "version": "0",
            "services": ["static"],
            "tools": [],
            "slots_count": 1,
        }
        await made.say("service_register", registration)
        (order,) = (await made.hear("static_analyze"))["tool_runs"]
        made.transfer_id, made.tool_run_id = order["transfer_id"], order["tool_run_id"]
        file = io.BytesIO()
        write_bundle(file, UUID(made.tool_run_id), make_output("vulture", 9_000))
        made.data = file.getvalue()
        yield made, analysis_id


async def test_altered_chunk_is_refused_and_the_rest_comes_again(
    site: Site, project_id: UUID, subject: Path
) -> None:
    async with take_work(site, project_id, subject) as (made, analysis_id):
        sha256 = hashlib.sha256(made.data).hexdigest()
        assert (await made.offer(sha256))["committed_bytes"] == 0
        first = made.data[:CHUNK_BYTES]
        await made.send_chunk(0, bytes([first[0] ^ 1]) + first[1:], first)
        assert (await made.hear("error"))["code"] == "analyzer.chunk_altered"
        assert (await made.offer(sha256))["committed_bytes"] == 0
        await made.send_chunk(0, first[:-1], first)
        assert (await made.hear("error"))["code"] == "analyzer.chunk_invalid"
        report = await made.offer(sha256)
        await made.send_from(report["committed_bytes"], made.data)
        assert (await made.hear("result_ack"))["state"] == "committed"
        assert (await made.offer(sha256))["state"] == "committed"  # said again, done once
        runs = await site.wait_for_outcomes(analysis_id)
    assert find_odd(runs, 9_000) == []
    assert await site.count_accepted(analysis_id) == {"vulture": 1}


async def test_result_that_never_has_its_digest_is_refused_after_three_times(
    site: Site, project_id: UUID, subject: Path
) -> None:
    async with take_work(site, project_id, subject) as (made, analysis_id):
        report = await made.offer("0" * 64)
        for _ in range(2):
            await made.send_from(report["committed_bytes"], made.data)
            report = await made.hear("result_offset", "result_ack")
            assert (report["state"], report["committed_bytes"]) == ("open", 0)
        await made.send_from(0, made.data)
        assert (await made.hear("result_ack"))["state"] == "refused"
        runs = await site.wait_for_outcomes(analysis_id)
    assert runs["vulture"].outcome == "failed"
    assert "3 times with another digest" in runs["vulture"].reason


async def test_commit_that_ends_between_two_pieces_is_told_with_the_next(
    site: Site, project_id: UUID, subject: Path
) -> None:
    async with take_work(site, project_id, subject) as (made, _):
        await made.offer(hashlib.sha256(made.data).hexdigest())
        for start in range(0, 4 * CHUNK_BYTES, CHUNK_BYTES):  # the last of them begins a commit
            await made.send_piece(start)
        async with asyncio.timeout(20):
            while await read_committed_bytes(site, made.transfer_id) < 4 * CHUNK_BYTES:
                await asyncio.sleep(0.02)
            await made.send_piece(4 * CHUNK_BYTES)
            assert (await made.hear("chunk_ack"))["committed_bytes"] == 4 * CHUNK_BYTES


async def read_committed_bytes(site: Site, transfer_id: str) -> int:
    """Return how much of a transfer is recorded."""
    async with site.application.database.reading() as session:
        statement = select(AnalyzerTransferRow.committed_bytes).where(
            AnalyzerTransferRow.transfer_id == UUID(transfer_id)
        )
        return (await session.execute(statement)).scalar_one()


async def test_more_bytes_than_announced_are_not_taken(site: Site, project_id: UUID, subject: Path) -> None:
    async with take_work(site, project_id, subject) as (made, _):
        whole, made.data = made.data, made.data[:500]
        await made.offer(hashlib.sha256(whole).hexdigest())
        await made.send_chunk(0, whole[:CHUNK_BYTES], whole[:CHUNK_BYTES])
        assert (await made.hear("error"))["code"] == "analyzer.result_too_long"
