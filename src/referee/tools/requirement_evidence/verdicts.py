"""Joining the evidence of all sources into one verdict for each requirement.

What was seen goes before what was read in the source; proof that something is
absent stands whatever a judge says; a judge decides only what is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from referee.core.requirements import Evidence, RequirementVerdict, Verdict
from referee.core.templates import Endpoint, Template
from referee.core.vocabulary import Confidence
from referee.tools.exercising import Exercise
from referee.tools.requirement_evidence.endpoints import judge_answers, judge_declaration, judge_refusals
from referee.tools.requirement_evidence.requirements import Fact, Requirement, list_requirements
from referee.tools.requirement_evidence.source_facts import SourceFacts
from referee.tools.requirement_evidence.texts import EndpointResult, TextJudge

__all__ = ["Judged", "Opinion", "collect_facts", "decide", "judge_all"]

_RANKS: Final = {Confidence.low: 0, Confidence.medium: 1, Confidence.high: 2}


class Opinion(Protocol):
    """A judge's view of one requirement."""

    @property
    def verdict(self) -> Verdict:
        """What it says."""
        ...

    @property
    def confidence(self) -> Confidence:
        """How sure it is."""
        ...

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Its reasons."""
        ...

    @property
    def unscored_reason(self) -> str:
        """Why it says nothing; empty when it does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A requirement with its verdict, and the facts that speak against it."""

    requirement: Requirement
    verdict: RequirementVerdict
    facts: tuple[Fact, ...]

    @property
    def is_sure(self) -> bool:
        """Whether it counts in the shares: met or not met with more than low confidence."""
        return self.verdict.verdict is not Verdict.unknown and self.verdict.confidence is not Confidence.low


def collect_facts(
    template: Template, scan_mode: str, source: SourceFacts, exercise: Exercise | None
) -> dict[str, tuple[Fact, ...]]:
    """Return the mechanical evidence on each requirement of a mode, by its id."""
    everything = list_requirements(template)
    results = {
        one.requirement_id: _judge_endpoint(one.endpoint, source, exercise)
        for one in everything
        if one.endpoint is not None
    }
    texts = TextJudge(template, [_leave_out_clumsy(result) for result in results.values()], source, exercise)
    return {
        one.requirement_id: results[one.requirement_id].facts
        if one.endpoint is not None
        else texts.judge(one)
        for one in list_requirements(template, scan_mode)
    }


def _judge_endpoint(endpoint: Endpoint, source: SourceFacts, exercise: Exercise | None) -> EndpointResult:
    declaration = judge_declaration(endpoint, source)
    facts = [declaration]
    if exercise is not None:
        known = declaration.evidence.verdict
        is_declared = None if known is Verdict.unknown else known is Verdict.met
        answers = judge_answers(endpoint, exercise, is_declared=is_declared)
        facts.append(answers)
        if endpoint.is_admin and answers.rule_id != "endpoint-missing":
            facts += judge_refusals(endpoint, exercise)
    verdict, confidence = decide(facts)
    return EndpointResult(endpoint=endpoint, verdict=verdict, confidence=confidence, facts=tuple(facts))


def _leave_out_clumsy(result: EndpointResult) -> EndpointResult:
    """Return the result as it bears on who may do what."""
    facts = tuple(fact for fact in result.facts if not fact.is_clumsy_refusal)
    verdict, confidence = decide(facts)
    return EndpointResult(endpoint=result.endpoint, verdict=verdict, confidence=confidence, facts=facts)


def judge_all(
    template: Template,
    scan_mode: str,
    facts: Mapping[str, tuple[Fact, ...]],
    opinions: Mapping[str, Opinion] | None,
) -> tuple[Judged, ...]:
    """Return every requirement of a mode with its verdict.

    Args:
        template: What the app was asked to do.
        scan_mode: Which requirements are judged.
        facts: What ``collect_facts`` returned.
        opinions: A judge's, by requirement id; None when none was asked.
    """
    judged = []
    for requirement in list_requirements(template, scan_mode):
        own = facts.get(requirement.requirement_id, ())
        opinion = opinions.get(requirement.requirement_id) if opinions is not None else None
        verdict, confidence = decide(own)
        is_open = verdict is Verdict.unknown or confidence is Confidence.low
        if opinion is not None and is_open and opinion.verdict is not Verdict.unknown:
            verdict, confidence = opinion.verdict, opinion.confidence
        evidence = (*(fact.evidence for fact in own), *(opinion.evidence if opinion is not None else ()))
        judged.append(
            Judged(
                requirement=requirement,
                facts=own,
                verdict=RequirementVerdict(
                    requirement_id=requirement.requirement_id,
                    category=requirement.category,
                    text=requirement.text,
                    verdict=verdict,
                    confidence=confidence,
                    evidence=evidence,
                    unscored_reason=opinion.unscored_reason if opinion is not None else "",
                ),
            )
        )
    return tuple(judged)


def decide(facts: Iterable[Fact]) -> tuple[Verdict, Confidence]:
    """Return what mechanical evidence comes to, and how sure it is."""
    every = [fact.evidence for fact in facts]
    dynamic = [one for one in every if one.source == "dynamic"]
    static = [one for one in every if one.source == "static"]
    for group, verdict in (
        (dynamic, Verdict.not_met),
        (dynamic, Verdict.met),
        (static, Verdict.not_met),
    ):
        best = _find_surest(group, verdict)
        if best is not None and best is not Confidence.low:
            return verdict, best
    best = _find_surest(static, Verdict.met)
    if best is not None and not any(one.verdict is Verdict.unknown for one in dynamic):
        return Verdict.met, best
    if _find_surest(dynamic, Verdict.met) is not None:
        return Verdict.met, Confidence.low
    return Verdict.unknown, Confidence.low


def _find_surest(group: list[Evidence], verdict: Verdict) -> Confidence | None:
    found = [one.confidence for one in group if one.verdict is verdict]
    return max(found, key=_RANKS.__getitem__, default=None)
