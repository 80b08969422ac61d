"""What became of one tool run, before it is in the database.

Pure values and pure functions: the outcome is decided here from the four
facts (did it run, what its exit meant, did its output parse, how many
findings), and findings get their fingerprint and code line.

Not here: running (``running.py``) and storing (``recording.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from referee.core.findings import Coverage, JsonValue, Measurement, Rule, ToolFinding, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Outcome, ParseState
from referee.foundation.store import Artifact
from referee.tools.contract import RawOutput, ToolDescription
from referee.tools.fingerprints import compute_cluster_key, compute_fingerprints

__all__ = [
    "PreparedOccurrence",
    "RawStream",
    "SourceLines",
    "ToolRunResult",
    "Verdict",
    "digest_json",
    "digest_occurrences",
    "dump_coverage",
    "judge_run",
    "prepare_occurrences",
]

_CODE_LINE_CHARACTERS: Final = 500
"""Kept of a line of code: enough to recognise it; the whole file is an artifact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedOccurrence:
    """A finding with everything its rows need."""

    finding: ToolFinding
    fingerprint: str
    cluster_key: str | None
    code_line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RawStream:
    """One stream of verbatim output, as an artifact."""

    artifact: Artifact
    total_bytes: int
    is_truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRunResult:
    """All there is to record about a tool run that has ended."""

    outcome: Outcome
    reason: str
    """One sentence: why this outcome, when it is not plain success."""
    did_run: bool
    exit_meaning: ExitMeaning
    parse_state: ParseState
    exit_code: int | None = None
    occurrences: tuple[PreparedOccurrence, ...] = ()
    app_run_id: UUID | None = None
    """The run of the app that it judged."""
    is_counted: bool = False
    """Whether the number of findings is known; "0 findings" is said only then."""
    rules: tuple[Rule, ...] = ()
    coverage: Coverage | None = None
    measurements: tuple[Measurement, ...] = ()
    notices: tuple[str, ...] = ()
    version: str | None = None
    adapter_version: int | None = None
    cache_key: str | None = None
    command: tuple[str, ...] = ()
    isolation: Mapping[str, JsonValue] | None = None
    plan: Mapping[str, JsonValue] | None = None
    raw: Mapping[str, RawStream] = field(default_factory=dict)
    sarif: Artifact | None = None
    sources: Mapping[str, Artifact] = field(default_factory=dict)
    """Artifacts of the files that findings stand in, by path."""
    duration_ms: int | None = None
    cpu_ms: int | None = None
    peak_memory_bytes: int | None = None
    ended_at: datetime | None = None
    """When the tool had ended; None: as this is recorded."""

    @property
    def findings_count(self) -> int | None:
        """Occurrences that the code does not suppress; None when it cannot be known."""
        if not self.is_counted:
            return None
        return sum(occurrence.finding.suppression is None for occurrence in self.occurrences)

    @property
    def suppressed_count(self) -> int | None:
        """Occurrences that the code suppresses; None when it cannot be known."""
        if not self.is_counted:
            return None
        return sum(occurrence.finding.suppression is not None for occurrence in self.occurrences)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Every artifact this result refers to."""
        found = [stream.artifact for stream in self.raw.values()]
        found.extend(self.sources.values())
        if self.sarif is not None:
            found.append(self.sarif)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome and facts of a run."""

    outcome: Outcome
    reason: str
    did_run: bool
    exit_meaning: ExitMeaning
    parse_state: ParseState


def judge_run(
    description: ToolDescription, raw: RawOutput, report: ToolReport | None, unreadable: str | None
) -> Verdict:
    """Decide a run's outcome from what ended, what was printed and what could be read.

    Args:
        description: The tool's.
        raw: Its output.
        report: What was parsed; None when nothing could be.
        unreadable: Why nothing could be parsed.
    """
    state = _parse_state(report, unreadable)
    match raw.end:
        case "not_started":
            reason = raw.reason or "It could not be started."
            return Verdict(Outcome.failed, reason, False, ExitMeaning.not_run, ParseState.not_attempted)
        case "cancelled":
            return Verdict(Outcome.cancelled, "It was cancelled.", True, ExitMeaning.killed, state)
        case "timed_out" | "cpu_exceeded":
            return Verdict(Outcome.timed_out, raw.reason, True, ExitMeaning.killed, state)
        case "signaled" | "memory_exceeded":
            return Verdict(Outcome.failed, raw.reason, True, ExitMeaning.killed, state)
        case "exited":
            return _judge_exit(description, raw, report, unreadable)


