"""Doors that open a room only as far as needed.

A room's ``__init__`` names what others may import. Importing a name there must
not load the whole room: the command line asks for a command's options without
needing a database, and has a third of a second to do so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["open_door"]


def open_door(package: str, modules: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """Return a module-level ``__getattr__`` that loads a name's module when the name is first asked for.

    Args:
        package: ``__name__`` of the room.
        modules: Module within the room → the names it brings.

    Source:
        PEP 562, module ``__getattr__``.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get
