"""Verbs of reports: accept one, make its files, read them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import Conflict, InvalidInput, NotFound
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.foundation.jobs import JobEngine
from referee.foundation.store import Artifact, record_artifacts
from referee.foundation.web.live import publish
from referee.pipelines.comparing.cells import CellSet
from referee.pipelines.comparing.collecting import collect_analyses, collect_pipeline
from referee.pipelines.reports.document import Document, dump_document, load_document
from referee.pipelines.reports.html import render_html
from referee.pipelines.reports.queries import get_report
from referee.pipelines.reports.sheets import render_csv, render_xlsx
from referee.pipelines.reports.states import FILES, ReportFile, ReportKind, ReportState
from referee.pipelines.reports.tables import ReportRow
from referee.pipelines.reports.typesetting import render_pdf
from referee.pipelines.reports.views import Report
from referee.pipelines.room import PipelinesRoom

__all__ = [
    "MAKE_REPORT",
    "ReportRequest",
    "create_report",
    "fail_report",
    "make_report",
    "read_document",
    "read_file",
]

MAKE_REPORT: Final = "pipelines.report"
"""Kind of the job that makes a report."""
_MAX_TITLE_CHARS: Final = 200
_MAX_FILE_BYTES: Final = 256 * 1024 * 1024
_WORDS: Final = {
    ReportKind.model_analysis: "Model analysis",
    ReportKind.template_comparison: "Template comparison",
    ReportKind.tool_analysis: "Tool analysis",
    ReportKind.generation_analytics: "Generation analytics",
    ReportKind.comprehensive: "Report",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """A report to make."""

    kind: ReportKind
    pipeline_id: UUID | None = None
    """Its source; else ``analysis_ids``."""
    analysis_ids: Sequence[UUID] = ()
    model: str | None = None
    """For a report on one model."""
    template: str | None = None
    """Only cells of this template, or of this app number; None: all."""
    baseline: str | None = None
    """Model that others are compared with; None: the first."""
    title: str = ""
    idempotency_key: str | None = None

    @property
    def parameters(self) -> dict[str, JsonValue]:
        """What it is about, as it is kept."""
        return {
            "pipeline_id": None if self.pipeline_id is None else str(self.pipeline_id),
            "analysis_ids": [str(one) for one in self.analysis_ids],
            "model": self.model,
            "template": self.template,
            "baseline": self.baseline,
        }


async def create_report(
    room: PipelinesRoom, engine: JobEngine, project_id: UUID, request: ReportRequest
) -> Report:
    """Accept a report: check that it can be made, and commit it with the job that makes it.

    The same idempotency key with the same request returns the report that exists.

    Raises:
        NotFound: There is no such pipeline or analysis.
        InvalidInput: It has no source or two, the title is too long, or a name is not in the source.
        Conflict: The idempotency key was used for another report.
        TooManyRequests: The queue is full.
    """
    if (request.pipeline_id is None) == (not request.analysis_ids):
        raise InvalidInput(
            "report.source_needed",
            "A report is over one pipeline, or over analyses.",
            "Name a pipeline, or analyses of apps of models.",
        )
    title = " ".join(request.title.split())
    if len(title) > _MAX_TITLE_CHARS:
        raise InvalidInput(
            "report.title_too_long",
            f"The title has {len(title):,} characters, and at most {_MAX_TITLE_CHARS} are taken.",
            "Shorten it.",
        )
    from referee.pipelines.reports.building import check_parameters  # noqa: PLC0415 - loads NumPy

    digest = _digest(request, title)
    async with room.database.reading() as session:
        known = await _find_by_key(session, project_id, request, digest)
        if known is not None:
            return known
        cells = await _collect(session, project_id, request)
    check_parameters(
        request.kind, cells, model=request.model, template=request.template, baseline=request.baseline
    )
    async with room.database.transaction() as session:
        report_id = await session.scalar(
            insert(ReportRow)
            .values(
                report_id=new_id(),
                project_id=project_id,
                kind=request.kind.value,
                title=title or _name(request, cells),
                parameters_json=request.parameters,
                idempotency_key=request.idempotency_key,
                request_digest=digest,
            )
            .on_conflict_do_nothing(index_elements=["project_id", "idempotency_key"])
            .returning(ReportRow.report_id)
        )
        if report_id is None:  # the same key was committed between our look and our insert
            known = await _find_by_key(session, project_id, request, digest)
            assert known is not None  # noqa: S101 - a conflicting row is committed and never deleted
            return known
        job = await engine.submit(
            session,
            kind=MAKE_REPORT,
            arguments={"report_id": str(report_id)},
            project_id=project_id,
            key=f"report:{report_id}",
            title="Make a report",
        )
        await session.execute(
            update(ReportRow).where(ReportRow.report_id == report_id).values(job_id=job.job_id)
        )
        await publish(session, "reports", {"report_id": str(report_id)}, project_id=project_id)
        return await get_report(session, project_id, report_id)


async def make_report(room: PipelinesRoom, project_id: UUID, report_id: UUID) -> str:
    """Make every file of a report and complete it. Idempotent: one that has ended stays as it is.

    Raises:
        RefereeError: It cannot be made.
    """
    async with room.database.transaction() as session:
        state = await session.scalar(
            update(ReportRow)
            .where(ReportRow.report_id == report_id, ReportRow.state.in_(("queued", "running")))
            .values(state=ReportState.running.value)
            .returning(ReportRow.state)
        )
        if state is None:
            return (await get_report(session, project_id, report_id)).state.value
        await publish(session, f"report:{report_id}", {"state": "running"})
    from referee.pipelines.reports.building import build_document  # noqa: PLC0415 - loads NumPy

    async with room.database.reading() as session:
        report = await get_report(session, project_id, report_id)
        cells = await _collect(session, project_id, _read_request(report))
    definition = await _read_definition(room, cells)
    document = await asyncio.to_thread(
        build_document, report, cells, definition=definition, made_at=datetime.now(UTC)
    )
    artifacts = await _render(room, document)
    async with room.database.transaction() as session:
        await record_artifacts(session, artifacts.values())
        await session.execute(
            update(ReportRow)
            .where(ReportRow.report_id == report_id, ReportRow.state == ReportState.running.value)
            .values(
                state=ReportState.completed.value,
                finished_at=func.clock_timestamp(),
                **{f"{file.value}_sha256": artifact.sha256 for file, artifact in artifacts.items()},
            )
        )
        await publish(session, f"report:{report_id}", {"state": "completed"})
        await publish(session, "reports", {"report_id": str(report_id)}, project_id=project_id)
    return ReportState.completed.value


async def fail_report(session: AsyncSession, report_id: UUID, reason: str) -> None:
    """End a report that came to nothing. In the caller's transaction."""
    await session.execute(
        update(ReportRow)
        .where(ReportRow.report_id == report_id, ReportRow.state.in_(("queued", "running")))
        .values(
            state=ReportState.failed.value,
            reason=reason or "It could not be made.",
            finished_at=func.clock_timestamp(),
        )
    )
    await publish(session, f"report:{report_id}", {"state": "failed"})


