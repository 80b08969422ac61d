"""mypy: mistakes in how Python values are used.

Runs mypy's build through ``runners/run_mypy.py``, with a configuration of ours (mypy
loads plug-ins named in the app's own) and its cache in the run's own folder. All files are
checked, however the app is laid out: see ``python_modules``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from referee.core.findings import JsonValue, Location, Rule, ToolFinding, ToolReport
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
from referee.tools.planning import EXCLUDE_PARAMETER, get_words, plan_files
from referee.tools.python_modules import group_modules
from referee.tools.reading import build_file_coverage, get_integer, get_text, normalise_path, shorten
from referee.tools.runner_output import read_runner_output
from referee.tools.running import RUNNERS_DIR, probe_python_package, run_tool_command, work_dir

__all__ = ["Mypy", "create_tool"]

_SEVERITIES: Final[dict[str, Severity]] = {
    "abstract": Severity.high,
    "annotation-unchecked": Severity.info,
    "call-arg": Severity.high,
    "import-not-found": Severity.low,
    "import-untyped": Severity.low,
    "name-defined": Severity.high,
    "no-any-return": Severity.low,
    "no-untyped-call": Severity.low,
    "no-untyped-def": Severity.low,
    "possibly-undefined": Severity.high,
    "syntax": Severity.high,
    "type-arg": Severity.low,
    "unused-ignore": Severity.info,
    "used-before-def": Severity.high,
    "var-annotated": Severity.low,
}
"""Errors that will fail when the line runs are high, missing annotations low; others are medium."""

_CWES: Final[dict[str, int]] = {
    "arg-type": 686,
    "assignment": 704,
    "call-arg": 628,
    "possibly-undefined": 457,
    "return": 394,
    "unreachable": 561,
    "used-before-def": 457,
}

_DESCRIPTION = ToolDescription(
    name="mypy",
    service=Service.static,
    summary="Finds values of the wrong type in Python code.",
    homepage_url="https://mypy.readthedocs.io/",
    license="MIT",
    languages=("python",),
    applies_to="Python files",
    parameters=(
        Parameter(
            name="strict",
            type="boolean",
            default=False,
            help="Ask for annotations everywhere, as mypy --strict does.",
        ),
        Parameter(
            name="check_untyped_defs",
            type="boolean",
            default=True,
            help="Check functions without annotations too; most apps have few.",
        ),
        Parameter(
            name="ignore_missing_imports",
            type="boolean",
            default=True,
            help="Say nothing about imports of packages that are not installed here.",
        ),
        Parameter(name="disable_error_code", type="array", default=(), help="Kinds of errors to leave out."),
        Parameter(
            name="enable_error_code", type="array", default=(), help="Kinds of errors to look for besides."
        ),
        EXCLUDE_PARAMETER,
    ),
    presets={
        "quick": {"check_untyped_defs": False},
        "deep": {
            "check_untyped_defs": True,
            "enable_error_code": ("possibly-undefined", "truthy-bool", "redundant-expr"),
        },
    },
    limits=Limits(wall_s=600),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error},
    identity_fields=(),
    cost_s=1.5,
)


class Mypy:
    """The tool mypy."""

    def describe(self) -> ToolDescription:
        """Return what mypy is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return mypy's environment, installed first if need be."""
        return await kit.python_environment("mypy", "mypy.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return the installed version."""
        return await probe_python_package(installation, "mypy")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Plan all Python files, in groups that can be checked together."""
        files = plan_files(snapshot, parameters, "python", noun="Python files")
        groups = group_modules(files.files, lambda path: (snapshot.root / path).read_bytes())
        listed: list[JsonValue] = [{"bases": [*group.bases], "paths": dict(group.paths)} for group in groups]
        return ToolPlan(
            parameters=parameters,
            files=files.files,
            not_applicable=files.not_applicable,
            details={**files.details, "groups": listed},
        )

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Check group after group in one process."""
        work, parameters = work_dir(kit), plan.parameters
        arguments = [
            "--output=json",
            "--no-error-summary",
            f"--cache-dir={work / 'cache'}",
            "--no-incremental",
        ]
        arguments += [
            "--namespace-packages",
            "--explicit-package-bases",
            "--no-site-packages",
            "--show-error-end",
        ]
        for flag in ("strict", "check_untyped_defs", "ignore_missing_imports"):
            if parameters[flag]:
                arguments.append(f"--{flag.replace('_', '-')}")
        for option in ("disable_error_code", "enable_error_code"):
            arguments += [f"--{option.replace('_', '-')}={code}" for code in get_words(parameters, option)]
        job: dict[str, JsonValue] = {
            "arguments": [*arguments],
            "work_dir": str(work),
            "groups": plan.details["groups"],
        }
        return await run_tool_command(
            kit,
            "mypy",
            [str(kit.installation.program), str(RUNNERS_DIR / "run_mypy.py")],
            environment={"MYPY_CACHE_DIR": str(work / "cache")},
            read_only=(RUNNERS_DIR,),
            stdin=json.dumps(job).encode("ascii"),
        )

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read mypy's messages.

        Raises:
            OutputUnreadable: There is no output, or not of the runner's form.
        """
        output = read_runner_output(raw)
        planned = frozenset(plan.files)
        findings: list[ToolFinding] = []
        notices: list[str] = []
        for record in output.records:
            path = normalise_path(get_text(record, "file", default=""))
            if path in planned and path is not None:
                findings.append(_read_finding(record, path))
            elif "message" in record:
                notices.append(shorten(get_text(record, "message"), limit=300))
        findings.sort(key=_sort_key)
        unreadable = dict(output.unreadable)
        return ToolReport(
            findings=tuple(findings),
            rules=_rules_of(findings),
            coverage=build_file_coverage(
                plan.files,
                unreadable=unreadable,
                suppressed_count=sum(finding.suppression is not None for finding in findings),
            ),
            failure=output.failure,
            is_partial=output.failure is not None,
            notices=tuple(sorted(set(notices))[:20]),
        )


def create_tool() -> Tool:
    """Return the tool."""
    return Mypy()


def _read_finding(record: dict[str, JsonValue], path: str) -> ToolFinding:
    code = get_text(record, "code", default="misc")
    if record.get("kind") == "suppressed":
        return ToolFinding(
            rule_id=code,
            message=f"A comment silences an error of the kind {code}.",
            severity=_SEVERITIES.get(code, Severity.medium),
            location=Location(path, get_integer(record, "line")),
            cwe_ids=(_CWES[code],) if code in _CWES else (),
            suppression="type: ignore",
            help_url=_help_url(code),
        )
    word = get_text(record, "severity", default="error")
    column, end_column = get_integer(record, "column"), get_integer(record, "end_column")
    hint = get_text(record, "hint", default="")
    message = get_text(record, "message")
    return ToolFinding(
        rule_id=code,
        message=shorten(f"{message}\n{hint}" if hint else message),
        severity=Severity.info if word == "note" else _SEVERITIES.get(code, Severity.medium),
        location=Location(
            path,
            max(get_integer(record, "line") or 1, 1),
            None if column is None or column < 0 else column + 1,
            get_integer(record, "end_line"),
            None if end_column is None or end_column < 0 else end_column + 1,
        ),
        tool_severity=word,
        cwe_ids=(_CWES[code],) if code in _CWES else (),
        help_url=_help_url(code),
    )


def _help_url(code: str) -> str:
    return f"https://mypy.readthedocs.io/en/stable/_refs.html#code-{code}"


def _rules_of(findings: list[ToolFinding]) -> tuple[Rule, ...]:
    codes = sorted({finding.rule_id for finding in findings})
    return tuple(
        Rule(
            rule_id=code,
            name=code,
            summary=f"{code.replace('-', ' ').capitalize()} error.",
            default_severity=_SEVERITIES.get(code, Severity.medium),
            help_url=_help_url(code),
            cwe_ids=(_CWES[code],) if code in _CWES else (),
        )
        for code in codes
    )


def _sort_key(finding: ToolFinding) -> tuple[str, int, int, str, str]:
    place = finding.location or Location("")
    return place.path, place.start_line or 0, place.start_column or 0, finding.rule_id, finding.message
