"""Paths that an app should not answer, and how to tell that it really does.

An app with a catch-all route answers every path with 200. So each answer is held against the app's
own answer to a path that cannot exist, and anything serious must show what such a file holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from referee.tools.curl_transfers import Answer
from referee.tools.reading import decode_text, shorten

__all__ = [
    "EXPOSED_PATHS",
    "Depth",
    "ExposedPath",
    "find_exposed_path",
    "hide_values",
    "is_exposed",
    "list_paths",
]

Depth = Literal["quick", "standard", "deep"]
_DEPTHS: Final[tuple[Depth, ...]] = ("quick", "standard", "deep")

_MAX_JUDGED_BYTES: Final = 256 * 1024
"""Of a body, for signatures; each pattern takes time in proportion to it, whatever an app puts there."""
_LENGTH_TOLERANCE_BYTES: Final = 96
"""Two pages of the same title and nearly the same length are the same page with another token in it."""


@dataclass(frozen=True, slots=True)
class ExposedPath:
    """A path to ask for."""

    path: str
    rule_id: str
    signature: str = ""
    """What the body must match (searched, with ^ at each line); empty: that it is no page of the app's usual kind."""
    depth: Depth = "quick"
    is_html_meant: bool = False
    """Whether the thing looked for is a page; else an HTML answer is a page of the app, not the file."""


_SQL_DUMP: Final = r"^(CREATE TABLE|INSERT INTO|-- (MySQL|PostgreSQL|SQLite) )|^SQLite format 3\x00"
_KEY_VALUES: Final = r"^[ \t]*(export[ \t]+)?[A-Z][A-Z0-9_]{2,60}[ \t]*="

EXPOSED_PATHS: Final[tuple[ExposedPath, ...]] = (
    ExposedPath("/.git/HEAD", "exposed-git-repository", r"\Aref: refs/|\A[0-9a-f]{40}\s*\Z"),
    ExposedPath("/.git/config", "exposed-git-repository", r"^\[core\]", "standard"),
    ExposedPath("/.env", "exposed-environment-file", _KEY_VALUES),
    ExposedPath("/.env.local", "exposed-environment-file", _KEY_VALUES, "standard"),
    ExposedPath("/.env.production", "exposed-environment-file", _KEY_VALUES, "deep"),
    ExposedPath("/backend/.env", "exposed-environment-file", _KEY_VALUES, "deep"),
    ExposedPath(
        "/config",
        "open-configuration",
        r"(?i)(secret|password|passwd|api_?key|token|database_ur[il])[\"']?\s*[:=]",
    ),
    ExposedPath(
        "/config.json",
        "open-configuration",
        r"(?i)[\"'](secret|password|passwd|\w{0,40}api_?key|\w{0,40}token|database_ur[il])\w{0,40}[\"']\s*:",
        "standard",
    ),
    ExposedPath(
        "/config.py",
        "exposed-source-code",
        r"^[ \t]{0,16}(import |from \w+ import |class \w+|[A-Z_]{1,60}[ \t]*=)",
        "standard",
    ),
    ExposedPath("/app.py", "exposed-source-code", r"^[ \t]{0,16}(import |from \w+ import )", "standard"),
    ExposedPath(
        "/server.js",
        "exposed-source-code",
        r"require\(['\"]express['\"]\)|from ['\"]express['\"]",
        "standard",
    ),
    ExposedPath("/backup", "exposed-backup", _SQL_DUMP + r"|\APK\x03\x04|\A\x1f\x8b"),
    ExposedPath("/backup.sql", "exposed-backup", _SQL_DUMP, "standard"),
    ExposedPath("/backup.zip", "exposed-backup", r"\APK\x03\x04", "standard"),
    ExposedPath("/backup.tar.gz", "exposed-backup", r"\A\x1f\x8b", "deep"),
    ExposedPath("/database.db", "exposed-backup", r"\ASQLite format 3\x00", "standard"),
    ExposedPath("/app.db", "exposed-backup", r"\ASQLite format 3\x00", "standard"),
    ExposedPath("/db.sqlite3", "exposed-backup", r"\ASQLite format 3\x00", "standard"),
    ExposedPath("/instance/app.db", "exposed-backup", r"\ASQLite format 3\x00", "deep"),
    ExposedPath("/admin", "open-admin-page", is_html_meant=True),
    ExposedPath(
        "/server-status",
        "open-server-status",
        r"(?i)Apache (Server )?Status|Server Version:",
        is_html_meant=True,
    ),
    ExposedPath(
        "/server-info", "open-server-status", r"Apache Server Information", "deep", is_html_meant=True
    ),
    ExposedPath(
        "/debug",
        "open-debug-page",
        r"Traceback|[Dd]ebug ?[Tt]oolbar|os\.environ|process\.env|SECRET_KEY",
        is_html_meant=True,
    ),
    ExposedPath(
        "/console", "open-debug-console", r"__debugger__|Interactive Console|EVALEX", is_html_meant=True
    ),
    ExposedPath("/.DS_Store", "exposed-folder-listing", r"\A\x00\x00\x00\x01Bud1"),
    ExposedPath(
        "/static/",
        "exposed-folder-listing",
        r"(?i)<title>\s{0,16}(Index of /|Directory listing for )",
        "standard",
        is_html_meant=True,
    ),
    ExposedPath(
        "/uploads/",
        "exposed-folder-listing",
        r"(?i)<title>\s{0,16}(Index of /|Directory listing for |listing directory)",
        "standard",
        is_html_meant=True,
    ),
    ExposedPath("/openapi.json", "open-api-description", r"[\"'](openapi|swagger)[\"']\s*:"),
    ExposedPath("/swagger.json", "open-api-description", r"[\"'](openapi|swagger)[\"']\s*:", "standard"),
    ExposedPath("/docs", "open-api-description", r"(?i)swagger-ui|redoc", is_html_meant=True),
    ExposedPath(
        "/graphql?query=%7B__schema%7BqueryType%7Bname%7D%7D%7D",
        "open-api-description",
        r"[\"']__schema[\"']",
        "standard",
    ),
    ExposedPath("/metrics", "open-metrics", r"^# (HELP|TYPE) \w+", "standard"),
    ExposedPath(
        "/package.json",
        "exposed-project-file",
        r"[\"'](dependencies|devDependencies|scripts)[\"']\s*:",
        "standard",
    ),
    ExposedPath("/requirements.txt", "exposed-project-file", r"^[A-Za-z0-9_.\[\]-]+\s*[=<>~!]=", "standard"),
    ExposedPath("/docker-compose.yml", "exposed-project-file", r"^services:", "standard"),
    ExposedPath("/Dockerfile", "exposed-project-file", r"^FROM \S+", "deep"),
    ExposedPath("/.htpasswd", "exposed-password-file", r"^[^:\s]+:(\$apr1\$|\$2[aby]\$|\{SHA\})", "deep"),
    ExposedPath(
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "path-traversal",
        r"^root:[^:]*:0:0:",
        "standard",
    ),
    ExposedPath(
        "/static/../../../../../../../../etc/passwd", "path-traversal", r"^root:[^:]*:0:0:", "standard"
    ),
    ExposedPath("/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd", "path-traversal", r"^root:[^:]*:0:0:", "deep"),
)
"""What is asked for, in order; ``depth`` says from which preset on."""

