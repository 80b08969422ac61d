"""What to send: bodies, queries and ids, from field names, type words and what the app answered before."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

from referee.tools.runners.exercise.shapes import find_ids, short_values

MAX_IDS = 50
MAX_BODY_DEPTH = 4
MAX_VALUES = 500

_PARAMETER = re.compile(r":([A-Za-z_]\w*)")
_IS_ID = re.compile(r"(^|_)(id|pk|uuid)$|[a-z]Id$")
_WORDS: tuple[tuple[str, Any], ...] = (
    (r"e?mail", "{email}"),
    (r"passw|pwd|secret", "{password}"),
    (r"confirm", "{password}"),
    (r"user_?name|login|nick|handle", "{username}"),
    (r"phone|mobile", "+4930123456"),
    (r"url|link|website|href", "https://example.com/page"),
    (r"colou?r", "#336699"),
    (r"(date|day|deadline|due)(?!.*time)", "2030-01-15"),
    (r"time|_at$|start|end$", "2030-01-15T10:00:00"),
    (r"price|amount|cost|salary|total|balance|fee", 19.5),
    (r"stock|capacity|limit|max", 25),
    (r"quantity|qty|count|number|seats|guests|age|duration|minutes", 2),
    (r"rating|stars|score", 4),
    (r"priority", "medium"),
    (r"status|state", "done"),
    (r"role", "user"),
    (r"zip|postal", "10115"),
    (r"country", "Germany"),
    (r"currency", "EUR"),
    (r"tags|labels", "sample"),
    (r"q$|query|search|term|keyword", "Sample"),
    (r"page$|offset|skip", 1),
    (r"body|content|text|message|comment|description|note|bio", "A sample text."),
    (r"title|name|subject|label|topic", "Sample {number}"),
    (r"code|coupon", "SAMPLE10"),
)
"""What a field of such a name holds, first match first. Braces are filled in for each app."""
_TYPES: dict[str, Any] = {
    "string": "Sample", "str": "Sample", "text": "Sample", "integer": 1, "int": 1, "number": 1.5, "float": 1.5,
    "boolean": True, "bool": True, "date": "2030-01-15", "datetime": "2030-01-15T10:00:00", "array": [],
    "list": [], "object": {}, "email": "{email}", "uuid": "00000000-0000-4000-8000-000000000000",
}  # fmt: skip
_FILES = ("image", "filename", "file")
"""Fields that name a file; only what the app has named itself can be asked for."""
_CHOICES = ("status", "state", "category", "priority", "type", "kind", "role")
"""Fields with few allowed values: one that the app has shown is better than one made up."""


def noun_of(word: str) -> str:
    """Return a resource's name in the singular and lower case: ``categories`` → ``category``."""
    word = word.lower().replace("-", "_")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def resource_of(path: str) -> str:
    """Return the noun that a path is about: its last word that is no parameter."""
    words = [part for part in path.split("/") if part and not part.startswith(":")]
    return noun_of(words[-1]) if words else ""


