"""One tool's part of an old result: what became of it, what it found, and what it only claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

from referee.backfills.old_results.issues import FoundIssues, shorten
from referee.backfills.old_results.measuring import read_measurements
from referee.backfills.old_results.native_outputs import NativeOutput, read_native_bytes, read_native_shape
from referee.backfills.old_results.sarif_reading import SarifRun
from referee.backfills.old_results.words import read_outcome
from referee.core.findings import Measurement
from referee.core.vocabulary import Outcome, Service, Severity

__all__ = ["ReadEntry", "ToolEntry", "merge_entries", "read_entry", "read_sarif_entry"]

_LISTS: Final = (
    "issues", "findings", "vulnerabilities", "alerts", "results", "messages", "warnings", "violations", "secrets",
    "blocks", "open_ports", "exposed_paths", "missing_headers", "dependencies",
)  # fmt: skip
_ENDPOINTS: Final = ("endpoints", "endpoint_results", "endpoint_tests")
_COUNTS: Final = (
    "total_issues",
    "findings_count",
    "issue_count",
    "total_findings",
    "issues_count",
    "total_alerts",
)
_NATIVE: Final = ("raw_output", "output", "raw", "stdout", "report", "data", "results", "raw_data", "result")
_STATED: Final = (*_LISTS, *_ENDPOINTS, *_COUNTS, "executed", "sarif", "sarif_file", "metrics")
_MAX_FINDINGS: Final = 200_000


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """A tool's part of a document, as it stands there."""

    tool: str
    service: Service | None
    value: Any
    where: str
    """Place in the document."""


@dataclass(slots=True)
class ReadEntry:
    """The same, understood."""

    tool: str
    service: Service | None
    outcome: Outcome | None
    """None when it does not say."""
    reason: str = ""
    found: FoundIssues = field(default_factory=FoundIssues)
    has_findings: bool = False
    """Whether there is a list of findings, be it empty."""
    measurements: list[Measurement] = field(default_factory=list)
    claimed_count: int | None = None
    sarif_file: str | None = None
    output_file: str | None = None
    version: str | None = None
    exit_code: int | None = None
    duration_ms: int | None = None


def read_entry(entry: ToolEntry) -> ReadEntry:
    """Understand a tool's part of a document."""
    value = {"issues": entry.value} if isinstance(entry.value, list) else entry.value
    if not isinstance(value, Mapping):
        value = {}
    read = ReadEntry(entry.tool, entry.service, _read_outcome(value))
    read.reason = shorten(_first_text(value, ("error", "error_message", "reason", "message")), 500)
    read.claimed_count = _read_claim(value)
    read.version = shorten(_first_text(value, ("version", "tool_version")), 60) or None
    read.exit_code = _integer(value.get("exit_code", value.get("returncode")))
    read.duration_ms = _read_duration(value)
    _read_references(read, value)
    _read_lists(read, entry.tool, value)
    if not read.found.findings:
        _read_native(read, entry.tool, value)
    if entry.service in (Service.performance, Service.ai):
        read.measurements = read_measurements(value) or read.measurements
    _read_requirements(read, value)
    return read


def read_sarif_entry(run: SarifRun, service: Service | None) -> ReadEntry:
    """Understand one run of a SARIF log that stands by itself."""
    return ReadEntry(
        run.tool,
        service,
        Outcome.succeeded if run.is_successful else Outcome.failed,
        reason=run.reason,
        found=run.found,
        has_findings=True,
        version=run.version,
    )


def merge_entries(entries: Sequence[ReadEntry]) -> ReadEntry:
    """Return what the parts of one place say of one tool, as one: a finding that several parts tell is one finding."""
    best = max(entries, key=lambda one: (len(one.found.findings), one.outcome is not None, one.has_findings))
    merged = ReadEntry(best.tool, best.service, best.outcome)
    kept: Counter[tuple[object, ...]] = Counter()
    for one in sorted(entries, key=lambda one: one is not best):
        counted: Counter[tuple[object, ...]] = Counter()
        for finding in one.found.findings:
            place = finding.location
            key = (
                None if place is None else (place.path, place.start_line),
                finding.rule_id,
                finding.message,
                str(finding.address or ""),
            )
            counted[key] += 1
            if counted[key] > kept[key]:
                kept[key] = counted[key]
                merged.found.add(finding)
        merged.found.rules = {**one.found.rules, **merged.found.rules}
        merged.found.code_lines = {**one.found.code_lines, **merged.found.code_lines}
        merged.found.unreadable_count = max(merged.found.unreadable_count, one.found.unreadable_count)
        merged.has_findings |= one.has_findings
        merged.outcome = merged.outcome or one.outcome
        merged.reason = merged.reason or one.reason
        merged.version = merged.version or one.version
        merged.measurements = merged.measurements or one.measurements
        merged.duration_ms = one.duration_ms if merged.duration_ms is None else merged.duration_ms
        merged.exit_code = one.exit_code if merged.exit_code is None else merged.exit_code
        if one.claimed_count is not None:
            merged.claimed_count = (merged.claimed_count or 0) + one.claimed_count
    return merged


def _read_outcome(value: Mapping[str, Any]) -> Outcome | None:
    outcome = read_outcome(value.get("outcome", value.get("status")))
    if outcome is not None:
        return outcome
    if value.get("executed") is False:
        return Outcome.skipped
    if isinstance(value.get("success"), bool):
        return Outcome.succeeded if value["success"] else Outcome.failed
    if value.get("error"):
        return Outcome.failed
    return Outcome.succeeded if any(name in value for name in _STATED) else None


def _read_claim(value: Mapping[str, Any]) -> int | None:
    for source in (value, value.get("summary"), value.get("results")):
        if isinstance(source, Mapping):
            counts = [_integer(source.get(name)) for name in _COUNTS]
            stated = next((count for count in counts if count is not None), None)
            if stated is not None:
                return stated
    return None


