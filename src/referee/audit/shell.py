"""What this room registers in the app shell: templates and the side bar."""

from __future__ import annotations

from referee.audit.queries import count_decisions
from referee.audit.room import GetRoom
from referee.foundation.access import Principal
from referee.foundation.web.navigation import NavigationEntry
from referee.foundation.web.shell import Shell

__all__ = ["register_in_shell"]


def register_in_shell(shell: Shell, room: GetRoom) -> None:
    """Register the room's pages."""

    async def count(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await count_decisions(session, principal.project_id)

    shell.register_templates("referee.audit")
    shell.navigation.register(
        NavigationEntry(
            "Operate",
            "Decisions",
            "/ui/decisions",
            icon="list",
            order=25,
            count=count,
            key="d",
            covers=("/ui/decision-lag", "/ui/lead-findings"),
        )
    )
