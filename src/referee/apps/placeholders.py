"""Telling an app from a placeholder: a folder where nothing was written yet, or nothing that does anything.

A placeholder has no flaws because it has no code, so its results would count it among the best. It is
named as what it is instead. The judgement is careful: one statement that does something makes an app.

=============  ====================================================================
``empty``      no file with code, or only files that hold nothing
``scaffold``   what a program that starts projects leaves behind, unchanged
``unwritten``  functions without a body, comments that stand for code
``filler``     pages of nothing but filler text
=============  ====================================================================

Files are read without following links and with limits; nothing is executed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

from referee.apps.generation.conversation import find_placeholders
from referee.apps.languages import classify_folder, language_of
from referee.apps.placeholder_signs import (
    count_python_work,
    count_script_work,
    count_words,
    find_scaffold,
    is_filler,
    is_support_file,
)

__all__ = ["Placeholder", "PlaceholderKind", "find_placeholder", "judge_files"]

_CODE: Final = frozenset({"python", "javascript", "jsx", "typescript", "tsx", "html"})
_OTHER_CODE: Final = frozenset({
    ".aspx", ".astro", ".c", ".clj", ".coffee", ".cpp", ".cr", ".cs", ".cshtml", ".dart", ".ejs", ".elm", ".erb",
    ".erl", ".ex", ".exs", ".fs", ".go", ".groovy", ".haml", ".hbs", ".hs", ".ipynb", ".java", ".jl", ".jsp", ".kt",
    ".liquid", ".lua", ".mdx", ".ml", ".nim", ".njk", ".php", ".pl", ".pug", ".r", ".razor", ".rb", ".rs", ".scala",
    ".svelte", ".swift", ".twig", ".vue", ".zig",
})  # fmt: skip
"""Of languages that are not looked into: a file with a line in it is taken to do something."""
_MAX_FILES: Final = 300
_MAX_ENTRIES: Final = 5_000
_MAX_DEPTH: Final = 12
_MAX_FILE_BYTES: Final = 256_000
_MAX_TOTAL_BYTES: Final = 1_000_000
"""Nobody leaves that much unwritten: more is an app without being read."""
_PAGE_WORDS: Final = 12
"""Words of text from which a page says something."""


class PlaceholderKind(StrEnum):
    """What is there instead of an app."""

    empty = "empty"
    scaffold = "scaffold"
    unwritten = "unwritten"
    filler = "filler"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A folder that holds no app."""

    kind: PlaceholderKind
    reason: str
    """One sentence."""


def find_placeholder(folder: Path) -> Placeholder | None:
    """Return what is in the place of an app in a folder; None when it is an app. Blocking.

    A folder that cannot be read is none of these: whoever wants its source is told so.
    """
    files: dict[str, str] = {}
    total_bytes = 0
    try:
        for path, text in _read_code(folder):
            total_bytes += len(text)
            if total_bytes > _MAX_TOTAL_BYTES or len(files) >= _MAX_FILES:
                return None
            files[path] = text
    except OSError:
        return None
    return judge_files(files)


def judge_files(files: Mapping[str, str]) -> Placeholder | None:
    """Return what is in the place of an app, from its files with code by path; None when it is an app."""
    written = {path: text for path, text in files.items() if text.strip()}
    if not written:
        inside = "it" if len(files) == 1 else "them"
        what = f"{_files(len(files))} with code, and nothing in {inside}" if files else "no file with code"
        return Placeholder(PlaceholderKind.empty, f"It holds {what}.")
    makers: list[str] = []
    fillers: list[str] = []
    for path, text in sorted(written.items()):
        maker = find_scaffold(path, text)
        if maker:
            makers.append(maker)
        elif is_filler(text):
            fillers.append(path)
        elif not is_support_file(path, text) and _does_something(path, text):
            return None
    return _name(written, makers, fillers)


def _name(written: Mapping[str, str], makers: list[str], fillers: list[str]) -> Placeholder:
    """Say what files are that do nothing."""
    gaps = find_placeholders(written)
    if fillers:
        return Placeholder(
            PlaceholderKind.filler, f"Its pages hold filler text alone, such as {_show(fillers[0])}."
        )
    if makers:
        return Placeholder(PlaceholderKind.scaffold, f"It is what {makers[0]} leaves behind, unchanged.")
    if gaps:
        more = f", and {len(gaps) - 1} more" if len(gaps) > 1 else ""
        return Placeholder(PlaceholderKind.unwritten, f"Its code was never written: {_show(gaps[0])}{more}.")
    return Placeholder(
        PlaceholderKind.empty, f"It holds {_files(len(written))} with code, and none does anything."
    )


def _does_something(path: str, text: str) -> bool:
    language = language_of(path)
    if language == "python":
        return count_python_work(text) > 0
    if language == "html":
        return count_words(text) >= _PAGE_WORDS or count_script_work(text) > 0
    if language in _CODE:
        return count_script_work(text) > 0
    return True


def _read_code(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield path and text of every file with code."""
    waiting: list[tuple[Path, str, int]] = [(folder, "", 0)]
    entries_count = 0
    while waiting:
        current, prefix, depth = waiting.pop()
        with os.scandir(current) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            entries_count += 1
            if entries_count > _MAX_ENTRIES:
                return
            path = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if depth < _MAX_DEPTH and classify_folder(entry.name, frozenset()) is None:
                    waiting.append((current / entry.name, f"{path}/", depth + 1))
            elif _is_code(entry.name) and entry.is_file(follow_symlinks=False):
                text = _read_text(current / entry.name)
                if text is not None:
                    yield path, text


def _is_code(name: str) -> bool:
    return language_of(name) in _CODE or PurePosixPath(name).suffix.lower() in _OTHER_CODE


def _read_text(path: Path) -> str | None:
    """Return the start of a regular file; None when it is none any more."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = file.read(_MAX_FILE_BYTES + 1)
    # A file too long to be read whole is no placeholder: it counts as far above what is read.
    return data.decode("utf-8", errors="replace") + (
        "" if len(data) <= _MAX_FILE_BYTES else " " * _MAX_TOTAL_BYTES
    )


def _files(count: int) -> str:
    return f"{count:,} file" if count == 1 else f"{count:,} files"


def _show(text: str) -> str:
    """Return foreign text as something that can stand in a sentence."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in text[:160])
    return repr(shown)
