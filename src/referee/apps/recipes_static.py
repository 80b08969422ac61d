"""A frontend that is served as it lies there: folders with an ``index.html`` and nothing to build."""

from __future__ import annotations

import ast
from typing import Final

from referee.apps.recipes_contract import PAGE_PROBE, Component
from referee.apps.recipes_reading import SourceReader, join_path, name_of

__all__ = ["find_static_component"]

_FOLDERS_BESIDE: Final = ("frontend", "client", "web", "www", "ui", "site")
"""Where a frontend lies beside a backend."""
_FOLDERS_ALONE: Final = ("", "public", "static", "src", "dist", "build", "docs", *_FOLDERS_BESIDE)


def find_static_component(reader: SourceReader, others: list[Component]) -> Component | None:
    """Return a server of plain files, None when there is no page or another component serves it.

    Args:
        reader: Of the app's snapshot.
        others: Components found so far.
    """
    places = [
        join_path(folder, inner)
        for folder in (_FOLDERS_BESIDE if others else _FOLDERS_ALONE)
        for inner in ("", "public", "src")
    ]
    for folder in dict.fromkeys(place.rstrip("/") for place in places):
        if not reader.has_file(join_path(folder, "index.html")) or _is_served(reader, folder, others):
            continue
        return Component(
            name="frontend",
            kind="static",
            framework="static",
            folder=folder,
            argv=("python", "-m", "http.server", "{port}", "--bind", "{host}"),
            probe_paths=PAGE_PROBE,
            reason=f"{join_path(folder, 'index.html')} is a page and nothing builds it.",
        )
    return None


def _is_served(reader: SourceReader, folder: str, others: list[Component]) -> bool:
    """Return whether another component has this folder, or names it as the one it serves files from."""
    if any(folder == one.folder or folder.startswith(f"{one.folder}/") for one in others if one.folder):
        return True
    name = name_of(folder)
    sources = [
        file
        for one in others
        for file in reader.list_files(one.folder, ".py" if one.kind == "python" else ".js")[:100]
        if name in (reader.find_text(file.path) or "")
    ]
    for file in sources:
        if file.path.endswith(".js"):
            return True
        tree = reader.find_tree(file.path)
        for node in ast.walk(tree) if tree else ():
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and name in text.replace("\\", "/").split("/"):
                return True
    return False
