"""The server's side of a hand-over: bytes that arrive in pieces, are kept across cuts, and become a result.

::

    expected ── announced ──> open ── all bytes there, digest right ──> committed | superseded | refused
                               ^  │
                               └──┘ cut: goes on at the committed offset

A piece is written, hashed and counted; after ``commit_bytes`` the file is flushed and the offset
recorded, and only then are the bytes acknowledged. That goes on beside the arrival of further pieces,
at most one commit at a time. What arrived after the last commit is asked for again after a cut.
Whoever announced a transfer last owns it: the pieces of an older connection, which may still be on
their way, are refused.

Not here: what is done with a complete file (``committing.py``) and how pieces travel
(``connections.py``, ``api.py``).
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import select, update

from referee.analysis.analyzers.bundles import compute_max_bundle_bytes
from referee.analysis.analyzers.committing import Hand, commit_bundle, refuse_result
from referee.analysis.analyzers.parts import Digests, PartFiles, remove_part
from referee.analysis.analyzers.protocol import (
    FINAL_TRANSFER_STATES,
    AnalyzerLimits,
    ResultOffer,
    TransferReport,
)
from referee.analysis.analyzers.tables import AnalyzerRequestRow, AnalyzerTransferRow
from referee.analysis.running import AnalysisRoom
from referee.core.errors import Conflict, InvalidInput, NotFound, RefereeError, StorageFull, Unavailable

__all__ = ["OpenTransfer", "TransferStore"]

_MISMATCHES_MAX_COUNT: Final = 3
"""Times that all bytes of a result may arrive with another digest than announced."""

_Result = TypeVar("_Result")

log = structlog.get_logger("referee.analyzers")


@dataclass(slots=True)
class _Part:
    """The file of one transfer, as far as it has come."""

    path: Path
    files: PartFiles
    hand: Hand
    total_bytes: int
    sha256: str
    committed_bytes: int
    received_bytes: int
    digests: Digests
    """Over what was received."""
    committed_digests: Digests
    """Over what was committed."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    committed_s: float = field(default_factory=time.monotonic)
    """When the last commit was begun."""
    committing: asyncio.Task[None] | None = None
    """Brings to disk and records what had arrived when it was begun, while more arrives."""
    committing_bytes: int = 0
    """How much that is."""
    told_bytes: int = 0
    """How much its sender knows to be committed."""
    flushing: asyncio.Task[None] | None = None
    """Brings to disk what has arrived, while more arrives; the next commit asks how that went."""
    writing: asyncio.Task[Digests] | None = None
    """Writes a piece to its end, even when whoever brought it is cut off meanwhile."""
    is_recording: bool = False
    """Whether its files may have become artifacts: nothing is written into them any more."""
    owner: OpenTransfer | None = None
    mismatches_count: int = 0


class OpenTransfer:
    """The right to send the pieces of one result, until somebody else announces it."""

    def __init__(self, store: TransferStore, part: _Part) -> None:
        self._store = store
        self._part = part

    @property
    def committed_bytes(self) -> int:
        """What is on disk and recorded."""
        return self._part.committed_bytes

    @property
    def is_complete(self) -> bool:
        """Whether every byte has arrived."""
        return self._part.received_bytes == self._part.total_bytes

    async def append(self, offset: int, data: bytes) -> int | None:
        """Take the next piece.

        Returns:
            The committed offset when it has grown since it was last told, None otherwise.

        Raises:
            Conflict: It does not follow on what is there, or another connection has taken over.
            InvalidInput: It goes beyond the announced size.
            StorageFull: The disk took no more.
        """
        async with self._part.lock:
            self._check_owner()
            return await self._store.append(self._part, offset, data)

    async def commit(self) -> None:
        """Have everything that has arrived on disk and recorded.

        Raises:
            Conflict: Another connection has taken over, or the result is no longer expected.
        """
        async with self._part.lock:
            self._check_owner()
            await self._store.commit(self._part)

    async def finish(self) -> TransferReport:
        """Check the whole and record the result.

        Raises:
            Unavailable: The database or the disk does not allow it now; everything is kept.
        """
        async with self._part.lock:
            self._check_owner()
            return await self._store.finish(self._part)

    def _check_owner(self) -> None:
        if self._part.owner is not self:
            raise Conflict(
                "analyzer.transfer_taken_over",
                "Another connection has announced this result since.",
                "Let it send the rest.",
            )


