"""Findings about what is not met: one for each requirement, and one for each place that is open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from referee.core.addresses import Address
from referee.core.findings import JsonValue, Location, Rule, ToolFinding
from referee.core.requirements import Evidence, Verdict
from referee.core.templates import Endpoint
from referee.core.vocabulary import Confidence, Severity
from referee.tools.exercising import Exchange, Exercise
from referee.tools.reading import shorten
from referee.tools.requirement_evidence.endpoints import describe_exchange, is_open_answer
from referee.tools.requirement_evidence.requirements import Fact
from referee.tools.requirement_evidence.verdicts import Judged

__all__ = ["RULES", "make_findings"]

_ADMIN_WORD: Final = "admin"

RULES: Final[dict[str, Rule]] = {
    rule.rule_id: rule
    for rule in (
        Rule(
            "requirement-not-met",
            "Requirement not met",
            "The app does not do what its template asks for.",
            Severity.medium,
        ),
        Rule(
            "endpoint-missing",
            "Endpoint missing",
            "The app has no endpoint that its template asks for.",
            Severity.medium,
        ),
        Rule(
            "endpoint-broken",
            "Endpoint broken",
            "An endpoint crashes, or does not answer what its template asks for.",
            Severity.medium,
        ),
        Rule(
            "admin-endpoint-open",
            "Endpoint of administrators open to others",
            "An endpoint that is for administrators answers to people who are none.",
            Severity.high,
            "https://cwe.mitre.org/data/definitions/862.html",
            (862,),
        ),
        Rule(
            "authentication-not-required",
            "No log-in required",
            "An endpoint that has to require a log-in answers without one.",
            Severity.high,
            "https://cwe.mitre.org/data/definitions/306.html",
            (306,),
        ),
    )
}


def make_findings(judged: Iterable[Judged], exercise: Exercise | None) -> Iterator[ToolFinding]:
    """Yield the findings about requirements that are not met, and about open places that no requirement names."""
    known: set[tuple[str, str]] = set()
    target = exercise.exchanges[0].target if exercise is not None and exercise.exchanges else "backend"
    for one in judged:
        endpoint = one.requirement.endpoint
        if endpoint is not None:
            known.add((endpoint.method, endpoint.path))
        if one.is_sure and one.verdict.verdict is Verdict.not_met:
            yield from _describe(one, target)
    if exercise is not None:
        yield from _find_open_routes(exercise, known)


def _describe(one: Judged, target: str) -> Iterator[ToolFinding]:
    against = [fact for fact in one.facts if _is_against(fact)]
    places = [fact.evidence.location for fact in one.facts if fact.evidence.location is not None]
    declared = places[0] if places else None
    by_rule: dict[tuple[str, str], list[Fact]] = {}
    for fact in against:
        place = f"{fact.endpoint.method} {fact.endpoint.path}" if fact.endpoint else ""
        by_rule.setdefault((fact.rule_id, place), []).append(fact)
    for (rule_id, place), facts in by_rule.items():
        surest = max(
            facts, key=lambda fact: (fact.evidence.source == "dynamic", bool(fact.evidence.exchange))
        )
        endpoint = surest.endpoint or one.requirement.endpoint
        texts = [fact.evidence.text for fact in facts if fact.evidence.source == surest.evidence.source]
        subject = place or one.requirement.text
        yield _make(
            rule_id,
            subject,
            texts,
            surest.evidence,
            one,
            endpoint,
            surest.evidence.location or declared,
            target,
        )
    if not against:  # a judge's word
        reasons = [entry for entry in one.verdict.evidence if entry.verdict is Verdict.not_met]
        first = reasons[0] if reasons else None
        texts = [entry.text for entry in reasons]
        location = first.location if first else None
        yield _make("requirement-not-met", one.requirement.text, texts, first, one, None, location, target)


def _is_against(fact: Fact) -> bool:
    return fact.evidence.verdict is Verdict.not_met and fact.evidence.confidence is not Confidence.low


def _make(
    rule_id: str,
    subject: str,
    texts: list[str],
    evidence: Evidence | None,
    one: Judged,
    endpoint: Endpoint | None,
    location: Location | None,
    target: str,
) -> ToolFinding:
    rule = RULES[rule_id]
    end = "" if subject.endswith(".") else "."
    message = f"{shorten(subject, limit=300)}{end} {' '.join(texts[:3])}".strip()
    properties: dict[str, JsonValue] = {"requirement_id": one.requirement.requirement_id}
    if evidence is not None:
        properties["source"] = evidence.source
        if evidence.exchange:
            properties["exchange"] = evidence.exchange
    identity = one.requirement.requirement_id
    if endpoint is not None and one.requirement.endpoint is None:
        identity = f"{identity} {endpoint.method} {endpoint.path}"
    return ToolFinding(
        rule_id=rule_id,
        message=shorten(message),
        severity=rule.default_severity,
        location=location,
        confidence=evidence.confidence if evidence is not None else one.verdict.confidence,
        cwe_ids=rule.cwe_ids,
        identity=(identity,),
        help_url=rule.help_url,
        address=Address(target=target, method=endpoint.method, path=endpoint.path) if endpoint else None,
        properties=properties,
    )


def _find_open_routes(exercise: Exercise, known: set[tuple[str, str]]) -> Iterator[ToolFinding]:
    """Yield what administrators have besides the template and a visitor may read, as data and not as a page."""
    seen: set[tuple[str, str]] = set()
    for exchange in exercise.exchanges:
        key = (exchange.method, exchange.route_path)
        words = exchange.route_path.lower().split("/")
        if key in known or key in seen or _ADMIN_WORD not in words or exchange.role == "admin":
            continue
        if not is_open_answer(None, exchange) or exchange.response_shape is None:
            continue
        seen.add(key)
        yield _make_open(exchange)


def _make_open(exchange: Exchange) -> ToolFinding:
    rule = RULES["admin-endpoint-open"]
    who = "a visitor without a log-in" if exchange.role == "visitor" else "an ordinary person"
    name = f"{exchange.method} {exchange.route_path}"
    return ToolFinding(
        rule_id=rule.rule_id,
        message=shorten(
            f"{name}. By its path it is for administrators, and it answers {exchange.status} to {who}."
        ),
        severity=rule.default_severity,
        location=None,
        confidence=Confidence.medium,
        cwe_ids=rule.cwe_ids,
        identity=(name,),
        help_url=rule.help_url,
        address=Address(target=exchange.target, method=exchange.method, path=exchange.route_path),
        properties={"source": "dynamic", "exchange": describe_exchange(exchange)},
    )
