"""What a judge was asked, what it said and what was made of it, as JSON that can be read again.

Replies are kept verbatim, prompts by their digest: their text is the app's
source, which is kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from referee.core.findings import JsonValue, Location
from referee.core.requirements import Evidence, Verdict
from referee.core.vocabulary import Confidence
from referee.tools.reading import OutputUnreadable, as_array, as_object, get_integer, get_text, shorten

__all__ = ["JudgeCall", "JudgeOpinion", "JudgeRecord", "read_judge_record"]

SCHEMA: Final = "referee-judge-record"
SCHEMA_VERSION: Final = "1.0"
MAX_REPLY_CHARACTERS: Final = 40_000
"""Of one reply; an answer may have 16,384 tokens, and a longer text is cut and marked with …."""
MAX_LEFT_OUT: Final = 200

CallPurpose: TypeAlias = Literal["judge", "refute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOpinion:
    """What a judge thinks of one requirement, after its quotes were checked."""

    verdict: Verdict
    confidence: Confidence
    evidence: tuple[Evidence, ...] = ()
    """Its reasons; all have the source ``judge``."""
    unscored_reason: str = ""
    """Why the verdict is ``unknown``; empty when it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCall:
    """One question to the model."""

    purpose: CallPurpose
    requirement_ids: tuple[str, ...]
    prompt_sha256: str
    """Of the whole prompt, with the random delimiter replaced by a fixed word: equal prompts have equal digests."""
    model: str
    reply: str = ""
    """The model's words, verbatim."""
    error: str = ""
    """Why there is no reply; its kind and one sentence."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    attempts_count: int = 0
    duration_ms: int = 0
    finish_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRecord:
    """Everything of one judgement."""

    model: str
    """The model that was asked for."""
    calls: tuple[JudgeCall, ...]
    opinions: Mapping[str, JudgeOpinion]
    """By requirement id, one for each requirement that was to be judged."""
    left_out: tuple[str, ...] = ()
    """Pieces of the source that no question showed, then paths of files that were not read."""

    def to_json(self) -> JsonValue:
        """Return it as JSON, bounded."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "calls": [_dump_call(call) for call in self.calls],
            "opinions": {name: _dump_opinion(opinion) for name, opinion in sorted(self.opinions.items())},
            "left_out": [shorten(name, limit=300) for name in self.left_out[:MAX_LEFT_OUT]],
            "left_out_count": len(self.left_out),
        }


def read_judge_record(value: JsonValue) -> dict[str, JudgeOpinion]:
    """Return the opinions of a stored record by requirement id.

    Raises:
        OutputUnreadable: It is not a record of this schema.
    """
    record = as_object(value, "The judge's record")
    if record.get("schema") != SCHEMA or record.get("schema_version") != SCHEMA_VERSION:
        raise OutputUnreadable("The judge's record has an unknown schema or version.")
    opinions = as_object(record.get("opinions"), "The judge's opinions")
    return {
        name: _read_opinion(as_object(opinion, f"The opinion on {name}"))
        for name, opinion in opinions.items()
    }


def _dump_call(call: JudgeCall) -> dict[str, JsonValue]:
    return {
        "purpose": call.purpose,
        "requirement_ids": list(call.requirement_ids),
        "prompt_sha256": call.prompt_sha256,
        "model": call.model,
        "reply": shorten(call.reply, limit=MAX_REPLY_CHARACTERS),
        "error": shorten(call.error),
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "attempts_count": call.attempts_count,
        "duration_ms": call.duration_ms,
        "finish_reason": call.finish_reason,
    }


def _dump_opinion(opinion: JudgeOpinion) -> dict[str, JsonValue]:
    return {
        "verdict": opinion.verdict.value,
        "confidence": opinion.confidence.value,
        "evidence": [_dump_evidence(one) for one in opinion.evidence],
        "unscored_reason": opinion.unscored_reason,
    }


def _dump_evidence(evidence: Evidence) -> dict[str, JsonValue]:
    place = evidence.location
    return {
        "verdict": evidence.verdict.value,
        "confidence": evidence.confidence.value,
        "text": evidence.text,
        "path": place.path if place else None,
        "start_line": place.start_line if place else None,
        "end_line": place.end_line if place else None,
        "quote": evidence.quote,
    }


def _read_opinion(values: dict[str, JsonValue]) -> JudgeOpinion:
    return JudgeOpinion(
        verdict=_read_verdict(values),
        confidence=_read_confidence(values),
        evidence=tuple(
            _read_evidence(as_object(one, "A piece of evidence"))
            for one in as_array(values.get("evidence"), "The evidence")
        ),
        unscored_reason=get_text(values, "unscored_reason"),
    )


def _read_evidence(values: dict[str, JsonValue]) -> Evidence:
    path = values.get("path")
    location = None
    if path is not None:
        location = Location(
            get_text(values, "path"),
            start_line=get_integer(values, "start_line"),
            end_line=get_integer(values, "end_line"),
        )
    return Evidence(
        source="judge",
        verdict=_read_verdict(values),
        confidence=_read_confidence(values),
        text=get_text(values, "text"),
        location=location,
        quote=get_text(values, "quote"),
    )


def _read_verdict(values: dict[str, JsonValue]) -> Verdict:
    word = get_text(values, "verdict")
    if word not in Verdict.__members__:
        raise OutputUnreadable(f"{shorten(word, limit=40)!r} is no verdict.")
    return Verdict(word)


def _read_confidence(values: dict[str, JsonValue]) -> Confidence:
    word = get_text(values, "confidence")
    if word not in Confidence.__members__:
        raise OutputUnreadable(f"{shorten(word, limit=40)!r} is no confidence.")
    return Confidence(word)