def _judge_exit(
    description: ToolDescription, raw: RawOutput, report: ToolReport | None, unreadable: str | None
) -> Verdict:
    code = -1 if raw.exit_code is None else raw.exit_code
    meaning = description.exit_codes.get(code, ExitMeaning.unknown)
    if report is not None and report.unreachable is not None:
        return Verdict(Outcome.target_unreachable, report.unreachable, True, meaning, ParseState.parsed)
    if report is not None and report.not_applicable is not None:
        return Verdict(Outcome.not_applicable, report.not_applicable, True, meaning, ParseState.parsed)
    is_expected = meaning in (ExitMeaning.clean, ExitMeaning.findings)
    if report is None:
        sentence = unreadable or "Its output could not be read."
        if is_expected:
            return Verdict(Outcome.parse_error, sentence, True, meaning, ParseState.unreadable)
        sentence = f"It ended with exit code {code}: {sentence}"
        return Verdict(Outcome.failed, sentence, True, meaning, ParseState.unreadable)
    if report.is_partial:
        sentence = report.failure or "Its output is incomplete."
        return Verdict(Outcome.parse_error, sentence, True, meaning, ParseState.partial)
    if report.failure is not None:
        return Verdict(Outcome.failed, report.failure, True, meaning, ParseState.parsed)
    if meaning is ExitMeaning.usage_error:
        sentence = f"It refused its command line with exit code {code}."
        return Verdict(Outcome.failed, sentence, True, meaning, ParseState.parsed)
    if not is_expected and not report.coverage.examined_count:
        sentence = f"It ended with exit code {code} and examined nothing."
        return Verdict(Outcome.failed, sentence, True, meaning, ParseState.parsed)
    return _judge_coverage(report.coverage, meaning)


def _judge_coverage(coverage: Coverage, meaning: ExitMeaning) -> Verdict:
    """Decide whether a run that ended well looked at anything: nothing examined is never clean."""
    unit = "dependencies" if coverage.unit == "dependency" else f"{coverage.unit}s"
    if coverage.examined_count:
        return Verdict(Outcome.succeeded, "", True, meaning, ParseState.parsed)
    if coverage.unreadable_count:
        sentence = f"It could read none of its {coverage.unreadable_count} {unit}."
        return Verdict(Outcome.failed, sentence, True, meaning, ParseState.parsed)
    if coverage.skipped_count:
        sentence = f"None of the {coverage.skipped_count} {unit} could be judged."
        return Verdict(Outcome.not_applicable, sentence, True, meaning, ParseState.parsed)
    if coverage.unit == "dependency":
        sentence = "There are no dependencies to judge."
        return Verdict(Outcome.not_applicable, sentence, True, meaning, ParseState.parsed)
    # A tool is only run when there are files for it.
    return Verdict(Outcome.failed, f"It examined none of the {unit}.", True, meaning, ParseState.parsed)


def prepare_occurrences(
    description: ToolDescription, report: ToolReport, lines: SourceLines
) -> tuple[PreparedOccurrence, ...]:
    """Give each finding of a report its code line, fingerprint and cluster. Reads source files; blocking."""
    fingerprints = compute_fingerprints(description, report.findings, lines.line)
    prepared = []
    for finding, fingerprint in zip(report.findings, fingerprints, strict=True):
        path = None if finding.location is None else finding.location.path
        line = None if finding.location is None else finding.location.start_line
        code_line = lines.line(path, line) if path is not None and line is not None else None
        prepared.append(
            PreparedOccurrence(
                finding=finding,
                fingerprint=fingerprint,
                cluster_key=compute_cluster_key(path, line, finding.cwe_ids),
                code_line=(code_line or "")[:_CODE_LINE_CHARACTERS],
            )
        )
    return tuple(prepared)


def digest_json(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON: sorted keys, no spaces, UTF-8.

    Source:
        RFC 8785 for the idea; numbers here are integers, booleans and short decimals, which
        Python and JSON write alike.
    """
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=list).encode()
    ).hexdigest()


def digest_occurrences(rows: Iterable[Sequence[object]]) -> str:
    """Return the SHA-256 over stored occurrence rows, in the order of their ordinals."""
    digest = hashlib.sha256(b"referee-occurrences-1\0")
    for row in rows:
        digest.update(
            json.dumps(list(row), separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()
        )
        digest.update(b"\n")
    return digest.hexdigest()


def dump_coverage(coverage: Coverage) -> dict[str, JsonValue]:
    """Return a coverage as the JSON that is stored and shown."""
    data = asdict(coverage)
    data["holes"] = [asdict(hole) for hole in coverage.holes]
    return data


class SourceLines:
    """Lines of snapshot files, each file read once. Blocking."""

    def __init__(self, snapshot: SourceSnapshot) -> None:
        self._snapshot = snapshot
        self._lines: dict[str, list[str]] = {}

    def line(self, path: str, number: int) -> str | None:
        """Return the text of a line counted from 1, None when there is no such line."""
        if path not in self._snapshot.by_path:
            return None
        lines = self._lines.get(path)
        if lines is None:
            data = (self._snapshot.root / path).read_bytes()
            lines = data.decode("utf-8", "replace").replace("\0", "\ufffd").split("\n")
            self._lines[path] = lines
        return lines[number - 1].rstrip("\r") if 1 <= number <= len(lines) else None


def _parse_state(report: ToolReport | None, unreadable: str | None) -> ParseState:
    """Return how far the output of a run that did not end by itself could be read."""
    if report is not None:
        return ParseState.partial
    return ParseState.not_attempted if unreadable is None else ParseState.unreadable
