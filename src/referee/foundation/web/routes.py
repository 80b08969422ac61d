"""The shell's own addresses: static files, login, theme, project, jump, live and problem pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import APIRouter, Form, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from referee.core.errors import InvalidInput, NotFound, Unauthorized
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.assets import STATIC_PREFIX
from referee.foundation.web.live import LiveStream, encode_event
from referee.foundation.web.patterns import router as patterns_router
from referee.foundation.web.problem_catalogue import is_problem_code
from referee.foundation.web.rendering import THEMES, render_page
from referee.foundation.web.sessions import PROJECT_COOKIE, SESSION_COOKIE
from referee.foundation.web.shell import get_shell

__all__ = ["routers"]

YEAR_S = 365 * 86_400

_router = APIRouter()


def routers() -> Sequence[APIRouter]:
    """Return the routers of the shell."""
    return (_router, patterns_router)


class _LiveResponse(StreamingResponse):
    """Sends a stream's events, and closes the stream however the connection ends."""

    def __init__(self, stream: LiveStream, stack: AsyncExitStack) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_encode_events(stream), media_type="text/event-stream", headers=headers)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _encode_events(stream: LiveStream) -> AsyncIterator[str]:
    async for event in stream.events():
        yield encode_event(event)


class JumpAnswer(BaseModel):
    """One result of "Jump to"."""

    label: str
    url: str
    kind: str
    detail: str


@_router.get(STATIC_PREFIX + "/{digest}/{path:path}")
async def get_static(request: Request, digest: str, path: str) -> Response:
    """Send a static file."""
    response = get_shell(request).assets.respond(digest, path)
    if request.headers.get("if-none-match") == response.headers["etag"]:
        return Response(status_code=304, headers={"ETag": response.headers["etag"]})
    return response


@_router.get("/problems")
async def list_problems(request: Request) -> Response:
    """Show every explained problem."""
    problems = get_shell(request).problems.explanations
    return await render_page(request, "problem_list.html", {"problems": problems}, title="Problems")


@_router.get("/problems/{code}")
async def show_problem(request: Request, code: str) -> Response:
    """Explain one problem code."""
    if not is_problem_code(code):
        raise NotFound("web.problem_unknown", f"{code[:80]!r} is not the code of a problem.")
    explanation = get_shell(request).problems.find(code)
    context = {"code": code, "explanation": explanation}
    return await render_page(request, "problem_explanation.html", context, title=f"Problem {code}")


@_router.get("/ui/jump")
async def find_jump_hits(
    request: Request, principal: PrincipalParameter, q: Annotated[str, Query(max_length=200)] = ""
) -> list[JumpAnswer]:
    """Return what "Jump to" offers for a text."""
    hits = await get_shell(request).navigation.find_hits(principal, q)
    return [JumpAnswer(label=hit.label, url=hit.url, kind=hit.kind, detail=hit.detail) for hit in hits]


@_router.get("/ui/live")
async def stream_events(
    request: Request, principal: PrincipalParameter, topics: Annotated[str, Query(max_length=4_000)] = ""
) -> Response:
    """Stream the events of some topics as server-sent events."""
    hub = get_shell(request).live
    wanted = await hub.check_topics(principal, topics.split(","))
    async with AsyncExitStack() as stack:
        stream = await stack.enter_async_context(hub.open_stream(wanted, principal.project_id))
        return _LiveResponse(stream, stack.pop_all())


@_router.post("/ui/theme")
async def set_theme(
    request: Request, theme: Annotated[str, Form()], next: Annotated[str, Form()] = "/"
) -> Response:
    """Keep light, dark or the system's choice in a cookie, and go back to the page."""
    if theme not in THEMES:
        raise InvalidInput(
            "web.theme_unknown", f"{theme!r} is not a theme.", f"Themes are: {', '.join(THEMES)}."
        )
    response = _go_back(next)
    response.set_cookie(
        get_shell(request).settings.theme_cookie, theme, max_age=YEAR_S, httponly=True, samesite="lax"
    )
    return response


@_router.post("/ui/project")
async def set_project(
    request: Request,
    principal: PrincipalParameter,
    project: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Switch to another project that this principal may see."""
    shell = get_shell(request)
    choices = await shell.list_projects(principal) if shell.list_projects else ()
    if project not in {choice.slug for choice in choices}:
        raise NotFound("project.not_found", f"There is no project {project!r}.")
    response = _go_back(next)
    response.set_cookie(PROJECT_COOKIE, project, max_age=YEAR_S, httponly=True, samesite="lax")
    return response


@_router.get("/ui/login")
async def show_login(request: Request, next: str = "/") -> Response:
    """Show the form that takes a key."""
    return await render_page(request, "login.html", {"next": _own_path(next), "error": None}, title="Log in")


@_router.post("/ui/login")
async def log_in(
    request: Request, key: Annotated[str, Form()], next: Annotated[str, Form()] = "/"
) -> Response:
    """Start a session for a key."""
    sessions = get_shell(request).sessions
    try:
        if sessions.authenticate is None:
            raise Unauthorized("access.key_unused", "This server takes no keys.", "Open its pages directly.")
        principal = await sessions.authenticate(key.strip())
    except Unauthorized as error:
        context = {"next": _own_path(next), "error": error}
        return await render_page(request, "login.html", context, title="Log in", status=401)
    response = _go_back(next)
    sessions.start(principal, response, is_https=request.url.scheme == "https")
    return response


@_router.post("/ui/logout")
async def log_out(request: Request) -> Response:
    """End the session of this browser."""
    response = RedirectResponse("/ui/login", status_code=303)
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
    return response


def _go_back(target: str) -> RedirectResponse:
    return RedirectResponse(_own_path(target), status_code=303)


def _own_path(target: str) -> str:
    """Return ``target`` when it is a path of this server, else the start page: no redirect leads elsewhere."""
    is_own = (
        target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    )
    return target if is_own else "/"
