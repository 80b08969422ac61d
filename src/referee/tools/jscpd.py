"""jscpd: code that stands in the subject more than once.

jscpd is given a configuration of ours that names every file to compare. So neither the app's own
``.jscpd.json`` nor its ``package.json``, ``.gitignore`` or ``.ignore`` has a say: the last is honoured
by jscpd wherever it walks through folders itself.
"""

from __future__ import annotations

import json
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
    ToolDescription,
    ToolPlan,
)
from referee.tools.node_runs import probe_node_package
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    build_file_coverage,
    compute_place_key,
    describe_end,
    get_integer,
    get_text,
    normalise_path,
    read_json,
)
from referee.tools.running import run_tool_command, work_dir

__all__ = ["create_tool"]

_REPORT: Final = "jscpd-report.json"
_FORMATS: Final = "python,javascript,jsx,typescript,tsx,markup,css"
_MANY_LINES: Final = 50
"""A copy this long is a missing function or module, not a habit: its severity is medium."""
_RULE = Rule(
    rule_id="duplicate-code",
    name="duplicate-code",
    summary="The same code stands in more than one place",
    default_severity=Severity.low,
    help_url="https://jscpd.dev",
    cwe_ids=(1041,),
)

_DESCRIPTION = ToolDescription(
    name="jscpd",
    service=Service.static,
    summary="Finds code that was copied, and measures how much of the subject is copies.",
    homepage_url="https://jscpd.dev",
    license="MIT",
    languages=("python", "javascript", "jsx", "typescript", "tsx", "html", "css"),
    applies_to="Python, JavaScript, TypeScript, HTML and CSS files",
    parameters=(
        Parameter(
            name="min_tokens", type="integer", default=50, minimum=10, maximum=10_000,
            help="Shortest copy to report. Tokens.",
        ),
        Parameter(
            name="min_lines", type="integer", default=5, minimum=1, maximum=1_000,
            help="Shortest copy to report. Lines.",
        ),
        Parameter(
            name="mode", type="string", default="mild", options=("mild", "weak", "strict"),
            help="What counts as the same: mild ignores white space, weak comments too, strict nothing.",
        ),
        Parameter(
            name="max_size_bytes", type="integer", default=5_000_000, minimum=1_000, maximum=50_000_000,
            help="Largest file to compare. Bytes.",
        ),
        Parameter(
            name="ignore", type="array", default=(),
            help="Patterns of files to leave out, such as **/migrations/**.",
        ),
    ),
    presets={
        "quick": {"min_tokens": 100, "min_lines": 10, "max_size_bytes": 1_000_000},
        "deep": {"min_tokens": 30, "min_lines": 4, "mode": "weak"},
    },
    limits=Limits(wall_s=120),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error, 2: ExitMeaning.usage_error},
    identity_fields=("other_path",),
    is_default=False,
    cost_s=0.3,
)  # fmt: skip


