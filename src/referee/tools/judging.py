"""A language model's opinion on whether an app meets its requirements, as far as it can be checked.

Each category of requirements is judged on the part of the source that has to
do with it, then every "met" is put before the model again to be refuted.

What an app's text can do is bounded by how answers are read, not by how
politely the model is asked: an answer is one of three words for a requirement
that was asked about; "met" counts only with quoted lines that exist, that are
code and that have to do with the requirement (``judge_quotes.py``); the second
pass can only lower; what fails is ``unknown`` with the reason, never a guess.
Nothing of an answer can change what programs found.

Not here: the words of the questions (``judge_prompts.py``), what of the source
is shown (``judge_sources.py``), and joining opinions with mechanical evidence (the tool).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from referee.core.findings import JsonValue
from referee.core.requirements import Evidence, Verdict
from referee.core.sources import SourceSnapshot
from referee.core.templates import Template
from referee.core.vocabulary import Confidence
from referee.foundation.llm import ChatMessage, LlmClient, LlmError
from referee.tools.contract import ParameterValue
from referee.tools.judge_prompts import (
    OPINION_SCHEMA,
    REFUTATION_SCHEMA,
    Claim,
    digest_prompt,
    render_judge_prompt,
    render_refute_prompt,
)
from referee.tools.judge_quotes import QuoteChecker
from referee.tools.judge_records import CallPurpose, JudgeCall, JudgeOpinion, JudgeRecord, read_judge_record
from referee.tools.judge_sources import AppSource, ShownSource, SourcePiece, choose_pieces, read_source
from referee.tools.reading import as_array, as_object, get_integer, get_text, shorten

__all__ = [
    "JudgeOpinion",
    "JudgeRecord",
    "judge_requirements",
    "list_judged_requirements",
    "read_judge_record",
]

DEFAULT_SOURCE_CHARACTERS: Final = 24_000
"""About 8,000 tokens: small models still read that, and all passes over an app fit the default budget."""
_BATCH_SIZE: Final = 8
_TOKENS_FOR_AN_OPINION: Final = 300
_TOKENS_FOR_ANY_ANSWER: Final = 400
_MAX_REASON_CHARACTERS: Final = 500
_OTHER_HALF_WEIGHT: Final = 0.3
"""Of the browser's code for a backend requirement and the other way round: it may tell, and rarely does."""
_MODES: Final[Mapping[str, tuple[str, ...]]] = {
    "full": ("backend", "frontend", "admin"),
    "backend_only": ("backend",),
    "frontend_only": ("frontend",),
    "admin_only": ("admin",),
}
_KINDS_THAT_END_IT: Final = frozenset({"unreachable", "rate_limited", "timeout", "over_budget"})
"""Failures that the next question would most likely meet again, after waiting as long."""


async def judge_requirements(
    client: LlmClient,
    template: Template,
    snapshot: SourceSnapshot,
    facts: Mapping[str, tuple[Evidence, ...]],
    *,
    parameters: Mapping[str, ParameterValue],
    make_delimiter: Callable[[], str] = lambda: secrets.token_hex(16),
) -> JudgeRecord:
    """Return a model's checked opinion on each requirement of a template.

    Args:
        client: The model. The judgement has a purse of its own, as large as the client's.
        template: What the app was asked to do.
        snapshot: The app's source.
        facts: What programs found, by requirement id; shown to the model as data.
        parameters: ``scan_mode`` (``full``, ``backend_only``, ``frontend_only``, ``admin_only``) and
            ``judge_source_characters_count``; both optional.
        make_delimiter: Gives the word around an app's text, one that the app cannot guess.

    Returns:
        The record, with an opinion on every requirement of the mode; no failure of the model raises.
    """
    mode = parameters.get("scan_mode")
    characters = parameters.get("judge_source_characters_count")
    source = await asyncio.to_thread(read_source, snapshot)
    judgement = _Judgement(
        client=client.with_full_purse(),
        source=source,
        facts=facts,
        checker=QuoteChecker(snapshot, source.pieces),
        characters_count=characters if isinstance(characters, int) else DEFAULT_SOURCE_CHARACTERS,
        make_delimiter=make_delimiter,
    )
    for category in _MODES.get(str(mode), _MODES["full"]):
        requirements = [
            (name, text)
            for name, text in list_judged_requirements(template).items()
            if name.startswith(category)
        ]
        for first in range(0, len(requirements), _BATCH_SIZE):
            await judgement.judge_batch(category, dict(requirements[first : first + _BATCH_SIZE]))
    return JudgeRecord(
        model=client.model,
        calls=tuple(judgement.calls),
        opinions=judgement.opinions,
        left_out=(
            *(piece.name for piece in source.pieces if piece not in judgement.shown),
            *source.unread,
        ),
    )


