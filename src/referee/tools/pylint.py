"""pylint: mistakes, smells and style in Python code.

Runs with a configuration of ours (pylint executes code named in the app's own), over
each planned file by name, since pylint leaves out folders without ``__init__.py``.
Messages that comments silence are asked for too, and kept as suppressed findings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from referee.core.findings import JsonValue, Location, Rule, ToolFinding, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import Confidence, ExitMeaning, Service, Severity
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
from referee.tools.reading import (
    as_array,
    as_object,
    build_file_coverage,
    describe_end,
    get_integer,
    get_text,
    normalise_path,
    read_json,
    shorten,
)
from referee.tools.running import RUNNERS_DIR, probe_python_package, run_tool_command, work_dir

__all__ = ["Pylint", "create_tool"]

_REPORT = "report.json"
_CROSS_FILE_REPORT = "cross_file.json"
_RULES = "rules.json"

_SEVERITIES: Final[dict[str, Severity]] = {
    "F": Severity.high,
    "E": Severity.high,
    "W": Severity.medium,
    "R": Severity.low,
    "C": Severity.info,
    "I": Severity.info,
}
_TYPES: Final[dict[str, str]] = {
    "F": "fatal",
    "E": "error",
    "W": "warning",
    "R": "refactor",
    "C": "convention",
    "I": "information",
}
_CONFIDENCES: Final[dict[str, Confidence]] = {
    "HIGH": Confidence.high,
    "CONTROL_FLOW": Confidence.high,
    "INFERENCE": Confidence.medium,
    "INFERENCE_FAILURE": Confidence.low,
}
_CWES: Final[dict[str, int]] = {
    "bare-except": 396,
    "broad-exception-caught": 396,
    "broad-exception-raised": 397,
    "dangerous-default-value": 1188,
    "eval-used": 95,
    "exec-used": 95,
    "function-redefined": 561,
    "invalid-envvar-default": 686,
    "not-callable": 628,
    "possibly-used-before-assignment": 457,
    "subprocess-run-check": 252,
    "too-many-branches": 1121,
    "too-many-lines": 1080,
    "unreachable": 561,
    "unused-import": 561,
    "unused-variable": 563,
    "used-before-assignment": 457,
}
_UNREADABLE = frozenset(
    {"syntax-error", "parse-error", "astroid-error", "fatal", "method-check-failed", "unexpected-special"}
)
_SUPPRESSED = re.compile(r"Suppressed '([a-z0-9-]+)' \(from line \d+\)")
_CROSS_FILE_MESSAGES = frozenset({"duplicate-code", "cyclic-import"})
_DISABLED = (
    "import-error",
    "missing-module-docstring",
    "missing-class-docstring",
    "missing-function-docstring",
    "too-few-public-methods",
)

_DESCRIPTION = ToolDescription(
    name="pylint",
    service=Service.static,
    summary="Finds mistakes, code smells and breaches of style in Python code.",
    homepage_url="https://pylint.readthedocs.io/",
    license="GPL-2.0-or-later",
    languages=("python",),
    applies_to="Python files",
    parameters=(
        Parameter(
            name="disable",
            type="array",
            default=_DISABLED,
            help="Messages not to run; import-error only says that the app's own dependencies are not installed here.",
        ),
        Parameter(
            name="enable", type="array", default=(), help="Messages to run besides pylint's default ones."
        ),
        EXCLUDE_PARAMETER,
        Parameter(
            name="max_line_length",
            type="integer",
            default=100,
            minimum=50,
            maximum=200,
            help="Longest line in characters.",
        ),
        Parameter(
            name="max_module_lines",
            type="integer",
            default=1000,
            minimum=100,
            maximum=5000,
            help="Longest module in lines.",
        ),
        Parameter(name="errors_only", type="boolean", default=False, help="Look for errors only."),
        Parameter(
            name="good_names",
            type="array",
            default=("i", "j", "k", "ex", "Run", "_", "id", "pk", "db", "app"),
            help="Names that are fine though they are short.",
        ),
        Parameter(
            name="bad_names",
            type="array",
            default=("foo", "bar", "baz", "toto", "tutu", "tata"),
            help="Names that are not accepted.",
        ),
    ),
    presets={
        "quick": {"errors_only": True},
        "deep": {"disable": ("import-error",)},
        "strict": {"disable": ("import-error",)},
        "errors_only": {"errors_only": True},
    },
    limits=Limits(wall_s=900, cpu_s=3600),
    exit_codes={
        code: ExitMeaning.clean
        if code == 0
        else ExitMeaning.usage_error
        if code & 32
        else ExitMeaning.findings
        for code in range(64)
    },
    identity_fields=("object",),
    cost_s=2.6,
)


class Pylint:
    """The tool pylint."""

    def describe(self) -> ToolDescription:
        """Return what pylint is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return pylint's environment, installed first if need be."""
        return await kit.python_environment("pylint", "pylint.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return the installed version."""
        return await probe_python_package(installation, "pylint")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Plan all Python files."""
        return plan_files(snapshot, parameters, "python", noun="Python files")

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Run pylint over the planned files, in as many processes as the run may use cores."""
        work = work_dir(kit)
        config = work / "empty.rc"
        config.write_text("[MAIN]\n", encoding="utf-8")
        parameters = plan.parameters
        disable = list(get_words(parameters, "disable"))
        if parameters["errors_only"]:
            disable += ["W", "R", "C"]
        arguments = [
            f"--rcfile={config}",
            f"--output-format=json2:{work / _REPORT}",
            f"--jobs={kit.cores_count}",
        ]
        arguments += ["--persistent=n", "--ignore=", "--ignore-patterns=", "--score=n", "--prefer-stubs=n"]
        arguments += [f"--max-line-length={parameters['max_line_length']}"]
        arguments += [f"--max-module-lines={parameters['max_module_lines']}"]
        for option, name in (("good-names", "good_names"), ("bad-names", "bad_names")):
            arguments.append(f"--{option}={','.join(get_words(parameters, name))}")
        arguments += [f"--disable={','.join(disable)}"] if disable else []
        wanted = (*get_words(parameters, "enable"), "suppressed-message", "file-ignored")
        arguments.append(f"--enable={','.join(wanted)}")
        job: dict[str, JsonValue] = {"arguments": [*arguments], "files": [f"./{path}" for path in plan.files]}
        job |= {"jobs": kit.cores_count, "cross_file_messages": [*_cross_file_messages(parameters)]}
        job |= {"report_file": str(work / _REPORT), "rules_file": str(work / _RULES)}
        job |= {"cross_file_report_file": str(work / _CROSS_FILE_REPORT)}
        return await run_tool_command(
            kit,
            "pylint",
            [str(kit.installation.program), str(RUNNERS_DIR / "run_pylint.py")],
            report_files=(_REPORT, _CROSS_FILE_REPORT, _RULES),
            environment={"PYLINTHOME": str(work / "cache")},
            read_only=(RUNNERS_DIR,),
            stdin=json.dumps(job).encode("ascii"),
        )

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read pylint's JSON report.

        Raises:
            OutputUnreadable: The report is absent, cut, or not pylint's.
        """
        messages = _read_messages(raw, _REPORT)
        if _CROSS_FILE_REPORT in raw.streams:
            again = _read_messages(raw, _CROSS_FILE_REPORT)
            messages += [message for message in again if _is_cross_file(message)]
        known = _read_rules(raw)
        planned = frozenset(plan.files)
        findings: list[ToolFinding] = []
        unreadable: dict[str, str] = {}
        skipped: dict[str, str] = {}
        notices: list[str] = []
        for message in messages:
            symbol, text = get_text(message, "symbol"), shorten(get_text(message, "message"))
            path = normalise_path(get_text(message, "path"), root=str(plan.details.get("root", "")))
            if path not in planned or path is None:
                notices.append(f"{symbol}: {text}")
                continue
            if symbol == "file-ignored":
                skipped[path] = "a comment in it says pylint: skip-file"
                continue
            if symbol in _UNREADABLE:
                unreadable[path] = text
            findings.append(_read_finding(message, path, symbol, text, known))
        findings.sort(key=_sort_key)
        return ToolReport(
            findings=tuple(findings),
            rules=_rules_of(findings, known),
            coverage=build_file_coverage(
                plan.files,
                unreadable=unreadable,
                skipped=skipped,
                suppressed_count=sum(finding.suppression is not None for finding in findings),
            ),
            failure=None if _RULES in raw.streams else f"pylint did not come to its end. {describe_end(raw)}",
            is_partial=_RULES not in raw.streams,
            notices=tuple(sorted(set(notices))[:20]),
        )


def create_tool() -> Tool:
    """Return the tool."""
    return Pylint()


def _cross_file_messages(parameters: Mapping[str, ParameterValue]) -> tuple[str, ...]:
    """Return the wanted messages that compare files with one another."""
    disabled = set(get_words(parameters, "disable"))
    if parameters["errors_only"] or disabled & {"R", "all"}:
        return ()
    return tuple(sorted(_CROSS_FILE_MESSAGES - disabled))


def _is_cross_file(message: dict[str, JsonValue]) -> bool:
    """Errors that cannot be disabled, such as syntax-error, are in both reports and count once."""
    suppressed = _SUPPRESSED.match(get_text(message, "message"))
    return (suppressed.group(1) if suppressed else get_text(message, "symbol")) in _CROSS_FILE_MESSAGES


def _read_messages(raw: RawOutput, stream: str) -> list[dict[str, JsonValue]]:
    document = as_object(read_json(raw, stream), "pylint's report")
    return [as_object(item, "a message") for item in as_array(document.get("messages"), "messages")]


def _read_rules(raw: RawOutput) -> dict[str, tuple[str, str]]:
    """Return number and description by name; empty when pylint was stopped before it told them."""
    if _RULES not in raw.streams:
        return {}
    rules = {}
    for symbol, value in as_object(read_json(raw, _RULES), "the list of messages").items():
        number, description = as_array(value, "a message's meaning")
        rules[symbol] = (str(number), str(description))
    return rules


def _read_finding(
    message: dict[str, JsonValue], path: str, symbol: str, text: str, known: Mapping[str, tuple[str, str]]
) -> ToolFinding:
    suppressed = _SUPPRESSED.match(text) if symbol == "suppressed-message" else None
    rule_id = suppressed.group(1) if suppressed else symbol
    number = known.get(rule_id, ("", ""))[0] or get_text(message, "messageId")
    column, end_column = get_integer(message, "column"), get_integer(message, "endColumn")
    return ToolFinding(
        rule_id=rule_id,
        message=known[rule_id][1] if suppressed and rule_id in known else text,
        severity=_SEVERITIES.get(number[:1], Severity.low),
        location=Location(
            path,
            max(get_integer(message, "line") or 1, 1),
            None if column is None or suppressed else column + 1,
            get_integer(message, "endLine"),
            None if end_column is None else end_column + 1,
        ),
        tool_severity=_TYPES.get(number[:1], get_text(message, "type")),
        confidence=_CONFIDENCES.get(get_text(message, "confidence", default="")),
        cwe_ids=(_CWES[rule_id],) if rule_id in _CWES else (),
        identity=(shorten(get_text(message, "obj", default=""), limit=200),),
        suppression="pylint: disable" if suppressed else None,
        help_url=_help_url(number, rule_id),
    )


def _help_url(number: str, rule_id: str) -> str:
    folder = _TYPES.get(number[:1], "error")
    return f"https://pylint.readthedocs.io/en/stable/user_guide/messages/{folder}/{rule_id}.html"


def _rules_of(findings: list[ToolFinding], known: Mapping[str, tuple[str, str]]) -> tuple[Rule, ...]:
    rules = {}
    for finding in findings:
        number, description = known.get(finding.rule_id, ("", ""))
        rules[finding.rule_id] = Rule(
            rule_id=finding.rule_id,
            name=f"{finding.rule_id} ({number})" if number else finding.rule_id,
            summary=shorten(description or finding.rule_id.replace("-", " ").capitalize() + ".", limit=500),
            default_severity=finding.severity,
            help_url=finding.help_url,
            cwe_ids=finding.cwe_ids,
        )
    return tuple(rules[rule_id] for rule_id in sorted(rules))


def _sort_key(finding: ToolFinding) -> tuple[str, int, int, str, str]:
    place = finding.location or Location("")
    return place.path, place.start_line or 0, place.start_column or 0, finding.rule_id, finding.message
