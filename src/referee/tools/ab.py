"""ab (ApacheBench): a fixed number of requests to each address, from a generator in C that takes little CPU.

One command per address, and one before it for the warm-up. ``ab_output.py`` reads what it writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from referee.core.findings import JsonValue, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Service
from referee.foundation.sandbox.commands import Limits
from referee.tools.ab_output import PERCENTILES, RUNS, TIMES, get_concurrency, read_profiles
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
from referee.tools.exercising import ReadableUrl
from referee.tools.load_report import GeneratorOutput, build_load_report
from referee.tools.load_settings import (
    LOAD_PARAMETERS,
    build_presets,
    compute_address_time_s,
    get_int,
    parse_run_time,
)
from referee.tools.load_targets import find_load_targets, read_load_targets, with_exercise
from referee.tools.program_version import probe_program_version
from referee.tools.running import merge_outputs, run_tool_command, work_dir

__all__ = ["ApacheBench", "create_tool", "load_addresses"]

_START_S: Final = 3.0
"""For starting ab; the time for which a busy machine keeps it waiting does not count."""

_DESCRIPTION = ToolDescription(
    name="ab",
    service=Service.performance,
    summary="Measures how fast each address answers a fixed number of requests, with ApacheBench.",
    homepage_url="https://httpd.apache.org/docs/2.4/programs/ab.html",
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
        Parameter(
            name="keep_alive",
            type="boolean",
            default=False,
            help="Send several requests over one connection; without it each request opens its own.",
        ),
        *LOAD_PARAMETERS,
    ),
    presets=build_presets(
        {
            "quick": {"requests": 10, "concurrency": 2},
            "standard": {"requests": 20, "concurrency": 5},
            "stress": {"requests": 100, "concurrency": 20},
            "production": {"requests": 500, "concurrency": 50},
        }
    ),
    limits=Limits(wall_s=3_600),
    exit_codes={0: ExitMeaning.clean},
    identity_fields=(),
    has_line_identity=False,
    is_default=False,
    needs="running_app",
    cost_s=2.0,
)


class ApacheBench:
    """The load tool ab."""

    def describe(self) -> ToolDescription:
        """Return what ab is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return the machine's ab."""
        return await kit.system_program("ab", "ab", "apache2-utils")

    async def probe_version(self, installation: Installation) -> str:
        """Return the version that ab says of itself."""
        return await probe_program_version(installation.program, r"Version (\d[\w.]*)", argument="-V")

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
        return with_exercise(await load_addresses(kit, plan, urls) if urls else None, exercise)

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read what ab wrote about each address.

        Raises:
            OutputUnreadable: It is absent, cut, or not what ab writes.
        """
        targets = read_load_targets(raw, plan)
        if not targets.urls:
            return build_load_report(targets, GeneratorOutput(), plan.parameters)
        output = read_profiles(raw, plan, targets.urls)
        return build_load_report(targets, output, plan.parameters)


def create_tool() -> Tool:
    """Return the tool."""
    return ApacheBench()


async def load_addresses(kit: RunKit, plan: ToolPlan, urls: Sequence[ReadableUrl]) -> RawOutput:
    """Run ab on each address, one after another, and return all it wrote.

    The streams of an address begin with its number (``0.stdout``); ``runs.json`` says how each
    command ended. Header values are nowhere in it.
    """
    outputs: dict[str, RawOutput] = {}
    runs: list[JsonValue] = []
    elapsed_ms = 0
    for index, url in enumerate(urls):
        time_s = compute_address_time_s(
            plan.parameters, elapsed_s=elapsed_ms / 1000, addresses_count=len(urls) - index
        )
        if not time_s:
            break
        load = _Load(get_int(plan.parameters, "requests"), get_concurrency(plan), time_s)
        warmup = _Load(get_int(plan.parameters, "warmup_requests"), 1, time_s)
        raw: RawOutput | None = None
        if warmup.requests_count:
            raw = await _run_ab(kit, plan, url, f"{index}-warmup", warmup)
            elapsed_ms += raw.duration_ms
        # An address that already the warm-up cannot get past would only take the time of the others.
        if raw is None or raw.exit_code == 0:
            raw = await _run_ab(kit, plan, url, str(index), load)
            elapsed_ms += raw.duration_ms
        else:
            load = warmup
        runs.append(_describe_run(raw, load))
        is_ours = raw.end == "timed_out" and _get_wall_s(plan, load) < kit.limits.wall_s
        outputs[str(index)] = replace(raw, end="exited", reason="") if is_ours else raw
        if raw.end != "exited" and not is_ours:
            break
    record = json.dumps(runs).encode("ascii")
    first = replace(
        outputs["0"],
        streams={RUNS: record},
        total_bytes={RUNS: len(record)},
        end="exited",
        exit_code=0,
        reason="",
        duration_ms=0,
        cpu_ms=0,
    )
    return merge_outputs(first, outputs)


@dataclass(frozen=True, slots=True)
class _Load:
    requests_count: int
    concurrency_count: int
    time_s: float


def _describe_run(raw: RawOutput, load: _Load) -> dict[str, JsonValue]:
    return {
        "end": raw.end,
        "exit_code": raw.exit_code,
        "duration_ms": raw.duration_ms,
        "cpu_ms": raw.cpu_ms,
        "requests": load.requests_count,
        "concurrency": load.concurrency_count,
    }


def _get_wall_s(plan: ToolPlan, load: _Load) -> float:
    """Return when ab is ended from outside: it looks at its own limits only between answers."""
    return _get_whole_s(load) + get_int(plan.parameters, "timeout") + _START_S


def _get_whole_s(load: _Load) -> int:
    return max(1, int(load.time_s))


async def _run_ab(kit: RunKit, plan: ToolPlan, url: ReadableUrl, name: str, load: _Load) -> RawOutput:
    parameters = plan.parameters
    # -v 1 names the failures, more would print the headers; -t sets -n to 50,000, so -n comes after it.
    argv = ["-q", "-v", "1", "-l", "-r", "-t", str(_get_whole_s(load)), "-n", str(load.requests_count)]
    argv += ["-c", str(load.concurrency_count), "-s", str(get_int(parameters, "timeout"))]
    argv += ["-k"] if parameters["keep_alive"] is True else []
    for header, value in url.headers.items():
        argv += ["-H", f"{header}: {value}"]
    # Names of their own for each address: a file that ab did not write is absent, never that of another.
    files = {f"times-{name}.tsv": TIMES, f"percentiles-{name}.csv": PERCENTILES}
    for option, file in zip(("-g", "-e"), files, strict=True):
        argv += [option, str(work_dir(kit) / file)]
    raw = await run_tool_command(
        kit,
        f"ab-{name}",
        [str(kit.installation.program), *argv, url.url],
        report_files=tuple(files),
        limits=replace(kit.limits, wall_s=min(kit.limits.wall_s, _get_wall_s(plan, load))),
    )
    return replace(
        raw,
        streams={files.get(stream, stream): data for stream, data in raw.streams.items()},
        total_bytes={files.get(stream, stream): total for stream, total in raw.total_bytes.items()},
        command=_hide_header_values(raw.command),
    )


def _hide_header_values(command: Sequence[str]) -> tuple[str, ...]:
    """Return a command line that may be kept: header values can be tokens."""
    hidden = [f"{word.partition(':')[0]}: …" for word in command]
    return tuple(
        hidden[position] if position and command[position - 1] == "-H" else word
        for position, word in enumerate(command)
    )
