"""Detections decoded from raw output, regions cut out and chunks planned: numbers made by hand."""

from __future__ import annotations

import io
from itertools import pairwise
from math import pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from referee.videos.shapes import Capture, Discipline, PassKind, Probe, Track
from referee.videos.vision import plan_chunks
from referee.videos.vision.child.detections import decode_detections, make_anchors
from referee.videos.vision.child.pictures import cut_region
from referee.videos.vision.child.shapes import Region


def test_there_are_2254_anchors_in_the_order_of_the_model() -> None:
    anchors = make_anchors()
    assert anchors.shape == (2254, 2)
    assert np.allclose(anchors[0], anchors[1])
    assert np.allclose(anchors[0], (0.5 / 28, 0.5 / 28))
    assert np.allclose(anchors[2], (1.5 / 28, 0.5 / 28))
    assert np.allclose(anchors[2 * 28 * 28], (0.5 / 14, 0.5 / 14))
    assert np.allclose(anchors[-1], (6.5 / 7, 6.5 / 7))


def test_overlapping_detections_are_averaged_by_score_and_others_kept() -> None:
    anchors = np.zeros((4, 2), dtype=np.float32)
    raw = np.zeros((4, 12), dtype=np.float32)
    raw[:, :4] = [(56, 56, 56, 56), (60, 56, 56, 56), (168, 168, 40, 40), (10, 10, 5, 5)]
    raw[:, 4] = [56, 60, 168, 10]
    scores = np.array([0.9, 0.6, 0.8, 0.3])
    found = decode_detections(raw, np.log(scores / (1 - scores)).astype(np.float32), anchors)
    assert [round(one.score, 3) for one in found] == [0.9, 0.8]
    assert found[0].keypoints[0, 0] == pytest.approx((0.9 * 56 + 0.6 * 60) / 1.5 / 224)


def test_a_region_turned_by_a_quarter_reads_columns_as_rows() -> None:
    red = np.arange(64, dtype=np.uint32).reshape(8, 8) | np.uint32(0xFF000000)
    upright = cut_region(red, Region(4, 4, 8, 0.0), 8)[..., 0]
    turned = cut_region(red, Region(4, 4, 8, pi / 2), 8)[..., 0]
    assert np.allclose(upright, np.arange(64).reshape(8, 8))
    assert np.allclose(turned, np.rot90(upright), atol=1e-3)


def test_beyond_the_picture_is_its_edge_or_black() -> None:
    white = np.full((4, 4), 0xFFFFFFFF, dtype=np.uint32)
    assert (cut_region(white, Region(0, 0, 8, 0.0), 8) == 255).all()
    black = cut_region(white, Region(0, 0, 8, 0.0), 8, has_black_border=True)
    assert black[..., 0].sum() == 255 * 16


def make_track(t_s: np.ndarray, moving_at_s: float) -> Track:
    count = len(t_s)
    xy = np.zeros((count, 33, 2), dtype=np.float32)
    xy[:, 11:13] = (0, -100)
    # The wrists rush through half a second and rest before and after.
    xy[:, 15:17, 0] = np.clip((t_s - moving_at_s) * 2000, 0, 1000)[:, None]
    buffer = io.BytesIO()
    np.savez(buffer, t_s=t_s, xy=xy, presence=np.ones(count, dtype=np.float32))
    return Track(PassKind.quick, None, buffer.getvalue(), count, 0, count, 1, 0.0, {})


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 5000),
    fps=st.sampled_from([25, 30, 60, 120]),
    gap=st.floats(0.2, 12.0),
    action=st.floats(0.1, 0.9),
)
def test_chunks_cover_the_clip_from_key_frame_to_key_frame(
    frames: int, fps: int, gap: float, action: float
) -> None:
    duration = frames / fps
    keys = tuple(float(time) for time in np.arange(0, duration, gap))
    probe = Probe(
        duration, frames, 640, 480, 0, "h264", "yuv420p", "mp4", float(fps), False, False, keys, 1000
    )
    track = make_track(np.linspace(0, duration, 150), duration * action)
    chunks = plan_chunks(probe, track, Capture(Discipline.bowling))
    assert (chunks[0].start_s, chunks[-1].end_s) == (0.0, duration)
    assert all(one.end_s == two.start_s for one, two in pairwise(chunks))
    assert {one.start_s for one in chunks} <= {0.0, *keys}
    assert sum(one.frames_count for one in chunks) == frames
    assert all(one.frames_count >= 239 for one in chunks) or len(chunks) == 1
    assert any(one.is_action for one in chunks) or duration < 1
