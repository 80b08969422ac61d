"""ruff: fast checks of Python code, from undefined names to security.

Runs with ``--isolated``: no configuration of the app is read. A second run without
regard to ``# noqa`` tells what comments silence; a third lists the files ruff looks at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from referee.core.findings import JsonValue, Location, Rule, ToolFinding, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Service, Severity
from referee.foundation.sandbox.commands import Limits
from referee.tools.bandit import BANDIT_RULES
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
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    build_file_coverage,
    get_integer,
    get_text,
    normalise_path,
    read_json,
    read_text,
    shorten,
)
from referee.tools.running import merge_outputs, probe_python_package, run_tool_command, work_dir

__all__ = ["Ruff", "create_tool"]

_REPORT = "report.json"
_UNSUPPRESSED = "unsuppressed"
_FILES = "files"

_SEVERITIES: Final[tuple[tuple[str, Severity], ...]] = (
    ("invalid-syntax", Severity.high),
    ("E9", Severity.high),
    ("F401", Severity.low),
    ("F841", Severity.low),
    ("F5", Severity.high),
    ("F6", Severity.high),
    ("F7", Severity.high),
    ("F82", Severity.high),
    ("F", Severity.medium),
    ("PLE", Severity.high),
    ("PLW", Severity.medium),
    ("BLE", Severity.medium),
    ("ASYNC", Severity.medium),
    ("B9", Severity.low),
    ("B", Severity.medium),
    ("S", Severity.medium),
    ("E", Severity.low),
    ("D", Severity.info),
    ("ANN", Severity.info),
    ("COM", Severity.info),
    ("I0", Severity.info),
    ("Q", Severity.info),
    ("W", Severity.info),
)
"""Severity by the longest prefix of a rule; everything else is a matter of style, low."""
_CWES: Final[dict[str, int]] = {
    "F401": 561,
    "F811": 561,
    "F841": 563,
    "E722": 396,
    "BLE001": 396,
    "PGH001": 95,
    "B006": 1188,
}

_IMMUTABLE_CALLS: Final = [
    f"fastapi.{name}"
    for name in ("Body", "Cookie", "Depends", "File", "Form", "Header", "Path", "Query", "Security")
]
"""Calls that FastAPI wants as defaults of arguments, so that B008 does not count them."""

_DESCRIPTION = ToolDescription(
    name="ruff",
    service=Service.static,
    summary="Finds mistakes, security problems and poor style in Python code, fast.",
    homepage_url="https://docs.astral.sh/ruff/",
    license="MIT",
    languages=("python",),
    applies_to="Python files",
    parameters=(
        Parameter(
            name="select",
            type="array",
            default=("E4", "E7", "E9", "F", "B", "S", "PLE"),
            help="Rules to run, by code or prefix; ALL for every rule.",
        ),
        Parameter(
            name="ignore", type="array", default=("S101",), help="Rules not to run, by code or prefix."
        ),
        EXCLUDE_PARAMETER,
        Parameter(
            name="line_length",
            type="integer",
            default=100,
            minimum=50,
            maximum=200,
            help="Longest line in characters before E501 says so.",
        ),
        Parameter(
            name="target_version",
            type="string",
            default="py311",
            options=("py37", "py38", "py39", "py310", "py311", "py312", "py313", "py314"),
            help="Oldest Python that the code is meant for.",
        ),
    ),
    presets={
        "quick": {"select": ("E9", "F", "PLE")},
        "deep": {"select": ("ALL",), "ignore": ("D203", "D213", "COM812", "CPY001")},
    },
    limits=Limits(wall_s=120),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.findings, 2: ExitMeaning.error},
    identity_fields=(),
    is_default=False,
    cost_s=0.2,
)


class Ruff:
    """The tool ruff."""

    def describe(self) -> ToolDescription:
        """Return what ruff is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return ruff's environment, installed first if need be."""
        return await kit.python_environment("ruff", "ruff.txt", "ruff")

    async def probe_version(self, installation: Installation) -> str:
        """Return the installed version."""
        return await probe_python_package(installation, "ruff")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Plan all Python files."""
        return plan_files(snapshot, parameters, "python", noun="Python files")

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Check, check again without regard to comments, and list the files."""
        work = work_dir(kit)
        second = f"{_UNSUPPRESSED}.json"
        first = await self._run_once(kit, plan, "ruff", [f"--output-file={work / _REPORT}"], _REPORT)
        return merge_outputs(
            first,
            {
                _UNSUPPRESSED: await self._run_once(
                    kit, plan, "ruff-again", ["--ignore-noqa", f"--output-file={work / second}"], second
                ),
                _FILES: await self._run_once(kit, plan, "ruff-files", ["--show-files"], None),
            },
        )

    async def _run_once(
        self, kit: RunKit, plan: ToolPlan, label: str, extra: list[str], report: str | None
    ) -> RawOutput:
        parameters = plan.parameters
        argv = [str(kit.installation.program), "check", "--isolated", "--no-cache", "--no-fix", "--quiet"]
        argv += ["--output-format=json", "--no-respect-gitignore", "--config=exclude=[]"]
        argv.append(f"--config=lint.flake8-bugbear.extend-immutable-calls={json.dumps(_IMMUTABLE_CALLS)}")
        argv += [f"--config=line-length={parameters['line_length']}"]
        argv += [f"--target-version={parameters['target_version']}"]
        argv += [
            f"--{name}={','.join(words)}"
            for name in ("select", "ignore")
            if (words := get_words(parameters, name))
        ]
        odd = [f"./{path}" for path in plan.files if not path.endswith((".py", ".pyi", ".pyw"))]
        return await run_tool_command(
            kit,
            label,
            [*argv, *extra, ".", *odd],
            report_files=(report,) if report else (),
            environment={"RAYON_NUM_THREADS": str(kit.cores_count)},
        )

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read ruff's JSON.

        Raises:
            OutputUnreadable: A report is absent, cut, or not ruff's.
        """
        root = str(plan.details.get("root", ""))
        planned = frozenset(plan.files)
        shown, rules = _read_findings(raw, _REPORT, root, planned)
        everything, all_rules = _read_findings(raw, f"{_UNSUPPRESSED}.{_UNSUPPRESSED}.json", root, planned)
        suppressed = _subtract(everything, shown)
        findings = sorted([*shown, *suppressed], key=_sort_key)
        seen = {normalise_path(line, root=root) for line in read_text(raw, f"{_FILES}.stdout").splitlines()}
        broken = {
            finding.location.path: finding.message
            for finding in findings
            if finding.location and finding.rule_id in ("invalid-syntax", "E902")
        }
        used = sorted({finding.rule_id for finding in findings})
        return ToolReport(
            findings=tuple(findings),
            rules=tuple({**all_rules, **rules}[rule_id] for rule_id in used),
            coverage=build_file_coverage(
                plan.files,
                unreadable=broken,
                skipped={path: "ruff did not look at it" for path in planned - seen},
                suppressed_count=len(suppressed),
            ),
        )


def create_tool() -> Tool:
    """Return the tool."""
    return Ruff()


def _read_findings(
    raw: RawOutput, stream: str, root: str, planned: frozenset[str]
) -> tuple[list[ToolFinding], dict[str, Rule]]:
    findings, rules = [], {}
    for item in as_array(read_json(raw, stream), "ruff's report"):
        entry = as_object(item, "a result")
        path = normalise_path(get_text(entry, "filename"), root=root)
        if path is None:
            raise OutputUnreadable(
                f"ruff names the path {get_text(entry, 'filename')!r} outside of the subject."
            )
        if path in planned:
            finding, rule = _read_finding(entry, path)
            findings.append(finding)
            rules[rule.rule_id] = rule
    return findings, rules


def _read_finding(entry: dict[str, JsonValue], path: str) -> tuple[ToolFinding, Rule]:
    rule_id = get_text(entry, "code", default="invalid-syntax")
    name = get_text(entry, "name", default=rule_id)
    start, end = (
        as_object(entry.get("location"), "location"),
        as_object(entry.get("end_location"), "end_location"),
    )
    severity, cwe = _judge(rule_id)
    url = get_text(entry, "url", default="") or None
    finding = ToolFinding(
        rule_id=rule_id,
        message=shorten(get_text(entry, "message")),
        severity=severity,
        location=Location(
            path,
            get_integer(start, "row"),
            get_integer(start, "column"),
            get_integer(end, "row"),
            get_integer(end, "column"),
        ),
        tool_severity=get_text(entry, "severity", default=""),
        cwe_ids=(cwe,) if cwe else (),
        help_url=url,
    )
    summary = name.replace("-", " ").capitalize() + "."
    return finding, Rule(rule_id, name, summary, severity, url, finding.cwe_ids)


def _judge(rule_id: str) -> tuple[Severity, int]:
    """Return severity and CWE number. ruff's S rules carry bandit's numbers and mean the same."""
    if rule_id.startswith("S") and rule_id[1:].isdigit() and f"B{rule_id[1:]}" in BANDIT_RULES:
        _, severity, cwe = BANDIT_RULES[f"B{rule_id[1:]}"]
        return severity, cwe
    prefixes = [(prefix, severity) for prefix, severity in _SEVERITIES if _has_prefix(rule_id, prefix)]
    severity = max(prefixes, key=lambda pair: len(pair[0]))[1] if prefixes else Severity.low
    return severity, _CWES.get(rule_id, 0)


def _has_prefix(rule_id: str, prefix: str) -> bool:
    """A prefix of letters must be the whole linter's name: S is not SIM, B is not BLE."""
    if not rule_id.startswith(prefix):
        return False
    return not prefix.isalpha() or not rule_id[len(prefix) : len(prefix) + 1].isalpha()


def _subtract(everything: list[ToolFinding], shown: list[ToolFinding]) -> list[ToolFinding]:
    left = Counter(map(_sort_key, shown))
    suppressed = []
    for finding in everything:
        key = _sort_key(finding)
        if left[key]:
            left[key] -= 1
        else:
            suppressed.append(replace(finding, suppression="noqa"))
    return suppressed


def _sort_key(finding: ToolFinding) -> tuple[str, int, int, str, str]:
    place = finding.location or Location("")
    return place.path, place.start_line or 0, place.start_column or 0, finding.rule_id, finding.message
