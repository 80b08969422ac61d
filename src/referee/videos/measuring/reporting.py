"""The report a coach reads: sentences by rules from numbers, so that nothing is in it that was not measured."""

from __future__ import annotations

from typing import Final, Literal

from referee.videos.measuring.advice import RELEASE
from referee.videos.measuring.faults import describe_ball, describe_value
from referee.videos.shapes import (
    Capture,
    Level,
    Measured,
    Measurement,
    NotMeasurable,
    Probe,
    Report,
    ReportSection,
    VideoFinding,
)

__all__ = ["write_report"]

MAX_ISSUES: Final = 3
MAX_DRILLS: Final = 8
MIN_RELIABLE_SHARE: Final = 0.6
_WEIGHT: Final = {Level.low: 1, Level.medium: 2, Level.high: 3}
OverallLevel = Literal["low", "medium", "high", "not_measurable"]


def write_report(
    measurement: Measurement, findings: tuple[VideoFinding, ...], probe: Probe, capture: Capture
) -> Report:
    """Return the report of a pass.

    ``overall_level`` is the level of the technique, high being good: high without a fault, else by the mean severity of
    the faults (below 1.5 high, below 2.5 medium, else low); ``not_measurable`` when no metric could be measured.
    """
    measured = [one for one in measurement.metrics if isinstance(one, Measured)]
    # What could not be seen says nothing of the technique.
    faults = [one for one in findings if one.metric is not None or one.code == RELEASE.code]
    overall = _find_overall(measured, faults)
    return Report(
        text=_summarise(measurement, measured, faults, overall, capture),
        overall_level=overall,
        sections=tuple(_write_sections(measurement, findings, probe)),
        top_issues=tuple(f"{one.title}: {one.message}" for one in findings[:MAX_ISSUES]),
        drills=tuple(dict.fromkeys(drill for one in findings for drill in one.drills))[:MAX_DRILLS],
        one_week_plan=_plan_week(findings),
        reliability_warning=_warn(measurement),
    )


def _find_overall(measured: list[Measured], faults: list[VideoFinding]) -> OverallLevel:
    if not measured:
        return "not_measurable"
    if not faults:
        return "high"
    mean = sum(_WEIGHT[one.severity] for one in faults) / len(faults)
    return "high" if mean < 1.5 else "medium" if mean < 2.5 else "low"


def _summarise(
    measurement: Measurement,
    measured: list[Measured],
    faults: list[VideoFinding],
    overall: OverallLevel,
    capture: Capture,
) -> str:
    total = len(measurement.metrics)
    kind = measurement.kind.value.capitalize()
    start = f"{kind} pass, {capture.discipline.value}, {capture.handedness.value}-handed."
    if overall == "not_measurable":
        reasons = dict.fromkeys(one.reason for one in measurement.metrics if isinstance(one, NotMeasurable))
        return f"{start} Nothing could be measured. {next(iter(reasons), '')}".strip()
    counted = f"{len(measured)} of {total} metrics were measured."
    if not faults:
        return f"{start} {counted} All of them are within their targets."
    names = "; ".join(one.title[0].lower() + one.title[1:] for one in faults[:MAX_ISSUES])
    return f"{start} {counted} Level of technique: {overall}. To work on first: {names}."


def _write_sections(
    measurement: Measurement, findings: tuple[VideoFinding, ...], probe: Probe
) -> list[ReportSection]:
    sections = [ReportSection(one.title, (one.message, one.why_it_matters, *one.cues)) for one in findings]
    within = [
        f"{describe_value(one)}."
        for one in measurement.metrics
        if isinstance(one, Measured) and one.level is Level.low
    ]
    if within:
        sections.append(ReportSection("Within the target", tuple(within)))
    missing = [
        f"{one.code.value.replace('_', ' ').capitalize()}: {one.reason}"
        for one in measurement.metrics
        if isinstance(one, NotMeasurable)
    ]
    if missing:
        sections.append(ReportSection("Not measurable", tuple(missing)))
    if measurement.ball is not None:
        sections.append(ReportSection("Ball", describe_ball(measurement.ball)))
    events = [
        f"{one.name.value.replace('_', ' ').capitalize()} at {one.t_s:.2f} s, ± {one.uncertainty_s:.2f} s"
        + (", set by the coach." if one.is_edited else ".")
        for one in measurement.events
    ]
    if events:
        sections.append(ReportSection("Instants", tuple(events)))
    how = [
        f"{probe.frames_count} pictures in {probe.duration_s:.1f} s at {probe.median_fps:.0f} a second; "
        f"the athlete was seen on {measurement.detection_share:.0%} of those looked at.",
        *measurement.warnings,
    ]
    sections.append(ReportSection("How it was measured", tuple(how)))
    return sections


def _plan_week(findings: tuple[VideoFinding, ...]) -> tuple[str, ...]:
    """Return seven lines, one a day: the first faults in turn, a rest, and a clip at the end."""
    drills = [(one.title, drill) for one in findings[:MAX_ISSUES] for drill in one.drills]
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    if not drills:
        work = ["Keep to the usual training and film one clip from the side."] * 5
    else:
        ordered = sorted(range(len(drills)), key=lambda index: (index % 3, index // 3))
        work = [drills[ordered[day % len(drills)]][1] for day in range(5)]
    work += ["Play, with one cue in mind: " + findings[0].cues[0]] if findings else ["Play."]
    work.append("Rest; then film the same action from the same place and compare.")
    return tuple(f"{day}: {what}" for day, what in zip(days, work, strict=True))


def _warn(measurement: Measurement) -> str | None:
    if measurement.detection_share >= MIN_RELIABLE_SHARE:
        return None
    return (
        f"The athlete was seen on {measurement.detection_share:.0%} of the pictures only: take every number here "
        "as a hint and film again."
    )
