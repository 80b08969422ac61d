"""What a tool says about a subject: findings, the rules behind them, coverage and measurements.

Every tool's output becomes these values, whatever it looked like; storage,
SARIF, pages and counts are made from nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from referee.core.addresses import Address
from referee.core.load import LoadProfile
from referee.core.vocabulary import Confidence, Severity

if TYPE_CHECKING:
    from referee.core.requirements import RequirementVerdict

__all__ = [
    "Coverage",
    "CoverageHole",
    "JsonValue",
    "Location",
    "Measurement",
    "Rule",
    "ToolFinding",
    "ToolReport",
]

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"

MAX_HOLES = 200
"""Coverage holes kept by name; beyond that only their count, so one odd folder cannot fill a page."""


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file. Lines and columns count from 1; a number below that is none."""

    path: str
    """The path of a ``SourceFile``."""
    start_line: int | None = None
    start_column: int | None = None
    end_line: int | None = None
    end_column: int | None = None

    def __post_init__(self) -> None:
        """Take a tool's 0 or -1 for what it means: it does not know."""
        for name in ("start_line", "start_column", "end_line", "end_column"):
            number = getattr(self, name)
            if number is not None and number < 1:
                object.__setattr__(self, name, None)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a tool can find (a SARIF reportingDescriptor)."""

    rule_id: str
    name: str
    summary: str
    default_severity: Severity
    help_url: str | None = None
    cwe_ids: tuple[int, ...] = ()
    """CWE numbers, 89 for CWE-89."""


@dataclass(frozen=True, slots=True)
class ToolFinding:
    """One place where a rule matched (a SARIF result), before it has a life in the database."""

    rule_id: str
    message: str
    """One or two sentences, plain text, as the tool wrote them."""
    severity: Severity
    location: Location | None
    """None when the finding is about the whole subject."""
    tool_severity: str = ""
    """The tool's own word or number, kept as it was."""
    confidence: Confidence | None = None
    cwe_ids: tuple[int, ...] = ()
    identity: tuple[str, ...] = ()
    """Values of the tool's identity fields, besides rule and code line, that make this finding
    the same one next time: a package and an advisory, a function's name. Never a line number."""
    suppression: str | None = None
    """How the code asks not to be told, such as ``nosec``; None when it does not."""
    help_url: str | None = None
    address: Address | None = None
    """Where in the running app it was seen; part of what makes it the same finding next time."""
    related: tuple[Location, ...] = ()
    """Further places, such as the steps of a data flow."""
    properties: Mapping[str, JsonValue] = field(default_factory=dict)
    """What else the tool said and is worth showing. Bounded by the parser."""


@dataclass(frozen=True, slots=True)
class CoverageHole:
    """Something that should have been examined and was not."""

    name: str
    """A path, or ``package==version``."""
    kind: Literal["skipped", "unreadable"]
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a tool really looked at, so that "0 findings" is never ambiguous."""

    unit: Literal["file", "dependency", "url"]
    examined_count: int
    skipped_count: int = 0
    unreadable_count: int = 0
    holes: tuple[CoverageHole, ...] = ()
    """At most ``MAX_HOLES``; the counts are exact."""
    suppressed_count: int = 0
    """Findings that the code itself suppresses; they are kept and marked."""
    data_on: str | None = None
    """Date (ISO) of the data a verdict rests on, such as an advisory store."""
    data_count: int | None = None
    """Records in that data."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A named number with unit and direction."""

    name: str
    """lower_snake with its unit last, such as ``complexity_mean_count`` or ``lines_count``."""
    value: float
    unit: str
    better: Literal["higher", "lower", "neither"]
    location: Location | None = None
    address: Address | None = None
    """The place of the running app that was measured; None when it is about the whole subject."""


@dataclass(frozen=True, slots=True)
class ToolReport:
    """The parsed output of one tool run."""

    findings: tuple[ToolFinding, ...]
    rules: tuple[Rule, ...]
    """Each rule that a finding names, once."""
    coverage: Coverage
    measurements: tuple[Measurement, ...] = ()
    failure: str | None = None
    """One sentence when the tool's own output says that it failed as a whole; the findings are
    then what it found before."""
    is_partial: bool = False
    """True when the output was cut or part of it could not be read; ``failure`` says what."""
    notices: tuple[str, ...] = ()
    """Sentences worth showing beside the result, such as "2 of 14 files have syntax errors"."""
    loads: tuple[LoadProfile, ...] = ()
    """Each address that was put under load. Read again from the raw output where it is shown; the
    numbers that are compared are in ``measurements``."""
    verdicts: tuple[RequirementVerdict, ...] = ()
    """Each requirement that was judged. Read again from the raw output where it is shown."""
    unreachable: str | None = None
    """One sentence when no target of the app answered: the outcome is ``target_unreachable``, never clean."""
    not_applicable: str | None = None
    """One sentence when the run showed that nothing of the tool's kind is there to judge."""
