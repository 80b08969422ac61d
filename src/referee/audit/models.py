"""The JSON shapes of decisions, their lag, and lead scans."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.audit.lags import DecisionLag, WindowKind
from referee.audit.levels import AlertLevel, SupervisorLevels
from referee.audit.lists import CountedWord
from referee.audit.recording import Decision, DecisionKind
from referee.audit.rules import LeadDraft
from referee.audit.scans import LeadFinding, LeadScan

__all__ = [
    "CountedWordsModel",
    "DecisionLagModel",
    "DecisionModel",
    "LeadFindingModel",
    "LeadScanModel",
    "PastScanModel",
    "ScanRequest",
    "SupervisorLevelsModel",
]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class DecisionModel(_Model):
    """One audited act of a supervisor."""

    decision_id: UUID
    supervisor: str
    kind: DecisionKind
    policy: str
    reason: str
    reason_code: str = Field(description="Word by which reasons are counted.")
    subject_kind: str
    subject_id: str
    source_event_at: datetime | None = Field(description="When that happened which was decided on.")
    source_event_provenance: str = Field(description="recorded, or the rule by which an import found it.")
    supervisor_processed_at: datetime | None = Field(description="When it was decided.")
    supervisor_processed_provenance: str
    lag_ms: float | None
    findings: list[Any]
    evidence: list[Any]
    actions: list[Any]
    chain_position: int
    hash: str
    recorded_at: datetime

    @classmethod
    def of(cls, decision: Decision) -> DecisionModel:
        """Return the shape of a decision."""
        names = [name for name in cls.model_fields if name not in ("findings", "evidence", "actions")]
        return cls(
            **{name: getattr(decision, name) for name in names},
            findings=list(decision.findings),
            evidence=list(decision.evidence),
            actions=list(decision.actions),
        )


class LagSampleModel(_Model):
    """One of the slowest decisions."""

    decision_id: UUID
    lag_ms: float
    source: str = Field(description="columns or payload.")


class DecisionLagModel(_Model):
    """How long after an event its supervisor decided."""

    window: WindowKind
    from_at: datetime
    to_at: datetime
    lags_count: int
    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None
    samples: list[LagSampleModel] = Field(description="The slowest five.")
    query_method: str = Field(description="columns, or payload_fallback where a column was empty.")
    columns_coverage_share: float | None
    negative_count: int = Field(description="Decided before the event, so left out.")
    fallback_count: int = Field(description="With an instant that is only when the row was written.")
    has_fallbacks: bool = Field(description="Whether those were counted.")
    missing_count: int = Field(description="Without one of the instants.")

    @classmethod
    def of(cls, lag: DecisionLag) -> DecisionLagModel:
        """Return the shape of lags."""
        own = ("window", "from_at", "to_at", "samples")
        return cls(
            **{name: getattr(lag, name) for name in cls.model_fields if name not in own},
            window=lag.window.kind,
            from_at=lag.window.from_at,
            to_at=lag.window.to_at,
            samples=[LagSampleModel.model_validate(sample) for sample in lag.samples],
        )


class CountedWordModel(_Model):
    """So many decisions have this."""

    word: str
    count: int
    example_id: UUID = Field(description="The latest decision of them.")


class CountedWordsModel(_Model):
    """The most frequent first; a hundred at most."""

    window: WindowKind
    items: list[CountedWordModel]

    @classmethod
    def of(cls, window: WindowKind, words: tuple[CountedWord, ...]) -> CountedWordsModel:
        """Return the shape of counted words."""
        return cls(window=window, items=[CountedWordModel.model_validate(word) for word in words])


class SupervisorLevelsModel(_Model):
    """Backlog, lag and failures of the last 24 hours, and what they mean."""

    level: AlertLevel
    backlog_count: int
    backlog_level: AlertLevel
    lag_p95_s: float | None
    lag_level: AlertLevel
    failure_rate: float | None
    failure_level: AlertLevel

    @classmethod
    def of(cls, levels: SupervisorLevels) -> SupervisorLevelsModel:
        """Return the shape of levels."""
        return cls.model_validate(levels)


class ScanRequest(_Model):
    """What to scan."""

    window: WindowKind = "24h"
    is_dry_run: bool = Field(default=False, description="Say what would be found, and write nothing.")


class FoundModel(_Model):
    """What a rule found in this scan."""

    fingerprint: str
    code: str
    severity: str
    title: str
    description: str
    evidence: dict[str, Any]

    @classmethod
    def of(cls, draft: LeadDraft) -> FoundModel:
        """Return the shape of what was found."""
        return cls(
            fingerprint=draft.fingerprint,
            code=draft.code,
            severity=draft.severity,
            title=draft.title,
            description=draft.description,
            evidence=dict(draft.evidence),
        )


class PastScanModel(_Model):
    """A scan that was kept."""

    scan_id: UUID | None = Field(description="null for a dry run.")
    window: WindowKind
    from_at: datetime
    to_at: datetime
    is_dry_run: bool
    decisions_count: int
    findings_count: int
    new_count: int = Field(description="Findings that no scan had found before.")
    alert: str = Field(description="What the self-check says; empty when it has nothing to say.")

    @classmethod
    def of(cls, scan: LeadScan) -> PastScanModel:
        """Return the shape of a past scan."""
        return cls(**_dump_scan(scan))


class LeadScanModel(PastScanModel):
    """A scan with what it found."""

    found: list[FoundModel]

    @classmethod
    def of(cls, scan: LeadScan) -> LeadScanModel:
        """Return the shape of a scan."""
        return cls(**_dump_scan(scan), found=[FoundModel.of(one) for one in scan.found])


class LeadFindingModel(_Model):
    """What scans found, once for each fingerprint."""

    fingerprint: str
    code: str
    severity: str
    title: str
    description: str
    window_kind: WindowKind
    first_seen_at: datetime
    last_seen_at: datetime
    seen_count: int = Field(description="Scans that found it.")
    evidence: dict[str, Any]
    follow_up_id: UUID
    follow_up_state: Literal["open", "done"]

    @classmethod
    def of(cls, finding: LeadFinding) -> LeadFindingModel:
        """Return the shape of a finding."""
        return cls.model_validate(finding)


def _dump_scan(scan: LeadScan) -> dict[str, Any]:
    return {
        "scan_id": scan.scan_id,
        "window": scan.window.kind,
        "from_at": scan.window.from_at,
        "to_at": scan.window.to_at,
        "is_dry_run": scan.is_dry_run,
        "decisions_count": scan.decisions_count,
        "findings_count": scan.findings_count,
        "new_count": scan.new_count,
        "alert": scan.alert,
    }
