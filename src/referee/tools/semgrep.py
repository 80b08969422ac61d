"""semgrep: dangerous patterns and flows of untrusted values, in Python and JavaScript.

Semgrep brings no rules and fetches them from its makers; here it runs with our own and
those of a permissively licensed package, offline. What it prints as snippet and fingerprint
is a placeholder for people without an account, so neither is used. Files that the app wants
ignored are scanned, and comments that ask for silence only mark a finding.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
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
    ToolDescription,
    ToolPlan,
)
from referee.tools.reading import (
    as_array,
    as_object,
    build_file_coverage,
    compute_place_key,
    describe_end,
    get_integer,
    get_text,
    normalise_path,
    read_json,
    shorten,
)
from referee.tools.running import probe_python_package, run_tool_command, work_dir
from referee.tools.semgrep_rules import build_environment, ensure_rules, load_rules, pick_rules
from referee.tools.severity import compute_confidence

__all__ = ["create_tool"]

_MIB: Final = 1024 * 1024
_LANGUAGES: Final[dict[str, tuple[str, ...]]] = {
    "python": ("python",),
    "javascript": ("javascript",),
    "jsx": ("javascript",),
    "typescript": ("typescript",),
    "tsx": ("typescript",),
}
"""Semgrep's words for the languages of files."""

_DESCRIPTION = ToolDescription(
    name="semgrep",
    service=Service.static,
    summary="Follows untrusted values to dangerous calls and finds insecure settings.",
    homepage_url="https://semgrep.dev",
    license="LGPL-2.1-or-later",
    languages=("python", "javascript", "jsx", "typescript", "tsx"),
    applies_to="Python, JavaScript and TypeScript files",
    parameters=(
        Parameter(
            name="config", type="string", default="auto", options=("auto", "referee", "rowan"),
            help="Whose rules: all, only Referee's own, or only those of the rowan-sast package.",
        ),
        Parameter(
            name="rules", type="array", default=(),
            help="Only the rules with these ids, such as referee.python.ssrf; empty: all.",
        ),
        Parameter(
            name="severity", type="string", default="INFO", options=("ERROR", "WARNING", "INFO"),
            help="The least severity of rules to run.",
        ),
        Parameter(
            name="exclude", type="array", default=(),
            help="Patterns of files and folders to leave out, as in a .gitignore.",
        ),
        Parameter(
            name="timeout", type="integer", default=30, minimum=10, maximum=300,
            help="Longest time of one rule on one file. Seconds.",
        ),
        Parameter(
            name="max_memory", type="integer", default=3000, minimum=1000, maximum=10_000,
            help="Most memory for one rule on one file. MiB.",
        ),
        Parameter(
            name="max_target_bytes", type="integer", default=5_000_000, minimum=10_000, maximum=50_000_000,
            help="Largest file to scan. Bytes.",
        ),
    ),
    presets={
        "quick": {"severity": "WARNING", "timeout": 10, "max_target_bytes": 1_000_000},
        "deep": {"timeout": 120, "max_memory": 4000, "max_target_bytes": 10_000_000},
    },
    limits=Limits(wall_s=600, cpu_s=1800, memory_bytes=6144 * _MIB, processes_count=256),
    exit_codes={
        0: ExitMeaning.clean, 1: ExitMeaning.findings, 2: ExitMeaning.error, 3: ExitMeaning.error,
        4: ExitMeaning.usage_error, 5: ExitMeaning.usage_error, 7: ExitMeaning.usage_error,
    },
    identity_fields=(),
    cost_s=3.2,
)  # fmt: skip

_SEVERITIES: Final = {
    "CRITICAL": Severity.critical,
    "ERROR": Severity.high,
    "HIGH": Severity.high,
    "WARNING": Severity.medium,
    "MEDIUM": Severity.medium,
    "INFO": Severity.low,
    "LOW": Severity.low,
}
_RAN_OUT: Final = frozenset({"Timeout", "Fixpoint timeout"})
_COMMENT: Final = re.compile(r"#|//|/\*|<!--")
_NOSEM: Final = re.compile(r"\bnosem(?:grep)?\b(?:\s*[:=]\s*([\w.,\- ]+))?", re.IGNORECASE)
_CWE: Final = re.compile(r"(\d+)")


