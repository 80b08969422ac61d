"""The windows that pages of operations offer, and the equal parts their charts are drawn in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from fastapi import Query

__all__ = [
    "CHANGE_LEVEL",
    "WINDOW_NAMES",
    "Window",
    "WindowName",
    "WindowParameter",
    "list_window_tabs",
    "make_window",
]

WindowName: TypeAlias = Literal["1h", "24h", "7d", "30d"]
WINDOW_NAMES: Final[tuple[WindowName, ...]] = get_args(WindowName)
CHANGE_LEVEL: Final = 0.01
"""Chance of a mark in a trend that does not change. One page shows several trends."""
_LENGTHS_S: Final[dict[WindowName, tuple[int, int]]] = {
    "1h": (3_600, 60),
    "24h": (86_400, 1_800),
    "7d": (7 * 86_400, 10_800),
    "30d": (30 * 86_400, 43_200),
}
"""Length, and length of a part: 48 to 60 parts, which is as many points as a chart of this width shows apart."""

WindowParameter: TypeAlias = Annotated[WindowName, Query(description="How far back to look.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time in equal parts."""

    name: WindowName
    from_at: datetime
    to_at: datetime
    """Not included."""
    bucket_s: int
    """Length of a part."""

    @property
    def parts(self) -> list[datetime]:
        """Where each part begins, the earliest first."""
        count = round((self.to_at - self.from_at).total_seconds() / self.bucket_s)
        return [self.from_at + timedelta(seconds=index * self.bucket_s) for index in range(count)]

    @property
    def part_labels(self) -> list[str]:
        """The parts in words, in UTC."""
        form = "%H:%M" if self.name in ("1h", "24h") else "%m-%d %H:%M"
        return [part.strftime(form) for part in self.parts]


def make_window(name: WindowName, now: datetime | None = None) -> Window:
    """Return the window that ends with the part which holds an instant; None: with this one."""
    length_s, bucket_s = _LENGTHS_S[name]
    seconds = int((now or datetime.now(UTC)).timestamp())
    to_at = datetime.fromtimestamp((seconds // bucket_s + 1) * bucket_s, UTC)
    return Window(name=name, from_at=to_at - timedelta(seconds=length_s), to_at=to_at, bucket_s=bucket_s)


def list_window_tabs(url: str, current: WindowName) -> list[dict[str, Any]]:
    """Return the tabs of a page that chooses its window by ``?window=``."""
    return [
        {"label": name, "url": f"{url}?window={name}", "is_current": name == current} for name in WINDOW_NAMES
    ]
