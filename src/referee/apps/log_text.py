"""What an app printed, as text for a page: without terminal codes, control characters and overwritten lines."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["clean_log"]

_TERMINAL_CODES: Final = re.compile(
    r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]"  # control sequences, such as colours
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)?"  # strings, such as titles and links
    r"|\x9b[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|\x1b[ -/]{0,8}[0-~]?"  # what else begins with an escape
)
"""Terminal codes as ECMA-48 writes them; every part is bounded, so hostile output costs no more than its length."""
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean_log(text: str) -> str:
    """Return output of an app as a terminal would leave it, roughly: one line of text for each line.

    A carriage return begins its line anew, as progress bars do, so only what was
    written last is kept. What reorders or hides characters stays, for the page to name.
    """
    plain = _TERMINAL_CODES.sub("", text).replace("\r\n", "\n")
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in plain.split("\n"))
    return _CONTROLS.sub("", "\n".join(lines))
