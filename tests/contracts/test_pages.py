"""What holds for every page, whichever room it is of: on an empty home, and on one full of hostile names and texts.

The pages are those that the application has routes for, so a new one is under these rules by itself.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from tests.answers import CheckedApp

from referee.backfills.audit_worlds import create_audit_database
from referee.foundation.settings import Settings, load_settings
from referee.web_app import create_web_app

MAX_PAGE_BYTES = 100_000
"""Compressed: what a page may weigh."""
MAX_ROWS_COUNT = 200
"""The longest list that is not paged, the measurements of an analysis."""
NOT_PAGES = {"/ui/jump", "/ui/live"}
"""Answers for the script of the pages."""
HAS_NO_DATA = {"/ui/login", "/ui/traces/start"}
"""Pages without a JSON twin, since they show nothing that is stored."""
TABS = ("findings", "measurements", "artifacts")

HOSTILE_NAME = "<img src=x onerror=alert(1)> & \u202egnp.py"
HOSTILE_CODE = f"""import subprocess
PASSWORD = "</script><script>alert(1)</script>"
password = "{"long" * 2_500}"
subprocess.call("ls " + PASSWORD, shell=True)  # nosec B607
eval(PASSWORD)
"""
HOSTILE_APP = """import sys
print("<script>alert(1)</script> \\x1b]0;title\\x07\\u202egnp", flush=True)
sys.exit("<img src=x onerror=alert(1)>")
"""
"""Ends before it answers, so that it is a run with a reason, last lines and a log."""
HOSTILE_RECIPE = """
[[components]]
name = "backend"
kind = "python"
command = "python main.py"
"""


@dataclass
class PageFacts(HTMLParser):
    """What of a page the rules are about."""

    titles: list[str] = field(default_factory=list)
    headings_count: int = 0
    twins: list[str] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)
    ids: Counter[str] = field(default_factory=Counter)
    rows_count: int = 0
    polite_count: int = 0
    _is_in_title: bool = False

    @classmethod
    def read(cls, text: str) -> PageFacts:
        """Return the facts of a page."""
        facts = cls()
        HTMLParser.__init__(facts)
        facts.feed(text)
        return facts

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._is_in_title = tag == "title" and not self.titles
        self.headings_count += tag == "h1"
        self.rows_count += tag == "tr"
        self.polite_count += values.get("aria-live") == "polite"
        if tag == "link" and values.get("rel") == "alternate":
            self.twins.append(values["href"])
        if (tag == "script" and "src" not in values) or tag == "style":
            self.inline.append(tag)
        self.inline += [name for name in values if name == "style" or name.startswith("on")]
        if "id" in values:
            self.ids[values["id"]] += 1

    def handle_data(self, data: str) -> None:
        if self._is_in_title:
            self.titles.append(data)
            self._is_in_title = False


@dataclass(frozen=True)
class Visit:
    """One page as it was answered, with its twin."""

    answer: httpx.Response
    twin: httpx.Response | None

    @property
    def facts(self) -> PageFacts:
        """What the rules are about."""
        return PageFacts.read(self.answer.text)


def list_page_paths() -> list[str]:
    """Return the paths of all pages, as the application knows them."""
    with tempfile.TemporaryDirectory() as home:
        app = create_web_app(load_settings(home=Path(home)))
    gets = [route for route in iter_route_contexts(app.routes) if "GET" in (route.methods or ())]
    paths = {route.path or "" for route in gets}
    return sorted(path for path in paths if path.startswith("/ui/") and path not in NOT_PAGES)


PATHS = list_page_paths()
PLAIN_PATHS = [path for path in PATHS if "{" not in path]


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory: pytest.TempPathFactory, tools_dir: Path) -> Mapping[str, Visit]:
    """Every page without a parameter, on a home without anything."""
    settings = load_settings(
        home=tmp_path_factory.mktemp("empty"), tools_dir=tools_dir, database_idle_stop_s=0.0
    )
    return asyncio.run(visit_all(settings, None))


@pytest.fixture(scope="module")
def filled_home(tmp_path_factory: pytest.TempPathFactory, tools_dir: Path) -> Mapping[str, Visit]:
    """Every page, on a home with one analysis of an app that is as hostile as names and texts can be."""
    subject = tmp_path_factory.mktemp("models") / "models" / "hostile-model" / "app1"
    subject.mkdir(parents=True)
    (subject / HOSTILE_NAME).write_text(HOSTILE_CODE)
    (subject / "main.py").write_text(HOSTILE_APP)
    (subject / "referee.toml").write_text(HOSTILE_RECIPE)
    settings = load_settings(
        home=tmp_path_factory.mktemp("filled"), tools_dir=tools_dir, database_idle_stop_s=0.0
    )
    return asyncio.run(visit_all(settings, subject))


async def visit_all(settings: Settings, subject: Path | None) -> Mapping[str, Visit]:
    """Open the application, analyse a subject if there is one, and fetch the pages with their twins."""
    app: FastAPI = create_web_app(settings)
    transport = httpx.ASGITransport(CheckedApp(app))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765", timeout=60) as client,
    ):
        if subject is None:
            return {path: await visit(client, path) for path in PLAIN_PATHS}
        parameters = await fill(client, subject)
        return {
            address: await visit(client, address)
            for path in PATHS
            for tab in (TABS if "{tab}" in path else ("",))
            for address in [path.format_map({**parameters, "tab": tab})]
        }


async def fill(client: httpx.AsyncClient, subject: Path) -> dict[str, str]:
    """Analyse the subject, verify, start its app, and return an id for each parameter of a path."""
    accepted = await client.post("/v1/analyses", json={"path": str(subject), "tools": ["bandit", "radon"]})
    analysis_id = accepted.json()["analysis_id"]
    await wait_for(client, f"/v1/analyses/{analysis_id}", "state", {"completed"})
    findings = (await client.get("/v1/findings", params={"filter": "message:longlong"})).json()
    assert findings["total_count"] == 1
    finding_id = findings["items"][0]["finding_id"]
    verification = (await client.post("/v1/integrity")).json()["job_id"]
    await wait_for(client, f"/v1/jobs/{verification}", "state", {"succeeded"})
    app_id = (await client.get("/v1/apps")).json()["items"][0]["app_id"]
    app_run_id = (await client.post(f"/v1/apps/{app_id}/runs")).json()["app_run_id"]
    await wait_for(client, f"/v1/app-runs/{app_run_id}", "state", {"failed"})
    definition = {
        "name": HOSTILE_NAME,
        "existing": {"apps": ["hostile-model/app1"]},
        "analysis": {"tools": ["bandit"]},
    }
    pipeline = await client.post("/v1/pipelines", json={"definition": definition})
    pipeline_id = pipeline.json()["pipeline_id"]
    await wait_for(client, f"/v1/pipelines/{pipeline_id}", "state", {"completed"})
    report = {"kind": "comprehensive", "pipeline_id": pipeline_id, "title": HOSTILE_NAME}
    report_id = (await client.post("/v1/reports", json=report)).json()["report_id"]
    await wait_for(client, f"/v1/reports/{report_id}", "state", {"completed"})
    backfill_run_id = await fill_backfill(client, subject.parent / f"{HOSTILE_NAME}.db")
    result_import_id = await fill_result_import(client, subject.parent / f"{HOSTILE_NAME}-results")
    run_ids = [await fill_run(client, number) for number in (1, 2)]
    trace_id = await fill_trace(client)
    clip = {"file_name": HOSTILE_NAME, "size_bytes": 9, "discipline": "batting", "player": HOSTILE_NAME}
    video = await client.post("/v1/videos", json={**clip, "title": HOSTILE_NAME, "notes": HOSTILE_NAME})
    video_id = video.json()["video"]["video_id"]
    await client.post(f"/v1/videos/{video_id}/notes", json={"text": HOSTILE_NAME, "tags": [HOSTILE_NAME]})
    sessions = (await client.get("/v1/sessions")).json()["items"]
    decisions = (await client.get("/v1/decisions")).json()["items"]
    return {
        **await fill_nouns(client),
        "run_id": run_ids[0],
        "trace_id": trace_id,
        "session_id": sessions[0]["session_id"],
        "old_run_id": run_ids[0],
        "new_run_id": run_ids[1],
        "analysis_id": analysis_id,
        "decision_id": decisions[0]["decision_id"],
        "pipeline_id": pipeline_id,
        "report_id": report_id,
        "backfill_run_id": backfill_run_id,
        "result_import_id": result_import_id,
        "rule_id": await fill_alert(client),
        "app_run_id": app_run_id,
        "finding_id": finding_id,
        "job_id": verification,
        "video_id": video_id,
        "app_id": app_id,
        "name": "bandit",
    }


async def fill_alert(client: httpx.AsyncClient) -> str:
    """Add a rule of a hostile name and a channel, and return the id of the rule."""
    name = HOSTILE_NAME.replace("\u202e", "")
    rule = await client.post(
        "/v1/alerts", json={"name": name, "description": HOSTILE_NAME, "condition": "tool_failure_rate > 5%"}
    )
    await client.post(
        "/v1/alert-channels", json={"name": "ops", "kind": "email", "address": "ops@example.org"}
    )
    rule_id: str = rule.json()["rule_id"]
    return rule_id


async def fill_backfill(client: httpx.AsyncClient, path: Path) -> str:
    """Fill a small audit log of a hostile name, and return the id of the run."""
    create_audit_database(path, 200)
    accepted = await client.post(
        "/v1/backfill-runs", json={"backfill": "audit-decisions", "database": str(path)}
    )
    run_id: str = accepted.json()["backfill_run_id"]
    await wait_for(client, f"/v1/backfill-runs/{run_id}", "state", {"finished"})
    return run_id


async def fill_result_import(client: httpx.AsyncClient, folder: Path) -> str:
    """Import a log with a hostile message, beside a file that is set aside; return the id of the import."""
    folder.mkdir()
    result = {"ruleId": HOSTILE_NAME, "message": {"text": HOSTILE_NAME}}
    log = {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "other"}}, "results": [result]}]}
    (folder / "log.json").write_text(json.dumps(log))
    (folder / f"{HOSTILE_NAME}.json").write_text(json.dumps({HOSTILE_NAME: 1}))
    accepted = await client.post("/v1/result-imports", json={"source": str(folder)})
    import_id: str = accepted.json()["result_import_id"]
    await wait_for(client, f"/v1/result-imports/{import_id}", "state", {"finished"})
    return import_id


async def fill_nouns(client: httpx.AsyncClient) -> dict[str, str]:
    """Make a dataset with a datapoint, a configuration and a metric, and return their ids."""
    dataset = (await client.post("/v1/datasets", json={"name": HOSTILE_NAME})).json()["result"]["insertedId"]
    datapoint = await client.post(
        "/v1/datapoints", json={"inputs": {HOSTILE_NAME: HOSTILE_NAME}, "linked_datasets": [dataset]}
    )
    configuration = await client.post(
        "/v1/configurations",
        json={
            "name": HOSTILE_NAME,
            "provider": HOSTILE_NAME,
            "parameters": {"call_type": "chat", "model": HOSTILE_NAME, "template": HOSTILE_NAME},
        },
    )
    metric = await client.post(
        "/v1/metrics", json={"name": HOSTILE_NAME, "type": "LLM", "criteria": HOSTILE_NAME}
    )
    where = {"field": "event_name", "operator": "is", "value": HOSTILE_NAME, "type": "string"}
    queue = await client.post("/v1/queues", json={"name": HOSTILE_NAME, "filters": [where]})
    human = {"name": f"{HOSTILE_NAME} by people", "type": "HUMAN", "criteria": HOSTILE_NAME}
    await client.post("/v1/metrics", json=human)
    event = {"event_type": "tool", "event_name": HOSTILE_NAME, "inputs": {HOSTILE_NAME: HOSTILE_NAME}}
    await client.post("/events", json={"event": event})
    chart = {"name": HOSTILE_NAME, "description": HOSTILE_NAME, "metric": "events", "groupBy": "event_name"}
    drawn = await client.post("/v1/charts", json={**chart, "dateRange": {"relative": "390d"}})
    return {
        "dataset_id": dataset,
        "datapoint_id": datapoint.json()["result"]["insertedId"],
        "configuration_id": configuration.json()["insertedId"],
        "metric_id": metric.json()["metric_id"],
        "chart_id": drawn.json()["data"]["id"],
        "queue_id": queue.json()["queue"]["id"],
    }


async def fill_run(client: httpx.AsyncClient, number: int) -> str:
    """Make a run with one hostile trial, and return its id."""
    created = await client.post("/v1/runs", json={"name": HOSTILE_NAME, "dataset_id": f"EXT-{HOSTILE_NAME}"})
    run_id: str = created.json()["run_id"]
    event = {
        "event_type": "chain",
        "event_name": HOSTILE_NAME,
        "inputs": {},
        "outputs": {HOSTILE_NAME: f"{HOSTILE_NAME} {number}"},
        "metrics": {HOSTILE_NAME: number, "words": HOSTILE_NAME},
        "metadata": {"datapoint_id": HOSTILE_NAME},
        "error": HOSTILE_NAME,
    }
    sent = await client.post("/events/batch", json={"events": [event], "is_single_session": True})
    await client.put(f"/v1/runs/{run_id}", json={"event_ids": [sent.json()["session_id"]]})
    return run_id


async def fill_trace(client: httpx.AsyncClient) -> str:
    """Send a trace that is hostile in every part, and return its id."""
    pair = {"key": HOSTILE_NAME, "value": {"stringValue": HOSTILE_NAME}}
    span = {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "name": HOSTILE_NAME,
        "startTimeUnixNano": "1764460000000000000",
        "endTimeUnixNano": "1764460001000000000",
        "attributes": [pair],
        "status": {"code": 2, "message": HOSTILE_NAME},
        "events": [{"name": HOSTILE_NAME, "timeUnixNano": "1764460000500000000", "attributes": [pair]}],
    }
    sent = await client.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    assert sent.json() == {}
    return "ab" * 16


async def wait_for(client: httpx.AsyncClient, path: str, key: str, words: set[str]) -> None:
    """Return when a value is one of the words."""
    async with asyncio.timeout(120):
        while (await client.get(path)).json()[key] not in words:
            await asyncio.sleep(0.1)


async def visit(client: httpx.AsyncClient, path: str) -> Visit:
    """Fetch a page, and its twin if it names one."""
    answer = await client.get(path, headers={"Accept": "text/html"})
    twins = PageFacts.read(answer.text).twins
    return Visit(answer, await client.get(twins[0]) if twins else None)


def test_every_room_has_its_pages_under_these_rules() -> None:
    rooms = {path.split("/")[2] for path in PATHS}
    assert rooms >= {
        "", "analyses", "analyzers", "app-runs", "apps", "charts", "compare",
        "configurations", "datapoints", "datasets", "decision-lag", "decisions", "findings", "integrity", "jobs",
        "keys", "lead-findings", "pipelines", "queues", "reports", "runs", "services", "sessions",
        "system", "tools", "traces", "videos",
    }  # fmt: skip


@pytest.fixture(params=["empty_home", "filled_home"])
def visits(request: pytest.FixtureRequest) -> Mapping[str, Visit]:
    """The pages of one home."""
    found: Mapping[str, Visit] = request.getfixturevalue(request.param)
    return found


def test_every_page_is_answered(visits: Mapping[str, Visit]) -> None:
    assert {path: visit.answer.status_code for path, visit in visits.items()} == dict.fromkeys(visits, 200)


def test_every_page_has_a_title_of_its_own_and_one_heading(visits: Mapping[str, Visit]) -> None:
    assert [
        path
        for path, visit in visits.items()
        if not re.fullmatch(r".+ · Referee", "".join(visit.facts.titles), re.DOTALL)
    ] == []
    assert {path: visit.facts.headings_count for path, visit in visits.items()} == dict.fromkeys(visits, 1)


def test_every_page_that_shows_data_has_a_json_twin_that_answers(visits: Mapping[str, Visit]) -> None:
    twins = {path: visit.twin for path, visit in visits.items() if path not in HAS_NO_DATA}
    assert {
        path: None if twin is None else (twin.status_code, twin.headers["content-type"])
        for path, twin in twins.items()
    } == dict.fromkeys(twins, (200, "application/json"))


def test_no_page_has_a_script_or_style_in_it(visits: Mapping[str, Visit]) -> None:
    assert {path: visit.facts.inline for path, visit in visits.items() if visit.facts.inline} == {}


def test_every_page_has_the_strict_policy(visits: Mapping[str, Visit]) -> None:
    policies = {visit.answer.headers["content-security-policy"] for visit in visits.values()}
    assert [policy for policy in policies if "unsafe" in policy or "default-src 'none'" not in policy] == []


def test_no_id_is_given_twice(visits: Mapping[str, Visit]) -> None:
    repeated = {
        path: [name for name, count in visit.facts.ids.items() if count > 1] for path, visit in visits.items()
    }
    assert {path: names for path, names in repeated.items() if names} == {}


def test_every_list_is_bounded_and_no_page_is_heavy(visits: Mapping[str, Visit]) -> None:
    assert {
        path: visit.facts.rows_count
        for path, visit in visits.items()
        if visit.facts.rows_count > MAX_ROWS_COUNT
    } == {}
    weights = {path: len(gzip.compress(visit.answer.content)) for path, visit in visits.items()}
    assert {path: weight for path, weight in weights.items() if weight > MAX_PAGE_BYTES} == {}


def test_every_page_announces_politely(visits: Mapping[str, Visit]) -> None:
    assert {path: visit.facts.polite_count for path, visit in visits.items()} == dict.fromkeys(visits, 1)


def test_an_empty_list_says_what_it_is_and_how_to_fill_it(empty_home: Mapping[str, Visit]) -> None:
    lists = ["/ui/", "/ui/analyses", "/ui/app-runs", "/ui/apps", "/ui/findings", "/ui/integrity"]
    texts = {path: empty_home[path].answer.text for path in lists}
    assert [
        path for path, text in texts.items() if 'class="empty"' not in text or "referee " not in text
    ] == []


def test_hostile_text_is_shown_as_text(filled_home: Mapping[str, Visit]) -> None:
    pages = "".join(visit.answer.text for visit in filled_home.values())
    assert "&lt;img src=x onerror=alert(1)&gt;" in pages
    assert "<img src=x" not in pages
    assert "<script>alert" not in pages
    assert [path for path, visit in filled_home.items() if "\u202e" in visit.answer.text] == []


def test_no_operation_of_the_api_has_the_id_of_another() -> None:
    with tempfile.TemporaryDirectory() as home:
        described = create_web_app(load_settings(home=Path(home))).openapi()
    ids = Counter(
        operation["operationId"] for path in described["paths"].values() for operation in path.values()
    )
    assert {name for name, count in ids.items() if count > 1} == set()
