"""Probes on their page, as JSON and on the command line."""

from __future__ import annotations

import asyncio
import json

import httpx
from tests.programs import Referee
from tests.web_site import open_web_client

from referee.foundation.settings import Settings


async def finish(client: httpx.AsyncClient, probe: str) -> dict[str, object]:
    """Run a probe and return its result."""
    asked = await client.post("/v1/probes", json={"probe": probe})
    assert asked.status_code == 202, asked.text
    async with asyncio.timeout(60):
        while True:
            rows = (await client.get("/v1/probes", params={"filter": f"probe:{probe}"})).json()["items"]
            if rows[0]["outcome"] is not None:
                found: dict[str, object] = rows[0]
                return found
            await asyncio.sleep(0.05)


async def test_page_and_json_show_the_same_results(database_settings: Settings) -> None:
    async with open_web_client(database_settings) as client:
        empty = await client.get("/ui/probes", headers={"Accept": "text/html"})
        first = await finish(client, "trace")
        second = await finish(client, "artifact")
        page = await client.get("/v1/probes", params={"limit": 1})
        rest = await client.get("/v1/probes", params={"limit": 1, "cursor": page.json()["next_cursor"]})
        summary = (await client.get("/v1/probes/summary", params={"window": "1h"})).json()
        shown = await client.get("/ui/probes", params={"window": "1h"}, headers={"Accept": "text/html"})
        unknown = await client.post("/v1/probes", json={"probe": "moon"})

    assert "No probe has run yet" in empty.text
    assert (page.json()["total_count"], page.json()["items"], rest.json()["items"]) == (2, [second], [first])
    assert [(one["probe"], one["succeeded_count"], one["failed_count"]) for one in summary["items"]] == [
        ("trace", 1, 0),
        ("artifact", 1, 0),
        ("analysis", 0, 0),
    ]
    assert summary["items"][0]["latencies"][0]["p50_ms"] == first["latency_ms"]
    assert "1 of 1; median" in shown.text
    assert "median latency, in UTC (milliseconds)" in shown.text
    assert unknown.status_code == 422


def test_command_runs_probes_and_lists_them(referee: Referee) -> None:
    ran = referee("probe", "run", "trace", "artifact", "--json")
    listed = referee("probe", "list")
    unknown = referee("probe", "run", "moon")

    assert ran.returncode == 0, ran.stderr
    assert [(one["probe"], one["outcome"]) for one in json.loads(ran.stdout)["items"]] == [
        ("trace", "succeeded"),
        ("artifact", "succeeded"),
    ]
    assert listed.stdout.count("succeeded") == 2
    assert (unknown.returncode, "There is no probe 'moon'." in unknown.stderr) == (2, True)
