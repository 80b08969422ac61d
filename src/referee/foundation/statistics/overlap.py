"""What several tools found: each set of tools with what exactly these found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass

__all__ = ["Overlap", "count_frequencies", "count_overlaps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Things that exactly these tools found, as one column of an UpSet plot."""

    tools: tuple[str, ...]
    """In the order of their names."""
    count: int


def count_overlaps(found: Mapping[str, Set[str]]) -> tuple[Overlap, ...]:
    """Return how many things each combination of tools found, and no other tool.

    Args:
        found: Tool → what it found, in a form that is the same for all of them (such as clusters).

    Returns:
        The combinations that occur, largest count first; together they count every thing once.
    """
    counts = Counter(_list_finders(found).values())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], len(item[0]), item[0]))
    return tuple(Overlap(tools=tools, count=count) for tools, count in ordered)


def count_frequencies(found: Mapping[str, Set[str]]) -> tuple[int, ...]:
    """Return how many things exactly one tool found, exactly two, and so on up to all tools."""
    counts = Counter(len(tools) for tools in _list_finders(found).values())
    return tuple(counts[times] for times in range(1, len(found) + 1))


def _list_finders(found: Mapping[str, Set[str]]) -> dict[str, tuple[str, ...]]:
    finders: defaultdict[str, list[str]] = defaultdict(list)
    for tool in sorted(found):
        for thing in found[tool]:
            finders[thing].append(tool)
    return {thing: tuple(tools) for thing, tools in finders.items()}
