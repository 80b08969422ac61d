"""The other side of ``computing``: a process that measures, draws and exports what keypoints say."""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from referee.videos import measuring
from referee.videos.computing import DRAW, EXPORT, MEASURE
from referee.videos.dumping import dump, load
from referee.videos.shapes import (
    Capture,
    Measurement,
    MotionEvent,
    PassKind,
    Probe,
    ReleasePoint,
    Report,
    Target,
    VideoFinding,
)

__all__ = ["join_tracks", "main"]

_CPU_S: Final = 900
_MEMORY_BYTES: Final = 4 << 30


def main() -> None:
    """Carry out the request in the file that is named on the command line."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    path = Path(sys.argv[1])
    request = json.loads(path.read_text("utf-8"))
    {MEASURE: _measure, DRAW: _draw, EXPORT: _export}[request["do"]](path.parent, request)


def _end_with_parent() -> None:
    # Not through sys.stdin: its lock, held by a thread that waits, would spoil a good end.
    while os.read(0, 4096):
        pass
    os._exit(1)


def _measure(folder: Path, request: dict[str, Any]) -> None:
    """Measure, find and report; write ``keypoints.npz``, ``overlay.json.gz`` and ``outcome.json``."""
    tracks = _read_tracks(folder, request)
    kind, probe, capture = (
        PassKind(request["kind"]),
        load(Probe, request["probe"]),
        load(Capture, request["capture"]),
    )
    measurement = measuring.measure(
        kind,
        tracks,
        probe,
        capture,
        [load(MotionEvent, one) for one in request["edited_events"]],
        [load(Target, one) for one in request["targets"]],
        earlier_releases=[load(ReleasePoint, one) for one in request["earlier_releases"]],
        seed=request["seed"],
    )
    findings = measuring.find_faults(measurement, probe, capture)
    report = measuring.write_report(measurement, findings, probe, capture)
    (folder / "keypoints.npz").write_bytes(join_tracks(tracks))
    (folder / "overlay.json.gz").write_bytes(measuring.encode_for_browser(tracks))
    outcome = {
        "measurement": dump(measurement),
        "findings": [dump(finding) for finding in findings],
        "report": dump(report),
    }
    (folder / "outcome.json").write_text(json.dumps(outcome, allow_nan=False), "utf-8")


def _draw(folder: Path, request: dict[str, Any]) -> None:
    """Set the report with its pictures as ``report.pdf``."""
    measurement, findings, report = _read_outcome(folder)
    pictures = [(folder / name).read_bytes() for name in request["pictures"]]
    drawn = measuring.draw_report_pdf(
        report, measurement, findings, pictures, load(Capture, request["capture"]), request["title"]
    )
    (folder / "report.pdf").write_bytes(drawn)


def _export(folder: Path, request: dict[str, Any]) -> None:
    """Write keypoints and series as ``export.<form>``."""
    tracks = _read_tracks(folder, request)
    form = request["form"]
    data = {
        "csv": measuring.export_csv,
        "trc": measuring.export_trc,
        "json": measuring.export_json,
    }[form](tracks)
    (folder / f"export.{form}").write_bytes(data)


def _read_tracks(folder: Path, request: dict[str, Any]) -> list[bytes]:
    return [(folder / name).read_bytes() for name in request["tracks"]]


def _read_outcome(folder: Path) -> tuple[Measurement, tuple[VideoFinding, ...], Report]:
    outcome = json.loads((folder / "outcome.json").read_text("utf-8"))
    return (
        load(Measurement, outcome["measurement"]),
        tuple(load(VideoFinding, one) for one in outcome["findings"]),
        load(Report, outcome["report"]),
    )


def join_tracks(tracks: Sequence[bytes]) -> bytes:
    """Return the keypoints of all tracks in one file; the same tracks give the same bytes."""
    if len(tracks) == 1:
        return tracks[0]
    loaded = [np.load(io.BytesIO(track), allow_pickle=False) for track in tracks]
    # A chunk of an earlier version has no spots of a ball.
    names = [name for name in loaded[0].files if all(name in one.files for one in loaded)]
    joined: dict[str, Any] = {name: np.concatenate([one[name] for one in loaded]) for name in names}
    written = io.BytesIO()
    np.savez_compressed(written, **joined)
    return written.getvalue()


if __name__ == "__main__":
    main()
