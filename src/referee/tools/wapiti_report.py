"""Reading wapiti's JSON report of one target, and the gaps that only its log tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from referee.core.addresses import Address
from referee.core.findings import JsonValue, Rule, ToolFinding
from referee.core.vocabulary import Confidence, Severity
from referee.tools.app_targets import MetTarget, PathNames, strip_host
from referee.tools.contract import RawOutput
from referee.tools.reading import as_array, as_object, decode_text, get_integer, get_text, read_json, shorten
from referee.tools.wapiti_rules import CATEGORIES

__all__ = ["REPORT_STREAM", "Scan", "read_scan"]

REPORT_STREAM: Final = "report.json"

_SECTIONS: Final = ("vulnerabilities", "anomalies", "additionals")
_RISKY_METHODS: Final = re.compile(r"\b(?:TRACE|TRACK|CONNECT|DEBUG) \([23]\d\d\)")
MAX_FINDINGS_PER_RULE: Final = 100
"""Of one target: wapiti tells a missing policy once for every page."""

_LEVELS: Final = {0: "info", 1: "low", 2: "medium", 3: "high", 4: "critical"}
_DETAILED: Final = frozenset(
    {"content-security-policy", "cookie-without-httponly", "cookie-without-secure", "tls-configuration"}
)
"""Rules of which one address can have several, told apart by their message."""


@dataclass(slots=True)
class Scan:
    """What was read of one target, or of several added up."""

    findings: list[ToolFinding] = field(default_factory=list)
    rules: dict[str, Rule] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)
    unanswered: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def read_scan(raw: RawOutput, met: MetTarget, names: PathNames) -> Scan:
    """Return what wapiti reports of one target.

    Raises:
        OutputUnreadable: The report is absent, cut, or not wapiti's.
    """
    document = as_object(read_json(raw, REPORT_STREAM), REPORT_STREAM)
    scan = Scan(notices=list(_read_notices(raw, met)))
    _read_pages(document, met, raw, scan)
    classifications = as_object(document.get("classifications"), "classifications")
    seen: set[tuple[object, ...]] = set()
    counts: dict[str, int] = {}
    for section in _SECTIONS:
        for category, entries in as_object(document.get(section), section).items():
            for entry in as_array(entries, category):
                finding = _read_finding(as_object(entry, "an entry"), category, met, names, classifications)
                if finding is None:
                    continue
                key = (finding.rule_id, finding.address, finding.identity)
                counts[finding.rule_id] = counts.get(finding.rule_id, 0) + (key not in seen)
                if key not in seen and counts[finding.rule_id] <= MAX_FINDINGS_PER_RULE:
                    scan.findings.append(finding)
                    scan.rules[finding.rule_id] = _make_rule(category, finding.rule_id, classifications)
                seen.add(key)
    for rule_id, count in counts.items():
        if count > MAX_FINDINGS_PER_RULE:
            scan.notices.append(
                f"{met.target.name}: {count} addresses have {rule_id}; {MAX_FINDINGS_PER_RULE} are kept."
            )
    return scan


def _read_pages(document: dict[str, JsonValue], met: MetTarget, raw: RawOutput, scan: Scan) -> None:
    infos = as_object(document.get("infos"), "infos")
    count = get_integer(infos, "crawled_pages_nbr") or 0
    for entry in as_array(infos.get("crawled_pages", []), "crawled_pages"):
        request = as_object(as_object(entry, "a page").get("request"), "a request")
        name = shorten(
            f"{met.target.name} {get_text(request, 'method')} {strip_host(get_text(request, 'url'))}",
            limit=300,
        )
        if get_integer(request, "status_code") is not None:
            scan.answered.append(name)
        elif get_text(request, "method") == "GET":
            scan.unanswered[name] = "it was not fetched"
    if not count or not scan.answered:
        error = re.search(
            r"^\[!\] (\w+) with URL ", decode_text(raw.streams.get("stdout", b"")), re.MULTILINE
        )
        scan.answered.clear()
        scan.unanswered = {f"{met.target.name} GET /": error.group(1) if error else "no page was crawled"}


def _read_notices(raw: RawOutput, met: MetTarget) -> Iterator[str]:
    """Yield what wapiti says of its own gaps; it says so in its log only."""
    text = decode_text(raw.streams.get("stdout", b""))
    if "Max scan time was reached" in text:
        yield f"{met.target.name}: crawling was stopped at its time limit."
    stopped = sorted(set(re.findall(r"Max attack time was reached for module (\w+)", text)))
    if stopped:
        yield f"{met.target.name}: stopped at their time limit: {', '.join(stopped)}."
    skipped = sum(
        int(number)
        for number in re.findall(r"^(\d{1,9}) requests were skipped due to network", text, re.MULTILINE)
    )
    if skipped:
        yield f"{met.target.name}: {skipped} requests got no answer."
    broken = sorted(set(re.findall(r"Module (\w+) seems broken and will be skipped", text)))
    if broken:
        yield f"{met.target.name}: could not be loaded: {', '.join(broken)}."


def _read_finding(
    entry: dict[str, JsonValue],
    category: str,
    met: MetTarget,
    names: PathNames,
    classifications: dict[str, JsonValue],
) -> ToolFinding | None:
    rule_id, severity, cwe_ids = _find_category(category)
    message = shorten(get_text(entry, "info", default="").replace(met.target.url, "") or category)
    if rule_id == "http-methods" and not _RISKY_METHODS.search(message):
        return None
    level = get_integer(entry, "level") or 0
    path, parameter = get_text(entry, "path", default="/"), get_text(entry, "parameter", default="")
    properties: dict[str, JsonValue] = {
        "url": shorten(f"{met.target.url}{strip_host(path)}", limit=300),
        "evidence": shorten(message, limit=300),
        "request": shorten(get_text(entry, "http_request", default=""), limit=1000),
        "module": shorten(get_text(entry, "module", default=""), limit=40),
        "solution": _get_solution(category, classifications),
    }
    return ToolFinding(
        rule_id=rule_id,
        message=message,
        severity=severity,
        location=None,
        tool_severity=_LEVELS.get(level, str(level)),
        confidence=Confidence.medium,
        cwe_ids=cwe_ids,
        identity=(shorten(message, limit=200) if rule_id in _DETAILED else "",),
        address=Address(
            target=met.target.name,
            method=shorten(get_text(entry, "method", default=""), limit=20).upper(),
            path=names.name(path),
            parameter=shorten(parameter, limit=100),
        ),
        properties=properties,
    )


def _find_category(category: str) -> tuple[str, Severity, tuple[int, ...]]:
    known = CATEGORIES.get(category)
    if known is not None:
        return known
    slug = re.sub(r"[^a-z0-9]+", "-", category.lower()).strip("-")
    return shorten(slug or "unnamed", limit=80), Severity.medium, ()


def _make_rule(category: str, rule_id: str, classifications: dict[str, JsonValue]) -> Rule:
    _, severity, cwe_ids = _find_category(category)
    details = classifications.get(category)
    text, links = "", []
    if isinstance(details, dict):
        text = str(details.get("desc") or "")
        references = details.get("ref")
        links = [str(link) for link in references.values()] if isinstance(references, dict) else []
    help_url = next((link for link in links if link.startswith("https://")), None)
    return Rule(
        rule_id,
        shorten(category, limit=120),
        shorten(text or category, limit=500),
        severity,
        help_url,
        cwe_ids,
    )


def _get_solution(category: str, classifications: dict[str, JsonValue]) -> str:
    details = classifications.get(category)
    return shorten(str(details.get("sol") or ""), limit=500) if isinstance(details, dict) else ""
