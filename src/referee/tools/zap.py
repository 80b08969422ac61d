"""ZAP: weaknesses of a running app, found by a real ZAP daemon over its JSON API.

The daemon is the one that ``REFEREE_ZAP_URL`` names, else ``zap.sh`` of the machine, started inside
the app's own network for the length of the run. Either way ``runners/run_zap.py`` holds the same
conversation and writes one report.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from referee.core.errors import Unavailable
from referee.core.findings import JsonValue, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Service
from referee.foundation.sandbox.commands import MIB, Limits
from referee.tools.app_targets import (
    MetTarget,
    PathNames,
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
from referee.tools.running import RUNNERS_DIR, run_tool_command, work_dir
from referee.tools.zap_report import REPORT_STREAM, RISKS, build_report

__all__ = ["Daemon", "Zap", "create_tool", "find_daemon"]

_PREFIX: Final = "zap"
PAGE_COUNT: Final = 500
"""Alerts asked for at once."""
_PROGRAMS: Final = ("zap.sh", "zaproxy")

_DESCRIPTION: Final = ToolDescription(
    name="zap",
    service=Service.dynamic,
    summary="Crawls a running app with ZAP, looks at every answer, and attacks it when asked to.",
    homepage_url="https://www.zaproxy.org/",
    license="Apache-2.0",
    languages=(),
    applies_to="a running app",
    parameters=(
        Parameter(
            name="active_scan",
            type="boolean",
            default=False,
            help="Attack what was crawled, not only look at its answers.",
        ),
        Parameter(
            name="spider_time",
            type="integer",
            default=180,
            minimum=1,
            maximum=1800,
            help="Longest time to crawl one target, in seconds.",
        ),
        Parameter(
            name="passive_time",
            type="integer",
            default=30,
            minimum=1,
            maximum=600,
            help="Longest time to wait for the passive scan of one target, in seconds.",
        ),
        Parameter(
            name="active_time",
            type="integer",
            default=300,
            minimum=1,
            maximum=3600,
            help="Longest time to attack one target, in seconds.",
        ),
        Parameter(
            name="max_children",
            type="integer",
            default=50,
            minimum=0,
            maximum=1000,
            help="Pages crawled below one page; 0: all.",
        ),
        Parameter(
            name="timeout",
            type="integer",
            default=30,
            minimum=1,
            maximum=300,
            help="Longest wait for one answer of ZAP, in seconds.",
        ),
        Parameter(
            name="min_risk",
            type="string",
            default="low",
            options=RISKS,
            help="Leave out alerts of less risk.",
        ),
        Parameter(
            name="max_alerts_per_rule",
            type="integer",
            default=20,
            minimum=1,
            maximum=1000,
            help="Alerts of one kind that are kept of one target.",
        ),
    ),
    presets={
        "quick": {"spider_time": 60, "passive_time": 10, "max_children": 10},
        "baseline": {},
        "full": {"active_scan": True, "min_risk": "informational"},
        "deep": {"active_scan": True, "min_risk": "informational"},
    },
    limits=Limits(
        wall_s=1800, cpu_s=1800, memory_bytes=4096 * MIB, processes_count=512, open_files_count=4096
    ),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error},
    identity_fields=("alert",),
    has_line_identity=False,
    is_default=False,
    needs="running_app",
    cost_s=120.0,
)


@dataclass(frozen=True, slots=True)
class Daemon:
    """A ZAP that somebody else runs."""

    url: str
    api_key: str


def find_daemon(environment: Mapping[str, str]) -> Daemon | None:
    """Return the daemon that ``REFEREE_ZAP_URL`` and ``REFEREE_ZAP_API_KEY`` name, None without a URL.

    Raises:
        Unavailable: The URL is not one of HTTP.
    """
    url = environment.get("REFEREE_ZAP_URL", "").strip().rstrip("/")
    if not url:
        return None
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise Unavailable(
            "tools.zap_url_invalid",
            "REFEREE_ZAP_URL is not the address of a ZAP daemon.",
            "Write it like http://127.0.0.1:8090.",
        )
    return Daemon(url, environment.get("REFEREE_ZAP_API_KEY", ""))


class Zap:
    """The tool ZAP.

    Args:
        environment: Where a daemon may be named; that of this process by default.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return what runs the conversation, and with it ZAP itself unless a daemon is named.

        Raises:
            Unavailable: No daemon is named and the machine has no ZAP.
        """
        interpreter, folders = _find_interpreter()
        daemon = find_daemon(self._environment)
        if daemon is not None:
            digest = hashlib.sha256(daemon.url.encode()).hexdigest()
            return Installation(
                root=interpreter.parent, program=interpreter, read_only=folders, lock_digest=digest
            )
        for program in _PROGRAMS:
            try:
                found = await kit.system_program("zap", program, "zaproxy")
            except Unavailable:
                continue
            # zap.sh looks for its libraries beside itself, which may be a folder that the sandbox does not show.
            home = () if found.root.is_relative_to("/usr") else (found.root,)
            return replace(found, read_only=(*found.read_only, *home, *folders))
        raise Unavailable(
            "tools.zap_absent",
            "There is no ZAP: no daemon is named and the machine has no zap.sh.",
            "Install ZAP so that zap.sh is on the system's path, or set REFEREE_ZAP_URL and REFEREE_ZAP_API_KEY; "
            "wapiti can stand in for it.",
            tool="zap",
        )

    async def probe_version(self, installation: Installation) -> str:
        """Return the version of the machine's ZAP, by the name of its archive; that of a daemon is in its report."""
        archives = sorted(installation.root.glob("zap-*.jar"))
        return archives[-1].stem.removeprefix("zap-") if archives else "daemon"

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Remember the routes that the source declares."""
        return plan_with_routes(snapshot, parameters)

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Hold the conversation inside the app's network.

        A daemon elsewhere cannot reach an app that has a network of its own; that is then the report.
        """
        app, daemon = get_app(kit), find_daemon(self._environment)
        met = name_streams(app)
        if daemon is not None and app.network is not None:
            return join_outputs(met, {_PREFIX: _tell_unreachable()})
        report = work_dir(kit) / REPORT_STREAM
        interpreter, folders = _find_interpreter()
        raw = await run_tool_command(
            kit,
            "zap",
            [str(interpreter), "-I", str(RUNNERS_DIR / "run_zap.py")],
            report_files=[REPORT_STREAM],
            working_dir=work_dir(kit),
            read_only=[RUNNERS_DIR, *folders],
            stdin=json.dumps(_make_job(plan, met, daemon, kit.installation.program, report)).encode(),
        )
        return join_outputs(met, {_PREFIX: raw})

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read the report of the conversation.

        Raises:
            OutputUnreadable: It is absent, cut, or not what the runner writes.
        """
        met, _ = read_met_targets(raw)
        return build_report(select_output(raw, _PREFIX), met, PathNames(plan), plan.parameters)


def create_tool() -> Tool:
    """Return the tool."""
    return Zap()


def _find_interpreter() -> tuple[Path, tuple[Path, ...]]:
    """Return the Python that runs Referee, and the folders that show it to the sandbox."""
    program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    folders = dict.fromkeys((Path(sys.base_prefix), Path(sys.base_prefix).resolve()))
    return program, tuple(folder for folder in folders if folder not in (Path("/usr"), Path("/")))


def _make_job(
    plan: ToolPlan, met: tuple[MetTarget, ...], daemon: Daemon | None, program: Path, report: Path
) -> dict[str, JsonValue]:
    parameters = plan.parameters
    return {
        "report": str(report),
        "daemon": None if daemon is None else {"url": daemon.url, "api_key": daemon.api_key},
        "program": str(program),
        "start_s": 120,
        "spider_s": int(str(parameters["spider_time"])),
        "passive_s": int(str(parameters["passive_time"])),
        "active_s": int(str(parameters["active_time"])),
        "request_s": int(str(parameters["timeout"])),
        "max_children": int(str(parameters["max_children"])),
        "should_attack": parameters["active_scan"] is True,
        "page_count": PAGE_COUNT,
        "targets": [
            {
                "stream": one.stream,
                "url": one.target.url,
                "seeds": [f"{one.target.url}{path}" for path in list_seeds(plan, one.target)],
            }
            for one in met
        ],
    }


def _tell_unreachable() -> RawOutput:
    content = json.dumps(
        {
            "version": "",
            "failure": None,
            "is_complete": True,
            "targets": [],
            "unreachable": "The app has a network of its own, which the ZAP daemon of REFEREE_ZAP_URL cannot reach.",
        }
    ).encode()
    return RawOutput(
        streams={"stdout": b"", "stderr": b"", REPORT_STREAM: content},
        total_bytes={"stdout": 0, "stderr": 0, REPORT_STREAM: len(content)},
        end="exited",
        exit_code=0,
        duration_ms=0,
        cpu_ms=0,
        peak_memory_bytes=None,
        isolation=None,
        command=("zap", "$REFEREE_ZAP_URL"),
    )
