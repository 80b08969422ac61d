"""One import: every old analysis of a source through the door of the analysis room, everything else set aside by name.

Reading goes on in a thread of its own while a few analyses are written at once. Each analysis and each thing set
aside is one committed item; an import that was cut off is started again and passes over what is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from referee.analysis import AnalysisRoom, find_imported_analysis, has_analysis, import_analysis
from referee.apps.tables import AppRow
from referee.backfills.old_results.assembling import AssembledTask, assemble
from referee.backfills.old_results.databases import read_task_rows
from referee.backfills.old_results.sources import Problem, open_source
from referee.backfills.old_results.spellings import Spellings
from referee.backfills.old_results.tables import ResultImportItemRow
from referee.backfills.targets.opening import open_target
from referee.core.errors import InvalidInput, RefereeError
from referee.foundation.store import record_artifacts

__all__ = ["ImportCounts", "run_import"]

_AT_ONCE: Final = 3
"""Analyses that are written at the same time: one waits for the disk while another is rendered."""
_ADDRESS: Final = re.compile(r"(postgres(?:ql)?(?:\+\w+)?|sqlite)://|env:", re.IGNORECASE)
_OWN_TASK: Final = re.compile(r"task_([0-9a-f]{32})")
_SQLITE_MAGIC: Final = b"SQLite format 3\0"

log = structlog.get_logger("referee.backfills")


@dataclass(slots=True)
class ImportCounts:
    """What an import came to, of this run alone."""

    files_count: int = 0
    app_files_count: int = 0
    imported_count: int = 0
    known_count: int = 0
    quarantined_count: int = 0
    tools_count: int = 0
    findings_count: int = 0
    claimed_count: int = 0
    """Findings that the old results claim, where they claim any."""
    formats: dict[str, int] = field(default_factory=dict)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    """The first thousand: place and reason."""


@dataclass(slots=True)
class _Source:
    files_count: int = 0
    app_files_count: int = 0


async def run_import(
    room: AnalysisRoom,
    project_id: UUID,
    source: str,
    *,
    result_import_id: UUID | None,
    is_dry: bool,
    on_progress: Callable[[ImportCounts], Awaitable[None]] | None = None,
) -> ImportCounts:
    """Import everything that a source has, or count what would be.

    Args:
        room: Of analyses, which writes them.
        project_id: Whose they become.
        source: Folder, zip file, result file, SQLite file or address of a database.
        result_import_id: Under which the items are kept; None: they are not kept.
        is_dry: Whether nothing of the source is written.
        on_progress: Called after each item.

    Raises:
        NotFound: There is nothing there.
        InvalidInput: It cannot be read, or breaks a rule for archives.
        Conflict: A database without a table of tasks.
        StorageFull: The disk took no more; what came before is kept.
    """
    spellings = Spellings(await _list_models(room, project_id))
    counts, found = ImportCounts(), _Source()
    items = _read_items(source, spellings, found)
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()
    # One thread: a connection to SQLite belongs to the thread that opened it.
    with ThreadPoolExecutor(1, thread_name_prefix="old-results") as thread:
        try:
            while (item := await loop.run_in_executor(thread, next, items, None)) is not None:
                work = _take(room, project_id, result_import_id, item, counts, is_dry=is_dry)
                running.add(asyncio.create_task(work))
                while len(running) >= _AT_ONCE:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for one in done:
                        one.result()
                counts.files_count, counts.app_files_count = found.files_count, found.app_files_count
                if on_progress is not None:
                    await on_progress(counts)
            await asyncio.gather(*running)
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await loop.run_in_executor(thread, items.close)
    counts.files_count, counts.app_files_count = found.files_count, found.app_files_count
    if on_progress is not None:
        await on_progress(counts)
    log.info(
        "result_import.read", imported_count=counts.imported_count, quarantined_count=counts.quarantined_count
    )
    return counts


async def _list_models(room: AnalysisRoom, project_id: UUID) -> list[str]:
    async with room.database.reading() as session:
        found = await session.scalars(
            select(AppRow.model).where(AppRow.project_id == project_id).distinct().order_by(AppRow.model)
        )
        return list(found)


def _read_items(source: str, spellings: Spellings, found: _Source) -> Generator[AssembledTask | Problem]:
    """Yield the old analyses of a source and what was set aside; a generator in its thread."""
    if _is_database(source):
        with open_target(source, is_read_only=True) as target:
            for task in read_task_rows(target):
                if isinstance(task, Problem):
                    yield task
                else:
                    found.files_count += len(task.files)
                    yield from assemble(task, spellings)
        return
    opened = open_source(Path(source))
    try:
        found.files_count, found.app_files_count = opened.files_count, opened.app_files_count
        yield from opened.problems
        for root in sorted(opened.groups):
            yield from assemble(opened.groups[root], spellings)
    finally:
        opened.close()


def _is_database(source: str) -> bool:
    if _ADDRESS.match(source):
        return True
    try:
        path = Path(source)
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except (OSError, ValueError):
        return False


async def _take(
    room: AnalysisRoom,
    project_id: UUID,
    result_import_id: UUID | None,
    item: AssembledTask | Problem,
    counts: ImportCounts,
    *,
    is_dry: bool,
) -> None:
    if isinstance(item, Problem):
        await _set_aside(room, result_import_id, item, counts, is_dry=is_dry)
        return
    try:
        analysis_id, is_new = await _write(room, project_id, item, is_dry=is_dry)
    except InvalidInput as error:  # a model or number that cannot name an app
        read = item.analysis.originals[0].read if item.analysis.originals else None
        await _set_aside(
            room, result_import_id, Problem(item.place, error.message, read), counts, is_dry=is_dry
        )
        return
    state = "imported" if is_new else "known"
    counts.imported_count += is_new
    counts.known_count += not is_new
    counts.tools_count += len(item.analysis.runs)
    counts.findings_count += item.findings_count
    counts.claimed_count += item.claimed_count or 0
    counts.formats[item.format] = counts.formats.get(item.format, 0) + 1
    services = list(dict.fromkeys(run.service.value for run in item.analysis.runs))
    await _keep(
        room,
        result_import_id,
        f"{item.place}\0{item.task_id}",
        state=state,
        place=item.place,
        format=item.format,
        task_id=item.task_id,
        name=item.analysis.name,
        services_json=services,
        tools_count=len(item.analysis.runs),
        findings_count=item.findings_count,
        claimed_count=item.claimed_count,
        analysis_id=analysis_id,
    )


async def _write(
    room: AnalysisRoom, project_id: UUID, item: AssembledTask, *, is_dry: bool
) -> tuple[UUID | None, bool]:
    own = _OWN_TASK.fullmatch(item.task_id)
    if own is not None:  # what this server wrote itself is not taken in beside its own analysis
        async with room.database.reading() as session:
            if await has_analysis(session, project_id, UUID(own[1])):
                return UUID(own[1]), False
    if not is_dry:
        return await import_analysis(room, project_id, item.analysis)
    async with room.database.reading() as session:
        known = await find_imported_analysis(session, project_id, item.analysis.key)
    return (None, True) if known is None else (known[0], False)


async def _set_aside(
    room: AnalysisRoom, result_import_id: UUID | None, problem: Problem, counts: ImportCounts, *, is_dry: bool
) -> None:
    counts.quarantined_count += 1
    if len(counts.quarantined) < 1_000:
        counts.quarantined.append((problem.place, problem.reason))
    sha256 = None
    if problem.data is not None and not is_dry and result_import_id is not None:
        try:
            data = await asyncio.to_thread(problem.data)
        except (OSError, RefereeError):
            data = b""
        if data:
            artifact = await room.artifacts.put_bytes(data, "application/octet-stream")
            async with room.database.transaction() as session:
                await record_artifacts(session, [artifact])
            sha256 = artifact.sha256
    await _keep(
        room,
        result_import_id,
        problem.place,
        state="quarantined",
        place=problem.place or "the source",
        reason=problem.reason.replace("\0", "\ufffd"),
        services_json=[],
        sha256=sha256,
    )


async def _keep(room: AnalysisRoom, result_import_id: UUID | None, key: str, **values: object) -> None:
    """Write an item, unless an earlier run of the same import has."""
    if result_import_id is None:
        return
    digest = hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()
    async with room.database.transaction() as session:
        await session.execute(
            insert(ResultImportItemRow)
            .values(result_import_id=result_import_id, item_key=digest, **values)
            .on_conflict_do_nothing(index_elements=["result_import_id", "item_key"])
        )
