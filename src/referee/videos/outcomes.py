"""What the keypoints of a pass say: computed in a child process, with pictures and the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import update

from referee.core.errors import InvalidInput
from referee.videos import result_queries
from referee.videos.computing import DRAW, MEASURE
from referee.videos.dumping import dump, load
from referee.videos.folders import work_folder
from referee.videos.queries import get_revision, get_video
from referee.videos.releases import list_releases
from referee.videos.reporting import hold_original, read_probe
from referee.videos.requests import tell
from referee.videos.room import VideosRoom
from referee.videos.shapes import (
    Measured,
    Measurement,
    PassKind,
    Report,
    VideoFinding,
    VideoRefused,
)
from referee.videos.states import ChunkState
from referee.videos.tables import VideoRevisionRow
from referee.videos.views import Revision
from referee.videos.wording import reword

__all__ = ["Outcome", "compute_pass"]

MAX_PICTURES_COUNT: Final = 8
_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was computed from the keypoints of a pass."""

    measurement: Measurement
    findings: tuple[VideoFinding, ...]
    report: Report
    files: dict[str, bytes]
    """Of ``PASS_FILES``, by name."""
    pictures: tuple[tuple[float, str, bytes], ...]
    """Seconds, caption, JPEG."""
    facts: dict[str, Any]


async def compute_pass(room: VideosRoom, project_id: UUID, revision_id: UUID, kind: PassKind) -> Outcome:
    """Measure, find, report and draw what the keypoints of a pass say.

    Raises:
        InvalidInput: Nothing of the deep pass could be analysed.
        Unavailable: The computation did not come to its end.
    """
    async with room.database.reading() as session:
        revision = await get_revision(session, project_id, revision_id)
        video = await get_video(session, project_id, revision.video_id)
        stored = (await result_queries.list_passes(session, revision_id)).get(kind)
        stretches = await result_queries.list_stretches(session, revision_id)
        earlier = await list_releases(session, video, revision.capture) if kind is PassKind.deep else ()
    await _set_stage(room, revision, "AGGREGATING")
    if stored is not None and "keypoints" in stored.artifacts:
        digests, facts = [stored.artifacts["keypoints"]], dict(stored.facts)
    else:
        digests, facts = _gather(stretches)
    clip = await read_probe(room, revision)
    async with work_folder(room.settings, revision_id, f"{kind}-results") as work:
        tracks = [await room.artifacts.read_bytes(sha256) for sha256 in digests]
        names = [f"track{index}.npz" for index in range(len(tracks))]
        for name, track in zip(names, tracks, strict=True):
            (work / name).write_bytes(track)
        inputs = {
            "kind": kind.value,
            "tracks": names,
            "probe": dump(clip),
            "capture": dump(revision.capture),
            "edited_events": [dump(one) for one in revision.edited_events],
            "targets": [dump(one) for one in revision.targets],
            "earlier_releases": [dump(one) for one in earlier],
            # One seed a clip: the same keypoints give the same intervals.
            "seed": int((revision.original_sha256 or "0")[:8], 16),
        }
        await room.compute(MEASURE, work, inputs)
        outcome = json.loads((work / "outcome.json").read_text("utf-8"))
        measurement = load(Measurement, outcome["measurement"])
        findings = tuple(load(VideoFinding, one) for one in outcome["findings"])
        report, wording = await reword(room.settings, load(Report, outcome["report"]), findings)
        outcome["report"] = dump(report)
        (work / "outcome.json").write_text(json.dumps(outcome, allow_nan=False), "utf-8")
        pictures = await _cut_pictures(room, revision, measurement, findings, tracks, work)
        for index, (_, _, jpeg) in enumerate(pictures):
            (work / f"picture{index}.jpg").write_bytes(jpeg)
        await room.compute(
            DRAW,
            work,
            {
                "capture": dump(revision.capture),
                "title": video.title,
                "pictures": [f"picture{index}.jpg" for index in range(len(pictures))],
            },
        )
        files = {
            name: (work / name).read_bytes() for name in ("keypoints.npz", "overlay.json.gz", "report.pdf")
        }
    results = {
        "schema": "referee.video.results",
        "schema_version": 1,
        "kind": kind.value,
        "probe": inputs["probe"],
        "capture": inputs["capture"],
        "edited_events": inputs["edited_events"],
        "targets": inputs["targets"],
        "earlier_releases": inputs["earlier_releases"],
        **outcome,
        "wording": None if wording is None else asdict(wording),
        "missing_segments": facts.get("missing_segments", []),
        "provenance": facts.get("provenance", {}),
    }
    return Outcome(
        measurement=measurement,
        findings=findings,
        report=report,
        files={
            "keypoints": files["keypoints.npz"],
            "overlay": files["overlay.json.gz"],
            "results": _to_json(results),
            "report": _to_json(outcome["report"]),
            "pdf": files["report.pdf"],
        },
        pictures=tuple(sorted(pictures)),
        facts={**facts, "warnings": list(measurement.warnings), "coverage_share": measurement.coverage_share},
    )


