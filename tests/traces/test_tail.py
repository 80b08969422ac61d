"""The live tail: the latest spans whatever their trace, paused at an instant, and filtered."""

from __future__ import annotations

import httpx
from tests.traces.requests import START_NS, make_request, make_span


async def send(client: httpx.AsyncClient, *spans: object) -> None:
    body = make_request(spans)  # type: ignore[arg-type]
    answer = await client.post("/v1/traces", content=body, headers={"Content-Type": "application/x-protobuf"})
    assert answer.status_code == 200


async def test_tail_shows_the_latest_spans_and_stops_when_paused(client: httpx.AsyncClient) -> None:
    assert "No spans yet" in (await client.get("/ui/traces/live")).text
    minute_ns = 60_000_000_000
    spans = [
        make_span(number, name=f"step-{number}", start_ns=START_NS + number * minute_ns)
        for number in range(1, 6)
    ]
    await send(client, *spans)
    page = (await client.get("/ui/traces/live")).text
    assert ('data-live="spans"' in page, page.index("step-5") < page.index("step-1")) == (True, True)
    paused = (await client.get(f"/ui/traces/live?paused={(START_NS + 3 * minute_ns) // 1_000_000}")).text
    assert ("data-live" in paused, "step-3" in paused, "step-4" in paused) == (False, True, False)
    found = (await client.get("/v1/spans", params={"filter": "name:step-2", "limit": "1"})).json()
    assert (found["total_count"], [one["name"] for one in found["items"]]) == (1, ["step-2"])
    names: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        part = (await client.get("/v1/spans", params=query)).json()
        names += [one["name"] for one in part["items"]]
        cursor = part["next_cursor"]
        if cursor is None:
            break
    assert names == [f"step-{number}" for number in range(5, 0, -1)]
    assert "notice is-bad" in (await client.get("/ui/traces/live?filter=nothing:1")).text
    assert "No spans match" in (await client.get("/ui/traces/live?filter=is:failed")).text
