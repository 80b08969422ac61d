"""Looking into an app's JSON answers: tokens, ids, and what types its fields have."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

MAX_NODES = 2_000
MAX_SHAPE_DEPTH = 4
MAX_SHAPE_KEYS = 60
MAX_SHAPE_NODES = 200
MAX_KEY_CHARACTERS = 60
MAX_TEXT_CHARACTERS = 200
MAX_NUMBER = 10**18
"""Ids of databases have at most 19 digits; a longer number is no id."""

TOKEN_KEYS = (
    "token", "access_token", "accesstoken", "access", "jwt", "auth_token", "authtoken", "id_token", "idtoken",
    "session_token", "sessiontoken", "bearer", "key", "api_key", "session_id", "sessionid",
)  # fmt: skip
_REQUIRED = re.compile(r"((?:\w+(?:, ?| and ))*\w+) (?:is|are) required", re.IGNORECASE)
_FIELD = re.compile(r"[A-Za-z]\w{1,30}")
_ADMIN_ROLES = ("admin", "administrator", "superuser", "role_admin")
ENVELOPES = ("data", "item", "items", "result", "results", "payload", "response", "rows", "records")
"""Keys under which answers wrap what was asked for."""


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the key and value of every field, outer before inner, at most ``MAX_NODES``."""
    pending: list[Any] = [value]
    seen = 0
    while pending and seen < MAX_NODES:
        node = pending.pop(0)
        if isinstance(node, dict):
            for key, inner in node.items():
                seen += 1
                yield str(key), inner
                if isinstance(inner, dict | list):
                    pending.append(inner)
        elif isinstance(node, list):
            seen += len(node[:50])
            pending += [inner for inner in node[:50] if isinstance(inner, dict | list)]


def find_token(value: Any) -> str:
    """Return the token in an answer to a log-in, "" when there is none."""
    if isinstance(value, str) and 8 <= len(value) <= 4_096:
        return value
    fields = {key.lower().replace("-", "_"): inner for key, inner in reversed(list(walk(value)))}
    for key in TOKEN_KEYS:
        found = fields.get(key)
        if isinstance(found, str) and 4 <= len(found) <= 4_096 and found.isascii() and found.isprintable():
            return found
    return ""


def is_administrator(value: Any, token: str) -> bool:
    """Whether an answer to a log-in says that it was an administrator's, itself or inside its token."""
    fields = list(walk(value))
    parts = token.split(".")
    if len(parts) == 3:
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (ValueError, RecursionError):
            claims = None
        fields += list(walk(claims))
    for key, inner in fields:
        name = key.lower().replace("_", "")
        if name in ("isadmin", "admin", "isstaff", "issuperuser") and inner in (True, 1):
            return True
        if name in ("role", "roles", "usertype") and str(inner).strip("[]'\" ").lower() in _ADMIN_ROLES:
            return True
    return False


def find_ids(value: Any, noun: str) -> list[Any]:
    """Return the ids of the things in an answer: of itself, of what it wraps, or of a list's entries."""
    value = _unwrap(value, noun)
    entries = value if isinstance(value, list) else [value]
    found = []
    for entry in entries[:50]:
        if isinstance(entry, dict):
            for key in ("id", "_id", "uuid", f"{noun}_id", f"{noun}Id", "pk"):
                if _is_usable(entry.get(key)):
                    found.append(entry[key])
                    break
    return found


def _is_usable(value: Any) -> bool:
    """Whether a plain value can be sent back: short, and of characters that a URL can hold."""
    if isinstance(value, str):
        return 0 < len(value) <= MAX_TEXT_CHARACTERS and value.isprintable()
    if isinstance(value, bool):
        return False
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < MAX_NUMBER)


def _unwrap(value: Any, noun: str) -> Any:
    for _ in range(3):
        if not isinstance(value, dict) or any(key in value for key in ("id", "_id", f"{noun}_id")):
            return value
        keys = [key for key in value if str(key).lower() in (*ENVELOPES, noun, f"{noun}s", f"{noun}es")]
        inner = next((value[key] for key in keys if isinstance(value[key], dict | list)), None)
        if inner is None:
            return value
        value = inner
    return value


def describe_shape(value: Any) -> Any:
    """Return a value's shape: a type word for a plain value, fields of an object, the first entry of a list."""
    return _describe(value, 0, [MAX_SHAPE_NODES])


def _describe(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    is_over = depth >= MAX_SHAPE_DEPTH or left[0] <= 0
    if isinstance(value, dict):
        items = () if is_over else list(value.items())[:MAX_SHAPE_KEYS]
        return {str(key)[:MAX_KEY_CHARACTERS]: _describe(inner, depth + 1, left) for key, inner in items}
    if isinstance(value, list):
        return [_describe(value[0], depth + 1, left)] if value and not is_over else []
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"


def find_missing_fields(value: Any, text: str) -> dict[str, list[str]]:
    """Return the fields that an answer says are missing, by where they belong: ``body`` or ``query``."""
    found: dict[str, list[str]] = {"body": [], "query": []}
    details = value.get("detail") if isinstance(value, dict) else None
    for detail in details[:20] if isinstance(details, list) else ():
        place = detail.get("loc") if isinstance(detail, dict) else None
        if isinstance(place, list) and len(place) == 2 and place[0] in found and isinstance(place[1], str):
            found[place[0]].append(place[1])
    if not details and value is not None:
        for match in _REQUIRED.finditer(text[:500]):
            words = re.split(r"\s*(?:,|\band\b)\s*", match.group(1))
            found["body"] += [word.lower() for word in words if _FIELD.fullmatch(word)]
    return found


def short_values(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the plain fields of an answer that may serve in a later request."""
    for key, inner in walk(value):
        if len(key) <= MAX_KEY_CHARACTERS and _is_usable(inner):
            yield key, inner
