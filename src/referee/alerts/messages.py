"""What people and programs are told: one content, as JSON, plain text, HTML and Slack's form. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup, escape

from referee.alerts.rules import RuleDraft, show_duration
from referee.alerts.words import RuleKind
from referee.core.findings import JsonValue
from referee.foundation.web.formats import show_text

__all__ = [
    "build_content",
    "render_html",
    "render_json",
    "render_slack",
    "render_text",
    "show_condition",
    "show_value",
]

_MARKS: Final = {"triggered": "Firing", "resolved": "Resolved", "test": "Test", "notice": "Notice"}


def show_value(value: float | None, unit: str) -> str:
    """Return a value with its unit, as pages, messages and commands write it."""
    if value is None:
        return "no value"
    if unit == "share":
        return f"{value * 100:.3g} %"
    number = f"{value:,.0f}" if abs(value) >= 1_000 or value == int(value) else f"{value:.4g}"
    return number if unit in ("", "count") else f"{number} {unit}"


def show_condition(rule: RuleDraft, unit: str) -> str:
    """Return what a rule says in one line."""
    threshold = show_value(rule.critical_threshold, unit)
    window = show_duration(rule.window_s)
    if rule.kind is RuleKind.per_event:
        return f"any {rule.source}.{rule.measure} {rule.comparison.sign} {threshold} within {window}"
    if rule.kind is RuleKind.drift:
        share = show_value(rule.critical_threshold, "share")
        watched = f"{rule.aggregation} {rule.source}.{rule.measure}"
        return f"change of {watched} {rule.comparison.sign} {share} against the {window} before"
    return f"{rule.aggregation} {rule.source}.{rule.measure} {rule.comparison.sign} {threshold} over {window}"


def build_content(
    rule: RuleDraft,
    *,
    unit: str,
    value: float | None,
    baseline_value: float | None,
    values_count: int,
    from_at: datetime,
    to_at: datetime,
    page: str,
    rule_url: str,
    root_url: str,
    causes: list[dict[str, JsonValue]],
    reason: str = "",
) -> dict[str, JsonValue]:
    """Return what is told of one change of state."""
    is_drift, is_each = rule.kind is RuleKind.drift, rule.kind is RuleKind.per_event
    value_unit = "share" if is_drift else "count" if is_each else unit
    return {
        "condition": show_condition(rule, unit),
        "description": rule.description,
        "value": value,
        "value_text": show_value(value, value_unit),
        "threshold": rule.critical_threshold,
        "threshold_text": show_value(rule.critical_threshold, "share" if is_drift else unit),
        "baseline_value": baseline_value,
        "values_count": values_count,
        "window_from": from_at.isoformat(),
        "window_to": to_at.isoformat(),
        "filter": rule.filter,
        "causes": list(causes),
        "url": f"{root_url}{rule_url}",
        "cause_url": f"{root_url}{page.replace('{filter}', quote(rule.filter, safe=''))}",
        "reason": reason,
    }


def render_json(notification: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return the body of a webhook.

    Source:
        Standard Webhooks, "Payload structure": type, timestamp, data.
    """
    return {
        "type": f"alert.{notification['state']}",
        "timestamp": notification["created_at"],
        "data": {
            "notification_id": notification["notification_id"],
            "rule_id": notification["rule_id"],
            "rule": notification["rule_name"],
            "transition": notification["transition"],
            "state": notification["state"],
            "severity": notification["severity"],
            "title": notification["title"],
            **notification["content"],
        },
    }


def render_text(notification: Mapping[str, Any]) -> str:
    """Return the message for people, without any markup."""
    content = notification["content"]
    lines = [notification["title"], ""]
    if content.get("description"):
        lines += [content["description"], ""]
    lines += [f"{name}: {text}" for name, text in _list_facts(notification)]
    if content.get("causes"):
        lines += [
            "",
            "The worst of them:",
            *(f"- {one['subject']}: {one['value']:g}" for one in content["causes"]),
        ]
    lines += ["", *(f"{name}: {url}" for name, url in _list_links(content)), ""]
    return "\n".join(show_text(line) for line in lines)


def render_html(notification: Mapping[str, Any]) -> str:
    """Return the message for people as HTML; every foreign text is escaped."""
    content = notification["content"]
    rows = Markup("").join(
        Markup('<tr><td style="padding:2px 12px 2px 0">{}</td><td>{}</td></tr>').format(name, show_text(text))
        for name, text in _list_facts(notification)
    )
    causes = Markup("").join(
        Markup("<li>{}: {}</li>").format(show_text(str(one["subject"])), f"{one['value']:g}")
        for one in content.get("causes", ())
    )
    links = Markup(" · ").join(
        Markup('<a href="{}">{}</a>').format(url, name) for name, url in _list_links(content)
    )
    parts = [
        Markup('<!doctype html><html lang="en"><body style="font-family:system-ui,sans-serif">'),
        Markup('<h1 style="font-size:20px">{}</h1>').format(show_text(notification["title"])),
        Markup("<p>{}</p>").format(show_text(str(content.get("description", ""))))
        if content.get("description")
        else "",
        Markup("<table>{}</table>").format(rows),
        Markup("<p>The worst of them:</p><ul>{}</ul>").format(causes) if causes else "",
        Markup("<p>{}</p></body></html>").format(links),
    ]
    return str(Markup("").join(escape(part) for part in parts))


def render_slack(notification: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return the body of a Slack-compatible incoming webhook: plain text, so nothing in it is taken for markup."""
    text = render_text(notification)
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    return {"text": text}


def _list_facts(notification: Mapping[str, Any]) -> list[tuple[str, str]]:
    content = notification["content"]
    facts = [
        ("State", f"{_MARKS[notification['state']]} ({notification['severity']})"),
        ("Rule", notification["rule_name"]),
        ("Condition", content.get("condition", "")),
        (
            "Value",
            f"{content['value_text']} of {content['values_count']:,} values"
            if "value_text" in content
            else "",
        ),
        ("Filter", content.get("filter", "")),
        ("Until", content.get("window_to", "")),
        ("Reason", content.get("reason", "")),
    ]
    return [(name, text) for name, text in facts if text]


def _list_links(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    links = [
        ("What caused it", content.get("cause_url", "")),
        ("The rule and its log", content.get("url", "")),
    ]
    return [(name, url) for name, url in links if url]
