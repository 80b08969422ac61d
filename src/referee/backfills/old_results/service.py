"""Verbs of imports: accept one for a job, or carry one out here and now."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.backfills.old_results.importing import ImportCounts, run_import
from referee.backfills.old_results.queries import ResultImport, get_import
from referee.backfills.old_results.tables import ResultImportRow
from referee.backfills.room import BackfillsRoom
from referee.core.errors import Conflict, InvalidInput, NotFound, RefereeError
from referee.core.ids import new_id
from referee.foundation.jobs import JobEngine
from referee.foundation.web.live import publish

__all__ = ["IMPORT_RESULTS", "carry_out_import", "create_import", "import_now", "store_state"]

IMPORT_RESULTS: Final = "results.import"
"""Kind of the job that imports."""
_ENVIRONMENT_PREFIX: Final = "env:REFEREE_IMPORT_"
_MAX_SOURCE_CHARACTERS: Final = 2_000


async def create_import(
    room: BackfillsRoom,
    engine: JobEngine,
    project_id: UUID,
    source: str,
    *,
    is_dry: bool,
    idempotency_key: str | None = None,
) -> ResultImport:
    """Accept an import: look whether there is something, and commit it with its job.

    The same idempotency key with the same request returns the import that exists.

    Args:
        room: Of backfills.
        engine: Of jobs.
        project_id: Whose the analyses become.
        source: Absolute path of a folder, a zip file, a result file or an SQLite file, or
            ``env:REFEREE_IMPORT_…``, a variable of the server with the address of a database.
        is_dry: Whether it only counts.
        idempotency_key: Of the request.

    Raises:
        InvalidInput: The source is not allowed.
        NotFound: There is nothing there.
        Conflict: The key was used for another request.
        TooManyRequests: The queue is full.
    """
    source = source.strip()
    _check_source(room, source)
    digest = hashlib.sha256(json.dumps([source, is_dry]).encode()).hexdigest()
    async with room.database.transaction() as session:
        known = await _find_by_key(session, project_id, idempotency_key, digest)
        if known is not None:
            return known
        import_id = await _insert(session, project_id, source, digest, is_dry=is_dry, key=idempotency_key)
        if import_id is None:  # the same key was committed between our look and our insert
            found = await _find_by_key(session, project_id, idempotency_key, digest)
            assert found is not None  # noqa: S101 - the row that conflicted is committed and never deleted
            return found
        job = await engine.submit(
            session,
            kind=IMPORT_RESULTS,
            arguments={"result_import_id": str(import_id)},
            project_id=project_id,
            key=f"result_import:{import_id}",
            title="Count old results" if is_dry else "Import old results",
        )
        await session.execute(
            update(ResultImportRow)
            .where(ResultImportRow.result_import_id == import_id)
            .values(job_id=job.job_id)
        )
        await _tell(session, project_id, import_id)
        return await get_import(session, project_id, import_id)


async def import_now(
    room: BackfillsRoom, project_id: UUID, source: str, *, is_dry: bool
) -> tuple[ImportCounts, UUID | None]:
    """Import in this process, for the command line. A dry run leaves no trace.

    Returns:
        What it came to, and the id under which its items are kept.

    Raises:
        RefereeError: As ``run_import``.
    """
    if is_dry:
        counts = await run_import(room.analysis, project_id, source, result_import_id=None, is_dry=True)
        return counts, None
    shown = source if source.startswith("env:") or "://" not in source else source.split("://", 1)[0] + "://…"
    digest = hashlib.sha256(json.dumps([shown, is_dry]).encode()).hexdigest()
    async with room.database.transaction() as session:
        import_id = await _insert(session, project_id, shown, digest, is_dry=is_dry, key=None)
    assert import_id is not None  # noqa: S101 - without a key nothing conflicts
    return await carry_out_import(room, project_id, import_id, source, is_dry=is_dry), import_id


async def carry_out_import(
    room: BackfillsRoom, project_id: UUID, import_id: UUID, source: str, *, is_dry: bool
) -> ImportCounts:
    """Carry an accepted import out, and say of it what became of it.

    Raises:
        RefereeError: It could not be carried out; its row says why.
    """
    await store_state(room, project_id, import_id, "running")

    async def write_progress(counts: ImportCounts) -> None:
        async with room.database.transaction() as session:
            await session.execute(
                update(ResultImportRow)
                .where(ResultImportRow.result_import_id == import_id)
                .values(files_count=counts.files_count, app_files_count=counts.app_files_count)
            )
            await _tell(session, project_id, import_id)

    try:
        counts = await run_import(
            room.analysis,
            project_id,
            source,
            result_import_id=import_id,
            is_dry=is_dry,
            on_progress=_Throttled(write_progress),
        )
    except RefereeError as error:
        await store_state(room, project_id, import_id, "failed", f"{error.message} {error.hint}".strip())
        raise
    await write_progress(counts)
    await store_state(room, project_id, import_id, "finished")
    return counts


async def store_state(
    room: BackfillsRoom, project_id: UUID, import_id: UUID, state: str, reason: str = ""
) -> None:
    """Write what became of an import."""
    async with room.database.transaction() as session:
        await session.execute(
            update(ResultImportRow)
            .where(ResultImportRow.result_import_id == import_id)
            .values(
                state=state,
                reason=reason,
                finished_at=None if state in ("queued", "running") else func.clock_timestamp(),
            )
        )
        await _tell(session, project_id, import_id)


class _Throttled:
    """Passes on every twentieth call: progress costs a transaction."""

    def __init__(self, write: Any) -> None:
        self._write = write
        self._calls_count = 0

    async def __call__(self, counts: ImportCounts) -> None:
        """Count a call, and pass it on when it is its turn."""
        self._calls_count += 1
        if self._calls_count % 20 == 1:
            await self._write(counts)


async def _insert(
    session: AsyncSession, project_id: UUID, source: str, digest: str, *, is_dry: bool, key: str | None
) -> UUID | None:
    inserted: UUID | None = await session.scalar(
        insert(ResultImportRow)
        .values(
            result_import_id=new_id(),
            project_id=project_id,
            source=source.encode("utf-8", "backslashreplace").decode(),
            is_dry=is_dry,
            idempotency_key=key,
            request_digest=digest,
        )
        .on_conflict_do_nothing(index_elements=["project_id", "idempotency_key"])
        .returning(ResultImportRow.result_import_id)
    )
    return inserted


async def _find_by_key(
    session: AsyncSession, project_id: UUID, key: str | None, digest: str
) -> ResultImport | None:
    if key is None:
        return None
    row = (
        await session.execute(
            select(ResultImportRow.result_import_id, ResultImportRow.request_digest).where(
                ResultImportRow.project_id == project_id, ResultImportRow.idempotency_key == key
            )
        )
    ).one_or_none()
    if row is None:
        return None
    if row.request_digest != digest:
        raise Conflict(
            "import.key_reused",
            "The idempotency key was used for another import.",
            "Use a new key for a new import.",
        )
    return await get_import(session, project_id, row.result_import_id)


def _check_source(room: BackfillsRoom, source: str) -> None:
    """Allow what a server may look into: paths below the allowed folders, and named variables."""
    if source.startswith(_ENVIRONMENT_PREFIX):
        return
    if (
        not source
        or len(source) > _MAX_SOURCE_CHARACTERS
        or "\0" in source
        or "://" in source
        or source.startswith("env:")
    ):
        raise InvalidInput(
            "import.source_not_allowed",
            "A server imports from a path of its own, or from a database whose address is in one of its variables.",
            f"Give an absolute path, or {_ENVIRONMENT_PREFIX}NAME.",
        )
    path = Path(source)
    if not path.is_absolute():
        raise InvalidInput(
            "import.path_relative", f"The path {source[:200]!r} is not absolute.", "Begin it with /."
        )
    resolved = path.resolve()
    roots = [root.resolve() for root in room.settings.source_roots]
    if roots and not any(resolved.is_relative_to(root) for root in roots):
        raise InvalidInput(
            "import.path_outside",
            "The path lies outside of the folders that this server may read.",
            "Put the results below one of REFEREE_SOURCE_ROOTS.",
        )
    if not resolved.exists():
        raise NotFound(
            "import.no_source",
            f"There is no file or folder {source[:200]!r}.",
            "Name the folder of the results.",
        )


async def _tell(session: AsyncSession, project_id: UUID, import_id: UUID) -> None:
    """Let open pages look again after the commit."""
    await publish(session, f"result_import:{import_id}", {})
    await publish(session, "result_imports", {"result_import_id": str(import_id)}, project_id=project_id)
