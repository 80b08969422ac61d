"""What this room registers in the app shell: templates, side bar and "Jump to"."""

from __future__ import annotations

from collections.abc import Sequence

from referee.core.errors import RefereeError
from referee.core.ids import format_id, parse_id
from referee.foundation.access import Principal
from referee.foundation.jobs import ACTIVE_STATES, count_jobs, get_job
from referee.foundation.web.navigation import JumpHit, NavigationEntry
from referee.foundation.web.shell import Shell
from referee.operations.api import GetApplication

__all__ = ["register_in_shell"]


def register_in_shell(shell: Shell, application: GetApplication) -> None:
    """Register the room's pages."""

    async def count_active_jobs(principal: Principal) -> int:
        async with application().database.reading() as session:
            return await count_jobs(
                session, project_id=principal.project_id, states=ACTIVE_STATES, has_parent=False
            )

    async def find_jobs(principal: Principal, text: str, limit: int) -> Sequence[JumpHit]:
        try:
            async with application().database.reading() as session:
                job = await get_job(session, parse_id(text, "job"), project_id=principal.project_id)
        except RefereeError:
            return []
        return [JumpHit(job.title, f"/ui/jobs/{job.job_id}", "job", format_id("job", job.job_id))][:limit]

    shell.register_templates("referee.operations")
    shell.navigation.register(
        NavigationEntry("Operate", "Operations", "/ui/operations", icon="gauge", order=5),
        NavigationEntry(
            "Operate", "Jobs", "/ui/jobs", icon="job", order=10, count=count_active_jobs, key="j"
        ),
        NavigationEntry("Operate", "Probes", "/ui/probes", icon="activity", order=15),
        NavigationEntry("Operate", "System", "/ui/system", icon="server", order=20, key="s"),
        NavigationEntry("Operate", "Retention", "/ui/retention", icon="clock", order=25),
        NavigationEntry("Operate", "Integrity", "/ui/integrity", icon="shield", order=30, key="i"),
    )
    shell.navigation.register_jump(find_jobs)