async def _cut_pictures(
    room: VideosRoom,
    revision: Revision,
    measurement: Measurement,
    findings: Sequence[VideoFinding],
    tracks: Sequence[bytes],
    work: Path,
) -> tuple[tuple[float, str, bytes], ...]:
    """Return pictures of the worst frames of findings in their order, then of events and metrics; none if none can."""
    wanted: dict[float, str] = {}
    for finding in findings:
        for frame in finding.worst_frames[:1]:
            wanted.setdefault(frame.t_s, finding.title)
    for event in measurement.events:
        wanted.setdefault(event.t_s, event.name.value.replace("_", " "))
    for metric in measurement.metrics:
        if isinstance(metric, Measured):
            for frame in metric.evidence[:1]:
                wanted.setdefault(frame.t_s, metric.code.value.replace("_", " "))
    times_s = list(wanted)[:MAX_PICTURES_COUNT]
    if not times_s:
        return ()
    try:
        async with hold_original(room, revision) as original:
            cut = await room.vision.cut_pictures(original, sorted(times_s), tracks, work=work)
    except VideoRefused as refused:
        _logger.warning("video.pictures_refused", revision_id=str(revision.revision_id), code=refused.code)
        return ()
    pictures = dict(zip(sorted(times_s), cut, strict=False))
    return tuple((t_s, wanted[t_s], pictures[t_s]) for t_s in times_s if pictures.get(t_s))


def _gather(stretches: Sequence[Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the keypoints of the chunks that are done, in order of time, and the facts of all."""
    done = [one for one in stretches if one.state is ChunkState.done and one.keypoints_sha256 is not None]
    missing = [
        {"start_s": one.start_s, "end_s": one.end_s, "reason": one.reason or "It was not analysed."}
        for one in stretches
        if one.state is not ChunkState.done
    ]
    if not done:
        raise InvalidInput(
            "video.deep_pass_empty",
            "No stretch of the clip could be analysed frame by frame.",
            "The quick pass is kept; look at the reasons of the chunks, then retry.",
        )
    facts = [one.facts or {} for one in done]
    return [one.keypoints_sha256 for one in done], {
        "decoded_count": sum(one.get("decoded_count", 0) for one in facts),
        "corrupt_count": sum(one.get("corrupt_count", 0) for one in facts),
        "detected_count": sum(one.get("detected_count", 0) for one in facts),
        "people_count": max(one.get("people_count", 0) for one in facts),
        "provenance": facts[0].get("provenance", {}),
        "chunks_count": len(stretches),
        "missing_segments": missing,
    }


async def _set_stage(room: VideosRoom, revision: Revision, stage: str) -> None:
    async with room.database.transaction() as session:
        await session.execute(
            update(VideoRevisionRow)
            .where(VideoRevisionRow.revision_id == revision.revision_id, VideoRevisionRow.state != "done")
            .values(stage=stage)
        )
        await tell(session, revision.project_id, revision.video_id)


def _to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False, indent=1).encode()
