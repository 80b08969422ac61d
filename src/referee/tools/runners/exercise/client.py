"""One HTTP request to the app under test, bounded in time and size."""

from __future__ import annotations

import http.client
import json
import signal
import struct
import time
import zlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

MAX_BODY_BYTES = 512 * 1024
MAX_EXCERPT_CHARACTERS = 2_000
MAX_COOKIES = 20
MAX_COOKIE_CHARACTERS = 4_096
REQUEST_TIMEOUT_S = 5.0
GRACE_S = 0.5
"""How much longer than the socket's limit the whole answer may take, so that the two never meet."""

TOKEN_HEADERS = (
    ("Authorization", "Bearer {}"),
    ("Authorization", "Token {}"),
    ("Authorization", "{}"),
    ("X-Access-Token", "{}"),
)
"""How apps want a token sent, most common first."""


def _make_picture() -> bytes:
    """Return a PNG picture of one pixel."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\xff\x80\x40")),
        (b"IEND", b""),
    )
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PNG = _make_picture()


@dataclass
class Session:
    """As whom requests are sent."""

    role: str
    token: str = ""
    token_header: int = 0
    """Index into ``TOKEN_HEADERS``."""
    cookies: dict[str, str] = field(default_factory=dict)

    def headers(self) -> dict[str, str]:
        """Return the headers that say who this is."""
        found: dict[str, str] = {}
        if self.token:
            name, form = TOKEN_HEADERS[self.token_header]
            found[name] = form.format(self.token)
        if self.cookies:
            found["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        for name in ("csrftoken", "XSRF-TOKEN", "csrf_access_token"):
            if name in self.cookies:
                found["X-CSRF-TOKEN" if name == "csrf_access_token" else "X-CSRFToken"] = self.cookies[name]
        return found

    def keep_cookies(self, lines: list[str]) -> None:
        """Remember what an answer's Set-Cookie lines say."""
        for line in lines:
            name, found, value = line.partition(";")[0].strip().partition("=")
            is_plain = value.isascii() and value.isprintable() and name.isascii() and name.isprintable()
            if found and is_plain and len(line) <= MAX_COOKIE_CHARACTERS and len(self.cookies) < MAX_COOKIES:
                self.cookies[name] = value


@dataclass
class Answer:
    """What came back."""

    status: int | None
    error: str
    duration_ms: float
    content_type: str
    text: str
    value: Any
    """The body as JSON, None when it is not."""
    location: str = ""

    @property
    def is_success(self) -> bool:
        """Whether it is a 2xx."""
        return self.status is not None and 200 <= self.status < 300


def encode_body(body: Any, form: str, file_field: str) -> tuple[bytes, str]:
    """Return a body's bytes and content type; ``form`` is ``json`` or ``form``."""
    if file_field:
        boundary = "referee-boundary-7d1f"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{file_field}"; filename="picture.png"\r\n'
            "Content-Type: image/png\r\n\r\n"
        )
        data = head.encode() + PNG + f"\r\n--{boundary}--\r\n".encode()
        return data, f"multipart/form-data; boundary={boundary}"
    if form == "form":
        fields = body if isinstance(body, dict) else {}
        return urlencode({key: str(value) for key, value in fields.items()}).encode(), (
            "application/x-www-form-urlencoded"
        )
    return (b"", "") if body is None else (json.dumps(body).encode(), "application/json")


def send(
    session: Session,
    base_url: str,
    method: str,
    path: str,
    *,
    body: Any = None,
    form: str = "json",
    file_field: str = "",
    deadline: float,
) -> Answer:
    """Send one request and return what came back; never raises for what the app does."""
    parts = urlsplit(base_url)
    data, content_type = encode_body(body, form, file_field)
    headers = {"Accept": "application/json, */*;q=0.5", "User-Agent": "referee", **session.headers()}
    if content_type:
        headers["Content-Type"] = content_type
    started = time.monotonic()
    timeout_s = max(0.1, min(REQUEST_TIMEOUT_S, deadline - started))
    # A socket's own limit starts again with every byte; this one is for the whole answer.
    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, timeout_s + GRACE_S)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout_s)
    try:
        connection.request(method, path, body=data or None, headers=headers)
        response = connection.getresponse()
        content = _read(response, started + timeout_s)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = (str(error) or type(error).__name__)[:200]
        return Answer(None, reason, _since_ms(started), "", "", None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.close()
    session.keep_cookies(response.headers.get_all("Set-Cookie") or [])
    text = content.decode("utf-8", errors="replace")
    return Answer(
        response.status,
        "",
        _since_ms(started),
        (response.headers.get("Content-Type") or "")[:100],
        text[:MAX_EXCERPT_CHARACTERS],
        _parse(text),
        (response.headers.get("Location") or "")[:500],
    )


def _give_up(*_: object) -> None:
    raise TimeoutError("no whole answer came in time")


def _read(response: http.client.HTTPResponse, until: float) -> bytes:
    """Read at most ``MAX_BODY_BYTES`` and not for ever, however slowly they drip."""
    parts: list[bytes] = []
    left = MAX_BODY_BYTES
    while left > 0 and time.monotonic() < until:
        part = response.read1(min(left, 65_536))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _parse(text: str) -> Any:
    if text[:1] not in '{["-0123456789tfn' or not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _since_ms(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
