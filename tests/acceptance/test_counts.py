"""Every place that counts the findings of an analysis says the same: rows, API, pages, command line, exports, files.

The yardstick is the rows, counted by a query of the test's own. What the code suppresses is counted apart everywhere.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree import ElementTree

import psycopg
import pytest
from tests.acceptance.conftest import AnalysedApp, AnalysedSamples, Referee
from tests.acceptance.page_reading import (
    find_class,
    parse_page,
    read_cards,
    read_chips,
    read_number,
    read_total,
    text_of,
)
from tests.samples_apps.expectations import load_sample_apps

from referee.core.vocabulary import Severity
from referee.foundation.settings import load_settings
from referee.foundation.store import open_database

pytestmark = pytest.mark.timeout(600)

Tally: TypeAlias = Counter[tuple[str, str, bool]]
"""How many findings, by tool, severity and whether the code suppresses them."""

FIRST, *OTHERS = [app.app_id for app in load_sample_apps()]

ROWS = """
SELECT tool_runs.tool, occurrences.severity, occurrences.suppression IS NOT NULL, count(*)
  FROM occurrences JOIN tool_runs USING (tool_run_id)
 WHERE tool_runs.analysis_id = %s
 GROUP BY 1, 2, 3
"""
MANIFEST = "SELECT sha256 FROM manifests WHERE analysis_id = %s"


def counted(tally: Tally) -> int:
    return sum(count for (_, _, is_suppressed), count in tally.items() if not is_suppressed)


def suppressed(tally: Tally) -> int:
    return sum(tally.values()) - counted(tally)


def by_tool(tally: Tally, *, is_suppressed: bool = False) -> Counter[str]:
    totals: Counter[str] = Counter()
    for (tool, _, flag), count in tally.items():
        totals[tool] += count * (flag is is_suppressed)
    return +totals


def by_severity(tally: Tally) -> Counter[str]:
    totals: Counter[str] = Counter()
    for (_, severity, flag), count in tally.items():
        totals[severity] += count * (not flag)
    return +totals


def tally_of(findings: Iterable[dict[str, Any]]) -> Tally:
    """Count findings of the API, the result files or the CSV."""
    return Counter(
        (finding["tool"], finding["severity"], bool(finding["suppression"])) for finding in findings
    )


def tally_of_sarif(log: dict[str, Any]) -> Tally:
    return Counter(
        (run["tool"]["driver"]["name"], result["properties"]["severity"], bool(result.get("suppressions")))
        for run in log["runs"]
        for result in run["results"]
    )


@pytest.fixture(scope="module")
def connection(samples: AnalysedSamples) -> Iterator[psycopg.Connection]:
    """A connection to the database of the samples, past all code that reads for pages."""
    with psycopg.connect(asyncio.run(_find_database(samples.referee)), autocommit=True) as opened:
        yield opened


async def _find_database(referee: Referee) -> str:
    database = await open_database(load_settings(home=referee.home, database_idle_stop_s=0.0))
    conninfo = database.conninfo
    await database.close()
    return conninfo


@pytest.fixture
def rows(connection: psycopg.Connection, sample: AnalysedApp) -> Tally:
    """What the rows say about one sample."""
    analysis_id = sample.analysis_id.removeprefix("analysis_")
    tally: Tally = Counter()
    for tool, severity, is_suppressed, count in connection.execute(ROWS, [analysis_id]):
        tally[tool, severity, is_suppressed] = count
    return tally


@pytest.fixture
def analysis(samples: AnalysedSamples, sample: AnalysedApp) -> Any:
    """One sample's analysis, as the API tells it."""
    return samples.get(f"/v1/analyses/{sample.analysis_id}")


@pytest.fixture
def folder(samples: AnalysedSamples, analysis: Any) -> Path:
    """The folder of one sample's result files."""
    return samples.referee.home / "results" / str(analysis["results_path"])


@pytest.fixture
def of_subject(analysis: Any) -> Callable[[str], str]:
    """Narrow a filter down to one sample."""

    def narrow(words: str = "") -> str:
        return f"subject:{analysis['subject']['name']} {words}".strip()

    return narrow


def test_rows_have_findings_of_every_tool_that_succeeded_on_the_samples(
    rows: Tally, sample: AnalysedApp
) -> None:
    assert counted(rows) > 50
    assert by_tool(rows).keys() <= {
        tool for tool, outcome in sample.app.outcomes.items() if outcome == "succeeded"
    }


