"""The words with which a model is asked for an app, and asked again.

Not here: when what is asked (``conversation.py``), and reading the answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from referee.core.findings import JsonValue
from referee.core.templates import Endpoint, Template
from referee.foundation.llm import ChatMessage
from referee.tools.routes import Route

__all__ = [
    "PROMPTS_VERSION",
    "ask_for_code",
    "ask_for_rest",
    "ask_to_begin",
    "ask_to_continue",
    "ask_to_fill_in",
    "ask_to_repair",
    "render_backend_prompt",
    "render_frontend_prompt",
]

PROMPTS_VERSION: Final = "1"
"""Raised with each change of the words: apps of different versions do not compare."""

_SYSTEM: Final = """\
You are an experienced web developer. You write complete, working programs in one go. You never ask questions, \
never leave parts out and never describe what somebody else should add: whatever is not said is yours to decide.

Every file comes whole, in a fenced block of its own whose first line names the language and the path, like this:

```python backend/app.py
print("the whole file")
```

Outside of the blocks you write at most a few sentences."""

_BACKEND: Final = """\
Write the backend of this web application.

{application}

## What the backend has to do

{requirements}
{administration}
## Endpoints

Each of them is there, with exactly these methods, paths and fields. Bodies are JSON unless something else is said. \
Parameters are written with a colon.

{endpoints}
{data_model}
## How it is made

- Python 3.11 or newer with Flask. The program is backend/app.py; more files below backend/ are welcome.
- `python app.py`, started in the folder backend, serves it at 127.0.0.1 and the port in the environment variable \
PORT, 5000 where that is not set, without debug mode and without a reloader.
- Data lies in a SQLite file in the folder of the program; tables and first rows are made at the first start.
- backend/requirements.txt lists every package that is imported and not part of Python. Only packages that exist on \
PyPI; as few as possible.
- GET /health answers 200 with {{"status": "ok"}}.
- Wrong input is answered with a status of 4xx and {{"error": "one sentence"}}.
- Secrets come from environment variables or are made at random at the first start. No password stands in the code \
but those of the first accounts.
- No pages: the frontend is written afterwards and reaches the backend below /api."""

_FRONTEND: Final = """\
Write the frontend of this web application. Its backend is there and stays as it is.

{application}

## What the frontend has to do

{requirements}
{administration}
## The backend

These routes are there. Use no others.

{routes}

What is sent and answered:

{endpoints}
## How it is made

- React 18 with Vite, in JavaScript. The program begins in frontend/src/App.jsx; more files below frontend/src are \
welcome, one component in each. Styles are in frontend/src/App.css.
- frontend/index.html, frontend/src/main.jsx, frontend/vite.config.js and frontend/package.json are made for you when \
you do not write them; every package that you import and that is not React itself must exist on npm. Use as few \
as possible.
- Requests go to paths that begin with /api on the same host, which Vite hands on to the backend.
- Errors of the backend are shown to the person. Nothing is made up where an answer is awaited.
- It can be used with the keyboard, and every field has a label."""


def render_backend_prompt(template: Template) -> list[ChatMessage]:
    """Return the conversation that asks for the backend."""
    words = _BACKEND.format(
        application=_describe(template),
        requirements=_list(template.backend_requirements),
        administration=_render_section("What it has to do for administrators", template.admin_requirements),
        endpoints="\n".join(_render_endpoint(one) for one in template.endpoints) or "Choose them yourself.",
        data_model=_render_data_model(template.data_model),
    )
    return [ChatMessage("system", _SYSTEM), ChatMessage("user", words)]


def render_frontend_prompt(template: Template, routes: Sequence[Route]) -> list[ChatMessage]:
    """Return the conversation that asks for the frontend of a backend with these routes."""
    words = _FRONTEND.format(
        application=_describe(template),
        requirements=_list(template.frontend_requirements),
        administration=_render_section("What it has to do for administrators", template.admin_requirements),
        routes=_list(f"{method} {path}" for method, path in _name_routes(routes))
        or "None could be read from its source. Keep to the endpoints below.",
        endpoints="\n".join(_render_endpoint(one) for one in template.endpoints)
        or "Nothing is said about it.",
    )
    return [ChatMessage("system", _SYSTEM), ChatMessage("user", words)]


def ask_to_continue() -> str:
    """Return what is said when an answer was cut."""
    return (
        "Your answer was cut off. Go on exactly where it stopped, in the middle of the line if need be. Repeat "
        "nothing, explain nothing, and do not open the block again."
    )


def ask_to_begin() -> str:
    """Return what is said to a model that asks whether it should begin."""
    return (
        "Yes. Nobody will answer questions: decide everything yourself, and write all files now, whole, each in a "
        "fenced block that names its path."
    )


def ask_for_rest() -> str:
    """Return what is said to a model that asks whether it should go on."""
    return (
        "Yes, go on. Write all files that are still missing or unfinished now, whole, and do not ask again."
    )


def ask_for_code() -> str:
    """Return what is said when no file could be read from an answer."""
    return (
        "No file could be read from your answer. Write every file whole in a fenced block of its own that names "
        "language and path in its first line, such as ```python backend/app.py."
    )


def ask_to_fill_in(places: Sequence[str]) -> str:
    """Return what is said when parts of the code were left out."""
    return (
        f"These places stand for code that is not there:\n\n{_list(places)}\n\nWrite each of these files again, whole, "
        "with nothing left out."
    )


def ask_to_repair(problems: Sequence[str]) -> str:
    """Return what is said when files cannot be parsed."""
    return f"These files cannot be parsed:\n\n{_list(problems)}\n\nWrite each of them again, whole and corrected."


def _describe(template: Template) -> str:
    return f"# {template.name}\n\n{template.description}".strip()


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _render_section(title: str, lines: Sequence[str]) -> str:
    return f"\n## {title}\n\n{_list(lines)}\n" if lines else ""


def _render_endpoint(endpoint: Endpoint) -> str:
    who = " (administrators only)" if endpoint.is_admin else ""
    text = f"### {endpoint.method} {endpoint.path}{who}\n\n{endpoint.description}\n"
    for label, value in (("Request", endpoint.request), ("Response", endpoint.response)):
        if value is not None:
            text += f"\n{label}: `{_dump(value)}`\n"
    return text


def _render_data_model(value: JsonValue) -> str:
    return f"\n## Main record\n\n`{_dump(value)}`\n" if value is not None else ""


def _dump(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False).replace("`", "'")


def _name_routes(routes: Sequence[Route]) -> list[tuple[str, str]]:
    return sorted({(route.method, route.path) for route in routes}, key=lambda route: (route[1], route[0]))
