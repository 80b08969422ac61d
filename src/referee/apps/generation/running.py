"""Carrying a generation out: backend, routes, frontend, dependencies, files; and how it ends.

It may be carried out again after a crash: what the model said is kept, the folder is replaced
as a whole, and a row that has ended stays as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.catalogue import Model, get_model
from referee.apps.generation.contract import (
    ENDED_STATES,
    SERVER_FAILURES,
    FileSet,
    Generation,
    GenerationFailed,
    GenerationFailure,
    GenerationState,
    Notice,
    view_generation,
)
from referee.apps.generation.conversation import write_part
from referee.apps.generation.dependencies import complete_dependencies, find_package_uses, judge_packages
from referee.apps.generation.placing import pack_files, place_files
from referee.apps.generation.prompts import render_backend_prompt, render_frontend_prompt
from referee.apps.generation.recording import LIVE_TOPIC, CallRecorder
from referee.apps.generation.records import build_record, build_trace
from referee.apps.generation.scaffold import add_scaffold, find_missing_endpoints, scan_routes
from referee.apps.generation.syntax import SyntaxReport, check_syntax
from referee.apps.known_templates import load_template
from referee.apps.room import AppsRoom
from referee.apps.service import App, get_app
from referee.apps.tables import AppRow, GenerationRow, TemplateRow
from referee.core.errors import NotFound, Unavailable
from referee.core.templates import Template
from referee.foundation.access import ProjectRow
from referee.foundation.settings import Settings
from referee.foundation.store import Artifact, record_artifacts
from referee.foundation.web.live import publish
from referee.tools.routes import Route

__all__ = ["check_generator", "find_server_trouble", "run_generation"]

DEFAULT_PROJECT_SLUG: Final = "default"
_MAX_PAUSES: Final = 30
"""Pauses for a server that keeps failing before a generation gives up; half an hour with the default settings."""
_MAX_REASON_CHARACTERS: Final = 1_000
_MAX_NOTICES: Final = 500


@dataclass(slots=True, kw_only=True)
class _Work:
    """One generation on its way."""

    generation: Generation
    app: App
    model: Model
    template: Template
    template_sha256: str
    root: Path
    """Folder of the model's apps."""
    notices: list[Notice] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