def _read_references(read: ReadEntry, value: Mapping[str, Any]) -> None:
    sarif = value.get("sarif")
    named = sarif.get("sarif_file", sarif.get("file")) if isinstance(sarif, Mapping) else sarif
    named = named if isinstance(named, str) else value.get("sarif_file")
    read.sarif_file = named if isinstance(named, str) and named else None
    output = value.get("output_file", value.get("raw_output_file"))
    read.output_file = output if isinstance(output, str) and output else None
    if isinstance(sarif, Mapping) and isinstance(sarif.get("runs"), list):
        _take_native(read, read_native_shape(read.tool, sarif))


def _read_lists(read: ReadEntry, tool: str, value: Mapping[str, Any]) -> None:
    for source in (value, value.get("results"), value.get("output"), value.get("raw")):
        if not isinstance(source, Mapping):
            continue
        for name in _LISTS:
            listed = source.get(name)
            if not isinstance(listed, list):
                continue
            read.has_findings = True
            if not read.found.findings and listed:
                native = read_native_shape(tool, listed)
                if native is not None:
                    _take_native(read, native)
                else:
                    read.found.add_all(listed[:_MAX_FINDINGS])
        for name in _ENDPOINTS:
            if isinstance(source.get(name), list):
                read.has_findings = True
                _read_endpoints(read, source[name])


def _read_native(read: ReadEntry, tool: str, value: Mapping[str, Any]) -> None:
    """Look into the tool's own output where the entry keeps it."""
    if isinstance(value.get("vulnerabilities"), Mapping) or isinstance(value.get("alerts"), Mapping):
        _take_native(read, read_native_shape(tool, value))
    for name in _NATIVE:
        output = value.get(name)
        if isinstance(output, Mapping) and isinstance(output.get("stdout"), str):
            output = output["stdout"]
        native = None
        if isinstance(output, str) and output.strip():
            native = read_native_bytes(tool, output.encode("utf-8", "replace"))
        elif isinstance(output, (Mapping, list)) and output and not _is_requirements(output):
            native = read_native_shape(tool, output)
        if native is not None and (native.found.findings or native.measurements or not read.has_findings):
            _take_native(read, native)
            if native.found.findings:
                return


def _take_native(read: ReadEntry, native: NativeOutput | None) -> None:
    if native is None:
        return
    read.found = native.found
    read.has_findings = True
    read.version = read.version or native.version
    read.measurements = read.measurements or native.measurements


def _read_endpoints(read: ReadEntry, endpoints: Sequence[Any]) -> None:
    """Take endpoints that did not answer as expected for findings."""
    for one in endpoints:
        if not isinstance(one, Mapping) or not isinstance(one.get("passed"), bool) or one["passed"]:
            continue
        method, path = str(one.get("method", "GET")), str(one.get("path", one.get("endpoint", "/")))
        expected, actual = (
            one.get("expected", one.get("expected_status")),
            one.get("actual", one.get("actual_status")),
        )
        issue = {
            "rule": "endpoint-failed",
            "message": f"{method} {path} answered {actual} instead of {expected}.",
            "url": f"http://app{path}" if path.startswith("/") else path,
            "method": method,
        }
        read.found.add_all([issue], severity=Severity.medium)


def _is_requirements(value: object) -> bool:
    return isinstance(value, Mapping) and any(
        isinstance(group, list) and any(isinstance(one, Mapping) and "met" in one for one in group)
        for group in (
            *value.values(),
            *((value.get("results") or {}).values() if isinstance(value.get("results"), Mapping) else ()),
        )
    )


def _read_requirements(read: ReadEntry, value: Mapping[str, Any]) -> None:
    """Take requirements that were judged as not met for findings, each with the judge's evidence."""
    for source in (value, value.get("results"), _nested_results(value)):
        if not isinstance(source, Mapping):
            continue
        for group, judged in source.items():
            if not isinstance(judged, list) or not any(
                isinstance(one, Mapping) and "met" in one for one in judged
            ):
                continue
            read.has_findings = True
            read.outcome = read.outcome or Outcome.succeeded
            for one in judged:
                if isinstance(one, Mapping) and one.get("met") is False:
                    text = shorten(one.get("requirement", one.get("req", "")), 1_000)
                    issue = {
                        "rule": f"requirement-not-met-{str(group)[:40]}",
                        "message": f"Not met: {text}",
                        "confidence": one.get("confidence"),
                        "evidence": one.get("evidence", one.get("explanation")),
                        "package": shorten(text, 200),
                    }
                    read.found.add_all([issue], severity=Severity.medium)


def _nested_results(value: Mapping[str, Any]) -> object:
    results = value.get("results")
    return results.get("results") if isinstance(results, Mapping) else None


def _read_duration(value: Mapping[str, Any]) -> int | None:
    for name, factor in (
        ("execution_time_ms", 1), ("duration_ms", 1), ("duration_seconds", 1_000), ("execution_time", 1_000),
        ("duration", 1_000),
    ):  # fmt: skip
        number = value.get(name)
        if (
            isinstance(number, (int, float))
            and not isinstance(number, bool)
            and isfinite(number)
            and 0 <= number < 10**9
        ):
            return round(number * factor)
    return None


def _first_text(value: Mapping[str, Any], names: Sequence[str]) -> str:
    return next(
        (
            str(value[name])
            for name in names
            if isinstance(value.get(name), (str, int, float))
            and not isinstance(value[name], bool)
            and value[name] != ""
        ),
        "",
    )


def _integer(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool) and -(2**31) < value < 2**31
    return value if is_number and isinstance(value, int) else None
