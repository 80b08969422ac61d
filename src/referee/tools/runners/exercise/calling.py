"""Sending requests as somebody, and keeping all that the answers tell."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlsplit

from referee.tools.runners.exercise.client import TOKEN_HEADERS, Answer, Session, send
from referee.tools.runners.exercise.shapes import describe_shape, find_missing_fields
from referee.tools.runners.exercise.values import Memory, resource_of

MAX_EXCHANGES = 600
MAX_READABLE = 100
MAX_REPORT_CHARACTERS = 6_000_000
"""Of all exchanges together; beyond that answers are left out, so that no app can make the report too large."""

Entry = dict[str, Any]
"""An endpoint as the job describes it: method, path, target, request, query, file_field, is_admin."""


class Caller:
    """Sends requests, within the time there is."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.memory = Memory(job["nonce"])
        self.sessions = {role: Session(role) for role in ("visitor", "person", "admin")}
        self.roles = ["visitor"]
        """As whom requests can be sent, the least first."""
        self.creations: dict[str, tuple[Entry, str]] = {}
        """Noun → the endpoint that makes one, and the role that may."""
        self.notices: list[str] = []
        self.targets: dict[str, str] = {target["name"]: target["url"] for target in job["targets"]}
        self._deadline = time.monotonic() + float(job["budget_s"])
        self._left_characters = MAX_REPORT_CHARACTERS
        self._skipped_count = 0
        self._exchanges: list[dict[str, Any]] = []
        self._readable: dict[tuple[str, str], dict[str, Any]] = {}

    def enter(self, role: str, session: Session) -> None:
        """Take a session as that of a role from now on."""
        self.sessions[role] = session
        self.roles = [name for name in self.sessions if name in (*self.roles, role)]

    def leave(self, role: str) -> None:
        """Drop the session of a role."""
        self.sessions[role] = Session(role)
        self.roles = [name for name in self.roles if name != role]

    def call(
        self, entry: Entry, role: str, *, shape: Any = None, session: Session | None = None
    ) -> Answer | None:
        """Send one request as a role and keep everything that it tells."""
        self.memory.topic = resource_of(entry["path"])
        path, used, is_guess = self.memory.fill_path(entry["path"])
        query, is_empty = self.memory.fill_query(entry["query"])
        url = path + query
        wanted = entry["request"] if shape is None else shape
        has_body = entry["method"] in ("POST", "PUT", "PATCH") and not entry["file_field"]
        body = self.memory.make_body({} if wanted is None else wanted) if has_body else None
        session = session or self.sessions[role]
        answer = self.send(session, entry, path=url, body=body)
        if answer is not None and answer.status == 401 and session.token and not session.token_header:
            answer = self._try_token_headers(session, entry, url, body, answer)
        if answer is not None and answer.status in (400, 422) and entry["request"] is None and shape is None:
            url, body, answer = self._try_missing_fields(session, entry, url, body, answer)
        if answer is None:
            return None
        self.record(entry, role, url, body, answer, is_guess=is_guess or is_empty)
        if answer.is_success:
            self._learn(entry, role, used, body, answer, url)
        return answer

    def _try_missing_fields(
        self, session: Session, entry: Entry, url: str, body: Any, refused: Answer
    ) -> tuple[str, Any, Answer]:
        """Send again with the fields that the answer asks for, where nothing else says which there are."""
        missing = find_missing_fields(refused.value, refused.text)
        query, _ = self.memory.fill_query([*entry["query"], *missing["query"]])
        more = self.memory.make_body(dict.fromkeys(missing["body"], "string"))
        second_url = url.partition("?")[0] + query
        second_body = {**body, **more} if isinstance(body, dict) else body
        if (second_url, second_body) == (url, body):
            return url, body, refused
        answer = self.send(session, entry, path=second_url, body=second_body)
        return (url, body, refused) if answer is None else (second_url, second_body, answer)

    def _try_token_headers(
        self, session: Session, entry: Entry, path: str, body: Any, refused: Answer
    ) -> Answer:
        """Send the token in the other usual ways, once; keep the one that works."""
        for number in range(1, len(TOKEN_HEADERS)):
            session.token_header = number
            answer = self.send(session, entry, path=path, body=body)
            if answer is not None and answer.status != 401:
                return answer
        session.token_header = 0
        return refused

    def send(
        self, session: Session, entry: Entry, *, path: str = "", body: Any = None, form: str = "json"
    ) -> Answer | None:
        """Send one request and keep nothing; None when its target is unknown or the time is over."""
        base_url = self.targets.get(entry["target"])
        if base_url is None:
            return None
        if time.monotonic() >= self._deadline or len(self._exchanges) >= MAX_EXCHANGES:
            self._skipped_count += 1
            return None
        wanted = path or entry["path"]
        for _ in range(2):
            answer = send(
                session,
                base_url,
                entry["method"],
                wanted,
                body=body,
                form=form,
                file_field=entry["file_field"],
                deadline=self._deadline,
            )
            asked, mark, query = wanted.partition("?")
            moved = _path_of(answer.location)
            is_slash = moved != asked and moved.rstrip("/") == asked.rstrip("/")
            if answer.status not in (301, 302, 307, 308) or not is_slash:
                break  # a redirect to anywhere else is an answer of its own
            wanted = f"{moved}{mark}{query}"
        return answer

    def _learn(
        self,
        entry: Entry,
        role: str,
        used: list[tuple[str, Any]],
        body: Any,
        answer: Answer,
        url: str,
    ) -> None:
        method, path = entry["method"], entry["path"]
        is_creation = method == "POST"
        self.memory.learn(path, answer.value, body, is_creation=is_creation)
        if is_creation and not path.rsplit("/", 1)[-1].startswith(":"):
            self.creations.setdefault(resource_of(path), (entry, role))
        if method == "DELETE" and used:
            self.memory.forget(*used[-1])
        key = (entry["target"], path)
        if method == "GET" and (role == "visitor" or key not in self._readable):
            url = self.targets[entry["target"]] + url
            self._readable[key] = {"target": entry["target"], "url": url, "route_path": path, "role": role}

    def record(
        self,
        entry: Entry,
        role: str,
        path: str,
        body: Any,
        answer: Answer,
        *,
        is_guess: bool = False,
    ) -> None:
        """Keep what was sent and what came back."""
        record = {
            "target": entry["target"],
            "method": entry["method"],
            "path": path,
            "route_path": entry["path"],
            "role": role,
            "status": answer.status,
            "error": answer.error,
            "duration_ms": answer.duration_ms,
            "request_body": body,
            "response_excerpt": answer.text,
            "content_type": answer.content_type,
            "location": answer.location,
            "has_guessed_id": is_guess,
            "response_shape": describe_shape(answer.value) if answer.value is not None else None,
        }
        self._left_characters -= len(json.dumps(record))
        if self._left_characters < 0:
            record.update(response_excerpt="", response_shape=None, location="")
        self._exchanges.append(record)

    def verify_readable(self) -> None:
        """Keep of the readable addresses those that still are, as the least that may read them."""
        for key, entry in list(self._readable.items()):
            session = self.sessions[entry.pop("role")]
            base_url = self.targets[entry["target"]]
            path = entry["url"].removeprefix(base_url)
            answer = self.send(session, make_entry("GET", path, target=entry["target"]))
            if answer is not None and not answer.is_success:
                del self._readable[key]
            entry["headers"] = session.headers()

    def describe(self) -> dict[str, Any]:
        """Return what ``exercise.json`` holds."""
        notices = list(self.notices)
        if self._skipped_count:
            notices.append(
                f"{self._skipped_count} requests were not made: the time of the exercise was over."
            )
        return {
            "kind": "exercise",
            "exchanges": self._exchanges,
            "readable": list(self._readable.values())[:MAX_READABLE],
            "roles": self.roles,
            "notices": notices,
            "is_whole": True,
        }


def make_entry(method: str, path: str, *, target: str) -> Entry:
    """Return an endpoint that nobody described."""
    return {
        "method": method,
        "path": path,
        "target": target,
        "request": None,
        "query": [],
        "file_field": "",
        "is_admin": False,
    }


def _path_of(location: str) -> str:
    try:
        return urlsplit(location).path
    except ValueError:
        return ""
