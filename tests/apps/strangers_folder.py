"""A folder as a stranger may have it: apps of several models, placeholders of every kind, and what is neither."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["APP", "PLACEHOLDERS", "make_strangers_folder", "write_files"]

APP = "import subprocess\n\n\ndef run(name):\n    return subprocess.call('ls ' + name, shell=True)\n"
_VITE_APP = """import { useState } from 'react'
import viteLogo from '/vite.svg'

function App() {
  const [count, setCount] = useState(0)

  return (
    <>
      <h1>Vite + React</h1>
      <button onClick={() => setCount((count) => count + 1)}>
        count is {count}
      </button>
    </>
  )
}

export default App
"""
_VITE_MAIN = """import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import App from './App.jsx'

createRoot(document.getElementById('root')).render(<StrictMode><App /></StrictMode>)
"""
_VITE_PAGE = """<!doctype html>
<html lang="en"><head><title>Vite + React</title></head>
<body><div id="root"></div><script type="module" src="/src/main.jsx"></script></body></html>
"""
_LOREM = (
    "<!doctype html><html><head><title>Shop</title></head><body><h1>Lorem ipsum</h1><p>Lorem ipsum dolor sit amet, "
    "consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.</p></body></html>"
)

PLACEHOLDERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "ash/app4": ("empty", {}),
    "birch/app4": ("empty", {"README.md": "# Coming soon\n", "backend/app.py": "\n"}),
    "cedar/app4": (
        "scaffold",
        {
            "src/App.jsx": _VITE_APP,
            "src/main.jsx": _VITE_MAIN,
            "index.html": _VITE_PAGE,
            "vite.config.js": "export default {}\n",
            "package.json": '{"dependencies": {"react": "^18"}}\n',
        },
    ),
    "dogwood/app4": (
        "unwritten",
        {
            "backend/app.py": "from flask import Flask\n\napp = Flask(__name__)\n\n\n"
            "@app.route('/api/notes')\ndef notes():\n"
            "    # TO"
            "DO: implement\n    pass\n\n\nif __name__ == '__main__':\n    app.run()\n",
            "frontend/server.js": "const express = require('express');\nconst app = express();\n"
            "app.get('/', (req, res) => {\n  res.send('Hello World!');\n});\napp.listen(3000);\n",
        },
    ),
    "elm/app4": ("filler", {"index.html": _LOREM}),
}
"""Folder → what it is, and its files."""


def write_files(root: Path, files: Mapping[str, str]) -> Path:
    """Write files below a folder, which is made."""
    root.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def make_strangers_folder(root: Path, layout: str = "models") -> Path:
    """Make 15 apps of five models and five placeholders in a layout, with junk between them."""
    models = root / layout
    for model in ("ash", "birch", "cedar", "dogwood", "elm"):
        for number in (1, 2, 3):
            write_files(models / model / f"app{number}", {"main.py": f"NAME = '{model} {number}'\n{APP}"})
    for path, (_, files) in PLACEHOLDERS.items():
        write_files(models / path, files)
    write_files(models / "ash" / "notes", {"todo.txt": "x\n"})
    write_files(models / "<img src=x onerror=alert(1)>" / "app1", {"main.py": APP})
    write_files(models / "ash" / "app0", {"main.py": APP})
    (models / "linked").symlink_to(models / "ash")
    (models / "birch" / "app9").symlink_to(root)
    (models / "readme.txt").write_text("not a folder\n")
    os.mkfifo(models / "cedar" / "app1" / "pipe.py")
    (models / "elm" / os.fsdecode(b"app\xff7")).mkdir()
    write_files(models / "elm" / "node_modules", {"x.js": "x\n"})
    return models