def test_analysis_of_the_api_counts_the_rows(rows: Tally, analysis: Any) -> None:
    findings = analysis["findings"]
    assert +Counter({word.value: findings[word.value] for word in Severity}) == by_severity(rows)
    assert (findings["total"], findings["suppressed"]) == (counted(rows), suppressed(rows))
    runs = analysis["tool_runs"]
    assert +Counter({run["tool"]: run["findings_count"] or 0 for run in runs}) == by_tool(rows)
    assert +Counter({run["tool"]: run["suppressed_count"] or 0 for run in runs}) == by_tool(
        rows, is_suppressed=True
    )


def test_analysis_in_the_list_of_the_api_counts_as_it_does_alone(
    samples: AnalysedSamples, analysis: Any
) -> None:
    listed = samples.get("/v1/analyses", filter=f"subject:{analysis['subject']['name']}")["items"]
    assert [one["findings"] for one in listed] == [analysis["findings"]]


def test_findings_of_the_analysis_are_the_rows(
    samples: AnalysedSamples, sample: AnalysedApp, rows: Tally
) -> None:
    assert tally_of(samples.list_all(f"/v1/analyses/{sample.analysis_id}/findings")) == rows


def test_findings_of_the_subject_are_the_rows(
    samples: AnalysedSamples, rows: Tally, of_subject: Callable[[str], str]
) -> None:
    findings = samples.list_all("/v1/findings", of_subject(""))
    assert Counter((one["tool"], one["severity"], one["is_suppressed"]) for one in findings) == rows


def test_filters_by_tool_severity_and_suppression_count_the_rows(
    samples: AnalysedSamples, sample: AnalysedApp, rows: Tally, of_subject: Callable[[str], str]
) -> None:
    def count_both(words: str) -> tuple[int, int]:
        in_analysis = samples.get(f"/v1/analyses/{sample.analysis_id}/findings", filter=words, limit=1)
        in_project = samples.get("/v1/findings", filter=of_subject(words), limit=1)
        return in_analysis["total_count"], in_project["total_count"]

    assert {tool: count_both(f"tool:{tool} suppressed:no") for tool in sample.app.outcomes} == {
        tool: (by_tool(rows)[tool],) * 2 for tool in sample.app.outcomes
    }
    assert {word: count_both(f"severity:{word} suppressed:no") for word in Severity} == {
        word: (by_severity(rows)[word],) * 2 for word in Severity
    }
    assert (
        count_both("severity:>=high suppressed:no")
        == (by_severity(rows)["critical"] + by_severity(rows)["high"],) * 2
    )
    assert count_both("suppressed:yes") == (suppressed(rows),) * 2
    assert count_both("") == (rows.total(),) * 2


def test_facets_of_the_api_count_the_rows(
    samples: AnalysedSamples, rows: Tally, of_subject: Callable[[str], str]
) -> None:
    facets = samples.get("/v1/finding-facets", filter=of_subject("suppressed:no"))["facets"]
    read = {name: Counter({one["value"]: one["count"] for one in values}) for name, values in facets.items()}
    assert read["severity"] == by_severity(rows)
    assert read["tool"] == by_tool(rows)
    assert read["state"] == Counter(open=counted(rows))
    assert read["suppressed"] == +Counter(no=counted(rows), yes=suppressed(rows))


def test_ledger_of_the_page_counts_the_rows(
    samples: AnalysedSamples, sample: AnalysedApp, rows: Tally
) -> None:
    page = parse_page(samples.read_page(f"/ui/analyses/{sample.analysis_id}"))
    told: dict[str, Counter[str]] = {"Findings": Counter(), "Suppressed": Counter()}
    for tool in sample.app.outcomes:
        row = next(element for element in page.iter("tr") if element.get("id") == f"tool-{tool}")
        for cell in row.iter("td"):
            label = cell.get("data-label", "")
            if label in told and text_of(cell).isdigit():
                told[label][tool] = read_number(text_of(cell))
    assert +told["Findings"] == by_tool(rows)
    assert +told["Suppressed"] == by_tool(rows, is_suppressed=True)


def test_cards_of_the_page_count_the_rows(samples: AnalysedSamples, sample: AnalysedApp, rows: Tally) -> None:
    cards = read_cards(parse_page(samples.read_page(f"/ui/analyses/{sample.analysis_id}")))
    assert read_number(cards["Findings"]) == counted(rows)
    assert ("suppressed" in cards["Findings"]) is (suppressed(rows) > 0)
    severities = by_severity(rows)
    assert read_number(cards["Critical or high"]) == severities["critical"] + severities["high"]


