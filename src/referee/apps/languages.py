"""Which language a file is in, and which files are not the author's own work.

Decided from names and a look at the first bytes; nothing is executed.

Not here: walking and copying (``sources.py``).
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from referee.core.sources import ExclusionReason, Language

__all__ = ["FOLDER_SIGNS", "HEAD_BYTES", "classify_content", "classify_folder", "language_of"]

HEAD_BYTES: Final = 65_536
"""Bytes looked at to tell binary and minified files: enough for several of the longest sane lines."""

_MINIFIED_MEAN_LINE_BYTES: Final = 500
"""Mean line length above which a script of some size was written by a bundler, not a person."""

_MINIFIED_LEAST_BYTES: Final = 5_000

_SUFFIXES: Final[dict[str, Language]] = {
    ".py": "python", ".pyi": "python", ".pyw": "python",
    ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "jsx",
    ".ts": "typescript", ".mts": "typescript", ".cts": "typescript", ".tsx": "tsx",
    ".html": "html", ".htm": "html", ".jinja": "html", ".j2": "html",
    ".css": "css", ".scss": "css", ".sass": "css", ".less": "css",
    ".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml",
    ".md": "markdown", ".markdown": "markdown", ".rst": "text", ".txt": "text", ".cfg": "text", ".ini": "text",
    ".sh": "shell", ".bash": "shell", ".sql": "sql", ".dockerfile": "docker",
}  # fmt: skip

_NAMES: Final[dict[str, Language]] = {
    "Dockerfile": "docker",
    "Containerfile": "docker",
    "Makefile": "text",
    "Procfile": "text",
    "Pipfile": "toml",
    "yarn.lock": "text",
}

_FOLDERS: Final[dict[str, ExclusionReason]] = {
    "node_modules": "vendored", "bower_components": "vendored", "site-packages": "vendored", "vendor": "vendored",
    ".venv": "vendored", "venv": "vendored", ".yarn": "vendored", ".pnpm-store": "vendored",
    "__pycache__": "generated", ".mypy_cache": "generated", ".ruff_cache": "generated", ".pytest_cache": "generated",
    ".tox": "generated", ".nox": "generated", ".cache": "generated", ".next": "generated", ".nuxt": "generated",
    ".parcel-cache": "generated", ".turbo": "generated", ".vite": "generated", "htmlcov": "generated",
    ".git": "version_control", ".hg": "version_control", ".svn": "version_control",
}  # fmt: skip

_FOLDERS_UNLESS_SOURCE: Final = ("dist", "build", "out", "coverage")
"""Build output by habit, but also names of real packages: kept when they hold an ``__init__.py``."""


FOLDER_SIGNS: Final = ("__init__.py", "pyvenv.cfg")
"""Names directly inside a folder that say what it is."""


def language_of(path: str) -> Language:
    """Return the language of a file by its name; ``other`` when unknown."""
    pure = PurePosixPath(path)
    return _NAMES.get(pure.name) or _SUFFIXES.get(pure.suffix.lower(), "other")


def classify_folder(name: str, entry_names: frozenset[str]) -> ExclusionReason | None:
    """Return why a folder is left out, or None to walk it.

    Args:
        name: Its name.
        entry_names: Names directly inside it.
    """
    reason = _FOLDERS.get(name)
    if reason is not None:
        return reason
    if "pyvenv.cfg" in entry_names:
        return "vendored"
    if name in _FOLDERS_UNLESS_SOURCE and "__init__.py" not in entry_names:
        return "generated"
    if name.endswith((".egg-info", ".dist-info")):
        return "generated"
    return None


def classify_content(path: str, head: bytes, size_bytes: int) -> ExclusionReason | None:
    """Return why a file is left out by its content, or None to keep it.

    Args:
        path: Its path.
        head: The first ``HEAD_BYTES`` of it.
        size_bytes: Its full size.
    """
    if b"\0" in head[:8192] and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "binary"
    if language_of(path) not in ("javascript", "css"):
        return None
    stem = PurePosixPath(path).name.lower()
    if ".min." in stem or stem.endswith((".bundle.js", ".chunk.js")):
        return "minified"
    lines_count = head.count(b"\n") + 1
    if size_bytes >= _MINIFIED_LEAST_BYTES and len(head) / lines_count > _MINIFIED_MEAN_LINE_BYTES:
        return "minified"
    return None
