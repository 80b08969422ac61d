"""Who asks: a bearer key, a session cookie, or anyone on this machine.

On the loopback address no key is needed. Bound elsewhere, programs send a
bearer key, and people log in once with the same key: the answer is a signed
cookie that holds no secret, only who it is for and until when.

The states of a session: none → (key accepted) → valid → expired or logged out.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias
from uuid import UUID

from starlette.requests import HTTPConnection
from starlette.responses import Response

from referee.core.clock import Clock
from referee.core.errors import Forbidden, IntegrityError, NotFound, Unauthorized
from referee.core.hosts import is_loopback_host
from referee.foundation.access import Principal

__all__ = [
    "Authenticate",
    "ConfirmSession",
    "FindLocalPrincipal",
    "Session",
    "Sessions",
    "ensure_session_secret",
    "is_loopback_host",
]

Authenticate: TypeAlias = Callable[[str], Awaitable[Principal]]
"""Bearer key to principal; raises Unauthorized."""
FindLocalPrincipal: TypeAlias = Callable[[str], Awaitable[Principal]]
"""Project slug to principal, for a request on loopback without a key."""
ConfirmSession: TypeAlias = Callable[[Principal], Awaitable[None]]
"""Raises Unauthorized when the key behind a session was revoked since."""

SESSION_COOKIE: Final = "referee_session"
PROJECT_COOKIE: Final = "referee_project"
DEFAULT_PROJECT: Final = "default"
SESSION_LIFETIME: Final = timedelta(hours=12)
"""One working day; then the key is asked for again."""
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Session:
    """What a session cookie says."""

    session_id: str
    principal: Principal
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Sessions:
    """Signs and reads session cookies, and finds out who sends a request."""

    secret: bytes
    clock: Clock
    is_loopback: bool
    authenticate: Authenticate | None
    find_local_principal: FindLocalPrincipal | None
    confirm: ConfirmSession | None

    async def identify(self, request: HTTPConnection) -> tuple[Principal | None, Session | None]:
        """Return who sends a request or opens a WebSocket, and the session if that is how we know.

        Raises:
            Unauthorized: A key or a session was sent and does not hold.
        """
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme and self.authenticate is not None:
            if scheme.lower() != "bearer" or not bearer.strip():
                raise Unauthorized(
                    "access.scheme_unknown",
                    "Only bearer keys are accepted.",
                    "Send 'Authorization: Bearer <key>'.",
                )
            return await self.authenticate(bearer.strip()), None
        session = self.read(request.cookies.get(SESSION_COOKIE, ""))
        if session is not None:
            if self.confirm is not None:
                await self.confirm(session.principal)
            return session.principal, session
        if self.is_loopback and self.find_local_principal is not None:
            return await self._find_local(
                self.find_local_principal, request.cookies.get(PROJECT_COOKIE)
            ), None
        return None, None

    @staticmethod
    async def _find_local(find: FindLocalPrincipal, slug: str | None) -> Principal:
        """The project that the cookie names; the default one when that is gone since."""
        if slug is not None:
            with contextlib.suppress(NotFound):
                return await find(slug)
        return await find(DEFAULT_PROJECT)

    def start(self, principal: Principal, response: Response, *, is_https: bool) -> None:
        """Set the cookie of a new session on ``response``."""
        payload = {
            "session_id": secrets.token_urlsafe(16),
            "project_id": str(principal.project_id),
            "project_slug": principal.project_slug,
            "key_id": str(principal.key_id) if principal.key_id else None,
            "scopes": sorted(principal.scopes),
            "expires_at": (self.clock.now() + SESSION_LIFETIME).isoformat(),
        }
        body = _encode(json.dumps(payload, separators=(",", ":")).encode())
        response.set_cookie(
            SESSION_COOKIE,
            f"{body}.{self._sign('session', body)}",
            max_age=int(SESSION_LIFETIME.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=is_https,
        )

    def read(self, cookie: str) -> Session | None:
        """Return the session in a cookie; None when it is absent, forged, cut or expired."""
        body, _, signature = cookie.partition(".")
        if not signature or not hmac.compare_digest(signature.encode(), self._sign("session", body).encode()):
            return None
        try:
            payload = json.loads(_decode(body))
            expires_at = datetime.fromisoformat(payload["expires_at"])
            principal = Principal(
                project_id=UUID(payload["project_id"]),
                project_slug=payload["project_slug"],
                key_id=UUID(payload["key_id"]) if payload["key_id"] else None,
                scopes=frozenset(payload["scopes"]),
            )
            session = Session(payload["session_id"], principal, expires_at)
        except (ValueError, KeyError, TypeError, binascii.Error):
            return None
        return session if expires_at > self.clock.now() else None

    def csrf_token(self, session: Session | None) -> str:
        """Return the token that forms of a session carry; empty where the Origin check alone guards."""
        return self._sign("csrf", session.session_id) if session is not None else ""

    def check_csrf(self, session: Session, token: str) -> None:
        """Refuse a changing request whose token does not belong to its session.

        Raises:
            Forbidden: The token is absent or another session's.
        """
        if not hmac.compare_digest(token.encode(), self.csrf_token(session).encode()):
            raise Forbidden(
                "request.csrf_token_invalid",
                "The form does not belong to the present session.",
                "Open the page again and repeat the action.",
            )

    def _sign(self, purpose: str, text: str) -> str:
        return _encode(hmac.digest(self.secret, f"{purpose}:{text}".encode(), hashlib.sha256))


def ensure_session_secret(path: Path) -> bytes:
    """Return the secret kept at ``path``, made there on first use, readable by its owner only.

    Processes that start together agree: the file appears whole, and the first one to
    link it there wins.

    Raises:
        IntegrityError: The file is shorter than a secret.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".session-") as file:  # made with mode 0600
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)
    secret = path.read_bytes()
    if len(secret) < SECRET_BYTES:
        raise IntegrityError(
            "web.session_secret_cut",
            f"The session secret {path} has only {len(secret)} bytes.",
            "Delete the file; everyone then logs in again.",
        )
    return secret


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
