"""Numbers of charts: right, the same from roll-ups as from events, bounded; and their pages."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from referee.experiments.charts.conditions import parse_conditions, render_conditions

HOSTILE = "<img src=x onerror=alert(1)>"
DAY = (datetime.now(UTC) - timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0)
RANGE = json.dumps({"$gte": DAY.isoformat(), "$lte": (DAY + timedelta(days=2)).isoformat()})
WHOLE = json.dumps(
    {"$gte": DAY.isoformat(), "$lte": (DAY + timedelta(days=2) - timedelta(milliseconds=1)).isoformat()}
)

ROLLED_UP = [
    ("events", "count", 1e-9),
    ("errors", "count", 1e-9),
    ("cost", "sum", 1e-9),
    ("total_tokens", "sum", 1e-9),
    ("duration", "p90", 0.2),  # of few values the next rank is far
]
REFUSED = [
    {"func": "mode"},
    {"bucketing": "second"},
    {"metric": "nothing.at.all"},
    {"groupBy": "nothing"},
    {"bucketing": "minute"},
    {"filters": '[{"field": "a", "operator": "like"}]'},
    {"dateRange": "yesterday"},
    {"dateRange": '{"$gte": "2026-02-01", "$lte": "2026-01-01"}'},
]
ON_PAGE = {"groupBy": "group_by", "dateRange": "range", "filters": "where"}


def make_event(number: int, **content: Any) -> dict[str, Any]:
    start_ms = DAY.timestamp() * 1000 + number * 3_600_000
    return {
        "event_type": "model" if number % 2 else "tool",
        "event_name": f"step {number % 3}",
        "inputs": {},
        "start_time": start_ms,
        "end_time": start_ms + 10 * (number + 1),
        "metrics": {"accuracy": number / 10, "is_right": number % 2 == 0, "words": "many"},
        "metadata": {"group": f"g{number}", "cost": 0.5, "total_tokens": 10},
        **content,
    }


async def send(client: httpx.AsyncClient, count: int = 30, **content: Any) -> None:
    events = [make_event(number, **content) for number in range(count)]
    sent = await client.post("/events/batch", json={"events": events, "is_single_session": True})
    assert sent.status_code == 200, sent.text


async def ask(client: httpx.AsyncClient, **parameters: str) -> dict[str, Any]:
    answer = await client.get("/v1/events/chart", params={"dateRange": WHOLE, **parameters})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_numbers_by_bucket_and_group(client: httpx.AsyncClient) -> None:
    await send(client)
    events = await ask(client)
    assert (events["func"], events["series"][0]["values"]) == ("count", [24.0, 6.0])
    (mean,) = (await ask(client, metric="accuracy"))["series"]
    assert (mean["values"], mean["counts"]) == ([pytest.approx(1.15), pytest.approx(2.65)], [24, 6])
    (rights,) = (await ask(client, metric="metrics.is_right", func="sum"))["series"]
    assert rights["values"] == [12.0, 3.0]
    (words,) = (await ask(client, metric="metrics.words", func="count"))["series"]
    assert words["counts"] == [0, 0]
    (highest,) = (await ask(client, metric="duration", func="max"))["series"]
    assert highest["values"] == [240.0, 300.0]
    types = await ask(client, groupBy="event_type", bucketing="week")
    assert {one["label"]: sum(one["counts"]) for one in types["series"]} == {"model": 15, "tool": 15}
    groups = await ask(client, groupBy="metadata.group")
    assert [one["label"] for one in groups["series"]][-1] == "other"
    assert (len(groups["series"]), groups["values_count"]) == (8, 30)
    hours = await ask(client, bucketing="hour", metric="cost", func="sum")
    assert (len(hours["buckets"]), hours["is_rolled_up"]) == (48, True)


async def test_rollups_say_what_events_say(client: httpx.AsyncClient) -> None:
    await send(client)
    await send(client, 5, error="failed", metadata={})
    by_events = '{"field": "event_name", "operator": "contains", "value": "step"}'
    for metric, func, error in ROLLED_UP:
        for group_by in ("", "event_name"):
            wanted = {"metric": metric, "func": func, "groupBy": group_by}
            quick, slow = await ask(client, **wanted), await ask(client, **wanted, filters=by_events)
            assert (quick["is_rolled_up"], slow["is_rolled_up"]) == (True, False)
            values = {one["label"]: one["values"] for one in slow["series"]}
            assert {one["label"] for one in quick["series"]} == set(values)
            for one in quick["series"]:
                assert one["values"] == pytest.approx(values[one["label"]], rel=error)
    inner = json.dumps(
        {"$gte": (DAY + timedelta(minutes=90)).isoformat(), "$lte": (DAY + timedelta(hours=20)).isoformat()}
    )
    for metric, func, error in ROLLED_UP:
        wanted = {"metric": metric, "func": func, "dateRange": inner}
        quick, slow = await ask(client, **wanted), await ask(client, **wanted, filters=by_events)
        assert (quick["is_rolled_up"], slow["is_rolled_up"]) == (True, False)
        assert quick["series"][0]["values"] == pytest.approx(slow["series"][0]["values"], rel=error)
    big = make_event(1, metrics={"huge": 10**400})
    assert (await client.post("/events", json={"event": big})).status_code == 200
    assert [one["counts"] for one in (await ask(client, metric="huge"))["series"]] == [[0, 0]]


async def test_what_cannot_be_charted_is_explained(client: httpx.AsyncClient) -> None:
    for refused in REFUSED:
        answer = await client.get("/v1/events/chart", params={"dateRange": RANGE, **refused})
        assert (answer.status_code, bool(answer.json()["hint"])) == (400, True), answer.text
        asked = {
            "metric": "events",
            "range": RANGE,
            **{ON_PAGE.get(one, one): refused[one] for one in refused},
        }
        page = await client.get("/ui/charts/new", params=asked)
        assert (page.status_code, "notice is-bad" in page.text) == (200, True), refused


async def test_chart_is_made_edited_and_deleted_on_pages(client: httpx.AsyncClient) -> None:
    assert "No charts yet" in (await client.get("/ui/charts")).text
    await send(client)
    where = f'event_name is not "{HOSTILE};"'
    form = {"metric": "duration", "func": "p95", "group_by": "event_type", "range": "7d", "where": where}
    drawn = await client.get("/ui/charts/new", params=form)
    assert ("<svg" in drawn.text, "P95 of duration" in drawn.text) == (True, True)
    made = await client.post("/ui/charts", data={**form, "name": HOSTILE})
    assert made.status_code == 303, made.text
    path = made.headers["location"]
    page = (await client.get(path)).text
    assert ("<svg" in page, "<img src=x" in page, "p95" in page) == (True, False, True)
    data = (await client.get(path.replace("/ui/", "/v1/") + "/data")).json()
    assert (data["groupBy"], data["values_count"]) == ("event_type", 30)
    saved = await client.post(path, data={**form, "func": "", "where": "", "name": "second"})
    assert (saved.status_code, "second" in (await client.get("/ui/charts")).text) == (303, True)
    (kept,) = (await client.get("/v1/charts")).json()["data"]
    assert (kept["func"], kept["query"], kept["dateRange"]) == (None, [], {"relative": "7d"})
    assert (await client.post(f"{path}/delete")).headers["location"] == "/ui/charts"
    assert (await client.get(path, headers={"Accept": "text/html"})).status_code == 404


@pytest.mark.parametrize(
    "text",
    ["", "event_type is model; metrics.a greater than 0.5", 'a contains "x; y"; b not exists', "c after 2026-01-01"],
)  # fmt: skip
def test_conditions_are_read_as_they_are_written(text: str) -> None:
    assert re.sub(r"\s+", " ", render_conditions(parse_conditions(text))) == text
