"""The composition root: the only module besides the command line that knows all rooms.

``open_application`` puts together what one process needs (database, artifacts,
job engine, rooms) and takes it apart again. ``create_web_app`` hangs the rooms'
pages and APIs into the shell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from referee.analysis import AnalysisRoom, register_workflows, sweep_analyses
from referee.core.findings import JsonValue
from referee.foundation.jobs import JobContext, JobEngine
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database, open_artifacts, open_database
from referee.tools.install import ToolInstaller

__all__ = ["Application", "open_application"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What one process works with."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    engine: JobEngine
    analysis: AnalysisRoom


@asynccontextmanager
async def open_application(
    settings: Settings, *, is_worker: bool, worker_kind: str = "server", drain_s: float = 0.0
) -> AsyncIterator[Application]:
    """Open everything a process needs, and close it in the opposite order.

    Args:
        settings: Of this process.
        is_worker: Whether it also carries out jobs.
        worker_kind: ``server``, ``worker`` or ``command``, for people.
        drain_s: Seconds that running jobs get to end before they are handed back.

    Raises:
        RefereeError: The database, the disk or the settings do not allow it.
    """
    settings.ensure_home()
    database = await open_database(settings)
    try:
        application = _compose(settings, database)
        await application.engine.start(is_worker=is_worker, worker_kind=worker_kind)
        try:
            yield application
        finally:
            await application.engine.stop(drain_s=drain_s)
    finally:
        await database.close()


def _compose(settings: Settings, database: Database) -> Application:
    artifacts = open_artifacts(settings)
    engine = JobEngine(settings, database)
    installer = ToolInstaller(
        settings.tools_path, advisories_dir=settings.advisories_dir, install_timeout_s=settings.install_timeout_s
    )
    analysis = AnalysisRoom(settings=settings, database=database, artifacts=artifacts, install_kit=installer)
    register_workflows(analysis, engine)

    async def sweep(_: JobContext, __: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"ended_count": await sweep_analyses(analysis)}

    engine.register_schedule("sweep_analyses", "* * * * *", sweep)
    return Application(
        settings=settings, database=database, artifacts=artifacts, engine=engine, analysis=analysis
    )


