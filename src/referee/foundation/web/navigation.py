"""What the side bar shows and what "Jump to" finds.

Rooms register here at composition; nothing shows an entry whose room is not
built. Counts and jump results come from the rooms' own queries through the
functions they register.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import structlog

from referee.foundation.access import Principal

__all__ = ["CountProvider", "JumpHit", "JumpProvider", "NavigationEntry", "NavigationRegistry", "ShownEntry"]

Group: TypeAlias = Literal["Analyse", "Observe", "Operate"]
CountProvider: TypeAlias = Callable[[Principal], Awaitable[int]]

GROUPS: tuple[Group, ...] = ("Analyse", "Observe", "Operate")
COUNT_TIMEOUT_S = 0.25
"""A count that takes longer is left out: the side bar must never make a page slow."""
MAX_JUMP_HITS = 20

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """One line of the side bar."""

    group: Group
    label: str
    url: str
    icon: str = "dot"
    """Name of a symbol in ``static/icons.svg``."""
    order: int = 100
    """Smaller is higher within the group."""
    count: CountProvider | None = None
    key: str = ""
    """Letter that goes there after ``g``; empty for none."""
    covers: tuple[str, ...] = ()
    """Addresses elsewhere whose pages belong to this entry."""


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """An entry as one request sees it."""

    entry: NavigationEntry
    count: int | None
    is_current: bool


@dataclass(frozen=True, slots=True)
class JumpHit:
    """One result of "Jump to"."""

    label: str
    url: str
    kind: str
    """The noun it is: page, analysis, finding, app …"""
    detail: str = ""


JumpProvider: TypeAlias = Callable[[Principal, str, int], Awaitable[Sequence[JumpHit]]]
"""``(principal, text, limit) -> hits``, best first."""


@dataclass(slots=True)
class NavigationRegistry:
    """The entries and jump providers that rooms have registered."""

    _entries: list[NavigationEntry] = field(default_factory=list)
    _providers: list[JumpProvider] = field(default_factory=list)

    def register(self, *entries: NavigationEntry) -> None:
        """Add entries to the side bar. An address may be registered once."""
        known = {entry.url for entry in self._entries}
        for entry in entries:
            if entry.url in known:
                raise ValueError(f"{entry.url} is already in the navigation")
            known.add(entry.url)
            self._entries.append(entry)
        self._entries.sort(key=lambda entry: (GROUPS.index(entry.group), entry.order, entry.label))

    def register_jump(self, provider: JumpProvider) -> None:
        """Add a function that "Jump to" asks."""
        self._providers.append(provider)

    @property
    def entries(self) -> tuple[NavigationEntry, ...]:
        """Every entry, in the order of the side bar."""
        return tuple(self._entries)

    async def show(self, principal: Principal | None, path: str) -> list[tuple[Group, list[ShownEntry]]]:
        """Return the groups that have entries, with counts, for a page at ``path``."""
        counts = await asyncio.gather(*(_count(entry, principal) for entry in self._entries))
        current = self._find_current(path)
        groups: list[tuple[Group, list[ShownEntry]]] = []
        for group in GROUPS:
            shown = [
                ShownEntry(entry, count, entry is current)
                for entry, count in zip(self._entries, counts, strict=True)
                if entry.group == group
            ]
            if shown:
                groups.append((group, shown))
        return groups

    async def find_hits(self, principal: Principal, text: str) -> list[JumpHit]:
        """Return pages whose name matches, then what the providers found, at most ``MAX_JUMP_HITS``."""
        wanted = text.strip().lower()
        hits = [
            JumpHit(entry.label, entry.url, "page", entry.group)
            for entry in self._entries
            if wanted in entry.label.lower()
        ]
        if wanted:
            for found in await asyncio.gather(
                *(provider(principal, text.strip(), MAX_JUMP_HITS) for provider in self._providers)
            ):
                hits.extend(found)
        return hits[:MAX_JUMP_HITS]

    def _find_current(self, path: str) -> NavigationEntry | None:
        """The entry one of whose addresses is the longest prefix of ``path``, whole parts only."""
        matching = [
            (len(url), entry)
            for entry in self._entries
            for url in (entry.url, *entry.covers)
            if path == url or path.startswith(url.rstrip("/") + "/")
        ]
        return max(matching, key=lambda found: found[0], default=(0, None))[1]


async def _count(entry: NavigationEntry, principal: Principal | None) -> int | None:
    if entry.count is None or principal is None:
        return None
    try:
        async with asyncio.timeout(COUNT_TIMEOUT_S):
            return await entry.count(principal)
    except Exception as error:
        # A page must not fail because its side bar cannot count.
        _log.warning("navigation.count_failed", url=entry.url, error=repr(error))
        return None
