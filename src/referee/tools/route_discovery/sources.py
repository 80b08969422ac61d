"""Reading the source files of a snapshot as text, bounded."""

from __future__ import annotations

from typing import Final

from referee.core.sources import Language, SourceSnapshot

__all__ = ["read_sources"]

MAX_FILES: Final = 1_500
MAX_FILE_BYTES: Final = 512 * 1024
"""No file that a person or a language model wrote comes near; data and bundles do."""
MAX_TOTAL_BYTES: Final = 16 * 1024 * 1024


def read_sources(snapshot: SourceSnapshot, *languages: Language) -> dict[str, str]:
    """Return the text of the files of these languages by path, in order, up to the limits of this module.

    Files that are too large or cannot be read are left out.
    """
    texts: dict[str, str] = {}
    left_bytes = MAX_TOTAL_BYTES
    for file in snapshot.files_in(*languages):
        if len(texts) >= MAX_FILES or left_bytes <= 0:
            break
        if file.size_bytes > MAX_FILE_BYTES:
            continue
        try:
            with (snapshot.root / file.path).open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES)
        except OSError:
            continue
        left_bytes -= len(data)
        texts[file.path] = data.decode("utf-8", errors="replace")
    return texts
