"""The plain values of ``shapes`` as JSON and back."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

__all__ = ["dump", "load"]

Value = TypeVar("Value")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _kind(value: object) -> Any:
    return type(value)


def dump(value: object) -> Any:
    """Return a dataclass of ``shapes`` as JSON values. NaN and infinities have no place in them."""
    return _adapter(_kind(value)).dump_python(value, mode="json")


def load(kind: type[Value], stored: object) -> Value:
    """Return the value that ``dump`` gave.

    Raises:
        ValueError: It is not one of that kind.
    """
    wanted: Any = kind
    loaded: Value = _adapter(wanted).validate_python(stored)
    return loaded