_BY_PATH: Final = {entry.path: entry for entry in EXPOSED_PATHS}

_TITLE: Final = re.compile(rb"<title[^>]{0,200}>(.{0,200}?)</title>", re.IGNORECASE | re.DOTALL)
_PASSWORD_FIELD: Final = re.compile(rb"""type\s*=\s*["']?password""", re.IGNORECASE)


def list_paths(depth: Depth) -> tuple[ExposedPath, ...]:
    """Return the paths that are asked for at a depth."""
    wanted = _DEPTHS[: _DEPTHS.index(depth) + 1]
    return tuple(entry for entry in EXPOSED_PATHS if entry.depth in wanted)


def find_exposed_path(path: str) -> ExposedPath | None:
    """Return the entry of a path as it was sent, None for another."""
    return _BY_PATH.get(path)


def is_exposed(entry: ExposedPath, answer: Answer, usual: Sequence[Answer]) -> bool:
    """Return whether an answer shows that the path is exposed.

    Args:
        entry: What was asked for.
        answer: What came back.
        usual: The app's answers to paths that do not exist, and its start page.
    """
    if not 200 <= answer.status < 300 or not answer.body.strip():
        return False
    if answer.is_html and (
        not entry.is_html_meant or _PASSWORD_FIELD.search(answer.body[:_MAX_JUDGED_BYTES])
    ):
        return False
    if any(_is_same_page(answer, other) for other in usual):
        return False
    if not entry.signature:
        return True
    body = answer.body[:_MAX_JUDGED_BYTES]
    return re.search(entry.signature.encode("latin-1"), body, re.MULTILINE) is not None


def hide_values(body: bytes, *, limit: int = 300) -> str:
    """Return the beginning of a text with the values of assignments left out: evidence that holds no secret."""
    text = decode_text(body[:4096])
    hidden = re.sub(r"""(?m)([=:]\s*)["']?[^\s"',;{}\[\]][^"',;{}\[\]\n]*""", r"\1…", text)
    printable = "".join(letter if letter.isprintable() or letter == "\n" else "·" for letter in hidden)
    return shorten(printable.strip(), limit=limit)


def _is_same_page(answer: Answer, other: Answer) -> bool:
    if answer.status != other.status or answer.media_type != other.media_type:
        return False
    if _digest(answer) == _digest(other):
        return True
    title = _TITLE.search(answer.body[:_MAX_JUDGED_BYTES])
    other_title = _TITLE.search(other.body[:_MAX_JUDGED_BYTES])
    return (
        title is not None
        and other_title is not None
        and title.group(1) == other_title.group(1)
        and abs(len(answer.body) - len(other.body)) <= _LENGTH_TOLERANCE_BYTES
    )


def _digest(answer: Answer) -> str:
    """Return a digest that does not change when the page only repeats the path it was asked for."""
    path = answer.probe.path.encode()
    body = answer.body.replace(path, b"") if len(path) > 1 else answer.body
    return hashlib.sha256(body).hexdigest()