async def read_document(room: PipelinesRoom, report: Report) -> Document:
    """Return the document of a completed report.

    Raises:
        Conflict: It is not completed.
    """
    data = await _read(room, report, ReportFile.data)
    return await asyncio.to_thread(lambda: load_document(json.loads(data)))


async def read_file(
    room: PipelinesRoom, project_id: UUID, report_id: UUID, name: str
) -> tuple[bytes, str, str]:
    """Return the bytes of a file of a report, its media type and a name to save it under.

    Raises:
        NotFound: There is no such report, or no such file.
        Conflict: It is not completed.
    """
    if name not in list(ReportFile):
        raise NotFound(
            "report.file_unknown",
            f"A report has no file {name[:80]!r}.",
            f"Ask for one of: {', '.join(ReportFile)}.",
        )
    file = ReportFile(name)
    async with room.database.reading() as session:
        report = await get_report(session, project_id, report_id)
    media_type, ending = FILES[file]
    return await _read(room, report, file), media_type, f"report-{report_id.hex[-8:]}.{ending}"


async def _read(room: PipelinesRoom, report: Report, file: ReportFile) -> bytes:
    if report.state is not ReportState.completed:
        raise Conflict(
            "report.not_completed",
            f"The report is {report.state.value}.",
            report.reason or "Wait until it is completed.",
        )
    return await room.artifacts.read_bytes(report.files[file], max_bytes=_MAX_FILE_BYTES)


async def _render(room: PipelinesRoom, document: Document) -> dict[ReportFile, Artifact]:
    data = await asyncio.to_thread(
        lambda: json.dumps(dump_document(document), ensure_ascii=False, indent=1, allow_nan=False).encode()
    )
    files = {
        ReportFile.data: data,
        ReportFile.html: await asyncio.to_thread(render_html, document),
        ReportFile.pdf: await render_pdf(document),
        ReportFile.xlsx: await asyncio.to_thread(render_xlsx, document),
        ReportFile.csv: await asyncio.to_thread(render_csv, document),
    }
    return {file: await room.artifacts.put_bytes(content, FILES[file][0]) for file, content in files.items()}


async def _collect(session: AsyncSession, project_id: UUID, request: ReportRequest) -> CellSet:
    if request.pipeline_id is not None:
        return await collect_pipeline(session, project_id, request.pipeline_id)
    return await collect_analyses(session, project_id, request.analysis_ids)


def _read_request(report: Report) -> ReportRequest:
    parameters: dict[str, Any] = dict(report.parameters)
    pipeline_id = parameters.get("pipeline_id")
    return ReportRequest(
        kind=report.kind,
        pipeline_id=None if pipeline_id is None else UUID(pipeline_id),
        analysis_ids=[UUID(one) for one in parameters.get("analysis_ids", [])],
    )


async def _read_definition(room: PipelinesRoom, cells: CellSet) -> str | None:
    if cells.source.definition_sha256 is None:
        return None
    data = await room.artifacts.read_bytes(cells.source.definition_sha256)
    return data.decode(errors="replace")


def _name(request: ReportRequest, cells: CellSet) -> str:
    about = next((name for name in (request.model, request.template) if name), "")
    words = f"{_WORDS[request.kind]}: {cells.source.name}{f', {about}' if about else ''}"
    return words[:_MAX_TITLE_CHARS]


def _digest(request: ReportRequest, title: str) -> str:
    text = json.dumps([request.kind.value, request.parameters, title], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


async def _find_by_key(
    session: AsyncSession, project_id: UUID, request: ReportRequest, digest: str
) -> Report | None:
    if request.idempotency_key is None:
        return None
    found = (
        await session.execute(
            select(ReportRow.report_id, ReportRow.request_digest).where(
                ReportRow.project_id == project_id, ReportRow.idempotency_key == request.idempotency_key
            )
        )
    ).one_or_none()
    if found is None:
        return None
    if found.request_digest != digest:
        raise Conflict(
            "report.key_reused",
            "The idempotency key was used for another report.",
            "Use a new key for a new report.",
        )
    return await get_report(session, project_id, found.report_id)
