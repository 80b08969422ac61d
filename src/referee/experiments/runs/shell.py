"""What runs register in the app shell: templates, side bar, "Jump to" and live topics."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from referee.core.errors import RefereeError
from referee.experiments.room import GetRoom
from referee.experiments.runs import queries
from referee.experiments.runs.tables import ExperimentRunRow
from referee.foundation.access import Principal
from referee.foundation.web.filters import parse_filter
from referee.foundation.web.navigation import JumpHit, NavigationEntry
from referee.foundation.web.shell import Shell

__all__ = ["register_runs_in_shell"]


def register_runs_in_shell(shell: Shell, room: GetRoom) -> None:
    """Register the pages of runs."""

    async def count_runs(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await queries.count_runs(session, ExperimentRunRow.project_id == principal.project_id)

    async def find_runs(principal: Principal, text: str, limit: int) -> Sequence[JumpHit]:
        try:
            where = parse_filter(f'"{text}"', queries.RUN_FIELDS)
        except RefereeError:
            return []
        async with room().database.reading() as session:
            page = await queries.list_runs(session, principal.project_id, where=where, limit=limit)
        return [JumpHit(run.name, f"/ui/runs/{quote(run.run_id)}", "run", run.status) for run in page.items]

    shell.register_templates("referee.experiments.runs")
    shell.navigation.register(
        NavigationEntry(
            "Observe", "Experiments", "/ui/runs", icon="flask", order=40, count=count_runs, key="x"
        )
    )
    shell.navigation.register_jump(find_runs)
    shell.live.register_topic("runs")
