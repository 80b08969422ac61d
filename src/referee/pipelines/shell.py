"""What this room registers in the app shell: templates, side bar, "Jump to" and live topics."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from referee.core.errors import RefereeError
from referee.foundation.access import Principal
from referee.foundation.web.filters import parse_filter
from referee.foundation.web.navigation import JumpHit, NavigationEntry
from referee.foundation.web.shell import Shell
from referee.pipelines import queries
from referee.pipelines.api import GetRoom
from referee.pipelines.reports.queries import count_reports, get_report
from referee.pipelines.reports.tables import ReportRow
from referee.pipelines.tables import PipelineRow

__all__ = ["register_in_shell"]


def register_in_shell(shell: Shell, room: GetRoom) -> None:
    """Register the room's pages and live topics."""

    async def count_pipelines(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await queries.count_pipelines(session, PipelineRow.project_id == principal.project_id)

    async def find_pipelines(principal: Principal, text: str, limit: int) -> Sequence[JumpHit]:
        try:
            where = parse_filter(f'"{text}"', queries.PIPELINE_FIELDS)
        except RefereeError:
            return []
        async with room().database.reading() as session:
            page = await queries.list_pipelines(session, principal.project_id, where=where, limit=limit)
        return [
            JumpHit(
                pipeline.name,
                f"/ui/pipelines/{pipeline.pipeline_id}",
                "pipeline",
                pipeline.state.value.replace("_", " "),
            )
            for pipeline in page.items
        ]

    async def may_hear(principal: Principal, rest: str) -> bool:
        async with room().database.reading() as session:
            try:
                await queries.get_pipeline(session, principal.project_id, UUID(rest))
            except (RefereeError, ValueError):
                return False
        return True

    async def count_kept_reports(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await count_reports(session, ReportRow.project_id == principal.project_id)

    async def may_hear_report(principal: Principal, rest: str) -> bool:
        async with room().database.reading() as session:
            try:
                await get_report(session, principal.project_id, UUID(rest))
            except (RefereeError, ValueError):
                return False
        return True

    shell.register_templates("referee.pipelines")
    shell.register_templates("referee.pipelines.comparing")
    shell.navigation.register(
        NavigationEntry("Analyse", "Compare", "/ui/compare", icon="compare", order=55, key="c"),
        NavigationEntry("Analyse", "Reports", "/ui/reports", icon="file", order=56, count=count_kept_reports),
    )
    shell.register_templates("referee.pipelines.reports")
    shell.live.register_topic("reports")
    shell.live.register_topic("report", may_hear_report)
    shell.navigation.register(
        NavigationEntry(
            "Analyse", "Pipelines", "/ui/pipelines", icon="pipeline", order=30, count=count_pipelines, key="n"
        )
    )
    shell.navigation.register(
        NavigationEntry("Operate", "Success rates", "/ui/success-rates", icon="gauge", order=35)
    )
    shell.navigation.register_jump(find_pipelines)
    shell.live.register_topic("pipeline", may_hear)
    shell.live.register_topic("pipelines")