class SemgrepTool:
    """See the module's docstring."""

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return its environment with compiled rules, making both first if need be."""
        installation = await kit.python_environment("semgrep", "semgrep.txt", "semgrep")
        await ensure_rules(installation)
        return installation

    async def probe_version(self, installation: Installation) -> str:
        """Return the version of semgrep that is installed."""
        return await probe_python_package(installation, "semgrep")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Take every file of its languages, and note the lines that ask semgrep to be silent."""
        files = snapshot.files_in(*_DESCRIPTION.languages)
        silent = {file.path: lines for file in files if (lines := _find_nosem(snapshot.root / file.path))}
        limit = parameters.get("max_target_bytes")
        large = [file.path for file in files if isinstance(limit, int) and file.size_bytes > limit]
        return ToolPlan(
            parameters=parameters,
            files=tuple(file.path for file in files),
            not_applicable=None if files else "There is no Python, JavaScript or TypeScript file.",
            details={
                "languages": list[JsonValue](
                    sorted({word for file in files for word in _LANGUAGES[file.language]})
                ),
                "nosem": dict[str, JsonValue](silent),
                "too_large": list[JsonValue](large),
            },
        )

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Scan the snapshot in the sandbox with the rules that concern it."""
        work = work_dir(kit)
        rules_path = await ensure_rules(kit.installation)
        languages = {str(word) for word in as_array(plan.details.get("languages"), "languages")}
        await asyncio.to_thread(_write_rules, rules_path, work / "rules.json", plan, languages)
        argv = (str(kit.installation.program), *_build_arguments(plan, work, kit.cores_count))
        return await run_tool_command(
            kit,
            "semgrep",
            argv,
            report_files=("report.json",),
            environment=build_environment(kit.installation, work),
        )

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Turn semgrep's report into findings, rules and coverage.

        Raises:
            OutputUnreadable: There is no report, or it is not what semgrep writes.
        """
        report = as_object(read_json(raw, "report.json"), "the report")
        silent = as_object(plan.details.get("nosem") or {}, "nosem")
        findings: list[ToolFinding] = []
        rules: dict[str, Rule] = {}
        for value in as_array(report.get("results"), "results"):
            result = as_object(value, "a result")
            finding = _build_finding(result, silent)
            findings.append(finding)
            rules.setdefault(finding.rule_id, _build_rule(result, finding))
        errors = [as_object(error, "an error") for error in as_array(report.get("errors"), "errors")]
        unreadable, notices, failure = _read_errors(errors)
        if raw.end != "exited" or raw.exit_code not in (0, 1):
            failure = failure or describe_end(raw)
        scanned = as_array(as_object(report.get("paths"), "paths").get("scanned"), "scanned")
        suppressed_count = sum(finding.suppression is not None for finding in findings)
        if suppressed_count:
            notices.append(f"Findings on lines whose comments ask semgrep to be silent: {suppressed_count}.")
        return ToolReport(
            findings=tuple(sorted(findings, key=compute_place_key)),
            rules=tuple(rules[rule_id] for rule_id in sorted(rules)),
            coverage=build_file_coverage(
                plan.files,
                unreadable=unreadable,
                skipped=_find_skipped(plan, {normalise_path(str(path)) or "" for path in scanned}),
                suppressed_count=suppressed_count,
            ),
            failure=failure,
            is_partial=failure is not None and bool(findings),
            notices=tuple(notices),
        )


def create_tool() -> SemgrepTool:
    """Return the tool."""
    return SemgrepTool()


