"""The words and numbers that tools use for "how bad", as one severity.

A tool that knows its rules keeps a table of its own; this is for the words that
mean the same in many tools.
"""

from __future__ import annotations

from typing import Final, Literal

from referee.core.vocabulary import Confidence, Severity

__all__ = [
    "SarifLevel",
    "compute_confidence",
    "compute_sarif_level",
    "compute_severity",
    "compute_severity_from_cvss",
]

SarifLevel = Literal["error", "warning", "note", "none"]

_WORDS: Final[dict[str, Severity]] = {
    "critical": Severity.critical,
    "fatal": Severity.critical,
    "high": Severity.high,
    "error": Severity.high,
    "danger": Severity.high,
    "severe": Severity.high,
    "2": Severity.high,
    "medium": Severity.medium,
    "moderate": Severity.medium,
    "warning": Severity.medium,
    "1": Severity.medium,
    "low": Severity.low,
    "minor": Severity.low,
    "note": Severity.low,
    "suggestion": Severity.low,
    "info": Severity.info,
    "informational": Severity.info,
    "none": Severity.info,
    "unknown": Severity.info,
}

_CONFIDENCES: Final[dict[str, Confidence]] = {
    "high": Confidence.high,
    "certain": Confidence.high,
    "medium": Confidence.medium,
    "low": Confidence.low,
    "tentative": Confidence.low,
}

_SARIF_LEVELS: Final[dict[Severity, SarifLevel]] = {
    Severity.critical: "error",
    Severity.high: "error",
    Severity.medium: "warning",
    Severity.low: "note",
    Severity.info: "note",
}


def compute_severity(word: str | float | None, *, default: Severity = Severity.medium) -> Severity:
    """Return the severity that a tool's word or number means.

    Args:
        word: The tool's own word in any case, or eslint's numbers 1 and 2.
        default: What an absent or unknown word means.
    """
    if word is None:
        return default
    text = f"{word:g}" if isinstance(word, int | float) else word
    return _WORDS.get(text.strip().lower(), default)


def compute_confidence(word: str | None) -> Confidence | None:
    """Return the confidence that a tool's word means, None when it says nothing."""
    return _CONFIDENCES.get((word or "").strip().lower())


def compute_severity_from_cvss(score: float) -> Severity:
    """Return the severity of a CVSS v3 or v4 base score between 0 and 10.

    Source:
        CVSS v3.1 specification, section 5, qualitative severity rating scale.
    """
    if score >= 9.0:
        return Severity.critical
    if score >= 7.0:
        return Severity.high
    if score >= 4.0:
        return Severity.medium
    return Severity.low if score > 0 else Severity.info


def compute_sarif_level(severity: Severity) -> SarifLevel:
    """Return the SARIF level that shows this severity."""
    return _SARIF_LEVELS[severity]
