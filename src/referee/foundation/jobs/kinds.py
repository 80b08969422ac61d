"""What is registered: kinds of jobs with their functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.foundation.jobs.states import Job

if TYPE_CHECKING:
    from referee.foundation.jobs.context import JobContext

__all__ = [
    "DEFAULT_MAX_ATTEMPTS",
    "EndHook",
    "JobFunction",
    "Kind",
    "KindRegistry",
    "digest_arguments",
    "to_json",
]

DEFAULT_MAX_ATTEMPTS = 10
"""Lost with its worker this many times without a step's progress, a job is taken for what kills its workers."""

SCHEDULE_KIND_PREFIX = "schedule."

JobFunction: TypeAlias = "Callable[[JobContext, dict[str, JsonValue]], Awaitable[dict[str, JsonValue]]]"

EndHook: TypeAlias = Callable[[AsyncSession, Job], Awaitable[None]]
"""Called in the transaction that ends a job, however it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of job."""

    name: str
    function: JobFunction
    queue: str
    timeout_s: float | None
    """From its first start, over all attempts."""
    max_attempts: int
    on_end: EndHook | None


class KindRegistry:
    """All kinds by name."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}

    def add(self, kind: Kind) -> None:
        """Register a kind.

        Raises:
            ValueError: One of that name is registered already.
        """
        if kind.name in self._kinds:
            raise ValueError(f"the kind of job {kind.name} is registered twice")
        self._kinds[kind.name] = kind

    def find(self, name: str) -> Kind | None:
        """Return the kind of that name, or None."""
        return self._kinds.get(name)

    def get(self, name: str) -> Kind:
        """Return the kind of that name.

        Raises:
            InvalidInput: None is registered.
        """
        kind = self._kinds.get(name)
        if kind is None:
            raise InvalidInput(
                "jobs.kind_unknown",
                f"No kind of job is called {name}.",
                "Use one of the kinds that this release registers.",
                kind=name,
            )
        return kind

    def list_queues(self) -> set[str]:
        """Return the names of the queues that kinds use."""
        return {kind.queue for kind in self._kinds.values()}


def to_json(value: object, what: str) -> JsonValue:
    """Return ``value`` the way it will be read back: through JSON once.

    Raises:
        TypeError: It is not JSON, or holds a number that is not finite.
    """
    try:
        result: JsonValue = json.loads(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} must be JSON: {error}") from error
    return result


def digest_arguments(kind: str, arguments: Mapping[str, JsonValue]) -> str:
    """Return the SHA-256 of a kind with its arguments, equal for equal JSON."""
    text = json.dumps(
        [kind, arguments], sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()
