"""What load tools say: samples become profiles, profiles become measurements, findings and coverage.

Every load tool counts the same way. A request has *failed* when no answer came
or the answer's status is one that the tool counts as a failure; latencies are
those of all answers, failed or not; requests per second are answers per second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final, Literal

from referee.core.addresses import Address
from referee.core.findings import (
    MAX_HOLES,
    Coverage,
    CoverageHole,
    JsonValue,
    Measurement,
    Rule,
    ToolFinding,
    ToolReport,
)
from referee.core.load import LoadProfile
from referee.core.vocabulary import Severity
from referee.tools.app_targets import compute_address_key
from referee.tools.contract import ParameterValue
from referee.tools.load_settings import Thresholds
from referee.tools.load_targets import LoadTargets, build_address

__all__ = ["GeneratorOutput", "LoadSamples", "build_load_report", "compute_percentile", "summarise_load"]

_SHORTEST_JUDGED_S: Final = 0.2
"""A shorter load says nothing about its generator: starting it alone may keep a core busy that long."""
_SATURATED_CPU_SHARE: Final = 0.9
"""Share of one core from which a generator with a single thread is the limit itself."""
_SATURATED_LAG_SHARE: Final = 0.5
_SATURATED_LAG_MS: Final = 5.0
_SATURATED_PERCENTILE: Final = 0.95
"""A generator whose loop is late by at least this much, and by half of the latency at the same percentile,
measures itself. Less than 5 ms is the noise of timers, and what only one of 20 looks shows is a hiccup of
a shared machine."""

_BINS_PER_DECADE: Final = 16
_BIN_EDGES_MS: Final = tuple(
    0.1 * 10 ** (step / _BINS_PER_DECADE) for step in range(6 * _BINS_PER_DECADE + 1)
)
"""97 edges from 0.1 ms to 100 s, the same for every profile so that profiles can be laid over each other.
What is slower counts in the last bin."""
_MAX_SECONDS: Final = 600
_PERCENTILES: Final = {"p50": 0.50, "p75": 0.75, "p90": 0.90, "p95": 0.95, "p99": 0.99}

_NOBODY_THERE: Final = frozenset({"connection_refused", "connection_failed"})
"""Kinds of failure that say that nothing listens any more. Who lets a client wait or hangs up is there."""

_RULES: Final = {
    rule.rule_id: rule
    for rule in (
        Rule("latency-p50", "latency-p50", "The median answer takes too long under load.", Severity.medium),
        Rule("latency-p95", "latency-p95", "One of 20 answers takes too long under load.", Severity.medium),
        Rule("latency-p99", "latency-p99", "One of 100 answers takes too long under load.", Severity.low),
        Rule("error-rate", "error-rate", "Too many requests fail under load.", Severity.medium),
        Rule("throughput", "throughput", "Too few requests are answered per second.", Severity.low),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSamples:
    """What a tool measured at one address, warm-up left out."""

    address: Address
    requests_count: int
    failures_count: int
    duration_s: float
    concurrency_count: int
    latencies_ms: Sequence[float]
    """Of each answer, in any order."""
    answers_count: int | None = None
    """Answers where there are more than latencies; None: each has its latency."""
    ends: Sequence[tuple[float, bool]] = ()
    """(seconds since the start, whether it failed) of each request, in any order; empty when not known."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    generator_cpu_share: float | None = None
    generator_lags_ms: Sequence[float] = ()
    """How late the generator's own loop was, measured again and again."""
    is_generator_warned: bool = False
    """Whether the tool itself says that it was too busy."""


@dataclass(frozen=True, slots=True)
class GeneratorOutput:
    """What a load generator measured."""

    profiles: tuple[LoadProfile, ...] = ()
    """One for each address at which a request was measured, in the order of the load."""
    failure: str | None = None
    """One sentence when the output ends before its end."""
    notices: tuple[str, ...] = ()
    """What the generator itself has to say."""


