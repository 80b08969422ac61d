"""Verifying as a background job: started by a person, watched while it runs, its report kept.

The report is the job's result; all of its problems stand in an artifact, of
which the result carries the first hundred.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import NotFound
from referee.core.findings import JsonValue
from referee.core.integrity import (
    IntegrityCheck,
    IntegrityProblem,
    IntegrityRepair,
    IntegrityReport,
    RepairStep,
)
from referee.foundation.access import get_project
from referee.foundation.jobs import ACTIVE_STATES, Job, JobContext, JobEngine, list_jobs
from referee.foundation.store import ArtifactStore, Database, record_artifacts
from referee.operations.integrity import repair_everything, verify_everything

__all__ = [
    "VERIFY",
    "Verification",
    "find_active_verification",
    "find_last_verification",
    "read_verification_report",
    "register_verification",
    "start_verification",
]

VERIFY: Final = "operations.verify"
"""Kind of the job."""
VERIFY_CRON: Final = "0 4 * * 0"
"""Sundays at 04:00 UTC."""
_QUEUE: Final = "operations"
_SHOWN_PROBLEMS_COUNT: Final = 100

GetChecks = Callable[[], Sequence[IntegrityCheck]]
GetRepairs = Callable[[], Sequence[RepairStep]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a verification said."""

    job_id: UUID
    finished_at: datetime
    problems_count: int
    problems: tuple[IntegrityProblem, ...]
    """The first hundred."""
    checked_counts: Mapping[str, int]
    report_sha256: str
    """Artifact with all problems."""
    repairs_count: int = 0
    """Things that were mended before, where that was asked for."""
    repairs: tuple[IntegrityRepair, ...] = ()
    """The first hundred."""


def register_verification(
    engine: JobEngine,
    database: Database,
    artifacts: ArtifactStore,
    checks: GetChecks,
    repairs: GetRepairs = tuple,
) -> None:
    """Register the job and its queue. Before the engine starts."""

    async def verify(context: JobContext, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        async def tell(done_count: int, total_count: int, report: IntegrityReport) -> None:
            found = (
                f"{report.problems_count:,} problems so far" if report.problems_count else "no problem so far"
            )
            await context.report_progress(f"Reading everything again, {found}", done_count, total_count)

        async def run() -> dict[str, JsonValue]:
            mended = await repair_everything(repairs()) if arguments.get("is_repairing") else []
            report = await verify_everything(checks(), on_progress=tell)
            return {**await _keep(database, artifacts, report), **_dump_repairs(mended)}

        return await context.step("verify", run)

    engine.register_queue(_QUEUE, concurrency=1, worker_concurrency=1)
    engine.register(VERIFY, verify, queue=_QUEUE)

    async def start_by_the_clock(context: JobContext, _: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        async def start() -> str:
            project_id = (await get_project(database, "default")).project_id
            return str((await start_verification(database, context.engine, project_id)).job_id)

        return {"job_id": await context.step("start", start)}

    engine.register_schedule("verify", VERIFY_CRON, start_by_the_clock)


async def start_verification(
    database: Database, engine: JobEngine, project_id: UUID, *, is_repairing: bool = False
) -> Job:
    """Start a verification, or return the one that waits or runs.

    Args:
        database: The server's own.
        engine: Of jobs.
        project_id: Whose the job is.
        is_repairing: Whether everything that a recorded digest proves is mended before.

    Raises:
        TooManyRequests: Too many jobs wait.
    """
    async with database.transaction() as session:
        active = await find_active_verification(session, project_id)
        if active is not None:
            return active
        return await engine.submit(
            session,
            kind=VERIFY,
            arguments={"is_repairing": is_repairing},
            project_id=project_id,
            key=None,
            title="Repair and verify everything stored" if is_repairing else "Verify everything stored",
        )


async def find_active_verification(session: AsyncSession, project_id: UUID) -> Job | None:
    """Return the verification that waits or runs, or None."""
    page = await list_jobs(session, project_id=project_id, kinds=[VERIFY], states=ACTIVE_STATES, limit=1)
    return page.items[0] if page.items else None


async def find_last_verification(session: AsyncSession, project_id: UUID) -> Verification | None:
    """Return what the latest verification that came to its end said, or None."""
    page = await list_jobs(session, project_id=project_id, kinds=[VERIFY], states=["succeeded"], limit=1)
    if not page.items:
        return None
    job = page.items[0]
    assert job.result is not None and job.finished_at is not None  # noqa: S101 - as every job that succeeded
    return _read_result(job.job_id, job.finished_at, job.result)


async def read_verification_report(
    session: AsyncSession, artifacts: ArtifactStore, project_id: UUID
) -> bytes:
    """Return the whole report of the latest verification as JSON.

    Raises:
        NotFound: There is none.
    """
    last = await find_last_verification(session, project_id)
    if last is None:
        raise NotFound(
            "integrity.no_report",
            "Nothing has been verified yet.",
            "Start a verification, or run `referee verify`.",
        )
    return await artifacts.read_bytes(last.report_sha256)


async def _keep(
    database: Database, artifacts: ArtifactStore, report: IntegrityReport
) -> dict[str, JsonValue]:
    data = json.dumps(report.dump(), ensure_ascii=False).encode()
    artifact = await artifacts.put_bytes(data, "application/json")
    async with database.transaction() as session:
        await record_artifacts(session, [artifact])
    shown = report.dump()
    problems = shown["problems"]
    assert isinstance(problems, list)  # noqa: S101 - as dump() makes it
    return {**shown, "problems": problems[:_SHOWN_PROBLEMS_COUNT], "report_sha256": artifact.sha256}


def _dump_repairs(mended: Sequence[IntegrityRepair]) -> dict[str, JsonValue]:
    shown: list[JsonValue] = [
        {"code": one.code, "subject": one.subject, "message": one.message}
        for one in mended[:_SHOWN_PROBLEMS_COUNT]
    ]
    return {"repairs_count": len(mended), "repairs": shown}


def _read_result(job_id: UUID, finished_at: datetime, result: Mapping[str, JsonValue]) -> Verification:
    problems, checked, count = result["problems"], result["checked_counts"], result["problems_count"]
    mended = result.get("repairs", [])  # results of earlier releases have none
    assert isinstance(mended, list)  # noqa: S101 - ours
    assert isinstance(problems, list) and isinstance(checked, dict) and isinstance(count, int)  # noqa: S101 - ours
    return Verification(
        job_id=job_id,
        finished_at=finished_at,
        problems_count=count,
        problems=tuple(
            IntegrityProblem(str(one["code"]), str(one["subject"]), str(one["message"]))
            for one in problems
            if isinstance(one, dict)
        ),
        checked_counts={noun: int(str(value)) for noun, value in checked.items()},
        report_sha256=str(result["report_sha256"]),
        repairs_count=int(str(result.get("repairs_count", 0))),
        repairs=tuple(
            IntegrityRepair(str(one["code"]), str(one["subject"]), str(one["message"]))
            for one in mended
            if isinstance(one, dict)
        ),
    )
