"""eslint: mistakes and dangerous calls in JavaScript, TypeScript and React.

A script of ours (``configs/eslint/run.mjs``) lints the planned files one by one with our own
configuration, so that one file on which a rule crashes costs only itself, and no source code
is in the output. The app's own configuration is code and is never loaded; comments in the
app cannot switch a rule off, but findings that they would hide are marked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
from referee.tools.node_runs import LineReport, probe_node_package, read_line_report, run_node_script
from referee.tools.reading import as_array, as_object, compute_place_key, get_integer, get_text, shorten

__all__ = ["create_tool"]

_SCHEMA = "referee-eslint"
_PARSE_ERROR = "parse-error"
_CONFIGURATIONS: Final = (
    "eslint:recommended", "eslint:all", "typescript-eslint:recommended", "typescript-eslint:strict",
    "react:recommended", "react:strict", "react-hooks:recommended", "security:recommended",
    "no-unsanitized:recommended",
)  # fmt: skip
_RECOMMENDED: Final = tuple(name for name in _CONFIGURATIONS if name.endswith(":recommended"))
_OWN_RULES: Final[dict[str, JsonValue]] = {
    "no-console": "warn", "no-debugger": "error", "no-eval": "error", "no-implied-eval": "error",
    "no-new-func": "error", "no-script-url": "error",
}  # fmt: skip

_DESCRIPTION = ToolDescription(
    name="eslint",
    service=Service.static,
    summary="Finds mistakes, broken React hooks and dangerous calls in JavaScript and TypeScript.",
    homepage_url="https://eslint.org",
    license="MIT",
    languages=("javascript", "jsx", "typescript", "tsx"),
    applies_to="JavaScript and TypeScript files (.js .mjs .cjs .jsx .ts .tsx)",
    parameters=(
        Parameter(
            name="extends", type="array", default=_RECOMMENDED, options=_CONFIGURATIONS,
            help="Sets of rules to start from.",
        ),
        Parameter(
            name="env", type="object", default={"browser": True, "es2021": True, "node": True},
            help="Environments whose global names are known, such as browser, node, jest or worker.",
        ),
        Parameter(
            name="rules", type="object", default=_OWN_RULES,
            help="Levels by rule, laid over the sets: off, warn or error, or a list of level and options.",
        ),
        Parameter(
            name="ignore_patterns", type="array", default=(),
            help="Patterns of files to leave out, as in a .gitignore.",
        ),
        Parameter(
            name="parser_options", type="object", default={"ecmaVersion": "latest"},
            help="ecmaVersion, sourceType (module, commonjs or script) and ecmaFeatures.",
        ),
    ),
    presets={
        "quick": {
            "extends": (
                "eslint:recommended", "typescript-eslint:recommended", "security:recommended",
                "no-unsanitized:recommended",
            ),
        },
        "deep": {
            "extends": (
                "eslint:recommended", "typescript-eslint:strict", "react:strict", "react-hooks:recommended",
                "security:recommended", "no-unsanitized:recommended",
            ),
            "rules": {**_OWN_RULES, "eqeqeq": "warn", "consistent-return": "warn", "no-shadow": "warn",
                "array-callback-return": "error", "require-atomic-updates": "warn", "no-await-in-loop": "warn"},
        },
        "strict": {"extends": ("eslint:all", *_RECOMMENDED[1:])},
        "relaxed": {"rules": {**_OWN_RULES, "no-console": "off", "no-unused-vars": "off",
            "@typescript-eslint/no-unused-vars": "off", "@typescript-eslint/no-explicit-any": "off"}},
    },
    limits=Limits(wall_s=300),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error, 2: ExitMeaning.usage_error},
    identity_fields=(),
    cost_s=3.1,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Known:
    severity: Severity
    cwe_ids: tuple[int, ...] = ()


_HIGH, _MEDIUM, _LOW = Severity.high, Severity.medium, Severity.low
_KNOWN: Final[dict[str, _Known]] = {
    "@eslint-react/dom-no-dangerously-set-innerhtml": _Known(_HIGH, (79,)),
    "@eslint-react/dom-no-script-url": _Known(_MEDIUM, (79,)),
    "@eslint-react/dom-no-unsafe-iframe-sandbox": _Known(_MEDIUM, (1021,)),
    "@eslint-react/dom-no-unsafe-target-blank": _Known(_LOW, (1022,)),
    "@eslint-react/rules-of-hooks": _Known(_HIGH),
    "@eslint-react/web-api-no-leaked-event-listener": _Known(_LOW, (404,)),
    "@eslint-react/web-api-no-leaked-fetch": _Known(_LOW, (404,)),
    "@eslint-react/web-api-no-leaked-interval": _Known(_LOW, (404,)),
    "@eslint-react/web-api-no-leaked-timeout": _Known(_LOW, (404,)),
    "@typescript-eslint/no-explicit-any": _Known(_LOW, (704,)),
    "@typescript-eslint/no-require-imports": _Known(_LOW),
    "@typescript-eslint/no-unused-expressions": _Known(_LOW, (1164,)),
    "@typescript-eslint/no-unused-vars": _Known(_LOW, (563,)),
    "no-console": _Known(_LOW),
    "no-constant-binary-expression": _Known(_MEDIUM, (571,)),
    "no-constant-condition": _Known(_LOW, (571,)),
    "no-control-regex": _Known(_LOW),
    "no-debugger": _Known(_MEDIUM, (489,)),
    "no-dupe-else-if": _Known(_MEDIUM, (561,)),
    "no-empty": _Known(_LOW, (1071,)),
    "no-eval": _Known(_HIGH, (95,)),
    "no-extra-boolean-cast": _Known(_LOW),
    "no-implied-eval": _Known(_HIGH, (95,)),
    "no-new-func": _Known(_HIGH, (95,)),
    "no-prototype-builtins": _Known(_LOW),
    "no-script-url": _Known(_MEDIUM, (79,)),
    "no-unreachable": _Known(_MEDIUM, (561,)),
    "no-unsafe-finally": _Known(_MEDIUM, (584,)),
    "no-unsanitized/method": _Known(_HIGH, (79,)),
    "no-unsanitized/property": _Known(_HIGH, (79,)),
    "no-unused-vars": _Known(_LOW, (563,)),
    "no-useless-assignment": _Known(_LOW, (563,)),
    "no-useless-catch": _Known(_LOW),
    "no-useless-escape": _Known(_LOW),
    "preserve-caught-error": _Known(_LOW, (755,)),
    "react-hooks/rules-of-hooks": _Known(_HIGH),
    "require-atomic-updates": _Known(_MEDIUM, (362,)),
    "security/detect-bidi-characters": _Known(_HIGH, (1007,)),
    "security/detect-buffer-noassert": _Known(_MEDIUM, (120,)),
    "security/detect-child-process": _Known(_HIGH, (78,)),
    "security/detect-disable-mustache-escape": _Known(_HIGH, (79,)),
    "security/detect-eval-with-expression": _Known(_HIGH, (95,)),
    "security/detect-invisible-characters": _Known(_MEDIUM, (1007,)),
    "security/detect-new-buffer": _Known(_MEDIUM, (665,)),
    "security/detect-no-csrf-before-method-override": _Known(_MEDIUM, (352,)),
    "security/detect-non-literal-fs-filename": _Known(_MEDIUM, (22,)),
    "security/detect-non-literal-regexp": _Known(_MEDIUM, (1333,)),
    "security/detect-non-literal-require": _Known(_MEDIUM, (98,)),
    "security/detect-object-injection": _Known(_LOW, (915,)),
    "security/detect-possible-timing-attacks": _Known(_MEDIUM, (208,)),
    "security/detect-pseudoRandomBytes": _Known(_MEDIUM, (338,)),
    "security/detect-unsafe-regex": _Known(_MEDIUM, (1333,)),
    _PARSE_ERROR: _Known(_HIGH),
}
"""How bad a rule's findings are, where the level in the configuration says too little."""

