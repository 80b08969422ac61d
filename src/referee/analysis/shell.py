"""What this room registers in the app shell: templates, side bar, "Jump to" and live topics."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from referee.analysis import finding_queries, queries
from referee.analysis.api import GetRoom
from referee.core.errors import RefereeError
from referee.core.vocabulary import FindingState
from referee.foundation.access import Principal
from referee.foundation.web.filters import parse_filter
from referee.foundation.web.navigation import JumpHit, NavigationEntry
from referee.foundation.web.shell import Shell

__all__ = ["register_in_shell"]


def register_in_shell(shell: Shell, room: GetRoom) -> None:
    """Register the room's pages and live topics."""

    async def count_analyses(principal: Principal) -> int:
        async with room().database.reading() as session:
            return sum((await queries.count_analyses_by_state(session, principal.project_id)).values())

    async def count_open_findings(principal: Principal) -> int:
        async with room().database.reading() as session:
            states = await finding_queries.count_findings_by_state(session, principal.project_id)
        return states[FindingState.open]

    async def find_analyses(principal: Principal, text: str, limit: int) -> Sequence[JumpHit]:
        try:
            where = parse_filter(f'"{text}"', queries.ANALYSIS_FIELDS)
        except RefereeError:
            return []
        async with room().database.reading() as session:
            page = await queries.list_analyses(session, principal.project_id, where=where, limit=limit)
        return [
            JumpHit(
                analysis.subject.name,
                f"/ui/analyses/{analysis.analysis_id}",
                "analysis",
                analysis.state.value.replace("_", " "),
            )
            for analysis in page.items
        ]

    async def may_hear(principal: Principal, rest: str) -> bool:
        async with room().database.reading() as session:
            try:
                await queries.get_analysis(session, principal.project_id, UUID(rest))
            except (RefereeError, ValueError):
                return False
        return True

    shell.register_templates("referee.analysis")
    shell.navigation.register(
        NavigationEntry("Analyse", "Overview", "/ui/", icon="home", order=10, key="o"),
        NavigationEntry(
            "Analyse", "Analyses", "/ui/analyses", icon="search", order=40, count=count_analyses, key="a"
        ),
        NavigationEntry(
            "Analyse",
            "Findings",
            "/ui/findings",
            icon="finding",
            order=50,
            count=count_open_findings,
            key="f",
        ),
        NavigationEntry("Operate", "Completeness", "/ui/completeness", icon="shield", order=16),
        NavigationEntry("Operate", "Services", "/ui/services", icon="activity", order=15, key="v"),
    )
    shell.navigation.register_jump(find_analyses)
    shell.live.register_topic("analysis", may_hear)
    shell.live.register_topic("analyses")
    shell.live.register_topic("findings")
