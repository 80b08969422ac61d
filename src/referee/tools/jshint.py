"""jshint: mistakes in plain JavaScript.

JSHint ends at ES2020 and knows no JSX and no TypeScript. Files with those are holes in its
coverage, with the reason, not files without findings. A script of ours (``configs/jshint/run.cjs``)
prints only what is kept; nothing of the app's own configuration is looked up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from referee.core.errors import InvalidInput
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
    ToolDescription,
    ToolPlan,
)
from referee.tools.jsx_detection import find_jsx_line
from referee.tools.node_runs import CONFIGS_DIR, probe_node_package, read_line_report, run_node_script
from referee.tools.reading import as_array, as_object, compute_place_key, get_integer, get_text, shorten

__all__ = ["create_tool"]

_SCHEMA = "referee-jshint"
MAX_LINE_CHARACTERS = 10_000
"""Longest line that JSHint is given: its time grows with the square of a line's length
(a generated line of 2 MB took more than ten minutes)."""
_UNRECOVERABLE: Final = frozenset({"E041", "E043"})
"""JSHint gave up on the file: a syntax it does not know, or too many errors."""

_NO_SCRIPT: Final = "There is no JavaScript file."

_DESCRIPTION = ToolDescription(
    name="jshint",
    service=Service.static,
    summary="Finds mistakes and doubtful constructs in plain JavaScript up to ES2020.",
    homepage_url="https://jshint.com",
    license="MIT",
    languages=("javascript",),
    applies_to="JavaScript files without JSX (.js .mjs .cjs)",
    parameters=(
        Parameter(
            name="esversion", type="integer", default=11, minimum=3, maximum=11,
            help="Newest language version to accept: 5, or 6 for ES2015 up to 11 for ES2020.",
        ),
        Parameter(
            name="maxerr", type="integer", default=10_000, minimum=50, maximum=100_000,
            help="Most findings in one file; after that JSHint gives up on it.",
        ),
        Parameter(
            name="options", type="object", default={},
            help="Further options of JSHint by name, laid over ours: true, false, numbers or words.",
        ),
    ),
    presets={
        "quick": {"options": {"unused": False, "shadow": True, "latedef": False}},
        "deep": {"options": {"curly": True, "varstmt": True, "unused": "strict", "maxcomplexity": 15,
            "maxdepth": 5, "maxparams": 6, "noempty": True, "nonbsp": True}},
        "strict": {"options": {"curly": True, "strict": "global", "unused": "strict"}},
        "relaxed": {"options": {"undef": False, "unused": False, "eqeqeq": False, "forin": False}},
    },
    limits=Limits(wall_s=120),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error},
    identity_fields=(),
    cost_s=0.3,
)  # fmt: skip

_SECURITY: Final[dict[str, tuple[Severity, tuple[int, ...]]]] = {
    "W054": (Severity.high, (95,)),
    "W060": (Severity.medium, (79,)),
    "W061": (Severity.high, (95,)),
    "W066": (Severity.high, (95,)),
    "W087": (Severity.medium, (489,)),
    "W098": (Severity.low, (563,)),
    "W107": (Severity.medium, (79,)),
    "W117": (Severity.medium, ()),
    "W004": (Severity.medium, ()),
    "W027": (Severity.medium, (561,)),
    "W075": (Severity.medium, ()),
    "W084": (Severity.medium, (481,)),
    "W086": (Severity.medium, (484,)),
}
_FIRST_LETTERS: Final = {
    "E": ("error", Severity.high),
    "W": ("warning", Severity.low),
    "I": ("info", Severity.info),
}


class JshintTool:
    """See the module's docstring."""

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return its environment, installing it first if need be."""
        return await kit.node_environment("jshint", "jshint", "node_modules/jshint/bin/jshint")

    async def probe_version(self, installation: Installation) -> str:
        """Return the version of JSHint that is installed."""
        return await probe_node_package(installation, "jshint")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Take every JavaScript file, and note those that JSHint cannot judge with the reason."""
        files = tuple(file.path for file in snapshot.files_in("javascript"))
        skipped = {path: reason for path in files if (reason := _find_obstacle(snapshot.root / path))}
        return ToolPlan(
            parameters=parameters,
            files=files,
            not_applicable=_explain_nothing(snapshot, files, skipped),
            details={"skipped": dict[str, JsonValue](skipped)},
        )

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Check the planned files in the sandbox, small ones first."""
        skipped = _read_skipped(plan)
        sizes = {path: kit.snapshot.by_path[path].size_bytes for path in plan.files if path not in skipped}
        files = sorted(sizes, key=lambda path: (sizes[path], path))
        request = {"files": files, "options": _build_options(plan.parameters)}
        return await run_node_script(kit, "jshint", script="run.cjs", request=request, files={})

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Turn the script's lines into findings, rules and coverage.

        Raises:
            OutputUnreadable: The output is not what the script writes.
        """
        report = read_line_report(raw, plan, schema=_SCHEMA)
        report.skipped.update(_read_skipped(plan))
        findings: list[ToolFinding] = []
        unreadable: dict[str, str] = {}
        for record in report.files:
            path = get_text(record, "path")
            for value in as_array(record["messages"], "messages"):
                message = as_object(value, "a message")
                findings.append(_build_finding(path, message))
                if get_text(message, "code") in _UNRECOVERABLE:
                    unreadable[path] = f"JSHint gave up on it: {get_text(message, 'text')}"
        suppressed_count = sum(finding.suppression is not None for finding in findings)
        notices = [f"JSHint gave up on {len(unreadable)} files."] if unreadable else []
        if suppressed_count:
            notices.append(f"{suppressed_count} findings are hidden from JSHint by comments in the code.")
        return ToolReport(
            findings=tuple(sorted(findings, key=compute_place_key)),
            rules=_build_rules(findings),
            coverage=report.build_coverage(plan, unreadable=unreadable, suppressed_count=suppressed_count),
            failure=report.failure,
            is_partial=report.failure is not None and bool(report.files),
            notices=tuple(notices),
        )