async def run_generation(
    room: AppsRoom, generation_id: UUID, *, wait: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Generation:
    """Have the app written, and return the generation as it ended. How it fails is told in it, not raised.

    Args:
        room: Of apps.
        generation_id: One that nobody else carries out now.
        wait: Called with the seconds to wait while the server keeps failing.

    Raises:
        NotFound: There is no such generation.
        StorageFull: The disk took no more; it can be carried out again.
    """
    work = await _begin(room, generation_id)
    if isinstance(work, Generation):
        return work
    recorder: CallRecorder | None = None
    try:
        if room.generator is None:
            raise GenerationFailed(
                GenerationFailure.not_configured,
                "No server whose models write apps is configured. Set REFEREE_GENERATOR_URL for this worker.",
            )
        await _wait_for_server(room, work, wait)
        client = room.generator.with_model(work.model.model_name)
        recorder = CallRecorder(room, client, work.model, work.generation)
        await _write(room, work, recorder)
        await _set_stage(room, work, "files")
        archive = await room.artifacts.put_bytes(pack_files(work.files), "application/x-tar")
        folder = work.root / f"app{work.app.number}"
        try:
            await asyncio.to_thread(place_files, folder, work.files, generation_id)
        except OSError as error:
            raise GenerationFailed(
                GenerationFailure.storage,
                f"The files cannot be written to the app's folder: {error.strerror or error}.",
            ) from error
    except GenerationFailed as error:
        return await _finish(room, work, recorder, failed=error)
    return await _finish(room, work, recorder, archive=archive, folder=folder)


async def check_generator(room: AppsRoom, session: AsyncSession) -> None:
    """Refuse to ask for apps that nobody could write now.

    Raises:
        Unavailable: No server is configured, or it keeps failing.
    """
    if room.settings.generator_url is None:
        raise Unavailable(
            "generation.not_configured",
            "No server whose models write apps is configured.",
            "Set REFEREE_GENERATOR_URL to an OpenAI-compatible API.",
        )
    pause_s = await find_server_trouble(session, room.settings)
    if pause_s is not None:
        raise Unavailable(
            "generation.server_failing",
            f"The generator's server failed {room.settings.breaker_failures_count} times in a row, "
            f"and is left alone for {pause_s:.0f} more seconds.",
            "Try again later, and check REFEREE_GENERATOR_URL.",
        )


async def find_server_trouble(session: AsyncSession, settings: Settings) -> float | None:
    """Return for how many more seconds the server is left alone; None when it is not.

    It is when the last ``breaker_failures_count`` generations that asked it all failed because of it, until
    ``breaker_pause_s`` after the last of them. What comes then is the trial.
    """
    rows = (
        await session.execute(
            select(
                GenerationRow.failure,
                func.extract("epoch", func.clock_timestamp() - GenerationRow.finished_at),
            )
            .where(
                GenerationRow.finished_at.is_not(None),
                GenerationRow.calls_count > 0,
                GenerationRow.state != GenerationState.cancelled.value,
            )
            .order_by(GenerationRow.finished_at.desc())
            .limit(settings.breaker_failures_count)
        )
    ).all()
    if len(rows) < settings.breaker_failures_count or any(row[0] not in SERVER_FAILURES for row in rows):
        return None
    pause_s = settings.breaker_pause_s - float(rows[0][1])
    return pause_s if pause_s > 0 else None


async def _begin(room: AppsRoom, generation_id: UUID) -> _Work | Generation:
    """Return what is to be done, or the generation when it has ended already."""
    async with room.database.transaction() as session:
        row = await session.scalar(
            select(GenerationRow).where(GenerationRow.generation_id == generation_id).with_for_update()
        )
        if row is None:
            raise NotFound(
                "generation.not_found",
                "There is no such generation.",
                "List the apps with `referee app list`.",
            )
        if row.state in ENDED_STATES:
            return view_generation(row)
        row.state, row.held_usd = GenerationState.running.value, 0.0
        if row.started_at is None:
            row.started_at = await session.scalar(select(func.clock_timestamp()))
        await session.flush()
        generation = view_generation(row)
        app = await get_app(session, row.project_id, row.app_id)
        model = await get_model(session, row.project_id, row.model)
        template = await load_template(session, room.artifacts, row.project_id, row.template_id)
        template_sha256 = await session.scalar(
            select(TemplateRow.sha256).where(TemplateRow.template_id == row.template_id)
        )
        slug = await session.scalar(select(ProjectRow.slug).where(ProjectRow.project_id == row.project_id))
        await _publish(session, generation)
    base = room.settings.generated_dir
    if slug != DEFAULT_PROJECT_SLUG:
        base = base / "projects" / str(slug) / "generated"
    return _Work(
        generation=generation,
        app=app,
        model=model,
        template=template,
        template_sha256=template_sha256 or "",
        root=base / "apps" / app.model,
    )


async def _wait_for_server(room: AppsRoom, work: _Work, wait: Callable[[float], Awaitable[None]]) -> None:
    for _ in range(_MAX_PAUSES):
        async with room.database.reading() as session:
            pause_s = await find_server_trouble(session, room.settings)
        if pause_s is None:
            return
        await _set_stage(room, work, "waiting for the server")
        await wait(min(pause_s + 0.1, 60.0))
    raise GenerationFailed(
        GenerationFailure.unreachable, "The generator's server kept failing, so it was not asked."
    )


async def _write(room: AppsRoom, work: _Work, recorder: CallRecorder) -> None:
    """Let the model write both halves, and complete them."""
    template = work.template

    async def check(files: FileSet) -> SyntaxReport:
        return await check_syntax(room, files)

    has_backend = (
        bool(template.backend_requirements or template.endpoints) or not template.frontend_requirements
    )
    has_frontend = bool(template.frontend_requirements) or not template.backend_requirements
    routes: tuple[Route, ...] = ()
    if has_backend:
        await _set_stage(room, work, "backend")
        written = await write_part(recorder, "backend", render_backend_prompt(template), check)
        work.notices += written.notices
        work.files.update(written.files)
        routes = await asyncio.to_thread(scan_routes, written.files)
        work.notices += find_missing_endpoints(template, routes)
    if has_frontend:
        await _set_stage(room, work, "frontend")
        written = await write_part(recorder, "frontend", render_frontend_prompt(template, routes), check)
        work.notices += written.notices
        work.files.update(written.files)
    await _set_stage(room, work, "dependencies")
    work.files, added = add_scaffold(work.files, template)
    uses = find_package_uses(work.files)
    verdicts, told = await judge_packages(uses, room.settings)
    work.files, completed = complete_dependencies(work.files, uses, verdicts)
    report = await check(work.files)
    work.notices += [
        *added,
        *told,
        *completed,
        *(
            Notice("unchecked_syntax", f"Nothing here can parse {path}.", subject=path)
            for path in report.unchecked
        ),
    ]


async def _finish(
    room: AppsRoom,
    work: _Work,
    recorder: CallRecorder | None,
    *,
    failed: GenerationFailed | None = None,
    archive: Artifact | None = None,
    folder: Path | None = None,
) -> Generation:
    """Keep the record and end the row, unless somebody has ended it."""
    generation = work.generation
    calls = recorder.calls if recorder is not None else []
    state = GenerationState.succeeded if failed is None else GenerationState.failed
    reason = "" if failed is None else _shorten(failed.reason)
    notices = _bound(work.notices)
    name = f"{work.app.model}/app{work.app.number}"
    trace = await room.artifacts.put_bytes(build_trace(generation, name, calls), "application/json")
    record = await room.artifacts.put_bytes(
        build_record(
            generation,
            work.model,
            calls,
            notices,
            work.files if failed is None else {},
            template=(work.template.slug, work.template_sha256),
            outcome={
                "state": state.value,
                "failure": None if failed is None else failed.failure.value,
                "reason": reason,
            },
            trace_sha256=trace.sha256,
        ),
        "application/json",
    )
    kept = [trace, record, *([archive] if archive is not None else [])]
    async with room.database.transaction() as session:
        await record_artifacts(session, kept)
        values: dict[str, Any] = {
            "state": state.value,
            "failure": None if failed is None else failed.failure.value,
            "reason": reason,
            "findings_json": [notice.to_json() for notice in notices],
            "files_count": None if failed is not None else len(work.files),
            "source_sha256": None if archive is None else archive.sha256,
            "record_sha256": record.sha256,
            "held_usd": 0.0,
            "finished_at": text("clock_timestamp()"),
        }
        if failed is None:
            values["stage"] = "written"
        await session.execute(
            update(GenerationRow)
            .where(
                GenerationRow.generation_id == generation.generation_id,
                GenerationRow.state == GenerationState.running.value,
            )
            .values(**values)
        )
        if folder is not None:
            await session.execute(
                update(AppRow)
                .where(AppRow.app_id == generation.app_id)
                .values(
                    path=str(folder),
                    template=work.template.slug,
                    placeholder=None,  # an answer with gaps in it has failed before
                    placeholder_reason="",
                )
            )
        await _publish(session, generation)
        row = await session.get_one(GenerationRow, generation.generation_id, populate_existing=True)
        return view_generation(row)


async def _set_stage(room: AppsRoom, work: _Work, stage: str) -> None:
    work.generation = replace(work.generation, stage=stage)
    async with room.database.transaction() as session:
        await session.execute(
            update(GenerationRow)
            .where(GenerationRow.generation_id == work.generation.generation_id)
            .values(stage=stage)
        )
        await _publish(session, work.generation)


async def _publish(session: AsyncSession, generation: Generation) -> None:
    await publish(
        session,
        LIVE_TOPIC,
        {"generation_id": str(generation.generation_id)},
        project_id=generation.project_id,
    )


def _bound(notices: Sequence[Notice]) -> list[Notice]:
    """Return each notice once, with texts that the database keeps, and not too many."""
    kept = list(dict.fromkeys(notices))
    if len(kept) > _MAX_NOTICES:
        more = Notice("refused_file", f"{len(kept) - _MAX_NOTICES:,} more notices are not kept.")
        kept = [*kept[:_MAX_NOTICES], more]
    return [
        Notice(
            notice.kind,
            _shorten(notice.message),
            subject=_shorten(notice.subject),
            path=_shorten(notice.path),
        )
        for notice in kept
    ]


def _shorten(said: str) -> str:
    """Return a text with parts of a model's words as PostgreSQL and people can take it."""
    plain = said.encode("utf-8", errors="replace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in plain)[:_MAX_REASON_CHARACTERS]