class JscpdTool:
    """See the module's docstring."""

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return its environment, installing it first if need be."""
        return await kit.node_environment("jscpd", "jscpd", "node_modules/jscpd/run-jscpd.js")

    async def probe_version(self, installation: Installation) -> str:
        """Return the version of jscpd that is installed."""
        return await probe_node_package(installation, "jscpd")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Take every file of its languages, and note those that are too large."""
        files = snapshot.files_in(*_DESCRIPTION.languages)
        limit = parameters.get("max_size_bytes")
        large = [file.path for file in files if isinstance(limit, int) and file.size_bytes > limit]
        reason = None if files else "There is no Python, JavaScript, TypeScript, HTML or CSS file."
        if files and len(large) == len(files):
            reason = f"Each of the {len(files)} files is larger than the parameter max_size_bytes."
        return ToolPlan(
            parameters=parameters,
            files=tuple(file.path for file in files),
            not_applicable=reason,
            details={"too_large": list[JsonValue](large), "root": str(snapshot.root)},
        )

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Compare the files of the snapshot in the sandbox."""
        parameters, config = plan.parameters, work_dir(kit) / "jscpd.json"
        large = set(as_array(plan.details.get("too_large") or [], "too_large"))
        paths = [str(kit.snapshot.root / path) for path in plan.files if path not in large]
        config.write_text(json.dumps({"path": paths}), encoding="utf-8")
        ignored = parameters.get("ignore")
        argv = [
            str(kit.install_kit.node), str(kit.installation.program),
            "--config", str(config), "--absolute", "--no-gitignore", "--format", _FORMATS,
            "--reporters", "json", "--output", str(work_dir(kit)), "--silent", "--no-tips", "--no-colors",
            "--min-tokens", str(parameters.get("min_tokens")), "--min-lines", str(parameters.get("min_lines")),
            "--mode", str(parameters.get("mode")), "--max-size", str(parameters.get("max_size_bytes")),
            "--workers", str(kit.cores_count),
        ]  # fmt: skip
        if isinstance(ignored, tuple) and ignored:
            argv += ["--ignore", ",".join(ignored)]
        return await run_tool_command(kit, "jscpd", argv, report_files=(_REPORT,))

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Turn jscpd's report into findings, coverage and the share of copied lines.

        Raises:
            OutputUnreadable: There is no report, or it is not what jscpd writes.
        """
        report = as_object(read_json(raw, _REPORT), "the report")
        duplicates = as_array(report.get("duplicates"), "duplicates")
        root = str(plan.details.get("root", ""))
        places = (_build_finding(as_object(value, "a duplicate"), root) for value in duplicates)
        findings = tuple(sorted(filter(None, places), key=compute_place_key))
        total = as_object(as_object(report.get("statistics"), "statistics").get("total"), "total")
        large = {str(path): "It is larger than the parameter max_size_bytes." for path in
            as_array(plan.details.get("too_large") or [], "too_large")}  # fmt: skip
        compared_count = get_integer(total, "sources") or 0
        planned_count = len(plan.files) - len(large)
        notices: tuple[str, ...] = ()
        if compared_count < planned_count:
            notices = (
                f"{planned_count - compared_count} files are too short to hold a copy, or were left out.",
            )
        return ToolReport(
            findings=findings,
            rules=(_RULE,) if findings else (),
            coverage=build_file_coverage(plan.files, skipped=large),
            measurements=_build_measurements(total),
            failure=None if raw.end == "exited" and raw.exit_code == 0 else describe_end(raw),
            notices=notices,
        )


def create_tool() -> JscpdTool:
    """Return the tool."""
    return JscpdTool()


def _build_finding(duplicate: dict[str, JsonValue], root: str) -> ToolFinding | None:
    """Return the finding at the later place, None when a path lies outside of the subject."""
    first = _read_location(as_object(duplicate.get("firstFile"), "firstFile"), root)
    second = _read_location(as_object(duplicate.get("secondFile"), "secondFile"), root)
    if first is None or second is None:
        return None
    first, second = sorted((first, second), key=lambda place: (place.path, place.start_line or 0))
    lines_count = get_integer(duplicate, "lines") or 0
    tokens_count = get_integer(duplicate, "tokens") or 0
    where = "further up" if first.path == second.path else f"in {first.path}"
    return ToolFinding(
        rule_id=_RULE.rule_id,
        message=f"{lines_count} lines are the same as {where}, lines {first.start_line} to {first.end_line}.",
        severity=Severity.medium if lines_count >= _MANY_LINES else Severity.low,
        tool_severity=get_text(duplicate, "kind", default="exact"),
        location=second,
        cwe_ids=_RULE.cwe_ids,
        identity=(first.path,),
        related=(first,),
        properties={"lines_count": lines_count, "tokens_count": tokens_count},
    )


def _read_location(place: dict[str, JsonValue], root: str) -> Location | None:
    path = normalise_path(get_text(place, "name"), root=root)
    start, end = get_integer(place, "start"), get_integer(place, "end")
    return None if path is None else Location(path, start_line=start, end_line=end)


def _build_measurements(total: dict[str, JsonValue]) -> tuple[Measurement, ...]:
    lines_count, copied_count = get_integer(total, "lines"), get_integer(total, "duplicatedLines")
    if lines_count is None or copied_count is None:
        raise OutputUnreadable("The report has no numbers of lines.")
    share = min(copied_count / lines_count, 1.0) if lines_count else 0.0
    return (
        Measurement("duplicated_lines_share", share, "share", "lower"),
        Measurement("duplicated_lines_count", float(copied_count), "count", "lower"),
    )
