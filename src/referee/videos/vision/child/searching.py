"""Finding people in a picture, also small ones that the detector misses when it sees the whole.

The detector proposes, the landmark model decides: of all regions proposed, those stay in which the landmarks of a body
are seen. False proposals (a flare, a tree) scored 0.13 at most on the open clips, people 0.5 and more.
"""

from __future__ import annotations

from math import hypot

from .models import Detector, Landmarker
from .shapes import Packed, Person, Region

__all__ = ["MIN_SCORE", "find_people", "look_near", "search_people"]

MIN_SCORE = 0.5
MAX_LOOKED_AT = 6
LOCAL_SIDE = 3.0
"""Side of the square looked at around a person, in heights of the region."""


def find_people(detector: Detector, landmarker: Landmarker, picture: Packed) -> list[Person]:
    """Return the people that one look at the whole picture finds, best first."""
    return _judge(landmarker, picture, detector.detect(picture))


def look_near(detector: Detector, landmarker: Landmarker, picture: Packed, near: Region) -> list[Person]:
    """Return the people found in a square around a region, best first."""
    square = Region(near.x, near.y, min(near.side * LOCAL_SIDE, 2.0 * max(picture.shape)), 0.0)
    return _judge(landmarker, picture, detector.detect(picture, square))


def search_people(detector: Detector, landmarker: Landmarker, picture: Packed) -> list[Person]:
    """Return the people found in the whole and in overlapping squares of a half and a third of the long side."""
    proposed = detector.detect(picture)
    for square in _squares(picture):
        proposed += detector.detect(picture, square)
    proposed.sort(key=lambda one: -one[0])
    return _judge(landmarker, picture, proposed)


def _squares(picture: Packed) -> list[Region]:
    height, width = picture.shape
    found = []
    for part in (2, 3):
        side = max(height, width) / part
        for x in _middles(width, side):
            found += [Region(x, y, side, 0.0) for y in _middles(height, side)]
    return found


def _middles(length: float, side: float) -> list[float]:
    """Return the middles of squares that cover a length, each overlapping the next by about half."""
    if length <= side:
        return [length / 2]
    count = max(2, round((length - side) / (side / 2)) + 1)
    return [side / 2 + index * (length - side) / (count - 1) for index in range(count)]


def _judge(landmarker: Landmarker, picture: Packed, proposed: list[tuple[float, Region]]) -> list[Person]:
    people: list[Person] = []
    looked_at: list[Region] = []
    for _, region in proposed:
        if any(_is_same(region, other) for other in looked_at):
            continue
        looked_at.append(region)
        if len(looked_at) > MAX_LOOKED_AT * 2:
            break
        person = landmarker.find(picture, region)
        if person.score >= MIN_SCORE and not any(_is_same(person.next, other.next) for other in people):
            people.append(person)
        if len(people) >= MAX_LOOKED_AT:
            break
    return sorted(people, key=lambda one: -one.score)


def _is_same(first: Region, second: Region) -> bool:
    apart = hypot(first.x - second.x, first.y - second.y)
    return apart < 0.2 * min(first.side, second.side) and 0.5 < first.side / second.side < 2
