"""Reading what ab writes: a summary in words, raw times, percentiles, and what it says of trouble.

What ab does not tell, and what follows:

- it knows of an answer only whether its status is 2xx, so anything else is a failure here;
- its raw times have whole milliseconds, and its percentile file reads beyond the end of few
  samples, so times are taken from both where they agree (``_refine``);
- when no answer comes within its timeout, or one without an end, it leaves without any times;
- a connection that is closed without a byte is an answer to it, unless no byte came at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from referee.core.findings import JsonValue
from referee.core.load import LoadProfile
from referee.tools.contract import RawOutput, ToolPlan
from referee.tools.exercising import ReadableUrl
from referee.tools.load_report import GeneratorOutput, LoadSamples, summarise_load
from referee.tools.load_settings import get_int
from referee.tools.load_targets import build_address
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    decode_text,
    get_integer,
    get_text,
    read_json,
    read_text,
)

__all__ = ["PERCENTILES", "RUNS", "TIMES", "get_concurrency", "read_profiles"]

TIMES: Final = "times.tsv"
"""Name of the stream with the raw times of an address, after its number."""
PERCENTILES: Final = "percentiles.csv"
"""Name of the stream with ab's own percentiles of an address, after its number."""
RUNS: Final = "runs.json"
"""Name of the stream that says how each command ended."""
_ROUNDING_MS: Final = 0.501
"""Whole milliseconds are off by at most half of one, and the exact ones by a rounded digit."""
_NO_ANSWER_IN_TIME: Final = 70007 & 0xFF
"""ab's exit code when a wait runs out: APR_TIMEUP, of which the system keeps eight bits."""
_REASONS: Final = {
    "104": "connection_reset",
    "111": "connection_refused",
    "110": "timeout",
    "32": "connection_reset",
}
"""Kinds of failure by the number of the system's error that ab prints."""


def get_concurrency(plan: ToolPlan) -> int:
    """Return how many at a time; ab refuses more than there are requests."""
    return min(get_int(plan.parameters, "concurrency"), get_int(plan.parameters, "requests"))


def read_profiles(raw: RawOutput, plan: ToolPlan, urls: Sequence[ReadableUrl]) -> GeneratorOutput:
    """Return what ab measured at each of these addresses.

    Raises:
        OutputUnreadable: It is absent, cut, or not what ab writes.
    """
    runs = as_array(read_json(raw, RUNS), RUNS)
    profiles: list[LoadProfile] = []
    notices: list[str] = []
    failure: str | None = None
    for index, (value, url) in enumerate(zip(runs, urls, strict=False)):
        run = as_object(value, "a run")
        end = get_text(run, "end")
        if end != "exited" and raw.end != "exited":
            failure = f"ab was stopped at {build_address(url)}: {end.replace('_', ' ')}."
            break
        if get_integer(run, "exit_code") == 0:
            samples = _read_samples(raw, plan, url, index, run)
        else:
            samples = _read_abort(raw, url, index, run)
            notices.append(f"ab gave up at {build_address(url)} and then keeps no times.")
        if samples.requests_count:
            profiles.append(summarise_load(samples))
    return GeneratorOutput(tuple(profiles), failure, tuple(notices))


def _read_samples(
    raw: RawOutput, plan: ToolPlan, url: ReadableUrl, index: int, run: dict[str, JsonValue]
) -> LoadSamples:
    summary = _read_summary(read_text(raw, f"{index}.stdout"))
    rows = _read_times(raw, index, summary.complete_count)
    lost = summary.complete_count if summary.transferred_bytes == 0 else summary.lost_count
    # A request without an answer has the time 0, so those are the first.
    times_ms = _refine(sorted(time for _, time in rows), _read_percentiles(raw, index) if rows else [])[lost:]
    refused = min(summary.non_2xx_count, len(times_ms))
    failures = lost + refused
    cpu_s = (get_integer(run, "cpu_ms") or 0) / 1000
    begin_s = min((second for second, _ in rows), default=0)
    is_known = failures in (0, summary.complete_count)  # ab does not say which requests failed
    return LoadSamples(
        address=build_address(url),
        requests_count=summary.complete_count,
        failures_count=failures,
        duration_s=summary.duration_s,
        concurrency_count=get_concurrency(plan),
        latencies_ms=times_ms,
        ends=[(second - begin_s + time / 1000, bool(failures)) for second, time in rows] if is_known else [],
        statuses={
            key: count for key, count in (("2xx", len(times_ms) - refused), ("non_2xx", refused)) if count
        },
        errors=_count_errors(raw, index, lost),
        generator_cpu_share=round(min(1.0, cpu_s / summary.duration_s), 3) if summary.duration_s else None,
    )


