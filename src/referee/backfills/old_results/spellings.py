"""Models under all their spellings: dots, underscores, dashes, with and without the provider in front."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from referee.backfills.old_results.words import make_slug_key

__all__ = ["Spellings"]

_FEWEST_CHARACTERS: Final = 6
"""Shorter ends of names are shared by chance."""


class Spellings:
    """What models are called here.

    Args:
        known: Slugs of models that have apps already.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._slugs: dict[str, str] = {}
        for slug in known:
            self._slugs.setdefault(make_slug_key(slug), slug)

    @staticmethod
    def key_of(spelled: str) -> str:
        """Return what all spellings with the same letters and digits share."""
        return make_slug_key(spelled) or "unnamed"

    def find(self, spelled: str) -> str:
        """Return the slug that a spelling stands for; an unknown one becomes known."""
        key = self.key_of(spelled)
        if key in self._slugs:
            return self._slugs[key]
        near = [
            known
            for known in self._slugs
            if min(len(known), len(key)) >= _FEWEST_CHARACTERS
            and (known.endswith(f"-{key}") or key.endswith(f"-{known}"))
        ]
        if len(near) == 1:
            return self._slugs[near[0]]
        slug = re.sub(r"[^A-Za-z0-9._-]+", "_", spelled).strip("._-")[:120] or "unnamed"
        self._slugs[key] = slug
        return slug
