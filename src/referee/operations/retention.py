"""What is deleted when it is old, kind by kind, and what would go: now, or if it were kept for other days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from referee.alerts.keeping import count_old_log
from referee.alerts.service import OPERATOR_PROJECT
from referee.core.errors import InvalidInput
from referee.foundation.access import get_project
from referee.foundation.jobs import count_old_jobs
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.operations.probes.service import count_old_results
from referee.traces.retention import MAX_KEEP_DAYS, get_retention, preview_retention
from referee.videos.old_uploads import list_old_uploads

__all__ = ["KEPT_FOR_EVER", "KindRetention", "read_retention"]

KEPT_FOR_EVER = (
    "Analyses, findings, apps, pipelines, runs, datasets, videos, decisions and artifacts are kept until somebody "
    "deletes them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRetention:
    """One kind of rows: how long they are kept, and what would go."""

    kind: str
    title: str
    decided_by: str
    """The command or the setting that decides."""
    keep_days: float | None
    """As decided; None keeps it for ever."""
    asked_days: float | None
    """Days that the counts are for; None: nothing would go."""
    count: int = 0
    oldest_at: datetime | None = None
    size_bytes: int | None = None
    """None where counting them would mean to read them."""


async def read_retention(
    database: Database, settings: Settings, project_id: UUID, keep_days: int | None = None
) -> Sequence[KindRetention]:
    """Return what would go of a project, and delete nothing.

    Args:
        database: The database.
        settings: Days of the installation.
        project_id: Whose.
        keep_days: Instead of what was decided, for every kind.

    Raises:
        InvalidInput: The days are none that can be meant.
    """
    if keep_days is not None and not 1 <= keep_days <= MAX_KEEP_DAYS:
        raise InvalidInput(
            "retention.days_invalid",
            f"Nothing can be kept for {keep_days} days.",
            f"Choose 1 to {MAX_KEEP_DAYS}.",
        )
    decided = (await get_retention(database, project_id)).keep_days
    found = [await _read_sessions(database, project_id, decided, keep_days or decided)]
    jobs_days = keep_days or settings.job_keep_days
    count, oldest_at = await count_old_jobs(database, project_id, older_than_days=jobs_days)
    found.append(
        KindRetention(
            kind="jobs", title="Ended jobs", decided_by="REFEREE_JOB_KEEP_DAYS", keep_days=settings.job_keep_days,
            asked_days=jobs_days, count=count, oldest_at=oldest_at,
        )
    )  # fmt: skip
    log_days = keep_days or settings.alert_log_days
    titles = {
        "evaluations": "Evaluations of alerts",
        "deliveries": "Deliveries of notifications",
        "notifications": "Notifications",
    }
    for kind, (count, oldest_at) in (await count_old_log(database, project_id, log_days)).items():
        found.append(
            KindRetention(
                kind=f"alert_{kind}", title=titles[kind], decided_by="REFEREE_ALERT_LOG_DAYS",
                keep_days=settings.alert_log_days, asked_days=log_days, count=count, oldest_at=oldest_at,
            )
        )  # fmt: skip
    upload_days = keep_days or settings.video_upload_keep_days
    uploads = await list_old_uploads(database, settings, upload_days, project_id)
    found.append(
        KindRetention(
            kind="video_uploads", title="Uploads that nobody goes on with",
            decided_by="REFEREE_VIDEO_UPLOAD_KEEP_DAYS", keep_days=settings.video_upload_keep_days,
            asked_days=upload_days, count=len(uploads),
            oldest_at=min((one.touched_at for one in uploads), default=None),
            size_bytes=sum(one.size_bytes for one in uploads),
        )
    )  # fmt: skip
    operator = await get_project(database, OPERATOR_PROJECT)
    if operator.project_id == project_id:  # results of probes are the installation's
        probe_days = keep_days or settings.probe_keep_days
        count, oldest_at = await count_old_results(database, probe_days)
        found.append(
            KindRetention(
                kind="probe_results", title="Results of probes", decided_by="REFEREE_PROBE_KEEP_DAYS",
                keep_days=settings.probe_keep_days, asked_days=probe_days, count=count, oldest_at=oldest_at,
            )
        )  # fmt: skip
    return found


async def _read_sessions(
    database: Database, project_id: UUID, decided: int | None, asked: int | None
) -> KindRetention:
    preview = None if asked is None else await preview_retention(database, project_id, asked)
    return KindRetention(
        kind="sessions",
        title="Sessions with their spans",
        decided_by="referee retention set",
        keep_days=decided,
        asked_days=asked,
        count=0 if preview is None else preview.sessions_count,
        oldest_at=None if preview is None else preview.oldest_at,
    )
