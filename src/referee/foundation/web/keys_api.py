"""API keys as JSON: list, make, revoke. Whoever may do that has the scope ``admin``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from referee.core.ids import format_id, parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.access import (
    KEY_SCOPES,
    KeyKind,
    KeyView,
    Principal,
    create_key,
    get_project,
    list_keys,
    revoke_key,
)
from referee.foundation.store import Database
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
)
from referee.foundation.web.client_values import Name, Text

__all__ = ["GetDatabase", "KeyCreatedModel", "KeyModel", "create_keys_api", "make_key"]

GetDatabase: TypeAlias = Callable[[], Database]
MAX_SCOPES_COUNT: Final = 10
_ADMIN: Final[dict[str, Any]] = {"security": [{"project_key": ["admin"]}]}


class KeyModel(BaseModel):
    """What may be shown of a key."""

    key_id: str = Field(examples=["key_01a22b43166b7000bf3be36e372e4f2c"])
    kind: KeyKind
    name: str
    description: str | None
    prefix: str = Field(description="The first characters of the secret.")
    scopes: list[str]
    permissions: list[str] = Field(description="What a client asked for in its own words; mostly empty.")
    created_at: datetime
    expires_at: datetime | None = Field(description="Null: never.")
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")

    @classmethod
    def of(cls, key: KeyView) -> KeyModel:
        """Return the model of a key."""
        return cls(**_describe(key))


class KeyCreatedModel(KeyModel):
    """A key that was just made."""

    secret: str = Field(description="What programs send. It is not kept, and cannot be shown again.")


class KeyRequestModel(BaseModel):
    """A key to make."""

    name: Name = Field(description="What it is for.")
    kind: KeyKind = KeyKind.project
    scopes: list[Annotated[str, Field(max_length=40)]] | None = Field(
        default=None,
        max_length=MAX_SCOPES_COUNT,
        description="read, write or admin for a project; ingest for ingestion; charts_read or charts_write for a "
        "data plane. Without it write, or all that the kind may have.",
    )
    expires_at: AwareDatetime | None = Field(default=None, description="Null: never.")
    description: Annotated[Text, Field(max_length=1_000)] | None = None


async def make_key(database: Database, principal: Principal, wanted: KeyRequestModel) -> tuple[KeyView, str]:
    """Make a key for the project of who asks. Returns what may be shown of it, and its secret.

    Raises:
        Forbidden: Who asks may not.
        InvalidInput: The name, a scope or the expiry is not usable.
    """
    principal.require("admin")
    scopes = wanted.scopes or (["write"] if wanted.kind is KeyKind.project else KEY_SCOPES[wanted.kind])
    return await create_key(
        database,
        await get_project(database, principal.project_slug),
        wanted.name,
        scopes,
        None if wanted.expires_at is None else wanted.expires_at.astimezone(UTC),
        kind=wanted.kind,
        description=wanted.description,
    )


def create_keys_api(database: GetDatabase) -> APIRouter:
    """Return the routes of keys."""
    router = APIRouter(prefix="/v1", tags=["access"])

    @router.get("/keys", openapi_extra=_ADMIN)
    async def list_api_keys(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[KeyModel]:
        """List the project's keys, newest first, with those that were revoked or have expired."""
        principal.require("admin")
        project = await get_project(database(), principal.project_slug)
        page = await list_keys(database(), project, limit=limit, cursor=cursor)
        return answer_page(request, response, page, KeyModel.of)

    @router.post("/keys", status_code=201, openapi_extra=_ADMIN)
    async def create_api_key(
        body: KeyRequestModel, principal: PrincipalParameter, response: Response
    ) -> KeyCreatedModel:
        """Make a key; its secret is in this answer and nowhere else."""
        key, secret = await make_key(database(), principal, body)
        response.headers["Cache-Control"] = "no-store"
        return KeyCreatedModel(**_describe(key), secret=secret)

    @router.post("/keys/{key_id}/revoke", openapi_extra=_ADMIN)
    async def revoke_api_key(key_id: str, principal: PrincipalParameter) -> KeyModel:
        """End a key: the next request with it is refused. Doing so again changes nothing."""
        principal.require("admin")
        project = await get_project(database(), principal.project_slug)
        return KeyModel.of(await revoke_key(database(), project, parse_id(key_id, "key")))

    return router


def _describe(key: KeyView) -> dict[str, Any]:
    return {
        "key_id": format_id("key", key.api_key_id),
        "kind": key.kind,
        "name": key.name,
        "description": key.description,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "permissions": list(key.permissions),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }
