"""The page of API keys: which there are, making one, ending one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from referee.core.errors import InvalidInput, RefereeError
from referee.core.ids import format_id, parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.access import KeyView, Principal, get_project, list_keys, revoke_key
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.keys_api import GetDatabase, KeyRequestModel, make_key
from referee.foundation.web.navigation import NavigationEntry
from referee.foundation.web.rendering import render_page
from referee.foundation.web.shell import Shell
from referee.foundation.web.templating import with_query

__all__ = ["create_key_pages", "register_keys_in_shell"]

_RIGHTS: Final = {
    "project:read": "read – see everything of the project",
    "project:write": "write – see and change everything of the project",
    "project:admin": "admin – that, and make projects and keys",
    "ingestion:ingest": "ingestion – send spans, sessions and events, and nothing else",
    "data_plane:charts_read": "data plane – see charts by the project's id",
    "data_plane:charts_write": "data plane – see and change charts by the project's id",
}
"""Kind and scope → what it lets one do."""


@dataclass(frozen=True, slots=True)
class _Entered:
    """What stands in the form."""

    name: str = ""
    right: str = "project:write"
    expires_on: str = ""


@dataclass(frozen=True, slots=True)
class _Made:
    """A key that was just made."""

    name: str
    secret: str


def register_keys_in_shell(shell: Shell) -> None:
    """Add the page to the side bar."""
    shell.navigation.register(NavigationEntry("Operate", "Keys", "/ui/keys", icon="key", order=60))


def create_key_pages(database: GetDatabase) -> APIRouter:
    """Return the page and its forms."""
    router = APIRouter(include_in_schema=False)

    async def show(
        request: Request,
        principal: Principal,
        *,
        cursor: str | None = None,
        entered: _Entered | None = None,
        error: RefereeError | None = None,
        made: _Made | None = None,
    ) -> Response:
        principal.require("admin")
        project = await get_project(database(), principal.project_slug)
        page = await list_keys(database(), project, cursor=cursor, limit=DEFAULT_LIMIT)
        now = datetime.now(UTC)
        context = {
            "keys": [(key, format_id("key", key.api_key_id), _say_state(key, now)) for key in page.items],
            "total_count": page.total_count,
            "next_url": page.next_cursor and with_query("/ui/keys", cursor=page.next_cursor),
            "entered": entered or _Entered(),
            "error": error,
            "made": made,
            "rights": _RIGHTS,
        }
        status = 200 if error is None else error.status
        return await render_page(
            request, "keys.html", context, title="Keys", twin_url="/v1/keys", status=status
        )

    @router.get("/ui/keys")
    async def show_keys(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        return await show(request, principal, cursor=cursor)

    @router.post("/ui/keys")
    async def create_from_page(
        request: Request,
        principal: PrincipalParameter,
        name: Annotated[str, Form()] = "",
        right: Annotated[str, Form()] = "",
        expires_on: Annotated[str, Form()] = "",
    ) -> Response:
        entered = _Entered(name.strip()[:300], right[:40], expires_on.strip()[:20])
        try:
            _, secret = await make_key(database(), principal, _read(entered))
        except InvalidInput as error:
            return await show(request, principal, entered=entered, error=error)
        # Answered here and not after a redirect: the secret must stand in no address and no store.
        return await show(request, principal, made=_Made(entered.name, secret))

    @router.post("/ui/keys/{key_id}/revoke")
    async def revoke_from_page(key_id: str, principal: PrincipalParameter) -> Response:
        principal.require("admin")
        project = await get_project(database(), principal.project_slug)
        wanted: UUID = parse_id(key_id, "key")
        await revoke_key(database(), project, wanted)
        return RedirectResponse("/ui/keys", 303)

    return router


def _read(entered: _Entered) -> KeyRequestModel:
    """Return what a form asks for.

    Raises:
        InvalidInput: A field is not usable.
    """
    if entered.right not in _RIGHTS:
        raise InvalidInput("access.right_unknown", "The form does not say what the key may do.", "Choose it.")
    kind, _, scope = entered.right.partition(":")
    try:
        expires_at = (
            datetime.strptime(entered.expires_on, "%Y-%m-%d").replace(tzinfo=UTC)
            if entered.expires_on
            else None
        )
    except ValueError as error:
        raise InvalidInput(
            "access.expiry_invalid", "The day on which the key expires is none.", "Write it as 2030-01-31."
        ) from error
    try:
        return KeyRequestModel.model_validate(
            {"name": entered.name, "kind": kind, "scopes": [scope], "expires_at": expires_at}
        )
    except ValidationError as error:
        raise InvalidInput(
            "access.name_invalid", "The key needs a name.", "Say in 1 to 200 characters what it is for."
        ) from error


def _say_state(key: KeyView, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "valid"
