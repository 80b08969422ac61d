"""Alerts, load, requirements and services on pages and in the API, from results that real tools left."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID
from xml.etree.ElementTree import Element

import httpx
import pytest
from tests.acceptance.page_reading import find_class, parse_page, read_cards, text_of
from tests.analysis.recorded import Recorded, read_requirements, read_sample, record_analysis
from tests.web_site import open_site

from referee.analysis.api import create_api
from referee.analysis.breakers import ServiceGate, record_service_failure
from referee.analysis.pages import create_pages
from referee.analysis.runtime_api import create_runtime_api
from referee.analysis.shell import register_in_shell
from referee.app import Application, open_application
from referee.core.vocabulary import Service
from referee.foundation.settings import Settings

NO_ZAP = Recorded(reason="There is no ZAP.")
HOSTILE = b"<script>alert(1)</script>\\u202egnp"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt;⟨U+202E⟩gnp"


@pytest.fixture
async def application(database_settings: Settings) -> AsyncIterator[Application]:
    """An application that carries out nothing."""
    settings = database_settings.model_copy(update={"breaker_failures_count": 2})
    async with open_application(settings, is_worker=False) as opened:
        yield opened


@pytest.fixture
async def site(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    """Pages and answers of the analysis room."""
    async with open_room(application) as client:
        yield client


def open_room(application: Application, scopes: frozenset[str] | None = None):  # type: ignore[no-untyped-def]  # a context manager of contextlib's own type
    """Return the pages and answers of the analysis room, for somebody with these scopes."""
    gate = ServiceGate()
    return open_site(
        application.settings,
        application.database,
        create_api(lambda: application.analysis, lambda: application.engine),
        create_runtime_api(lambda: application.analysis, gate),
        create_pages(lambda: application.analysis, lambda: application.engine, gate),
        register=[lambda shell: register_in_shell(shell, lambda: application.analysis)],
        scopes=scopes,
    )


async def read_page(site: httpx.AsyncClient, path: str) -> Element:
    """Return a page as a tree."""
    answer = await site.get(path)
    assert answer.status_code == 200, answer.text
    return parse_page(answer.text)


def read_rows(page: Element, label: str) -> list[dict[str, str]]:
    """Return the rows of the table that stands in a group of this name: label of a cell → its text."""
    group = next(one for one in page.iter() if one.get("aria-label") == label)
    return [
        {cell.get("data-label", ""): text_of(cell) for cell in row.iter("td")}
        for row in group.iter("tr")
        if row.find("td") is not None
    ]


async def test_alerts_put_the_places_of_a_rule_together(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    samples = {"curl": read_sample("curl", "findings"), "wapiti": read_sample("wapiti", "findings")}
    analysis_id = await record_analysis(application, subject, {**samples, "zap": NO_ZAP})

    answer = (await site.get(f"/v1/analyses/{analysis_id}/alerts")).json()
    page = await read_page(site, f"/ui/analyses/{analysis_id}/alerts")

    places = {alert["rule_id"]: len(alert["occurrences"]) for alert in answer["alerts"]}
    assert (places["missing-csp"], places["http-methods"], answer["occurrences_count"]) == (2, 3, 34)
    shown = [one for one in page.iter("summary") if "place" in text_of(one)]
    ranks = [alert["severity"] for alert in answer["alerts"]]
    # The letter before the word is hidden from whoever reads the word.
    assert [text_of(next(find_class(one, "severity")))[1:] for one in shown] == ranks
    assert sorted(ranks, key=["high", "medium", "low", "info"].index) == ranks
    assert all(alert["name"] in text_of(one) for alert, one in zip(answer["alerts"], shown, strict=True))
    assert max(len(alert["name"]) for alert in answer["alerts"]) <= 100


async def test_alerts_say_which_scanner_is_missing_and_what_stands_in(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    results = {"wapiti": read_sample("wapiti", "findings"), "zap": NO_ZAP}
    analysis_id = await record_analysis(application, subject, results)
    page = await read_page(site, f"/ui/analyses/{analysis_id}/alerts")
    notice = next(text_of(one) for one in find_class(page, "notice") if "no result" in text_of(one))
    assert notice.startswith("zap came to no result")
    assert notice.endswith("What only it reports is not among these alerts. wapiti stands in for zap.")


async def test_words_of_a_scanned_app_are_shown_as_text(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    hostile = read_sample("wapiti", "findings").replacing(b"X-Frame-Options is not set", HOSTILE)
    analysis_id = await record_analysis(application, subject, {"wapiti": hostile})
    finding_id = (await site.get("/v1/findings", params={"filter": "message:alert"})).json()["items"][0][
        "finding_id"
    ]
    paths = [f"/ui/analyses/{analysis_id}/alerts", f"/ui/analyses/{analysis_id}/findings"]
    paths += [
        "/ui/findings",
        f"/ui/findings?item={finding_id.replace('-', '')}",
        f"/ui/findings/{finding_id}",
    ]

    pages = [(await site.get(path)).text for path in paths]

    assert [(SHOWN in text, "<script>alert" in text, "\u202e" in text) for text in pages] == [
        (True, False, False)
    ] * len(paths)


async def test_finding_of_a_running_app_shows_its_address_and_exchange(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    await record_analysis(application, subject, {"wapiti": read_sample("wapiti", "findings")})
    wanted = {"filter": "rule:reflected-cross-site-scripting"}
    finding = (await site.get("/v1/findings", params=wanted)).json()["items"][0]
    page = await read_page(site, f"/ui/findings/{finding['finding_id']}")
    facts = {
        text_of(pair[0]): text_of(pair[1])
        for one in page.iter("dl")
        for pair in one.iter("div")
        if len(pair) > 1
    }
    assert facts["Address"].startswith("http://127.0.0.1:")
    assert facts["Request"].startswith("GET /search?q=%3CScRiPt%3Ealert")
    assert "backend GET /search (q)" in facts.values()


async def test_load_is_shown_by_address_and_tool_with_its_failures(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    results = {tool: read_sample(tool, "failures") for tool in ("ab", "locust")}
    analysis_id = await record_analysis(application, subject, results)

    profiles = (await site.get(f"/v1/analyses/{analysis_id}/performance")).json()["profiles"]
    path = f"/ui/analyses/{analysis_id}/performance"
    rows = read_rows(await read_page(site, path), "Addresses under load")

    assert [(row["Address"], row["Tool"]) for row in rows] == [
        ("{target} {method} {path}".format(**one["address"]), one["tool"]) for one in profiles
    ]
    failed = {(row["Address"], row["Tool"]): row["Failed"] for row in rows if row["Failed"] != "0"}
    assert failed == dict.fromkeys([("backend GET /worn", "ab"), ("backend GET /worn", "locust")], "100.0 %")
    assert {row["p95"].split()[-1] for row in rows} <= {"ms", "s"}


async def test_one_load_is_drawn_with_latencies_and_statuses(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    analysis_id = await record_analysis(application, subject, {"locust": read_sample("locust", "failures")})
    path = f"/ui/analyses/{analysis_id}/performance"
    page = await read_page(site, path)
    worn = next(one for one in page.iter("a") if text_of(one) == "backend GET /worn")
    page = await read_page(site, str(worn.get("href")))

    drawn = [text_of(figure[0]) for figure in page.iter("figure")]
    assert "backend GET /worn under locust" in [text_of(one) for one in page.iter("h2")]
    assert [title.partition(" (")[0] for title in drawn] == [
        "How long answers took",
        "Answers by status",
        "95 of 100 answers took at most",
    ]
    assert ["500", "60"] in [[text_of(cell) for cell in row] for row in page.iter("tr")]


async def test_load_without_numbers_says_why(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    results = {"ab": read_sample("ab", "unreachable"), "locust": read_sample("locust", "cut")}
    analysis_id = await record_analysis(application, subject, results)
    answer = (await site.get(f"/v1/analyses/{analysis_id}/performance")).json()
    page = await read_page(site, f"/ui/analyses/{analysis_id}/performance")
    said = " ".join(text_of(one) for one in find_class(page, "notice"))
    assert {one["tool"] for one in answer["unread"]} == {"ab"}
    assert "ab has no numbers" in said
    assert answer["unread"][0]["reason"] in said


async def test_requirements_count_the_same_on_page_in_api_and_in_measurements(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    results = {"requirements-scanner": read_requirements("pico-coder-app2")}
    analysis_id = await record_analysis(application, subject, results)

    answer = (await site.get(f"/v1/analyses/{analysis_id}/requirements")).json()
    measured = await read_measurements(site, analysis_id)
    cards = read_cards(await read_page(site, f"/ui/analyses/{analysis_id}/requirements"))

    counts = answer["counts"]
    judged = Counter(one["counted_verdict"] for one in answer["requirements"])
    assert judged == {"met": counts["met"], "not_met": counts["not_met"], "unknown": counts["unknown"]}
    assert (counts["met"], counts["not_met"], counts["unknown"]) == (
        measured["requirements_met_count"] + measured["endpoints_passed_count"],
        measured["requirements_not_met_count"] + measured["endpoints_not_passed_count"],
        measured["requirements_unknown_count"] + measured["endpoints_unknown_count"],
    )
    assert [int(cards[name].split()[0]) for name in ("Met", "Not met", "Unknown")] == [
        counts["met"],
        counts["not_met"],
        counts["unknown"],
    ]


async def read_measurements(site: httpx.AsyncClient, analysis_id: UUID) -> dict[str, float]:
    """Return the measurements of an analysis by name."""
    found = (await site.get(f"/v1/analyses/{analysis_id}/measurements")).json()
    return {one["name"]: one["value"] for one in found}


async def test_verdict_of_low_confidence_is_shown_and_counts_as_unknown(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    results = {"requirements-scanner": read_requirements("aurora-large-app1")}
    analysis_id = await record_analysis(application, subject, results)
    answer = (await site.get(f"/v1/analyses/{analysis_id}/requirements")).json()
    page = (await site.get(f"/ui/analyses/{analysis_id}/requirements")).text
    unsure = [one for one in answer["requirements"] if one["confidence"] == "low"]
    assert {one["counted_verdict"] for one in unsure} == {"unknown"}
    assert page.count("counts as unknown</p>") == sum(one["verdict"] != "unknown" for one in unsure) > 0


async def test_evidence_of_each_source_stands_side_by_side_as_text(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    recorded = read_requirements("pico-coder-app2").replacing(b"Products have name", HOSTILE)
    analysis_id = await record_analysis(application, subject, {"requirements-scanner": recorded})
    page = await read_page(site, f"/ui/analyses/{analysis_id}/requirements")
    text = (await site.get(f"/ui/analyses/{analysis_id}/requirements")).text

    rows = read_rows(page, "Endpoints: requirements and what is known about them")
    both = [row for row in rows if "says nothing" not in (row["Source"], row["Running app"])]
    assert both
    assert "No evidence at all comes from: judge." in text
    assert (SHOWN in text, "<script>alert" in text, "\u202e" in text) == (True, False, False)


@pytest.mark.parametrize(
    ("view", "title"),
    [
        ("alerts", "The app was not scanned"),
        ("performance", "No load was made"),
        ("requirements", "Requirements were not judged"),
    ],
)
async def test_view_that_no_tool_was_for_says_so(
    application: Application, site: httpx.AsyncClient, subject: Path, view: str, title: str
) -> None:
    analysis_id = await record_analysis(application, subject, {"vulture": Recorded(reason="Not there.")})
    page = await read_page(site, f"/ui/analyses/{analysis_id}/{view}")
    (empty,) = find_class(page, "empty")
    assert text_of(empty).startswith(title)


async def test_what_is_not_there_is_not_found_and_what_is_no_id_is_refused(site: httpx.AsyncClient) -> None:
    views = ["alerts", "performance", "requirements", "source"]
    paths = [f"/{kind}/analyses/{UUID(int=7)}/{view}" for kind in ("ui", "v1") for view in views]
    assert {(await site.get(path)).status_code for path in paths} == {404}
    wrong = [f"/{kind}/analyses/%3Cb%3E/{view}" for kind in ("ui", "v1") for view in views]
    assert {(await site.get(path)).status_code for path in wrong} <= {404, 422}


async def test_source_that_is_not_kept_is_not_found(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    analysis_id = await record_analysis(application, subject, {"vulture": Recorded(reason="Not there.")})
    wrong = {"path": "../<img src=x>"}
    html = {"Accept": "text/html"}
    pages = [
        await site.get(f"/{kind}/analyses/{analysis_id}/source", params=wrong, headers=html)
        for kind in ("ui", "v1")
    ]
    line = await site.get(f"/v1/analyses/{analysis_id}/source", params={"path": "main.py", "line": 0})
    assert ([page.status_code for page in pages], line.status_code) == ([404, 404], 422)
    assert ("&lt;img src=x&gt;" in pages[0].text, "<img src=x" in pages[0].text) == (True, False)


async def test_service_that_gets_no_work_is_shown_and_reset_by_a_form(
    application: Application, site: httpx.AsyncClient
) -> None:
    for _ in range(2):
        await record_service_failure(application.analysis, Service.dynamic, "<b>No network.</b>")

    before = await read_page(site, "/ui/services")
    states = {one["service"]: one["state"] for one in (await site.get("/v1/services")).json()["items"]}
    answer = await site.post("/ui/services/dynamic/reset")
    after = read_rows(await read_page(site, "/ui/services"), "Services")

    (row,) = [row for row in read_rows(before, "Services") if row["Service"].startswith("dynamic")]
    assert (states["dynamic"], row["New work"].startswith("gets no work")) == ("open", True)
    assert (row["Failures of its own"], row["Action"]) == ("2", "Reset dynamic")
    assert row["New work"].endswith("<b>No network.</b>")
    assert list(before.iter("b")) == []
    assert answer.status_code == 303
    assert {row["New work"] for row in after} == {"gets work"}


async def test_services_are_reset_only_by_who_may_and_only_when_there(
    application: Application, site: httpx.AsyncClient
) -> None:
    assert [(await site.post(f"/{kind}/services/nothing/reset")).status_code for kind in ("ui", "v1")] == [
        404,
        404,
    ]
    async with open_room(application, frozenset({"read", "write"})) as writer:
        assert [
            (await writer.post(f"/{kind}/services/dynamic/reset")).status_code for kind in ("ui", "v1")
        ] == [403, 403]
        assert "needs the scope admin" not in (await writer.get("/ui/services")).text


async def test_ledger_of_a_deep_analysis_names_what_is_missing_and_what_stands_in(
    application: Application, site: httpx.AsyncClient, subject: Path
) -> None:
    results = {
        "curl": read_sample("curl", "findings"),
        "wapiti": replace(read_sample("wapiti", "clean")),
        "zap": NO_ZAP,
        "locust": read_sample("locust", "answers"),
        "requirements-scanner": read_requirements("aurora-large-app1"),
    }
    analysis_id = await record_analysis(application, subject, results)
    page = await read_page(site, f"/ui/analyses/{analysis_id}")
    group = next(one for one in page.iter() if one.get("aria-label", "").startswith("Completeness ledger"))
    rows = {
        text_of(row[0]).split()[0]: " ".join(text_of(cell) for cell in row)
        for row in group.iter("tr")
        if "data-row" in row.attrib
    }
    assert "stands in for zap" in rows["wapiti"]
    assert "unavailable unknown" in rows["zap"]
    assert rows["zap"].endswith("There is no ZAP.")
    assert " URLs " in rows["locust"]
    assert [text_of(one) for one in next(find_class(page, "tabs"))] == [
        "Tools", "Findings", "Alerts", "Performance", "Requirements", "Measurements", "Artifacts",
    ]  # fmt: skip
