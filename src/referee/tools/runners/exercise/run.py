"""The exercise: register, log in, then every endpoint in an order in which what it needs is there.

Reads one JSON object on stdin and writes ``exercise.json`` into the working
folder. Every request is made once for each role, none as load.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from referee.tools.runners.exercise.calling import Caller, Entry, make_entry
from referee.tools.runners.exercise.client import Session
from referee.tools.runners.exercise.signing_in import PEOPLE, SIGN_UP, SigningIn
from referee.tools.runners.exercise.values import Memory, resource_of

MAX_FRESH = 40
"""Things made anew because a role may delete them."""

_LAST = re.compile(
    r"/(logout|log-out|signout|sign-out|me|profile|account|password|change-password|reset\w*)/?$"
)
"""Endpoints that may end the session or the account of whoever calls them."""
_RISKY = re.compile(
    r"logout|log-out|signout|delete|remove|reset|drop|shutdown|backup|restore|import|purge|clear"
)
"""Words of paths that nobody asked to be called and that may do more than read."""


class Exercise:
    """The order of the requests, and what may be changed by them."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._caller = Caller(job)
        self._signing_in = SigningIn(self._caller, job)
        self._fresh_count = 0
        self._kept_count = 0

    def run(self) -> dict[str, Any]:
        """Do all of it, as far as the time allows, and return what ``exercise.json`` holds."""
        caller = self._caller
        for name in caller.targets:
            caller.call(make_entry("GET", "/", target=name), "visitor")
        self._signing_in.sign_in()
        endpoints = [entry for entry in self._job["endpoints"] if not self._signing_in.owns(entry)]
        last = [entry for entry in endpoints if _LAST.search(entry["path"])]
        others = [entry for entry in endpoints if entry not in last]
        for entry in others:  # what the app holds from the start gives ids to the requests that follow
            if entry["method"] == "GET" and ":" not in entry["path"]:
                caller.call(entry, self._best_role(entry))
        for entry in (*sorted(others, key=_order), *sorted(last, key=_order)):
            self._call_as_everybody(entry)
        if last:
            self._signing_in.sign_in_again()
        for entry in self._job["extra_reads"]:
            if not _RISKY.search(entry["path"].lower()):
                self._read_as_least(entry)
        caller.verify_readable()
        if self._kept_count:
            caller.notices.append(
                f"{self._kept_count} changes and deletions were not tried: nothing that the exercise made was there."
            )
        return caller.describe()

    def _best_role(self, entry: Entry) -> str:
        roles = self._caller.roles
        if entry["is_admin"] and "admin" in roles:
            return "admin"
        return "person" if "person" in roles else "visitor"

    def _call_as_everybody(self, entry: Entry) -> None:
        roles = self._caller.roles
        for role in roles if entry["is_admin"] else [role for role in roles if role != "admin"]:
            if entry["method"] in ("PUT", "PATCH", "DELETE") and not self._may_change(entry):
                self._kept_count += 1
                continue
            answer = self._caller.call(entry, role)
            is_refused = answer is not None and answer.status in (401, 403)
            if role == "person" and is_refused and not entry["is_admin"] and "admin" in roles:
                self._caller.call(entry, "admin")

    def _read_as_least(self, entry: Entry) -> None:
        """Read as a visitor, and as somebody who may more only where that is refused."""
        for role in self._caller.roles:
            answer = self._caller.call(entry, role)
            if answer is None or answer.is_success or answer.status in (404, 405):
                return

    def _may_change(self, entry: Entry) -> bool:
        """Whether what would be changed may be: nobody's account and nothing to be deleted but what was made here."""
        _, used, _ = self._caller.memory.fill_path(entry["path"])
        if not used:
            return True
        noun = used[-1][0]
        if entry["method"] != "DELETE" and noun not in PEOPLE and self._job["has_template"]:
            return True
        self._make_fresh(noun)
        _, used, _ = self._caller.memory.fill_path(entry["path"])
        return (noun, str(used[-1][1])) in self._caller.memory.own

    def _make_fresh(self, noun: str) -> None:
        """Make one more of what a noun names, so that it may be deleted."""
        creation = self._caller.creations.get(noun)
        if creation is None or self._fresh_count >= MAX_FRESH:
            return
        self._fresh_count += 1
        made_by, role = creation
        if noun in PEOPLE and self._signing_in.registers(made_by):
            self._make_person(made_by, noun)
            return
        path, _, _ = self._caller.memory.fill_path(made_by["path"])
        self._caller.memory.topic = noun
        body = self._caller.memory.make_body(made_by["request"] or {})
        answer = self._caller.send(self._caller.sessions[role], made_by, path=path, body=body)
        if answer is not None and answer.is_success:
            self._caller.memory.learn(made_by["path"], answer.value, body, is_creation=True)

    def _make_person(self, entry: Entry, noun: str) -> None:
        """Register somebody else: the person who is logged in must not be deleted."""
        other = Memory(f"{self._caller.memory.nonce}x{self._fresh_count}")
        body = other.make_body(entry["request"] or SIGN_UP)
        answer = self._caller.send(Session("visitor"), entry, body=body)
        if answer is not None and answer.is_success:
            other.learn(entry["path"], answer.value, None, is_creation=True)
            found = other.ids.get(resource_of(entry["path"]), [])
            self._caller.memory.ids[noun] = [*found, *self._caller.memory.ids.get(noun, [])]
            self._caller.memory.own.update((noun, str(one)) for one in found)


def _order(entry: dict[str, Any]) -> tuple[int, int, bool]:
    """Creations first, those that need nothing before; then reads, changes and deletions."""
    place = {"POST": 0, "GET": 1, "HEAD": 1, "OPTIONS": 1, "PUT": 2, "PATCH": 2, "DELETE": 3}
    rank = place.get(entry["method"], 2)
    parameters_count = entry["path"].count("/:")
    return rank, (-parameters_count if rank == 3 else parameters_count), not (entry["is_admin"] and rank == 0)


def main() -> None:
    """Do the job on stdin."""
    job = json.load(sys.stdin)
    Path("exercise.json").write_text(json.dumps(Exercise(job).run()), encoding="utf-8")
