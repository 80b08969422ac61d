"""Evidence on endpoints: what the source declares, and how the running app answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from referee.core.findings import JsonValue
from referee.core.requirements import Evidence, Verdict
from referee.core.templates import Endpoint
from referee.core.vocabulary import Confidence
from referee.tools.exercising import Exchange, Exercise
from referee.tools.reading import shorten
from referee.tools.requirement_evidence.answer_shapes import compare_shapes
from referee.tools.requirement_evidence.requirements import Fact
from referee.tools.requirement_evidence.source_facts import SourceFacts

__all__ = [
    "describe_exchange",
    "find_exchanges",
    "is_open_answer",
    "judge_answers",
    "judge_declaration",
    "judge_refusals",
]

MAX_BODY_CHARACTERS: Final = 400
"""Of each body in an exchange that is shown as evidence."""


def judge_declaration(endpoint: Endpoint, facts: SourceFacts) -> Fact:
    """Return what the source says about an endpoint."""
    places = facts.find_routes(endpoint.method, endpoint.path)
    if places:
        return Fact(
            evidence=Evidence(
                source="static",
                verdict=Verdict.met,
                confidence=Confidence.medium,
                text="The source declares the route.",
                location=places[0].location,
                quote=places[0].quote,
            )
        )
    why = _find_doubt(endpoint, facts)
    if why:
        text = f"That the source does not declare the route tells nothing: {why}."
        return Fact(evidence=_static(Verdict.unknown, Confidence.low, text))
    methods = facts.find_methods(endpoint.path)
    others = f" for {endpoint.method}, only for {', '.join(methods)}" if methods else ""
    text = f"None of the {len(facts.routes)} routes in the source has this path{others}."
    return Fact(evidence=_static(Verdict.not_met, Confidence.medium, text), rule_id="endpoint-missing")


def _find_doubt(endpoint: Endpoint, facts: SourceFacts) -> str:
    """Return why an endpoint may be there although no route was found; "" when nothing speaks for that."""
    if not facts.routes:
        return "no route in it was recognised"
    if endpoint.method in facts.open_methods:
        return f"another route takes {endpoint.method} for any path"
    if not facts.find_methods(endpoint.path) and facts.has_loose_path(endpoint.path):
        return "it holds such a path at a place that could not be followed"
    return ""


def _static(verdict: Verdict, confidence: Confidence, text: str) -> Evidence:
    return Evidence(source="static", verdict=verdict, confidence=confidence, text=text)


def judge_answers(endpoint: Endpoint, exercise: Exercise, *, is_declared: bool | None) -> Fact:
    """Return what the app's answers say about an endpoint called by somebody who may.

    Args:
        endpoint: The endpoint.
        exercise: What the app answered.
        is_declared: Whether the source declares it; None when that cannot be told.
    """
    exchanges = find_exchanges(endpoint, exercise)
    roles = ("admin",) if endpoint.is_admin else ("person", "admin", "visitor")
    proper = [exchange for role in roles for exchange in exchanges if exchange.role == role]
    successes = [exchange for exchange in proper if exchange.is_success]
    if successes:
        first_role = successes[0].role
        last = [one for one in successes if one.role == first_role][-1]
        return _judge_success(endpoint, last, is_declared=is_declared)
    tried = [one for one in proper or exchanges if one.role == (proper or exchanges)[0].role]
    if not tried:
        return _unknown("It was not called.")
    return _judge_failure(endpoint, tried[-1], exercise, is_declared=is_declared)


def _judge_success(endpoint: Endpoint, exchange: Exchange, *, is_declared: bool | None) -> Fact:
    if endpoint.response is None:
        return _dynamic(Verdict.met, Confidence.high, f"It answers {exchange.status}.", exchange)
    if exchange.response_shape is None:
        text = f"It answers {exchange.status} with {_name_content(exchange)} instead of JSON."
        rule_id = "endpoint-missing" if is_declared is False else "endpoint-broken"
        return _dynamic(Verdict.not_met, Confidence.high, text, exchange, rule_id=rule_id)
    comparison = compare_shapes(endpoint.response, exchange.response_shape)
    if comparison.problems:
        text = f"It answers {exchange.status}, but {'; '.join(comparison.problems[:3])}."
        return _dynamic(Verdict.not_met, Confidence.medium, text, exchange, rule_id="endpoint-broken")
    confidence = Confidence.medium if comparison.doubts else Confidence.high
    doubts = f", though {'; '.join(comparison.doubts[:3])}" if comparison.doubts else ""
    text = f"It answers {exchange.status} with the fields that were asked for{doubts}."
    return _dynamic(Verdict.met, confidence, text, exchange)


def _judge_failure(
    endpoint: Endpoint, exchange: Exchange, exercise: Exercise, *, is_declared: bool | None
) -> Fact:
    status = exchange.status
    if status is None:
        return _unknown(f"It gave no answer: {exchange.error or 'no reason is known'}.", exchange)
    if status in (405, 501) or (status == 404 and _is_absent(endpoint, exchange, is_declared)):
        text = f"It answers {status}: there is no such endpoint."
        return _dynamic(Verdict.not_met, Confidence.high, text, exchange, rule_id="endpoint-missing")
    if exchange.has_guessed_id:
        return _unknown(f"It answers {status}, but to an id or a value that had to be made up.", exchange)
    if status == 404:
        text = "It answers 404 for something that exists."
        return _dynamic(Verdict.not_met, Confidence.medium, text, exchange, rule_id="endpoint-broken")
    needed = "admin" if endpoint.is_admin else "person"
    if exchange.role != needed and needed not in exercise.roles:
        who = "administrator" if endpoint.is_admin else "person"
        return _unknown(
            f"It answers {status} to a {exchange.role}; no {who} could log in to call it.", exchange
        )
    if status >= 500:
        text = f"It answers {status}: it crashes when it is called properly."
        return _dynamic(Verdict.not_met, Confidence.high, text, exchange, rule_id="endpoint-broken")
    if status in (401, 403):
        return _unknown(f"It answers {status} to somebody who is logged in.", exchange)
    if 300 <= status < 400:
        return _unknown(
            f"It answers {status}, a redirect to {shorten(exchange.location, limit=100)!r}.", exchange
        )
    return _unknown(f"It answers {status}: it refuses what the template says to send.", exchange)


def _is_absent(endpoint: Endpoint, exchange: Exchange, is_declared: bool | None) -> bool:
    """Whether a 404 is about the endpoint, not about the thing that its path names."""
    if is_declared is not None:
        return not is_declared
    return ":" not in endpoint.path and not exchange.has_guessed_id


def judge_refusals(endpoint: Endpoint, exercise: Exercise) -> tuple[Fact, ...]:
    """Return what is wrong with how an endpoint of administrators meets others; empty when nothing is."""
    found = []
    exchanges = find_exchanges(endpoint, exercise)
    works = any(exchange.role == "admin" and exchange.is_success for exchange in exchanges)
    for exchange in _last_by_role(exchanges):
        if exchange.role == "admin" or exchange.status is None:
            continue
        who = "a visitor without a log-in" if exchange.role == "visitor" else "an ordinary person"
        if is_open_answer(endpoint, exchange):
            text = f"It is for administrators and answers {exchange.status} to {who}."
            found.append(
                _dynamic(Verdict.not_met, Confidence.high, text, exchange, rule_id="admin-endpoint-open")
            )
        elif exchange.status >= 500 and (works or not exchange.has_guessed_id):
            text = f"It answers {exchange.status} to {who} instead of refusing."
            fact = _dynamic(Verdict.not_met, Confidence.medium, text, exchange, rule_id="endpoint-broken")
            found.append(replace(fact, is_clumsy_refusal=True))
    return tuple(found)


def is_open_answer(endpoint: Endpoint | None, exchange: Exchange) -> bool:
    """Whether an answer gives what was asked for: a page that is shown for every path does not."""
    if not exchange.is_success:
        return False
    is_page = "html" in exchange.content_type.lower() and exchange.response_shape is None
    return not is_page or (endpoint is not None and endpoint.method != "GET" and endpoint.response is None)


def _last_by_role(exchanges: Iterable[Exchange]) -> tuple[Exchange, ...]:
    """Return the worst exchange of each role: an open one if there is any, else the last."""
    found: dict[str, Exchange] = {}
    for exchange in exchanges:
        known = found.get(exchange.role)
        if known is None or not known.is_success:
            found[exchange.role] = exchange
    return tuple(found.values())


def find_exchanges(endpoint: Endpoint, exercise: Exercise) -> tuple[Exchange, ...]:
    """Return the exchanges with an endpoint, in their order."""
    path = endpoint.path.partition("?")[0]
    return tuple(
        exchange
        for exchange in exercise.exchanges
        if exchange.method == endpoint.method and exchange.route_path == path
    )


def describe_exchange(exchange: Exchange) -> str:
    """Return an exchange as text: who sent what, and the beginning of what came back."""
    lines = [f"{exchange.method} {exchange.path} (as {exchange.role})"]
    if exchange.request_body is not None:
        lines.append(_cut_json(exchange.request_body))
    status = "no answer" if exchange.status is None else str(exchange.status)
    lines.append(f"→ {status} {exchange.content_type}".rstrip())
    if exchange.error or exchange.response_excerpt:
        lines.append(shorten(exchange.error or exchange.response_excerpt.strip(), limit=MAX_BODY_CHARACTERS))
    return "\n".join(lines)


def _cut_json(value: JsonValue) -> str:
    return shorten(json.dumps(value, ensure_ascii=False), limit=MAX_BODY_CHARACTERS)


def _name_content(exchange: Exchange) -> str:
    kind = exchange.content_type.partition(";")[0].strip()
    return f"{shorten(kind, limit=60)}" if kind else "nothing"


def _dynamic(
    verdict: Verdict,
    confidence: Confidence,
    text: str,
    exchange: Exchange,
    *,
    rule_id: str = "requirement-not-met",
) -> Fact:
    evidence = Evidence(
        source="dynamic",
        verdict=verdict,
        confidence=confidence,
        text=text,
        exchange=describe_exchange(exchange),
    )
    return Fact(evidence=evidence, rule_id=rule_id)


def _unknown(text: str, exchange: Exchange | None = None) -> Fact:
    evidence = Evidence(
        source="dynamic",
        verdict=Verdict.unknown,
        confidence=Confidence.low,
        text=text,
        exchange=describe_exchange(exchange) if exchange else "",
    )
    return Fact(evidence=evidence)
