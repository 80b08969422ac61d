"""Measuring: what the keypoints of a pass say about a movement, its faults, and the report. See ``README.md`` here.

Pure functions of bytes and plain values; they belong in a worker or child process, not on the event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.videos.measuring.exporting import encode_for_browser, export_csv, export_json, export_trc
    from referee.videos.measuring.faults import find_faults
    from referee.videos.measuring.levels import DEFAULT_TARGETS
    from referee.videos.measuring.measurement import measure
    from referee.videos.measuring.printing import draw_report_pdf
    from referee.videos.measuring.reporting import write_report

__all__ = [
    "DEFAULT_TARGETS",
    "draw_report_pdf",
    "encode_for_browser",
    "export_csv",
    "export_json",
    "export_trc",
    "find_faults",
    "measure",
    "write_report",
]

__getattr__ = open_door(
    __name__,
    {
        "exporting": ("encode_for_browser", "export_csv", "export_json", "export_trc"),
        "faults": ("find_faults",),
        "levels": ("DEFAULT_TARGETS",),
        "measurement": ("measure",),
        "printing": ("draw_report_pdf",),
        "reporting": ("write_report",),
    },
)
