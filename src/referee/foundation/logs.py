"""Logs: structured events on standard error, for people or for programs.

An event is ``noun.verb_past`` with fields (``analysis.finished``). Values whose
name looks like a secret never appear, and control characters in foreign text
(a tool's output, a file's name) cannot move the cursor or colour the terminal.
"""

from __future__ import annotations

import logging
import re
import sys
import unicodedata
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog

from referee.foundation.settings import Settings

__all__ = ["configure_logs", "hide_secrets", "neutralise_controls"]

HIDDEN: Final = "[hidden]"

_SECRET_NAME: Final = re.compile(
    r"authorization|api_?key|password|passwd|secret|cookie|credential|private_?key"
    r"|(?:^|_)token$|(?:access|refresh|bearer|csrf|session)_?token",
    re.IGNORECASE,
)
"""Not every "token": a count such as ``prompt_tokens`` or ``tokens_count`` is what people look for."""
_HARMLESS_NAME: Final = re.compile(r"_(?:id|count|at|prefix|name)$")

_SECRET_VALUE: Final = re.compile(r"rfr_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")
"""Our own keys, and passwords in addresses, wherever they stand in a text."""

_MAX_DEPTH: Final = 6

_describe_exceptions: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
)
"""Without local variables, which hold secrets under any name."""


def configure_logs(settings: Settings) -> None:
    """Send events of structlog and of the standard library's loggers to standard error in one form."""
    is_json = settings.log_format == "json"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    last: list[structlog.typing.Processor] = (
        [_describe_exceptions, hide_secrets, structlog.processors.JSONRenderer(default=str)]
        if is_json
        else [
            structlog.processors.format_exc_info,
            hide_secrets,
            neutralise_controls,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="at"),
        ]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("alembic", "httpcore", "httpx", "sqlalchemy", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values that look secret, by their name or by their form."""
    for name, value in event.items():
        event[name] = _hide(name, value, _MAX_DEPTH)
    return event


def neutralise_controls(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Write control and direction-changing characters as escapes; a traceback keeps its line breaks."""
    for name, value in event.items():
        if name == "exception" and isinstance(value, str):
            event[name] = "\n".join(_escape(line) for line in value.split("\n"))
        elif name != "at":
            event[name] = _escape(value) if isinstance(value, str) else _escape_inside(value)
    return event


def _hide(name: str, value: object, depth: int) -> object:
    if _SECRET_NAME.search(name) and not _HARMLESS_NAME.search(name):
        return HIDDEN
    if isinstance(value, str):
        return _SECRET_VALUE.sub(HIDDEN, value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if depth == 0:
        return value
    if isinstance(value, Mapping):
        return {key: _hide(str(key), inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hide("", inner, depth - 1) for inner in value]
    return value


def _escape_inside(value: object) -> object:
    """Return the text of a value that the renderer would not escape by itself."""
    if value is None or isinstance(value, bool | int | float | list | tuple | dict):
        return value  # rendered by repr, which escapes by itself
    return _escape(str(value))


def _escape(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character
        if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
