"""bandit: security mistakes in Python code.

Runs over the whole snapshot and reads its JSON report. When the report says that
comments silenced something, a second run without regard to them tells what; the
difference is kept as suppressed findings.

Not from its exit code: bandit ends with 0 on a missing path and on a syntax error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
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
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    build_file_coverage,
    get_integer,
    get_text,
    normalise_path,
    read_json,
    shorten,
)
from referee.tools.running import merge_outputs, probe_python_package, run_tool_command, work_dir
from referee.tools.severity import compute_confidence, compute_severity

__all__ = ["BANDIT_RULES", "Bandit", "create_tool"]

_REPORT = "report.json"
_SECOND = "unsuppressed"

_H, _M, _L = Severity.high, Severity.medium, Severity.low

BANDIT_RULES: Final[dict[str, tuple[str, Severity, int]]] = {
    "B101": ("assert_used", _L, 703), "B102": ("exec_used", _M, 78), "B103": ("set_bad_file_permissions", _H, 732),
    "B104": ("hardcoded_bind_all_interfaces", _M, 605), "B105": ("hardcoded_password_string", _L, 259),
    "B106": ("hardcoded_password_funcarg", _L, 259), "B107": ("hardcoded_password_default", _L, 259),
    "B108": ("hardcoded_tmp_directory", _M, 377), "B110": ("try_except_pass", _L, 703),
    "B112": ("try_except_continue", _L, 703), "B113": ("request_without_timeout", _M, 400),
    "B201": ("flask_debug_true", _H, 94), "B202": ("tarfile_unsafe_members", _H, 22),
    "B301": ("pickle", _M, 502), "B302": ("marshal", _M, 502), "B303": ("md5", _M, 327), "B304": ("ciphers", _H, 327),
    "B305": ("cipher_modes", _M, 327), "B306": ("mktemp_q", _M, 377), "B307": ("eval", _M, 78),
    "B308": ("mark_safe", _M, 79), "B310": ("urllib_urlopen", _M, 22), "B311": ("random", _L, 330),
    "B312": ("telnetlib", _H, 319), "B313": ("xml_bad_cElementTree", _M, 20), "B314": ("xml_bad_ElementTree", _M, 20),
    "B315": ("xml_bad_expatreader", _M, 20), "B316": ("xml_bad_expatbuilder", _M, 20), "B317": ("xml_bad_sax", _M, 20),
    "B318": ("xml_bad_minidom", _M, 20), "B319": ("xml_bad_pulldom", _M, 20), "B321": ("ftplib", _H, 319),
    "B323": ("unverified_context", _M, 295), "B324": ("hashlib", _H, 327), "B401": ("import_telnetlib", _H, 319),
    "B402": ("import_ftplib", _H, 319), "B403": ("import_pickle", _L, 502), "B404": ("import_subprocess", _L, 78),
    "B405": ("import_xml_etree", _L, 20), "B406": ("import_xml_sax", _L, 20), "B407": ("import_xml_expat", _L, 20),
    "B408": ("import_xml_minidom", _L, 20), "B409": ("import_xml_pulldom", _L, 20),
    "B411": ("import_xmlrpclib", _H, 20), "B412": ("import_httpoxy", _H, 284), "B413": ("import_pycrypto", _H, 327),
    "B415": ("import_pyghmi", _H, 319), "B501": ("request_with_no_cert_validation", _H, 295),
    "B502": ("ssl_with_bad_version", _H, 327), "B503": ("ssl_with_bad_defaults", _M, 327),
    "B504": ("ssl_with_no_version", _L, 327), "B505": ("weak_cryptographic_key", _H, 326),
    "B506": ("yaml_load", _M, 20),
    "B507": ("ssh_no_host_key_verification", _H, 295), "B508": ("snmp_insecure_version_check", _M, 319),
    "B509": ("snmp_crypto_check", _M, 319), "B601": ("paramiko_calls", _M, 78),
    "B602": ("subprocess_popen_with_shell_equals_true", _H, 78),
    "B603": ("subprocess_without_shell_equals_true", _L, 78),
    "B604": ("any_other_function_with_shell_equals_true", _M, 78), "B605": ("start_process_with_a_shell", _H, 78),
    "B606": ("start_process_with_no_shell", _L, 78), "B607": ("start_process_with_partial_path", _L, 78),
    "B608": ("hardcoded_sql_expressions", _M, 89), "B609": ("linux_commands_wildcard_injection", _H, 155),
    "B610": ("django_extra_used", _M, 89), "B611": ("django_rawsql_used", _M, 89),
    "B612": ("logging_config_insecure_listen", _M, 94), "B613": ("trojansource", _H, 838),
    "B614": ("pytorch_load", _M, 502),
    "B615": ("huggingface_unsafe_download", _M, 494), "B701": ("jinja2_autoescape_false", _H, 94),
    "B702": ("use_of_mako_templates", _M, 80), "B703": ("django_mark_safe", _M, 80),
    "B704": ("markupsafe_markup_xss", _M, 79),
}  # fmt: skip
"""Name, worst severity and CWE number by rule, as bandit 1.9.4 has them."""

_LEVELS = ("low", "medium", "high")

_DESCRIPTION = ToolDescription(
    name="bandit",
    service=Service.static,
    summary="Finds security mistakes in Python code.",
    homepage_url="https://bandit.readthedocs.io/",
    license="Apache-2.0",
    languages=("python",),
    applies_to="Python files",
    parameters=(
        Parameter(
            name="severity_level",
            type="string",
            default="low",
            options=_LEVELS,
            help="Leave out findings below it.",
        ),
        Parameter(
            name="confidence_level",
            type="string",
            default="low",
            options=_LEVELS,
            help="Leave out findings that bandit is less sure of.",
        ),
        EXCLUDE_PARAMETER,
        Parameter(
            name="skips",
            type="array",
            default=("B101",),
            options=tuple(BANDIT_RULES),
            help="Rules not to run; B101 (assert) fires on every test.",
        ),
        Parameter(
            name="tests",
            type="array",
            default=(),
            options=tuple(BANDIT_RULES),
            help="Run only these rules; empty: all.",
        ),
    ),
    presets={
        "quick": {"severity_level": "medium", "confidence_level": "medium"},
        "deep": {"skips": ()},
        "security_focused": {"severity_level": "medium", "confidence_level": "medium"},
        "comprehensive": {"skips": ()},
    },
    limits=Limits(wall_s=300),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.findings, 2: ExitMeaning.usage_error},
    identity_fields=(),
    cost_s=0.5,
)


class Bandit:
    """The tool bandit."""

    def describe(self) -> ToolDescription:
        """Return what bandit is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return bandit's environment, installed first if need be."""
        return await kit.python_environment("bandit", "bandit.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return the installed version."""
        return await probe_python_package(installation, "bandit")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Plan all Python files."""
        return plan_files(snapshot, parameters, "python", noun="Python files")

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Run bandit, and again without regard to ``# nosec`` when there is any."""
        first = await self._run_once(kit, plan, "bandit", _REPORT, ())
        if not _has_suppressions(first):
            return first
        second = await self._run_once(kit, plan, "bandit-again", f"{_SECOND}.json", ("--ignore-nosec",))
        return merge_outputs(first, {_SECOND: second})

    async def _run_once(
        self, kit: RunKit, plan: ToolPlan, label: str, report: str, extra: tuple[str, ...]
    ) -> RawOutput:
        work = work_dir(kit)
        empty = work / "empty.ini"
        empty.write_text("[bandit]\n", encoding="utf-8")  # stops bandit from looking for .bandit in the app
        parameters = plan.parameters
        argv = [
            str(kit.installation.program),
            "-m",
            "bandit",
            "--recursive",
            "--quiet",
            "--format=json",
            "-n",
            "1",
        ]
        argv += [f"--ini={empty}", f"--output={work / report}", "--exclude=/no/such/folder"]
        argv += [f"--severity-level={parameters['severity_level']}"]
        argv += [f"--confidence-level={parameters['confidence_level']}"]
        for option in ("tests", "skips"):
            if get_words(parameters, option):
                argv.append(f"--{option.removesuffix('s')}={','.join(get_words(parameters, option))}")
        odd = [f"./{path}" for path in plan.files if not path.endswith((".py", ".pyw"))]
        return await run_tool_command(kit, label, [*argv, *extra, ".", *odd], report_files=(report,))

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read bandit's JSON report.

        Raises:
            OutputUnreadable: A report is absent, cut, or not bandit's.
        """
        document = as_object(read_json(raw, _REPORT), "bandit's report")
        planned = frozenset(plan.files)
        findings = _read_findings(document, planned)
        suppressed: list[ToolFinding] = []
        notices: list[str] = []
        second = f"{_SECOND}.{_SECOND}.json"
        if second in raw.streams:
            everything = _read_findings(as_object(read_json(raw, second), "bandit's second report"), planned)
            suppressed = _subtract(everything, findings)
        elif _count_suppressions(document):
            notices.append("Comments silence findings, and the run that tells which did not finish.")
        examined, unreadable = _read_coverage(document, planned)
        coverage = build_file_coverage(
            plan.files,
            unreadable=unreadable,
            skipped={path: "bandit did not look at it" for path in planned - examined},
            suppressed_count=len(suppressed),
        )
        everything_found = tuple(sorted([*findings, *suppressed], key=_sort_key))
        return ToolReport(
            findings=everything_found,
            rules=_rules_of(everything_found),
            coverage=coverage,
            notices=tuple(notices),
        )


def create_tool() -> Tool:
    """Return the tool."""
    return Bandit()


def _has_suppressions(raw: RawOutput) -> bool:
    try:
        return _count_suppressions(as_object(read_json(raw, _REPORT), "bandit's report")) > 0
    except OutputUnreadable:
        return False


def _count_suppressions(document: dict[str, JsonValue]) -> int:
    totals = as_object(as_object(document.get("metrics"), "metrics").get("_totals"), "metrics._totals")
    return (get_integer(totals, "nosec") or 0) + (get_integer(totals, "skipped_tests") or 0)


def _read_findings(document: dict[str, JsonValue], planned: frozenset[str]) -> list[ToolFinding]:
    findings = []
    for item in as_array(document.get("results"), "results"):
        result = as_object(item, "a result")
        path = normalise_path(get_text(result, "filename"))
        if path is None:
            raise OutputUnreadable(
                f"bandit names the path {get_text(result, 'filename')!r} outside of the subject."
            )
        if path in planned:
            findings.append(_read_finding(result, path))
    return findings


def _read_finding(result: dict[str, JsonValue], path: str) -> ToolFinding:
    severity = get_text(result, "issue_severity")
    cwe = get_integer(as_object(result.get("issue_cwe") or {}, "issue_cwe"), "id")
    start_line = get_integer(result, "line_number")
    lines = [line for line in as_array(result.get("line_range") or [], "line_range") if isinstance(line, int)]
    end_line = max([*lines, start_line or 1])
    column, end_column = get_integer(result, "col_offset"), get_integer(result, "end_col_offset")
    return ToolFinding(
        rule_id=get_text(result, "test_id"),
        message=shorten(get_text(result, "issue_text")),
        severity=compute_severity(severity, default=Severity.info),
        location=Location(
            path,
            start_line,
            column + 1 if column is not None and column >= 0 else None,
            end_line,
            end_column + 1 if end_column and end_line == start_line else None,
        ),
        tool_severity=severity,
        confidence=compute_confidence(get_text(result, "issue_confidence", default="")),
        cwe_ids=(cwe,) if cwe else (),
        help_url=get_text(result, "more_info", default="") or None,
    )


def _subtract(everything: list[ToolFinding], shown: list[ToolFinding]) -> list[ToolFinding]:
    """Return what the second run found beyond the first, marked as suppressed."""
    left = Counter(map(_sort_key, shown))
    suppressed = []
    for finding in everything:
        key = _sort_key(finding)
        if left[key]:
            left[key] -= 1
        else:
            suppressed.append(replace(finding, suppression="nosec"))
    return suppressed


def _read_coverage(
    document: dict[str, JsonValue], planned: frozenset[str]
) -> tuple[set[str], dict[str, str]]:
    """Return the planned paths that bandit counted, and the reason by path it could not read."""
    unreadable: dict[str, str] = {}
    for item in as_array(document.get("errors"), "errors"):
        error = as_object(item, "an error")
        path = normalise_path(get_text(error, "filename"))
        if path is not None:
            unreadable[path] = get_text(error, "reason", default="it could not be read")
    names = as_object(document.get("metrics"), "metrics")
    examined = {path for name in names if (path := normalise_path(name)) in planned and path is not None}
    return examined, unreadable


def _rules_of(findings: tuple[ToolFinding, ...]) -> tuple[Rule, ...]:
    rules = {}
    for finding in findings:
        name, severity, cwe = BANDIT_RULES.get(finding.rule_id, (finding.rule_id, finding.severity, 0))
        rules[finding.rule_id] = Rule(
            rule_id=finding.rule_id,
            name=name,
            summary=name.replace("_", " ").capitalize() + ".",
            default_severity=severity,
            help_url=finding.help_url,
            cwe_ids=(cwe,) if cwe else finding.cwe_ids,
        )
    return tuple(rules[rule_id] for rule_id in sorted(rules))


def _sort_key(finding: ToolFinding) -> tuple[str, int, int, str, str]:
    place = finding.location or Location("")
    return place.path, place.start_line or 0, place.start_column or 0, finding.rule_id, finding.message
