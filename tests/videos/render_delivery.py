"""Renders a delivery and looks for its ball: ``python render_delivery.py SCENE.npz CLIP.mp4 SPOTS.npz``.

Runs in the decoder's own environment. The scene says where ball and body are; the clip is coded, decoded again as any
clip is, and the spots of each frame are written. What is drawn besides the ball: grass, the pitch, a body with
red shirt and red shoes, a white helmet, a red bag, white lines.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import av
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2] / "src" / "referee" / "videos" / "vision"))
TICKS = 90_000
COLOURS = {"red": (176, 28, 34), "pink": (240, 90, 150), "white": (238, 238, 232)}


def disc(picture: Any, x: float, y: float, radius: float, colour: Any, share: float = 1.0) -> None:
    """Lay a disc with soft edges over a picture of floats."""
    height, width, _ = picture.shape
    left, right = max(0, int(x - radius - 2)), min(width, int(x + radius + 3))
    top, bottom = max(0, int(y - radius - 2)), min(height, int(y + radius + 3))
    if left >= right or top >= bottom:
        return
    across, down = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
    cover = np.clip(radius + 0.5 - np.hypot(across - x, down - y), 0, 1)[..., None] * share
    part = picture[top:bottom, left:right]
    part += cover * (np.asarray(colour, dtype=np.float32) - part)


def limb(picture: Any, start: Any, end: Any, radius: float, colour: Any) -> None:
    """Draw a limb as discs along a line."""
    count = max(2, int(np.hypot(*(end - start)) / max(1, radius / 2)))
    for share in np.linspace(0, 1, count):
        x, y = start + share * (end - start)
        disc(picture, x, y, radius, colour)


def draw(scene: Any, row: int, background: Any, grains: Any, random: Any) -> Any:
    """Return one frame, 8 bits a channel."""
    picture = background.copy()
    body = scene["body"][row]
    size = float(scene["trunk_px"])
    if scene["has_body"]:
        for one, other in ((23, 25), (25, 27), (24, 26), (26, 28)):
            limb(picture, body[one], body[other], size * 0.12, (225, 225, 220))
        for one, other in ((11, 23), (12, 24), (11, 12), (11, 24)):
            limb(picture, body[one], body[other], size * 0.16, (170, 30, 36))
        for one, other in ((11, 13), (13, 15), (12, 14), (14, 16)):
            limb(picture, body[one], body[other], size * 0.07, (190, 140, 110))
        disc(picture, body[0][0], body[0][1], size * 0.2, (235, 235, 230))
        for one in (27, 28):
            disc(picture, body[one][0], body[one][1], size * 0.1, (180, 25, 30))
    # The shutter is open for a part of the frame's time: what moves leaves a streak.
    places = scene["ball"][row]
    if np.isfinite(places).all():
        left, top = (np.maximum(0, places.min(axis=0) - 40)).astype(int)
        right, bottom = (np.maximum(0, places.max(axis=0) + 40)).astype(int)
        before = picture[top:bottom, left:right]
        streak = np.zeros_like(before)
        for x, y in places:
            one = before.copy()
            disc(one, x - left, y - top, float(scene["radius_px"]), COLOURS[str(scene["colour"])])
            streak += one
        picture[top:bottom, left:right] = streak / len(places)
    picture *= np.float32(scene["light"])
    if grains is not None:
        picture += np.roll(grains, int(random.integers(1_000_000)), axis=1)
    return np.clip(picture, 0, 255).astype(np.uint8)


def paint_background(width: int, height: int, ground: int, random: Any) -> Any:
    """Return grass with the pitch, lines, a red bag and a white sight screen."""
    picture = np.empty((height, width, 3), dtype=np.float32)
    picture[:ground] = (120, 150, 185)
    picture[ground:] = (74, 118, 58)
    picture[ground - 4 : ground + 26] = (178, 158, 118)
    picture += random.normal(size=(height, width, 1)).astype(np.float32) * 6
    picture[ground + 30 : ground + 33] = (240, 240, 240)
    for left in range(80, width, 420):
        disc(picture, left, ground - 30, 9, (170, 20, 28))  # caps and bags beside the field
    picture[ground - 90 : ground - 10, width - 60 : width - 20] = (238, 238, 238)
    return picture


def write(path: Path, scene: Any) -> None:
    """Write the clip."""
    random = np.random.default_rng(int(scene["seed"]))
    width, height = (int(one) for one in scene["size"])
    background = paint_background(width, height, int(scene["ground_px"]), random)
    noise = float(scene["noise"])
    grains = random.normal(size=background.shape).astype(np.float32) * np.float32(noise) if noise else None
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=60)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, TICKS)
        stream.options = {"preset": "ultrafast", "crf": "18"}
        for row, time in enumerate(scene["t_s"]):
            frame = av.VideoFrame.from_ndarray(draw(scene, row, background, grains, random), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = round(float(time) * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    """Render, decode, look."""
    scene_path, clip_path, spots_path = map(Path, sys.argv[1:4])
    with np.load(scene_path, allow_pickle=False) as scene:
        write(clip_path, scene)
    find_balls = import_module("child.balls").find_balls
    clip = import_module("child.decoding").open_clip(clip_path)
    spots, times = [], []
    for picture in clip.pictures():
        found = find_balls(picture.pixels)
        spots.append(found * np.array([picture.scale] * 3 + [1, 1, 1], dtype=np.float32))
        times.append(picture.t_s)
    np.savez(spots_path, ball=np.array(spots, dtype=np.float32), t_s=np.array(times))


if __name__ == "__main__":
    main()
