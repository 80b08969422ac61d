"""Talk to a running app the way a client of its template would: register, log in, create, read, change, delete.

The talking is done by ``runners/exercise`` inside the app's network. Here the
job is put together from the template, the routes and the accounts that the
source shows, and what came back is read.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, cast, get_args

from referee.core.findings import JsonValue
from referee.core.templates import Endpoint
from referee.foundation.sandbox import Limits
from referee.tools.app_targets import get_app
from referee.tools.contract import RawOutput, RunKit, RunningApp
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    get_integer,
    get_text,
    read_json,
    shorten,
)
from referee.tools.routes import Route, match_key
from referee.tools.running import RUNNERS_DIR, run_tool_command, work_dir
from referee.tools.seeded_accounts import find_seeded_accounts

__all__ = ["REPORT", "Exchange", "Exercise", "ReadableUrl", "Role", "exercise_app", "read_exercise"]

Role = Literal["visitor", "person", "admin"]

REPORT: Final = "exercise.json"
BUDGET_S: Final = 20.0
"""Time for all requests together; what is left then is told and not made."""
WALL_S: Final = 40.0
MAX_ENDPOINTS: Final = 200
MAX_EXTRA_READS: Final = 40
MAX_EXCHANGES: Final = 600
MAX_REPORT_BYTES: Final = 16 * 1024 * 1024

_QUERY: Final = re.compile(
    r"\b(?:given|passed|sent) as (?:the )?(?:query )?(?:parameter )?[`'\"]?(\w{1,40})", re.I
)
_QUERY_NAMED: Final = re.compile(r"\bquery (?:parameter|string)s? [`'\"]?(\w{1,40})|[?&](\w{1,40})=", re.I)
_FILE_FIELD: Final = re.compile(r"\bform field [`'\"]?(\w{1,40})", re.I)
_UPLOAD: Final = re.compile(r"\bupload", re.I)
_SIGN_IN: Final = re.compile(
    r"/(register|registration|sign-?_?up|login|log-in|signin|sign-in|token|authenticate|sessions?|auth)/?$",
    re.I,
)
_ADMIN_PATH: Final = re.compile(r"(^|/)admin(/|$)", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One HTTP request to the app, and what came back."""

    target: str
    method: str
    path: str
    """As it was sent, ids filled in."""
    route_path: str
    """As the template or the source writes it, such as ``/api/tasks/:id``."""
    role: Role
    """As whom it was sent."""
    status: int | None
    """None when no answer came."""
    error: str
    """Why none came; else empty."""
    duration_ms: float
    request_body: JsonValue
    response_excerpt: str
    """Beginning of the body, at most 2,000 characters."""
    content_type: str
    location: str = ""
    """Where a redirect leads."""
    has_guessed_id: bool = False
    """Whether an id in the path was made up because no answer had shown one: a 404 then tells nothing."""
    response_shape: JsonValue = None
    """Types of the whole JSON answer: a type word, fields of an object, a list of its first entry; None: no JSON."""

    @property
    def is_success(self) -> bool:
        """Whether it was answered with a 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether it was answered with 401 or 403, or sent to a page to log in."""
        if self.status in (401, 403):
            return True
        is_moved = self.status in (301, 302, 303, 307, 308)
        return is_moved and bool(re.search(r"login|signin|sign-in|auth", self.location, re.I))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadableUrl:
    """A GET that answered with 2xx, ready to be sent again, for load tools."""

    target: str
    url: str
    route_path: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """What the app answered."""

    exchanges: tuple[Exchange, ...]
    readable: tuple[ReadableUrl, ...]
    """Each target's ``/`` where it answers, and every readable route; at most 100."""
    notices: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ("visitor",)
    """Those that requests could be sent as: who could log in."""

    @property
    def has_answers(self) -> bool:
        """Whether anything answered at all."""
        return any(exchange.status is not None for exchange in self.exchanges)


async def exercise_app(kit: RunKit, routes: tuple[Route, ...], *, label: str = "exercise") -> RawOutput:
    """Run the exercise against ``kit.app`` in its network and return its raw output (stream ``exercise.json``).

    Endpoints come from ``kit.template`` where there is one, else from ``routes``.

    Raises:
        Unavailable: There is no running app.
    """
    job = await asyncio.to_thread(_make_job, kit, get_app(kit), routes)
    base = Path(sys.base_prefix)
    interpreter = Path(str(getattr(sys, "_base_executable", sys.executable)))
    return await run_tool_command(
        kit,
        label,
        [str(interpreter), "-I", "-S", str(RUNNERS_DIR / "exercise" / "__main__.py"), str(RUNNERS_DIR)],
        report_files=[REPORT],
        working_dir=work_dir(kit),
        read_only=tuple(dict.fromkeys((RUNNERS_DIR, base, base.resolve()))),
        stdin=json.dumps(job).encode("ascii"),
        limits=_limit(kit.limits),
    )


def _limit(limits: Limits) -> Limits:
    return replace(
        limits, wall_s=min(limits.wall_s, WALL_S), output_bytes=min(limits.output_bytes, MAX_REPORT_BYTES)
    )


