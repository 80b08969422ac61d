"""Each rule that is there from the start: its fault is planted, it fires once, names cause and page, resolves once."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import exc, insert, update
from tests.alerts.receivers import make_certificate, open_mailbox, open_webhook

from referee.alerts.channels import create_channel
from referee.alerts.defaults import DEFAULT_RULES
from referee.alerts.delivering import deliver_due
from referee.alerts.evaluating import find_last_end
from referee.alerts.firing import evaluate_due
from referee.alerts.room import AlertsRoom
from referee.alerts.sampling import Sampler
from referee.alerts.service import ensure_default_rules
from referee.alerts.tables import AlertRuleRow, MetricSampleRow
from referee.alerts.words import ChannelKind
from referee.analysis.analyzers.tables import AnalyzerRequestRow, AnalyzerRow, AnalyzerTransferRow
from referee.analysis.finishing import _counting_refusals
from referee.analysis.metrics import CREATION_SECONDS
from referee.analysis.tables import AnalysisRow, SubjectRow, ToolRunRow
from referee.core.errors import RefereeError
from referee.core.ids import new_id
from referee.foundation.jobs import JobEngine, JobRow
from referee.foundation.outgoing import OutgoingGuard
from referee.foundation.store import open_artifacts
from referee.foundation.store.tables import ArtifactRow

SHA = hashlib.sha256(b"").hexdigest()


class Planter:
    """Plants what the default rules watch."""

    def __init__(self, room: AlertsRoom, project_id: UUID) -> None:
        self.room, self.project_id = room, project_id
        self.subject_id, self.analyzer_id = new_id(), new_id()

    async def begin(self) -> None:
        """Write what every other row needs."""
        async with self.room.database.transaction() as session:
            await session.execute(
                insert(ArtifactRow).values(sha256=SHA, size_bytes=0, media_type="text/plain")
            )
            await session.execute(
                insert(SubjectRow).values(
                    subject_id=self.subject_id, project_id=self.project_id, kind="folder", name="s", path="/s"
                )
            )
            await session.execute(
                insert(AnalyzerRow).values(
                    analyzer_id=self.analyzer_id, project_id=self.project_id, name="a", version="1", services_json=[],
                    tools_json=[], slots_count=1, connected_at=datetime.now(UTC), beat_at=datetime.now(UTC),
                )
            )  # fmt: skip

    async def analysis(self, at: datetime, *, digest: str, outcome: str, transfer: str) -> None:
        """An analysis of one tool that ended, handed over by an analyzer."""
        analysis_id, run_id, request_id = new_id(), new_id(), new_id()
        async with self.room.database.transaction() as session:
            await session.execute(
                insert(AnalysisRow).values(
                    analysis_id=analysis_id, project_id=self.project_id, subject_id=self.subject_id, profile="quick",
                    parameters_json={}, is_cache_allowed=False, source_digest=digest, listing_sha256=SHA, files_count=1,
                    excluded_count=0, request_digest="r", created_at=at,
                )
            )  # fmt: skip
            await session.execute(
                insert(ToolRunRow).values(
                    tool_run_id=run_id, analysis_id=analysis_id, position=0, tool="bandit", service="static",
                    parameters_json={}, parameters_digest="p", outcome=outcome, reason="planted", did_run=True,
                    exit_meaning="error" if outcome == "failed" else "clean", parse_state="parsed",
                    findings_count=0, finished_at=at,
                )
            )  # fmt: skip
            await session.execute(
                update(AnalysisRow)
                .where(AnalysisRow.analysis_id == analysis_id)
                .values(state="failed", reason="planted", started_at=at, finished_at=at)
            )
            await session.execute(
                insert(AnalyzerRequestRow).values(
                    request_id=request_id, project_id=self.project_id, analysis_id=analysis_id, service="static",
                    state="completed", analyzer_id=self.analyzer_id, deadline_at=at, finished_at=at, is_accepted=True,
                )
            )  # fmt: skip
            await session.execute(
                insert(AnalyzerTransferRow).values(
                    transfer_id=new_id(), request_id=request_id, tool_run_id=run_id, attempt=1,
                    analyzer_id=self.analyzer_id, state=transfer, reason="planted" if transfer == "refused" else "",
                    sha256=SHA, total_bytes=0, created_at=at, finished_at=at,
                )
            )  # fmt: skip

    async def sample(self, name: str, value: float, at: datetime, weight: int = 1) -> None:
        """A sample of a metric."""
        async with self.room.database.transaction() as session:
            await session.execute(
                insert(MetricSampleRow).values(name=name, labels="", at=at, value=value, weight=weight)
            )

    async def job(self, queued_at: datetime) -> None:
        """A job that waits."""
        async with self.room.database.transaction() as session:
            await session.execute(
                insert(JobRow).values(
                    job_id=new_id(), project_id=self.project_id, kind="planted", title="Planted", queue="planted",
                    priority=1, arguments_json={}, arguments_digest=SHA, queued_at=queued_at,
                )
            )  # fmt: skip

    async def take_jobs(self) -> None:
        """Let every waiting job be taken up: those that deliver too, which nobody runs here."""
        async with self.room.database.transaction() as session:
            await session.execute(
                update(JobRow)
                .where(JobRow.state == "queued")
                .values(state="cancelled", finished_at=datetime.now(UTC))
            )


async def plant_faults(planter: Planter, at: datetime) -> None:
    """Plant the fault of every default rule."""
    for number in range(12):
        await planter.analysis(at, digest=f"d{number // 2}", outcome="failed", transfer="refused")
    for _ in range(10):
        CREATION_SECONDS.observe(3.0)
    folder = planter.room.settings.artifacts_dir
    folder.write_text("a file where the folder should be")
    with suppress(RefereeError, OSError):
        await open_artifacts(planter.room.settings).put_bytes(b"planted", "text/plain")
    folder.unlink()
    with suppress(exc.IntegrityError, RefereeError), _counting_refusals():
        async with planter.room.database.engine.begin() as connection:
            await connection.execute(
                insert(AnalysisRow).values(
                    analysis_id=new_id(), project_id=planter.project_id, subject_id=planter.subject_id,
                    state="completed", profile="quick", parameters_json={}, is_cache_allowed=False, source_digest="d",
                    listing_sha256=SHA, files_count=1, excluded_count=0, request_digest="r",
                )
            )  # fmt: skip
    await Sampler(planter.room).sample()
    await planter.job(at - timedelta(minutes=20))
    await planter.sample("referee_alerts_disk_free_share", 0.05, at)


async def mend_faults(planter: Planter, at: datetime) -> None:
    """Plant what is good again."""
    for number in range(10):
        await planter.analysis(at, digest=f"good{number}", outcome="succeeded", transfer="committed")
    await planter.sample("referee_analysis_creation_seconds", 0.1, at, 10)
    await planter.sample("referee_alerts_disk_free_share", 0.5, at)


@pytest.mark.slow
async def test_each_default_rule_fires_once_names_cause_and_page_and_resolves_once(
    room: AlertsRoom, engine: JobEngine, project_id: UUID, tmp_path: Path
) -> None:
    first = find_last_end(300, datetime.now(UTC)) + timedelta(minutes=10)
    second = first + timedelta(hours=30)
    planter = Planter(room, project_id)
    await planter.begin()
    with open_webhook() as hook, open_mailbox(make_certificate(tmp_path)) as box:
        telling = replace(
            room,
            settings=room.settings.model_copy(
                update={
                    "smtp_host": "localhost",
                    "smtp_port": box.port,
                    "smtp_ca_file": tmp_path / "mail.crt",
                }
            ),
            guard=OutgoingGuard(("127.0.0.1",), resolve=lambda *_: ["127.0.0.1"]),
        )
        made, secret = await create_channel(
            telling, project_id, name="hook", kind=ChannelKind.webhook, address=hook.url
        )
        hook.secret = secret or "none"
        mail, _ = await create_channel(
            telling, project_id, name="mail", kind=ChannelKind.email, address="ops@example.org"
        )
        assert await ensure_default_rules(telling, project_id) == len(DEFAULT_RULES)
        async with room.database.transaction() as session:
            await session.execute(update(AlertRuleRow).values(next_at=first))
        await plant_faults(planter, first - timedelta(minutes=1))
        for minutes in (0, 5):
            await evaluate_due(telling, engine, now=first + timedelta(minutes=minutes / 5))
        await mend_faults(planter, second - timedelta(minutes=1))
        for minutes in (0, 5):
            await evaluate_due(telling, engine, now=second + timedelta(minutes=minutes / 5))
            await planter.take_jobs()
        for channel_id in (made.channel_id, mail.channel_id):
            await deliver_due(telling, engine, channel_id)
    told = [(body["data"]["rule"], body["type"].removeprefix("alert.")) for body in hook.bodies]
    names = [str(rule["name"]) for rule in DEFAULT_RULES]
    assert Counter(told) == Counter((name, state) for name in names for state in ("triggered", "resolved"))
    assert hook.refused_count == 0
    fired = {body["data"]["rule"]: body["data"] for body in hook.bodies if body["type"] == "alert.triggered"}
    assert all(
        one["causes"] and one["cause_url"].startswith("http://127.0.0.1:8765/ui/") for one in fired.values()
    )
    assert len(box.messages) == 2 * len(names) == len({mail["Subject"] for mail in box.messages})
    assert box.secured_count == len(box.messages)