_LEVELS: Final = {2: ("error", _MEDIUM), 1: ("warning", _LOW)}
"""Of the rules that are not known: eslint's levels tell a mistake from a matter of taste, no more."""


class EslintTool:
    """See the module's docstring."""

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return its environment, installing it first if need be."""
        return await kit.node_environment("eslint", "eslint", "node_modules/eslint/bin/eslint.js")

    async def probe_version(self, installation: Installation) -> str:
        """Return the version of eslint that is installed."""
        return await probe_node_package(installation, "eslint")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Take every file of its languages."""
        files = tuple(file.path for file in snapshot.files_in(*_DESCRIPTION.languages))
        reason = None if files else "There is no JavaScript or TypeScript file."
        return ToolPlan(parameters=parameters, files=files, not_applicable=reason)

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Lint the planned files in the sandbox, small ones first: a monstrous file costs only itself."""
        sizes = {path: kit.snapshot.by_path[path].size_bytes for path in plan.files}
        return await run_node_script(
            kit,
            "eslint",
            script="run.mjs",
            request={"files": sorted(plan.files, key=lambda path: (sizes[path], path))},
            files={"options.json": json.dumps(dict(plan.parameters))},
        )

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Turn the script's lines into findings, rules and coverage.

        Raises:
            OutputUnreadable: The output is not what the script writes.
        """
        report = read_line_report(raw, plan, schema=_SCHEMA)
        findings: list[ToolFinding] = []
        unreadable: dict[str, str] = {}
        for record in report.files:
            path = get_text(record, "path")
            directives = _read_directives(record)
            for value in as_array(record["messages"], "messages"):
                message = as_object(value, "a message")
                findings.append(_build_finding(path, message, directives))
                if message.get("fatal") is True:
                    unreadable[path] = get_text(message, "text")
        suppressed_count = sum(finding.suppression is not None for finding in findings)
        return ToolReport(
            findings=tuple(sorted(findings, key=compute_place_key)),
            rules=_build_rules(findings, report),
            coverage=report.build_coverage(plan, unreadable=unreadable, suppressed_count=suppressed_count),
            failure=report.failure,
            is_partial=report.failure is not None and bool(report.files),
            notices=_build_notices(unreadable, suppressed_count),
        )


