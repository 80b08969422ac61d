"""Source code as a block with line numbers: highlighted by class, never by inline style.

The classes are Pygments' own short names below ``.code``; their colours stand
in ``tokens.css`` for both themes. Whatever Pygments cannot read is shown as
plain text, so a page never fails on the code it shows.
"""

from __future__ import annotations

from typing import Final

from markupsafe import Markup, escape
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.token import STANDARD_TYPES, _TokenType
from pygments.util import ClassNotFound

from referee.foundation.web.formats import show_text

__all__ = ["MAX_HIGHLIGHTED_BYTES", "render_code"]

MAX_HIGHLIGHTED_BYTES: Final = 100_000
"""Larger blocks are shown plain: highlighting takes about a second a megabyte."""
MAX_LINE_CHARS: Final = 2_000
"""A minified line is cut there and says so."""


def render_code(
    text: str,
    *,
    path: str = "",
    language: str = "",
    first_line: int = 1,
    marked_lines: tuple[int, int] | None = None,
    label: str = "Code",
    anchor: str = "line-",
) -> Markup:
    """Return ``text`` as a block of numbered lines.

    Args:
        text: The source; control and direction characters are made visible.
        path: Name from which the language is guessed.
        language: Name of the language, before ``path``.
        first_line: Number of the first line.
        marked_lines: First and last line to mark, as numbered.
        label: What a screen reader says the block is.
        anchor: What stands before the number in the id of a marked line.
    """
    shown = show_text(text.replace("\r\n", "\n").replace("\r", "\n"))
    lines = _highlight(shown, _find_lexer(path, language, shown))
    rows: list[Markup] = []
    for number, line in enumerate(lines, first_line):
        is_marked = marked_lines is not None and marked_lines[0] <= number <= marked_lines[1]
        rows.append(
            Markup(
                '<span class="{}"{}><span class="code-number" aria-hidden="true">{}</span>{}</span>'
            ).format(
                "code-line is-marked" if is_marked else "code-line",
                Markup(' id="{}{}"').format(anchor, number) if is_marked else "",
                number,
                Markup('<span class="code-text">{}\n</span>').format(line),
            )
        )
    return Markup('<pre class="code" tabindex="0" role="group" aria-label="{}"><code>{}</code></pre>').format(
        label, Markup("").join(rows)
    )


def _find_lexer(path: str, language: str, text: str) -> Lexer:
    if len(text) > MAX_HIGHLIGHTED_BYTES:
        return TextLexer(stripnl=False, ensurenl=False)
    try:
        if language:
            return get_lexer_by_name(language, stripnl=False, ensurenl=False)
        return get_lexer_for_filename(path.rsplit("/", 1)[-1] or "text.txt", stripnl=False, ensurenl=False)
    except ClassNotFound:
        return TextLexer(stripnl=False, ensurenl=False)


def _highlight(text: str, lexer: Lexer) -> list[Markup]:
    """The text as lines of markup; a token over several lines is closed and opened at each break."""
    lines: list[list[Markup]] = [[]]
    widths = [0]
    for kind, value in lexer.get_tokens(text):
        css_class = _css_class(kind)
        for index, part in enumerate(value.split("\n")):
            if index:
                lines.append([])
                widths.append(0)
            room = MAX_LINE_CHARS - widths[-1]
            if not part or room < 0:
                continue
            widths[-1] += len(part)
            cut = escape(part if len(part) <= room else part[:room] + " … line cut")
            lines[-1].append(
                Markup('<span class="{}">{}</span>').format(css_class, cut) if css_class else cut
            )
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return [Markup("").join(line) for line in lines]


def _css_class(kind: _TokenType) -> str:
    while kind not in STANDARD_TYPES and kind.parent is not None:
        kind = kind.parent
    return STANDARD_TYPES.get(kind, "")
