"""Every backfill by name. A module in ``registered/`` is one; nothing else has to be told of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from referee.backfills import registered
from referee.backfills.contract import Backfill
from referee.core.errors import NotFound

__all__ = ["backfill_names", "create_backfill", "get_backfill_class", "list_backfills"]


@cache
def backfill_names() -> tuple[str, ...]:
    """Return the names of all backfills, in order, without importing any."""
    return tuple(sorted(module.name.replace("_", "-") for module in iter_modules(registered.__path__)))


@cache
def get_backfill_class(name: str) -> type[Backfill]:
    """Return the class of a backfill.

    Raises:
        NotFound: There is none of this name; the hint names the nearest.
    """
    if name not in backfill_names():
        close = get_close_matches(name, backfill_names(), n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(backfill_names())}."
        raise NotFound("backfill.unknown", f"There is no backfill {name[:80]!r}.", hint)
    module = import_module(f"{registered.__name__}.{name.replace('-', '_')}")
    (found,) = [
        one
        for _, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, Backfill) and one.__module__ == module.__name__
    ]
    assert found.name == name, f"{module.__name__} calls itself {found.name}"  # noqa: S101 - of our own files
    return found


def create_backfill(name: str, parameters: Mapping[str, int] | None = None) -> Backfill:
    """Return a backfill with its parameters.

    Raises:
        NotFound: There is none of this name.
        InvalidInput: It has no such parameter.
    """
    return get_backfill_class(name)(parameters)


def list_backfills() -> list[type[Backfill]]:
    """Return every backfill."""
    return [get_backfill_class(name) for name in backfill_names()]
