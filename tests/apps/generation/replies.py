"""Answers of a model, written for the tests: a small app that really starts, and ways to spoil it."""

from __future__ import annotations

__all__ = ["BACKEND", "BACKEND_CODE", "FRONTEND", "REACT_FRONTEND", "block"]

BACKEND_CODE = """\
import os

from flask import Flask, jsonify, request

app = Flask(__name__)
notes = [{"id": 1, "text": "first"}]


@app.get("/health")
def health():
    return jsonify(status="ok")


@app.get("/api/notes")
def list_notes():
    return jsonify(notes)


@app.post("/api/notes")
def add_note():
    text = (request.get_json(silent=True) or {}).get("text", "")
    if not text:
        return jsonify(error="A note needs a text."), 422
    notes.append({"id": len(notes) + 1, "text": text})
    return jsonify(notes[-1]), 201


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "5000")))
"""


def block(path: str, text: str, language: str = "") -> str:
    """Return a fenced block as the prompt asks for it."""
    word = language or {"py": "python", "txt": "text"}.get(path.rsplit(".", 1)[-1], path.rsplit(".", 1)[-1])
    return f"```{word} {path}\n{text.rstrip()}\n```\n"


BACKEND = (
    "The backend:\n\n"
    + block("backend/app.py", BACKEND_CODE)
    + "\n"
    + block("backend/requirements.txt", "flask\n")
)

FRONTEND = (
    "Pages without a build:\n\n"
    + block(
        "frontend/index.html",
        '<!doctype html>\n<html lang="en">\n<head><title>Notes</title><script src="app.js" defer></script></head>\n'
        '<body><h1>Notes</h1><ul id="notes"></ul></body>\n</html>\n',
    )
    + block(
        "frontend/app.js",
        'fetch("/api/notes")\n  .then((answer) => answer.json())\n  .then((notes) => {\n'
        '    document.getElementById("notes").textContent = notes.map((note) => note.text).join(", ");\n  });\n',
    )
)

REACT_FRONTEND = block(
    "frontend/src/App.jsx",
    'import { useEffect, useState } from "react";\nimport axios from "axios";\nimport "./App.css";\n\n'
    "export default function App() {\n  const [notes, setNotes] = useState([]);\n  useEffect(() => {\n"
    '    axios.get("/api/notes").then((answer) => setNotes(answer.data));\n  }, []);\n'
    "  return <ul>{notes.map((note) => <li key={note.id}>Don't forget: {note.text}</li>)}</ul>;\n}\n",
) + block("frontend/src/App.css", "ul { margin: 1rem; }\n")
