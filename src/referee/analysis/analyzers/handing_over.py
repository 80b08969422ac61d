"""The analyzer's side of a hand-over: announce a result, send what the server lacks, wait for its word.

Over the connection in chunks with a window, or by HTTP PUT where the connection fails for it again
and again. Either way the result leaves the disk only after the server has said that it is committed,
superseded or refused.
"""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import httpx
import structlog

from referee.analysis.analyzers.protocol import (
    FINAL_TRANSFER_STATES,
    RESULT_TYPES,
    Chunk,
    ChunkAck,
    Envelope,
    ErrorReport,
    ResultOffer,
    TransferReport,
    read_data,
    render_envelope,
)
from referee.analysis.analyzers.spool import Spool, SpooledResult
from referee.core.errors import InvalidInput, Unavailable
from referee.core.vocabulary import Service

__all__ = ["ChunkSender", "put_result"]

_PUT_BYTES: Final = 8 << 20
"""Of one PUT; a server takes 16 MiB in one request."""
_ANSWER_S: Final = 60.0
"""For the answer to an announcement or a window of chunks."""
_RECORD_S: Final = 1_800.0
"""For the server to read and record a result; the connection's own pings tell whether it lives."""
_PUT_TIMEOUT: Final = httpx.Timeout(30.0, read=600.0)

SendText = Callable[[str], Awaitable[None]]
SendBytes = Callable[[bytes], Awaitable[None]]

log = structlog.get_logger("referee.analyzers")


@dataclass(slots=True)
class ChunkSender:
    """Hands results over on one connection, one after another."""

    spool: Spool
    send_text: SendText
    send_bytes: SendBytes
    chunk_bytes: int
    window_bytes: int
    _transfer_id: UUID | None = None
    _answers: asyncio.Queue[Envelope] = field(default_factory=asyncio.Queue)

    def take(self, envelope: Envelope) -> None:
        """Take an answer of the server: ``result_offset``, ``chunk_ack``, ``result_ack`` or ``error``."""
        is_current = self._transfer_id is not None and (
            envelope.correlation_id == str(self._transfer_id)
            or envelope.data.get("transfer_id") == str(self._transfer_id)
        )
        if is_current:
            self._answers.put_nowait(envelope)

    async def hand_over(self, result: SpooledResult) -> TransferReport:
        """Hand a result over; the server's last word.

        Raises:
            Unavailable: The server could not take it now.
        """
        self._transfer_id = result.transfer_id
        self._answers = asyncio.Queue()
        try:
            return await self._hand_over(result)
        finally:
            self._transfer_id = None

    async def _hand_over(self, result: SpooledResult) -> TransferReport:
        offer = ResultOffer(
            transfer_id=result.transfer_id,
            tool_run_id=result.tool_run_id,
            total_bytes=result.total_bytes,
            sha256=result.sha256,
        )
        kind = RESULT_TYPES.get(Service(result.service), "analysis_result")
        await self.send_text(render_envelope(kind, offer, service=result.service))
        report = await self._next_report(_ANSWER_S)
        while report.state not in FINAL_TRANSFER_STATES:
            await self._send_from(result, report.committed_bytes)
            report = await self._next_report(_RECORD_S)
        return report

    async def _send_from(self, result: SpooledResult, offset: int) -> None:
        """Send all chunks from an offset, never more than a window ahead of what is acknowledged."""
        acknowledged_bytes = offset
        reading = self._start_reading(result, offset)
        try:
            while offset < result.total_bytes:
                data, crc32 = await reading
                if not data:
                    raise Unavailable(
                        "analyzer.result_cut",
                        "A result on the analyzer's disk is shorter than announced.",
                        "",
                    )
                reading = self._start_reading(result, offset + len(data))  # while this one is sent
                while offset - acknowledged_bytes + len(data) > self.window_bytes:
                    ack = await self._next_answer(_ANSWER_S)
                    if ack.type == "chunk_ack":
                        acknowledged_bytes = read_data(ack, ChunkAck).committed_bytes
                chunk = Chunk(transfer_id=result.transfer_id, offset=offset, length=len(data), crc32=crc32)
                await self.send_text(render_envelope("result_chunk", chunk))
                await self.send_bytes(data)
                offset += len(data)
        finally:
            reading.cancel()

    def _start_reading(self, result: SpooledResult, offset: int) -> asyncio.Task[tuple[bytes, int]]:
        def read() -> tuple[bytes, int]:
            data = self.spool.read(result, offset, self.chunk_bytes)
            return data, zlib.crc32(data)

        return asyncio.create_task(asyncio.to_thread(read))

    async def _next_report(self, timeout_s: float) -> TransferReport:
        while True:
            answer = await self._next_answer(timeout_s)
            if answer.type in ("result_offset", "result_ack"):
                return read_data(answer, TransferReport)

    async def _next_answer(self, timeout_s: float) -> Envelope:
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._answers.get()
        except TimeoutError as error:
            raise Unavailable(
                "analyzer.server_silent", f"The server did not answer within {timeout_s:g} s.", ""
            ) from error
        if answer.type == "error":
            report = read_data(answer, ErrorReport)
            raise _failure(report.code, report.message)
        return answer


async def put_result(client: httpx.AsyncClient, spool: Spool, result: SpooledResult) -> TransferReport:
    """Hand a result over by HTTP; the server's last word.

    Args:
        client: With the server's address and the key.
        spool: Where the result is.
        result: Which.

    Raises:
        Unavailable: The server could not be reached, or could not take it now.
    """
    url = f"/v1/analyzers/transfers/{result.transfer_id}"
    digest = base64.b64encode(bytes.fromhex(result.sha256)).decode()
    report = await _ask(client.get(url, timeout=_PUT_TIMEOUT))
    offset = report.committed_bytes
    while report.state not in FINAL_TRANSFER_STATES:
        # The last piece again when all is there: the server stopped before it recorded the result.
        offset = min(offset, result.total_bytes - 1)
        data = await asyncio.to_thread(spool.read, result, offset, _PUT_BYTES)
        headers = {
            "Content-Range": f"bytes {offset}-{offset + len(data) - 1}/{result.total_bytes}",
            "Content-Type": "application/octet-stream",
            "Digest": f"sha-256={digest}",
        }
        parameters = {"tool_run_id": str(result.tool_run_id)}
        answer = client.put(url, params=parameters, content=data, headers=headers, timeout=_PUT_TIMEOUT)
        report = await _ask(answer)
        offset = report.committed_bytes
    return report


async def _ask(answer: Awaitable[httpx.Response]) -> TransferReport:
    try:
        response = await answer
    except httpx.HTTPError as error:
        raise Unavailable(
            "analyzer.server_unreachable", f"The server cannot be reached ({type(error).__name__}).", ""
        ) from error
    if response.status_code == httpx.codes.OK:
        return TransferReport.model_validate(response.json())
    raise _failure(_read_code(response), f"The server answered {response.status_code}.")


def _read_code(response: httpx.Response) -> str:
    try:
        return str(response.json().get("code", ""))[:100]
    except (ValueError, AttributeError):
        return ""


def _failure(code: str, message: str) -> Unavailable | InvalidInput:
    """Return what a refusal of the server means: only a result that it does not know is never wanted again."""
    if code == "analyzer.transfer_unknown":
        return InvalidInput(code, message, "")
    return Unavailable(code or "analyzer.server_failed", message, "")
