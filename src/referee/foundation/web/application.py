"""Makes the application that all rooms hang their routers into."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias

from fastapi import Depends, FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request

from referee.core.clock import Clock, SystemClock
from referee.core.errors import InvalidInput
from referee.foundation.settings import Settings
from referee.foundation.web.assets import STATIC_PREFIX, Assets
from referee.foundation.web.live import LiveHub
from referee.foundation.web.middleware import Authentication, BodyLimit, OriginGuard, RequestFrame
from referee.foundation.web.navigation import NavigationRegistry
from referee.foundation.web.openapi import OPENAPI_PATH, customise_openapi, name_operation
from referee.foundation.web.problem_catalogue import ProblemCatalogue
from referee.foundation.web.problems import add_problem_handlers
from referee.foundation.web.routes import routers
from referee.foundation.web.sessions import (
    Authenticate,
    ConfirmSession,
    FindLocalPrincipal,
    Sessions,
    is_loopback_host,
)
from referee.foundation.web.shell import ListProjects, Shell, get_shell
from referee.foundation.web.templating import Templates

__all__ = ["create_shell"]

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
GZIP_MIN_BYTES: Final = 1_000
"""Below that the header costs more than it saves."""
GZIP_LEVEL: Final = 4
"""Pages shrink to a fifth at a third of the time of level 9."""
PUBLIC_PREFIXES: Final = (STATIC_PREFIX, "/problems", "/ui/login", "/health", "/ready")
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Lifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[Any]]


def create_shell(
    settings: Settings,
    *,
    title: str,
    version: str,
    authenticate: Authenticate | None = None,
    find_local_principal: FindLocalPrincipal | None = None,
    confirm_session: ConfirmSession | None = None,
    list_projects: ListProjects | None = None,
    session_secret: bytes | None = None,
    live: LiveHub | None = None,
    clock: Clock | None = None,
    lifespan: Lifespan | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    larger_bodies: Mapping[str, int] | None = None,
    public_prefixes: Sequence[str] = (),
    description: str = "",
    tags: Mapping[str, str] | None = None,
    examples: Mapping[str, Any] | None = None,
) -> FastAPI:
    """Return an application with everything but the rooms.

    Args:
        settings: ``host`` decides whether keys are needed; ``theme_cookie`` names the cookie.
        title: The product's name, in the side bar and the API description.
        version: Shown in the side bar and the API description.
        authenticate: Bearer key to principal. Needed unless the server is bound to loopback.
        find_local_principal: Project slug to principal, for requests on loopback without a key.
        confirm_session: Asked at each request of a session whether its key still holds.
        list_projects: What the project switch offers; without it there is no switch.
        session_secret: Signs session cookies; a new one, valid for this process, when None.
        live: The hub of live updates, connected to the database by the caller.
        clock: Tells relative times and when sessions expire.
        lifespan: Runs around the application's life.
        max_body_bytes: Size of one request's body at most.
        larger_bodies: Path → size, for those whose handler writes the body to disk as it comes.
        public_prefixes: Paths below which no key is asked for, since each of their addresses is one.
        description: Of the API, in its OpenAPI document.
        tags: Word that groups operations of the API → one sentence about them.
        examples: Id of an operation → a body that it takes as JSON.

    Raises:
        InvalidInput: The server would listen beyond loopback with no way to check keys.
    """
    is_loopback = is_loopback_host(settings.host)
    if not is_loopback and authenticate is None:
        raise InvalidInput(
            "web.authentication_missing",
            f"A server that listens on {settings.host} has to check keys.",
            "Listen on 127.0.0.1, or pass authenticate.",
        )
    clock = clock or SystemClock()
    sessions = Sessions(
        secret=session_secret or secrets.token_bytes(32),
        clock=clock,
        is_loopback=is_loopback,
        authenticate=authenticate,
        find_local_principal=find_local_principal,
        confirm=confirm_session,
    )
    assets = Assets()
    app = FastAPI(
        title=title,
        version=version,
        description=description,
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        openapi_url=OPENAPI_PATH,
        lifespan=lifespan,
        dependencies=[Depends(_check_csrf)],
        generate_unique_id_function=name_operation,
        redirect_slashes=False,
    )
    app.state.shell = Shell(
        settings=settings,
        title=title,
        version=version,
        clock=clock,
        assets=assets,
        navigation=NavigationRegistry(),
        problems=ProblemCatalogue(),
        live=live or LiveHub(),
        templates=Templates(clock, assets),
        sessions=sessions,
        list_projects=list_projects,
    )
    add_problem_handlers(app)
    customise_openapi(app, tags=tags, examples=examples, public_prefixes=(*PUBLIC_PREFIXES, *public_prefixes))
    for router in routers():
        app.include_router(router, include_in_schema=False)
    # The last one added is the outermost.
    app.add_middleware(
        Authentication, sessions=sessions, public_prefixes=(*PUBLIC_PREFIXES, *public_prefixes)
    )
    app.add_middleware(BodyLimit, max_body_bytes=max_body_bytes, larger=larger_bodies or {})
    app.add_middleware(OriginGuard, is_loopback=is_loopback)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_MIN_BYTES, compresslevel=GZIP_LEVEL)
    app.add_middleware(RequestFrame, clock=clock)
    return app


async def _check_csrf(request: Request) -> None:
    """Refuse a change that a session asks for without its token."""
    session = getattr(request.state, "session", None)
    if session is None or request.method in SAFE_METHODS:
        return
    token = request.headers.get("x-csrf-token", "")
    if not token and request.headers.get("content-type", "").startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    ):
        token = str((await request.form()).get("csrf_token", ""))
    get_shell(request).sessions.check_csrf(session, token)
