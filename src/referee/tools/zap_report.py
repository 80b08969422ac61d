"""Reading the report that ``runners/run_zap.py`` writes of its conversation with ZAP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from referee.core.addresses import Address
from referee.core.findings import JsonValue, Rule, ToolFinding, ToolReport
from referee.core.vocabulary import Confidence, Severity
from referee.tools.app_targets import (
    MetTarget,
    PathNames,
    build_url_coverage,
    compute_address_key,
    explain_unreachable,
    get_number,
    strip_host,
)
from referee.tools.contract import ParameterValue, RawOutput
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    get_integer,
    get_text,
    read_json,
    shorten,
)

__all__ = ["REPORT_STREAM", "RISKS", "build_report"]

REPORT_STREAM: Final = "report.json"
RISKS: Final = ("informational", "low", "medium", "high")
"""ZAP's own words, from the least risk to the greatest."""

_SEVERITIES: Final = {
    "informational": Severity.info,
    "low": Severity.low,
    "medium": Severity.medium,
    "high": Severity.high,
}
_CONFIDENCES: Final = {
    "low": Confidence.low,
    "medium": Confidence.medium,
    "high": Confidence.high,
    "confirmed": Confidence.high,
    "user confirmed": Confidence.high,
}
_FALSE_POSITIVE: Final = "false positive"


class _Reading:
    """What is gathered while the targets are read."""

    def __init__(self, names: PathNames, parameters: Mapping[str, ParameterValue]) -> None:
        self.names = names
        self.min_risk = RISKS.index(str(parameters["min_risk"]))
        self.max_per_rule = int(get_number(parameters, "max_alerts_per_rule"))
        self.findings: list[ToolFinding] = []
        self.rules: dict[str, Rule] = {}
        self.answered: list[str] = []
        self.unanswered: dict[str, str] = {}
        self.notices: list[str] = []
        self.failures: list[str] = []


def build_report(
    raw: RawOutput, met: tuple[MetTarget, ...], names: PathNames, parameters: Mapping[str, ParameterValue]
) -> ToolReport:
    """Return the report of a conversation with ZAP.

    Args:
        raw: Output of the runner.
        met: The targets of the run.
        names: Names for paths.
        parameters: The tool's parameters.

    Raises:
        OutputUnreadable: The report is absent, cut, or not what the runner writes.
    """
    document = as_object(read_json(raw, REPORT_STREAM), REPORT_STREAM)
    version, stated = get_text(document, "version"), get_text(document, "unreachable", default="")
    reading = _Reading(names, parameters)
    by_stream = {one.stream: one for one in met}
    told = set()
    for entry in as_array(document.get("targets"), "targets"):
        values = as_object(entry, "a target")
        one = by_stream.get(get_text(values, "stream"))
        if one is None:
            raise OutputUnreadable("ZAP's report is about a target that the run did not have.")
        told.add(one.stream)
        _read_target(values, one, reading)
    failure = get_text(document, "failure", default="")
    if failure:
        reading.failures.insert(0, failure)
    elif document.get("is_complete") is not True:
        reading.failures.append("ZAP's report ends before its end.")
    for one in met:
        if one.stream not in told:
            reading.unanswered[f"{one.target.name} GET /"] = stated or failure or "ZAP was not asked about it"
    is_silent = not reading.answered and not reading.failures
    reason = next(iter(reading.unanswered.values()), "")
    if version:
        reading.notices.insert(0, f"ZAP {shorten(version, limit=40)} was asked.")
    return ToolReport(
        findings=tuple(sorted(reading.findings, key=compute_address_key)),
        rules=tuple(reading.rules[rule_id] for rule_id in sorted({one.rule_id for one in reading.findings})),
        coverage=build_url_coverage(reading.answered, reading.unanswered),
        failure=" ".join(dict.fromkeys(reading.failures)) or None,
        is_partial=bool(reading.failures) and bool(reading.answered),
        notices=tuple(reading.notices),
        unreachable=(stated or explain_unreachable(met, reason)) if is_silent else None,
    )


def _read_target(values: dict[str, JsonValue], met: MetTarget, reading: _Reading) -> None:
    name = met.target.name
    unanswered, failure = get_text(values, "unanswered", default=""), get_text(values, "failure", default="")
    if unanswered:
        reading.unanswered[f"{name} GET /"] = unanswered
    if failure:
        reading.failures.append(f"{name}: {failure}")
    for url in as_array(values.get("urls"), "urls"):
        reading.answered.append(f"{name} GET {strip_host(str(url))}")
    for notice in as_array(values.get("notices"), "notices")[:50]:
        reading.notices.append(shorten(f"{name}: {notice}", limit=300))
    alerts = as_array(values.get("alerts"), "alerts")
    expected = get_integer(values, "alerts_count")
    if expected is not None and len(alerts) < expected:
        reading.failures.append(f"{name}: ZAP has {expected} alerts and gave {len(alerts)}.")
    kept: Counter[str] = Counter()
    seen: set[tuple[object, ...]] = set()
    for finding, rule in _read_alerts(alerts, met, reading):
        key = (finding.rule_id, finding.address, finding.identity)
        if key in seen:
            continue
        seen.add(key)
        kept[finding.rule_id] += 1
        if kept[finding.rule_id] <= reading.max_per_rule:
            reading.findings.append(finding)
            reading.rules[finding.rule_id] = rule
    for rule_id, count in sorted(kept.items()):
        if count > reading.max_per_rule:
            reading.notices.append(
                f"{name}: {count} alerts of rule {rule_id}; {reading.max_per_rule} are kept."
            )


def _read_alerts(
    alerts: list[JsonValue], met: MetTarget, reading: _Reading
) -> Iterator[tuple[ToolFinding, Rule]]:
    for entry in alerts:
        alert = as_object(entry, "an alert")
        risk = get_text(alert, "risk").lower()
        if risk not in RISKS:
            raise OutputUnreadable(f"ZAP's risk {shorten(risk, limit=40)!r} is none of its four words.")
        confidence = get_text(alert, "confidence", default="").lower()
        if RISKS.index(risk) >= reading.min_risk and confidence != _FALSE_POSITIVE:
            yield _make_finding(alert, risk, confidence, met, reading.names)


def _make_finding(
    alert: dict[str, JsonValue], risk: str, confidence: str, met: MetTarget, names: PathNames
) -> tuple[ToolFinding, Rule]:
    rule_id = shorten(get_text(alert, "pluginId"), limit=40)
    title = get_text(alert, "alert", default="") or get_text(alert, "name", default="") or rule_id
    url = get_text(alert, "url")
    cwe = get_text(alert, "cweid", default="")
    cwe_ids = (int(cwe),) if cwe.isdecimal() and 0 < int(cwe) < 100_000 else ()
    links = get_text(alert, "reference", default="").split()
    help_url = next((link for link in links if link.startswith("https://")), None)
    severity = _SEVERITIES[risk]
    properties: dict[str, JsonValue] = {
        "url": shorten(url, limit=300),
        "evidence": shorten(get_text(alert, "evidence", default=""), limit=500),
        "attack": shorten(get_text(alert, "attack", default=""), limit=500),
        "solution": shorten(get_text(alert, "solution", default=""), limit=500),
        "request": shorten(f"{get_text(alert, 'method', default='')} {strip_host(url)}".strip(), limit=300),
    }
    finding = ToolFinding(
        rule_id=rule_id,
        message=shorten(title),
        severity=severity,
        location=None,
        tool_severity=risk,
        confidence=_CONFIDENCES.get(confidence),
        cwe_ids=cwe_ids,
        identity=(shorten(get_text(alert, "alertRef", default=rule_id), limit=60),),
        help_url=help_url,
        address=Address(
            target=met.target.name,
            method=shorten(get_text(alert, "method", default=""), limit=20).upper(),
            path=names.name(url),
            parameter=shorten(get_text(alert, "param", default=""), limit=100),
        ),
        properties=properties,
    )
    summary = shorten(get_text(alert, "description", default="") or title, limit=500)
    return finding, Rule(rule_id, shorten(title, limit=120), summary, severity, help_url, cwe_ids)
