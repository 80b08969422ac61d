"""The catalogue of tools on pages and in the API: what each is, whether it is here or why not, and what it takes."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.acceptance.page_reading import find_class, parse_page, text_of
from tests.web_site import open_site

from referee.analysis.following import parse_parameters
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.tools import get_tool
from referee.tools.api import create_api
from referee.tools.inspecting import InstalledTools, ToolInspector
from referee.tools.pages import create_pages, register_in_shell
from referee.tools.registry import TOOL_NAMES

NOT_INSTALLED = "`referee tool install bandit`"


@pytest.fixture
async def site(
    database_settings: Settings, database: Database, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """Pages and answers of the tools room on a machine without an installed tool."""
    inspector = ToolInspector(InstalledTools(tmp_path / "tools", advisories_dir=tmp_path / "advisories"))
    async with open_site(
        database_settings,
        database,
        create_api(inspector),
        create_pages(inspector),
        register=[register_in_shell],
    ) as client:
        yield client


async def test_catalogue_lists_every_tool_by_service_and_says_why_one_is_not_installed(
    site: httpx.AsyncClient,
) -> None:
    page = parse_page((await site.get("/ui/tools")).text)
    answer = {one["name"]: one for one in (await site.get("/v1/analysis-tools")).json()["items"]}

    shown = [text_of(one) for one in find_class(page, "row-link")]
    reasons = [text_of(one) for one in find_class(page, "is-reason")]
    assert sorted(shown) == sorted(TOOL_NAMES) == sorted(answer)
    assert [text_of(one[0]) for one in find_class(page, "section")] == [
        "Static tools", "Dynamic tools", "Performance tools", "AI tools",
    ]  # fmt: skip
    missing = [name for name, one in answer.items() if not one["is_installed"]]
    assert (len(reasons), "bandit" in missing) == (len(missing), True)
    assert any(NOT_INSTALLED in reason for reason in reasons)
    assert NOT_INSTALLED in answer["bandit"]["unavailable_reason"]


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("bandit", "by default"),
        ("ruff", "when it is named"),
        ("zap", "in the profile deep, or when it or its service is named"),
    ],
)
async def test_page_of_a_tool_says_when_it_runs(site: httpx.AsyncClient, name: str, runs: str) -> None:
    page = parse_page((await site.get(f"/ui/tools/{name}")).text)
    facts = {text_of(pair[0]): text_of(pair[1]) for one in page.iter("dl") for pair in one if len(pair) > 1}
    assert facts["Runs"] == runs


@pytest.mark.parametrize("name", TOOL_NAMES)
async def test_page_of_a_tool_shows_its_parameters_with_presets_and_a_value_that_it_takes(
    site: httpx.AsyncClient, name: str
) -> None:
    description = get_tool(name).describe()
    page = parse_page((await site.get(f"/ui/tools/{name}")).text)
    rows = [row for row in page.iter("tr") if row.get("id", "").startswith("parameter-")]
    presets = [{text_of(one).split()[0] for one in row[4].iter("p")} for row in rows]
    assert [text_of(row[0]) for row in rows] == [one.name for one in description.parameters]
    assert presets == [
        {preset for preset, values in description.presets.items() if one.name in values}
        for one in description.parameters
    ]

    command = next(text_of(one) for one in page.iter("code") if text_of(one).startswith("referee analyze"))
    given = parse_parameters(shlex.split(command)[-1:])
    assert list(given[name]) == [description.parameters[0].name]
    description.resolve_parameters(given[name])


async def test_stand_in_says_for_what(site: httpx.AsyncClient) -> None:
    page = parse_page((await site.get("/ui/tools/wapiti")).text)
    assert "Stands in for zap" in [text_of(one) for one in find_class(page, "notice-title")]


async def test_unknown_tool_is_not_found_and_its_name_is_shown_as_text(site: httpx.AsyncClient) -> None:
    path = "tools/%3Cimg%20src=x%3E"
    page = await site.get(f"/ui/{path}", headers={"Accept": "text/html"})
    answer = await site.get(f"/v1/analysis-{path}")
    assert (page.status_code, answer.status_code) == (404, 404)
    assert "<img src=x" not in page.text