def list_judged_requirements(template: Template) -> dict[str, str]:
    """Return the text of each requirement by its id, ``backend-1`` first."""
    return {
        f"{category}-{number}": text
        for category, texts in (
            ("backend", template.backend_requirements),
            ("frontend", template.frontend_requirements),
            ("admin", template.admin_requirements),
        )
        for number, text in enumerate(texts, start=1)
    }


@dataclass(slots=True, kw_only=True)
class _Judgement:
    """A judgement in the making."""

    client: LlmClient
    source: AppSource
    facts: Mapping[str, tuple[Evidence, ...]]
    checker: QuoteChecker
    characters_count: int
    make_delimiter: Callable[[], str]
    calls: list[JudgeCall] = field(default_factory=list)
    opinions: dict[str, JudgeOpinion] = field(default_factory=dict)
    shown: set[SourcePiece] = field(default_factory=set)
    ended_by: str = ""
    """Why no further question is asked."""

    async def judge_batch(self, category: str, requirements: dict[str, str]) -> None:
        """Ask for opinions on some requirements, check them, and try to refute each "met"."""
        if not self.source.pieces:
            self._give_up(requirements, "The app has no source file that a judge could read.")
            return
        shown = await asyncio.to_thread(
            choose_pieces,
            self.source,
            list(requirements.values()),
            characters_count=self.characters_count,
            weigh=lambda piece: _weigh(category, piece),
        )
        self.shown.update(shown.pieces)
        delimiter = self.make_delimiter()
        prompt = render_judge_prompt(requirements, self.facts, shown, delimiter=delimiter)
        answer = await self._ask("judge", requirements, prompt, OPINION_SCHEMA, delimiter)
        if isinstance(answer, str):
            self._give_up(requirements, answer)
            return
        said = _group(as_array(answer.get("opinions"), "opinions"), requirements)
        for name, text in requirements.items():
            self.opinions[name] = self._check(text, said[name])
        await self._refute({name: requirements[name] for name in requirements if self._is_met(name)}, shown)

    def _check(self, requirement: str, answers: list[dict[str, JsonValue]]) -> JudgeOpinion:
        """Return what of a model's opinion can be kept."""
        if not answers:
            return _unscored("The judge gave no opinion on it.")
        if len({get_text(answer, "met") for answer in answers}) > 1:
            return _unscored("The judge gave opinions that contradict each other.")
        answer = answers[0]
        verdict, confidence = Verdict(get_text(answer, "met")), Confidence(get_text(answer, "confidence"))
        reason = _clean(get_text(answer, "reason"))
        if verdict is Verdict.unknown:
            return _unscored(f"The judge could not tell: {reason}" if reason else "The judge could not tell.")
        quote = self.checker.find_quote(
            get_text(answer, "file"), get_integer(answer, "start_line") or 1, get_text(answer, "quote")
        )
        if verdict is Verdict.met:
            doubt = quote if isinstance(quote, str) else self.checker.explain_doubt(quote, requirement)
            if doubt:
                return _unscored(f"The judge said met, which does not count: {doubt}")
        evidence = Evidence(source="judge", verdict=verdict, confidence=confidence, text=reason)
        if not isinstance(quote, str):
            evidence = replace(evidence, location=quote.location, quote=quote.text)
        return JudgeOpinion(verdict=verdict, confidence=confidence, evidence=(evidence,))

    async def _refute(self, requirements: dict[str, str], shown: ShownSource) -> None:
        """Put each "met" before the model again; whatever comes of it can only lower the opinion."""
        if not requirements:
            return
        delimiter = self.make_delimiter()
        prompt = render_refute_prompt(
            requirements, [self._claim(name) for name in requirements], shown, delimiter=delimiter
        )
        answer = await self._ask("refute", requirements, prompt, REFUTATION_SCHEMA, delimiter)
        if isinstance(answer, str):
            self._give_up(requirements, f"Nobody tried to refute it. {answer}")
            return
        said = _group(as_array(answer.get("results"), "results"), requirements)
        for name in requirements:
            self.opinions[name] = _lower(self.opinions[name], said[name])

    async def _ask(
        self,
        purpose: CallPurpose,
        requirements: Mapping[str, str],
        prompt: list[ChatMessage],
        schema: dict[str, JsonValue],
        delimiter: str,
    ) -> dict[str, JsonValue] | str:
        """Return the answer, or one sentence why there is none; either way the call is recorded."""
        if self.ended_by:
            return self.ended_by
        call = JudgeCall(
            purpose=purpose,
            requirement_ids=tuple(requirements),
            prompt_sha256=digest_prompt(prompt, delimiter),
            model=self.client.model,
        )
        try:
            reply = await self.client.complete_json(
                prompt,
                schema,
                schema_name="opinions" if purpose == "judge" else "refutations",
                max_tokens=_TOKENS_FOR_ANY_ANSWER + _TOKENS_FOR_AN_OPINION * len(requirements),
                seed=0,
            )
        except LlmError as error:
            self.calls.append(replace(call, error=f"{error.kind}: {error.message}"))
            failure = f"The judge gave no answer ({error.kind.replace('_', ' ')}): {error.message}"
            if error.kind in _KINDS_THAT_END_IT:
                self.ended_by = failure
            return failure
        self.calls.append(
            replace(
                call,
                model=reply.model,
                reply=reply.text,
                prompt_tokens=reply.prompt_tokens,
                completion_tokens=reply.completion_tokens,
                attempts_count=reply.attempts_count,
                duration_ms=reply.duration_ms,
                finish_reason=reply.finish_reason,
            )
        )
        return as_object(reply.value, "The judge's answer")

    def _give_up(self, requirements: Mapping[str, str], reason: str) -> None:
        for name in requirements:
            self.opinions[name] = _unscored(reason)

    def _is_met(self, name: str) -> bool:
        return self.opinions[name].verdict is Verdict.met

    def _claim(self, name: str) -> Claim:
        evidence = self.opinions[name].evidence[0]
        place = evidence.location
        return Claim(
            requirement_id=name,
            place=f"{place.path}:{place.start_line}" if place else "",
            quote=evidence.quote,
            reason=evidence.text,
        )


