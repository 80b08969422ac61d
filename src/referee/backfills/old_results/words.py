"""The words of old results and what they mean here: tools, services, statuses, severities, slugs."""

from __future__ import annotations

import re
from typing import Final

from referee.core.findings import JsonValue
from referee.core.vocabulary import Confidence, Outcome, Service, Severity

__all__ = [
    "KNOWN_TOOLS",
    "LANGUAGE_GROUPS",
    "is_metadata_key",
    "make_slug_key",
    "read_confidence",
    "read_outcome",
    "read_service",
    "read_severity",
    "read_tool_name",
    "service_of_tool",
]

_TOOLS_BY_SERVICE: Final = {
    Service.static: (
        "bandit", "pylint", "mypy", "vulture", "safety", "semgrep", "eslint", "jshint", "ruff", "radon", "flake8",
        "detect-secrets", "pip-audit", "npm-audit", "npm-advisories", "jscpd", "snyk", "stylelint", "html-validator",
        "gitleaks", "hadolint", "codespell", "structure",
    ),
    Service.dynamic: (
        "curl", "nmap", "zap", "wapiti", "connectivity", "port-scan", "curl-endpoint-tester", "nuclei", "nikto",
    ),
    Service.performance: ("ab", "aiohttp", "locust", "artillery", "k6", "wrk"),
    Service.ai: ("requirements-scanner", "code-quality-analyzer", "gpt4all-requirements"),
}  # fmt: skip
_SERVICE_OF: Final = {tool: service for service, tools in _TOOLS_BY_SERVICE.items() for tool in tools}
KNOWN_TOOLS: Final = frozenset(_SERVICE_OF) - {"structure"}
"""Tools that results were ever seen of."""
_TOOL_ALIASES: Final = {
    "zap-security-scan": "zap",
    "owasp-zap": "zap",
    "zaproxy": "zap",
    "apache-bench": "ab",
    "apachebench": "ab",
    "npm-audit-json": "npm-audit",
    "port-scanning": "port-scan",
    "requirements-analyzer": "requirements-scanner",
    "html-validate": "html-validator",
}
_TOOL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,59}")
LANGUAGE_GROUPS: Final = frozenset(
    ("python", "javascript", "typescript", "css", "html", "structure", "general")
)
_METADATA_KEYS: Final = frozenset(
    (
        "tool_status", "metadata", "file_counts", "security_files", "total_files", "summary", "status", "timestamp",
        "analysis_time", "model_slug", "app_number", "tools_used", "tools_requested", "tools_failed", "tools_skipped",
        "tools_successful", "configuration", "configuration_applied", "config", "schema", "error", "errors",
        "severity_breakdown", "findings_by_tool", "total_issues", "total_findings", "target_urls", "task",
        "analysis_type", "service", "service_name", "version", "success", "message", "structure", "duration",
        "reachable_urls", "claims", "options", "statistics", "measurements",
    )
)  # fmt: skip
_SERVICE_WORDS: Final = (
    ("static", Service.static),
    ("security", Service.static),
    ("quality", Service.static),
    ("dynamic", Service.dynamic),
    ("zap", Service.dynamic),
    ("perf", Service.performance),
    ("load", Service.performance),
    ("ai", Service.ai),
    ("openrouter", Service.ai),
    ("video", Service.video),
)
_OUTCOMES: Final = {
    "success": Outcome.succeeded, "succeeded": Outcome.succeeded, "completed": Outcome.succeeded,
    "complete": Outcome.succeeded, "ok": Outcome.succeeded, "no_issues": Outcome.succeeded,
    "no_issues_found": Outcome.succeeded, "issues_found": Outcome.succeeded, "passed": Outcome.succeeded,
    "clean": Outcome.succeeded, "findings": Outcome.succeeded, "executed": Outcome.succeeded,
    "error": Outcome.failed, "failed": Outcome.failed, "failure": Outcome.failed, "partial": Outcome.failed,
    "crashed": Outcome.failed, "exception": Outcome.failed,
    "timeout": Outcome.timed_out, "timed_out": Outcome.timed_out,
    "not_available": Outcome.unavailable, "unavailable": Outcome.unavailable, "not_installed": Outcome.unavailable,
    "missing": Outcome.unavailable,
    "skipped": Outcome.skipped, "disabled": Outcome.skipped, "not_run": Outcome.skipped, "pending": Outcome.skipped,
    "not_applicable": Outcome.not_applicable, "no_files": Outcome.not_applicable,
    "targets_unreachable": Outcome.target_unreachable, "target_unreachable": Outcome.target_unreachable,
    "unreachable": Outcome.target_unreachable,
    "cancelled": Outcome.cancelled, "canceled": Outcome.cancelled, "parse_error": Outcome.parse_error,
}  # fmt: skip
_SEVERITIES: Final = {
    "critical": Severity.critical, "fatal": Severity.critical, "blocker": Severity.critical,
    "high": Severity.high, "error": Severity.high, "danger": Severity.high, "severe": Severity.high,
    "major": Severity.high,
    "medium": Severity.medium, "moderate": Severity.medium, "warning": Severity.medium, "warn": Severity.medium,
    "low": Severity.low, "minor": Severity.low, "note": Severity.low, "suggestion": Severity.low,
    "refactor": Severity.low, "convention": Severity.low, "style": Severity.low,
    "info": Severity.info, "informational": Severity.info, "none": Severity.info, "unknown": Severity.info,
    "2": Severity.high, "1": Severity.medium, "undefined": Severity.info,
}  # fmt: skip


