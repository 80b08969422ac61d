"""aiohttp: a fixed number of requests to each address, so many at a time, from one asyncio loop.

Runs ``runners/run_aiohttp.py``. The runner also measures itself, so that numbers
which the generator made are never taken for the app's.
"""

from __future__ import annotations

from collections.abc import Mapping

from referee.core.findings import ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Service
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
from referee.tools.load_report import GeneratorOutput, build_load_report
from referee.tools.load_runs import read_generator_output, run_generator
from referee.tools.load_settings import LOAD_PARAMETERS, build_presets, get_int, parse_run_time
from referee.tools.load_targets import find_load_targets, read_load_targets, with_exercise
from referee.tools.running import probe_python_package

__all__ = ["AiohttpLoad", "create_tool"]

_DESCRIPTION = ToolDescription(
    name="aiohttp",
    service=Service.performance,
    summary="Measures how fast each address answers a fixed number of concurrent requests.",
    homepage_url="https://docs.aiohttp.org/",
    license="Apache-2.0",
    languages=(),
    applies_to="addresses of the running app that answer GET with 2xx",
    parameters=(
        Parameter(
            name="requests",
            type="integer",
            default=10,
            minimum=1,
            maximum=10_000,
            help="Requests to each address.",
        ),
        Parameter(
            name="concurrency",
            type="integer",
            default=2,
            minimum=1,
            maximum=100,
            help="Requests under way at the same time.",
        ),
        *LOAD_PARAMETERS,
    ),
    presets=build_presets(
        {
            "quick": {"requests": 10, "concurrency": 2},
            "standard": {"requests": 20, "concurrency": 3},
            "stress": {"requests": 100, "concurrency": 10},
            "production": {"requests": 500, "concurrency": 50},
        }
    ),
    limits=Limits(wall_s=3_600),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error},
    identity_fields=(),
    has_line_identity=False,
    is_default=False,
    needs="running_app",
    cost_s=5.0,
)


class AiohttpLoad:
    """The load tool on aiohttp."""

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return aiohttp's environment, installed first if need be."""
        return await kit.python_environment("aiohttp", "aiohttp.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return the installed version of aiohttp."""
        return await probe_python_package(installation, "aiohttp")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Plan the load; which addresses there are shows when the app runs.

        Raises:
            InvalidInput: ``run_time`` is no time.
        """
        parse_run_time(str(parameters["run_time"]))
        return ToolPlan(parameters=parameters)

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Find the addresses and load one after another."""
        urls, exercise = await find_load_targets(kit, plan)
        if not urls:
            return with_exercise(None, exercise)
        own = {name: get_int(plan.parameters, name) for name in ("requests", "concurrency")}
        raw = await run_generator(kit, "run_aiohttp.py", urls, plan.parameters, own)
        return with_exercise(raw, exercise)

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read the runner's samples.

        Raises:
            OutputUnreadable: There is no output, or not of the runner's form.
        """
        targets = read_load_targets(raw, plan)
        if not targets.urls:
            return build_load_report(targets, GeneratorOutput(), plan.parameters)
        output = read_generator_output(raw, targets.urls, concurrency_count=_get_concurrency(plan))
        return build_load_report(targets, output, plan.parameters)


def create_tool() -> Tool:
    """Return the tool."""
    return AiohttpLoad()


def _get_concurrency(plan: ToolPlan) -> int:
    return min(get_int(plan.parameters, "concurrency"), get_int(plan.parameters, "requests"))
