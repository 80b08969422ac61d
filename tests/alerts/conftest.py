"""The alerts room over a real database, with an engine that takes jobs and does not run them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from referee.alerts.own_sources import OWN_SOURCES
from referee.alerts.room import AlertsRoom
from referee.alerts.rules import RuleDraft, read_rule
from referee.alerts.sealing import open_sealer
from referee.alerts.workflows import register_alert_workflows
from referee.analysis.watching import ANALYSIS_SOURCES
from referee.audit.watching import DECISION_VALUES
from referee.backfills.watching import BACKFILL_VALUES
from referee.experiments.evaluators.watching import SCORE_VALUES
from referee.foundation.access import get_project
from referee.foundation.jobs import JobEngine
from referee.foundation.outgoing import OutgoingGuard
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.operations.probes import PROBE_VALUES
from referee.pipelines.watching import CELL_VALUES
from referee.traces.watching import SPAN_VALUES

SOURCES = {
    source.name: source
    for source in (
        SPAN_VALUES,
        SCORE_VALUES,
        *ANALYSIS_SOURCES,
        CELL_VALUES,
        DECISION_VALUES,
        BACKFILL_VALUES,
        PROBE_VALUES,
        *OWN_SOURCES,
    )
}
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_draft(**given: object) -> RuleDraft:
    """Return a rule about a metric that tests write themselves."""
    return read_rule(
        {
            "name": "Errors", "source": "metrics", "measure": "value", "filter": "name:planted", "aggregation": "sum",
            "critical_threshold": 10, "resolved_threshold": 5, "window": "5m", "every": "1m",
            "minimum_count": 0, **given,
        },
        SOURCES,
    )  # fmt: skip


def minutes(count: float) -> datetime:
    """Return an instant so many minutes after START."""
    return START + timedelta(minutes=count)


@pytest.fixture
async def project_id(database: Database) -> UUID:
    return (await get_project(database, "default")).project_id


@pytest.fixture
def room(database: Database, database_settings: Settings) -> AlertsRoom:
    settings = database_settings.model_copy(update={"alert_retry_s": 0.0, "alert_timeout_s": 2.0})
    settings.ensure_home()
    return AlertsRoom(
        settings=settings,
        database=database,
        sources=SOURCES,
        guard=OutgoingGuard(("127.0.0.1",)),
        sealer=open_sealer(settings.home),
    )


@pytest.fixture
async def engine(room: AlertsRoom) -> AsyncIterator[JobEngine]:
    made = JobEngine(room.settings, room.database)
    register_alert_workflows(room, made)
    await made.start(is_worker=False)
    yield made
    await made.stop()
