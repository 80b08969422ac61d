"""Accounts that an app's source or README gives away, such as ``admin`` with ``admin123``.

Generated apps seed an administrator at their first start. Without that account
no endpoint of administrators could be called, so the pair is looked for in the
text of the source; it is tried against that app alone, while it runs in its
sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from referee.core.sources import Language, SourceSnapshot
from referee.tools.route_discovery.sources import read_sources

__all__ = ["SeededAccount", "find_seeded_accounts"]

MAX_ACCOUNTS: Final = 10
MAX_NAMES: Final = 6
MAX_PASSWORDS: Final = 30
WINDOW_LINES: Final = 4
"""How far from an account's name its password is looked for."""
MAX_LINE_CHARACTERS: Final = 1_000

_LANGUAGES: Final[tuple[Language, ...]] = (
    "python", "javascript", "typescript", "jsx", "tsx", "json", "yaml", "toml", "markdown", "text", "sql",
    "shell", "docker", "other",
)  # fmt: skip
_ADMIN: Final = r"(?:admin|administrator|superuser|root)"
_PERSON: Final = r"(?:demo|user|test|testuser|alice|bob|john|jane)"
_NAME: Final = re.compile(rf"""["'`]((?:{_ADMIN}|{_PERSON})\d?(?:@[\w.-]{{3,60}})?)["'`]""", re.IGNORECASE)
_NAME_IN_TEXT: Final = re.compile(
    rf"""\b((?:{_ADMIN}|{_PERSON})\d?(?:@[\w.-]{{3,60}})?)[`*"']{{0,3}}\s{{0,3}}[/:|,]\s{{0,3}}[`*"']{{0,3}}(\S{{3,40}})""",
    re.IGNORECASE,
)
_IS_ADMIN: Final = re.compile(rf"^{_ADMIN}", re.IGNORECASE)
_HASHED: Final = re.compile(
    r"""(?:hash\w*|password\w*|set_password|digest|encrypt|hashSync|bcrypt\.\w+)\s{0,3}\(\s{0,3}b?["']([^"'\s]{3,40})["']""",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(
    r"""passw(?:or)?d\w{0,20}["']?\s{0,3}(?::\s?\w{1,10}\s?)?(?:=|:|,|\|\||\?\?)\s{0,3}[`*]{0,3}b?["'`]?([^"'`\s,;(){}\[\]]{3,40})""",
    re.IGNORECASE,
)
_LITERAL: Final = re.compile(r"""["'`]([^"'`\s]{3,40})["'`]""")
_WORDS: Final = rf"(?:{_ADMIN}|{_PERSON}|pass|password|passw0rd|secret|changeme|letmein|welcome|qwerty)"
_LIKELY: Final = re.compile(
    rf"^(?:{_WORDS}(?:[-_.@]?{_WORDS})?[-_.@!#$%&*]{{0,2}}\d{{0,6}}[!@#$%&*]{{0,2}}|1234\d{{0,6}})$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SeededAccount:
    """A name and a password that stand in the source."""

    name: str
    password: str
    is_admin: bool


def find_seeded_accounts(snapshot: SourceSnapshot) -> tuple[SeededAccount, ...]:
    """Return pairs worth trying, most likely first, administrators before others; at most ``MAX_ACCOUNTS``."""
    texts = read_sources(snapshot, *_LANGUAGES)
    names: dict[str, None] = {}
    passwords: dict[str, None] = {}
    ranked: dict[tuple[str, str], int] = {}
    for text in texts.values():
        lines = [line[:MAX_LINE_CHARACTERS] for line in text.splitlines()]
        for number, line in enumerate(lines):
            for match in _NAME_IN_TEXT.finditer(line):
                word = match.group(2).strip("`*\"'|,.;:()")
                is_key = match.group(2).rstrip("`*\"'").endswith((":", "="))
                if _LIKELY.match(word) and not is_key:
                    ranked.setdefault((match.group(1), word), 1)
            found = list(_read_passwords([line]))
            passwords.update(dict.fromkeys(found[:MAX_PASSWORDS]))
            for match in _NAME.finditer(line):
                names.setdefault(match.group(1))
                window = lines[number : number + WINDOW_LINES]
                for place, password in enumerate(_read_passwords(window)):
                    if password.lower() != match.group(1).lower() or password in found:
                        ranked.setdefault((match.group(1), password), 2 + place)
    kept_names = [name for name in names if _IS_ADMIN.match(name)][:MAX_NAMES]
    for name in kept_names:
        for place, password in enumerate(list(passwords)[:MAX_PASSWORDS]):
            ranked.setdefault((name, password), 100 + place)
    return _choose(ranked)


def _choose(ranked: dict[tuple[str, str], int]) -> tuple[SeededAccount, ...]:
    accounts = [
        (not _IS_ADMIN.match(name), rank, "@" not in name, name, password)
        for (name, password), rank in ranked.items()
    ]
    admins = sorted(entry for entry in accounts if not entry[0])[: MAX_ACCOUNTS - 2]
    others = sorted(entry for entry in accounts if entry[0] and entry[1] < 100)[:2]
    return tuple(
        SeededAccount(name, password, is_admin=not is_other)
        for is_other, _, _, name, password in [*admins, *others]
    )


def _read_passwords(lines: Iterable[str]) -> Iterator[str]:
    """Yield what looks like a password in these lines: hashed, named so, or of a common form."""
    seen: set[str] = set()
    for line in lines:
        candidates = [match.group(1) for match in _HASHED.finditer(line)]
        candidates += [word for match in _NAMED.finditer(line) if _LIKELY.match(word := match.group(1))]
        candidates += [
            word
            for match in _LITERAL.finditer(line)
            if _LIKELY.match(word := match.group(1))
            and re.search(r"\d|pass|secret|changeme", word, re.IGNORECASE)
        ]
        for word in candidates:
            if word not in seen:
                seen.add(word)
                yield word