def _make_job(kit: RunKit, app: RunningApp, routes: tuple[Route, ...]) -> dict[str, JsonValue]:
    names = [target.name for target in app.targets]
    backend = "backend" if "backend" in names else names[0]
    if kit.template is not None:
        endpoints = [_describe_endpoint(endpoint, backend) for endpoint in kit.template.endpoints]
    else:
        endpoints = [
            _describe_route(route, names, backend) for route in routes if route.target in ("backend", *names)
        ]
    known = {(entry["method"], match_key(str(entry["path"]))) for entry in endpoints}
    others = [route for route in routes if (route.method, match_key(route.path)) not in known]
    extra = [route for route in others if route.method == "GET" and "*" not in route.path]
    return {
        "targets": [{"name": target.name, "url": target.url} for target in app.targets],
        "endpoints": list[JsonValue](endpoints[:MAX_ENDPOINTS]),
        "extra_reads": [
            _describe_route(route, names, backend)
            for route in extra[:MAX_EXTRA_READS]
            if route.target == "backend" or route.target in names
        ],
        "sign_in": [
            _describe_route(route, names, backend) for route in others if _SIGN_IN.search(route.path)
        ],
        "accounts": [
            {"name": account.name, "password": account.password, "is_admin": account.is_admin}
            for account in find_seeded_accounts(kit.snapshot)
        ],
        "has_template": kit.template is not None,
        "nonce": sha256(app.app_run_id.encode() + str(kit.scratch_dir).encode()).hexdigest()[:8],
        "budget_s": BUDGET_S,
    }


def _describe_endpoint(endpoint: Endpoint, target: str) -> dict[str, JsonValue]:
    path, _, query = endpoint.path.partition("?")
    names = [match.group(1) for match in _QUERY.finditer(endpoint.description)]
    names += [match.group(1) or match.group(2) for match in _QUERY_NAMED.finditer(endpoint.description)]
    names += [pair.partition("=")[0] for pair in query.split("&") if pair]
    file_match = _FILE_FIELD.search(endpoint.description)
    is_upload = endpoint.method in ("POST", "PUT") and endpoint.request is None
    file_field = ""
    if is_upload and (file_match or _UPLOAD.search(endpoint.description)):
        file_field = file_match.group(1) if file_match else "file"
    return {
        "method": endpoint.method,
        "path": path,
        "target": target,
        "request": endpoint.request,
        "query": list[JsonValue](dict.fromkeys(names)) if endpoint.method == "GET" else [],
        "file_field": file_field,
        "is_admin": endpoint.is_admin,
    }


def _describe_route(route: Route, names: list[str], backend: str) -> dict[str, JsonValue]:
    return {
        "method": route.method,
        "path": route.path,
        "target": route.target if route.target in names else backend,
        "request": None,
        "query": [],
        "file_field": "",
        "is_admin": bool(_ADMIN_PATH.search(route.path)),
    }


def read_exercise(raw: RawOutput) -> Exercise:
    """Return what ``exercise.json`` says.

    Raises:
        OutputUnreadable: It is absent, cut, or not what the exercise writes.
    """
    document = as_object(read_json(raw, REPORT), REPORT)
    if document.get("kind") != "exercise" or document.get("is_whole") is not True:
        raise OutputUnreadable(f"{REPORT} is not what the exercise writes.")
    exchanges = as_array(document.get("exchanges"), "exchanges")[:MAX_EXCHANGES]
    readable = as_array(document.get("readable"), "readable")
    roles = as_array(document.get("roles"), "roles")
    return Exercise(
        exchanges=tuple(_read_exchange(as_object(entry, "an exchange")) for entry in exchanges),
        readable=tuple(_read_readable(as_object(entry, "a readable address")) for entry in readable[:100]),
        notices=tuple(shorten(str(notice)) for notice in as_array(document.get("notices"), "notices")),
        roles=tuple(_read_role(role) for role in roles),
    )


def _read_exchange(entry: dict[str, JsonValue]) -> Exchange:
    duration = entry.get("duration_ms")
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise OutputUnreadable("The field 'duration_ms' is not a number.")
    return Exchange(
        target=get_text(entry, "target"),
        method=get_text(entry, "method"),
        path=shorten(get_text(entry, "path")),
        route_path=shorten(get_text(entry, "route_path")),
        role=_read_role(entry.get("role")),
        status=get_integer(entry, "status"),
        error=shorten(get_text(entry, "error"), limit=300),
        duration_ms=float(duration),
        request_body=entry.get("request_body"),
        response_excerpt=shorten(get_text(entry, "response_excerpt")),
        content_type=shorten(get_text(entry, "content_type"), limit=100),
        location=shorten(get_text(entry, "location", default=""), limit=500),
        has_guessed_id=entry.get("has_guessed_id") is True,
        response_shape=entry.get("response_shape"),
    )


def _read_readable(entry: dict[str, JsonValue]) -> ReadableUrl:
    headers = as_object(entry.get("headers"), "headers")
    return ReadableUrl(
        target=get_text(entry, "target"),
        url=get_text(entry, "url"),
        route_path=get_text(entry, "route_path"),
        headers={name: get_text(headers, name) for name in headers},
    )


def _read_role(value: JsonValue) -> Role:
    if value not in get_args(Role):
        raise OutputUnreadable("An exchange names an unknown role.")
    return cast(Role, value)  # it is one of them
