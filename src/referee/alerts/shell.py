"""What this room registers in the app shell: templates, side bar and live topics."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from referee.alerts import queries
from referee.alerts.api import GetEngine, create_api
from referee.alerts.channel_pages import create_channel_pages
from referee.alerts.pages import create_pages
from referee.alerts.room import GetRoom
from referee.core.errors import RefereeError
from referee.foundation.access import Principal
from referee.foundation.web.navigation import NavigationEntry
from referee.foundation.web.shell import Shell

__all__ = ["create_alert_routes", "register_in_shell"]


def create_alert_routes(room: GetRoom, engine: GetEngine) -> tuple[APIRouter, ...]:
    """Return the routes and the pages of alerts."""
    return create_api(room, engine), create_pages(room, engine), create_channel_pages(room, engine)


def register_in_shell(shell: Shell, room: GetRoom) -> None:
    """Register the room's pages and live topics."""

    async def count(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await queries.count_firing(session, principal.project_id)

    async def may_hear(principal: Principal, rest: str) -> bool:
        async with room().database.reading() as session:
            try:
                await queries.get_rule(session, principal.project_id, UUID(rest))
            except (RefereeError, ValueError):
                return False
        return True

    shell.register_templates("referee.alerts")
    shell.navigation.register(
        NavigationEntry(
            "Operate",
            "Alerts",
            "/ui/alerts",
            icon="bell",
            order=30,
            count=count,
            covers=("/ui/alert-channels", "/ui/alert-deliveries"),
        )
    )
    shell.live.register_topic("alerts")
    shell.live.register_topic("alert-deliveries")
    shell.live.register_topic("alert", may_hear)
