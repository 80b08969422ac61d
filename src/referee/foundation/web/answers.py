"""Shapes and parameters that every JSON operation shares.

``PageModel`` is a list's answer, ``link_next`` its ``Link`` header, and the
annotated types (``LimitParameter`` …) are what handlers declare so that every
list has the same limit, cursor and filter, documented the same way.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from fastapi import Depends, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from referee.core.errors import InvalidInput
from referee.core.pages import MAX_LIMIT, Page
from referee.foundation.access import Principal
from referee.foundation.web.filters import Filter, FilterField, parse_filter
from referee.foundation.web.lists import change_query
from referee.foundation.web.shell import get_principal

__all__ = [
    "CursorParameter",
    "IdempotencyKey",
    "LimitParameter",
    "PageModel",
    "PrincipalParameter",
    "answer_page",
    "answers_file",
    "filter_parameter",
    "link_next",
    "read_idempotency_key",
]

Item = TypeVar("Item")
Source = TypeVar("Source")

MAX_CURSOR_CHARS = 2_000
MAX_IDEMPOTENCY_KEY_CHARS = 255
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]+")


class PageModel(BaseModel, Generic[Item]):
    """One slice of a list."""

    model_config = ConfigDict(from_attributes=True)

    items: list[Item]
    total_count: int = Field(description="Rows that match, on all pages.")
    limit: int = Field(description="Rows asked for.", ge=1, le=MAX_LIMIT)
    next_cursor: str | None = Field(description="Give it as cursor for the next page; null on the last one.")


LimitParameter: TypeAlias = Annotated[
    int, Query(ge=1, le=MAX_LIMIT, description="Rows in the answer at most.")
]
"""Declare as ``limit: LimitParameter = DEFAULT_LIMIT``."""
CursorParameter: TypeAlias = Annotated[
    str | None, Query(max_length=MAX_CURSOR_CHARS, description="next_cursor of the page before.")
]
"""Declare as ``cursor: CursorParameter = None``."""
PrincipalParameter: TypeAlias = Annotated[Principal, Depends(get_principal)]
"""Who asks, and so whose project."""


def filter_parameter(fields: Mapping[str, FilterField]) -> Callable[[str], Awaitable[Filter]]:
    """Return a dependency that reads ``?filter=`` by the given fields.

    Declare as ``filter: Annotated[Filter, Depends(filter_parameter(FIELDS))]``.
    """
    keys = ", ".join(sorted(fields))

    async def read_filter(
        filter: str = Query("", description=f"Filter text, such as 'key:value'. Keys: {keys}."),
    ) -> Filter:
        return parse_filter(filter, fields)

    return read_filter


async def read_idempotency_key(
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Names this creation: sent again with the same body it answers with what was made first, "
            "with another body it is refused.",
            json_schema_extra={"examples": ["01a22b0d-8f77-7000-99cc-16fcf2b1cc6f"]},
        ),
    ] = None,
) -> str | None:
    """Return the ``Idempotency-Key`` header, checked.

    Raises:
        InvalidInput: It is empty, too long, or has characters that are not visible ASCII.

    Source:
        draft-ietf-httpapi-idempotency-key-header; the key may be given as a quoted string.
    """
    if idempotency_key is None:
        return None
    key = idempotency_key.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(key) > MAX_IDEMPOTENCY_KEY_CHARS or not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidInput(
            "request.idempotency_key_invalid",
            f"An idempotency key has 1 to {MAX_IDEMPOTENCY_KEY_CHARS} visible ASCII characters.",
            "Send for example a UUID.",
        )
    return key


IdempotencyKey: TypeAlias = Annotated[str | None, Depends(read_idempotency_key)]
"""The checked ``Idempotency-Key`` header."""


def answer_page(
    request: Request, response: Response, page: Page[Source], convert: Callable[[Source], Item]
) -> PageModel[Item]:
    """Return a service's page as JSON, and add the ``Link`` header to its next one."""
    link_next(request, response, page.next_cursor)
    return PageModel(
        items=[convert(item) for item in page.items],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
    )


def answers_file(*media_types: str, description: str = "The file.") -> dict[int | str, dict[str, Any]]:
    """Return ``responses`` of a route that answers with a file of one of these media types."""
    return {
        200: {
            "description": description,
            "content": {media_type: {"schema": _describe_file(media_type)} for media_type in media_types},
        }
    }


def _describe_file(media_type: str) -> dict[str, str]:
    """Return the schema of a whole file as its media type lets one read it."""
    if media_type == "application/json" or media_type.endswith("+json"):
        return {"type": "object"}
    if media_type.startswith("text/") or media_type.endswith(("/xml", "/jsonl")):
        return {"type": "string"}
    return {"type": "string", "format": "binary"}


def link_next(request: Request, response: Response, next_cursor: str | None) -> None:
    """Add ``Link: <…>; rel="next"`` when there is a next page (RFC 8288)."""
    if next_cursor is not None:
        url = change_query(request.url.path, request.query_params.multi_items(), cursor=next_cursor)
        response.headers.append("Link", f'<{url}>; rel="next"')