def create_tool() -> EslintTool:
    """Return the tool."""
    return EslintTool()


@dataclass(frozen=True, slots=True)
class _Directive:
    """A comment that asks eslint to be silent."""

    kind: str
    rules: frozenset[str]
    """Empty: all rules."""
    line: int
    column: int
    end_line: int

    def names(self, rule: str) -> bool:
        return not self.rules or rule in self.rules


def _read_directives(record: Mapping[str, JsonValue]) -> tuple[_Directive, ...]:
    found = []
    for value in as_array(record.get("directives") or [], "directives"):
        item = as_object(value, "a directive")
        rules = frozenset(
            name.strip() for name in get_text(item, "rules", default="").split(",") if name.strip()
        )
        line = get_integer(item, "line") or 1
        found.append(
            _Directive(
                get_text(item, "kind"),
                rules,
                line,
                get_integer(item, "column") or 1,
                get_integer(item, "end_line") or line,
            )
        )
    return tuple(sorted(found, key=lambda item: (item.line, item.column)))


def _find_suppression(rule: str, line: int, column: int, directives: Iterable[_Directive]) -> str | None:
    """Return the kind of comment that would have hidden a finding, None when it is in plain sight."""
    block: str | None = None
    for item in directives:
        if item.kind == "eslint":
            if item.names(rule):
                return item.kind
        elif item.kind == "eslint-disable-line":
            if item.line <= line <= item.end_line and item.names(rule):
                return item.kind
        elif item.kind == "eslint-disable-next-line":
            if line == item.end_line + 1 and item.names(rule):
                return item.kind
        elif (item.line, item.column) <= (line, column) and item.names(rule):
            block = item.kind if item.kind == "eslint-disable" else None
    return block


def _build_finding(
    path: str, message: Mapping[str, JsonValue], directives: Iterable[_Directive]
) -> ToolFinding:
    values = dict(message)
    rule = get_text(values, "rule", default=_PARSE_ERROR)
    line, column = get_integer(values, "line") or 1, get_integer(values, "column") or 1
    word, severity = _LEVELS.get(get_integer(values, "severity") or 1, _LEVELS[1])
    known = _KNOWN.get(rule)
    return ToolFinding(
        rule_id=rule,
        message=shorten(get_text(values, "text")),
        severity=known.severity if known else severity,
        tool_severity=word,
        cwe_ids=known.cwe_ids if known else (),
        location=Location(
            path, line, column, get_integer(values, "end_line"), get_integer(values, "end_column")
        ),
        suppression=None if rule == _PARSE_ERROR else _find_suppression(rule, line, column, directives),
    )


def _build_rules(findings: Iterable[ToolFinding], report: LineReport) -> tuple[Rule, ...]:
    docs = as_object(report.extras.get("rules", {}).get("rules") or {}, "rules")
    first = {finding.rule_id: finding for finding in reversed(list(findings))}
    rules = []
    for rule_id in sorted(first):
        meta = as_object(docs.get(rule_id) or {}, "a rule")
        summary = get_text(meta, "description", default="") or rule_id
        if rule_id == _PARSE_ERROR:
            summary = "The file is not valid JavaScript or TypeScript"
        url = meta.get("url")
        rules.append(
            Rule(
                rule_id=rule_id,
                name=rule_id,
                summary=shorten(summary, limit=300),
                default_severity=first[rule_id].severity,
                help_url=url if isinstance(url, str) else None,
                cwe_ids=first[rule_id].cwe_ids,
            )
        )
    return tuple(rules)


def _build_notices(unreadable: Mapping[str, str], suppressed_count: int) -> tuple[str, ...]:
    notices = []
    if unreadable:
        notices.append(f"{len(unreadable)} files could not be parsed.")
    if suppressed_count:
        notices.append(f"Findings on lines whose comments ask eslint to be silent: {suppressed_count}.")
    return tuple(notices)
