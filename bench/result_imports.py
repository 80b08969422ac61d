"""Old results of 1,000 tasks, each in a folder of its own, imported by the command's own function."""

from __future__ import annotations

import asyncio
import time

from bench.measuring import Measured, temporary_folder, tools_dir
from tests.backfills.old_worlds import write_report_folder

from referee.app import open_application
from referee.backfills.old_results.importing import ImportCounts
from referee.backfills.old_results.service import import_now
from referee.foundation.access import get_project
from referee.foundation.settings import load_settings

__all__ = ["measure_result_imports"]

FOLDERS_COUNT = 1_000


def measure_result_imports() -> list[Measured]:
    """Import so many folders, then once more, when all are known."""
    with temporary_folder() as folder:
        old = folder / "old"
        write_report_folder(old, FOLDERS_COUNT)
        settings = load_settings(
            home=folder / "home", tools_dir=tools_dir(), log_level="error", database_idle_stop_s=2.0
        )

        async def run() -> list[tuple[float, ImportCounts]]:
            timed = []
            async with open_application(settings, is_worker=False) as application:
                project_id = (await get_project(application.database, "default")).project_id
                for _ in range(2):
                    began_s = time.monotonic()
                    counts, _ = await import_now(application.backfills, project_id, str(old), is_dry=False)
                    timed.append((time.monotonic() - began_s, counts))
            return timed

        (first_s, first), (again_s, again) = asyncio.run(run())
    if (first.imported_count, again.known_count) != (FOLDERS_COUNT, FOLDERS_COUNT):
        raise AssertionError(f"{first.imported_count} were imported, and {again.known_count} known then")
    return [
        Measured(
            name=f"{FOLDERS_COUNT:,} result folders imported: {first.tools_count:,} tool runs, "
            f"{first.findings_count:,} findings",
            value=first_s,
            unit="s",
            goal=60,
        ),
        Measured(name="… when all are known", value=again_s, unit="s"),
    ]