def _lower(opinion: JudgeOpinion, answers: list[dict[str, JsonValue]]) -> JudgeOpinion:
    """Return a "met" after somebody tried to refute it: as it was, less sure, or not met. Never more."""
    if not answers:
        return _unscored("Nobody tried to refute it: the judge left it out.")
    results = {get_text(answer, "result"): _clean(get_text(answer, "reason")) for answer in answers}
    if "refuted" in results:
        evidence = Evidence(
            source="judge", verdict=Verdict.not_met, confidence=Confidence.medium, text=results["refuted"]
        )
        return JudgeOpinion(
            verdict=Verdict.not_met, confidence=Confidence.medium, evidence=(evidence, *opinion.evidence)
        )
    if "unsure" in results:
        return replace(opinion, confidence=Confidence.low)
    return opinion


def _group(
    answers: list[JsonValue], requirements: Mapping[str, str]
) -> dict[str, list[dict[str, JsonValue]]]:
    """Return the answers by requirement id; those about anything that was not asked are dropped."""
    grouped: dict[str, list[dict[str, JsonValue]]] = {name: [] for name in requirements}
    for entry in answers:
        answer = as_object(entry, "An entry of the judge's answer")
        name = get_text(answer, "requirement_id").strip()
        if name in grouped:
            grouped[name].append(answer)
    return grouped


def _unscored(reason: str) -> JudgeOpinion:
    return JudgeOpinion(
        verdict=Verdict.unknown,
        confidence=Confidence.low,
        unscored_reason=shorten(reason, limit=_MAX_REASON_CHARACTERS),
    )


def _clean(text: str) -> str:
    return shorten(" ".join(text.split()), limit=_MAX_REASON_CHARACTERS)


def _weigh(category: str, piece: SourcePiece) -> float:
    path = piece.source.file.path.lower()
    is_browser_code = piece.source.file.language in ("jsx", "tsx", "html") or path.startswith(
        ("frontend/", "client/", "web/", "ui/")
    )
    if category == "admin":
        return 1.0
    return 1.0 if is_browser_code == (category == "frontend") else _OTHER_HALF_WEIGHT
