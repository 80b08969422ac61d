"""Packages that an app needs: found in its code, declared where they exist, told where they do not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from referee.apps.generation.dependencies import complete_dependencies, find_package_uses, judge_packages
from referee.foundation.settings import load_settings

FILES = {
    "backend/app.py": (
        "import os\nimport jwt, helpers\nfrom flask import Flask\nimport quantum_flask_orm\nfrom . import x\n"
    ),
    "backend/helpers.py": "import yaml\n",
    "backend/requirements.txt": "Flask>=3  # web\nflask-magic-sessions\n",
    "frontend/package.json": json.dumps({"dependencies": {"react": "^18.3.1"}}),
    "frontend/src/App.jsx": (
        'import React, { useState } from "react";\nimport axios from "axios";\nimport "./App.css";\n'
        "// import ghost from 'commented-out';\nimport pad from '@left/pad-it';\nimport fs from 'node:fs';\n"
    ),
}


@contextmanager
def serve_registry(existing: set[str]) -> Iterator[str]:
    """Serve a registry that knows some names, and fails for one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            status = 500 if name == "broken" else 200 if name in existing else 404
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_packages_are_found_by_imports_and_declarations() -> None:
    uses = {use.name: (use.ecosystem, use.is_declared, use.is_imported) for use in find_package_uses(FILES)}
    assert uses == {
        "@left/pad-it": ("npm", False, True),
        "axios": ("npm", False, True),
        "flask": ("pypi", True, True),
        "flask-magic-sessions": ("pypi", True, False),
        "pyjwt": ("pypi", False, True),
        "pyyaml": ("pypi", False, True),
        "quantum-flask-orm": ("pypi", False, True),
        "react": ("npm", True, True),
    }


async def test_nobody_is_asked_without_an_address_and_unknown_is_not_absent() -> None:
    _, notices = await judge_packages(find_package_uses(FILES), load_settings())
    assert {(notice.kind, notice.subject) for notice in notices} == {
        ("unknown_package", "@left/pad-it"),
        ("unknown_package", "flask-magic-sessions"),
        ("unknown_package", "quantum-flask-orm"),
    }


async def test_package_that_the_registry_does_not_have_is_slopsquatting() -> None:
    with serve_registry({"quantum-flask-orm"}) as url:
        settings = load_settings(generator_pypi_url=url, generator_npm_url=url)
        verdicts, notices = await judge_packages(find_package_uses(FILES), settings)

    assert {notice.subject for notice in notices if notice.kind == "slopsquatting"} == {
        "@left/pad-it",
        "flask-magic-sessions",
    }
    assert verdicts["pypi", "quantum-flask-orm"] == "exists"


async def test_registry_that_fails_leaves_a_name_unknown() -> None:
    uses = find_package_uses({"backend/requirements.txt": "broken\n"})
    with serve_registry(set()) as url:
        verdicts, _ = await judge_packages(uses, load_settings(generator_pypi_url=url))

    assert verdicts == {("pypi", "broken"): "unknown"}


async def test_only_packages_that_exist_are_added() -> None:
    uses = find_package_uses(FILES)
    verdicts, _ = await judge_packages(uses, load_settings())

    completed, notices = complete_dependencies(FILES, uses, verdicts)

    assert completed["backend/requirements.txt"] == "Flask>=3  # web\nflask-magic-sessions\npyjwt\npyyaml\n"
    assert set(json.loads(completed["frontend/package.json"])["dependencies"]) == {"react", "axios"}
    assert [notice.subject for notice in notices] == ["pyjwt", "pyyaml", "axios"]


def test_hostile_scripts_are_read_in_no_time() -> None:
    for text in (
        "import " * 60_000,
        "import " + " " * 400_000,
        "/*" * 200_000,
        "import {" + "a, " * 130_000,
        "require(" * 60_000,
    ):
        assert find_package_uses({"frontend/a.js": text}) == []


def test_imports_of_every_form_are_found() -> None:
    text = "\n".join(
        (
            "import a from 'one'",
            'import * as b from "two"',
            "import {\n  c,\n  d as e,\n} from 'three/inner'",
            "import 'four'",
            "const f = require('five'); const g = await import('six');",
            "export { h } from 'seven'",
            "export * from '@eight/x/y'",
            "import i,{j}from'nine'",
        )
    )
    found = [use.name for use in find_package_uses({"frontend/a.js": text})]
    assert sorted(found) == ["@eight/x", "five", "four", "nine", "one", "seven", "six", "three", "two"]
