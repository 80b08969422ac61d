"""Placeholders are told from apps: by what is there, carefully, and without following anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.apps.strangers_folder import PLACEHOLDERS, write_files

from referee.apps.placeholders import find_placeholder, judge_files

SAMPLE_APPS = sorted((Path(__file__).parents[2] / "samples" / "apps" / "models").glob("*/app*"))

APPS = {
    "one python statement": {"app.py": "import os\n\n\ndef run():\n    return os.getcwd()\n"},
    "one route": {
        "server.js": "const express = require('express');\nconst app = express();\nconst notes = load('notes');\n"
        "app.get('/', (req, res) => {\n  res.json(notes);\n});\n"
    },
    "express routes in index.js": {
        "index.js": "const app = require('express')();\napp.get('/n/:id', (req, res) => {\n"
        "  res.json(find(req.params.id));\n});\nmodule.exports = app;\n"
    },
    "component with state": {
        "src/App.jsx": "export default function App() {\n  const [notes, setNotes] = useState([]);\n"
        "  return <ul>{notes.map((note) => <li>{note}</li>)}</ul>;\n}\n"
    },
    "page with text": {
        "index.html": f"<html><body><p>{'A page that says something of its own. ' * 3}</p></body></html>"
    },
    "page with a form": {"index.html": "<html><body><form action='/x'><input name='q'></form></body></html>"},
    "page with a script": {
        "index.html": "<html><body><script>\nstart(document.body)\n</script></body></html>"
    },
    "code with gaps that works all the same": {
        "app.py": "# \x54ODO: implement paging\ndef total(prices):\n    return sum(prices)\n"
    },
    "what cannot be parsed": {"app.py": "def broken(:\n"},
    "another language": {"main.go": "package main\n"},
    "all of it behind the guard": {
        "app.py": "from x import serve\n\nif __name__ == '__main__':\n    serve(port=80)\n"
    },
    "models of a database": {"models.py": "class Note(Model):\n    text = CharField(max_length=10)\n"},
    "lorem among much else": {
        "index.html": f"<html><body><p>{'Our own words about the shop. ' * 20} lorem ipsum</p></body></html>"
    },
}


@pytest.mark.parametrize("name", APPS)
def test_one_thing_that_does_something_makes_an_app(name: str) -> None:
    assert judge_files(APPS[name]) is None


@pytest.mark.parametrize("path", PLACEHOLDERS)
def test_placeholder_of_every_kind_is_named(path: str, tmp_path: Path) -> None:
    kind, files = PLACEHOLDERS[path]
    found = find_placeholder(write_files(tmp_path / "app", files))
    assert found is not None
    assert found.kind == kind
    assert found.reason.endswith(".")


@pytest.mark.parametrize("folder", SAMPLE_APPS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_sample_apps_are_apps(folder: Path) -> None:
    assert find_placeholder(folder) is None


def test_links_pipes_and_huge_files_are_no_way_in(tmp_path: Path) -> None:
    outside = write_files(tmp_path / "outside", {"app.py": "import os\nos.getcwd()\n"})
    app = write_files(tmp_path / "app", {"backend/app.py": "pass\n"})
    (app / "linked.py").symlink_to(outside / "app.py")
    (app / "folder").symlink_to(outside)
    os.mkfifo(app / "pipe.py")
    found = find_placeholder(app)
    assert found is not None
    assert found.kind == "empty"

    (app / "huge.py").write_text("# " + "x" * 2_000_000)
    assert find_placeholder(app) is None, "what is too long to be read counts as an app"


def test_hostile_text_costs_no_time_and_stays_out_of_sentences() -> None:
    lines = [
        "function " + "(" * 5_000,
        "const " + "a," * 5_000,
        "<" * 9_000,
        "return " + "{" * 5_000,
        "\x1b[31m",
    ]
    found = judge_files({"\u202eevil\x1b.py": "def a():\n    pass  # \x54ODO: implement \u202e\x1b[31m\n"})
    assert found is not None
    assert found.reason.isprintable()
    for code in ("x" + ".a" * 20_000 + "()", "raise x" + "()" * 5_000, "return " + "(" * 90 + ")" * 90):
        judge_files({"app.py": f"def a():\n    {code}\n"})
    judge_files({f"{number}.js": line * 20 for number, line in enumerate(lines)})