class TransferStore:
    """The transfers of one server process.

    Args:
        room: Of analyses.
        limits: Sizes.
    """

    def __init__(self, room: Callable[[], AnalysisRoom], limits: AnalyzerLimits) -> None:
        self._room = room
        self._limits = limits
        self._parts: dict[UUID, _Part] = {}
        self._announcing = asyncio.Lock()

    async def announce(
        self, offer: ResultOffer, *, project_id: UUID, analyzer_id: UUID | None
    ) -> tuple[TransferReport, OpenTransfer | None]:
        """Begin a transfer or go on with it.

        Args:
            offer: What will come.
            project_id: Of whoever sends.
            analyzer_id: Who sends; None where only its key is known.

        Returns:
            Where it stands, and the right to send the rest; None when nothing is to be sent.

        Raises:
            NotFound: No such result is expected from this analyzer.
        """
        hand = await self._find_hand(offer, project_id=project_id, analyzer_id=analyzer_id)
        if hand.state in FINAL_TRANSFER_STATES:
            return _report_end(hand), None
        reason = self._find_size_problem(offer)
        if reason:
            return await refuse_result(self._room(), hand, reason), None
        async with self._announcing:
            part = self._parts.get(hand.transfer_id)
            if part is None:
                part = self._parts[hand.transfer_id] = await self._open_part(hand, offer)
        async with part.lock:
            return await self._take_over(part, offer)

    async def report(self, transfer_id: UUID, *, project_id: UUID) -> TransferReport:
        """Return where a transfer stands.

        Raises:
            NotFound: There is none in this project.
        """
        async with self._room().database.reading() as session:
            row = (
                await session.execute(
                    select(AnalyzerTransferRow)
                    .join(AnalyzerRequestRow, AnalyzerRequestRow.request_id == AnalyzerTransferRow.request_id)
                    .where(
                        AnalyzerTransferRow.transfer_id == transfer_id,
                        AnalyzerRequestRow.project_id == project_id,
                    )
                )
            ).scalar_one_or_none()
        if row is None:
            raise _unknown()
        return TransferReport(
            transfer_id=transfer_id,
            state=row.state if row.state in FINAL_TRANSFER_STATES else "open",  # type: ignore[arg-type]  # checked by the table
            committed_bytes=row.committed_bytes,
            reason=row.reason,
        )

    async def append(self, part: _Part, offset: int, data: bytes) -> int | None:
        """Take a piece. Called under the lock of its transfer."""
        if offset != part.received_bytes:
            raise Conflict(
                "analyzer.offset_differs",
                f"The piece begins at {offset:,}, and {part.received_bytes:,} bytes are there.",
                "Go on at the offset that the server reports.",
                committed_bytes=part.committed_bytes,
            )
        if offset + len(data) > part.total_bytes:
            raise InvalidInput(
                "analyzer.result_too_long",
                f"The result was announced with {part.total_bytes:,} bytes, and more were sent.",
                "Announce the size that is sent.",
            )
        part.writing = asyncio.create_task(_in_thread(part.files.write, offset, data, part.digests))
        part.digests = await asyncio.shield(part.writing)
        part.received_bytes += len(data)
        # A little early, so that two commits are always begun within a window: the second one brings word of the first.
        is_due = (
            part.received_bytes - part.committing_bytes > self._limits.commit_bytes - len(data)
            or time.monotonic() - part.committed_s > self._limits.commit_s
        )
        if is_due:
            await _end_commit(part)
            part.committing_bytes, part.committed_s = part.received_bytes, time.monotonic()
            part.committing = asyncio.create_task(
                self._record_offset(part, part.received_bytes, part.digests.copy())
            )
        else:  # nor after the last piece: the result itself is recorded next
            _flush_ahead(part)
        if part.committed_bytes == part.told_bytes:
            return None
        part.told_bytes = part.committed_bytes
        return part.told_bytes

    async def finish(self, part: _Part) -> TransferReport:
        """Record a complete transfer. Called under its lock."""
        transfer_id = part.hand.transfer_id
        if part.digests.whole.hexdigest() != part.sha256:
            return await self._start_over(part)
        begun_s = time.monotonic()
        await _end_commit(part)
        await _flush(part)
        part.is_recording = True
        report = await commit_bundle(self._room(), part.hand, part.files, part.digests)
        del self._parts[transfer_id]
        await asyncio.to_thread(remove_part, part.path)
        log.info(
            "result.committed",
            transfer_id=str(transfer_id),
            state=report.state,
            total_bytes=part.total_bytes,
            recorded_ms=round((time.monotonic() - begun_s) * 1_000),
            reason=report.reason,
        )
        return report

    async def _take_over(self, part: _Part, offer: ResultOffer) -> tuple[TransferReport, OpenTransfer | None]:
        transfer_id = part.hand.transfer_id
        if self._parts.get(transfer_id) is not part:  # it was ended while we waited for its lock
            return await self.report(transfer_id, project_id=part.hand.project_id), None
        if (part.sha256, part.total_bytes) != (offer.sha256, offer.total_bytes):
            part.owner = None
            part = self._parts[transfer_id] = await self._open_part(part.hand, offer)
        if part.writing is not None:
            await asyncio.wait({part.writing})
        await _end_commit(part)
        if part.is_recording:
            await self.commit(part)  # all is there, and is not to be written again
        part.owner = transfer = OpenTransfer(self, part)
        part.received_bytes = part.committing_bytes = part.told_bytes = part.committed_bytes
        part.digests, part.committed_s = part.committed_digests.copy(), time.monotonic()
        await _end_flush_ahead(part)
        await _in_thread(part.files.cut, part.committed_bytes)
        report = TransferReport(transfer_id=transfer_id, state="open", committed_bytes=part.committed_bytes)
        return report, transfer

    async def commit(self, part: _Part) -> None:
        """Flush and record what has arrived. Called under the lock of its transfer."""
        await _end_commit(part)
        part.committing_bytes, part.committed_s = part.received_bytes, time.monotonic()
        await self._record_offset(part, part.received_bytes, part.digests.copy())

    async def _record_offset(self, part: _Part, offset: int, digests: Digests) -> None:
        """Flush and record what lies before an offset; all of it was written."""
        await _flush(part)
        async with self._room().database.transaction() as session:
            still_open = await session.scalar(
                update(AnalyzerTransferRow)
                .where(
                    AnalyzerTransferRow.transfer_id == part.hand.transfer_id,
                    AnalyzerTransferRow.state == "open",
                )
                .values(committed_bytes=offset)
                .returning(AnalyzerTransferRow.transfer_id)
            )
        if still_open is None:
            self._parts.pop(part.hand.transfer_id, None)
            raise Conflict(
                "analyzer.transfer_ended",
                "This result is no longer expected.",
                "Announce it again to learn why.",
            )
        part.committed_bytes, part.committed_digests = offset, digests

    async def _start_over(self, part: _Part) -> TransferReport:
        """Ask for everything again; a result that never matches its digest is refused."""
        await _end_commit(part)
        part.mismatches_count += 1
        log.warning("result.altered", transfer_id=str(part.hand.transfer_id), count=part.mismatches_count)
        if part.mismatches_count >= _MISMATCHES_MAX_COUNT:
            self._parts.pop(part.hand.transfer_id, None)
            report = await refuse_result(
                self._room(),
                part.hand,
                f"Its bytes arrived {part.mismatches_count} times with another digest than announced.",
            )
            await asyncio.to_thread(remove_part, part.path)
            return report
        part.received_bytes = 0
        part.digests = Digests()
        await _end_flush_ahead(part)
        await _in_thread(part.files.cut, 0)
        await self.commit(part)
        return TransferReport(
            transfer_id=part.hand.transfer_id,
            state="open",
            committed_bytes=0,
            reason="The bytes that arrived have another digest than announced; all are needed again.",
        )

    async def _find_hand(self, offer: ResultOffer, *, project_id: UUID, analyzer_id: UUID | None) -> Hand:
        async with self._room().database.reading() as session:
            row = (
                await session.execute(
                    select(AnalyzerTransferRow, AnalyzerRequestRow)
                    .join(AnalyzerRequestRow, AnalyzerRequestRow.request_id == AnalyzerTransferRow.request_id)
                    .where(AnalyzerTransferRow.transfer_id == offer.transfer_id)
                )
            ).one_or_none()
        if row is None:
            raise _unknown()
        transfer, request = row
        is_senders = analyzer_id is None or transfer.analyzer_id == analyzer_id
        if request.project_id != project_id or not is_senders or transfer.tool_run_id != offer.tool_run_id:
            raise _unknown()
        return Hand(
            transfer_id=transfer.transfer_id,
            request_id=request.request_id,
            project_id=request.project_id,
            tool_run_id=transfer.tool_run_id,
            attempt=transfer.attempt,
            analyzer_id=transfer.analyzer_id,
            state=transfer.state,
            reason=transfer.reason,
            committed_bytes=transfer.committed_bytes,
        )

    def _find_size_problem(self, offer: ResultOffer) -> str:
        """Return why a result of this size is not taken, empty when it is."""
        limit_bytes = compute_max_bundle_bytes(self._room().settings.raw_output_max_bytes)
        if offer.total_bytes > limit_bytes:
            return (
                f"The result has {offer.total_bytes:,} bytes, and at most {limit_bytes:,} are taken; raise"
                " REFEREE_RAW_OUTPUT_MAX_BYTES on the server, or lower it on the analyzer."
            )
        return "" if offer.total_bytes else "The result has no bytes."

    async def _open_part(self, hand: Hand, offer: ResultOffer) -> _Part:
        folder = self._room().settings.home / "transfers"
        path = folder / f"{hand.transfer_id.hex}.part"
        files = PartFiles(path, offer.total_bytes, own_file_bytes=self._limits.own_file_bytes)
        async with self._room().database.transaction() as session:
            row = (
                await session.execute(
                    select(AnalyzerTransferRow)
                    .where(AnalyzerTransferRow.transfer_id == hand.transfer_id)
                    .with_for_update()
                )
            ).scalar_one()
            is_known = (row.sha256, row.total_bytes) == (offer.sha256, offer.total_bytes)
            known_bytes = row.committed_bytes if is_known else 0
            committed_bytes, digests = await _in_thread(files.open, known_bytes)
            if row.state in ("expected", "open"):
                row.state, row.sha256, row.total_bytes = "open", offer.sha256, offer.total_bytes
                row.committed_bytes = committed_bytes
        return _Part(
            path=path,
            files=files,
            hand=hand,
            total_bytes=offer.total_bytes,
            sha256=offer.sha256,
            committed_bytes=committed_bytes,
            committing_bytes=committed_bytes,
            received_bytes=committed_bytes,
            digests=digests.copy(),
            committed_digests=digests,
        )


