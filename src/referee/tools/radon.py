"""radon: how complex Python code is.

Runs radon's API through ``runners/run_radon.py``, which gives complexity, size and
maintainability in one pass. Blocks at or above a rank become findings; the rest
become measurements of the whole subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from referee.core.findings import JsonValue, Location, Measurement, Rule, ToolFinding, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Service, Severity
from referee.foundation.sandbox.commands import Limits
from referee.tools.contract import (
    Installation,
    InstallKit,
    Parameter,
    ParameterValue,
    RawOutput,
    RunKit,
    Tool,
    ToolDescription,
    ToolPlan,
)
from referee.tools.planning import EXCLUDE_PARAMETER, plan_files
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    build_file_coverage,
    get_integer,
    get_text,
    normalise_path,
    shorten,
)
from referee.tools.runner_output import RunnerOutput, read_runner_output, run_runner
from referee.tools.running import probe_python_package

__all__ = ["Radon", "create_tool"]

_RANKS: Final[dict[str, Severity]] = {
    "A": Severity.info,
    "B": Severity.low,
    "C": Severity.medium,
    "D": Severity.medium,
    "E": Severity.high,
    "F": Severity.high,
}
_NOUNS: Final[dict[str, str]] = {"F": "function", "M": "method", "C": "class"}

_RULE = Rule(
    rule_id="cyclomatic-complexity",
    name="Cyclomatic complexity",
    summary="A function, method or class has many independent paths.",
    default_severity=Severity.medium,
    help_url="https://radon.readthedocs.io/en/latest/intro.html#cyclomatic-complexity",
    cwe_ids=(1121,),
)

_DESCRIPTION = ToolDescription(
    name="radon",
    service=Service.static,
    summary="Measures the complexity, size and maintainability of Python code.",
    homepage_url="https://radon.readthedocs.io/",
    license="MIT",
    languages=("python",),
    applies_to="Python files",
    parameters=(
        Parameter(
            name="min_complexity",
            type="string",
            default="C",
            options=tuple(_RANKS),
            help="Best rank that is a finding: A up to 5 paths, B 10, C 20, D 30, E 40, F more.",
        ),
        EXCLUDE_PARAMETER,
    ),
    presets={"quick": {"min_complexity": "D"}, "deep": {"min_complexity": "B"}},
    limits=Limits(wall_s=180),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error},
    identity_fields=("name",),
    has_line_identity=False,
    is_default=False,
    cost_s=0.3,
)


class Radon:
    """The tool radon."""

    def describe(self) -> ToolDescription:
        """Return what radon is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return radon's environment, installed first if need be."""
        return await kit.python_environment("radon", "radon.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return the installed version."""
        return await probe_python_package(installation, "radon")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Plan all Python files."""
        return plan_files(snapshot, parameters, "python", noun="Python files")

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Measure all planned files."""
        return await run_runner(kit, "radon", "run_radon.py", {"files": list(plan.files)})

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read the runner's lines.

        Raises:
            OutputUnreadable: There is no output, or not of the runner's form.
        """
        output = read_runner_output(raw)
        lowest = str(plan.parameters["min_complexity"])
        findings: list[ToolFinding] = []
        for record in output.records:
            path = normalise_path(get_text(record, "path"))
            if path is None:
                raise OutputUnreadable(
                    f"radon names the path {get_text(record, 'path')!r} outside of the subject."
                )
            blocks = [as_object(block, "a block") for block in as_array(record.get("blocks"), "blocks")]
            findings += [_read_finding(block, path) for block in blocks if get_text(block, "rank") >= lowest]
        return ToolReport(
            findings=tuple(findings),
            rules=(_RULE,) if findings else (),
            coverage=build_file_coverage(plan.files, unreadable=output.unreadable),
            measurements=_measure(output),
            failure=output.failure,
            is_partial=output.failure is not None,
        )


def create_tool() -> Tool:
    """Return the tool."""
    return Radon()


def _read_finding(block: dict[str, JsonValue], path: str) -> ToolFinding:
    name, rank, complexity = (
        get_text(block, "name"),
        get_text(block, "rank"),
        get_integer(block, "complexity"),
    )
    noun = _NOUNS.get(get_text(block, "letter"), "block")
    column = get_integer(block, "column")
    return ToolFinding(
        rule_id=_RULE.rule_id,
        message=shorten(f"The {noun} {name} has a complexity of {complexity} (rank {rank})."),
        severity=_RANKS.get(rank, Severity.medium),
        location=Location(
            path,
            get_integer(block, "line"),
            column + 1 if column is not None else None,
            get_integer(block, "last_line"),
        ),
        tool_severity=rank,
        cwe_ids=_RULE.cwe_ids,
        identity=(shorten(name, limit=200),),
        properties={"complexity": complexity},
    )


def _measure(output: RunnerOutput) -> tuple[Measurement, ...]:
    blocks = [
        as_object(block, "a block")
        for record in output.records
        for block in as_array(record["blocks"], "blocks")
    ]
    complexities = [get_integer(block, "complexity") or 0 for block in blocks]
    indexes = [
        value for record in output.records if isinstance(value := record.get("maintainability"), int | float)
    ]

    def total(key: str) -> int:
        return sum(get_integer(record, key) or 0 for record in output.records)

    measurements = [
        Measurement("lines_count", total("lines"), "lines", "neither"),
        Measurement("source_lines_count", total("source_lines"), "lines", "neither"),
        Measurement("comment_lines_count", total("comment_lines"), "lines", "neither"),
        Measurement("blocks_count", len(blocks), "blocks", "neither"),
    ]
    if complexities:
        mean = round(sum(complexities) / len(complexities), 4)
        measurements.append(Measurement("complexity_mean_count", mean, "paths", "lower"))
        measurements.append(Measurement("complexity_max_count", max(complexities), "paths", "lower"))
    if indexes:
        mean = round(sum(indexes) / len(indexes), 4)
        measurements.append(Measurement("maintainability_index_mean", mean, "points of 100", "higher"))
    return tuple(measurements)
