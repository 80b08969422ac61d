"""Whether an app does what it was asked to do: one verdict for each requirement, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from referee.core.findings import Location
from referee.core.vocabulary import Confidence

__all__ = ["Evidence", "RequirementVerdict", "Verdict"]


class Verdict(StrEnum):
    """What is known about a requirement."""

    met = "met"
    not_met = "not_met"
    unknown = "unknown"
    """Nothing that was looked at tells; never counted as met or as not met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One reason for a verdict, and where it comes from."""

    source: Literal["static", "dynamic", "judge"]
    verdict: Verdict
    confidence: Confidence
    text: str
    """One sentence: what was seen."""
    location: Location | None = None
    """The lines that show it; they exist, and the judge quoted them as they are."""
    quote: str = ""
    """Those lines."""
    exchange: str = ""
    """The HTTP exchange that showed it: request line, status and the beginning of both bodies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementVerdict:
    """One requirement of a template, judged."""

    requirement_id: str
    """``backend-1``, ``frontend-3``, ``admin-1``, ``endpoint-post-api-login``."""
    category: Literal["backend", "frontend", "admin", "endpoint", "admin_endpoint"]
    text: str
    verdict: Verdict
    confidence: Confidence
    evidence: tuple[Evidence, ...]
    unscored_reason: str = ""
    """Why the judge gave no verdict although one was asked; empty when it did or was not asked."""
