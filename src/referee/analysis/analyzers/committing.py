"""Make a result that has arrived whole the result of its tool run: once, together with its transfer's end.

The bytes are an analyzer's word. What they mean is found out here, as for a tool that ran on this
machine: the plan is made again from the server's own copy of the source, the output goes through
the tool's own parser, findings and outcome come out of that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import BinaryIO, Literal
from uuid import UUID

import structlog
from sqlalchemy import exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.analyzers.bundles import BundleInvalid, FindFile, read_bundle
from referee.analysis.analyzers.parts import Digests, PartFiles
from referee.analysis.analyzers.protocol import TransferReport
from referee.analysis.analyzers.tables import AnalyzerRequestRow, AnalyzerTransferRow
from referee.analysis.breakers import record_service_result
from referee.analysis.metrics import TOOL_RUNS
from referee.analysis.recording import record_tool_run
from referee.analysis.results import ToolRunResult
from referee.analysis.running import AnalysisRoom, ToolOutput, Workpiece, load_workpiece
from referee.analysis.settling import judge_output
from referee.analysis.tables import ToolRunRow
from referee.core.errors import IntegrityError, InvalidInput, NotFound, RefereeError
from referee.core.vocabulary import Outcome
from referee.foundation.web.live import publish

__all__ = ["LIVE_TOPIC", "Hand", "commit_bundle", "complete_request", "refuse_result"]

LIVE_TOPIC = "analyzers"
"""What the page of analyzers listens to."""

log = structlog.get_logger("referee.analyzers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """Whose result a transfer brings, and to which tool run."""

    transfer_id: UUID
    request_id: UUID
    project_id: UUID
    tool_run_id: UUID
    attempt: int
    analyzer_id: UUID
    state: str
    reason: str
    committed_bytes: int


async def commit_bundle(room: AnalysisRoom, hand: Hand, files: PartFiles, digests: Digests) -> TransferReport:
    """Read a result out of its files, which are on disk, and record it.

    Raises:
        Unavailable: The database or the disk does not allow it now; nothing was changed.
    """
    workpiece = await _load(room, hand)
    if workpiece is None:
        return await _end_transfer(room, hand, "superseded", "The tool run had a result already.")
    try:
        with files.open_whole() as file:
            output = await asyncio.to_thread(
                _read, room, workpiece, file, lambda offset, length: files.find_file(offset, length, digests)
            )
            result = await judge_output(room, workpiece, output)
        return await _record(room, hand, workpiece, result, "committed")
    except (BundleInvalid, InvalidInput, NotFound, IntegrityError) as error:
        return await refuse_result(room, hand, str(error))
    except (RefereeError, OSError, MemoryError):
        raise  # another try may succeed
    except Exception as error:  # what an analyzer sends must not keep it sending
        log.exception("result.unreadable", tool=workpiece.key.tool)
        return await refuse_result(room, hand, f"Reading it failed with {type(error).__name__}.")


async def refuse_result(room: AnalysisRoom, hand: Hand, why: str) -> TransferReport:
    """Fail a tool run whose result cannot be taken, and say why."""
    workpiece = await _load(room, hand)
    reason = f"What the analyzer handed over was refused: {why}"
    if workpiece is None:
        return await _end_transfer(room, hand, "superseded", "The tool run had a result already.")
    result = await judge_output(room, workpiece, ToolOutput(outcome=Outcome.failed, reason=reason))
    return await _record(room, hand, workpiece, result, "refused")


async def complete_request(session: AsyncSession, request_id: UUID) -> bool:
    """End a request as completed when each of its tool runs has an outcome. Returns whether it was ended now."""
    unfinished = exists().where(
        ToolRunRow.analysis_id == AnalyzerRequestRow.analysis_id,
        ToolRunRow.service == AnalyzerRequestRow.service,
        ToolRunRow.outcome.is_(None),
    )
    ended = await session.scalar(
        update(AnalyzerRequestRow)
        .where(
            AnalyzerRequestRow.request_id == request_id,
            AnalyzerRequestRow.state.in_(("waiting", "assigned")),
            ~unfinished,
        )
        .values(state="completed", stage="", finished_at=func.clock_timestamp())
        .returning(AnalyzerRequestRow.request_id)
        .execution_options(synchronize_session=False)
    )
    return ended is not None


async def _load(room: AnalysisRoom, hand: Hand) -> Workpiece | None:
    async with room.database.reading() as session:
        return await load_workpiece(room, session, hand.tool_run_id, attempt=hand.attempt)


def _read(room: AnalysisRoom, workpiece: Workpiece, file: BinaryIO, find_file: FindFile) -> ToolOutput:
    """Return the output in an open file, with a plan of our own. Blocking."""
    description = workpiece.tool.describe()
    plan = workpiece.tool.plan(workpiece.snapshot, description.resolve_parameters(workpiece.parameters))
    return read_bundle(
        file,
        workpiece.key.tool_run_id,
        plan,
        stream_max_bytes=room.settings.raw_output_max_bytes,
        find_file=find_file,
    )


async def _record(
    room: AnalysisRoom,
    hand: Hand,
    workpiece: Workpiece,
    result: ToolRunResult,
    state: Literal["committed", "refused"],
) -> TransferReport:
    key = workpiece.key
    async with room.database.transaction() as session:
        # The request first: whoever gives it out locks it before its tool runs.
        await session.execute(
            select(AnalyzerRequestRow.request_id)
            .where(AnalyzerRequestRow.request_id == hand.request_id)
            .with_for_update()
        )
        is_accepted = await record_tool_run(session, key, result)
        report = await _close(
            session,
            hand,
            state if is_accepted else "superseded",
            result.reason if state == "refused" else "",
        )
        await complete_request(session, hand.request_id)
        await publish(session, f"analysis:{key.analysis_id}", {"tool": key.tool})
        await publish(session, LIVE_TOPIC, project_id=hand.project_id)
    if is_accepted:
        TOOL_RUNS.labels(key.tool, result.outcome.value).inc()
        await record_service_result(room, workpiece.tool.describe().service, result.outcome.value)
    log.info(
        "tool_run.finished",
        tool=key.tool,
        outcome=result.outcome.value,
        findings_count=result.findings_count,
        analyzer_id=str(hand.analyzer_id),
        is_accepted=is_accepted,
    )
    return report


async def _end_transfer(
    room: AnalysisRoom, hand: Hand, state: Literal["superseded"], reason: str
) -> TransferReport:
    async with room.database.transaction() as session:
        report = await _close(session, hand, state, reason)
        await complete_request(session, hand.request_id)
        return report


async def _close(
    session: AsyncSession, hand: Hand, state: Literal["committed", "superseded", "refused"], reason: str
) -> TransferReport:
    await session.execute(
        update(AnalyzerTransferRow)
        .where(AnalyzerTransferRow.transfer_id == hand.transfer_id)
        .values(state=state, reason=reason[:1_000], finished_at=func.clock_timestamp())
    )
    return TransferReport(transfer_id=hand.transfer_id, state=state, reason=reason[:1_000])
