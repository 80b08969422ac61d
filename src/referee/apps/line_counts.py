"""How much code a source holds, so that findings can be related to it."""

from __future__ import annotations

from typing import Final

from referee.core.sources import Language, SourceSnapshot

__all__ = ["CODE_LANGUAGES", "count_code_lines"]

CODE_LANGUAGES: Final[tuple[Language, ...]] = (
    "python", "javascript", "jsx", "typescript", "tsx", "html", "css", "sql", "shell",
)  # fmt: skip
"""What somebody writes to make an app work. Data, configuration and prose are not code."""


def count_code_lines(snapshot: SourceSnapshot) -> int | None:
    """Return the lines that are not blank in the code of a snapshot, comments included. Blocking.

    Vendored, minified and generated files are no part of a snapshot, so they do not count. None when a file
    is gone, since a copy is swept when nobody needs it: a part of the lines would be a wrong number.
    """
    total = 0
    for file in snapshot.files_in(*CODE_LANGUAGES):
        try:
            with (snapshot.root / file.path).open("rb") as lines:
                total += sum(1 for line in lines if line.strip())
        except FileNotFoundError:
            return None
    return total
