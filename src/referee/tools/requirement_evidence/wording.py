"""Which endpoints a requirement in words is about, from its nouns and verbs.

Only words that name a thing of a path and an action of a method tie them; what
a sentence says beyond that is left to a judge or a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from referee.core.templates import Endpoint

__all__ = [
    "Tie",
    "find_named_paths",
    "find_things",
    "find_ties",
    "has_all_clauses_tied",
    "is_alike",
    "is_login",
    "is_register",
    "split_clauses",
]

_VERBS: Final = {
    "POST": re.compile(r"\b(creat|add|post|upload|submit|send|book|writ|publish)", re.I),
    "PUT": re.compile(r"\b(chang|edit|updat|mov|mark|modif|renam|assign)", re.I),
    "PATCH": re.compile(r"\b(chang|edit|updat|mov|mark|modif|renam|assign)", re.I),
    "DELETE": re.compile(r"\b(delet|remov)", re.I),
    "GET": re.compile(r"\b(list|see|sees|show|view|search|read|display|find|filter|brows|download)", re.I),
}
_KINDS: Final = {"POST": "create", "PUT": "change", "PATCH": "change", "DELETE": "delete", "GET": "read"}
_ANY_VERB: Final = re.compile("|".join(f"(?:{pattern.pattern})" for pattern in _VERBS.values()), re.I)
_PRONOUN: Final = re.compile(r"\b(their|its|them|it|these|those)\b", re.I)
_ALIKE: Final = (
    frozenset({"user", "account", "person", "people", "customer", "member"}),
    frozenset({"stat", "stats", "statistic", "number", "count", "figure", "revenue", "dashboard"}),
)
"""Words that stand for the same thing."""
_NO_NOUN: Final = frozenset({"api", "admin", "v1", "v2", "me"})
_ACTIONS: Final = frozenset(
    {
        "search",
        "check",
        "export",
        "import",
        "filter",
        "upload",
        "download",
        "count",
        "validate",
        "apply",
        "cancel",
    }
)
_REGISTER: Final = re.compile(r"/(register|registration|sign-?_?up)/?$", re.I)
_LOGIN: Final = re.compile(r"/(login|log-in|signin|sign-in|token|authenticate|sessions?)/?$", re.I)
_NAMED_PATH: Final = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[\w/:{}.-]*[\w}/])")
_CLAUSE: Final = re.compile(r"[;:.,]|\band\b", re.I)


@dataclass(frozen=True, slots=True)
class Tie:
    """An endpoint that a text is about."""

    endpoint: Endpoint
    noun: str


def find_ties(text: str, endpoints: Iterable[Endpoint]) -> tuple[Tie, ...]:
    """Return the endpoints whose thing and action a text names."""
    words = _nouns_of(text)
    ties = []
    for endpoint in endpoints:
        noun, action = _subject_of(endpoint.path)
        if noun not in words or not _VERBS.get(endpoint.method, _ANY_VERB).search(text):
            continue
        if action and not re.search(rf"\b{re.escape(action)}", text, re.I):
            continue
        ties.append(Tie(endpoint, noun))
    return tuple(ties)


def has_all_clauses_tied(text: str, ties: tuple[Tie, ...]) -> bool:
    """Whether every action that a clause of a text names is one of a tie, on the thing that the clause names."""
    nouns: set[str] = set()
    clauses = split_clauses(text)
    for clause in clauses:
        named = _nouns_of(clause)
        nouns = nouns | named if _PRONOUN.search(clause) else set(named)
        named_ties = [tie for tie in ties if tie.noun in nouns]
        asked = {_KINDS[method] for method, verb in _VERBS.items() if verb.search(clause)}
        if not asked or not asked <= {_KINDS.get(tie.endpoint.method, "") for tie in named_ties}:
            return False
    return bool(clauses)


def find_things(text: str, endpoints: Iterable[Endpoint]) -> frozenset[str]:
    """Return the nouns of a text that are things of these endpoints' paths."""
    words = _nouns_of(text)
    parts = (part for endpoint in endpoints for part in endpoint.path.lower().split("/"))
    nouns = {
        _singular(part) for part in parts if part and not part.startswith((":", "{")) and part not in _NO_NOUN
    }
    return frozenset(nouns - _ACTIONS) & words


def is_alike(one: str, other: str) -> bool:
    """Whether two words, in any number, stand for the same thing."""
    return _nouns_of(one) & _nouns_of(other) != frozenset()


def split_clauses(text: str, pattern: re.Pattern[str] = _ANY_VERB) -> list[str]:
    """Return the clauses of a text; a part without a word of the pattern belongs to the one before."""
    clauses: list[str] = []
    for part in _CLAUSE.split(text):
        if not part.strip():
            continue
        if (clauses and not pattern.search(part)) or (clauses and not pattern.search(clauses[-1])):
            clauses[-1] += f", {part.strip()}"
        else:
            clauses.append(part.strip())
    return clauses


def find_named_paths(text: str) -> tuple[tuple[str, str], ...]:
    """Return the methods and paths that a text spells out, such as ``GET /health``."""
    return tuple((match.group(1), match.group(2)) for match in _NAMED_PATH.finditer(text))


def is_register(endpoint: Endpoint) -> bool:
    """Whether an endpoint creates an account."""
    return endpoint.method == "POST" and bool(_REGISTER.search(endpoint.path))


def is_login(endpoint: Endpoint) -> bool:
    """Whether an endpoint logs somebody in."""
    return endpoint.method == "POST" and bool(_LOGIN.search(endpoint.path))


def _subject_of(path: str) -> tuple[str, str]:
    """Return the noun that a path is about and the action it ends with, "" without one."""
    words = [word.lower() for word in path.split("/") if word and not word.startswith((":", "{"))]
    action = words.pop() if words and words[-1] in _ACTIONS else ""
    nouns = [word for word in words if word not in _NO_NOUN]
    return (_singular(nouns[-1]) if nouns else ""), action


def _nouns_of(text: str) -> frozenset[str]:
    found: set[str] = {_singular(word) for word in re.findall(r"[a-z]+", text.lower())}
    for group in _ALIKE:
        if found & group:
            found.update(group)
    return frozenset(found)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
