"""Turns a template and a context into a whole page: side bar, breadcrumb, theme and twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from starlette.requests import Request
from starlette.responses import HTMLResponse

from referee.foundation.web.navigation import ShownEntry
from referee.foundation.web.shell import ProjectChoice, Shell, find_principal, get_shell

__all__ = ["Crumb", "PageFrame", "Theme", "read_theme", "render_page"]

Theme: TypeAlias = Literal["light", "dark", "system"]
THEMES: tuple[Theme, ...] = ("light", "dark", "system")


@dataclass(frozen=True, slots=True)
class Crumb:
    """One step of the breadcrumb above the page."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class PageFrame:
    """What the layout needs besides the page's own content; ``page`` in every template."""

    title: str
    app_title: str
    version: str
    theme: Theme
    path: str
    url: str
    """Path and query, for coming back after a form."""
    twin_url: str | None
    """The JSON of the same data."""
    breadcrumb: Sequence[Crumb]
    groups: Sequence[tuple[str, Sequence[ShownEntry]]]
    projects: Sequence[ProjectChoice]
    project_slug: str
    request_id: str
    csrf_token: str
    is_logged_in: bool
    keys: Sequence[tuple[str, str]]
    """Letters that lead to a room after ``g``, with the room's name."""


async def render_page(
    request: Request,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    title: str,
    twin_url: str | None = None,
    breadcrumb: Sequence[Crumb] = (),
    status: int = 200,
) -> HTMLResponse:
    """Return the page that ``template`` makes of ``context``.

    Args:
        request: The request; its principal decides what the side bar counts.
        template: Name such as ``analysis/list.html``; it extends ``layout.html``.
        context: What the template uses. The name ``page`` is taken by the frame.
        title: What the tab and history say, without the product's name.
        twin_url: Address of the same data as JSON; advertised as ``rel=alternate``.
        breadcrumb: Steps above this page, the page itself left out.
        status: HTTP status.
    """
    shell = get_shell(request)
    frame = await _build_frame(request, shell, title, twin_url, breadcrumb)
    text = shell.templates.render(template, {**(context or {}), "page": frame})
    headers = {"Cache-Control": "no-store", "Vary": "Cookie, HX-Request"}
    if twin_url is not None:
        headers["Link"] = f'<{twin_url}>; rel="alternate"; type="application/json"'
    return HTMLResponse(text, status, headers)


def read_theme(request: Request, shell: Shell) -> Theme:
    """Return the theme that the cookie asks for; ``system`` when it says nothing known."""
    wanted = request.cookies.get(shell.settings.theme_cookie, "")
    return next((theme for theme in THEMES if theme == wanted), "system")


async def _build_frame(
    request: Request, shell: Shell, title: str, twin_url: str | None, breadcrumb: Sequence[Crumb]
) -> PageFrame:
    principal = find_principal(request)
    projects: Sequence[ProjectChoice] = ()
    if principal is not None and shell.list_projects is not None:
        projects = await shell.list_projects(principal)
    session = getattr(request.state, "session", None)
    path = request.url.path
    return PageFrame(
        title=title,
        app_title=shell.title,
        version=shell.version,
        theme=read_theme(request, shell),
        path=path,
        url=path + (f"?{request.url.query}" if request.url.query else ""),
        twin_url=twin_url,
        breadcrumb=breadcrumb,
        groups=await shell.navigation.show(principal, path),
        projects=projects,
        project_slug=principal.project_slug if principal is not None else "",
        request_id=getattr(request.state, "request_id", ""),
        csrf_token=shell.sessions.csrf_token(session),
        is_logged_in=session is not None,
        keys=[(entry.key, entry.label) for entry in shell.navigation.entries if entry.key],
    )