def test_findings_tab_of_the_page_counts_the_rows(
    samples: AnalysedSamples, sample: AnalysedApp, rows: Tally
) -> None:
    address = f"/ui/analyses/{sample.analysis_id}/findings"
    everything = parse_page(samples.read_page(address))
    assert read_total(everything) == rows.total()
    visible = parse_page(samples.read_page(address, filter="suppressed:no"))
    assert read_total(visible) == counted(rows)
    assert Counter(read_chips(visible, "Severity")) == by_severity(rows)
    assert Counter(read_chips(visible, "Tool")) == by_tool(rows)


def test_page_of_findings_counts_the_rows(
    samples: AnalysedSamples, rows: Tally, of_subject: Callable[[str], str]
) -> None:
    visible = parse_page(samples.read_page("/ui/findings", filter=of_subject("suppressed:no")))
    assert read_total(visible) == counted(rows)
    assert Counter(read_chips(visible, "Severity")) == by_severity(rows)
    assert Counter(read_chips(visible, "Tool")) == by_tool(rows)


def test_closing_table_of_analyze_counts_the_rows(sample: AnalysedApp, rows: Tally) -> None:
    lines = [line.split() for line in sample.printed.splitlines()]
    ledger = {words[1]: words for words in lines if words and words[0] == "static"}
    told = {tool: words[4:6] for tool, words in ledger.items() if words[3] == "succeeded"}
    assert ledger.keys() == sample.app.outcomes.keys()
    assert +Counter({tool: int(findings) for tool, (findings, _) in told.items()}) == by_tool(rows)
    assert +Counter({tool: int(count) for tool, (_, count) in told.items()}) == by_tool(
        rows, is_suppressed=True
    )
    assert f"{counted(rows)} findings: " in sample.printed


def test_command_line_shows_what_the_api_answers(
    samples: AnalysedSamples, sample: AnalysedApp, analysis: Any
) -> None:
    shown = samples.referee.run("analysis", "show", sample.analysis_id, "--json")
    assert json.loads(shown.stdout) == analysis


def test_finding_list_of_the_command_line_is_the_rows(
    samples: AnalysedSamples, rows: Tally, of_subject: Callable[[str], str]
) -> None:
    listed = samples.referee.run("finding", "list", of_subject(""), "--json", "--limit", "1000")
    page = json.loads(listed.stdout)
    assert page["total_count"] == rows.total()
    assert Counter((one["tool"], one["severity"], one["is_suppressed"]) for one in page["items"]) == rows


def test_csv_export_is_the_rows(samples: AnalysedSamples, sample: AnalysedApp, rows: Tally) -> None:
    exported = samples.export(sample.analysis_id, "csv")
    assert tally_of(csv.DictReader(io.StringIO(exported.decode(), newline=""))) == rows


def test_json_export_is_the_rows(samples: AnalysedSamples, sample: AnalysedApp, rows: Tally) -> None:
    exported = samples.export(sample.analysis_id, "json")
    assert tally_of(json.loads(exported)["results"]["findings"]) == rows


def test_sarif_export_is_the_rows(samples: AnalysedSamples, sample: AnalysedApp, rows: Tally) -> None:
    exported = samples.export(sample.analysis_id, "sarif")
    assert tally_of_sarif(json.loads(exported)) == rows


def test_junit_export_fails_one_test_for_each_finding_that_is_not_suppressed(
    samples: AnalysedSamples, sample: AnalysedApp, rows: Tally
) -> None:
    exported = samples.export(sample.analysis_id, "junit")
    root = ElementTree.fromstring(exported)  # noqa: S314 - written by Referee
    failures = [
        (suite.get("name"), failure.get("type"))
        for suite in root.iter("testsuite")
        for failure in suite.iter("failure")
    ]
    assert Counter(name for name, _ in failures) == by_tool(rows)
    assert Counter(kind for _, kind in failures) == by_severity(rows)
    assert root.get("failures") == str(counted(rows))
    assert {suite.get("name"): int(suite.get("failures", "")) for suite in root.iter("testsuite")} == {
        tool: by_tool(rows)[tool] for tool in sample.app.outcomes
    }


@pytest.mark.parametrize("export_format", ["csv", "json", "junit", "sarif"])
@pytest.mark.parametrize(
    "app_id", [FIRST, *(pytest.param(app_id, marks=pytest.mark.slow) for app_id in OTHERS)]
)
def test_command_line_exports_the_same_bytes_as_the_api(
    samples: AnalysedSamples, app_id: str, export_format: str, tmp_path: Path
) -> None:
    sample, file = samples.by_app_id[app_id], tmp_path / "export"
    samples.referee.run("analysis", "export", sample.analysis_id, "--format", export_format, "-o", str(file))
    assert file.read_bytes() == samples.export(sample.analysis_id, export_format)


