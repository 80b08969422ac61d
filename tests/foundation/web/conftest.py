"""A shell with a page, a list and an API of its own, in memory and behind a real server."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
import structlog
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Form, Query, Request, Response
from pydantic import BaseModel, Field
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from tests.programs import skip_for_system

from referee.core.clock import ManualClock
from referee.core.errors import Conflict, NotFound, TooManyRequests, Unauthorized
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.access import Principal
from referee.foundation.settings import Settings, load_settings
from referee.foundation.web import NavigationEntry, create_shell, render_page
from referee.foundation.web.answers import (
    CursorParameter,
    IdempotencyKey,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.filters import Filter
from referee.foundation.web.live import LiveHub
from referee.foundation.web.navigation import JumpHit
from referee.foundation.web.patterns import FIELDS
from referee.foundation.web.shell import ProjectChoice

NOW = datetime(2026, 3, 1, 14, 0, tzinfo=UTC)
PROJECT_ID = UUID(int=7)
KEY = "rfr_good"
READ_KEY = "rfr_read"


class Order(BaseModel):
    tools: list[int]
    name: str = Field(max_length=5)


router = APIRouter(tags=["examples"])


@router.get("/v1/examples")
async def list_examples(
    request: Request,
    response: Response,
    principal: PrincipalParameter,
    filter: Annotated[Filter, Depends(filter_parameter(FIELDS))],
    limit: LimitParameter = DEFAULT_LIMIT,
    cursor: CursorParameter = None,
) -> PageModel[str]:
    page = Page((str(filter), principal.project_slug, cursor or ""), 120, limit, "following")
    return answer_page(request, response, page, str)


@router.get("/v1/examples/{example_id}")
async def get_example(example_id: str) -> dict[str, str]:
    raise NotFound(
        "example.not_found", "There is no such example.", "List them first.", example_id=UUID(int=1)
    )


@router.post("/v1/examples")
async def create_example(order: Order, key: IdempotencyKey) -> dict[str, object]:
    return {"name": order.name, "key": key}


@router.post("/v1/examples/full")
async def fill_examples() -> None:
    raise TooManyRequests("queue.full", "The queue is full.", "Try again later.", retry_after_s=30)


@router.get("/v1/broken")
async def get_broken() -> None:
    raise RuntimeError("password=hunter2")


@router.get("/ui/broken")
async def show_broken() -> None:
    raise Conflict("example.conflict", "It is already running.", "Wait for it.")


@router.post("/ui/forms")
async def take_form(request: Request, name: Annotated[str, Form()]) -> dict[str, str]:
    return {"name": name}


@router.get("/ui/live-example")
async def show_live_example(request: Request, item: Annotated[str | None, Query()] = None) -> Response:
    state = request.app.state.example
    return await render_page(
        request, "live_example/page.html", {"example": state, "item": item}, title="Live example"
    )


@dataclass
class Example:
    """What the live page shows."""

    count: int = 1
    rows: tuple[str, ...] = ("first", "second", "third")


async def authenticate(bearer: str) -> Principal:
    if bearer == KEY:
        return Principal(PROJECT_ID, "default", UUID(int=9), frozenset({"write"}))
    if bearer == READ_KEY:
        return Principal(PROJECT_ID, "default", UUID(int=8), frozenset({"read"}))
    raise Unauthorized("access.key_unknown", "The API key is not known.", "Make one.")


async def find_local_principal(slug: str) -> Principal:
    if slug not in ("default", "second"):
        raise NotFound("project.not_found", "There is no such project.")
    return Principal(PROJECT_ID, slug, None, frozenset({"admin"}))


async def list_projects(principal: Principal) -> list[ProjectChoice]:
    return [ProjectChoice("default", "Default"), ProjectChoice("second", "Second")]


async def count_findings(principal: Principal) -> int:
    return 1_204


async def find_apps(principal: Principal, text: str, limit: int) -> list[JumpHit]:
    return [JumpHit(f"app {text}", "/-/patterns?filter=tool:found", "app", principal.project_slug)]


def build_app(settings: Settings, *, live: LiveHub | None = None, **options: Any) -> FastAPI:
    app = create_shell(
        settings,
        title="Referee",
        version="0.1.0",
        authenticate=authenticate,
        live=live or LiveHub(),
        **options,
    )
    app.include_router(router)
    app.state.example = Example()
    shell = app.state.shell
    shell.templates._rooms["live_example"] = _loader()
    shell.live.register_topic("example")
    shell.navigation.register(
        NavigationEntry("Analyse", "Findings", "/-/patterns", "finding", 2, count_findings, "f"),
        NavigationEntry("Operate", "Live example", "/ui/live-example", "activity", 1, key="a"),
    )
    shell.navigation.register_jump(find_apps)
    return app


def _loader() -> Any:
    from jinja2 import FileSystemLoader

    return FileSystemLoader(Path(__file__).parent / "templates")


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> Iterator[None]:
    """Log tracebacks as plain text: drawing them takes seconds."""
    kept = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()]
    )
    yield
    structlog.configure(**kept)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock) -> FastAPI:
    """An application on loopback."""
    return build_app(load_settings(home=tmp_path), clock=clock, find_local_principal=find_local_principal)


@pytest.fixture
def open_app(tmp_path: Path, clock: ManualClock) -> FastAPI:
    """An application that listens beyond this machine."""
    return build_app(load_settings(home=tmp_path, host="192.0.2.1"), clock=clock)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8765"
    ) as opened:
        yield opened


@pytest.fixture
async def open_client(open_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(open_app)
    async with httpx.AsyncClient(transport=transport, base_url="http://referee.example") as opened:
        yield opened


@contextlib.contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """Serve ``app`` by uvicorn on a free port; the address of it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        listening.listen()
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture(scope="module")
def browser_app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    home = tmp_path_factory.mktemp("home")
    return build_app(
        load_settings(home=home), find_local_principal=find_local_principal, list_projects=list_projects
    )


@pytest.fixture(scope="module")
def address(browser_app: FastAPI) -> Iterator[str]:
    with serve(browser_app) as url:
        yield url


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        skip_for_system("Chromium and its driver are not installed.")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,900",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()