class Memory:
    """What the app has told so far, and what was made up for it."""

    def __init__(self, nonce: str) -> None:
        self.nonce = nonce
        self.password = f"Vq7-kd!{nonce}"
        self.username = f"person{nonce}"
        self.ids: dict[str, list[Any]] = {}
        """Ids by noun, those made last first."""
        self.own: set[tuple[str, str]] = set()
        """Noun and id of everything that was made here: what may be changed and deleted."""
        self.topic = ""
        """The noun that the next request is about."""
        self._values: dict[str, Any] = {}
        self._number = 0

    @property
    def email(self) -> str:
        """The person's address."""
        return f"{self.username}@example.com"

    def learn(self, path: str, value: Any, sent: Any, *, is_creation: bool) -> None:
        """Keep the ids and plain values of an answer."""
        noun = resource_of(path)
        found = find_ids(value, noun)
        if not found and is_creation and isinstance(sent, dict):
            found = [inner for key, inner in sent.items() if str(key).endswith("_id")][:1]
        if is_creation:
            self.own.update((noun, str(one)) for one in found)
        known = self.ids.setdefault(noun, [])
        fresh = [one for one in found if one not in known]
        self.ids[noun] = ([*fresh, *known] if is_creation else [*known, *fresh])[:MAX_IDS]
        for key, inner in short_values(value):
            for name in (key.lower(), f"{noun}.{key.lower()}"):
                if len(self._values) < MAX_VALUES or name in self._values:
                    self._values[name] = inner

    def forget(self, noun: str, one: Any) -> None:
        """Drop the id of something that was deleted."""
        self.ids[noun] = [known for known in self.ids.get(noun, []) if str(known) != str(one)]

    def fill_path(self, path: str) -> tuple[str, list[tuple[str, Any]], bool]:
        """Return a path with its parameters filled in, what was used, and whether any was guessed."""
        words = path.split("/")
        used: list[tuple[str, Any]] = []
        is_guess = False
        for index, word in enumerate(words):
            match = _PARAMETER.fullmatch(word)
            if match is None:
                continue
            noun = self._noun_of_parameter(match.group(1), words[:index])
            known = self.ids.get(noun) or []
            name = match.group(1).lower()
            value = known[0] if known else None if _IS_ID.search(name) else self._values.get(name)
            if value is None:
                value, is_guess = 1, True
            used.append((noun, value))
            words[index] = quote(str(value), safe="")
        return _PARAMETER.sub("1", "/".join(words)), used, is_guess

    def _noun_of_parameter(self, parameter: str, before: list[str]) -> str:
        name = noun_of(re.sub(r"_?(id|pk|uuid)$", "", parameter, flags=re.IGNORECASE))
        if name and self.ids.get(name):
            return name
        fixed = [word for word in before if word and not word.startswith(":")]
        return noun_of(fixed[-1]) if fixed else name

    def fill_query(self, names: list[str]) -> tuple[str, bool]:
        """Return a query with these parameters, "" without any, and whether one had to stay empty."""
        pairs = {}
        for name in names:
            if name.lower() in _FILES:
                pairs[name] = next((self._values[key] for key in _FILES if self._values.get(key)), "")
            else:
                pairs[name] = self.make_value(name, "string")
        return (f"?{urlencode(pairs)}" if pairs else ""), "" in pairs.values()

    def make_body(self, shape: Any, depth: int = 0) -> Any:
        """Return a body of this shape: fields with type words, or examples to send as they are."""
        if isinstance(shape, dict) and depth < MAX_BODY_DEPTH:
            return {
                key: self.make_body(inner, depth + 1)
                if isinstance(inner, dict | list)
                else self.make_value(key, inner)
                for key, inner in shape.items()
            }
        if isinstance(shape, list) and depth < MAX_BODY_DEPTH:
            return [self.make_body(inner, depth + 1) for inner in shape[:1]]
        return self.make_value("", shape)

    def make_value(self, name: str, kind: Any) -> Any:
        """Return a value for a field; ``kind`` is a type word, or an example of another type."""
        if not isinstance(kind, str):
            return kind
        word = re.split(r"[^a-z]", kind.strip().lower(), maxsplit=1)[0]
        if kind.strip().endswith("[]"):
            return [self.make_value("", kind.strip()[:-2])]
        if word not in _TYPES:
            return kind
        lowered = name.lower()
        reference = re.sub(r"_?ids?$", "", lowered)
        if reference != lowered and (known := self.ids.get(noun_of(reference))):
            return known[0]
        if lowered in _CHOICES and f"{self.topic}.{lowered}" in self._values:
            return self._fit(self._values[f"{self.topic}.{lowered}"], word)
        found = next(
            (value for pattern, value in _WORDS if lowered and re.search(pattern, lowered)), _TYPES[word]
        )
        return self._fit(self._fill(found), word)

    def _fill(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        self._number += "{number}" in value
        return value.format(
            email=self.email,
            password=self.password,
            username=self.username,
            number=f"{self.nonce}{self._number}",
        )

    def _fit(self, value: Any, word: str) -> Any:
        """Return the value as what the type word asks for, the plain one of that type where it cannot be."""
        wanted = self._fill(_TYPES[word])
        if isinstance(wanted, str):
            return str(value) if isinstance(value, str | int | float) else wanted
        if isinstance(wanted, bool | list | dict):
            return wanted
        if isinstance(value, bool) or not isinstance(value, int | float):
            return wanted
        return int(value) if isinstance(wanted, int) else float(value)