def _flush_ahead(part: _Part) -> None:
    """Start to flush unless that is going on, so that a commit has little left to wait for."""
    if part.committing is not None and not part.committing.done():
        return  # it flushes, and must not find that another has only begun to
    if part.flushing is not None:
        if not part.flushing.done():
            return
        _end_flush(part)
    part.flushing = asyncio.create_task(_in_thread(part.files.flush))


async def _end_flush_ahead(part: _Part) -> None:
    """Wait for a flush before files are cut; how it went says nothing of what stays, which is committed."""
    if part.flushing is not None:
        await asyncio.wait({part.flushing})
        with suppress(RefereeError):
            _end_flush(part)


async def _end_commit(part: _Part) -> None:
    """Wait for the commit that goes on beside the arrival of pieces; its error is told here, once.

    It comes to its end whatever becomes of whoever waits: what it records has been written.
    """
    if part.committing is not None:
        await asyncio.wait({part.committing})
        ended, part.committing = part.committing, None
        ended.result()


async def _flush(part: _Part) -> None:
    """Have everything on disk that has arrived."""
    if part.flushing is not None:
        await asyncio.wait({part.flushing})
        _end_flush(part)
    await _in_thread(part.files.flush)


def _end_flush(part: _Part) -> None:
    """Take up how a flush has ended: an error of the disk is told only once, and then to it."""
    ended, part.flushing = part.flushing, None
    if ended is not None:
        ended.result()


async def _in_thread(function: Callable[..., _Result], *args: object) -> _Result:
    """Run a function on the disk in a thread, and explain what the disk says."""
    try:
        return await asyncio.to_thread(function, *args)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                "storage.full",
                "The server's disk is full; nothing of the last piece was kept.",
                "Free some space there; the analyzer keeps the result and tries again.",
            ) from error
        raise Unavailable(
            "analyzer.transfer_not_stored",
            f"The result could not be stored: {os.strerror(error.errno or 0)}.",
            "Check the server's disk; the analyzer keeps the result and tries again.",
        ) from error


def _report_end(hand: Hand) -> TransferReport:
    return TransferReport(
        transfer_id=hand.transfer_id,
        state=hand.state,  # type: ignore[arg-type]  # a final one
        committed_bytes=hand.committed_bytes,
        reason=hand.reason,
    )


def _unknown() -> NotFound:
    return NotFound(
        "analyzer.transfer_unknown",
        "No such result is expected from this analyzer.",
        "It was given to another one, or the server has been set up anew; nothing is to be done.",
    )
