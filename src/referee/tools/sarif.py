"""A tool's report as a SARIF 2.1.0 log.

One run per log: the driver with the rules that matched, every finding as a
result with its fingerprint, findings that the code suppresses marked so, how the
tool ended, and what was not examined as notifications. Times are left out unless
given, so the same report always renders the same log.

Source:
    SARIF 2.1.0 with errata 01, OASIS Standard.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from referee.core.addresses import Address
from referee.core.errors import IntegrityError
from referee.core.findings import JsonValue, Location, Rule, ToolFinding, ToolReport
from referee.tools.contract import ToolDescription
from referee.tools.fingerprints import (
    FINGERPRINT_VERSION,
    CodeLineProvider,
    compute_fingerprints,
)
from referee.tools.severity import compute_sarif_level

if TYPE_CHECKING:
    from jsonschema_rs import Draft4Validator

__all__ = ["SARIF_SCHEMA_URL", "SarifInvocation", "render_sarif", "validate_sarif"]

SARIF_SCHEMA_URL: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_SCHEMA_PATH = Path(__file__).parent / "schemas" / "sarif-2.1.0.json"
_FINGERPRINT_KEY = f"refereeFingerprint/v{FINGERPRINT_VERSION}"
MAX_SNIPPET_CHARACTERS = 400
"""Longest snippet of a code line; a minified line says nothing beyond it."""
_SECURITY_SEVERITIES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0", "info": "0.0"}
"""What code-scanning services read from a rule; the middle of each CVSS band."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SarifInvocation:
    """How the tool ended, for the log's ``invocations``."""

    is_successful: bool
    """Whether the run came to a result."""
    exit_code: int | None = None
    reason: str = ""
    """One sentence when it did not end by itself or came to no result."""
    command: Sequence[str] = ()
    """The command line, without host folders."""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Index:
    """Where rules and artifacts stand in the log."""

    rules: Mapping[str, int]
    artifacts: Mapping[str, int]
    uris: Mapping[str, str]
    code_line: CodeLineProvider


def render_sarif(
    description: ToolDescription,
    version: str,
    report: ToolReport,
    *,
    invocation: SarifInvocation,
    code_line: CodeLineProvider,
    fingerprints: Sequence[str] | None = None,
    automation_id: str = "",
    subject_digest: str = "",
) -> dict[str, JsonValue]:
    """Return a valid SARIF 2.1.0 log of one tool run.

    Args:
        description: The tool.
        version: Its version, as it calls it.
        report: What it found. For a run without a report pass an empty one and say why in ``invocation``.
        invocation: How it ended.
        code_line: Gives the text of a line, for snippets and fingerprints.
        fingerprints: Fingerprint of each finding when they are known already, in the same order.
        automation_id: Names the analysis that the run belongs to.
        subject_digest: Digest of the source that was judged.
    """
    known = (
        fingerprints
        if fingerprints is not None
        else compute_fingerprints(description, report.findings, code_line)
    )
    rules = _collect_rules(report)
    paths = sorted({location.path for finding in report.findings for location in _places_of(finding)})
    index = _Index(
        rules={rule.rule_id: number for number, rule in enumerate(rules)},
        artifacts={path: number for number, path in enumerate(paths)},
        uris={path: _uri_of(path) for path in paths},
        code_line=code_line,
    )
    results: list[JsonValue] = [
        _render_result(finding, fingerprint, index)
        for finding, fingerprint in zip(report.findings, known, strict=True)
    ]
    run: dict[str, JsonValue] = {
        "tool": {"driver": _render_driver(description, version, rules)},
        "invocations": [_render_invocation(invocation, report)],
        "artifacts": [_render_artifact(path, index) for path in paths],
        "originalUriBaseIds": {"SUBJECT": {"description": {"text": "The folder that was analysed."}}},
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": _render_run_properties(report, subject_digest),
    }
    if automation_id:
        run["automationDetails"] = {"id": automation_id}
    return {"$schema": SARIF_SCHEMA_URL, "version": "2.1.0", "runs": [run]}


def validate_sarif(log: Mapping[str, JsonValue]) -> None:
    """Check a whole log against the OASIS schema; 50,000 results take well under a second.

    Raises:
        IntegrityError: It does not fit; the message names the first place and why.
    """
    error = next(_validator().iter_errors(log), None)
    if error is None:
        return
    place = "/".join(str(part) for part in error.instance_path)
    raise IntegrityError(
        "tools.sarif_invalid",
        f"The SARIF log does not fit the schema at /{place}: {error.message[:300]}",
        "This is a fault of Referee's writer, not of the analysed code; please report it.",
    )


@cache
def _validator() -> Draft4Validator:
    from jsonschema_rs import Draft4Validator as Validator  # noqa: PLC0415 - only a log that is written pays for it

    return Validator(json.loads(_SCHEMA_PATH.read_text(encoding="utf-8")), validate_formats=True)


def _collect_rules(report: ToolReport) -> list[Rule]:
    rules = {rule.rule_id: rule for rule in report.rules}
    for finding in report.findings:
        if finding.rule_id not in rules:
            rules[finding.rule_id] = Rule(finding.rule_id, finding.rule_id, finding.rule_id, finding.severity)
    return [rules[rule_id] for rule_id in sorted(rules)]


def _render_driver(description: ToolDescription, version: str, rules: Sequence[Rule]) -> dict[str, JsonValue]:
    return {
        "name": description.name,
        "version": version or "unknown",
        "informationUri": description.homepage_url,
        "shortDescription": {"text": description.summary},
        "rules": [_render_rule(rule) for rule in rules],
        "properties": {"adapterVersion": description.adapter_version, "license": description.license},
    }


