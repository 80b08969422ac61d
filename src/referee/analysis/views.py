"""Analyses, tool runs and findings as other rooms, pages and answers see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from referee.core.addresses import Address
from referee.core.findings import JsonValue
from referee.core.vocabulary import (
    AnalysisState,
    Confidence,
    ExitMeaning,
    FindingState,
    Outcome,
    ParseState,
    Service,
    Severity,
    SubjectKind,
)

__all__ = [
    "Analysis",
    "Facet",
    "Finding",
    "FindingEvent",
    "ManifestEntry",
    "Measured",
    "Occurrence",
    "SeverityCounts",
    "Subject",
    "ToolRun",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeverityCounts:
    """Occurrences by severity; those that the code suppresses are apart."""

    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0
    info: int = 0
    suppressed: int = 0

    @property
    def total(self) -> int:
        """All that are not suppressed."""
        return self.critical + self.high + self.medium + self.low + self.info

    def of(self, severity: Severity) -> int:
        """Return the count of one severity."""
        counts: dict[Severity, int] = {
            Severity.critical: self.critical,
            Severity.high: self.high,
            Severity.medium: self.medium,
            Severity.low: self.low,
            Severity.info: self.info,
        }
        return counts[severity]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an analysis judges."""

    subject_id: UUID
    kind: SubjectKind
    name: str
    path: str
    app_id: UUID | None
    model: str | None
    number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One execution that judges one subject."""

    analysis_id: UUID
    sequence: int
    project_id: UUID
    subject: Subject
    job_id: UUID | None
    state: AnalysisState
    reason: str
    profile: str
    template_id: UUID | None
    template: str | None
    """Slug of what the app was asked to do, None where nobody said."""
    is_cache_allowed: bool
    source_digest: str
    files_count: int
    excluded_count: int
    results_path: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    tools_count: int
    ended_count: int
    """Tool runs that have an outcome."""
    complete_count: int
    """Tool runs that succeeded or were not applicable."""
    severities: SeverityCounts

    @property
    def duration_ms(self) -> int | None:
        """From start to end, in milliseconds; None while it runs."""
        if self.started_at is None or self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """One tool inside an analysis: the row of the completeness ledger."""

    tool_run_id: UUID
    analysis_id: UUID
    position: int
    tool: str
    service: Service
    parameters: Mapping[str, JsonValue]
    attempts_count: int
    outcome: Outcome | None
    reason: str
    did_run: bool | None
    exit_meaning: ExitMeaning | None
    exit_code: int | None
    parse_state: ParseState | None
    findings_count: int | None
    suppressed_count: int | None
    version: str | None
    cached_from_tool_run_id: UUID | None
    command: tuple[str, ...]
    isolation: Mapping[str, JsonValue] | None
    coverage: Mapping[str, JsonValue] | None
    notices: tuple[str, ...]
    raw: Mapping[str, JsonValue]
    plan: Mapping[str, JsonValue] | None
    app_run_id: UUID | None
    """The run of the app that it judged; None when it judged source."""
    app_isolation: str | None
    """One sentence: what kept that app in."""
    stands_in_for: str | None
    """Name of the tool whose work it does where that one cannot be had."""
    sarif_sha256: str | None
    findings_digest: str | None
    duration_ms: int | None
    cpu_ms: int | None
    peak_memory_bytes: int | None
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def status(self) -> str:
        """The outcome, or ``running`` or ``queued`` while there is none."""
        if self.outcome is not None:
            return self.outcome.value
        return "queued" if self.started_at is None else "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """Where one tool run saw a finding."""

    tool_run_id: UUID
    ordinal: int
    analysis_id: UUID
    finding_id: UUID
    fingerprint: str
    tool: str
    rule_id: str
    severity: Severity
    tool_severity: str
    confidence: Confidence | None
    message: str
    path: str | None
    start_line: int | None
    start_column: int | None
    end_line: int | None
    end_column: int | None
    address: Address | None
    """Place of the running app, for what was seen there."""
    code_line: str
    source_sha256: str | None
    suppression: str | None
    help_url: str | None
    identity: tuple[str, ...]
    related: tuple[Mapping[str, JsonValue], ...]
    properties: Mapping[str, JsonValue]
    cwe_ids: tuple[int, ...]
    state: FindingState


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding and its life on one subject."""

    finding_id: UUID
    project_id: UUID
    subject_id: UUID
    subject_name: str
    fingerprint: str
    tool: str
    rule_id: str
    severity: Severity
    confidence: Confidence | None
    message: str
    path: str | None
    start_line: int | None
    address: str | None
    """Place of the running app, for what was seen there."""
    cwe_ids: tuple[int, ...]
    is_suppressed: bool
    state: FindingState
    state_reason: str
    cluster_id: UUID | None
    first_analysis_id: UUID
    last_analysis_id: UUID
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingEvent:
    """One change in a finding's life."""

    state: FindingState
    reason: str
    actor: str
    analysis_id: UUID | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A named number of one tool run."""

    tool: str
    name: str
    value: float
    unit: str
    better: str
    path: str | None
    start_line: int | None
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestEntry:
    """One artifact of an analysis."""

    name: str
    sha256: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Facet:
    """A value of a field and how many rows have it."""

    field: str
    value: str
    count: int
