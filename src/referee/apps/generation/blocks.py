"""Fenced blocks of a model's answer, turned into files of an app.

An answer is hostile text: a path may point anywhere, a block may be huge. A
file lies below its half of the app, has a plain name and bounded text, or it
is refused and said. Nothing is written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from referee.apps.generation.contract import FileSet, Notice, Part

__all__ = ["FoundFiles", "check_path", "ends_inside_block", "merge_files", "read_files"]

MAX_FILES: Final = 200
MAX_FILE_BYTES: Final = 500_000
"""No file that somebody writes by hand is near it."""
MAX_TOTAL_BYTES: Final = 5_000_000
_MAX_PATH_BYTES: Final = 200
_MAX_DEPTH: Final = 10
_MAX_BLOCKS: Final = 1_000
_OPENING: Final = re.compile(r"^ {0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*?)[ \t]*$")
_NAMED_BY_KEY: Final = re.compile(
    r"(?:title|file(?:name)?|path|name)\s*[=:]\s*[\"']?([^\"'\s{}]+)", re.IGNORECASE
)
_PATH_WORD: Final = re.compile(r"[^\s`*\"'<>(){}=,;]+")
_COMMENT: Final = re.compile(
    r"^\s*(?:#|//|--|/\*|<!--|\{/\*)\s*(?:file(?:name|path)?\s*:\s*)?(?P<path>\S+?)\s*(?:\*/\}?|-->)?\s*$",
    re.IGNORECASE,
)
_HEADING: Final = re.compile(
    r"^\s*(?:[-*+]\s+|\d+[.)]\s+|#{1,6}\s+)?[*_`]*(?:file(?:name|path)?\s*[:=]\s*)?[*_`]*(?P<path>[^\s`*]+?)[*_`]*\s*:?\s*[*_`]*$",
    re.IGNORECASE,
)
_FILE_NAME: Final = re.compile(
    r"(?:[^/\\]*\.[A-Za-z][A-Za-z0-9]{0,9}|Dockerfile|Procfile|Makefile|Pipfile|\.env(?:\.\w+)?|\.gitignore)"
)
_UNNAMED: Final[dict[tuple[Part, str], str]] = {
    ("backend", "python"): "app.py", ("backend", "py"): "app.py",
    ("frontend", "jsx"): "src/App.jsx", ("frontend", "javascript"): "src/App.jsx", ("frontend", "js"): "src/App.jsx",
    ("frontend", "html"): "index.html", ("frontend", "css"): "src/App.css",
}  # fmt: skip
"""Where the first block of a language belongs when nobody says."""
_DENIED_PARTS: Final = frozenset({".git", ".ssh", "node_modules", "__pycache__", ".venv", "venv"})
"""Folders that nobody writes by hand."""
_WINDOWS_DRIVE: Final = re.compile(r"^[A-Za-z]:")


@dataclass(slots=True)
class FoundFiles:
    """What was taken from an answer."""

    files: dict[str, str] = field(default_factory=dict)
    """Text by path in the app; of a path that comes twice the last."""
    notices: list[Notice] = field(default_factory=list)
    """What was refused."""
    is_open: bool = False
    """Whether the answer ends inside a block."""


@dataclass(slots=True)
class _Block:
    info: str
    line_before: str
    lines: list[str]
    is_closed: bool = False


def read_files(answer: str, part: Part) -> FoundFiles:
    """Return the files in an answer.

    A block's path is looked for after its language, in its first line as a comment, and in the
    line before it; a block without one is the main file of its language, or nothing.
    """
    found = FoundFiles()
    total_bytes = 0
    for number, block in enumerate(_split(answer)):
        found.is_open = not block.is_closed
        if number >= _MAX_BLOCKS:
            found.notices.append(
                Notice("refused_file", f"Blocks after the first {_MAX_BLOCKS:,} are not read.")
            )
            break
        named = _find_name(block, part, found)
        if named is None:
            continue
        text = _clean(block.lines)
        path = check_path(named, part)
        if not isinstance(path, str):
            found.notices.append(path)
            continue
        size_bytes = len(text.encode())
        refusal = _refuse(path, text, size_bytes, total_bytes, found)
        if refusal:
            found.notices.append(Notice("refused_file", refusal, subject=path))
            continue
        total_bytes += size_bytes
        found.files[path] = text
    return found


def merge_files(files: FileSet, more: FileSet) -> tuple[dict[str, str], list[Notice]]:
    """Return files with those of a later answer laid over them, and what had to be refused.

    A path cannot be a file and a folder, and two paths that differ in case only are one on some
    machines: the later of them is refused. Limits hold for all files together.
    """
    merged = dict(files)
    notices = []
    for path, text in more.items():
        trial = {**merged, path: text}
        problem = ""
        if path not in merged:
            folded = path.casefold()
            if any(other.casefold() == folded for other in merged):
                problem = f"{path} differs from another file in case only."
            elif any(other.startswith(f"{path}/") or path.startswith(f"{other}/") for other in merged):
                problem = f"{path} cannot be a file and a folder."
            elif len(trial) > MAX_FILES:
                problem = f"{path} is one of more than {MAX_FILES} files."
        if not problem and sum(len(one.encode()) for one in trial.values()) > MAX_TOTAL_BYTES:
            problem = f"{path} would make the app larger than {MAX_TOTAL_BYTES:,} bytes."
        if problem:
            notices.append(Notice("refused_file", problem, subject=path))
        else:
            merged = trial
    return merged, notices


def ends_inside_block(answer: str) -> bool:
    """Return whether an answer ends before its last block does."""
    is_open = False
    for block in _split(answer):
        is_open = not block.is_closed
    return is_open


def check_path(named: str, part: Part) -> str | Notice:
    """Return the path in the app of a file that an answer names, or why there is none.

    A path that does not begin with the half of the app is taken to lie in it.
    """
    shown = "".join(letter if letter.isprintable() else "�" for letter in named[:200])

    def refuse(why: str) -> Notice:
        return Notice("unsafe_path", f"A file that wants to be {shown!r} is refused: {why}.", subject=shown)

    if any(not letter.isprintable() for letter in named):
        return refuse("its name holds control characters")
    if len(named.encode("utf-8", errors="replace")) > _MAX_PATH_BYTES:
        return refuse(f"its path has more than {_MAX_PATH_BYTES} bytes")
    if "\\" in named or _WINDOWS_DRIVE.match(named) or named.startswith("~"):
        return refuse("its path is not relative to the app")
    if named.startswith("/"):
        return refuse("its path is absolute")
    steps = [step for step in named.split("/") if step != "."]
    if ".." in steps:
        return refuse("its path leads out of the app")
    if not all(steps) or not steps:
        return refuse("its path has an empty part")
    if any(step.lower() in _DENIED_PARTS for step in steps):
        return refuse("it lies in a folder that nobody writes by hand")
    if any(step != step.strip() or step.endswith(".") for step in steps):
        return refuse("a part of its path begins or ends with a space or a dot")
    other: Part = "frontend" if part == "backend" else "backend"
    if steps[0] == other:
        return refuse(f"it belongs to the {other}, which was not asked for")
    if steps[0] != part:
        steps.insert(0, part)
    if len(steps) < 2 or len(steps) > _MAX_DEPTH:
        return refuse("it names no file, or one too deep in folders")
    return "/".join(steps)


def _split(answer: str) -> Iterator[_Block]:
    """Yield the fenced blocks; one in another of fewer marks belongs to the outer one."""
    block: _Block | None = None
    fence = ""
    before = ""
    for line in answer.replace("\r\n", "\n").split("\n"):
        match = _OPENING.match(line) if len(line) <= 1_000 else None
        if block is None:
            if match:
                fence = match["fence"]
                block = _Block(match["info"], before, [])
            elif line.strip():
                before = line
        elif (
            match
            and match["fence"][0] == fence[0]
            and len(match["fence"]) >= len(fence)
            and not match["info"]
        ):
            block.is_closed = True
            yield block
            block, before = None, ""
        else:
            block.lines.append(line)
    if block is not None:
        yield block


def _find_name(block: _Block, part: Part, found: FoundFiles) -> str | None:
    info = block.info.strip()
    named = _NAMED_BY_KEY.search(info)
    if named:
        return str(named[1])
    language, _, rest = info.partition(" ")
    for match in _PATH_WORD.finditer(rest):
        if _looks_like_path(match[0]):
            return str(match[0])
    head, separator, tail = language.partition(":")
    if separator and _looks_like_path(tail):
        return tail
    if _looks_like_path(language) and ("/" in language or "." in language[1:]):
        return language
    first = next((line for line in block.lines if line.strip()), "")
    comment = _COMMENT.match(first) if len(first) <= 300 else None
    if comment and _looks_like_path(comment["path"]) and not comment["path"].startswith("!"):
        return str(comment["path"])
    heading = _HEADING.match(block.line_before) if len(block.line_before) <= 300 else None
    if heading and _looks_like_path(heading["path"]):
        return str(heading["path"])
    return _guess_name(head.lower(), block, part, found)


def _guess_name(language: str, block: _Block, part: Part, found: FoundFiles) -> str | None:
    if language == "json" and any('"dependencies"' in line for line in block.lines):
        return "package.json"
    name = _UNNAMED.get((part, language))
    return name if name is not None and f"{part}/{name}" not in found.files else None


def _looks_like_path(word: str) -> bool:
    if word.startswith(("http://", "https://", "--")) or len(word) > 1_000:
        return False
    last = re.split(r"[/\\]", word)[-1]
    if _FILE_NAME.fullmatch(last):
        return True
    # Of what has no file's name, only what looks like an attack is kept, to be refused and told.
    return ".." in PurePosixPath(word).parts or (word.startswith("/") and "/" in word[1:])


def _refuse(path: str, text: str, size_bytes: int, total_bytes: int, found: FoundFiles) -> str:
    if size_bytes > MAX_FILE_BYTES:
        return f"{path} has more than {MAX_FILE_BYTES:,} bytes."
    if total_bytes + size_bytes > MAX_TOTAL_BYTES:
        return f"{path} would make the app larger than {MAX_TOTAL_BYTES:,} bytes."
    if path not in found.files and len(found.files) >= MAX_FILES:
        return f"{path} is one of more than {MAX_FILES} files."
    if "\0" in text:
        return f"{path} holds NUL characters, so it is no text."
    return ""


def _clean(lines: list[str]) -> str:
    """Return a block's text as a file: no half surrogate pairs, one line end at its end."""
    text = "\n".join(lines).encode("utf-8", errors="replace").decode()
    return text.rstrip("\n") + "\n" if text.strip() else ""