def read_tool_name(text: object) -> str | None:
    """Return the one spelling of a tool's name; None for what cannot be a name."""
    name = str(text).strip().lower().replace("_", "-").replace(" ", "-")[:61]
    name = _TOOL_ALIASES.get(name, name)
    return name if _TOOL_NAME.fullmatch(name) else None


def is_metadata_key(key: str) -> bool:
    """Return whether a key that stands beside tools is none."""
    return key.startswith("_") or key.lower() in _METADATA_KEYS


def read_service(text: object) -> Service | None:
    """Return the service that a word such as ``static-analyzer`` means; None when it means none."""
    word = str(text).lower()
    return next((service for prefix, service in _SERVICE_WORDS if word.startswith(prefix)), None)


def service_of_tool(tool: str) -> Service | None:
    """Return the service that a known tool belongs to."""
    return _SERVICE_OF.get(tool)


def read_outcome(text: object) -> Outcome | None:
    """Return what a status word means; None for an unknown one."""
    return _OUTCOMES.get(str(text).strip().lower().replace(" ", "_").replace("-", "_"))


def read_severity(value: JsonValue, default: Severity = Severity.medium) -> Severity:
    """Return the severity that a word or number means.

    A number from 0 to 10 with a fraction, or above 2, is a CVSS score: from 7 it is high, from 4 medium.
    """
    if isinstance(value, bool) or value is None:
        return default
    if isinstance(value, float) or (isinstance(value, int) and value > 2):
        return Severity.high if value >= 7 else Severity.medium if value >= 4 else Severity.low
    # ``High (Medium)`` is how scanners write risk and confidence in one.
    word = str(value).strip().lower().split(" ", 1)[0]
    return _SEVERITIES.get(word, default)


def read_confidence(value: JsonValue) -> Confidence | None:
    """Return the confidence that a word or a percentage means; None when it means none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        share = value / 100 if value > 1 else value
        return Confidence.high if share >= 0.9 else Confidence.medium if share >= 0.6 else Confidence.low
    try:
        return Confidence(str(value).strip().lower())
    except ValueError:
        return None


def make_slug_key(slug: str) -> str:
    """Return what all spellings of a model's slug share: lower case, one dash for every other sign."""
    return re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-")