def compute_percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of sorted values: the smallest that ``share`` of all do not exceed.

    Always one of the values, never one in between. With 10 values the 95th and the
    99th are both the largest. This is the method of every load tool here.

    Args:
        values: At least one, sorted.
        share: Above 0, at most 1.
    """
    # The small step back keeps 0.95 * 20 = 19.000000000000004 from becoming rank 20.
    return values[max(0, ceil(share * len(values) - 1e-9) - 1)]


def summarise_load(samples: LoadSamples) -> LoadProfile:
    """Return the profile of one address."""
    latencies = sorted(samples.latencies_ms)
    duration_s = samples.duration_s
    answers = len(latencies) if samples.answers_count is None else samples.answers_count
    return LoadProfile(
        address=samples.address,
        requests_count=samples.requests_count,
        failures_count=samples.failures_count,
        duration_s=duration_s,
        requests_per_s=answers / duration_s if duration_s > 0 else 0.0,
        concurrency_count=samples.concurrency_count,
        latency_ms=_summarise_latencies(latencies),
        histogram=_build_histogram(latencies),
        per_second=_count_per_second(samples.ends),
        statuses=dict(sorted(samples.statuses.items())),
        errors=dict(sorted(samples.errors.items())),
        generator_cpu_share=samples.generator_cpu_share if duration_s >= _SHORTEST_JUDGED_S else None,
        is_saturated=_is_saturated(samples, latencies),
    )


def build_load_report(
    targets: LoadTargets,
    output: GeneratorOutput,
    parameters: Mapping[str, ParameterValue],
) -> ToolReport:
    """Return the report of a load tool.

    Args:
        targets: What was to be loaded.
        output: What was measured; addresses without a profile become coverage holes.
        parameters: The tool's parameters, with the thresholds.
    """
    thresholds = Thresholds.of(parameters)
    profiles, failure = output.profiles, output.failure
    findings = sorted(
        (finding for profile in profiles for finding in _find_slow(profile, thresholds)),
        key=compute_address_key,
    )
    used = {finding.rule_id for finding in findings}
    unreachable = _describe_unreachable(targets, profiles)
    return ToolReport(
        findings=() if unreachable else tuple(findings),
        rules=() if unreachable else tuple(rule for rule_id, rule in _RULES.items() if rule_id in used),
        coverage=_build_coverage(targets, profiles, failure),
        measurements=tuple(number for profile in profiles for number in _measure(profile)),
        failure=failure,
        is_partial=failure is not None,
        notices=(*targets.notices, *output.notices, *_describe_saturated(profiles)),
        loads=profiles,
        unreachable=unreachable,
    )


def _summarise_latencies(latencies: Sequence[float]) -> dict[str, float]:
    if not latencies:
        return {}
    return {
        "min": latencies[0],
        "mean": sum(latencies) / len(latencies),
        **{name: compute_percentile(latencies, share) for name, share in _PERCENTILES.items()},
        "max": latencies[-1],
    }


def _build_histogram(latencies: Sequence[float]) -> tuple[tuple[float, int], ...]:
    """Return the bins from the first to the last that holds anything, empty ones between them included."""
    counts = [0] * len(_BIN_EDGES_MS)
    step = 0
    for latency in latencies:
        while step < len(counts) - 1 and latency > _BIN_EDGES_MS[step]:
            step += 1
        counts[step] += 1
    filled = [index for index, count in enumerate(counts) if count]
    if not filled:
        return ()
    return tuple(
        (round(_BIN_EDGES_MS[index], 4), counts[index]) for index in range(filled[0], filled[-1] + 1)
    )


def _count_per_second(ends: Sequence[tuple[float, bool]]) -> tuple[tuple[float, int, int], ...]:
    if not ends:
        return ()
    seconds = [min(_MAX_SECONDS - 1, max(0, int(end))) for end, _ in ends]
    counts = [[0, 0] for _ in range(max(seconds) + 1)]
    for second, (_, is_failure) in zip(seconds, ends, strict=True):
        counts[second][0] += 1
        counts[second][1] += is_failure
    return tuple((float(second), ended, failed) for second, (ended, failed) in enumerate(counts))


def _is_saturated(samples: LoadSamples, latencies: Sequence[float]) -> bool:
    if samples.is_generator_warned:
        return True
    if samples.duration_s < _SHORTEST_JUDGED_S:
        return False
    if (samples.generator_cpu_share or 0.0) >= _SATURATED_CPU_SHARE:
        return True
    if not samples.generator_lags_ms or not latencies:
        return False
    lag_ms = compute_percentile(sorted(samples.generator_lags_ms), _SATURATED_PERCENTILE)
    latency_ms = compute_percentile(latencies, _SATURATED_PERCENTILE)
    return lag_ms >= _SATURATED_LAG_MS and lag_ms >= _SATURATED_LAG_SHARE * latency_ms


def _find_slow(profile: LoadProfile, limits: Thresholds) -> list[ToolFinding]:
    """Return what is beyond the thresholds.

    Of what a saturated generator saw only failures count that it cannot have made itself:
    it may be slow to send and to notice an answer, but it invents no status.
    """
    found: list[ToolFinding] = []
    where, requests = profile.address, profile.requests_count
    failures = profile.failures_count
    if profile.is_saturated:
        failures -= profile.errors.get("timeout", 0)
    share = failures / requests if requests else 0.0
    if share > limits.failures_share:
        sentence = (
            f"{failures:,} of {requests:,} requests to {where} failed ({_describe_failures(profile)}); "
            f"at most {limits.failures_share:.1%} may."
        )
        found.append(_build_finding("error-rate", profile, sentence, share, limits.failures_share))
    if profile.is_saturated:
        return found
    for name, words, limit_ms in (
        ("p50", "Half of the answers", limits.p50_ms),
        ("p95", "One of 20 answers", limits.p95_ms),
        ("p99", "One of 100 answers", limits.p99_ms),
    ):
        latency_ms = profile.latency_ms.get(name, 0.0)
        if latency_ms > limit_ms:
            sentence = (
                f"{words} of {where} took {latency_ms:,.0f} ms or longer, over {requests:,} requests by "
                f"{profile.concurrency_count} at a time; the limit is {limit_ms:,.0f} ms."
            )
            found.append(_build_finding(f"latency-{name}", profile, sentence, latency_ms, limit_ms))
    if requests and profile.requests_per_s < limits.requests_per_s:
        sentence = (
            f"{where} gave {profile.requests_per_s:,.1f} answers per second to {profile.concurrency_count} "
            f"at a time; it should give at least {limits.requests_per_s:,.1f}."
        )
        found.append(
            _build_finding("throughput", profile, sentence, profile.requests_per_s, limits.requests_per_s)
        )
    return found


def _build_finding(
    rule_id: str, profile: LoadProfile, message: str, measured: float, limit: float
) -> ToolFinding:
    properties: dict[str, JsonValue] = {
        "measured": round(measured, 4),
        "limit": limit,
        "requests_count": profile.requests_count,
        "concurrency_count": profile.concurrency_count,
    }
    return ToolFinding(
        rule_id=rule_id,
        message=message,
        severity=_RULES[rule_id].default_severity,
        location=None,
        address=profile.address,
        properties=properties,
    )


def _describe_failures(profile: LoadProfile) -> str:
    """Return what failed, most frequent first: ``12 × 500, 3 × timeout``."""
    kinds = {status: count for status, count in profile.statuses.items() if not status.startswith(("2", "3"))}
    kinds |= {error.replace("_", " "): count for error, count in profile.errors.items()}
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} × {kind.replace('_', ' ')}" for kind, count in ordered[:5])


def _measure(profile: LoadProfile) -> list[Measurement]:
    """Return the numbers to compare; those that a saturated generator made say nothing and are left out."""

    def build(name: str, value: float, unit: str, better: Literal["higher", "lower"]) -> Measurement:
        return Measurement(name, round(value, 6), unit, better, address=profile.address)

    if not profile.requests_count:
        return []
    numbers = [
        build("error_rate_share", profile.failures_count / profile.requests_count, "share", "lower"),
    ]
    if profile.is_saturated:
        return numbers
    numbers += [
        build(f"latency_{name}_ms", profile.latency_ms[name], "ms", "lower")
        for name in ("p50", "p95", "p99", "mean")
        if name in profile.latency_ms
    ]
    return [*numbers, build("requests_per_s", profile.requests_per_s, "1/s", "higher")]


def _describe_unreachable(targets: LoadTargets, profiles: Sequence[LoadProfile]) -> str | None:
    if not targets.has_answered:
        return "The app gave no answer at any of its addresses."
    asked = [profile for profile in profiles if profile.requests_count]
    if asked and all(not p.statuses and p.errors and _NOBODY_THERE.issuperset(p.errors) for p in asked):
        kinds = sorted({kind.replace("_", " ") for profile in asked for kind in profile.errors})
        return f"The app stopped answering before the load began ({', '.join(kinds)})."
    return None


def _describe_saturated(profiles: Sequence[LoadProfile]) -> list[str]:
    names = [str(profile.address) for profile in profiles if profile.is_saturated]
    if not names:
        return []
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return [
        f"The load generator itself was the limit at {shown}: "
        "latency and requests per second there are not judged."
    ]


def _build_coverage(targets: LoadTargets, profiles: Sequence[LoadProfile], failure: str | None) -> Coverage:
    done = {profile.address for profile in profiles if profile.requests_count}
    reason = (
        "The output ends before it." if failure else "The time was used up before a request was measured."
    )
    missing = [
        CoverageHole(str(build_address(url)), "unreadable" if failure else "skipped", reason)
        for url in targets.urls
        if build_address(url) not in done
    ]
    holes = [*targets.holes, *missing]
    skipped = sum(hole.kind == "skipped" for hole in holes)
    return Coverage(
        unit="url",
        examined_count=len(done),
        skipped_count=skipped,
        unreadable_count=len(holes) - skipped,
        holes=tuple(holes[:MAX_HOLES]),
    )
