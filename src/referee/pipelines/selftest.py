"""The server's half of ``referee selftest``: four tiny apps of its own, and a pipeline over them.

The apps need nothing but Python's standard library, so that a failure is one of this installation and not of
a package registry. Each has one known mistake.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Final
from uuid import UUID

from referee.apps import ensure_app
from referee.foundation.jobs import JobEngine
from referee.pipelines.room import PipelinesRoom
from referee.pipelines.service import PipelineRequest, create_pipeline, find_accepted
from referee.pipelines.views import Pipeline

__all__ = ["SELFTEST_APPS", "create_selftest_pipeline"]

SELFTEST_APPS: Final = tuple((model, number) for model in ("selftest-a", "selftest-b") for number in (1, 2))
"""Model and number of each."""
_DEFINITION: Final = """\
name: Self test
existing:
  apps: [selftest-a/app1, selftest-a/app2, selftest-b/app1, selftest-b/app2]
analysis:
  tools: [bandit, ruff, vulture{more}]
  is_cache_allowed: false
limits:
  cells_at_once: 2
  attempts: 3
  retry_pauses_s: [1, 5]
"""
_RUNNING_TOOLS: Final = ", curl, aiohttp"
_APP: Final = '''\
"""A shelf of items, without a framework."""

import json
import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "{model} {number}"
ITEMS = [{{"id": 1, "name": "lamp"}}, {{"id": 2, "name": "chair"}}]


def list_files(folder):
    return subprocess.call("ls " + folder, shell=True)


class Shelf(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path in ("/", "/api/items")
        body = json.dumps({{"shelf": NAME, "items": ITEMS}}) if known else "not here"
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json" if known else "text/plain")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "5000"))), Shelf).serve_forever()
'''


async def create_selftest_pipeline(
    room: PipelinesRoom,
    engine: JobEngine,
    project_id: UUID,
    *,
    is_app_run: bool = True,
    idempotency_key: str | None = None,
) -> Pipeline:
    """Put the four apps there, and accept a pipeline over them.

    Args:
        room: The room.
        engine: For its job.
        project_id: Whose; ``referee selftest`` uses a project of its own.
        is_app_run: Whether tools that meet the running app belong to it.
        idempotency_key: The same one with the same request gives the pipeline that exists.

    Raises:
        RefereeError: What ``create_pipeline`` raises.
    """
    text = _DEFINITION.format(more=_RUNNING_TOOLS if is_app_run else "")
    request = PipelineRequest(definition_text=text, idempotency_key=idempotency_key)

    async def create() -> Pipeline:
        known = await find_accepted(room, project_id, request)
        if known is not None:
            return known
        await _ensure_apps(room, project_id)
        return await create_pipeline(room, engine, project_id, request, are_apps_ours=True)

    if idempotency_key is None:
        return await create()
    return await room.arrivals.share(("selftest", project_id, request), create)


async def _ensure_apps(room: PipelinesRoom, project_id: UUID) -> None:
    folder = room.settings.generated_dir / "selftest"
    await asyncio.to_thread(_write_apps, folder)
    async with room.database.transaction() as session:
        for model, number in SELFTEST_APPS:
            path = folder / model / f"app{number}"
            await ensure_app(session, project_id=project_id, model=model, number=number, path=path)


def _write_apps(folder: Path) -> None:
    """Write each app as a whole; those that are there as they should be stay untouched."""
    for model, number in SELFTEST_APPS:
        app = folder / model / f"app{number}"
        app.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("app.py", _APP.format(model=model, number=number)),
            ("Procfile", "web: python app.py\n"),
        ):
            path = app / name
            if path.is_file() and path.read_text(encoding="utf-8") == text:
                continue
            handle, temporary = tempfile.mkstemp(dir=app, prefix=".new-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
