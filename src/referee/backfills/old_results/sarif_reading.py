"""SARIF logs of old results and of other programs, read as far as findings go; SARIF 2.1.0 and its older shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from referee.backfills.old_results.issues import FoundIssues, clean_path, read_cwe_ids, shorten
from referee.backfills.old_results.words import read_severity, read_tool_name
from referee.core.findings import Location, Rule, ToolFinding
from referee.core.vocabulary import Severity

__all__ = ["SarifRun", "is_sarif", "read_sarif"]

_LEVELS: Final = {
    "error": Severity.high,
    "warning": Severity.medium,
    "note": Severity.low,
    "none": Severity.info,
}


@dataclass(slots=True)
class SarifRun:
    """One run of a log."""

    tool: str
    version: str | None = None
    found: FoundIssues = field(default_factory=FoundIssues)
    is_successful: bool = True
    reason: str = ""


def is_sarif(document: object) -> bool:
    """Return whether a document has the structure of a SARIF log."""
    return (
        isinstance(document, Mapping)
        and isinstance(document.get("runs"), list)
        and any(
            isinstance(run, Mapping) and ("tool" in run or "results" in run)
            for run in document["runs"] or [{"tool": 0}]
        )
    )


def read_sarif(log: Mapping[str, Any]) -> Iterator[SarifRun]:
    """Yield the runs of a log; results that say nothing are counted as unreadable."""
    for run in log["runs"]:
        if isinstance(run, Mapping):
            yield _read_run(run)


def _read_run(run: Mapping[str, Any]) -> SarifRun:
    driver = _mapping(_mapping(run.get("tool")).get("driver"))
    version = driver.get("semanticVersion") or driver.get("version")
    read = SarifRun(
        tool=read_tool_name(driver.get("name") or "sarif") or "sarif",
        version=None if not isinstance(version, str) or version == "unknown" else version[:60],
    )
    rules = [rule for rule in driver.get("rules") or [] if isinstance(rule, Mapping)]
    by_id = {str(rule.get("id")): rule for rule in rules}
    for result in run.get("results") or []:
        if not isinstance(result, Mapping):
            read.found.unreadable_count += 1
            continue
        index = result.get("ruleIndex")
        is_index = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(rules)
        rule = (
            rules[index] if is_index and isinstance(index, int) else by_id.get(str(result.get("ruleId")), {})
        )
        _add_result(read.found, result, rule)
    for invocation in run.get("invocations") or []:
        if isinstance(invocation, Mapping) and invocation.get("executionSuccessful") is False:
            read.is_successful = False
            read.reason = shorten(
                invocation.get("exitCodeDescription") or "The log says that it failed.", 300
            )
    return read


def _add_result(found: FoundIssues, result: Mapping[str, Any], rule: Mapping[str, Any]) -> None:
    rule_id = shorten(result.get("ruleId") or rule.get("id") or "unnamed", 200)
    message = _text(result.get("message")) or _text(rule.get("shortDescription")) or rule_id
    place, snippet = _read_place(result)
    properties = _mapping(result.get("properties"))
    severity, word = _read_level(result, rule, properties)
    suppressions = result.get("suppressions")
    cwe_ids = read_cwe_ids(properties.get("cwe") or _mapping(rule.get("properties")).get("cwe"))
    finding = ToolFinding(
        rule_id=rule_id,
        message=shorten(message, 2_000),
        severity=severity,
        location=place,
        tool_severity=shorten(word, 60),
        cwe_ids=cwe_ids,
        suppression="suppressed" if isinstance(suppressions, list) and suppressions else None,
        help_url=_read_help(rule.get("helpUri")),
    )
    found.add(finding, snippet)
    found.rules[rule_id] = Rule(
        rule_id=rule_id,
        name=shorten(rule.get("name") or rule_id, 200),
        summary=shorten(_text(rule.get("shortDescription")) or message, 500),
        default_severity=severity,
        help_url=finding.help_url,
        cwe_ids=cwe_ids,
    )


def _read_level(
    result: Mapping[str, Any], rule: Mapping[str, Any], properties: Mapping[str, Any]
) -> tuple[Severity, str]:
    """Return the severity: the tool's own word, else the level of the result, else that of the rule."""
    own = properties.get("severity") or properties.get("issue_severity")
    if isinstance(own, str):
        return read_severity(own), own
    level = result.get("level") or _mapping(rule.get("defaultConfiguration")).get("level") or "warning"
    return _LEVELS.get(str(level), Severity.medium), str(level)


def _read_place(result: Mapping[str, Any]) -> tuple[Location | None, str]:
    for place in result.get("locations") or []:
        physical = _mapping(_mapping(place).get("physicalLocation"))
        path = clean_path(_mapping(physical.get("artifactLocation")).get("uri") or "")
        if not path:
            continue
        region = _mapping(physical.get("region"))
        snippet = _text(region.get("snippet"))
        lines = snippet.strip("\n").splitlines()
        return (
            Location(
                path,
                _number(region.get("startLine")),
                _number(region.get("startColumn")),
                _number(region.get("endLine")),
                _number(region.get("endColumn")),
            ),
            lines[0] if len(lines) == 1 else "",
        )
    return None, ""


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        value = value.get("text") or value.get("markdown")
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
    return value if is_number and isinstance(value, int) else None


def _read_help(value: object) -> str | None:
    is_safe = isinstance(value, str) and value.startswith(("https://", "http://")) and " " not in value
    return value[:500] if is_safe and isinstance(value, str) else None
