"""The errors of Referee, in one tree.

::

    RefereeError                 500  exit 1
    ├─ InvalidInput              422  exit 2   what was asked cannot be understood or is out of range
    │  ├─ DamagedInput           422  exit 2   a file that was given is damaged, or does not fit together
    │  ├─ PayloadTooLarge        413  exit 2   more bytes, rows or files than the stated limit
    │  └─ UnsupportedMediaType   415  exit 2   a body of a kind that is not taken here
    ├─ Unauthorized              401  exit 3   no key, or a key that is not known
    ├─ Forbidden                 403  exit 3   the key is known and may not do this
    ├─ NotFound                  404  exit 4   nothing has that id, name or path
    ├─ Conflict                  409  exit 5   the state does not allow it
    ├─ Unavailable               503  exit 6   a part that is needed is not there now; a retry may help
    │  └─ StorageFull            507  exit 6   the disk took no more; nothing was acknowledged
    ├─ TooManyRequests           429  exit 6   a queue or a budget is full
    └─ IntegrityError            500  exit 7   stored bytes or rows are not what was recorded

An error carries one sentence of what happened (``message``), one of what to
do (``hint``), a dotted ``code`` that machines can rely on, and context values
that are safe to show. Status and exit code are here so that page, API and
command line cannot disagree.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "Conflict",
    "DamagedInput",
    "Forbidden",
    "IntegrityError",
    "InvalidInput",
    "NotFound",
    "PayloadTooLarge",
    "RefereeError",
    "StorageFull",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnsupportedMediaType",
]


class RefereeError(Exception):
    """Any failure that Referee can explain.

    Args:
        code: Dotted, stable name for machines, such as ``analysis.not_found``.
        message: One sentence: what happened.
        hint: One sentence: what to do. Empty when nothing can be done.
        context: Values that help, shown as they are. Never a secret.
    """

    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    title: ClassVar[str] = "Internal error"

    def __init__(self, code: str, message: str, hint: str = "", **context: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInput(RefereeError):
    """What was asked cannot be understood, or is out of range."""

    status = 422
    exit_code = 2
    title = "Invalid input"


class DamagedInput(InvalidInput):
    """A file that was given is damaged, altered, or does not fit together."""

    title = "Damaged file"


class PayloadTooLarge(InvalidInput):
    """More bytes, rows or files than the stated limit."""

    status = 413
    title = "Too large"


class UnsupportedMediaType(InvalidInput):
    """A body of a kind that is not taken here."""

    status = 415
    title = "Unsupported media type"


class Unauthorized(RefereeError):
    """No key was given, or one that is not known."""

    status = 401
    exit_code = 3
    title = "Key needed"


class Forbidden(RefereeError):
    """The key is known and may not do this."""

    status = 403
    exit_code = 3
    title = "Not allowed"


class NotFound(RefereeError):
    """Nothing has that id, name or path."""

    status = 404
    exit_code = 4
    title = "Not found"


class Conflict(RefereeError):
    """The present state does not allow it."""

    status = 409
    exit_code = 5
    title = "Conflict"


class Unavailable(RefereeError):
    """A part that is needed is not there now; a retry may help."""

    status = 503
    exit_code = 6
    title = "Unavailable"


class StorageFull(Unavailable):
    """The disk took no more bytes. Nothing was acknowledged."""

    status = 507
    title = "Storage full"


class TooManyRequests(RefereeError):
    """A queue or a budget is full."""

    status = 429
    exit_code = 6
    title = "Too many requests"


class IntegrityError(RefereeError):
    """Stored bytes or rows are not what was recorded."""

    exit_code = 7
    title = "Integrity error"
