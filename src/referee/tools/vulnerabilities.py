"""What the tools that judge dependencies share: known problems of pinned versions, as findings.

The advisories that a run used are kept in its raw output (``ADVISORIES_STREAM``),
so the output can be parsed again after the store has changed.

Not here: the records (``advisories/``) and the dependency files (``dependencies/``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.version import InvalidVersion, Version

from referee.core.findings import (
    MAX_HOLES,
    Coverage,
    CoverageHole,
    JsonValue,
    Location,
    Rule,
    ToolFinding,
    ToolReport,
)
from referee.core.vocabulary import Severity
from referee.tools.advisories.records import AdvisoryGroup
from referee.tools.advisories.store import AdvisoryStore, EcosystemData
from referee.tools.advisories.versions import Ecosystem
from referee.tools.contract import InstallKit, Parameter, ParameterValue, RawOutput, ToolPlan
from referee.tools.dependencies import Dependencies
from referee.tools.reading import OutputUnreadable, as_array, as_object, get_text, read_json, shorten

__all__ = [
    "ADVISORIES_STREAM",
    "PARAMETERS",
    "Judgement",
    "Problem",
    "StoreLocation",
    "add_advisories",
    "build_report",
    "find_problems",
    "make_plan",
    "normal_version",
    "read_judgement",
]

ADVISORIES_STREAM = "advisories.json"
"""Name of the stream that holds the advisories a run used."""

PARAMETERS = (
    Parameter(name="packages", type="array", default=(), help="Judge only these packages; empty: all."),
    Parameter(
        name="ignore",
        type="array",
        default=(),
        help="Ids (CVE, GHSA, PYSEC) whose findings are marked suppressed.",
    ),
)

Pin = tuple[str, str]
"""Package name and version."""


class StoreLocation:
    """Where a tool finds the advisory store: what it was installed with, else the settings."""

    def __init__(self) -> None:
        self._directory: Path | None = None

    def remember(self, kit: InstallKit) -> None:
        """Take the folder of a kit."""
        self._directory = kit.advisories_dir

    def open(self) -> AdvisoryStore:
        """Open the store there."""
        if self._directory is None:
            from referee.foundation.settings import load_settings  # noqa: PLC0415 - planned without an installation

            self._directory = load_settings().advisories_dir
        return AdvisoryStore.open(self._directory)


@dataclass(frozen=True, slots=True)
class Problem:
    """A known problem of a package, and the audited versions that have it."""

    key: str
    name: str
    ids: tuple[str, ...]
    lead_id: str
    summary: str
    severity: Severity
    severity_basis: str
    cwe_ids: tuple[int, ...]
    fixed_versions: Mapping[str, tuple[str, ...]]
    """By affected version, nearest fix first."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as JSON values."""
        return {
            "key": self.key,
            "name": self.name,
            "ids": list(self.ids),
            "lead_id": self.lead_id,
            "summary": self.summary,
            "severity": self.severity.value,
            "severity_basis": self.severity_basis,
            "cwe_ids": list(self.cwe_ids),
            "fixed_versions": {version: list(fixed) for version, fixed in self.fixed_versions.items()},
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> Problem:
        """Return what ``to_json`` gave.

        Raises:
            OutputUnreadable: The value is something else.
        """
        entry = as_object(value, "an advisory")
        try:
            severity = Severity(get_text(entry, "severity"))
        except ValueError as error:
            raise OutputUnreadable("An advisory has no known severity.") from error
        fixed = as_object(entry.get("fixed_versions"), "the fixed versions")
        return cls(
            key=get_text(entry, "key"),
            name=get_text(entry, "name"),
            ids=tuple(str(one) for one in as_array(entry.get("ids"), "the ids")),
            lead_id=get_text(entry, "lead_id"),
            summary=get_text(entry, "summary"),
            severity=severity,
            severity_basis=get_text(entry, "severity_basis"),
            cwe_ids=tuple(
                one for one in as_array(entry.get("cwe_ids"), "the CWE ids") if isinstance(one, int)
            ),
            fixed_versions={
                version: tuple(str(one) for one in as_array(versions, "the fixed versions"))
                for version, versions in fixed.items()
            },
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was known when a run was made."""

    problems: tuple[Problem, ...]
    data_on: str
    records_count: int
    digest: str
    is_bundled: bool


def make_plan(
    parameters: Mapping[str, ParameterValue], found: Dependencies, location: StoreLocation, sought: str
) -> ToolPlan:
    """Return the plan of a tool that judges ``found``."""
    if not found.files:
        return ToolPlan(
            parameters=parameters, not_applicable=f"None of {sought} is in it, so it names no dependencies."
        )
    wanted = parameters.get("packages")
    if isinstance(wanted, tuple) and wanted:
        found.declarations = [one for one in found.declarations if one.name in wanted]
    with location.open() as store:
        digest = store.digest
    return ToolPlan(
        parameters=parameters,
        files=tuple(found.files),
        details={"dependencies": found.to_json(), "advisories_digest": digest},
    )


def planned_pins(plan: ToolPlan) -> list[Pin]:
    """Return every package and version to judge, once, sorted."""
    found = Dependencies.from_json(plan.details.get("dependencies"))
    return sorted({(one.name, one.version) for one in found.declarations})


def find_problems(
    store: AdvisoryStore, ecosystem: Ecosystem, pins: Iterable[Pin]
) -> list[tuple[Problem, AdvisoryGroup]]:
    """Return every known problem that at least one pin has, with its advisories."""
    versions: dict[str, list[str]] = {}
    for name, version in pins:
        versions.setdefault(name, []).append(version)
    found = []
    for name in sorted(versions):
        for group in store.find_groups(ecosystem, name):
            fixed = {
                version: group.fixed_versions(version) for version in versions[name] if group.affects(version)
            }
            if fixed:
                found.append((_make_problem(group, name, fixed), group))
    return found


def _make_problem(group: AdvisoryGroup, name: str, fixed: Mapping[str, tuple[str, ...]]) -> Problem:
    lead = group.lead
    return Problem(
        key=group.key,
        name=name,
        ids=group.ids,
        lead_id=lead.advisory_id,
        summary=lead.summary,
        severity=lead.severity,
        severity_basis=lead.severity_basis,
        cwe_ids=tuple(sorted({number for member in group.members for number in member.cwe_ids})),
        fixed_versions=fixed,
    )


def add_advisories(
    raw: RawOutput, data: EcosystemData, problems: Iterable[Problem], digest: str
) -> RawOutput:
    """Return the raw output with the advisories that the run used."""
    document: dict[str, JsonValue] = {
        "schema": "referee-advisories",
        "schema_version": "1.0",
        "data_on": data.data_on,
        "records_count": data.records_count,
        "digest": digest,
        "is_bundled": data.is_bundled,
        "problems": [problem.to_json() for problem in problems],
    }
    content = json.dumps(document, ensure_ascii=False, sort_keys=True).encode()
    return replace(
        raw,
        streams={**raw.streams, ADVISORIES_STREAM: content},
        total_bytes={**raw.total_bytes, ADVISORIES_STREAM: len(content)},
    )


def read_judgement(raw: RawOutput) -> Judgement:
    """Return the advisories that a run used.

    Raises:
        OutputUnreadable: They are missing or damaged.
    """
    document = as_object(read_json(raw, ADVISORIES_STREAM), ADVISORIES_STREAM)
    count = document.get("records_count")
    if document.get("schema") != "referee-advisories" or not isinstance(count, int):
        raise OutputUnreadable(f"{ADVISORIES_STREAM} is not a list of advisories.")
    return Judgement(
        problems=tuple(
            Problem.from_json(one) for one in as_array(document.get("problems"), "the advisories")
        ),
        data_on=get_text(document, "data_on"),
        records_count=count,
        digest=get_text(document, "digest"),
        is_bundled=document.get("is_bundled") is True,
    )


def normal_version(version: str) -> str:
    """Return a version of PyPI as declarations spell it (PEP 440's normal form)."""
    try:
        return str(Version(version))
    except InvalidVersion:
        return version


def build_report(
    plan: ToolPlan,
    judgement: Judgement,
    affected: Iterable[tuple[Problem, str]],
    *,
    unaudited: Mapping[Pin, str] | None = None,
    failure: str | None = None,
) -> ToolReport:
    """Return the report of a run.

    Args:
        plan: What was planned.
        judgement: What was known.
        affected: Each problem with the version that the tool says has it.
        unaudited: Reason by pin for those the tool did not judge.
        failure: One sentence when the tool failed as a whole.
    """
    found = Dependencies.from_json(plan.details.get("dependencies"))
    ignored = plan.parameters.get("ignore")
    findings: list[ToolFinding] = []
    rules: dict[str, Rule] = {}
    pairs = {(problem.name, problem.key, version): (problem, version) for problem, version in affected}
    for (name, key, version), (problem, _) in sorted(pairs.items()):
        is_ignored = isinstance(ignored, tuple) and not {key, *problem.ids}.isdisjoint(ignored)
        rules.setdefault(key, _make_rule(problem))
        findings.extend(
            _make_finding(problem, version, Location(one.path, one.line), is_ignored=is_ignored)
            for one in found.declarations
            if one.name == name and one.version == version
        )
    missing = unaudited or {}
    holes = [
        CoverageHole(f"{name}=={version}", "skipped", reason) for (name, version), reason in missing.items()
    ]
    holes += found.holes
    pins_count = len({(one.name, one.version) for one in found.declarations})
    examined_count = pins_count - len(missing)
    coverage = Coverage(
        unit="dependency",
        examined_count=examined_count,
        skipped_count=found.skipped_count + len(missing),
        unreadable_count=found.unreadable_count,
        holes=tuple(holes[:MAX_HOLES]),
        suppressed_count=sum(1 for finding in findings if finding.suppression),
        data_on=judgement.data_on,
        data_count=judgement.records_count,
    )
    return ToolReport(
        findings=tuple(findings),
        rules=tuple(rules[key] for key in sorted(rules)),
        coverage=coverage,
        failure=failure,
        notices=_make_notices(plan, judgement, coverage),
    )


def _make_notices(plan: ToolPlan, judgement: Judgement, coverage: Coverage) -> tuple[str, ...]:
    notices = []
    left_out = coverage.skipped_count + coverage.unreadable_count
    if left_out and not coverage.examined_count:
        notices.append(
            f"None of the {left_out} dependencies could be judged, so this says nothing about them."
        )
    elif left_out:
        notices.append(
            f"{left_out} of {left_out + coverage.examined_count} dependencies could not be judged."
        )
    if judgement.is_bundled:
        notices.append(
            f"Only the {judgement.records_count} advisories that come with Referee were known; "
            "`referee advisories import` brings in all."
        )
    if judgement.digest != plan.details.get("advisories_digest"):
        notices.append("The advisories were changed after this run was planned; it used the newer ones.")
    return tuple(notices)


def _make_rule(problem: Problem) -> Rule:
    return Rule(
        rule_id=problem.key,
        name=problem.key,
        summary=problem.summary,
        default_severity=problem.severity,
        help_url=_help_url(problem),
        cwe_ids=problem.cwe_ids,
    )


def _make_finding(problem: Problem, version: str, location: Location, *, is_ignored: bool) -> ToolFinding:
    fixed = problem.fixed_versions.get(version, ())
    advice = f"Fixed in {fixed[0]}." if fixed else "No fixed version is known."
    ids: list[JsonValue] = list(problem.ids[:20])
    return ToolFinding(
        rule_id=problem.key,
        message=shorten(f"{problem.name} {version} is affected by {problem.key}: {problem.summary} {advice}"),
        severity=problem.severity,
        location=location,
        tool_severity=problem.severity_basis,
        cwe_ids=problem.cwe_ids,
        identity=(problem.name, problem.key),
        suppression="ignore parameter" if is_ignored else None,
        help_url=_help_url(problem),
        properties={
            "package": problem.name,
            "version": version,
            "fixed_versions": list(fixed[:10]),
            "advisory_ids": ids,
        },
    )


def _help_url(problem: Problem) -> str:
    return f"https://osv.dev/vulnerability/{problem.lead_id}"
