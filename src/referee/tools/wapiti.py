"""wapiti: weaknesses of a running app, found by crawling it and attacking what was found.

Runs beside ZAP, or in its place where there is none. Its start addresses are the GET routes that
the source declares, because an API has no links to crawl. Nothing outside of the app is asked: the
addresses to which it would have the app call back are a closed port of the loopback.

Not from its exit code: wapiti ends with 0 when nothing answered; the crawled pages tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from referee.core.findings import ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Service
from referee.foundation.sandbox.commands import MIB, Limits
from referee.tools.app_targets import (
    MetTarget,
    PathNames,
    build_url_coverage,
    compute_address_key,
    explain_unreachable,
    get_app,
    join_outputs,
    list_seeds,
    name_streams,
    plan_with_routes,
    read_met_targets,
    select_output,
)
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
from referee.tools.planning import get_words
from referee.tools.reading import (
    OutputUnreadable,
)
from referee.tools.running import RUNNERS_DIR, probe_python_package, run_tool_command, work_dir
from referee.tools.wapiti_report import REPORT_STREAM, Scan, read_scan
from referee.tools.wapiti_rules import FULL_MODULES, MODULES, QUICK_MODULES, STANDARD_MODULES

__all__ = ["Wapiti", "create_tool"]

_NOWHERE: Final = "http://127.0.0.1:9/"
"""The discard port (RFC 863), where nothing listens: what the app would be told to call."""
_DESCRIPTION: Final = ToolDescription(
    name="wapiti",
    service=Service.dynamic,
    summary="Crawls a running app and attacks what it finds: injections, scripts, files, redirects, headers.",
    homepage_url="https://wapiti-scanner.github.io/",
    license="GPL-2.0-only",
    languages=(),
    applies_to="a running app",
    parameters=(
        Parameter(
            name="modules",
            type="array",
            default=STANDARD_MODULES,
            options=MODULES,
            help="Attacks to try.",
        ),
        Parameter(
            name="max_scan_time",
            type="integer",
            default=60,
            minimum=5,
            maximum=1800,
            help="Longest time to crawl one target, in seconds.",
        ),
        Parameter(
            name="max_attack_time",
            type="integer",
            default=30,
            minimum=2,
            maximum=600,
            help="Longest time for one module on one target, in seconds.",
        ),
        Parameter(
            name="timeout",
            type="integer",
            default=10,
            minimum=1,
            maximum=60,
            help="Longest time for one request, in seconds.",
        ),
        Parameter(
            name="level",
            type="integer",
            default=1,
            minimum=1,
            maximum=2,
            help="2 also attacks addresses that have no parameters.",
        ),
        Parameter(
            name="depth", type="integer", default=10, minimum=1, maximum=40, help="How deep to follow links."
        ),
        Parameter(
            name="max_links_per_page",
            type="integer",
            default=50,
            minimum=1,
            maximum=500,
            help="Links followed from one page.",
        ),
        Parameter(
            name="tasks",
            type="integer",
            default=4,
            minimum=1,
            maximum=32,
            help="Requests at the same time while crawling.",
        ),
    ),
    presets={
        "quick": {"modules": QUICK_MODULES, "max_scan_time": 15, "max_attack_time": 5, "depth": 3},
        "baseline": {},
        "full": {"modules": FULL_MODULES, "level": 2, "max_scan_time": 180, "max_attack_time": 90},
        "deep": {"modules": FULL_MODULES, "level": 2, "max_scan_time": 180, "max_attack_time": 90},
    },
    limits=Limits(wall_s=1200, cpu_s=900, memory_bytes=1024 * MIB, processes_count=32),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error, 2: ExitMeaning.usage_error},
    identity_fields=("detail",),
    has_line_identity=False,
    is_default=False,
    needs="running_app",
    stands_in_for="zap",
    cost_s=20.0,
)


class Wapiti:
    """The tool wapiti."""

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return wapiti's environment, installed first if need be."""
        return await kit.python_environment("wapiti", "wapiti.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return the installed version."""
        return await probe_python_package(installation, "wapiti3")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Remember the routes that the source declares."""
        return plan_with_routes(snapshot, parameters)

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Scan one target after the other: two scans at once would measure each other."""
        met = name_streams(get_app(kit))
        outputs: dict[str, RawOutput] = {}
        for one in met:
            report = f"report-{one.stream}.json"
            raw = await run_tool_command(
                kit,
                f"wapiti-{one.stream}",
                _build_command(kit, plan, one, report),
                report_files=[report],
                working_dir=work_dir(kit),
                read_only=[RUNNERS_DIR],
            )
            outputs[one.stream] = _rename_stream(raw, report, REPORT_STREAM)
        return join_outputs(met, outputs)

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read each target's report.

        Raises:
            OutputUnreadable: No target's report can be read.
        """
        met, _ = read_met_targets(raw)
        names = PathNames(plan)
        total = Scan()
        unread: dict[str, OutputUnreadable] = {}
        for one in met:
            try:
                _add(total, read_scan(select_output(raw, one.stream), one, names))
            except OutputUnreadable as error:
                unread[one.stream] = error
        if len(unread) == len(met):
            raise next(iter(unread.values()))
        used = {finding.rule_id for finding in total.findings}
        reason = next(iter(total.unanswered.values()), "no page was crawled")
        has_answered = bool(total.answered) or bool(unread)
        return ToolReport(
            findings=tuple(sorted(total.findings, key=compute_address_key)),
            rules=tuple(total.rules[rule_id] for rule_id in sorted(used)),
            coverage=build_url_coverage(total.answered, total.unanswered),
            failure=" ".join(f"{name}: {error.message}" for name, error in unread.items()) or None,
            is_partial=bool(unread),
            notices=tuple(total.notices),
            unreachable=None if has_answered else explain_unreachable(met, reason),
        )


def create_tool() -> Tool:
    """Return the tool."""
    return Wapiti()


def _build_command(kit: RunKit, plan: ToolPlan, met: MetTarget, report: str) -> list[str]:
    work, parameters = work_dir(kit), plan.parameters
    argv = [str(kit.installation.program), "-I", str(RUNNERS_DIR / "run_wapiti.py")]
    argv += [
        "-u",
        f"{met.target.url}/",
        "--scope",
        "folder",
        "-m",
        ",".join(get_words(parameters, "modules")),
    ]
    argv += ["--level", str(parameters["level"]), "--depth", str(parameters["depth"])]
    argv += [
        "--max-links-per-page",
        str(parameters["max_links_per_page"]),
        "--tasks",
        str(parameters["tasks"]),
    ]
    argv += ["--max-scan-time", str(parameters["max_scan_time"])]
    argv += ["--max-attack-time", str(parameters["max_attack_time"]), "--timeout", str(parameters["timeout"])]
    argv += [
        "--header",
        "Connection: close",
    ]  # a server that drops a connection after an error loses the next request
    argv += ["--endpoint", _NOWHERE, "--dns-endpoint", "localhost", "--no-bugreport"]
    argv += ["--flush-session", "--store-session", str(work), "--store-config", str(work)]
    argv += ["--verbose", "1", "-dr", "1", "-f", "json", "-o", str(work / report)]
    for path in list_seeds(plan, met.target):
        argv += ["--start", f"{met.target.url}{path}"]
    return argv


def _rename_stream(raw: RawOutput, name: str, new_name: str) -> RawOutput:
    """Return the output with a stream under another name; absent streams stay absent."""
    return replace(
        raw,
        streams={new_name if key == name else key: data for key, data in raw.streams.items()},
        total_bytes={new_name if key == name else key: total for key, total in raw.total_bytes.items()},
    )


def _add(total: Scan, scan: Scan) -> None:
    total.findings += scan.findings
    total.rules |= scan.rules
    total.answered += scan.answered
    total.unanswered |= scan.unanswered
    total.notices += scan.notices
