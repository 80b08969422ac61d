"""The rules that every project has from the start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from referee.alerts.rules import RuleDraft, read_rule
from referee.foundation.web.values import ValueSource

__all__ = ["DEFAULT_RULES", "list_default_rules"]

DEFAULT_RULES: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "Analyses asked for twice", "condition": "duplicate_rate > 5%", "severity": "critical",
        "resolved_threshold": "2%", "window": "1h", "every": "1m", "hold": "0s",
        "description": "The same source was sent for analysis again within a minute: a client retries without a key.",
    },
    {
        "name": "Hand-overs of analyzers fail", "condition": "websocket_error_rate > 1%", "severity": "critical",
        "resolved_threshold": "0.5%", "window": "1h", "every": "1m",
        "description": "Results that a remote analyzer handed over were refused.",
    },
    {
        "name": "Static analysis rarely succeeds", "condition": "static_analysis_success < 80%", "severity": "warning",
        "resolved_threshold": "85%", "window": "24h", "every": "5m",
        "description": "A tool of the static service came to no result in too many analyses.",
    },
    {
        "name": "Creating analyses is slow", "condition": "task_creation_p95 > 1000 ms", "severity": "warning",
        "resolved_threshold": "500", "window": "15m", "every": "1m",
        "description": "From the request to the acknowledged analysis, its source copied.",
    },
    {
        "name": "Artifacts are not written", "condition": "artifact_write_failures > 0", "severity": "critical",
        "window": "15m", "every": "1m",
        "description": "The store refused bytes: the disk is full, or broken.",
    },
    {
        "name": "Completion was refused", "condition": "completion_refusals > 0", "severity": "warning",
        "window": "1h", "every": "1m",
        "description": "An analysis was to become completed without everything that belongs to it.",
    },
    {
        "name": "Jobs wait long", "condition": "queue_age > 600 s", "severity": "warning",
        "resolved_threshold": "300", "window": "5m", "every": "1m",
        "description": "The oldest job of a queue has waited for ten minutes: there are too few workers, or none.",
    },
    {
        "name": "The disk is nearly full", "condition": "disk_free < 10%", "severity": "critical",
        "resolved_threshold": "12%", "window": "5m", "every": "1m",
        "description": "Of the disk that holds the home.",
    },
)  # fmt: skip


def list_default_rules(sources: dict[str, ValueSource], *, is_operator: bool) -> dict[str, RuleDraft]:
    """Return the rules by their key; those about the installation only for the operator's own project."""
    found: dict[str, RuleDraft] = {}
    for given in DEFAULT_RULES:
        rule = read_rule(given, sources)
        if is_operator or not sources[rule.source].is_of_installation:
            found[given["condition"].split()[0]] = replace(rule, channels=())
    return found
