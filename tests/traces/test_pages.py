"""Pages of sessions and traces: what they show of real spans, with hostile names and texts."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
from tests.programs import Referee
from tests.traces.requests import START_NS, TRACE, make_request, make_span

from referee.foundation.settings import Settings

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202e"
TRACE_URL = f"/ui/traces/{TRACE.hex()}"


async def send(client: httpx.AsyncClient, *spans: dict[str, Any]) -> None:
    answer = await client.post(
        "/v1/traces", content=make_request(spans), headers={"Content-Type": "application/x-protobuf"}
    )
    assert answer.status_code == 200


def fail(span: dict[str, Any], message: str) -> dict[str, Any]:
    """Give a span the status of an error."""
    return {**span, "status": (2, message)}


async def get(client: httpx.AsyncClient, path: str, **parameters: Any) -> str:
    answer = await client.get(path, params=parameters or None, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text[:400]
    return answer.text


async def read(client: httpx.AsyncClient, path: str, **parameters: Any) -> str:
    text = await get(client, path, **parameters)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def list_names(html: str) -> list[str]:
    """Return the names of the rows of a tree, with their levels."""
    return [
        f"{level} {name}"
        for level, name in re.findall(
            r'<tr id="row-[^>]*aria-level="(\d+)".*?row-preview"[^>]*>([^<]*)</a>', html, re.DOTALL
        )
    ]


async def test_lists_say_that_nothing_is_there_and_lead_to_the_quick_start(client: httpx.AsyncClient) -> None:
    for path, words in (("/ui/sessions", "No sessions yet"), ("/ui/traces", "No traces yet")):
        html = await get(client, path)
        assert words in html
        assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:8765 " in html
        assert 'href="/ui/traces/start"' in html


async def test_the_quick_start_names_this_server(client: httpx.AsyncClient) -> None:
    text = re.sub(r"<[^>]+>", "", await get(client, "/ui/traces/start"))
    for line in (
        "HH_API_URL=http://127.0.0.1:8765",
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:8765",
        "http://127.0.0.1:8765/v1/traces",
    ):
        assert line in text


async def test_a_trace_is_listed_with_what_its_spans_add_up_to(client: httpx.AsyncClient) -> None:
    await send(
        client,
        make_span(1, name="answer", duration_ns=2_000_000_000, honeyhive_event_type="chain"),
        make_span(
            2,
            parent=1,
            name="chat",
            honeyhive_event_type="model",
            gen_ai__request__model="m-1",
            gen_ai__usage__input_tokens=1_000,
            gen_ai__usage__output_tokens=200,
            gen_ai__usage__cost=0.0125,
        ),
        fail(make_span(3, parent=1, name="search", honeyhive_event_type="tool"), "no answer"),
    )
    text = await read(client, "/ui/traces")
    assert re.search(r"answer chain 20\d\d-\d\d-\d\d|answer chain ", text)
    assert re.search(r"2\.0 s unset 3 1 m-1 1,200 0\.0125", text)
    assert "1 of 1 traces" in text
    (item,) = (await client.get("/v1/traces")).json()["items"]
    assert {key: item[key] for key in ("trace_id", "name", "spans_count", "errors_count", "total_tokens")} == {
        "trace_id": TRACE.hex(), "name": "answer", "spans_count": 3, "errors_count": 1, "total_tokens": 1_200,
    }  # fmt: skip
    session = await read(client, "/ui/sessions")
    assert re.search(r"answer .* 2\.0 s 3 1 1 1,200 0\.0125", session)


async def test_filters_look_at_all_spans_of_a_trace(client: httpx.AsyncClient) -> None:
    other = bytes(range(16))
    await send(
        client,
        make_span(1, name="first", user__id="u-1", honeyhive_source="prod", honeyhive_metadata__Env="blue"),
        make_span(2, parent=1, name="chat", gen_ai__request__model="m-1"),
        fail(make_span(3, parent=1, name="tool"), "time is up"),
        make_span(1, name="second", trace_id=other, duration_ns=5_000_000_000, session__id="abc"),
    )
    found = {}
    for text in (
        "", "first", "model:m-*", "-model:m-1", "error:time", "is:failed", "-is:failed", "user:u-1", "source:prod",
        "session:abc", "session:ab*", "duration:>=4", "metadata.Env:blue", "metadata:blue", "metadata.Env:red",
        "type:chain", "started:>=2020-01-01", "started:>=-1h", "-session:abc",
    ):  # fmt: skip
        answer = await client.get("/v1/traces", params={"filter": text})
        assert answer.status_code == 200, (text, answer.text)
        body = answer.json()
        assert body["total_count"] == len(body["items"])
        found[text] = {item["name"] for item in body["items"]}
    first, second = {"first"}, {"second"}
    assert found == {
        "": first | second, "first": first, "model:m-*": first, "-model:m-1": second, "error:time": first,
        "is:failed": first, "-is:failed": second, "user:u-1": first, "source:prod": first, "session:abc": second,
        "session:ab*": second, "duration:>=4": second, "metadata.Env:blue": first, "metadata:blue": first,
        "metadata.Env:red": set(), "type:chain": first | second, "started:>=2020-01-01": first | second,
        "started:>=-1h": set(), "-session:abc": first,
    }  # fmt: skip


async def test_a_filter_that_means_nothing_is_an_error_that_can_be_seen(client: httpx.AsyncClient) -> None:
    assert "nothing" in await read(client, "/ui/traces", filter="nothing:1")
    for path in ("/v1/traces", "/v1/sessions"):
        answer = await client.get(path, params={"filter": "nothing:1"})
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "filter.unknown_key")
        answer = await client.get(path, params={"cursor": "nonsense"})
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "page.cursor_invalid")


async def test_pages_of_a_list_follow_each_other_without_gap_or_repetition(client: httpx.AsyncClient) -> None:
    spans = [
        make_span(1, name=f"trace {n}", trace_id=(n + 1).to_bytes(16, "big"), start_ns=START_NS + n // 2)
        for n in range(25)
    ]
    await send(client, *spans)
    for path, key in (("/v1/traces", "trace_id"), ("/v1/sessions", "session_id")):
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(4):
            page = (
                await client.get(path, params={"limit": 7, **({"cursor": cursor} if cursor else {})})
            ).json()
            seen += [item[key] for item in page["items"]]
            cursor = page["next_cursor"]
        assert cursor is None
        assert (len(seen), len(set(seen))) == (25, 25)


async def test_a_trace_is_a_tree_whose_spans_unfold(client: httpx.AsyncClient) -> None:
    await send(
        client,
        make_span(1, name="root", duration_ns=10_000_000),
        make_span(2, parent=1, name="left", start_ns=START_NS + 1),
        make_span(3, parent=2, name="leaf", start_ns=START_NS + 2),
        make_span(4, parent=1, name="right", start_ns=START_NS + 3),
    )
    html = await get(client, TRACE_URL)
    assert list_names(html) == ["1 root", "2 left", "3 leaf", "2 right"]
    folded = await get(client, TRACE_URL, levels=2)
    assert list_names(folded) == ["1 root", "2 left", "2 right"]
    assert "1 below" in folded
    (unfold,) = re.findall(r'class="span-fold" href="([^"]+)"[^>]*aria-label="Unfold', folded)
    assert list_names(await get(client, unfold.replace("&amp;", "&"))) == list_names(html)
    (fold,) = re.findall(r'class="span-fold" href="([^"]+)"[^>]*aria-label="Fold 3', html)
    assert list_names(await get(client, fold)) == ["1 root"]


async def test_spans_without_their_parents_and_circles_are_all_shown(client: httpx.AsyncClient) -> None:
    await send(
        client,
        make_span(1, parent=9, name="orphan"),
        make_span(2, parent=1, name="child"),
        make_span(3, parent=4, name="chicken", start_ns=START_NS + 5),
        make_span(4, parent=3, name="egg", start_ns=START_NS + 6),
        make_span(5, parent=5, name="self", start_ns=START_NS + 7),
    )
    html = await get(client, TRACE_URL)
    assert list_names(html) == ["1 orphan", "2 child", "1 chicken", "2 egg", "1 self"]
    assert html.count("parent missing") == 1
    assert html.count(">circle</span>") == 2
    session = (await client.get("/v1/sessions")).json()["items"][0]["session_id"]
    assert list_names(await get(client, f"/ui/sessions/{session}")) == list_names(html)


async def test_a_selected_span_shows_each_of_its_parts(client: httpx.AsyncClient) -> None:
    span = make_span(
        7,
        name="chat",
        honeyhive_event_type="model",
        honeyhive_inputs__chat_history='[{"role": "user", "content": "What is the time?"}]',
        honeyhive_outputs__answer="It is late.",
        honeyhive_metrics__accuracy=0.75,
        honeyhive_feedback__rating=4,
        gen_ai__request__model="m-1",
        own__attribute="kept",
    )
    await send(client, span)
    path = f"{TRACE_URL}?span={(7).to_bytes(8, 'big').hex()}"
    text = await read(client, path)
    assert "chat_history · user What is the time?" in text
    assert "answer It is late." in text
    assert "Model m-1" in text
    attributes = await read(client, f"{path}&tab=attributes")
    assert "own.attribute kept" in attributes
    assert "attributes.service.name tests" in attributes
    scores = await read(client, f"{path}&tab=scores")
    assert "accuracy 0.75" in scores
    assert "rating 4" in scores
    raw = await read(client, f"{path}&tab=raw")
    assert "gen_ai.request.model" in raw
    assert "start_time_unix_nano" in raw
    assert "None was recorded." in await read(client, f"{path}&tab=events")


async def test_span_events_and_links_are_kept_and_shown(client: httpx.AsyncClient) -> None:
    pair = {"key": "exception.message", "value": {"stringValue": HOSTILE}}
    span = {
        "traceId": TRACE.hex(),
        "spanId": "00000000000000aa",
        "name": "step",
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + 2_000_000),
        "events": [{"name": "exception", "timeUnixNano": str(START_NS + 1_500_000), "attributes": [pair]}],
        "links": [{"traceId": "11" * 16, "spanId": "22" * 8}],
    }
    answer = await client.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    assert answer.status_code == 200
    log = await read(client, f"{TRACE_URL}?view=log")
    assert "1.5 ms exception step exception.message=" in log
    html = await get(client, f"{TRACE_URL}?span=00000000000000aa&tab=events")
    assert "+1.500 ms" in html
    assert f"/ui/traces/{'11' * 16}?span={'22' * 8}" in html
    raw = await read(client, f"{TRACE_URL}?span=00000000000000aa&tab=raw")
    assert "otlp.traces.json" in raw
    whole = (await client.get(f"/v1/traces/{TRACE.hex()}/spans/00000000000000aa")).json()
    assert whole["raw"]["events"][0]["attributes"] == {"exception.message": HOSTILE}
    assert whole["span_events"][0]["name"] == "exception"


async def test_hostile_texts_stay_texts(client: httpx.AsyncClient) -> None:
    span = make_span(
        1,
        name=HOSTILE,
        honeyhive_inputs__question=HOSTILE,
        honeyhive_outputs__answer=HOSTILE,
        honeyhive_metadata__note=HOSTILE,
        honeyhive_metrics__tone=HOSTILE,
        gen_ai__request__model=HOSTILE,
        user__id=HOSTILE,
        honeyhive_source=HOSTILE,
    )
    span["attributes"][HOSTILE] = HOSTILE
    session = {"session_name": HOSTILE, "user_properties": {"user_id": HOSTILE}}
    await send(client, fail(span, HOSTILE))
    assert (await client.post("/session/start", json={"session": session})).status_code == 200
    event = {
        "event_type": "tool",
        "event_name": HOSTILE,
        "inputs": {HOSTILE: HOSTILE},
        "session_id": HOSTILE[:-1],
    }
    assert (await client.post("/events", json={"event": event})).status_code == 200
    items = (await client.get("/v1/sessions")).json()["items"]
    html = await get(client, "/ui/sessions")
    sessions = re.findall(r'href="(/ui/sessions/[0-9a-f-]+)"', html)
    assert len(sessions) == len(items) == 3
    tabs = ["io", "attributes", "events", "scores", "raw"]
    pages = ["/ui/traces", "/ui/sessions", *sessions, f"{TRACE_URL}?view=log"]
    pages += [f"{TRACE_URL}?span={(1).to_bytes(8, 'big').hex()}&tab={tab}" for tab in tabs]
    for path in pages:
        html = await get(client, path)
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert "\u202e" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


async def test_what_is_not_there_is_a_page_that_says_so(client: httpx.AsyncClient) -> None:
    await send(client, make_span(1))
    for path, words in (
        ("/ui/traces/nothing", "There is no such trace."),
        (f"/ui/traces/{'ab' * 16}", "There is no such trace."),
        ("/ui/sessions/nothing", "There is no such session."),
        (f"{TRACE_URL}?span=nothing", "There is no such span."),
        (f"{TRACE_URL}?span=%00", "There is no such span."),
    ):
        answer = await client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 404, path
        assert words in answer.text
    for path in (f"{TRACE_URL}?fold=x", f"{TRACE_URL}?tab=x", f"{TRACE_URL}?offset=-1"):
        answer = await client.get(path, headers={"Accept": "text/html"})
        assert 400 <= answer.status_code < 500


async def test_a_session_shows_its_events_below_its_own(client: httpx.AsyncClient) -> None:
    session_id = "0f6cb1f6-7b5e-4b7f-8a55-2f0d8f2f6f11"
    await client.post(
        "/session/start", json={"session": {"session_id": session_id, "session_name": "checkout"}}
    )
    event = {
        "event_type": "chain",
        "event_name": "step",
        "inputs": {},
        "session_id": session_id,
        "duration": 3,
    }
    await client.post("/events", json={"event": event})
    html = await get(client, f"/ui/sessions/{session_id}")
    assert list_names(html) == ["1 checkout", "2 step"]
    assert "Events 1 0 of models" in re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


async def test_an_event_without_a_span_is_reached_by_its_session(client: httpx.AsyncClient) -> None:
    event = {"event_type": "tool", "event_name": "step", "inputs": {"a": 1}, "session_id": "s/1"}
    await client.post("/events", json={"event": event})
    (trace,) = (await client.get("/v1/traces")).json()["items"]
    assert (trace["trace_id"], trace["name"], trace["session_id"]) == (None, "step", "s/1")
    for path, words in (("/ui/traces", "It came through the events API"), ("/ui/sessions", "step")):
        (link,) = re.findall(r'class="row-link" href="(/ui/sessions/[^"]+)"', await get(client, path))
        assert words in await read(client, f"{link}{'&' if '?' in link else '?'}tab=raw")


async def test_spans_of_a_trace_come_in_pages(client: httpx.AsyncClient) -> None:
    await send(client, *(make_span(n, name=f"{n}", start_ns=START_NS + n) for n in range(1, 6)))
    first = (await client.get(f"/v1/traces/{TRACE.hex()}", params={"limit": 3})).json()
    rest = (
        await client.get(f"/v1/traces/{TRACE.hex()}", params={"limit": 3, "cursor": first["next_cursor"]})
    ).json()
    names = [item["event"]["event_name"] for page in (first, rest) for item in page["items"]]
    assert names == ["1", "2", "3", "4", "5"]
    assert (first["total_count"], rest["next_cursor"]) == (5, None)
    assert (await client.get("/v1/traces/nothing")).status_code == 404


async def test_a_trace_of_20_000_spans_comes_in_parts(client: httpx.AsyncClient) -> None:
    spans = [
        make_span(n, parent=None if n == 1 else 1 + n // 40, start_ns=START_NS + n) for n in range(1, 20_001)
    ]
    for first in range(0, len(spans), 5_000):
        await send(client, *spans[first : first + 5_000])
    seen: list[str] = []
    path = TRACE_URL
    for _ in range(3):
        html = await get(client, path)
        assert len(html) < 1_000_000
        seen += re.findall(r'<tr id="row-([0-9a-f]{32})"', html)
        (path,) = re.findall(r'class="more-rows" hx-get="([^"]+)"', html)
    assert (len(seen), len(set(seen))) == (900, 900)
    assert "Rows 901 to 1,200 of 20,000" in html
    assert "Spans 20,000" in await read(client, TRACE_URL)
    (item,) = (await client.get("/v1/traces")).json()["items"]
    assert (item["spans_count"], item["total_tokens"]) == (None, None)
    last = await read(client, f"{TRACE_URL}?offset=19900")
    assert "Show the first rows" in last
    assert "Rows " not in last
    panel = await client.get(
        f"{TRACE_URL}?span={(20_000).to_bytes(8, 'big').hex()}", headers={"HX-Target": "panel"}
    )
    assert len(panel.content) < 60_000
    assert "Show in its session" in panel.text


async def test_the_command_line_shows_sessions_and_traces(
    database_settings: Settings, client: httpx.AsyncClient, referee: Referee
) -> None:
    await send(client, make_span(1, name="root"), fail(make_span(2, parent=1, name="leaf"), "no"))
    variables = {"REFEREE_DATABASE_URL": str(database_settings.database_url)}
    listed = await asyncio.to_thread(referee, "session", "list", "is:error", **variables)
    assert (listed.returncode, "root" in listed.stdout) == (0, True), listed.stderr
    session_id = (await client.get("/v1/sessions")).json()["items"][0]["session_id"]
    for words in (("session", "show", session_id), ("trace", "show", TRACE.hex())):
        shown = await asyncio.to_thread(referee, *words, **variables)
        assert re.search(r"^root +chain|^root +tool", shown.stdout, re.MULTILINE), shown.stderr + shown.stdout
        assert "  leaf [error]" in shown.stdout
        assert "2 spans, 1 with errors, 2.0 ms" in shown.stdout
    whole = await asyncio.to_thread(referee, "trace", "show", TRACE.hex(), "--json", **variables)
    assert [item["event"]["event_name"] for item in json.loads(whole.stdout)["items"]] == ["root", "leaf"]
    missing = await asyncio.to_thread(referee, "trace", "show", "nothing", **variables)
    assert (missing.returncode, "There is no such trace." in missing.stderr) == (4, True)


async def test_the_critical_path_of_a_trace_is_the_same_on_its_page_and_as_json(
    client: httpx.AsyncClient,
) -> None:
    await send(
        client,
        make_span(1, name=HOSTILE, duration_ns=100_000_000),
        make_span(2, parent=1, name="waited for", start_ns=START_NS + 10_000_000, duration_ns=80_000_000),
        make_span(3, parent=1, name="beside it", start_ns=START_NS + 20_000_000, duration_ns=10_000_000),
    )
    answer = await client.get(f"/v1/traces/{TRACE.hex()}/critical-path")
    assert [(step["name"], step["own_ms"]) for step in answer.json()["steps"]] == [
        (HOSTILE, 20.0),
        ("waited for", 80.0),
    ]
    html = await get(client, TRACE_URL, view="critical")
    assert "<script>alert(1)" not in html
    assert "beside it" not in html
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "2 spans bound the 100 ms of this trace" in text
    assert "waited for 80 ms 80" in text
    missing = await client.get(f"/v1/traces/{'0' * 31}1/critical-path")
    assert missing.status_code == 404


async def test_an_export_holds_every_span_of_the_traces_that_the_list_shows(
    client: httpx.AsyncClient,
) -> None:
    for number in range(60):  # more traces than are read at once
        trace_id = (number + 1).to_bytes(16, "big")
        root = make_span(1, trace_id=trace_id, name=f"root {number}", start_ns=START_NS + number)
        leaf = make_span(2, trace_id=trace_id, parent=1, name=HOSTILE, start_ns=START_NS + number)
        await send(client, root, fail(leaf, "no") if number % 2 else leaf)
    lone = {"event_type": "tool", "event_name": "alone", "session_id": "s", "inputs": {}}
    assert (await client.post("/v1/events", json=lone)).status_code == 200
    answer = await client.get("/v1/traces/export")
    assert answer.headers["content-type"].startswith("application/jsonl")
    whole = [json.loads(line)["event"]["event_name"] for line in answer.text.splitlines()]
    assert whole[:3] == ["alone", "root 59", HOSTILE]
    assert len(whole) == 121
    failed = (await client.get("/v1/traces/export", params={"filter": "is:failed"})).text.splitlines()
    assert (len(failed), json.loads(failed[-2])["event"]["event_name"]) == (60, "root 1")
    page = await get(client, "/ui/traces", filter="is:failed")
    assert 'href="/v1/traces/export?filter=is%3Afailed" download' in page
    assert (await client.get("/v1/traces/export", params={"filter": "nothing:1"})).status_code == 400
