"""One chunk of the deep pass: every frame, the athlete followed from region to region.

The start comes from the stored quick pass and so does every check on the way, never from another chunk: chunks give
the same in any order, in any worker, after any crash.
"""

from __future__ import annotations

from collections.abc import Callable
from math import hypot

from .balls import find_balls
from .decoding import Clip, Picture
from .keypoints import Guide, Rows
from .models import Detector, Landmarker
from .searching import look_near, search_people
from .shapes import Person, Region

__all__ = ["run_chunk"]

MIN_PRESENCE = 0.5
MAX_STRAY = 0.4
"""How far the followed person may be from the quick pass's on the same frame, in sides of the region."""
MAX_APART = 0.6
"""The same where the quick pass's place is only interpolated."""
MAX_ALONE_S = 0.5
"""How long a lost athlete is looked for where the quick pass saw nobody."""


def run_chunk(
    clip: Clip,
    start_s: float,
    end_s: float,
    guide: Guide,
    detector: Detector,
    landmarker: Landmarker,
    on_progress: Callable[[float], None],
    *,
    has_ball: bool = False,
) -> Rows:
    """Return the rows of all frames with start <= t < end; ``has_ball``: with the spots that may be one."""
    rows = Rows(ball=[] if has_ball else None)
    tracker = _Tracker(guide, detector, landmarker, clip.median_step_s)
    end = min(end_s, clip.times_s[-1] + clip.median_step_s)
    for picture in clip.pictures(start_s, end_s):
        rows.add(picture, tracker.follow(picture), find_balls(picture.pixels) if has_ball else None)
        on_progress(min(1.0, (picture.t_s - start_s) / max(1e-6, end - start_s)))
    return rows


class _Tracker:
    def __init__(self, guide: Guide, detector: Detector, landmarker: Landmarker, step_s: float) -> None:
        self._guide = guide
        self._detector = detector
        self._landmarker = landmarker
        self._step_s = step_s
        self._region: Region | None = None
        self._last: Region | None = None
        self._lost_count = 0

    def follow(self, picture: Picture) -> Person | None:
        """Return the athlete on the next picture."""
        expected = self._guide.region_at(picture.t_s, picture.scale)
        person = self._landmarker.find(picture.pixels, self._region) if self._region else None
        if person is None or person.presence < MIN_PRESENCE or self._has_strayed(picture, person, expected):
            person = self._find_again(picture, expected)
        if person is None:
            self._region = None
            self._lost_count += 1
            return None
        self._region = self._last = person.next
        self._lost_count = 0
        return person

    def _has_strayed(self, picture: Picture, person: Person, expected: Region | None) -> bool:
        if expected is None or not self._guide.has_sample_at(picture.t_s, self._step_s / 4):
            return False
        return _apart(person.next, expected) > MAX_STRAY

    def _find_again(self, picture: Picture, expected: Region | None) -> Person | None:
        """Return the athlete found anew, only where the quick pass or the last frames say they can be.

        Anybody else in the picture is somebody else: nobody is better than another body.
        """
        if expected is not None and (settled := self._settle(picture, expected)) is not None:
            return settled
        is_fresh = self._lost_count * self._step_s < MAX_ALONE_S
        near = expected or (self._last if is_fresh else None)
        if near is None:
            return None
        found = look_near(self._detector, self._landmarker, picture.pixels, near)
        # The dear search twice as rarely each time.
        if (
            not found
            and self._lost_count
            and self._lost_count % 4 == 0
            and _is_power_of_two(self._lost_count)
        ):
            found = search_people(self._detector, self._landmarker, picture.pixels)
        reach = MAX_STRAY if expected is None else MAX_APART
        close = [one for one in found if _apart(one.next, near) < reach and _is_as_large(one.next, near)]
        return min(close, key=lambda one: _apart(one.next, near)) if close else None

    def _settle(self, picture: Picture, region: Region) -> Person | None:
        """Look in a region that was only estimated, then in the one that the landmarks themselves give."""
        first = self._landmarker.find(picture.pixels, region)
        if first.presence < MIN_PRESENCE or _apart(first.next, region) > MAX_APART:
            return None
        second = self._landmarker.find(picture.pixels, first.next)
        return second if second.presence >= MIN_PRESENCE else first


def _apart(first: Region, second: Region) -> float:
    return hypot(first.x - second.x, first.y - second.y) / (0.5 * (first.side + second.side))


def _is_as_large(first: Region, second: Region) -> bool:
    return 0.5 < first.side / second.side < 2


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
