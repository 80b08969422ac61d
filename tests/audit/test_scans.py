"""Lead scans: every rule fires at its threshold and not below it, once for each fingerprint."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from tests.audit.conftest import NOW, Decide, make_past
from tests.audit.historic import build_audit_database, insert

from referee.audit.importing import import_audits
from referee.audit.recording import PastDecision
from referee.audit.room import AuditRoom
from referee.audit.rules import RULES, compute_fingerprint
from referee.audit.scans import close_follow_up, list_lead_findings, list_lead_scans, scan_decisions
from referee.core.errors import Conflict, NotFound

REDLINE = ({"kind": "redline", "severity": "high", "code": "R1", "message": "m"},)
CRITICAL = ({"kind": "risk", "severity": "critical", "code": "C1", "message": "m"},)


def churn(pauses_count: int) -> list[PastDecision]:
    pauses = [make_past("paused", "a", hours=3 - number / 10) for number in range(pauses_count)]
    return [*pauses, make_past("blocked", "a", hours=1)]


def redlines(redlines_count: int) -> list[PastDecision]:
    return [
        make_past("paused", f"{number}", findings=REDLINE if number < redlines_count else ())
        for number in range(100)
    ]


CASES = {
    "blocked_reason_spike": (
        [make_past("blocked", f"{number}") for number in range(6)],
        [make_past("blocked", f"{number}", code=str(number // 5)) for number in range(10)],
    ),
    "pause_block_churn": (churn(2), [*churn(1), make_past("paused", "a", hours=0.5)]),
    "retry_recommended_but_fails": (
        [make_past("retry_recommended", "a", hours=2), make_past("blocked", "a", hours=1)],
        [make_past("retry_recommended", "a", hours=1), make_past("blocked", "a", hours=2)],
    ),
    "decision_lag": (
        [make_past("allowed", "a", lag_ms=10 if number < 9 else 60_000) for number in range(10)],
        [make_past("allowed", "a", lag_ms=10 if number < 99 else 60_000) for number in range(100)],
    ),
    "redline_ratio": (redlines(16), redlines(15)),
    "high_risk_allow": (
        [make_past("allowed", "a", findings=CRITICAL)],
        [make_past("paused", "a", findings=CRITICAL), make_past("allowed", "a", findings=REDLINE)]
        + [make_past("paused", str(number)) for number in range(10)],
    ),
}
"""Rule → decisions at which it fires, and decisions just below."""


def test_every_rule_has_a_case() -> None:
    assert CASES.keys() == RULES.keys()


@pytest.mark.parametrize("rule", CASES)
async def test_rule_fires_at_its_threshold(
    room: AuditRoom, project_id: UUID, decide: Decide, rule: str
) -> None:
    await decide(*CASES[rule][0])

    scan = await scan_decisions(room, project_id, "24h", to_at=NOW)

    (found,) = [one for one in scan.found if one.code == rule]
    assert found.evidence["decision_ids"]


@pytest.mark.parametrize("rule", CASES)
async def test_rule_stays_silent_below_its_threshold(
    room: AuditRoom, project_id: UUID, decide: Decide, rule: str
) -> None:
    await decide(*(replace(one) for one in CASES[rule][1]))

    scan = await scan_decisions(room, project_id, "24h", to_at=NOW)

    assert [one.code for one in scan.found if one.code == rule] == []


async def test_failed_task_of_an_imported_log_makes_its_retry_fail(
    room: AuditRoom, project_id: UUID, tmp_path: Path
) -> None:
    path = build_audit_database(tmp_path / "audit.db", "v44", rows=())
    with closing(sqlite3.connect(path)) as connection, connection:
        retry = '{"decision_type": "retry", "timestamp": "2026-03-01T10:00:04.5Z"}'
        insert(connection, [("t", "SUPERVISOR_RETRY_RECOMMENDED", retry), ("t", "TASK_FAILED", "{}")])
    await import_audits(room.database, project_id, path)

    scan = await scan_decisions(room, project_id, "24h", to_at=NOW)

    assert [one.code for one in scan.found] == ["retry_recommended_but_fails"]


def test_fingerprint_is_sixteen_digits_of_rule_window_and_sorted_keys() -> None:
    expected = hashlib.sha256(b"pause_block_churn|24h|a=1|b=2").hexdigest()[:16]

    assert compute_fingerprint("pause_block_churn", "24h", {"b": "2", "a": "1"}) == expected


async def test_finding_is_kept_once_and_counts_its_scans(
    room: AuditRoom, project_id: UUID, decide: Decide
) -> None:
    await decide(*CASES["blocked_reason_spike"][0])
    first = await scan_decisions(room, project_id, "24h", to_at=NOW)
    await decide(make_past("blocked", "later"))
    again = await scan_decisions(room, project_id, "24h", to_at=NOW)

    async with room.database.reading() as session:
        page = await list_lead_findings(session, project_id)
        scans = await list_lead_scans(session, project_id)
    (finding,) = page.items
    assert (first.new_count, again.new_count, finding.seen_count) == (1, 0, 2)
    assert (finding.evidence["decisions_count"], finding.title) == (7, "Blocked 7 times: limit")
    assert [scan.findings_count for scan, _ in scans.items] == [1, 1]


async def test_dry_run_finds_the_same_and_writes_nothing(
    room: AuditRoom, project_id: UUID, decide: Decide
) -> None:
    await decide(*CASES["blocked_reason_spike"][0])

    dry = await scan_decisions(room, project_id, "24h", is_dry_run=True, to_at=NOW)

    async with room.database.reading() as session:
        assert (await list_lead_findings(session, project_id)).total_count == 0
        assert (await list_lead_scans(session, project_id)).total_count == 0
    real = await scan_decisions(room, project_id, "24h", to_at=NOW)
    assert dry.found == real.found


async def test_work_that_was_done_is_opened_anew_when_the_finding_comes_back(
    room: AuditRoom, project_id: UUID, decide: Decide
) -> None:
    await decide(*CASES["high_risk_allow"][0])
    await scan_decisions(room, project_id, "24h", to_at=NOW)
    async with room.database.transaction() as session:
        (open_one,) = (await list_lead_findings(session, project_id)).items
        done = await close_follow_up(session, project_id, open_one.fingerprint)
        with pytest.raises(NotFound):
            await close_follow_up(session, project_id, "0" * 16)
    await scan_decisions(room, project_id, "24h", to_at=NOW)

    async with room.database.reading() as session:
        (anew,) = (await list_lead_findings(session, project_id)).items
    assert (open_one.follow_up_state, done.follow_up_state, anew.follow_up_state) == ("open", "done", "open")
    assert open_one.follow_up_id == done.follow_up_id != anew.follow_up_id


async def test_two_scans_of_a_project_do_not_run_at_once(room: AuditRoom, project_id: UUID) -> None:
    async with room.database.transaction() as session:
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        await session.execute(lock, {"name": f"lead_scan:{project_id}"})

        with pytest.raises(Conflict):
            await scan_decisions(room, project_id, "24h")


async def test_self_check_says_when_many_decisions_never_made_a_finding(
    room: AuditRoom, project_id: UUID, decide: Decide
) -> None:
    await decide(*(make_past("paused", str(number)) for number in range(99)))
    quiet = await scan_decisions(room, project_id, "24h", to_at=NOW)
    await decide(make_past("paused", "99"))
    alerted = await scan_decisions(room, project_id, "24h", to_at=NOW)
    await decide(make_past("allowed", "a", hours=30, findings=CRITICAL))
    await scan_decisions(room, project_id, "7d", to_at=NOW)
    known = await scan_decisions(room, project_id, "24h", to_at=NOW)

    assert quiet.alert == known.alert == ""
    assert "100 decisions" in alerted.alert
