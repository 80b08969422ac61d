"""Which letter, icon, tone and word stand for a severity or a state.

One table for all rooms, so that ``failed`` looks the same on a job, a tool run
and an analysis. Colour never stands alone: each state has an icon and a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from referee.core.vocabulary import Severity
from referee.foundation.web.formats import format_words

__all__ = ["SEVERITY_LETTERS", "StateLook", "describe_severity", "describe_state"]

Tone: TypeAlias = Literal["ok", "warn", "bad", "idle", "accent"]

SEVERITY_LETTERS: Final = {
    Severity.critical: "C",
    Severity.high: "H",
    Severity.medium: "M",
    Severity.low: "L",
    Severity.info: "I",
}


@dataclass(frozen=True, slots=True)
class StateLook:
    """How a state is shown."""

    tone: Tone
    icon: str
    word: str


_LOOKS: Final[dict[str, tuple[Tone, str]]] = {
    "queued": ("idle", "queued"),
    "waiting": ("idle", "queued"),
    "pending": ("idle", "queued"),
    "running": ("accent", "running"),
    "awaiting_upload": ("idle", "queued"),
    "quick_running": ("accent", "running"),
    "quick_done": ("accent", "running"),
    "deep_running": ("accent", "running"),
    "done": ("ok", "succeeded"),
    "paused": ("warn", "paused"),
    "completed": ("ok", "succeeded"),
    "succeeded": ("ok", "succeeded"),
    "partially_completed": ("warn", "partial"),
    "finished": ("ok", "succeeded"),
    "imported": ("ok", "check"),
    "quarantined": ("warn", "alert"),
    "failed": ("bad", "failed"),
    "triggered": ("bad", "bell"),
    "resolved": ("ok", "succeeded"),
    "active": ("ok", "check"),
    "muted": ("idle", "dismissed"),
    "enabled": ("ok", "check"),
    "disabled": ("warn", "unavailable"),
    "delivered": ("ok", "succeeded"),
    "dead": ("bad", "failed"),
    "bad": ("bad", "alert"),
    "between": ("warn", "partial"),
    "good": ("ok", "check"),
    "too_few": ("idle", "queued"),
    "nothing": ("idle", "not-applicable"),
    "cancelled": ("idle", "cancelled"),
    "not_applicable": ("idle", "not-applicable"),
    "timed_out": ("bad", "timed-out"),
    "parse_error": ("bad", "alert"),
    "unavailable": ("warn", "unavailable"),
    "target_unreachable": ("bad", "unreachable"),
    "skipped": ("idle", "skipped"),
    "open": ("warn", "open"),
    "fixed": ("ok", "succeeded"),
    "dismissed": ("idle", "dismissed"),
    "ok": ("ok", "succeeded"),
    "degraded": ("warn", "partial"),
    "clean": ("ok", "succeeded"),
    "verified": ("ok", "shield"),
    "altered": ("bad", "alert"),
    "missing": ("bad", "failed"),
    "starting": ("accent", "running"),
    "stopping": ("idle", "queued"),
    "stopped": ("idle", "cancelled"),
    "met": ("ok", "succeeded"),
    "not_met": ("bad", "failed"),
    "allowed": ("ok", "check"),
    "blocked": ("bad", "failed"),
    "retry_recommended": ("warn", "refresh"),
    "review_required": ("warn", "user"),
    "error": ("bad", "alert"),
}


def describe_state(state: str) -> StateLook:
    """Return how a state is shown; an unknown word is shown as itself, without judgement."""
    tone, icon = _LOOKS.get(str(state), ("idle", "dot"))
    return StateLook(tone, icon, format_words(str(state)))


def describe_severity(severity: str) -> tuple[str, str]:
    """Return letter and word of a severity."""
    return SEVERITY_LETTERS[Severity(severity)], str(Severity(severity))
