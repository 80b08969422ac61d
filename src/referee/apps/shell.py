"""What this room registers in the app shell: templates, side bar and "Jump to"."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from referee.apps import service
from referee.apps.catalogue import count_models as count_known_models
from referee.apps.generation.recording import LIVE_TOPIC
from referee.apps.runs import list_app_runs
from referee.core.errors import RefereeError
from referee.foundation.access import Principal
from referee.foundation.store import Database
from referee.foundation.web.filters import parse_filter
from referee.foundation.web.navigation import JumpHit, NavigationEntry
from referee.foundation.web.shell import Shell

__all__ = ["register_in_shell"]


def register_in_shell(shell: Shell, database: Callable[[], Database]) -> None:
    """Register the room's pages."""

    async def count_apps(principal: Principal) -> int:
        async with database().reading() as session:
            return await service.count_apps(session, principal.project_id)

    async def count_live_runs(principal: Principal) -> int:
        async with database().reading() as session:
            return (await list_app_runs(session, principal.project_id, is_live=True, limit=1)).total_count

    async def count_models(principal: Principal) -> int:
        async with database().reading() as session:
            return await count_known_models(session, principal.project_id)

    async def find_apps(principal: Principal, text: str, limit: int) -> Sequence[JumpHit]:
        try:
            where = parse_filter(f'"{text}"', service.APP_FIELDS)
        except RefereeError:
            return []
        async with database().reading() as session:
            page = await service.list_apps(session, principal.project_id, where=where, limit=limit)
        return [
            JumpHit(f"{app.model}/app{app.number}", f"/ui/apps/{app.app_id}", "app", app.template or "")
            for app in page.items
        ]

    shell.register_templates("referee.apps")
    shell.navigation.register(
        NavigationEntry("Analyse", "Apps", "/ui/apps", icon="app", order=20, count=count_apps, key="p")
    )
    shell.navigation.register(
        NavigationEntry(
            "Analyse", "Running apps", "/ui/app-runs", icon="server", order=30, count=count_live_runs, key="r"
        )
    )
    shell.navigation.register(
        NavigationEntry("Analyse", "Models", "/ui/models", icon="flask", order=70, count=count_models)
    )
    shell.navigation.register(NavigationEntry("Analyse", "Templates", "/ui/templates", icon="file", order=80))
    shell.navigation.register_jump(find_apps)
    shell.live.register_topic("app_runs")
    shell.live.register_topic(LIVE_TOPIC)
