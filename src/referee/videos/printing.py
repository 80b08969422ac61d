"""Videos on the terminal."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from referee.core.ids import format_id
from referee.core.pages import Page
from referee.foundation.web.formats import format_instant, format_number, format_share, show_text
from referee.videos.ball_models import BallModel
from referee.videos.models import MetricModel, VideoFindingModel, VideoModel, VideoReportModel
from referee.videos.views import Metric, Video, VideoResults

__all__ = ["dump_video", "print_video", "print_videos"]


def print_videos(console: Console, page: Page[Video]) -> None:
    """Print a list of videos."""
    table = Table(box=None, pad_edge=False)
    for name in ("video", "title", "player", "discipline", "state", "level", "added"):
        table.add_column(name, overflow="fold")
    for video in page.items:
        table.add_row(
            format_id("video", video.video_id),
            _text(video.title),
            _text(video.player),
            video.discipline.value,
            video.state.value,
            video.overall_level or "",
            format_instant(video.created_at),
        )
    console.print(table)


def print_video(console: Console, video: Video, results: VideoResults | None) -> None:
    """Print a video: state, metrics with intervals, findings and report."""
    console.print(f"[bold]{_text(video.title)}[/bold]  {format_id('video', video.video_id)}")
    console.print(f"state: {video.state.value}, revision {video.revision.number}")
    if video.revision.reason:
        console.print(f"reason: {_text(video.revision.reason)}")
    for problem in video.probe.problems if video.probe is not None else ():
        console.print(f"clip: {_text(problem)}")
    if results is None:
        return
    facts = results.done.facts
    console.print(
        f"{results.done.kind} pass: a person on {facts.get('detected_count', 0)} of "
        f"{facts.get('decoded_count', 0)} frames"
    )
    for segment in facts.get("missing_segments", []):
        console.print(
            f"missing: {segment['start_s']:.1f} to {segment['end_s']:.1f} s, {_text(segment['reason'])}"
        )
    table = Table(box=None, pad_edge=False)
    for name in ("metric", "level", "value", "95 % interval", "seen on"):
        table.add_column(name, overflow="fold")
    for metric in results.metrics:
        table.add_row(*_describe(metric))
    console.print(table)
    for finding in results.findings:
        at = ", ".join(f"{frame.t_s:.2f} s" for frame in finding.worst_frames)
        where = f" at {at}" if at else ""
        console.print(
            f"\n[bold]{finding.severity.value}[/bold] {_text(finding.title)} ({finding.code}){where}"
        )
        console.print(_text(finding.message))
    if results.done.report is not None:
        for part in results.done.report.sections:
            if part.title == "Ball":
                console.print(f"\nball: {_text(' '.join(part.paragraphs))}")
        console.print(f"\n{_text(results.done.report.text)}")


def dump_video(video: Video, results: VideoResults | None) -> str:
    """Return a video with what was found as JSON."""
    found = None
    if results is not None:
        report = results.done.report
        found = {
            "kind": results.done.kind.value,
            "overall_level": results.done.overall_level,
            "metrics": [MetricModel.of(one).model_dump(mode="json") for one in results.metrics],
            "findings": [VideoFindingModel.of(one).model_dump(mode="json") for one in results.findings],
            "report": None if report is None else VideoReportModel.of(report).model_dump(mode="json"),
            "ball": None
            if results.done.ball is None
            else BallModel.of(results.done.ball).model_dump(mode="json"),
            "facts": dict(results.done.facts),
        }
    return json.dumps(
        {"video": VideoModel.of(video).model_dump(mode="json"), "results": found},
        indent=1,
        ensure_ascii=False,
    )


def _describe(metric: Metric) -> tuple[str, ...]:
    name = metric.code.replace("_", " ")
    if metric.value is None:
        return name, "not measurable", "", "", _text(metric.reason)
    level = f"{metric.level}{', uncertain' if metric.is_uncertain else ''}"
    value = f"{format_number(metric.value)} {metric.unit}".strip()
    seen = f"{metric.frames_count} frames, {format_share(metric.coverage_share, 0)}"
    return name, level, value, f"{format_number(metric.low)} to {format_number(metric.high)}", seen


def _text(text: str) -> str:
    return escape(show_text(text))
