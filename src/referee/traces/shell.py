"""What this room registers in the app shell: templates, side bar, "Jump to" and its live topic."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from referee.core.errors import RefereeError
from referee.foundation.access import Principal
from referee.foundation.web.filters import parse_filter
from referee.foundation.web.navigation import JumpHit, NavigationEntry
from referee.foundation.web.shell import Shell
from referee.traces import queries
from referee.traces.filter_fields import SESSION_FIELDS, build_session_conditions
from referee.traces.page_lists import find_session_url
from referee.traces.room import TracesRoom

__all__ = ["register_in_shell"]


def register_in_shell(shell: Shell, room: Callable[[], TracesRoom]) -> None:
    """Register the room's pages."""

    async def count_sessions(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await queries.count_sessions(
                session, *build_session_conditions(principal.project_id, None)
            )

    async def count_traces(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await queries.count_traces(session, principal.project_id)

    async def find_sessions(principal: Principal, text: str, limit: int) -> Sequence[JumpHit]:
        try:
            where = parse_filter(f'"{text}"', SESSION_FIELDS)
        except RefereeError:
            return []
        async with room().database.reading() as session:
            page = await queries.list_sessions(session, principal.project_id, where=where, limit=limit)
        return [
            JumpHit(
                one.name or one.session_id,
                find_session_url(one.session_uid),
                "session",
                f"{one.events_count:,} events",
            )
            for one in page.items
        ]

    shell.register_templates("referee.traces")
    shell.navigation.register(
        NavigationEntry(
            "Observe", "Sessions", "/ui/sessions", icon="user", order=10, count=count_sessions, key="e"
        ),
        NavigationEntry(
            "Observe",
            "Traces",
            "/ui/traces",
            icon="trace",
            order=20,
            count=count_traces,
            key="t",
            covers=("/ui/events",),
        ),
        NavigationEntry("Observe", "Live tail", "/ui/traces/live", icon="running", order=25),
        NavigationEntry("Observe", "Service map", "/ui/traces/map", icon="trace", order=26),
    )
    shell.navigation.register_jump(find_sessions)
    shell.live.register_topic("spans")
