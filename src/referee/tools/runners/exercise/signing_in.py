"""Registering a person, logging in, and finding an administrator among the accounts of the source."""

from __future__ import annotations

import re
from typing import Any

from referee.tools.runners.exercise.calling import Caller, Entry
from referee.tools.runners.exercise.client import Session
from referee.tools.runners.exercise.shapes import find_token, is_administrator

MAX_LOGIN_TRIES = 10

PEOPLE = frozenset({"user", "account", "customer", "member", "person", "people", "profile"})
"""Nouns that registering makes one of."""
SIGN_UP: dict[str, Any] = {"username": "string", "email": "string", "password": "string"}
"""What is sent where nothing says which fields there are."""

_REGISTER = re.compile(r"/(register|registration|sign-?_?up)/?$")
_LOGIN = re.compile(r"/(login|log-in|signin|sign-in|token|authenticate|sessions?|auth)/?$")
_PASSWORD = re.compile(r"passw|pwd")


class SigningIn:
    """Gets sessions for the roles."""

    def __init__(self, caller: Caller, job: dict[str, Any]) -> None:
        self._caller = caller
        self._accounts = job["accounts"]
        candidates = [*job["endpoints"], *job["sign_in"]]
        self._register = _find(candidates, _REGISTER, is_admin=False)
        self._login = _find(candidates, _LOGIN, is_admin=False)
        self._admin_login = _find(candidates, _LOGIN, is_admin=True)
        self._is_first_admin = False

    def owns(self, entry: Entry) -> bool:
        """Whether an endpoint is one that was called to sign in, and needs no other call."""
        return any(entry is one for one in (self._register, self._login))

    def registers(self, entry: Entry) -> bool:
        """Whether an endpoint is the one that makes people."""
        return entry is self._register

    def sign_in(self) -> None:
        """Register and log in a person, and log in an administrator where the source shows an account."""
        caller, memory = self._caller, self._caller.memory
        if self._register is None and self._login is None and self._admin_login is None:
            caller.notices.append(
                "No endpoint to register or to log in was recognised: everything was called as a visitor."
            )
            return
        registered = self._sign_up(self._register) if self._register is not None else None
        if self._login is not None:
            self._log_in(
                self._login, "person", memory.username, memory.email, memory.password, is_recorded=True
            )
        if "person" not in caller.roles and registered is not None:
            caller.enter("person", registered)
        if self._is_first_admin:
            self._make_first_admin()
        self._try_accounts()
        if "person" not in caller.roles:
            caller.notices.append("No person could log in: what needs a log-in could not be called.")
        if "admin" not in caller.roles:
            caller.notices.append(
                "No administrator could log in: no seeded account was found in the source, or none worked."
            )

    def sign_in_again(self) -> None:
        """Log in anew after endpoints that end a session or an account, so that what is readable stays so."""
        if self._login is None or "person" not in self._caller.roles:
            return
        self._caller.leave("person")
        self._log_in_person()
        if "person" not in self._caller.roles:
            self._sign_up_another()

    def _try_accounts(self) -> None:
        for account in self._accounts[:MAX_LOGIN_TRIES]:
            role = "admin" if account["is_admin"] else "person"
            for login in (self._admin_login if account["is_admin"] else None, self._login):
                if login is not None and role not in self._caller.roles:
                    name = account["name"]
                    self._log_in(login, role, name, name, account["password"], is_recorded=False)

    def _sign_up(self, entry: Entry) -> Session | None:
        """Register; return the session of an app that logs in whoever registers, else None."""
        session = Session("person")
        answer = self._caller.call(entry, "visitor", shape=entry["request"] or SIGN_UP, session=session)
        if answer is not None and answer.status in (400, 422) and isinstance(entry["request"], dict):
            more = {**SIGN_UP, "confirm_password": "string", "name": "string", **entry["request"]}
            answer = self._caller.call(entry, "visitor", shape=more, session=session)
        for noun in PEOPLE:
            self._caller.creations.setdefault(noun, (entry, "visitor"))
        if answer is None or not answer.is_success:
            return None
        session.token = find_token(answer.value) if isinstance(answer.value, dict) else ""
        return session if session.token or session.cookies else None

    def _make_first_admin(self) -> None:
        """Take whoever registered first, and became administrator by that, as one; register an ordinary person."""
        caller = self._caller
        caller.notices.append("The person who registered first was made an administrator.")
        caller.enter("admin", caller.sessions["person"])
        caller.leave("person")
        self._sign_up_another()

    def _sign_up_another(self) -> None:
        memory = self._caller.memory
        memory.username += "b"
        if self._register is not None:
            body = memory.make_body(self._register["request"] or SIGN_UP)
            self._caller.send(Session("visitor"), self._register, body=body)
        self._log_in_person()

    def _log_in_person(self) -> None:
        memory = self._caller.memory
        if self._login is not None:
            self._log_in(
                self._login, "person", memory.username, memory.email, memory.password, is_recorded=False
            )

    def _log_in(
        self, entry: Entry, role: str, name: str, email: str, password: str, *, is_recorded: bool
    ) -> None:
        """Log in; what fails is recorded only where ``is_recorded`` says so, as a guessed account tells nothing."""
        caller = self._caller
        body = _fill_in(caller.memory.make_body(entry["request"] or SIGN_UP), name, email, password)
        session = Session(role)
        answer = caller.send(session, entry, body=body)
        if answer is not None and answer.status in (400, 415, 422):  # the form of OAuth 2
            form = {"username": name, "password": password}
            second = caller.send(session, entry, body=form, form="form")
            answer = second if second is not None and second.is_success else answer
        if answer is None:
            return
        session.token = find_token(answer.value)
        is_in = answer.status is not None and answer.status < 400 and bool(session.token or session.cookies)
        if is_recorded or is_in:
            caller.record(entry, "visitor", entry["path"], body, answer)
        if is_in:
            caller.enter(role, session)
            if role == "person" and is_recorded:
                self._is_first_admin = is_administrator(answer.value, session.token)


def _fill_in(body: Any, name: str, email: str, password: str) -> dict[str, Any]:
    filled: dict[str, Any] = dict(body) if isinstance(body, dict) else {}
    for field in filled:
        word = field.lower()
        if _PASSWORD.search(word):
            filled[field] = password
        elif "mail" in word:
            filled[field] = email
        elif re.search(r"user|login|name|identifier", word):
            filled[field] = name
    return filled


def _find(entries: list[Entry], pattern: re.Pattern[str], *, is_admin: bool) -> Entry | None:
    """Return the first endpoint of a kind; one whose body is known and has no password is of another."""
    for entry in entries:
        request = entry["request"]
        has_password = not isinstance(request, dict) or any(_PASSWORD.search(key.lower()) for key in request)
        is_fitting = entry["method"] == "POST" and entry["is_admin"] is is_admin
        if is_fitting and has_password and pattern.search(entry["path"].lower()):
            return entry
    return None
