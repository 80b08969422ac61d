"""Errors of steps and jobs: which are worth another try, and how they survive in the database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

from referee.core import errors
from referee.core.errors import RefereeError, Unavailable
from referee.core.findings import JsonValue
from referee.foundation.jobs.states import JobError

__all__ = ["describe_error", "dump_error", "is_database_loss", "is_worth_retrying", "load_error", "persist"]

Value = TypeVar("Value")

logger = structlog.get_logger(__name__)

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
PERMANENT: Final = (
    errors.InvalidInput,
    errors.Unauthorized,
    errors.Forbidden,
    errors.NotFound,
    errors.Conflict,
    errors.IntegrityError,
)
"""Another try gives the same."""


def is_database_loss(error: BaseException) -> bool:
    """Whether the connection to the database was lost, which says nothing about the work itself."""
    if isinstance(error, Unavailable):
        return error.code == "database.unreachable"
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_worth_retrying(error: Exception) -> bool:
    """Whether another attempt may go better."""
    return not isinstance(error, PERMANENT)


async def persist(write: Callable[[], Awaitable[Value]]) -> Value:
    """Do a write of the engine's own, waiting out a lost database for as long as it takes."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await write()
        except (RefereeError, DBAPIError) as error:
            if not is_database_loss(error):
                raise
            logger.warning("job.database_lost", pause_s=pause_s)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def describe_error(error: Exception, *, code: str, subject: str) -> JobError:
    """Return what to keep of an exception: its own words if it is ours, else its type and text."""
    if isinstance(error, RefereeError):
        return JobError(code=error.code, message=error.message, hint=error.hint)
    text = str(error).strip().replace("\x00", "").rstrip(".")
    reason = f"{type(error).__name__}: {text[:500]}" if text else type(error).__name__
    return JobError(code=code, message=f"{subject} ended with {reason}.", hint="The log has the traceback.")


def dump_error(error: RefereeError) -> dict[str, JsonValue]:
    """Return an error as JSON, so that a replay raises the same one."""
    known = [name for cls in type(error).__mro__ if (name := cls.__name__) in errors.__all__]
    return {
        "class": known[0] if known else RefereeError.__name__,
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "context": {name: _plain(value) for name, value in error.context.items()},
    }


def load_error(dumped: Mapping[str, JsonValue]) -> RefereeError:
    """Return the error that ``dump_error`` has seen, as the nearest class of the core's tree."""
    name = str(dumped["class"])
    cls = getattr(errors, name) if name in errors.__all__ else RefereeError
    context = dumped.get("context")
    error: RefereeError = cls(
        str(dumped["code"]),
        str(dumped["message"]),
        str(dumped["hint"]),
        **(context if isinstance(context, dict) else {}),
    )
    return error


def _plain(value: object) -> JsonValue:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
