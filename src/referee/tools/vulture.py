"""vulture: code that nothing uses.

Runs vulture's API through ``runners/run_vulture.py``. Functions that a web
framework calls by decorator, such as route handlers, do not count as unused.
"""

from __future__ import annotations

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
    OutputUnreadable,
    build_file_coverage,
    get_integer,
    get_text,
    normalise_path,
    shorten,
)
from referee.tools.runner_output import read_runner_output, run_runner
from referee.tools.running import probe_python_package

__all__ = ["Vulture", "create_tool"]

_FRAMEWORK_DECORATORS = (
    "@*.route", "@*.get", "@*.post", "@*.put", "@*.patch", "@*.delete", "@*.options", "@*.head", "@*.websocket",
    "@*.before_request", "@*.after_request", "@*.teardown_*", "@*.before_first_request", "@*.before_app_request",
    "@*.after_app_request", "@*.errorhandler", "@*.app_errorhandler",
    "@*.context_processor", "@*.app_context_processor",
    "@*.template_filter", "@*.template_global", "@*.app_template_filter",
    "@*.user_loader", "@*.shell_context_processor",
    "@*.on_event", "@*.middleware", "@*.exception_handler", "@*.api_route", "@*.on", "@*.command", "@*.group",
    "@*.task", "@*.listens_for", "@*.fixture", "@receiver", "@shared_task", "@validator", "@field_validator",
    "@model_validator", "@root_validator", "@validates", "@*.error_handler", "@*.token_in_blocklist_loader",
)  # fmt: skip
"""Decorators by which Flask, FastAPI, Django, Celery, Click, pydantic and pytest call a function."""
_FRAMEWORK_NAMES = (
    "Config",
    "row_factory",
    "model_config",
    "orm_mode",
    "from_attributes",
    "upgrade",
    "downgrade",
    "do_GET",
    "do_POST",
)
"""Names that a library looks up: sqlite3, pydantic, Alembic and http.server."""

_RULES: Final[dict[str, tuple[str, str, int]]] = {
    "attribute": ("unused-attribute", "An attribute is set and never read.", 563),
    "class": ("unused-class", "A class is defined and never used.", 561),
    "function": ("unused-function", "A function is defined and never called.", 561),
    "import": ("unused-import", "A name is imported and never used.", 561),
    "method": ("unused-method", "A method is defined and never called.", 561),
    "property": ("unused-property", "A property is defined and never read.", 561),
    "variable": ("unused-variable", "A variable is set and never read.", 563),
    "unreachable_code": ("unreachable-code", "Code that can never run.", 561),
}

_DESCRIPTION = ToolDescription(
    name="vulture",
    service=Service.static,
    summary="Finds Python code that nothing uses.",
    homepage_url="https://github.com/jendrikseipp/vulture",
    license="MIT",
    languages=("python",),
    applies_to="Python files",
    parameters=(
        Parameter(
            name="min_confidence",
            type="integer",
            default=60,
            minimum=0,
            maximum=100,
            help="Leave out findings that vulture is less sure of, in percent; unused functions have 60.",
        ),
        EXCLUDE_PARAMETER,
        Parameter(
            name="ignore_decorators",
            type="array",
            default=_FRAMEWORK_DECORATORS,
            help="Decorators whose functions count as used, such as @*.route.",
        ),
        Parameter(
            name="ignore_names",
            type="array",
            default=_FRAMEWORK_NAMES,
            help="Names that count as used; * stands for anything.",
        ),
    ),
    presets={"quick": {"min_confidence": 80}, "deep": {"min_confidence": 60}},
    limits=Limits(wall_s=180),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error},
    identity_fields=("name",),
    cost_s=0.2,
)


class Vulture:
    """The tool vulture."""

    def describe(self) -> ToolDescription:
        """Return what vulture is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return vulture's environment, installed first if need be."""
        return await kit.python_environment("vulture", "vulture.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return the installed version."""
        return await probe_python_package(installation, "vulture")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Plan all Python files."""
        return plan_files(snapshot, parameters, "python", noun="Python files")

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Run vulture's API over all planned files at once: use in one file counts in all."""
        job: dict[str, JsonValue] = {
            "files": list(plan.files),
            "min_confidence": int(str(plan.parameters["min_confidence"])),
            "ignore_names": list(get_words(plan.parameters, "ignore_names")),
            "ignore_decorators": list(get_words(plan.parameters, "ignore_decorators")),
        }
        return await run_runner(kit, "vulture", "run_vulture.py", job)

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read the runner's lines.

        Raises:
            OutputUnreadable: There is no output, or not of the runner's form.
        """
        output = read_runner_output(raw)
        findings = tuple(_read_finding(record) for record in output.records)
        used = sorted({finding.rule_id for finding in findings})
        rules = {
            rule_id: Rule(rule_id, rule_id, summary, Severity.low, None, (cwe,))
            for rule_id, summary, cwe in _RULES.values()
        }
        return ToolReport(
            findings=findings,
            rules=tuple(rules[rule_id] for rule_id in used),
            coverage=build_file_coverage(
                plan.files,
                unreadable=output.unreadable,
                suppressed_count=sum(finding.suppression is not None for finding in findings),
            ),
            failure=output.failure,
            is_partial=output.failure is not None,
        )


def create_tool() -> Tool:
    """Return the tool."""
    return Vulture()


def _read_finding(record: dict[str, JsonValue]) -> ToolFinding:
    kind, name = get_text(record, "type"), get_text(record, "name")
    path = normalise_path(get_text(record, "path"))
    if path is None or kind not in _RULES:
        raise OutputUnreadable(f"vulture's output names {kind!r} in {get_text(record, 'path')!r}.")
    percent = get_integer(record, "confidence") or 0
    rule_id, _, cwe = _RULES[kind]
    return ToolFinding(
        rule_id=rule_id,
        message=shorten(f"{get_text(record, 'message')[:1].upper()}{get_text(record, 'message')[1:]}"),
        severity=Severity.medium if percent >= 80 else Severity.low,
        location=Location(path, get_integer(record, "line"), None, get_integer(record, "last_line")),
        tool_severity=f"{percent}%",
        confidence=_compute_confidence(percent),
        cwe_ids=(cwe,),
        identity=(shorten(name, limit=200),),
        suppression="noqa" if record.get("suppressed") is True else None,
    )


def _compute_confidence(percent: int) -> Confidence:
    if percent >= 90:
        return Confidence.high
    return Confidence.medium if percent >= 70 else Confidence.low
