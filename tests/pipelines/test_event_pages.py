"""The page of a pipeline's events: all of them page by page, by kind, with the same numbers as its JSON twin."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from tests.pipelines.conftest import RunPipeline
from tests.pipelines.test_existing import FOUR
from tests.web_site import open_site

from referee.analysis import ServiceGate
from referee.app import Application
from referee.pipelines.api import create_api
from referee.pipelines.pages import create_pages
from referee.pipelines.service import note_event
from referee.pipelines.shell import register_in_shell
from referee.tools.inspecting import InstalledTools, ToolInspector

POSTPONED_COUNT = 120


@pytest.fixture
async def site(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    """Pages and answers of the room."""
    settings = application.settings
    inspector = ToolInspector(InstalledTools(settings.tools_path, advisories_dir=settings.advisories_dir))
    async with open_site(
        settings,
        application.database,
        create_api(lambda: application.pipelines, lambda: application.engine),
        create_pages(lambda: application.pipelines, lambda: application.engine, inspector, ServiceGate()),
        register=[lambda shell: register_in_shell(shell, lambda: application.pipelines)],
    ) as client:
        yield client


@pytest.fixture
async def pipeline_id(application: Application, four_apps: Path, run_pipeline: RunPipeline) -> UUID:
    """A pipeline that has ended, and more events than a page holds."""
    pipeline = await run_pipeline(FOUR)
    async with application.database.transaction() as session:
        for number in range(POSTPONED_COUNT):
            await note_event(session, pipeline.pipeline_id, "cell.postponed", f"Wait number {number}.")
    return pipeline.pipeline_id


async def test_pages_of_events_together_hold_every_event_once(
    site: httpx.AsyncClient, pipeline_id: UUID
) -> None:
    total_count = (await site.get(f"/v1/pipelines/{pipeline_id}/events")).json()["total_count"]
    url: str | None = f"/ui/pipelines/{pipeline_id}/events"
    seen: list[str] = []
    while url is not None:
        page = await site.get(url)
        assert page.status_code == 200
        seen += re.findall(r'id="row-(\d+)"', page.text)
        more = re.search(r'href="([^"]+)" rel="next"', page.text)
        url = more.group(1).replace("&amp;", "&") if more else None

    assert len(seen) == len(set(seen)) == total_count > POSTPONED_COUNT
    assert seen == sorted(seen, key=int, reverse=True)


async def test_events_are_filtered_by_kind_with_the_same_count_as_json(
    site: httpx.AsyncClient, pipeline_id: UUID
) -> None:
    page = await site.get(f"/ui/pipelines/{pipeline_id}/events", params={"filter": "kind:cell.ended"})
    twin = await site.get(f"/v1/pipelines/{pipeline_id}/events", params={"filter": "kind:cell.ended"})

    assert twin.json()["total_count"] == 4
    assert {event["kind"] for event in twin.json()["items"]} == {"cell.ended"}
    assert len(re.findall(r'id="row-', page.text)) == 4
    analyses = {event["analysis_id"] for event in twin.json()["items"]}
    assert {found for found in re.findall(r'href="/ui/analyses/([^"]+)"', page.text)} == analyses
    assert f"{POSTPONED_COUNT}" in page.text  # how many of the other kind there are


async def test_page_of_a_pipeline_leads_to_its_events_and_is_told_of_new_ones(
    site: httpx.AsyncClient, pipeline_id: UUID
) -> None:
    page = await site.get(f"/ui/pipelines/{pipeline_id}")
    events = await site.get(f"/ui/pipelines/{pipeline_id}/events")

    assert f'href="/ui/pipelines/{pipeline_id}/events"' in page.text
    assert f'data-live="pipeline:{pipeline_id}"' in events.text