def create_tool() -> JshintTool:
    """Return the tool."""
    return JshintTool()


def _find_obstacle(path: Path) -> str | None:
    """Return why JSHint cannot judge a file, None when it can."""
    try:
        source = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None  # the run meets it too and says so
    longest = max(map(len, source.split("\n")))
    if longest > MAX_LINE_CHARACTERS:
        return f"It has a line of {longest} characters; JSHint is given at most {MAX_LINE_CHARACTERS}."
    line = find_jsx_line(source)
    return f"It has JSX (line {line}), which JSHint does not know." if line else None


def _explain_nothing(
    snapshot: SourceSnapshot, files: tuple[str, ...], skipped: Mapping[str, str]
) -> str | None:
    if len(skipped) < len(files):
        return None
    kinds = [
        f"{count} {noun}"
        for count, noun in (
            (len(snapshot.files_in("typescript", "tsx")), "TypeScript"),
            (len(snapshot.files_in("jsx")) + sum("JSX" in reason for reason in skipped.values()), "JSX"),
            (sum("JSX" not in reason for reason in skipped.values()), "minified"),
        )
        if count
    ]
    return f"There is no plain JavaScript file; there are {', '.join(kinds)} files." if kinds else _NO_SCRIPT


def _read_skipped(plan: ToolPlan) -> dict[str, str]:
    return {
        path: str(reason) for path, reason in as_object(plan.details.get("skipped") or {}, "skipped").items()
    }


def _build_options(parameters: Mapping[str, ParameterValue]) -> dict[str, JsonValue]:
    """Return our options with the parameters laid over them.

    Raises:
        InvalidInput: An option is not a word, a number or a switch.
    """
    options: dict[str, JsonValue] = json.loads(
        (CONFIGS_DIR / "jshint" / "jshint.json").read_text(encoding="utf-8")
    )
    for name in ("esversion", "maxerr"):
        value = parameters.get(name)
        if isinstance(value, int):
            options[name] = value
    given = parameters.get("options")
    for name, item in (given if isinstance(given, dict) else {}).items():
        if isinstance(item, list | dict):
            raise InvalidInput(
                "tools.invalid_parameter",
                f"The option {name!r} of jshint must be true, false, a number or a word.",
                "See https://jshint.com/docs/options for what each option takes.",
            )
        options[name] = item
    return options


def _build_finding(path: str, message: Mapping[str, JsonValue]) -> ToolFinding:
    values = dict(message)
    code = get_text(values, "code")
    word, severity = _FIRST_LETTERS.get(code[:1], _FIRST_LETTERS["W"])
    severity, cwe_ids = _SECURITY.get(code, (severity, ()))
    return ToolFinding(
        rule_id=code,
        message=shorten(get_text(values, "text")),
        severity=severity,
        tool_severity=word,
        cwe_ids=cwe_ids,
        location=Location(
            path, max(get_integer(values, "line") or 1, 1), max(get_integer(values, "column") or 1, 1)
        ),
        suppression="jshint comment" if values.get("hidden") is True else None,
    )


def _build_rules(findings: Iterable[ToolFinding]) -> tuple[Rule, ...]:
    first = {finding.rule_id: finding for finding in reversed(list(findings))}
    return tuple(
        Rule(
            rule_id=code,
            name=code,
            summary=_SUMMARIES.get(code, f"JSHint {first[code].tool_severity} {code}"),
            default_severity=first[code].severity,
            help_url="https://jshint.com/docs/options/",
            cwe_ids=first[code].cwe_ids,
        )
        for code in sorted(first)
    )


_SUMMARIES: Final[dict[str, str]] = {
    "E006": "The file ends too early",
    "E020": "A bracket does not match its opening one",
    "E021": "Something else was expected here",
    "E024": "A character that does not belong here",
    "E030": "An identifier was expected",
    "E041": "A syntax error that ends the check of the file",
    "E043": "Too many errors",
    "E053": "import or export not at the top level of a module",
    "E054": "A class member that JSHint does not know",
    "E058": "A semicolon is missing",
    "W004": "A name is defined twice",
    "W014": "A line break before an operator",
    "W018": "A confusing use of !",
    "W027": "Code that is never reached",
    "W030": "An expression without an effect",
    "W032": "An unnecessary semicolon",
    "W033": "A semicolon is missing",
    "W038": "A variable used outside of its block",
    "W041": "A comparison that converts types",
    "W053": "A wrapper object made with new",
    "W054": "The Function constructor runs text as code",
    "W060": "document.write can run what it writes",
    "W061": "eval runs text as code",
    "W066": "A timer is given text, which runs as code",
    "W069": "A property is better written with a dot",
    "W075": "A key is defined twice",
    "W080": "A variable needs no undefined as its start",
    "W083": "A function made in a loop uses outer variables",
    "W084": "An assignment where a condition was expected",
    "W086": "A case falls through to the next",
    "W087": "A debugger statement was left in",
    "W089": "for…in without a check of own properties",
    "W093": "A return of an assignment",
    "W098": "A variable is never used",
    "W104": "A syntax of a newer version of the language",
    "W107": "A script address runs as code",
    "W116": "Something else was expected, such as === or braces",
    "W117": "A name that is not defined",
    "W119": "A syntax of a newer version of the language",
    "W138": "A parameter with a default before one without",
}
"""What the most frequent codes mean; the message of a finding says the particulars."""
