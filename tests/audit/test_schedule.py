"""Lead scans start by the clock: a day each night, a week each Monday."""

from __future__ import annotations

from datetime import UTC, datetime

from referee.app import open_application
from referee.audit.recording import DecisionDraft, DecisionKind, record_decision
from referee.audit.scans import list_lead_findings, list_lead_scans
from referee.foundation.access import get_project
from referee.foundation.settings import Settings


async def test_scheduled_scans_keep_what_they_found(database_settings: Settings) -> None:
    async with open_application(database_settings, is_worker=True) as application:
        engine, database = application.engine, application.database
        schedules = {name: one.cron for name, one in engine._schedules.items()}
        project_id = (await get_project(database, "default")).project_id
        async with database.transaction() as session:
            for number in range(6):
                draft = DecisionDraft(
                    supervisor="tests",
                    kind=DecisionKind.blocked,
                    reason="Over the limit",
                    reason_code="limit",
                    subject_kind="task",
                    subject_id=str(number),
                    source_event_at=datetime.now(UTC),
                )
                await record_decision(session, project_id, draft)
        for name in ("lead_scan_24h", "lead_scan_7d"):
            async with database.transaction() as session:
                job = await engine.submit(
                    session,
                    kind=f"schedule.{name}",
                    arguments={"scheduled_at": "2026-03-02T03:00:00+00:00"},
                    project_id=project_id,
                    key=None,
                    title=name,
                )
            assert (await engine.wait(job.job_id, 60)).state == "succeeded"
        async with database.reading() as session:
            scans = await list_lead_scans(session, project_id)
            findings = await list_lead_findings(session, project_id)

    assert (schedules["lead_scan_24h"], schedules["lead_scan_7d"]) == ("0 2 * * *", "0 3 * * 1")
    assert sorted((scan.window.kind, scan.decisions_count) for scan, _ in scans.items) == [
        ("24h", 6),
        ("7d", 6),
    ]
    assert {(one.code, one.window_kind) for one in findings.items} == {
        ("blocked_reason_spike", "24h"),
        ("blocked_reason_spike", "7d"),
    }
