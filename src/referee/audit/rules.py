"""What a lead scan looks for in the decisions of a window. Six rules, each able to fire on its own.

A rule reads the window's decisions in the database and returns what it found. Two findings of the same rule,
window kind and keys have the same fingerprint, whatever the instants and counts: these stand in the evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from referee.audit.lags import Window, read_decision_lag
from referee.core.findings import JsonValue
from referee.foundation.settings import Settings

__all__ = ["RULES", "LeadDraft", "Rule", "compute_fingerprint"]

_MAX_FOUND: Final = 100
"""Findings of one rule in one scan; the worst come first."""

_IN_WINDOW: Final = """project_id = :project_id AND supervisor_processed_at >= :from_at
  AND supervisor_processed_at < :to_at"""
_EXAMPLES: Final = "(array_agg(decision_id::text ORDER BY sequence DESC))[1:5] AS examples"

_BLOCKED: Final = text(f"""
SELECT coalesce(nullif(reason_code, ''), nullif(policy, ''), 'unnamed') AS reason_code, count(*) AS count, {_EXAMPLES}
FROM decisions WHERE {_IN_WINDOW} AND kind = 'blocked'
GROUP BY 1 HAVING count(*) > :threshold ORDER BY 2 DESC, 1 LIMIT :limit
""")  # noqa: S608 - constants of this module
_CHURN: Final = text(f"""
WITH seen AS (SELECT subject_kind, subject_id, kind, decision_id, sequence, supervisor_processed_at AS at
    FROM decisions WHERE {_IN_WINDOW} AND kind IN ('paused', 'blocked')),
  blocks AS (SELECT DISTINCT ON (subject_kind, subject_id) subject_kind, subject_id, at, sequence
    FROM seen WHERE kind = 'blocked' ORDER BY subject_kind, subject_id, at DESC, sequence DESC)
SELECT subject_kind, subject_id, count(*) AS count, {_EXAMPLES.replace("sequence", "paused.sequence")}
FROM blocks JOIN seen AS paused USING (subject_kind, subject_id)
WHERE paused.kind = 'paused' AND (paused.at, paused.sequence) < (blocks.at, blocks.sequence)
GROUP BY 1, 2 HAVING count(*) >= :threshold ORDER BY 3 DESC, 1, 2 LIMIT :limit
""")  # noqa: S608 - as above
_RETRIES: Final = text(f"""
WITH retries AS (SELECT DISTINCT ON (subject_kind, subject_id) subject_kind, subject_id, decision_id, sequence,
    supervisor_processed_at AS at, coalesce(nullif(reason_code, ''), nullif(policy, ''), 'unnamed') AS reason_code
    FROM decisions WHERE {_IN_WINDOW} AND kind = 'retry_recommended'
    ORDER BY subject_kind, subject_id, supervisor_processed_at, sequence)
SELECT reason_code, count(*) AS count, {_EXAMPLES} FROM retries
WHERE EXISTS (SELECT FROM decisions later WHERE later.project_id = :project_id
    AND (later.subject_kind, later.subject_id) = (retries.subject_kind, retries.subject_id)
    AND later.kind IN ('blocked', 'error')
    AND (later.supervisor_processed_at, later.sequence) > (retries.at, retries.sequence))
  OR (subject_kind = 'task' AND EXISTS (SELECT FROM imported_audits event WHERE event.project_id = :project_id
    AND event.task_id = retries.subject_id AND event.event_type = 'TASK_FAILED'
    AND event.occurred_at >= date_trunc('second', retries.at)))
GROUP BY 1 HAVING count(*) >= :threshold ORDER BY 2 DESC, 1 LIMIT :limit
""")  # noqa: S608 - as above
_REDLINES: Final = text(f"""
SELECT count(*) AS decisions_count, count(*) FILTER (WHERE has_redline) AS redlines_count,
  (array_agg(decision_id::text ORDER BY sequence DESC) FILTER (WHERE has_redline))[1:5] AS examples
FROM (SELECT decision_id, sequence, findings_json @> '[{{"kind": "redline"}}]'::jsonb AS has_redline
  FROM decisions WHERE {_IN_WINDOW}) judged
""")  # noqa: S608 - as above
_RISKY: Final = text(f"""
SELECT coalesce(nullif(finding ->> 'code', ''), 'unnamed') AS finding_code, count(DISTINCT decision_id) AS count,
  {_EXAMPLES}
FROM decisions CROSS JOIN LATERAL jsonb_array_elements(findings_json) AS finding
WHERE {_IN_WINDOW} AND kind = 'allowed' AND findings_json @> '[{{"severity": "critical"}}]'::jsonb
  AND finding ->> 'severity' = 'critical'
GROUP BY 1 HAVING count(DISTINCT decision_id) >= :threshold ORDER BY 2 DESC, 1 LIMIT :limit
""")  # noqa: S608 - as above


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadDraft:
    """Something that a rule found."""

    code: str
    """The rule."""
    severity: str
    title: str
    description: str
    """One sentence with the numbers."""
    window_kind: str
    keys: Mapping[str, str]
    """What tells it from other findings of the rule; no instants, no counts."""
    evidence: Mapping[str, JsonValue]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that stay the same from scan to scan."""
        return compute_fingerprint(self.code, self.window_kind, self.keys)


Rule: TypeAlias = Callable[[AsyncSession, UUID, Window, Settings], Awaitable[list[LeadDraft]]]


def compute_fingerprint(code: str, window_kind: str, keys: Mapping[str, str]) -> str:
    """Return the first 16 hexadecimal digits of SHA-256 over ``code|window_kind|name=value…``, names sorted."""
    parts = [code, window_kind, *(f"{name}={keys[name]}" for name in sorted(keys))]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


