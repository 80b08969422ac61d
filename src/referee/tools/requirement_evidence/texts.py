"""Evidence on requirements in words, as far as endpoints, refusals and the frontend's source can tell.

Met with more than low confidence only where every clause of a text is of a kind
that was really tried: accounts and tokens, or what only administrators may.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from referee.core.requirements import Evidence, Verdict
from referee.core.templates import Endpoint, Template
from referee.core.vocabulary import Confidence
from referee.tools.exercising import Exercise
from referee.tools.requirement_evidence.endpoints import describe_exchange, find_exchanges, is_open_answer
from referee.tools.requirement_evidence.requirements import Fact, Requirement
from referee.tools.requirement_evidence.source_facts import Place, SourceFacts
from referee.tools.requirement_evidence.wording import (
    Tie,
    find_named_paths,
    find_things,
    find_ties,
    has_all_clauses_tied,
    is_alike,
    is_login,
    is_register,
    split_clauses,
)

__all__ = ["EndpointResult", "TextJudge"]

EvidenceSource: TypeAlias = Literal["static", "dynamic"]

_REGISTER: Final = re.compile(r"\bregist|\bsign[- ]?(s |ing )?up", re.I)
_LOGIN: Final = re.compile(r"\blog[- ]?(s |ging |ged )?in\b|\bsign[- ]?in\b", re.I)
_TOKEN: Final = re.compile(r"\btoken", re.I)
_REQUIRED: Final = re.compile(
    r"\btoken\b.{0,60}\b(require|need)|\b(require|need)\w*\b.{0,40}\b(token|log[- ]?in|authenticat)"
    r"|\bonly\b.{0,40}\blogged[- ]in",
    re.I,
)
_ACCOUNT: Final = re.compile("|".join(part.pattern for part in (_REGISTER, _LOGIN, _TOKEN, _REQUIRED)), re.I)
_ADMIN_ONLY: Final = re.compile(
    r"\bonly\b.{0,20}\badmin|\badmin\w*\b.{0,20}\bonly\b|\brestricted to admin", re.I
)
_FIELD: Final = re.compile(r"\bforms?\b|\bfields?\b", re.I)
_BUTTON: Final = re.compile(r"\bbuttons?\b", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointResult:
    """What came of an endpoint before any judge."""

    endpoint: Endpoint
    verdict: Verdict
    confidence: Confidence
    facts: tuple[Fact, ...]

    @property
    def is_met(self) -> bool:
        """Whether it is met with more than low confidence."""
        return self.verdict is Verdict.met and self.confidence is not Confidence.low

    @property
    def is_broken(self) -> bool:
        """Whether it is not met with more than low confidence."""
        return self.verdict is Verdict.not_met and self.confidence is not Confidence.low

    def find_reason(self) -> Evidence | None:
        """Return the evidence that speaks for the verdict, what was seen before what was read."""
        fitting = [fact.evidence for fact in self.facts if fact.evidence.verdict is self.verdict]
        return max(fitting, key=lambda evidence: evidence.source == "dynamic", default=None)


class TextJudge:
    """Judges the texts of one template."""

    def __init__(
        self,
        template: Template,
        results: Iterable[EndpointResult],
        facts: SourceFacts,
        exercise: Exercise | None,
    ) -> None:
        self._results = {id(result.endpoint): result for result in results}
        self._facts = facts
        self._exercise = exercise
        self._public = [endpoint for endpoint in template.endpoints if not endpoint.is_admin]
        self._admin = [endpoint for endpoint in template.endpoints if endpoint.is_admin]

    def judge(self, requirement: Requirement) -> tuple[Fact, ...]:
        """Return the evidence on a requirement; empty when nothing tells."""
        if requirement.category == "frontend":
            return self._judge_frontend(requirement.text)
        found = [*self._judge_named_paths(requirement.text)]
        if requirement.category == "admin":
            found += self._judge_ties(requirement.text, self._admin)
        else:
            found += self._judge_account(requirement.text)
            found += self._judge_ties(requirement.text, self._public)
        return tuple(found)

    # ------------------------------------------------------------------ endpoints that a text names

    def _judge_ties(self, text: str, endpoints: Iterable[Endpoint]) -> list[Fact]:
        ties = find_ties(text, endpoints)
        results = [(tie, result) for tie in ties if (result := self._results.get(id(tie.endpoint)))]
        broken = [self._tell_broken(result) for _, result in results if result.is_broken]
        if broken or not results:
            return broken
        names = ", ".join(f"{tie.endpoint.method} {tie.endpoint.path}" for tie, _ in results[:5])
        met = [result for _, result in results if result.is_met]
        if len(met) < len(results):
            return [
                _tell(
                    Verdict.unknown, Confidence.low, f"It has to do with {names}, not all of which are met."
                )
            ]
        is_whole = has_all_clauses_tied(text, ties) and self._are_all_things_there(text, ties)
        if is_whole and _ADMIN_ONLY.search(text) and self._are_refused(ties):
            what = f"{names} work for an administrator and refuse everybody else."
            return [_tell(Verdict.met, Confidence.medium, what, source="dynamic")]
        reason = met[0].find_reason()
        evidence = _tell(Verdict.met, Confidence.low, f"What it has to do with is there: {names}.").evidence
        if reason is not None:
            evidence = replace(
                evidence,
                source=reason.source,
                location=reason.location,
                quote=reason.quote,
                exchange=reason.exchange,
            )
        return [Fact(evidence=evidence)]

    def _are_all_things_there(self, text: str, ties: tuple[Tie, ...]) -> bool:
        """Whether every thing of a text is what a tie is about, or a field of what a tie's endpoint answered."""
        names = {tie.noun for tie in ties}
        for tie in ties:
            for exchange in find_exchanges(tie.endpoint, self._exercise) if self._exercise else ():
                shape = exchange.response_shape
                entry = shape[0] if isinstance(shape, list) and shape else shape
                if exchange.is_success and isinstance(entry, dict):
                    names |= set(entry)
        things = find_things(text, [*self._public, *self._admin])
        return all(any(is_alike(thing, name) for name in names) for thing in things)

    def _are_refused(self, ties: tuple[Tie, ...]) -> bool:
        """Whether all were tried as a visitor and as a person, and refused."""
        if self._exercise is None:
            return False
        for tie in ties:
            exchanges = find_exchanges(tie.endpoint, self._exercise)
            for role in ("visitor", "person"):
                tried = [exchange for exchange in exchanges if exchange.role == role]
                if not tried or not all(exchange.is_refused for exchange in tried):
                    return False
        return True

    @staticmethod
    def _tell_broken(result: EndpointResult) -> Fact:
        reason = result.find_reason()
        name = f"{result.endpoint.method} {result.endpoint.path}"
        if reason is None:
            return _tell(Verdict.not_met, Confidence.medium, f"It needs {name}, which is not met.")
        text = f"It needs {name}: {reason.text[:1].lower()}{reason.text[1:]}"
        return Fact(evidence=replace(reason, text=text, confidence=Confidence.medium))

    def _judge_named_paths(self, text: str) -> list[Fact]:
        found = []
        for method, path in find_named_paths(text):
            exchanges = self._exercise.exchanges if self._exercise else ()
            answered = [
                one for one in exchanges if one.method == method and one.route_path == path and one.is_success
            ]
            places = self._facts.find_routes(method, path)
            if answered:
                fact = _tell(Verdict.met, Confidence.low, f"{method} {path} answers.", source="dynamic")
                found.append(Fact(evidence=replace(fact.evidence, exchange=describe_exchange(answered[-1]))))
            elif places:
                found.append(_tell_place(Confidence.low, f"The source declares {method} {path}.", places[0]))
            elif self._is_absent(method, path):
                found.append(
                    _tell(Verdict.not_met, Confidence.medium, f"The source declares no {method} {path}.")
                )
        return found

    def _is_absent(self, method: str, path: str) -> bool:
        """Whether the source shows that there is no such route."""
        facts = self._facts
        return bool(facts.routes) and method not in facts.open_methods and not facts.has_loose_path(path)

    # ------------------------------------------------------------------ accounts

    def _judge_account(self, text: str) -> list[Fact]:
        """Judge what a text says about registering, logging in, tokens and what needs one."""
        if not _ACCOUNT.search(text):
            return []
        registers = [
            self._results[id(one)] for one in self._public if is_register(one) and id(one) in self._results
        ]
        logins = [
            self._results[id(one)] for one in self._public if is_login(one) and id(one) in self._results
        ]
        needed = [*(registers if _REGISTER.search(text) else []), *(logins if _LOGIN.search(text) else [])]
        found = [self._tell_broken(result) for result in needed if result.is_broken]
        says_required = bool(_REQUIRED.search(text))
        if says_required:
            found += self._find_open()
        if found or not needed:
            return found
        is_whole = all(_ACCOUNT.search(clause) for clause in split_clauses(text, _ACCOUNT))
        is_tried = self._exercise is not None and all(result.is_met for result in needed)
        if is_whole and is_tried and (not says_required or self._is_refused_everywhere()):
            what = "Registering and logging in work"
            what += ", and what needs a log-in refuses visitors." if says_required else "."
            return [_tell(Verdict.met, Confidence.medium, what, source="dynamic")]
        return [_tell(Verdict.met, Confidence.low, "Endpoints to register or to log in are there.")]

    def _closed_endpoints(self) -> list[Endpoint]:
        return [endpoint for endpoint in self._public if not is_register(endpoint) and not is_login(endpoint)]

    def _find_open(self) -> list[Fact]:
        found = []
        for endpoint in self._closed_endpoints():
            exchanges = find_exchanges(endpoint, self._exercise) if self._exercise else ()
            opened = [one for one in exchanges if one.role == "visitor" and is_open_answer(endpoint, one)]
            if opened:
                name = f"{endpoint.method} {endpoint.path}"
                evidence = _tell(
                    Verdict.not_met, Confidence.high, f"{name} answers without a log-in.", source="dynamic"
                ).evidence
                evidence = replace(evidence, exchange=describe_exchange(opened[-1]))
                found.append(
                    Fact(evidence=evidence, rule_id="authentication-not-required", endpoint=endpoint)
                )
        return found

    def _is_refused_everywhere(self) -> bool:
        exercise = self._exercise
        if exercise is None:
            return False
        tried = [
            [one for one in find_exchanges(endpoint, exercise) if one.role == "visitor"]
            for endpoint in self._closed_endpoints()
        ]
        asked = [exchanges for exchanges in tried if exchanges]
        return bool(asked) and all(any(one.is_refused for one in exchanges) for exchanges in asked)

    # ------------------------------------------------------------------ frontend

    def _judge_frontend(self, text: str) -> tuple[Fact, ...]:
        if not self._facts.has_frontend:
            return (_tell(Verdict.not_met, Confidence.high, "There is no source of a frontend."),)
        names = {place.name for place in self._facts.elements}
        wants_button, wants_field = bool(_BUTTON.search(text)), bool(_FIELD.search(text))
        for is_wanted, what, endings in (
            (wants_field, "form or input field", ("form", "input", "textarea", "select", "field")),
            (wants_button, "button", ("button", "input", "form")),
        ):
            if is_wanted and not any(name.endswith(endings) for name in names):
                text = f"No file of the frontend has a {what}."
                return (_tell(Verdict.not_met, Confidence.medium, text),)
        endpoints = [tie.endpoint for tie in find_ties(text, self._public)]
        endpoints += [one for one in self._public if is_login(one) and _LOGIN.search(text)]
        found = []
        for path in dict.fromkeys(endpoint.path for endpoint in endpoints):
            places = self._facts.find_calls(path)
            if places:
                found.append(_tell_place(Confidence.low, f"The frontend names {path}.", places[0]))
        return tuple(found[:3])


def _tell_place(confidence: Confidence, text: str, place: Place) -> Fact:
    evidence = Evidence(
        source="static",
        verdict=Verdict.met,
        confidence=confidence,
        text=text,
        location=place.location,
        quote=place.quote,
    )
    return Fact(evidence=evidence)


def _tell(verdict: Verdict, confidence: Confidence, text: str, *, source: EvidenceSource = "static") -> Fact:
    return Fact(evidence=Evidence(source=source, verdict=verdict, confidence=confidence, text=text))
