"""locust: so many users at each address, who ask again and again for a while.

Runs ``runners/run_locust.py``, which uses locust as a library. A request has
failed when its status is 400 or more or no answer came.
"""

from __future__ import annotations

from collections.abc import Mapping

from referee.core.findings import JsonValue, ToolReport
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
from referee.tools.load_settings import (
    LOAD_PARAMETERS,
    build_presets,
    get_float,
    get_int,
    parse_run_time,
)
from referee.tools.load_targets import find_load_targets, read_load_targets, with_exercise
from referee.tools.running import probe_python_package

__all__ = ["Locust", "create_tool"]

_DESCRIPTION = ToolDescription(
    name="locust",
    service=Service.performance,
    summary="Measures how fast each address answers users who ask for it again and again.",
    homepage_url="https://locust.io/",
    license="MIT",
    languages=(),
    applies_to="addresses of the running app that answer GET with 2xx",
    parameters=(
        Parameter(
            name="users",
            type="integer",
            default=5,
            minimum=1,
            maximum=500,
            help="Users at the same time; each sends its next request when it has its answer.",
        ),
        Parameter(
            name="spawn_rate",
            type="number",
            default=5.0,
            minimum=0.1,
            maximum=100.0,
            help="Users that come per second; what they do until all are there does not count.",
        ),
        *LOAD_PARAMETERS,
    ),
    presets=build_presets(
        {
            "quick": {"users": 5, "spawn_rate": 5.0},
            "standard": {"users": 10, "spawn_rate": 10.0},
            "stress": {"users": 50, "spawn_rate": 25.0},
            "production": {"users": 100, "spawn_rate": 25.0},
        }
    ),
    limits=Limits(wall_s=3_600),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error},
    identity_fields=(),
    has_line_identity=False,
    is_default=False,
    needs="running_app",
    cost_s=15.0,
)


class Locust:
    """The load tool on locust."""

    def describe(self) -> ToolDescription:
        """Return what locust is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return locust's environment, installed first if need be."""
        return await kit.python_environment("locust", "locust.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return the installed version."""
        return await probe_python_package(installation, "locust")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Plan the load; which addresses there are shows when the app runs.

        Raises:
            InvalidInput: ``run_time`` is no time.
        """
        parse_run_time(str(parameters["run_time"]))
        return ToolPlan(parameters=parameters)

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Find the addresses and send the users to one after another."""
        urls, exercise = await find_load_targets(kit, plan)
        if not urls:
            return with_exercise(None, exercise)
        own: dict[str, JsonValue] = {
            "users": get_int(plan.parameters, "users"),
            "spawn_rate": get_float(plan.parameters, "spawn_rate"),
        }
        raw = await run_generator(kit, "run_locust.py", urls, plan.parameters, own)
        return with_exercise(raw, exercise)

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read the runner's samples.

        Raises:
            OutputUnreadable: There is no output, or not of the runner's form.
        """
        targets = read_load_targets(raw, plan)
        if not targets.urls:
            return build_load_report(targets, GeneratorOutput(), plan.parameters)
        output = read_generator_output(raw, targets.urls, concurrency_count=get_int(plan.parameters, "users"))
        return build_load_report(targets, output, plan.parameters)


def create_tool() -> Tool:
    """Return the tool."""
    return Locust()