def _find_nosem(path: Path) -> dict[str, JsonValue]:
    """Return, by line, the rule ids that a comment names (empty: all), for lines that ask for silence."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}  # semgrep meets it too and says so
    if b"nosem" not in data.lower():
        return {}
    found: dict[str, JsonValue] = {}
    for number, line in enumerate(data.decode("utf-8", errors="replace").split("\n"), start=1):
        comment = _COMMENT.search(line)
        match = _NOSEM.search(line, comment.end()) if comment else None
        if comment and match:
            # Alone on its line, a comment speaks of the next one.
            found[str(number + 1 if not line[: comment.start()].strip() else number)] = (
                match.group(1) or ""
            ).strip()
    return found


def _write_rules(source: Path, target: Path, plan: ToolPlan, languages: set[str]) -> None:
    rules = pick_rules(load_rules(source), plan.parameters, languages)
    target.write_text(json.dumps({"rules": rules}, separators=(",", ":")), encoding="utf-8")


def _build_arguments(plan: ToolPlan, work: Path, cores_count: int) -> tuple[str, ...]:
    parameters = plan.parameters
    excluded = parameters.get("exclude")
    return (
        "scan",
        "--config", str(work / "rules.json"),
        "--json", "--output", str(work / "report.json"), "--quiet",
        "--metrics=off", "--disable-version-check", "--oss-only", "--no-rewrite-rule-ids",
        "--disable-nosem", "--no-git-ignore", "--x-ignore-semgrepignore-files",
        "--timeout", str(parameters.get("timeout")), "--timeout-threshold", "0",
        "--max-memory", str(parameters.get("max_memory")),
        "--max-target-bytes", str(parameters.get("max_target_bytes")),
        "--jobs", str(cores_count),
        *(f"--exclude={pattern}" for pattern in (excluded if isinstance(excluded, tuple) else ())),
        ".",
    )  # fmt: skip


def _build_finding(result: Mapping[str, JsonValue], silent: Mapping[str, JsonValue]) -> ToolFinding:
    values = dict(result)
    extra = as_object(values.get("extra"), "extra")
    metadata = as_object(extra.get("metadata") or {}, "metadata")
    rule_id, word = get_text(values, "check_id"), get_text(extra, "severity")
    start, end = as_object(values.get("start"), "start"), as_object(values.get("end"), "end")
    path = normalise_path(get_text(values, "path"))
    line = get_integer(start, "line") or 1
    references = _read_texts(metadata.get("references"))
    cwe_ids = _read_cwe_ids(metadata)
    return ToolFinding(
        rule_id=rule_id,
        message=shorten(" ".join(get_text(extra, "message").split())),
        severity=_SEVERITIES.get(word, Severity.medium),
        location=None
        if path is None
        else Location(
            path, line, get_integer(start, "col"), get_integer(end, "line"), get_integer(end, "col")
        ),
        tool_severity=word,
        confidence=compute_confidence(get_text(metadata, "confidence", default="")),
        cwe_ids=cwe_ids,
        suppression=_find_suppression(rule_id, line, as_object(silent.get(path or "") or {}, "nosem")),
        help_url=_find_help_url(references, cwe_ids),
        properties={
            "owasp": list[JsonValue](_read_texts(metadata.get("owasp"))),
            "source": get_text(metadata, "source", default=""),
            "license": get_text(metadata, "license", default=""),
        },
    )


def _build_rule(result: Mapping[str, JsonValue], finding: ToolFinding) -> Rule:
    summary = re.split(r"(?<=[.:]) ", finding.message, maxsplit=1)[0]
    return Rule(
        rule_id=finding.rule_id,
        name=finding.rule_id.rsplit(".", 1)[-1],
        summary=shorten(summary, limit=300),
        default_severity=finding.severity,
        help_url=finding.help_url,
        cwe_ids=finding.cwe_ids,
    )


def _read_texts(value: JsonValue) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)][:20]


def _read_cwe_ids(metadata: Mapping[str, JsonValue]) -> tuple[int, ...]:
    """Rules write 89, "CWE-89: …" or a list of either."""
    value = metadata.get("cwe")
    found = [_CWE.search(str(item)) for item in (value if isinstance(value, list) else [value])]
    return tuple(sorted({int(match.group(1)) for match in found if match}))


def _find_help_url(references: Iterable[str], cwe_ids: tuple[int, ...]) -> str | None:
    for reference in references:
        if reference.startswith("https://"):
            return reference
    return f"https://cwe.mitre.org/data/definitions/{cwe_ids[0]}.html" if cwe_ids else None


def _find_suppression(rule_id: str, line: int, silent: Mapping[str, JsonValue]) -> str | None:
    """Return ``nosem`` when a comment that speaks of the line names the rule, or none and so all."""
    names = silent.get(str(line))
    if isinstance(names, str) and (
        not names or any(_names(rule_id, name) for name in re.split(r"[,\s]+", names))
    ):
        return "nosem"
    return None


def _names(rule_id: str, name: str) -> bool:
    return bool(name) and (rule_id == name or rule_id.endswith(f".{name}"))


def _read_errors(errors: Iterable[dict[str, JsonValue]]) -> tuple[dict[str, str], list[str], str | None]:
    """Return reasons by path, sentences to show, and why the whole run failed, if it did."""
    unreadable: dict[str, str] = {}
    ran_out: defaultdict[str, set[str]] = defaultdict(set)
    failure: str | None = None
    for error in errors:
        kind = error.get("type")
        name = str(kind[0]) if isinstance(kind, list) and kind else str(kind)
        path = normalise_path(get_text(error, "path", default=""))
        message = shorten(" ".join(get_text(error, "message", default=name).split()), limit=300)
        if path is None:
            failure = failure or f"Semgrep reported: {message}"
        elif name in _RAN_OUT:
            ran_out[path].add(get_text(error, "rule_id", default="a rule"))
        else:
            part = "Parts of it" if name == "PartialParsing" else "It"
            unreadable[path] = f"{part} could not be read: {message}"
    for path, rules in ran_out.items():
        unreadable.setdefault(path, f"{len(rules)} rules ran out of time: {', '.join(sorted(rules)[:5])}.")
    notices = []
    if ran_out:
        notices.append(f"Rules ran out of time on {len(ran_out)} files.")
    if len(unreadable) > len(ran_out):
        notices.append(f"{len(unreadable) - len(ran_out)} files could not be read whole.")
    return unreadable, notices, failure


def _find_skipped(plan: ToolPlan, scanned: set[str]) -> dict[str, str]:
    large = set(as_array(plan.details.get("too_large") or [], "too_large"))
    reason = "Semgrep did not scan it; the parameter exclude may name it."
    return {
        path: "It is larger than the parameter max_target_bytes." if path in large else reason
        for path in plan.files
        if path not in scanned
    }
