"""What a list can be filtered by: the keys, their kinds and their words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

__all__ = ["FieldKind", "FilterField"]

FieldKind: TypeAlias = Literal["text", "keyword", "enum", "ordered", "number", "time", "id", "flag"]


@dataclass(frozen=True, slots=True)
class FilterField:
    """One key of a list.

    Kinds:
        ``text``: substring, or the whole text when it has ``*``; case does not count.
        ``keyword``: the whole text, ``*`` allowed; case does not count.
        ``enum``: one of ``values``. ``is:<value>`` says the same.
        ``ordered``: one of ``values``, which go from lowest to highest; takes ``>=`` and its like.
        ``number``: takes ``>=`` and its like.
        ``time``: an ISO date (the whole day, UTC), an instant, or ``-7d`` before now.
        ``id``: a UUID, with or without ``<noun>_`` before it.
        ``flag``: true or false; ``is:<key>`` and ``-is:<key>`` say the same.
    """

    kind: FieldKind
    help: str
    """One sentence for the person who filters."""
    values: tuple[str, ...] = ()
    is_sortable: bool = False
    is_searched: bool = False
    """Whether bare text looks here. For ``text`` and ``keyword``."""
    noun: str = ""
    """For ``id``: the noun before the underscore."""
    aliases: tuple[str, ...] = ()
    """Other words for the key."""
    example: str = ""
    """A whole term, such as ``created:>=-7d``."""

    @classmethod
    def of_enum(
        cls, words: type[Enum] | Iterable[Enum], help: str, *, is_sortable: bool = False
    ) -> FilterField:
        """Return a field of kind ``enum`` whose values are those of a ``StrEnum``."""
        return cls("enum", help, tuple(str(word.value) for word in words), is_sortable=is_sortable)

    @property
    def is_comparable(self) -> bool:
        """Whether ``>=`` and its like mean something."""
        return self.kind in ("ordered", "number", "time")