def _render_rule(rule: Rule) -> JsonValue:
    properties: dict[str, JsonValue] = {"severity": rule.default_severity.value}
    if rule.cwe_ids:
        properties["cwe"] = [f"CWE-{number}" for number in rule.cwe_ids]
        properties["tags"] = ["security", *(f"external/cwe/cwe-{number:03d}" for number in rule.cwe_ids)]
        properties["security-severity"] = _SECURITY_SEVERITIES[rule.default_severity.value]
    rendered: dict[str, JsonValue] = {
        "id": rule.rule_id,
        "name": rule.name or rule.rule_id,
        "shortDescription": {"text": rule.summary or rule.name or rule.rule_id},
        "defaultConfiguration": {"level": compute_sarif_level(rule.default_severity)},
        "properties": properties,
    }
    if rule.help_url:
        rendered["helpUri"] = rule.help_url
    return rendered


def _render_result(finding: ToolFinding, fingerprint: str, index: _Index) -> JsonValue:
    properties: dict[str, JsonValue] = {"severity": finding.severity.value, **finding.properties}
    if finding.tool_severity:
        properties["toolSeverity"] = finding.tool_severity
    if finding.confidence:
        properties["confidence"] = finding.confidence.value
    if finding.cwe_ids:
        properties["cwe"] = [f"CWE-{number}" for number in finding.cwe_ids]
    result: dict[str, JsonValue] = {
        "ruleId": finding.rule_id,
        "ruleIndex": index.rules[finding.rule_id],
        "level": compute_sarif_level(finding.severity),
        "message": {"text": finding.message or finding.rule_id},
        "partialFingerprints": {_FINGERPRINT_KEY: fingerprint},
        "properties": properties,
    }
    place = _render_location(finding.location, index, has_snippet=True) if finding.location else {}
    if finding.address:
        place["logicalLocations"] = [_render_address(finding.address)]
    if place:
        result["locations"] = [place]
    if finding.related:
        result["relatedLocations"] = [
            {"id": number, **_render_location(location, index, has_snippet=False)}
            for number, location in enumerate(finding.related)
        ]
    if finding.suppression is not None:
        result["suppressions"] = [
            {"kind": "inSource", "status": "accepted", "justification": finding.suppression or "in the code"}
        ]
    return result


def _render_artifact(path: str, index: _Index) -> dict[str, JsonValue]:
    return {"location": {"uri": index.uris[path], "uriBaseId": "SUBJECT", "index": index.artifacts[path]}}


def _render_location(location: Location, index: _Index, *, has_snippet: bool) -> dict[str, JsonValue]:
    physical: dict[str, JsonValue] = {"artifactLocation": _render_artifact(location.path, index)["location"]}
    if location.start_line is not None and location.start_line >= 1:
        region: dict[str, JsonValue] = {"startLine": location.start_line}
        numbers = {
            "startColumn": location.start_column,
            "endLine": location.end_line,
            "endColumn": location.end_column,
        }
        region |= {key: number for key, number in numbers.items() if number is not None and number >= 1}
        text = index.code_line(location.path, location.start_line) if has_snippet else None
        if text is not None:
            region["snippet"] = {"text": text[:MAX_SNIPPET_CHARACTERS]}
        physical["region"] = region
    return {"physicalLocation": physical}


def _render_address(address: Address) -> JsonValue:
    """A place of the running app has no file: it is a resource by its name."""
    return {"fullyQualifiedName": str(address), "kind": "resource"}


def _render_invocation(invocation: SarifInvocation, report: ToolReport) -> JsonValue:
    problems = [text for text in (invocation.reason, report.failure) if text]
    notifications: list[JsonValue] = [
        {"level": "error", "message": {"text": text}} for text in dict.fromkeys(problems)
    ]
    notifications += [{"level": "note", "message": {"text": text}} for text in report.notices]
    for hole in report.coverage.holes:
        what = "was not examined" if hole.kind == "skipped" else "could not be read"
        notifications.append({"level": "warning", "message": {"text": f"{hole.name} {what}: {hole.reason}"}})
    rendered: dict[str, JsonValue] = {
        "executionSuccessful": invocation.is_successful,
        "toolExecutionNotifications": notifications,
    }
    if invocation.exit_code is not None:
        rendered["exitCode"] = invocation.exit_code
    elif invocation.reason:
        rendered["processStartFailureMessage"] = invocation.reason
    if invocation.command:
        rendered["arguments"] = list(invocation.command)
    for key, instant in (("startTimeUtc", invocation.started_at), ("endTimeUtc", invocation.ended_at)):
        if instant is not None:
            rendered[key] = instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return rendered


def _render_run_properties(report: ToolReport, subject_digest: str) -> dict[str, JsonValue]:
    coverage = report.coverage
    properties: dict[str, JsonValue] = {
        "coverage": {
            "unit": coverage.unit,
            "examinedCount": coverage.examined_count,
            "skippedCount": coverage.skipped_count,
            "unreadableCount": coverage.unreadable_count,
            "suppressedCount": coverage.suppressed_count,
            "dataOn": coverage.data_on,
            "dataCount": coverage.data_count,
        },
        "isPartial": report.is_partial,
    }
    if report.measurements:
        properties["measurements"] = [
            {
                "name": one.name,
                "value": one.value,
                "unit": one.unit,
                "path": one.location.path if one.location else None,
                "address": str(one.address) if one.address else None,
            }
            for one in report.measurements
        ]
    if subject_digest:
        properties["subjectDigest"] = subject_digest
    return properties


def _places_of(finding: ToolFinding) -> tuple[Location, ...]:
    return (finding.location, *finding.related) if finding.location else finding.related


def _uri_of(path: str) -> str:
    """A path's own percent signs are escaped too, so the address leads back to exactly this path."""
    return quote(path, safe="/-._~!$&'()*+,;=@")