def _read_abort(raw: RawOutput, url: ReadableUrl, index: int, run: dict[str, JsonValue]) -> LoadSamples:
    """Read what ab leaves when it gives up: how many were answered before, and why it did."""
    text = read_text(raw, f"{index}.stdout")
    found = re.search(r"^Total of (\d{1,9}) requests completed$", text, re.MULTILINE)
    answered = int(found.group(1)) if found else 0
    concurrency = get_integer(run, "concurrency") or 1
    waiting = max(1, min(concurrency, (get_integer(run, "requests") or 1) - answered))
    exit_code = get_integer(run, "exit_code")
    kind = _REASONS.get(str(exit_code), "connection_failed")
    if exit_code is None or exit_code == _NO_ANSWER_IN_TIME:
        kind = "timeout"
    return LoadSamples(
        address=build_address(url),
        requests_count=answered + waiting,
        failures_count=waiting,
        duration_s=(get_integer(run, "duration_ms") or 0) / 1000,
        concurrency_count=concurrency,
        latencies_ms=(),
        answers_count=answered,
        errors={kind: waiting},
    )


@dataclass(frozen=True, slots=True)
class _Summary:
    duration_s: float
    complete_count: int
    lost_count: int
    """Requests that no answer came to, as far as ab knows."""
    non_2xx_count: int
    transferred_bytes: int


def _read_summary(text: str) -> _Summary:
    def find(pattern: str) -> tuple[str, ...] | None:
        found = re.search(rf"^{pattern}\r?\n", text, re.MULTILINE | re.ASCII)
        return found.groups() if found else None

    taken = find(r"Time taken for tests: +(\d{1,9}\.\d{1,6}) seconds")
    rate = find(r"Requests per second: +(\d{1,9}\.\d{1,6}) \[#/sec\] \(mean\)")
    complete = find(r"Complete requests: +(\d{1,9})")
    transferred = find(r"Total transferred: +(\d{1,15}) bytes")
    # The rate comes last of the lines that are needed: when it is whole, all are.
    if taken is None or complete is None or transferred is None or rate is None:
        raise OutputUnreadable("ab's summary is not whole.")
    failed = find(r" +\(Connect: (\d{1,9}), Receive: (\d{1,9}), Length: (\d{1,9}), Exceptions: (\d{1,9})\)")
    connect, receive, length, exceptions = (int(number) for number in failed or "0000")
    non_2xx = find(r"Non-2xx responses: +(\d{1,9})")
    return _Summary(
        duration_s=_choose_duration_s(float(taken[0]), float(rate[0]), int(complete[0])),
        complete_count=int(complete[0]),
        # One request may count as an exception and as a failed receive.
        lost_count=min(int(complete[0]), max(connect + receive + length, exceptions)),
        non_2xx_count=int(non_2xx[0]) if non_2xx else 0,
        transferred_bytes=int(transferred[0]),
    )


def _choose_duration_s(taken_s: float, requests_per_s: float, count: int) -> float:
    """Return the duration from the number that is finer: ab prints whole milliseconds, and a rate of two digits."""
    return count / requests_per_s if taken_s < 0.1 and requests_per_s else taken_s


def _read_times(raw: RawOutput, index: int, count: int) -> list[tuple[int, int]]:
    """Return (second of the clock at the start, milliseconds until the end) of each request."""
    if count == 0:
        return []
    text = read_text(raw, f"{index}.{TIMES}")
    rows = [
        (int(found.group(1)), int(found.group(2)))
        for found in re.finditer(
            r"^[^\t\n]*\t(\d{1,12})\t-?\d+\t-?\d+\t(\d{1,9})\t-?\d+\n", text, re.MULTILINE
        )
    ]
    if len(rows) != count:
        raise OutputUnreadable(f"ab's times are those of {len(rows)} requests, not of {count}.")
    return rows


def _read_percentiles(raw: RawOutput, index: int) -> list[float]:
    """Return ab's own 101 percentiles, in milliseconds with three digits; some may be any number."""
    text = read_text(raw, f"{index}.{PERCENTILES}")
    values = [
        float(found.group(1)) for found in re.finditer(r"^\d{1,3},(-?\d{1,20}\.\d{3})\n", text, re.MULTILINE)
    ]
    if len(values) != 101:
        raise OutputUnreadable(f"ab's percentile file has {len(values)} values, not 101.")
    return values


def _refine(times_ms: Sequence[int], percentiles_ms: Sequence[float]) -> list[float]:
    """Return sorted times, each exact where the percentile file has it.

    Percentile ``i`` is the time of number ``round(n * i / 100)``, counted from 0, as ab computes
    it; for few samples that lies beyond the last, and the file then holds what ab found there.
    """
    exact: list[float] = [float(time) for time in times_ms]
    for percent, value in enumerate(percentiles_ms[:100]):
        position = int(0.5 + len(exact) * percent / 100)
        if position < len(exact) and abs(value - times_ms[position]) <= _ROUNDING_MS:
            exact[position] = value
    return sorted(exact)


def _count_errors(raw: RawOutput, index: int, lost: int) -> dict[str, int]:
    """Return why requests got no answer, from the system's error numbers that ab prints."""
    text = decode_text(raw.streams.get(f"{index}.stderr", b""))
    numbers = re.findall(r"^apr_\w+(?:\(\))?: .*\((\d{1,6})\)$", text, re.MULTILINE)
    kinds = Counter(_REASONS.get(number, "connection_failed") for number in numbers[:lost])
    # A connection that is closed without a byte has no number.
    kinds["no_answer"] += lost - kinds.total()
    return {kind: count for kind, count in kinds.items() if count}
