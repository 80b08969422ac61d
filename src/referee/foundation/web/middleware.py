"""What happens to every request before and after its handler.

From the outside in: a request id, security headers and the last catch for what
nobody foresaw; Host and Origin; the body limit; who asks. Each refuses with a
``RefereeError`` that becomes problem details like any other.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from referee.core.clock import Clock
from referee.core.errors import Forbidden, PayloadTooLarge, RefereeError, Unauthorized
from referee.foundation.access import Principal
from referee.foundation.web.assets import STATIC_PREFIX
from referee.foundation.web.problems import answer_problem
from referee.foundation.web.scopes import SAFE_METHODS, find_scope
from referee.foundation.web.sessions import Sessions

__all__ = ["CONTENT_SECURITY_POLICY", "Authentication", "BodyLimit", "OriginGuard", "RequestFrame"]

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self'",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_HEADER_PAIRS: Final = tuple(
    (name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()
)
"""As ASGI sends them: every answer gets them, so they are written once."""
_REQUEST_ID_HEADER: Final = b"x-request-id"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RequestFrame:
    """Gives each request an id, each answer its headers, and the unforeseen a 500 without its inside."""

    app: ASGIApp
    clock: Clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started_ns = self.clock.monotonic_ns()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _complete_headers(message.get("headers", ()), request_id)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_headers)
            except Exception as error:
                _log.exception("request.failed", method=scope["method"], path=scope["path"])
                if status:
                    raise
                response = await answer_problem(Request(scope, receive), error)
                await response(scope, receive, send_with_headers)
            duration_ms = (self.clock.monotonic_ns() - started_ns) / 1e6
            _log.debug(
                "request.finished",
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=round(duration_ms, 1),
            )


def _complete_headers(given: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer with those that every answer has; what the handler set stays."""
    headers = [(name, value) for name, value in given if name.lower() != _REQUEST_ID_HEADER]
    names = {name.lower() for name, _ in headers}
    return [
        *headers,
        (_REQUEST_ID_HEADER, request_id.encode()),
        *(pair for pair in _HEADER_PAIRS if pair[0] not in names),
    ]


@dataclass(frozen=True, slots=True)
class OriginGuard:
    """Refuses foreign names of this machine, and changes that another site's page asks for."""

    app: ASGIApp
    is_loopback: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                self._check_host(headers)
                if scope["method"] not in SAFE_METHODS:
                    self._check_origin(headers)
            except RefereeError as error:
                response = await answer_problem(Request(scope, receive), error)
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        if self.is_loopback and not _is_local_name(headers.get("host", "")):
            raise Forbidden(
                "request.host_refused",
                "This server answers only to localhost, 127.0.0.1 and [::1].",
                "Open it under one of those names, or set REFEREE_HOST to listen elsewhere with keys.",
            )

    def _check_origin(self, headers: Headers) -> None:
        site = headers.get("sec-fetch-site")
        origin = headers.get("origin")
        is_own = site in ("same-origin", "none") if site else True
        if origin is not None and site is None:
            is_own = urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        if not is_own:
            raise Forbidden(
                "request.origin_refused",
                "A page of another site may not change anything here.",
                "Use Referee's own pages, or a program that sends no Origin.",
            )


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """Refuses a body with more bytes than the limit, announced or not."""

    app: ASGIApp
    max_body_bytes: int
    larger: Mapping[str, int] = field(default_factory=dict)
    """Path → bytes that a body for it may have, where that is more: it is written to disk as it comes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit_bytes = self.larger.get(scope["path"], self.max_body_bytes)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > limit_bytes:
            response = await answer_problem(Request(scope, receive), self._error(limit_bytes))
            await response(scope, receive, send)
            return
        received_bytes = 0
        is_started = False

        async def receive_counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > limit_bytes:
                raise self._error(limit_bytes)
            return message

        async def send_unless_over(message: Message) -> None:
            # The framework answers 400 when reading fails; ours says why.
            nonlocal is_started
            if is_started or received_bytes <= limit_bytes:
                is_started = True
                await send(message)

        try:
            await self.app(scope, receive_counted, send_unless_over)
        except PayloadTooLarge:
            if is_started or received_bytes <= limit_bytes:
                raise
        if received_bytes > limit_bytes and not is_started:
            response = await answer_problem(Request(scope, receive), self._error(limit_bytes))
            await response(scope, receive, send)

    def _error(self, limit_bytes: int) -> PayloadTooLarge:
        return PayloadTooLarge(
            "request.body_too_large",
            f"The body has more than the {limit_bytes:,} bytes that one request may have.",
            "Send less at once.",
            max_body_bytes=limit_bytes,
        )


@dataclass(frozen=True, slots=True)
class Authentication:
    """Finds out who asks; without a principal only the public paths are served."""

    app: ASGIApp
    sessions: Sessions
    public_prefixes: tuple[str, ...]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        is_public = _is_below(scope["path"], self.public_prefixes)
        state = scope.setdefault("state", {})
        state["principal"] = state["session"] = None
        try:
            if not scope["path"].startswith(STATIC_PREFIX):
                state["principal"], state["session"] = await self.sessions.identify(request)
            if not is_public:
                _check_scope(state["principal"], scope)
        except RefereeError as error:
            if not (is_public and isinstance(error, Unauthorized)):
                response = await answer_problem(request, error)
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _check_scope(principal: Principal | None, scope: Scope) -> None:
    """Let a request pass that its principal may make; rooms ask for more where more is needed."""
    if principal is None:
        raise Unauthorized(
            "access.key_missing", "A key is needed here.", "Send it as a bearer key, or log in."
        )
    principal.require(find_scope(scope["method"], scope["path"]))


def _is_below(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)


def _is_local_name(host: str) -> bool:
    """Whether a Host header names this machine itself, whatever the port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
