"""What ``samples/expected.toml`` says, as values, and the question which of it a tool run misses.

Whoever analyses the sample apps asks ``find_missing`` with the findings of one tool on one app; an
empty answer means that every planted mistake this tool is named for was reported in its place.
``find_missing_at_runtime`` answers the same for the tools that meet the running app.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "RUNTIME_TOOLS",
    "SAMPLES_DIR",
    "TOOLS",
    "Detection",
    "Mistake",
    "Place",
    "RuntimeDetection",
    "RuntimeMistake",
    "RuntimePlace",
    "SampleApp",
    "find_missing",
    "find_missing_at_runtime",
    "load_sample_apps",
]

SAMPLES_DIR = Path(__file__).resolve().parents[2] / "samples"
TOOLS = ("bandit", "pylint", "mypy", "vulture", "safety", "semgrep", "eslint", "jshint")
RUNTIME_TOOLS = ("curl", "nmap", "zap", "wapiti", "ab", "aiohttp", "locust", "requirements-scanner")


@dataclass(frozen=True, slots=True)
class Detection:
    """That a tool reports a mistake, under which rule and where."""

    tool: str
    rule_pattern: re.Pattern[str]
    anchor: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """One planted mistake."""

    mistake_id: str
    file: str
    """POSIX path below the app's folder."""
    anchor: str
    """Code that occurs once in the file; its first line is the mistake's line."""
    description: str
    cwe: str | None
    found_by: tuple[Detection, ...]
    reason: str | None
    """Why none of the eight tools finds it; None when one does."""
    dependency: str | None
    is_suppressed: bool


@dataclass(frozen=True, slots=True)
class RuntimeDetection:
    """That a tool reports a mistake of the running app, under which rule and where."""

    tool: str
    rule_pattern: re.Pattern[str]
    place: str
    """Its address, such as ``backend GET /api/tasks (q)``, or where a finding has none, how its message begins."""


@dataclass(frozen=True, slots=True)
class RuntimeMistake:
    """One planted mistake that the running app shows."""

    mistake_id: str
    description: str
    cwe: str | None
    found_by: tuple[RuntimeDetection, ...]
    reason: str | None
    """Why no tool finds it; None when one does."""


@dataclass(frozen=True, slots=True)
class SampleApp:
    """One sample app with everything that is expected of it."""

    app_id: str
    path: Path
    model: str
    app_number: int
    template: str
    unmet_endpoints: tuple[str, ...]
    outcomes: dict[str, str]
    outcome_reasons: dict[str, str]
    mistakes: tuple[Mistake, ...]
    runtime_outcomes: dict[str, tuple[str, ...]]
    """By tool: every outcome that is right; a program that the machine may lack leaves two."""
    runtime_mistakes: tuple[RuntimeMistake, ...]

    def read(self, file: str) -> str:
        """Return the text of one of its files."""
        return (self.path / file).read_text(encoding="utf-8")

    def line_of(self, file: str, anchor: str) -> int:
        """Return the line, from 1, where the anchor begins."""
        before, found, _ = self.read(file).partition(anchor)
        if not found:
            raise ValueError(f"{file} of {self.app_id} does not hold {anchor!r}")
        return before.count("\n") + 1


@dataclass(frozen=True, slots=True)
class Place:
    """What of a finding decides whether it is the expected one."""

    rule_id: str
    path: str
    start_line: int | None
    is_suppressed: bool = False
    text: str = ""
    """Message and identity of the finding; a dependency's advisory may be named only there."""


@dataclass(frozen=True, slots=True)
class RuntimePlace:
    """What of a finding about a running app decides whether it is the expected one."""

    tool: str
    rule_id: str
    address: str
    """As people read it; empty for a finding that has none."""
    message: str


def load_sample_apps() -> tuple[SampleApp, ...]:
    """Read ``samples/expected.toml``."""
    document = tomllib.loads((SAMPLES_DIR / "expected.toml").read_text(encoding="utf-8"))
    return tuple(_to_app(entry) for entry in document["apps"])


def find_missing(app: SampleApp, tool: str, places: Sequence[Place]) -> list[str]:
    """Return one sentence for each mistake that ``tool`` should have reported in ``app`` and did not."""
    return [
        f"{mistake.mistake_id}: no finding of {detection.rule_pattern.pattern} at "
        f"{mistake.file}:{app.line_of(mistake.file, detection.anchor)}"
        for mistake in app.mistakes
        for detection in mistake.found_by
        if detection.tool == tool and not any(_matches(app, mistake, detection, place) for place in places)
    ]


def find_missing_at_runtime(app: SampleApp, places: Sequence[RuntimePlace]) -> list[str]:
    """Return one sentence for each mistake that a tool should have reported of the running app and did not."""
    return [
        f"{mistake.mistake_id}: {detection.tool} has no finding of {detection.rule_pattern.pattern} at "
        f"{detection.place}"
        for mistake in app.runtime_mistakes
        for detection in mistake.found_by
        if not any(_is_seen(detection, place) for place in places)
    ]


def _is_seen(detection: RuntimeDetection, place: RuntimePlace) -> bool:
    return (
        place.tool == detection.tool
        and detection.rule_pattern.fullmatch(place.rule_id) is not None
        and (detection.place == place.address or place.message.startswith(f"{detection.place}:"))
    )


def _matches(app: SampleApp, mistake: Mistake, detection: Detection, place: Place) -> bool:
    if place.path != mistake.file or place.is_suppressed != mistake.is_suppressed:
        return False
    if mistake.dependency is not None:
        return (
            detection.rule_pattern.fullmatch(f"{place.rule_id} {place.text}") is not None
            and mistake.dependency in place.text.lower()
        )
    return (
        detection.rule_pattern.fullmatch(place.rule_id) is not None
        and app.line_of(mistake.file, detection.anchor) == place.start_line
    )


def _to_app(entry: dict[str, Any]) -> SampleApp:
    return SampleApp(
        app_id=entry["app_id"],
        path=SAMPLES_DIR / entry["path"],
        model=entry["model"],
        app_number=entry["app_number"],
        template=entry["template"],
        unmet_endpoints=tuple(entry["unmet_endpoints"]),
        outcomes=dict(entry["outcomes"]),
        outcome_reasons=dict(entry.get("outcome_reasons", {})),
        mistakes=tuple(_to_mistake(mistake) for mistake in entry["mistakes"]),
        runtime_outcomes={
            tool: tuple(outcome.split(" or ")) for tool, outcome in entry["runtime_outcomes"].items()
        },
        runtime_mistakes=tuple(_to_runtime_mistake(mistake) for mistake in entry["runtime_mistakes"]),
    )


def _to_mistake(entry: dict[str, Any]) -> Mistake:
    return Mistake(
        mistake_id=entry["mistake_id"],
        file=entry["file"],
        anchor=entry["anchor"],
        description=entry["description"],
        cwe=entry.get("cwe"),
        found_by=tuple(
            Detection(
                found["tool"], re.compile(found["rule"], re.DOTALL), found.get("anchor", entry["anchor"])
            )
            for found in entry["found_by"]
        ),
        reason=entry.get("reason"),
        dependency=entry.get("dependency"),
        is_suppressed=entry.get("is_suppressed", False),
    )


def _to_runtime_mistake(entry: dict[str, Any]) -> RuntimeMistake:
    return RuntimeMistake(
        mistake_id=entry["mistake_id"],
        description=entry["description"],
        cwe=entry.get("cwe"),
        found_by=tuple(
            RuntimeDetection(found["tool"], re.compile(found["rule"]), found["place"])
            for found in entry["found_by"]
        ),
        reason=entry.get("reason"),
    )
