"""What a tool found, in the words that programs of the earlier system read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from referee.analysis.results import judge_run
from referee.analysis.running import ToolOutput
from referee.analysis.storable import make_storable
from referee.core.findings import JsonValue, ToolFinding, ToolReport
from referee.core.vocabulary import Outcome, Service
from referee.tools.contract import RawOutput, Tool, ToolPlan
from referee.tools.reading import OutputUnreadable

__all__ = ["describe_tool", "summarise"]

_MAX_ISSUES_COUNT: Final = 10_000
"""Named in one result; the total is always told."""
_TOOL_WORDS: Final[dict[str, str]] = {
    Outcome.succeeded: "success",
    Outcome.not_applicable: "skipped",
    Outcome.failed: "error",
    Outcome.timed_out: "timeout",
    Outcome.parse_error: "error",
    Outcome.unavailable: "not_available",
    Outcome.target_unreachable: "targets_unreachable",
    Outcome.skipped: "skipped",
    Outcome.cancelled: "error",
}


def describe_tool(tool: Tool, output: ToolOutput) -> dict[str, JsonValue]:
    """Return a tool's entry in ``tool_results``. Blocking: it parses."""
    name = tool.describe().name
    if output.raw is None or output.plan is None:
        return _build(name, output.outcome, output.reason, output, None)
    report, unreadable = _parse(tool, output.raw, output.plan)
    verdict = judge_run(tool.describe(), output.raw, report, unreadable)
    if output.app_lost:
        return _build(name, Outcome.target_unreachable, output.app_lost, output, None)
    return _build(name, verdict.outcome, verdict.reason, output, report)


def summarise(
    service: Service, model_slug: str, app_number: int, results: Mapping[str, Mapping[str, JsonValue]]
) -> dict[str, JsonValue]:
    """Return the fields of a result message: status, service and analysis."""
    severities: Counter[str] = Counter()
    total_count = 0
    for result in results.values():
        breakdown = result["severity_breakdown"]
        if isinstance(breakdown, dict):
            severities.update({word: int(str(count)) for word, count in breakdown.items()})
        total_count += int(str(result["total_issues"] or 0))
    status = _judge([str(result["status"]) for result in results.values()])
    return {
        "status": status,
        "service": f"{service.value}-analyzer",
        "analysis": {
            "model_slug": model_slug,
            "app_number": app_number,
            "status": status,
            "tools_used": list(results),
            "tool_results": {name: dict(result) for name, result in results.items()},
            "summary": {
                "total_issues": total_count,
                "total_issues_found": total_count,
                "severity_breakdown": dict(severities),
                "tools_run_successfully": sum(result["status"] == "success" for result in results.values()),
            },
        },
    }


def _judge(words: list[str]) -> str:
    """Return the one word for a whole service."""
    done_count = sum(word in ("success", "skipped") for word in words)
    if done_count == len(words):
        return "success"
    if done_count:
        return "partial"
    for word in ("targets_unreachable", "timeout"):
        if all(each == word for each in words):
            return word
    return "error"


def _parse(tool: Tool, raw: RawOutput, plan: ToolPlan) -> tuple[ToolReport | None, str | None]:
    if raw.end in ("not_started", "cancelled"):
        return None, None
    try:
        return make_storable(tool.parse(raw, plan)), None
    except OutputUnreadable as error:
        return None, str(error)


def _build(
    name: str, outcome: Outcome, reason: str, output: ToolOutput, report: ToolReport | None
) -> dict[str, JsonValue]:
    findings = [] if report is None else [one for one in report.findings if one.suppression is None]
    severities = Counter(finding.severity.value for finding in findings)
    raw = output.raw
    return {
        "tool": name,
        "status": _TOOL_WORDS[outcome],
        "outcome": outcome.value,
        "error": reason,
        "version": output.version or "",
        "executed": raw is not None,
        "total_issues": None if report is None else len(findings),
        "issue_count": None if report is None else len(findings),
        "severity_breakdown": dict(severities),
        "issues": [_describe_issue(name, finding) for finding in findings[:_MAX_ISSUES_COUNT]],
        "metrics": []
        if report is None
        else [
            {"name": one.name, "value": one.value, "unit": one.unit, "target": str(one.address or "")}
            for one in report.measurements[:_MAX_ISSUES_COUNT]
        ],
        "exit_code": None if raw is None else raw.exit_code,
        "duration_seconds": None if raw is None else raw.duration_ms / 1_000,
    }


def _describe_issue(tool: str, finding: ToolFinding) -> dict[str, JsonValue]:
    location = finding.location
    return {
        "tool": tool,
        "severity": finding.severity.value,
        "confidence": None if finding.confidence is None else finding.confidence.value,
        "file_path": None if location is None else location.path,
        "line_number": None if location is None else location.start_line,
        "column": None if location is None else location.start_column,
        "url": None if finding.address is None else str(finding.address),
        "message": finding.message,
        "description": finding.message,
        "rule_id": finding.rule_id,
    }
