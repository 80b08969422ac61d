"""Telling JSX from plain JavaScript without a parser, for tools that do not know JSX."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["find_jsx_line"]

_QUOTED: Final = re.compile(
    r"""//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*+"|'(?:\\.|[^'\\\n])*+'|`(?:\\.|[^`\\])*+(?:`|\Z)""",
    re.DOTALL,
)
"""What is left open goes on to the end: without that, each opening is a reason to read all the rest."""
_OPENING: Final = re.compile(
    r"(?:^|[(\[{=>?:&|,;]|\breturn|\bdefault|\byield)[^\S\n]*<(?:>|[A-Za-z_$][\w$.:-]*(?=[\s/>]))",
    re.MULTILINE,
)
_CLOSING: Final = re.compile(r"</[A-Za-z_$>]|/>")


def find_jsx_line(source: str) -> int | None:
    """Return the line, counted from 1, where JSX begins, None when the text has none.

    A tag counts where only an expression may stand, and only when some tag is closed too:
    ``a < b`` and ``list<string>`` have no closing tag. Comments and texts are not looked at.
    """
    code = _QUOTED.sub(lambda match: "\n" * match.group().count("\n") or '""', source)
    opening = _OPENING.search(code)
    if opening is None or _CLOSING.search(code, opening.start()) is None:
        return None
    return code.count("\n", 0, opening.end()) + 1
