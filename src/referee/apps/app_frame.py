"""What stands above every view of an app: its name, whether it is up, and the ways to its other views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps import service
from referee.apps.judgements import AppJudgements, AppSummary
from referee.apps.room import AppsRoom
from referee.apps.run_requests import DEFAULT_HOURS, MAX_HOURS
from referee.apps.runs import AppRun, list_app_runs
from referee.apps.service import App
from referee.core.ids import format_id
from referee.foundation.web.rendering import Crumb

__all__ = ["APPS_CRUMB", "AppFrame", "GetRoom", "name_of", "read_frame"]

GetRoom: TypeAlias = Callable[[], AppsRoom]
"""The application is opened by the server's lifespan, after the routes are made."""

APPS_CRUMB: Final = Crumb("Apps", "/ui/apps")
_TABS: Final = {
    "": "Analyses",
    "runs": "Runs",
    "source": "Source",
    "versions": "Versions",
    "measurements": "Measurements",
    "generation": "Generation",
}
"""Last part of the address → label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFrame:
    """One app, where it stands, and its run that has not ended."""

    app: App
    summary: AppSummary
    live_run: AppRun | None

    def build_context(self, tab: str) -> dict[str, Any]:
        """Return what ``apps/app.html`` uses on each of its views; ``tab`` is the last part of the address."""
        base = f"/ui/apps/{self.app.app_id}"
        return {
            "app": self.app,
            "name": name_of(self.app),
            "label": format_id("app", self.app.app_id),
            "summary": self.summary,
            "live_run": self.live_run,
            "hours": f"{DEFAULT_HOURS:g}",
            "max_hours": f"{MAX_HOURS:g}",
            "base_url": base,
            "tab": tab,
            "tab_items": [
                {"label": label, "url": f"{base}/{part}".rstrip("/"), "is_current": part == tab}
                for part, label in _TABS.items()
            ],
        }


async def read_frame(
    session: AsyncSession, judgements: AppJudgements, project_id: UUID, app_id: UUID
) -> AppFrame:
    """Return the frame of an app's pages.

    Raises:
        NotFound: The project has no such app.
    """
    app = await service.get_app(session, project_id, app_id)
    summaries = await judgements.summarise(session, project_id, [app_id])
    live = await list_app_runs(session, project_id, app_id=app_id, is_live=True, limit=1)
    return AppFrame(
        app=app,
        summary=summaries.get(app_id, AppSummary()),
        live_run=live.items[0] if live.items else None,
    )


def name_of(app: App) -> str:
    """Return how people call an app."""
    return f"{app.model}/app{app.number}"
