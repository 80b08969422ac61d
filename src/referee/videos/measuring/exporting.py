"""Keypoints for others: a spreadsheet, JSON, TRC for motion software, and a small form for the page's canvas."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from typing import Final

import numpy as np

from referee.videos.measuring.motion import Rows, load_rows
from referee.videos.shapes import KEYPOINTS_SCHEMA, LANDMARKS

__all__ = ["encode_for_browser", "export_csv", "export_json", "export_trc"]

BROWSER_SCALE: Final = 4
"""Steps of a pixel: a quarter."""


def encode_for_browser(tracks: Sequence[bytes]) -> bytes:
    """Return gzip JSON of all rows for a canvas, the same bytes for the same rows.

    ``t_ms`` are differences from the row before, milliseconds; ``xy`` flat differences from the same coordinate of the
    row before, in quarters of a pixel, 33 pairs a row; ``confidence`` flat, percent, 0 where nobody was found.
    """
    rows = load_rows(tracks)
    steps = np.rint(np.nan_to_num(rows.xy) * BROWSER_SCALE).astype(np.int64).reshape(len(rows.t_s), 66)
    times = np.rint(rows.t_s * 1000).astype(np.int64)
    confidence = np.where(rows.is_found[:, None], rows.confidence, 0)
    content = {
        "schema": "referee.video.overlay/1",
        "landmarks_count": len(LANDMARKS),
        "scale": BROWSER_SCALE,
        "t_ms": np.diff(times, prepend=0).tolist(),
        "xy": np.diff(steps, axis=0, prepend=np.zeros((1, 66), dtype=np.int64)).ravel().tolist(),
        "confidence": np.rint(confidence * 100).astype(np.int64).ravel().tolist(),
    }
    return gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0)


def export_csv(tracks: Sequence[bytes]) -> bytes:
    """Return a line a frame: number, time, then x, y and confidence of each landmark; empty where not found."""
    rows = load_rows(tracks)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    columns = [f"{name}_{what}" for name in LANDMARKS for what in ("x_px", "y_px", "confidence")]
    writer.writerow(["frame", "t_s", *columns])
    for index in range(len(rows.t_s)):
        values: list[object] = [int(rows.frame[index]), f"{rows.t_s[index]:.6f}"]
        for (x, y), confidence in zip(rows.xy[index], rows.confidence[index], strict=True):
            values += [f"{x:.2f}", f"{y:.2f}", f"{confidence:.3f}"] if rows.is_found[index] else ["", "", ""]
        writer.writerow(values)
    return buffer.getvalue().encode()


def export_json(tracks: Sequence[bytes]) -> bytes:
    """Return ``{schema, landmarks, frames}``, a frame with ``points`` of [x_px, y_px, confidence] or null."""
    rows = load_rows(tracks)
    frames = [
        {
            "frame": int(rows.frame[index]),
            "t_s": round(float(rows.t_s[index]), 6),
            "points": _points(rows, index),
        }
        for index in range(len(rows.t_s))
    ]
    content = {"schema": f"{KEYPOINTS_SCHEMA}+json", "landmarks": LANDMARKS, "frames": frames}
    return json.dumps(content, separators=(",", ":")).encode()


def _points(rows: Rows, index: int) -> list[list[float]] | None:
    if not rows.is_found[index]:
        return None
    return [
        [round(float(x), 2), round(float(y), 2), round(float(confidence), 3)]
        for (x, y), confidence in zip(rows.xy[index], rows.confidence[index], strict=True)
    ]


def export_trc(tracks: Sequence[bytes]) -> bytes:
    """Return a TRC file in pixels, y up, as motion software reads it; markers that were not found are empty.

    Source: the Track Row Column format of Motion Analysis, as OpenSim documents it.
    """
    rows = load_rows(tracks)
    step = float(np.median(np.diff(rows.t_s))) if len(rows.t_s) > 1 else 0.0
    rate = f"{1 / step:.6g}" if step else "0"
    lines = [
        "PathFileType\t4\t(X/Y/Z)\treferee.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{len(rows.t_s)}\t{len(LANDMARKS)}\tpx\t{rate}\t1\t{len(rows.t_s)}",
        "Frame#\tTime\t" + "\t\t\t".join(LANDMARKS) + "\t\t",
        "\t\t" + "\t".join(f"X{one}\tY{one}\tZ{one}" for one in range(1, len(LANDMARKS) + 1)),
        "",
    ]
    for index in range(len(rows.t_s)):
        points = rows.xy[index]
        cells = [f"{x:.3f}\t{-y:.3f}\t0" if rows.is_found[index] else "\t\t" for x, y in points]
        lines.append("\t".join([str(index + 1), f"{rows.t_s[index]:.6f}", *cells]))
    return ("\n".join(lines) + "\n").encode()