async def find_blocked_reason_spikes(
    session: AsyncSession, project_id: UUID, window: Window, settings: Settings
) -> list[LeadDraft]:
    """Find reasons for which more work than usual was blocked."""
    threshold = settings.lead_blocked_reason_count
    return [
        LeadDraft(
            code="blocked_reason_spike",
            severity="high",
            title=f"Blocked {row.count:,} times: {row.reason_code}",
            description=f"{row.count:,} decisions blocked work for this reason; more than {threshold:,} is a spike.",
            window_kind=window.kind,
            keys={"reason_code": row.reason_code},
            evidence={"decisions_count": row.count, "decision_ids": row.examples},
        )
        for row in await _read(session, _BLOCKED, project_id, window, threshold)
    ]


async def find_pause_block_churn(
    session: AsyncSession, project_id: UUID, window: Window, settings: Settings
) -> list[LeadDraft]:
    """Find work that was paused again and again and blocked in the end."""
    return [
        LeadDraft(
            code="pause_block_churn",
            severity="medium",
            title=f"Paused {row.count:,} times, then blocked: {row.subject_kind} {row.subject_id[:80]}",
            description=f"It was paused {row.count:,} times before it was blocked.",
            window_kind=window.kind,
            keys={"subject_kind": row.subject_kind, "subject_id": row.subject_id},
            evidence={"pauses_count": row.count, "decision_ids": row.examples},
        )
        for row in await _read(session, _CHURN, project_id, window, settings.lead_pauses_count)
    ]


async def find_failing_retries(
    session: AsyncSession, project_id: UUID, window: Window, settings: Settings
) -> list[LeadDraft]:
    """Find reasons for which a retry is recommended that does not help."""
    return [
        LeadDraft(
            code="retry_recommended_but_fails",
            severity="medium",
            title=f"Retrying does not help: {row.reason_code}",
            description=f"{row.count:,} subjects failed or were blocked after a retry was recommended.",
            window_kind=window.kind,
            keys={"reason_code": row.reason_code},
            evidence={"subjects_count": row.count, "decision_ids": row.examples},
        )
        for row in await _read(session, _RETRIES, project_id, window, settings.lead_failed_retries_count)
    ]


async def find_slow_decisions(
    session: AsyncSession, project_id: UUID, window: Window, settings: Settings
) -> list[LeadDraft]:
    """Find that decisions come late, from all lags of the window."""
    lag = await read_decision_lag(session, project_id, window)
    if lag.p95_ms is None or lag.p95_ms <= settings.lead_lag_p95_ms:
        return []
    return [
        LeadDraft(
            code="decision_lag",
            severity="medium",
            title="Decisions come late",
            description=f"The 95th percentile of {lag.lags_count:,} lags is {lag.p95_ms:,.0f} ms; more than "
            f"{settings.lead_lag_p95_ms:,} ms is late.",
            window_kind=window.kind,
            keys={"percentile": "p95"},
            evidence={
                "p50_ms": lag.p50_ms,
                "p95_ms": lag.p95_ms,
                "lags_count": lag.lags_count,
                "decision_ids": [str(sample.decision_id) for sample in lag.samples],
            },
        )
    ]


async def find_rising_redlines(
    session: AsyncSession, project_id: UUID, window: Window, settings: Settings
) -> list[LeadDraft]:
    """Find that the share of decisions with a crossed red line rose over its baseline."""
    (row,) = await _read(session, _REDLINES, project_id, window, 0)
    share = row.redlines_count / row.decisions_count if row.decisions_count else 0.0
    rise = share - settings.lead_redline_baseline_share
    if rise <= settings.lead_redline_rise_share:
        return []
    return [
        LeadDraft(
            code="redline_ratio",
            severity="high",
            title="More decisions cross a red line",
            description=f"{row.redlines_count:,} of {row.decisions_count:,} decisions ({share:.1%}) name a red line; "
            f"the baseline is {settings.lead_redline_baseline_share:.1%}.",
            window_kind=window.kind,
            keys={"finding_kind": "redline"},
            evidence={
                "redlines_count": row.redlines_count,
                "decisions_count": row.decisions_count,
                "redline_share": share,
                "decision_ids": row.examples,
            },
        )
    ]


async def find_high_risk_allows(
    session: AsyncSession, project_id: UUID, window: Window, settings: Settings
) -> list[LeadDraft]:
    """Find work that was allowed in spite of a critical finding."""
    return [
        LeadDraft(
            code="high_risk_allow",
            severity="critical",
            title=f"Allowed in spite of a critical finding: {row.finding_code}",
            description=f"{row.count:,} decisions allowed work with this critical finding.",
            window_kind=window.kind,
            keys={"finding_code": row.finding_code},
            evidence={"decisions_count": row.count, "decision_ids": row.examples},
        )
        for row in await _read(session, _RISKY, project_id, window, settings.lead_critical_allows_count)
    ]


RULES: Final[Mapping[str, Rule]] = {
    "blocked_reason_spike": find_blocked_reason_spikes,
    "pause_block_churn": find_pause_block_churn,
    "retry_recommended_but_fails": find_failing_retries,
    "decision_lag": find_slow_decisions,
    "redline_ratio": find_rising_redlines,
    "high_risk_allow": find_high_risk_allows,
}


async def _read(
    session: AsyncSession, statement: Any, project_id: UUID, window: Window, threshold: int
) -> list[Any]:
    parameters = {
        "project_id": project_id,
        "from_at": window.from_at,
        "to_at": window.to_at,
        "threshold": threshold,
        "limit": _MAX_FOUND,
    }
    return list((await session.execute(statement, parameters)).all())