def test_primary_result_file_counts_the_rows(folder: Path, rows: Tally, sample: AnalysedApp) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    results = json.loads((folder / manifest["primary_result"]).read_text())["results"]
    summary = results["summary"]
    assert tally_of(results["findings"]) == rows
    assert (summary["total_findings"], summary["suppressed_findings"]) == (counted(rows), suppressed(rows))
    assert +Counter(summary["severity_breakdown"]) == by_severity(rows)
    assert Counter({tool: count or 0 for tool, count in summary["findings_by_tool"].items()}) == Counter(
        {tool: by_tool(rows)[tool] for tool in sample.app.outcomes}
    )
    assert results["services"]["static"]["total_findings"] == counted(rows)


def test_service_file_is_the_rows(folder: Path, rows: Tally) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    results = json.loads((folder / manifest["service_files"]["static"]).read_text())["results"]
    assert tally_of(results["findings"]) == rows
    told = results["tool_results"]
    assert +Counter({tool: one["findings_count"] or 0 for tool, one in told.items()}) == by_tool(rows)


def test_sarif_files_are_the_rows_and_there_is_one_for_each_tool(
    folder: Path, rows: Tally, sample: AnalysedApp
) -> None:
    logs = [json.loads(path.read_text()) for path in sorted((folder / "sarif").iterdir())]
    assert sum((tally_of_sarif(log) for log in logs), Counter()) == rows
    assert sorted(path.name for path in (folder / "sarif").iterdir()) == sorted(
        f"static_{tool}.sarif.json" for tool in sample.app.outcomes
    )


def test_manifest_counts_the_rows(
    samples: AnalysedSamples, sample: AnalysedApp, connection: psycopg.Connection, rows: Tally
) -> None:
    analysis_id = sample.analysis_id.removeprefix("analysis_")
    row = connection.execute(MANIFEST, [analysis_id]).fetchone()
    assert row is not None
    sha256 = str(row[0])
    path = samples.referee.home / "artifacts" / sha256[:2] / sha256[2:4] / sha256
    runs = json.loads(path.read_bytes())["tool_runs"]
    assert +Counter({tool: run["findings_count"] or 0 for tool, run in runs.items()}) == by_tool(rows)
    assert +Counter({tool: run["suppressed_count"] or 0 for tool, run in runs.items()}) == by_tool(
        rows, is_suppressed=True
    )


def test_overview_is_the_sum_of_the_samples(samples: AnalysedSamples, connection: psycopg.Connection) -> None:
    total: Tally = Counter()
    for app in samples.by_app_id.values():
        for tool, severity, is_suppressed, count in connection.execute(
            ROWS, [app.analysis_id.removeprefix("analysis_")]
        ):
            total[tool, severity, is_suppressed] += count
    overview = samples.get("/v1/overview")
    assert overview["findings"] == {"open": counted(total), "fixed": 0, "dismissed": 0}
    assert Counter({one["value"]: one["count"] for one in overview["severities"]}) == by_severity(total)
    assert overview["analyses"]["completed"] == len(samples.by_app_id)
    outcomes = Counter({(one["field"], one["value"]): one["count"] for one in overview["outcomes"]})
    assert outcomes == Counter(
        (tool, outcome) for app in samples.by_app_id.values() for tool, outcome in app.app.outcomes.items()
    )
    page = parse_page(samples.read_page("/ui/"))
    assert read_number(read_cards(page)["Open findings"]) == counted(total)
    findings = parse_page(samples.read_page("/ui/findings"))
    assert read_total(findings) == total.total()
    cards = read_cards(findings)
    assert read_number(cards["Open"]) == counted(total)
    assert read_number(cards["Suppressed in the code"]) == suppressed(total)


def test_analyses_page_counts_each_sample_by_severity(
    samples: AnalysedSamples, connection: psycopg.Connection
) -> None:
    page = parse_page(samples.read_page("/ui/analyses"))
    for app in samples.by_app_id.values():
        row = next(
            element
            for element in page.iter("tr")
            if element.get("id") == f"row-{app.analysis_id.removeprefix('analysis_')}"
        )
        told = Counter(
            {
                word: int(count)
                for count, word in (one.get("title", "").split() for one in find_class(row, "severity"))
            }
        )
        tally: Tally = Counter()
        for tool, severity, is_suppressed, count in connection.execute(
            ROWS, [app.analysis_id.removeprefix("analysis_")]
        ):
            tally[tool, severity, is_suppressed] = count
        assert told == by_severity(tally)
