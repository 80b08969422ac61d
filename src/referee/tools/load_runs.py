"""Running our own load generators, and reading the samples that they print.

A generator is a runner script in its tool's environment. It gets the addresses,
with the headers that may hold tokens, on stdin and prints one record of raw
samples per address, made by ``runners/load_recording.py``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from referee.core.findings import JsonValue
from referee.core.load import LoadProfile
from referee.tools.contract import ParameterValue, RawOutput, RunKit
from referee.tools.exercising import ReadableUrl
from referee.tools.load_report import GeneratorOutput, LoadSamples, summarise_load
from referee.tools.load_settings import MAX_SAMPLES_COUNT, get_float, get_int, parse_run_time
from referee.tools.load_targets import build_address
from referee.tools.reading import OutputUnreadable, as_array, get_integer
from referee.tools.runner_output import read_runner_output
from referee.tools.running import RUNNERS_DIR, run_tool_command

__all__ = ["FIRST_FAILED_STATUS", "read_generator_output", "run_generator"]

FIRST_FAILED_STATUS = 400
"""A redirect is an answer like any other; from here on the app says that it did not do what was asked."""
_MAX_NUMBER = 10**11
"""More than a day in microseconds."""
_START_S = 30.0
"""For the interpreter and its imports on a busy machine."""


async def run_generator(
    kit: RunKit,
    script: str,
    urls: Sequence[ReadableUrl],
    parameters: Mapping[str, ParameterValue],
    own: Mapping[str, JsonValue],
) -> RawOutput:
    """Run a generator over the addresses, one after another.

    Args:
        kit: What the tool got to run.
        script: Name of the runner script.
        urls: What to load; at least one.
        parameters: The tool's parameters, with those that all load tools share.
        own: What only this generator needs to know.
    """
    timeout_s = get_int(parameters, "timeout")
    time_budget_s = get_float(parameters, "time_budget_s")
    job: dict[str, JsonValue] = {
        **own,
        "urls": [{"url": url.url, "headers": dict(url.headers)} for url in urls],
        "timeout_s": timeout_s,
        "warmup_requests": get_int(parameters, "warmup_requests"),
        "run_time_s": parse_run_time(str(parameters["run_time"])),
        "time_budget_s": time_budget_s,
        "samples_limit": MAX_SAMPLES_COUNT,
    }
    # The last address begins within the budget; its warm-up and its load may each wait for an answer.
    wall_s = 2 * time_budget_s + 2 * timeout_s + _START_S
    return await run_tool_command(
        kit,
        "load",
        [str(kit.installation.program), str(RUNNERS_DIR / script)],
        read_only=(RUNNERS_DIR,),
        stdin=json.dumps(job).encode("ascii"),
        limits=replace(kit.limits, wall_s=min(kit.limits.wall_s, wall_s)),
    )


def read_generator_output(
    raw: RawOutput, urls: Sequence[ReadableUrl], *, concurrency_count: int
) -> GeneratorOutput:
    """Return what a generator printed about these addresses.

    Args:
        raw: Output of ``run_generator``.
        urls: The same addresses.
        concurrency_count: Requests or users at the same time.

    Raises:
        OutputUnreadable: There is no output, or not of a generator's form.
    """
    output = read_runner_output(raw)
    profiles: list[LoadProfile] = []
    notices: list[str] = []
    for position, record in enumerate(output.records):
        if get_integer(record, "index") != position or position >= len(urls):
            raise OutputUnreadable(f"Record {position} of the output is about another address.")
        samples = _read_record(record, urls[position], concurrency_count)
        if samples.requests_count:
            profiles.append(summarise_load(samples))
        if record.get("is_full") is True:
            notices.append(
                f"{samples.address} was left after {MAX_SAMPLES_COUNT:,} requests, before its time."
            )
    return GeneratorOutput(tuple(profiles), output.failure, tuple(notices))


def _read_record(record: dict[str, JsonValue], url: ReadableUrl, concurrency_count: int) -> LoadSamples:
    kinds = [str(kind) for kind in as_array(record.get("errors"), "errors")]
    results = _read_integers(record, "results", lowest=-len(kinds))
    if 0 in results:
        raise OutputUnreadable("A result is neither a status nor an error.")
    ended_us = _read_integers(record, "ended_us", lowest=0)
    latency_us = _read_integers(record, "latency_us", lowest=0)
    if not len(results) == len(ended_us) == len(latency_us):
        raise OutputUnreadable("The lists of a record differ in length.")
    duration_s = max(ended_us, default=0) / 1_000_000
    cpu_s = (get_integer(record, "cpu_us") or 0) / 1_000_000
    has_failed = [not 0 < result < FIRST_FAILED_STATUS for result in results]
    return LoadSamples(
        address=build_address(url),
        requests_count=len(results),
        failures_count=sum(has_failed),
        duration_s=duration_s,
        concurrency_count=concurrency_count,
        latencies_ms=[
            latency / 1000 for latency, result in zip(latency_us, results, strict=True) if result > 0
        ],
        ends=[(ended / 1_000_000, failed) for ended, failed in zip(ended_us, has_failed, strict=True)],
        statuses=Counter(str(result) for result in results if result > 0),
        errors=Counter(kinds[-1 - result] for result in results if result < 0),
        generator_cpu_share=round(cpu_s / duration_s, 3) if duration_s > 0 else None,
        generator_lags_ms=[lag / 1000 for lag in _read_integers(record, "lags_us", lowest=0)],
        is_generator_warned=record.get("is_warned") is True,
    )


def _read_integers(record: dict[str, JsonValue], key: str, *, lowest: int) -> list[int]:
    values = as_array(record.get(key), key)
    numbers = [value for value in values if isinstance(value, int) and lowest <= value <= _MAX_NUMBER]
    if len(numbers) != len(values):
        raise OutputUnreadable(f"The list {key!r} holds something else than numbers from {lowest}.")
    return numbers
