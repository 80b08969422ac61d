"""The words that are stored, sent and shown, each with one meaning.

Values are lower_snake words; they are the same in Python, SQL, JSON, on the
command line and on the page. ``docs/concepts/words.md`` explains them to people.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AnalysisState",
    "Confidence",
    "ExitMeaning",
    "FindingState",
    "Outcome",
    "ParseState",
    "Service",
    "Severity",
    "SubjectKind",
]


class Severity(StrEnum):
    """How bad a finding is, worst first."""

    critical = "critical"
    high = "high"
    medium = "medium"
    low = "low"
    info = "info"

    @property
    def rank(self) -> int:
        """Order for comparison: info 0 … critical 4."""
        return _SEVERITY_RANKS[self]


_SEVERITY_RANKS = {
    Severity.critical: 4,
    Severity.high: 3,
    Severity.medium: 2,
    Severity.low: 1,
    Severity.info: 0,
}


class Confidence(StrEnum):
    """How sure the tool says it is."""

    high = "high"
    medium = "medium"
    low = "low"


class Service(StrEnum):
    """A family of tools that runs together."""

    static = "static"
    dynamic = "dynamic"
    performance = "performance"
    ai = "ai"
    video = "video"


class Outcome(StrEnum):
    """What became of a tool run."""

    succeeded = "succeeded"
    not_applicable = "not_applicable"
    """Nothing of the tool's kind is in the subject; the reason says what was looked for."""
    failed = "failed"
    timed_out = "timed_out"
    parse_error = "parse_error"
    unavailable = "unavailable"
    """The tool cannot be had on this machine; the reason says how to get it."""
    target_unreachable = "target_unreachable"
    skipped = "skipped"
    cancelled = "cancelled"

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing: the tool judged all there was to judge."""
        return self in (Outcome.succeeded, Outcome.not_applicable)


class ExitMeaning(StrEnum):
    """What the end of a tool's process meant, by the tool's own table of exit codes."""

    clean = "clean"
    findings = "findings"
    error = "error"
    usage_error = "usage_error"
    killed = "killed"
    not_run = "not_run"
    unknown = "unknown"


class ParseState(StrEnum):
    """Whether a tool's output could be read."""

    parsed = "parsed"
    partial = "partial"
    """Readable up to a point; what was lost is named in the reason."""
    unreadable = "unreadable"
    not_attempted = "not_attempted"


class AnalysisState(StrEnum):
    """Where an analysis stands.

    ``queued → running → completed | partially_completed | failed | cancelled``;
    ``queued → cancelled``. The last four are final.
    """

    queued = "queued"
    running = "running"
    completed = "completed"
    """Every requested tool ``succeeded`` or was ``not_applicable``, and the manifest is verified."""
    partially_completed = "partially_completed"
    failed = "failed"
    """No requested tool came to a result, or the results could not be stored."""
    cancelled = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (AnalysisState.queued, AnalysisState.running)


class FindingState(StrEnum):
    """Where a finding stands in its life."""

    open = "open"
    fixed = "fixed"
    """A later complete run of the same tool on the same subject no longer reports it."""
    dismissed = "dismissed"
    """A person said it does not count, with a reason."""


class SubjectKind(StrEnum):
    """What an analysis judges."""

    app = "app"
    folder = "folder"
    url = "url"
    video = "video"
