"""What a frontend needs around a model's code, where the model did not write it, and reading its routes.

The files are the same for every model, so that apps differ in what models wrote and in nothing else.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Final

from referee.apps.generation.contract import FileSet, Notice
from referee.apps.languages import language_of
from referee.core.sources import SourceFile, SourceSnapshot
from referee.core.templates import Template
from referee.tools.routes import Route, discover_routes, match_key

__all__ = ["add_scaffold", "find_missing_endpoints", "scan_routes"]

_PACKAGE: Final = {
    "name": "frontend",
    "private": True,
    "version": "0.0.0",
    "type": "module",
    "scripts": {"dev": "vite", "build": "vite build", "preview": "vite preview"},
    "dependencies": {"react": "^18.3.1", "react-dom": "^18.3.1"},
    "devDependencies": {"@vitejs/plugin-react": "^4.3.4", "vite": "^6.0.0"},
}
_VITE_CONFIG: Final = """\
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const backend = process.env.BACKEND_URL || "http://127.0.0.1:5000";

export default defineConfig({
  plugins: [react()],
  server: { proxy: { "/api": backend, "/health": backend } },
});
"""
_MAIN: Final = """\
import React from "react";
import { createRoot } from "react-dom/client";

import App from "./App";

createRoot(document.getElementById("root")).render(
  <React.StrictMode>
    <App />
  </React.StrictMode>,
);
"""
_PAGE: Final = """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>{title}</title>
  </head>
  <body>
    <div id="root"></div>
    <script type="module" src="/src/{main}"></script>
  </body>
</html>
"""
_MAIN_FILES: Final = ("main.jsx", "main.js", "main.tsx", "main.ts", "index.jsx", "index.js")


def add_scaffold(files: FileSet, template: Template) -> tuple[dict[str, str], list[Notice]]:
    """Return the files with those that a React frontend needs and that are missing, and what was added.

    A frontend of plain pages needs none.
    """
    if not any(path.startswith("frontend/src/") and path.endswith((".jsx", ".tsx")) for path in files):
        return dict(files), []
    title = "".join(letter for letter in template.name if letter not in "<>&{}")
    wanted = {
        "frontend/package.json": json.dumps(_PACKAGE, indent=2) + "\n",
        "frontend/vite.config.js": _VITE_CONFIG,
    }
    main = next((name for name in _MAIN_FILES if f"frontend/src/{name}" in files), "main.jsx")
    wanted["frontend/index.html"] = _PAGE.format(title=title, main=main)
    if f"frontend/src/{main}" not in files:
        wanted["frontend/src/main.jsx"] = _MAIN
    if any(path.startswith("frontend/vite.config.") for path in files):
        del wanted["frontend/vite.config.js"]
    added = {path: text for path, text in wanted.items() if path not in files}
    notices = [
        Notice("added_file", f"{path} was not written by the model and comes with every app.", subject=path)
        for path in sorted(added)
    ]
    return {**added, **files}, notices


def scan_routes(files: FileSet) -> tuple[Route, ...]:
    """Return the routes that a backend's source declares."""
    with tempfile.TemporaryDirectory(prefix="referee-routes-") as name:
        root = Path(name)
        listed = []
        for path, text in sorted(files.items()):
            data = text.encode()
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
            listed.append(SourceFile(path, len(data), hashlib.sha256(data).hexdigest(), language_of(path)))
        return discover_routes(SourceSnapshot(root=root, source_digest="", files=tuple(listed)))


def find_missing_endpoints(template: Template, routes: tuple[Route, ...]) -> list[Notice]:
    """Return the endpoints that were asked for and that no route in the source answers."""
    there = {(route.method, match_key(route.path)) for route in routes}
    return [
        Notice(
            "missing_endpoint",
            f"{endpoint.method} {endpoint.path} was asked for, and no route in the source answers it.",
            subject=f"{endpoint.method} {endpoint.path}",
        )
        for endpoint in template.endpoints
        if (endpoint.method, match_key(endpoint.path)) not in there
    ]
