"""The quick pass: about 150 samples over the whole clip, everybody on them, and who of them is the athlete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil, hypot

import numpy as np

from .decoding import Clip, Picture
from .keypoints import Rows
from .models import Detector, Landmarker
from .searching import MIN_SCORE, find_people, look_near, search_people
from .shapes import Person, Region

__all__ = ["Click", "QuickResult", "run_quick", "sample_pictures"]

SAMPLES = 150
SHORT_S = 20.0
"""Clips up to this are decoded whole: their key frames are too few."""
SEARCHES = 5
"""Samples, spread evenly, on which small people are searched for even when somebody large is seen."""
MEMORY_S = 3.0
"""How long a person who is not seen is waited for."""
CHAINED_S = 0.25
"""Up to this gap a person is looked for just where they were."""
MAX_FOLLOWED = 3
LOOK_EVERY = 5
"""While samples are close together, newcomers are looked for on every fifth only."""


@dataclass(frozen=True, slots=True)
class Click:
    """Where the coach pointed at the athlete, original pixels."""

    t_s: float
    x: float
    y: float


@dataclass(slots=True)
class Followed:
    """One person over the samples: sample number → what was seen."""

    seen: dict[int, Person] = field(default_factory=dict)
    last_t_s: float = 0.0

    @property
    def last(self) -> Person:
        return self.seen[max(self.seen)]


@dataclass(slots=True)
class QuickResult:
    """Rows of the athlete and how many people there are."""

    rows: Rows
    people_count: int


def sample_pictures(clip: Clip) -> tuple[Iterator[Picture], int]:
    """Return the pictures of the quick pass and about how many they are.

    Key frames alone where they are dense enough, since decoding only them costs a seventh; otherwise every n-th.
    """
    count, duration = len(clip.times_s), clip.times_s[-1]
    keys = clip.key_times_s
    gaps = np.diff([*keys, duration])
    if duration >= SHORT_S and gaps.max() <= max(1.0, duration / SAMPLES):
        chosen = keys[:: ceil(len(keys) / (SAMPLES * 1.3))]
        return clip.pictures(keys=frozenset(chosen)), len(chosen)
    every = ceil(count / SAMPLES)
    return clip.pictures(every=every), ceil(count / every)


def run_quick(
    clip: Clip,
    detector: Detector,
    landmarker: Landmarker,
    click: Click | None,
    on_progress: Callable[[float], None],
) -> QuickResult:
    """Look at the samples, follow everybody, and keep the athlete."""
    pictures, count = sample_pictures(clip)
    follower = _Follower(detector, landmarker)
    kept: list[Picture] = []
    step = max(1, count // SEARCHES)
    for number, picture in enumerate(pictures):
        is_clicked = click is not None and abs(picture.t_s - click.t_s) <= clip.times_s[-1] / max(1, count)
        follower.look(number, picture, is_searching=number % step == 0 or is_clicked)
        kept.append(
            Picture(picture.frame, picture.t_s, picture.is_corrupt, picture.pixels[:1, :1], picture.scale)
        )
        on_progress(min(1.0, (number + 1) / count))
    rows = Rows()
    athlete = _choose(follower.people, kept, click) if follower.people else None
    if athlete is not None:
        _join_later(athlete, follower.people, kept)
    for number, picture in enumerate(kept):
        rows.add(picture, athlete.seen.get(number) if athlete else None)
    return QuickResult(rows, _count_people(follower.people, len(kept)))


class _Follower:
    """Everybody seen so far."""

    def __init__(self, detector: Detector, landmarker: Landmarker) -> None:
        self._detector = detector
        self._landmarker = landmarker
        self.people: list[Followed] = []
        self._lost_count = 0
        self._last_t_s = float("-inf")

    def look(self, number: int, picture: Picture, *, is_searching: bool) -> None:
        """Find people on a picture and join them to those known."""
        is_close = picture.t_s - self._last_t_s <= CHAINED_S and not self._lost_count
        self._last_t_s = picture.t_s
        found: list[Person] = []
        if is_searching:
            found = search_people(self._detector, self._landmarker, picture.pixels)
        elif number % LOOK_EVERY == 0 or not is_close:
            found = find_people(self._detector, self._landmarker, picture.pixels)
        active = sorted(
            (one for one in self.people if picture.t_s - one.last_t_s <= MEMORY_S),
            key=lambda one: -len(one.seen),
        )
        left = self._join(number, picture, found, active)
        for known in [one for one in active if number not in one.seen][:MAX_FOLLOWED]:
            self._look_again(number, picture, known)
        for person in left:
            if not any(
                _is_near(person.next, one.seen[number].next) for one in self.people if number in one.seen
            ):
                self.people.append(Followed({number: person}, picture.t_s))
        is_lost = not any(number in one.seen for one in self.people)
        self._lost_count = self._lost_count + 1 if is_lost else 0
        # Twice as rarely each time, so that an empty clip does not cost a search a sample.
        if is_lost and not is_searching and self._lost_count & (self._lost_count - 1) == 0:
            for person in search_people(self._detector, self._landmarker, picture.pixels):
                self.people.append(Followed({number: person}, picture.t_s))

    def _join(
        self, number: int, picture: Picture, found: list[Person], active: list[Followed]
    ) -> list[Person]:
        """Give each person found to the known one they continue; return those who are new."""
        pairs = sorted(
            (cost, index, known_index)
            for index, person in enumerate(found)
            for known_index, known in enumerate(active)
            if (cost := _distance(known, person, picture.t_s)) < 1
        )
        taken: set[int] = set()
        for _, index, known_index in pairs:
            known = active[known_index]
            if index not in taken and number not in known.seen:
                taken.add(index)
                known.seen[number] = found[index]
                known.last_t_s = picture.t_s
        return [person for index, person in enumerate(found) if index not in taken]

    def _look_again(self, number: int, picture: Picture, known: Followed) -> None:
        """Look for a known person whom the detector missed."""
        candidates: list[Person] = []
        if picture.t_s - known.last_t_s <= CHAINED_S:
            candidates = [self._landmarker.find(picture.pixels, known.last.next)]
        if not any(one.score >= MIN_SCORE for one in candidates):
            candidates = look_near(self._detector, self._landmarker, picture.pixels, known.last.next)
        others = [one.seen[number].next for one in self.people if number in one.seen]
        for person in candidates:
            is_taken = any(_is_near(person.next, other) for other in others)
            if person.score >= MIN_SCORE and not is_taken and _distance(known, person, picture.t_s) < 1:
                known.seen[number] = person
                known.last_t_s = picture.t_s
                return


def _distance(known: Followed, person: Person, t_s: float) -> float:
    """Return how far a person is from where a known one can be by now; below 1 it may be the same."""
    before, now = known.last.next, person.next
    ratio = now.side / before.side
    if not 0.55 < ratio < 1.8:
        return float("inf")
    reach = min(2.0, 0.35 + 2.5 * max(0.0, t_s - known.last_t_s))
    return hypot(now.x - before.x, now.y - before.y) / (0.5 * (now.side + before.side)) / reach


def _is_near(first: Region, second: Region) -> bool:
    return hypot(first.x - second.x, first.y - second.y) < 0.2 * min(first.side, second.side)


def _choose(people: list[Followed], pictures: list[Picture], click: Click | None) -> Followed:
    """Return the athlete: who was clicked on, or who is seen longest, largest and moving most."""
    if click is None:
        return max(people, key=_weigh)
    return min(people, key=lambda one: _distance_to_click(one, pictures, click))


def _join_later(athlete: Followed, people: list[Followed], pictures: list[Picture]) -> None:
    """Add to the athlete who is seen before or after them nearby: someone who fell or was hidden."""
    for other in sorted(people, key=lambda one: -len(one.seen)):
        if other is athlete or any(number in athlete.seen for number in other.seen):
            continue
        first, second = (athlete, other) if min(athlete.seen) < min(other.seen) else (other, athlete)
        if max(first.seen) > min(second.seen):
            continue
        end, start = max(first.seen), min(second.seen)
        before, after = first.seen[end].next, second.seen[start].next
        apart = hypot(after.x - before.x, after.y - before.y) / max(before.side, after.side)
        if (
            pictures[start].t_s - pictures[end].t_s <= MEMORY_S
            and apart < 2
            and 0.5 < after.side / before.side < 2
        ):
            athlete.seen |= other.seen


def _weigh(one: Followed) -> float:
    people = list(one.seen.values())
    side = float(np.median([person.next.side for person in people]))
    wrists = np.array([person.xy[15:17].mean(axis=0) - person.xy[23:25].mean(axis=0) for person in people])
    middles = np.array([person.xy[23:25].mean(axis=0) for person in people])
    activity = min(1.0, float(wrists.std(axis=0).sum() + 0.5 * middles.std(axis=0).sum()) / side * 2)
    return sum(person.score for person in people) * float(np.sqrt(side)) * (0.3 + activity)


def _distance_to_click(one: Followed, pictures: list[Picture], click: Click) -> float:
    """Return how far a person's box is from the click, in heights of the box, and seconds away counted on top."""
    number = min(one.seen, key=lambda index: abs(pictures[index].t_s - click.t_s))
    scale = pictures[number].scale
    left, top, width, height = one.seen[number].box
    x, y = click.x / scale, click.y / scale
    outside = hypot(max(left - x, 0, x - left - width), max(top - y, 0, y - top - height))
    middle = hypot(x - left - width / 2, y - top - height / 2)
    apart_s = abs(pictures[number].t_s - click.t_s)
    return (outside + 0.1 * middle) / max(1.0, height) + (apart_s if apart_s > 0.5 else 0)


def _count_people(people: list[Followed], samples_count: int) -> int:
    least = min(3, samples_count)
    lasting = [one for one in people if len(one.seen) >= least]
    return max((sum(number in one.seen for one in lasting) for number in range(samples_count)), default=0)
