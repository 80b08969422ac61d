"""What this room registers in the app shell: templates, side bar and live topics."""

from __future__ import annotations

from uuid import UUID

from referee.backfills import queries
from referee.backfills.api import GetRoom
from referee.backfills.old_results import queries as import_queries
from referee.backfills.old_results.tables import ResultImportRow
from referee.backfills.tables import BackfillRunRow
from referee.core.errors import RefereeError
from referee.foundation.access import Principal
from referee.foundation.web.navigation import NavigationEntry
from referee.foundation.web.shell import Shell

__all__ = ["register_in_shell"]


def register_in_shell(shell: Shell, room: GetRoom) -> None:
    """Register the room's pages and live topics."""

    async def count_runs(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await queries.count_runs(session, BackfillRunRow.project_id == principal.project_id)

    async def may_hear(principal: Principal, rest: str) -> bool:
        async with room().database.reading() as session:
            try:
                await queries.get_run(session, principal.project_id, UUID(rest))
            except (RefereeError, ValueError):
                return False
        return True

    async def count_imports(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await import_queries.count_imports(
                session, ResultImportRow.project_id == principal.project_id
            )

    async def may_hear_import(principal: Principal, rest: str) -> bool:
        async with room().database.reading() as session:
            try:
                await import_queries.get_import(session, principal.project_id, UUID(rest))
            except (RefereeError, ValueError):
                return False
        return True

    shell.register_templates("referee.backfills")
    shell.navigation.register(
        NavigationEntry("Operate", "Backfills", "/ui/backfills", icon="job", order=25, count=count_runs),
        NavigationEntry(
            "Operate", "Result imports", "/ui/result-imports", icon="download", order=26, count=count_imports
        ),
    )
    shell.live.register_topic("result_imports")
    shell.live.register_topic("result_import", may_hear_import)
    shell.live.register_topic("backfills")
    shell.live.register_topic("backfill", may_hear)
