"""Exports hold whatever a tool said, in forms that other programs read without surprise."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from sqlalchemy.ext.asyncio import AsyncSession
from tests.analysis.planned import Planned, plan
from tests.analysis.reports import make_finding, make_report, make_result
from tests.faults.conftest import BadKit, analyse

from referee.analysis import cancel_analysis
from referee.analysis.exports import EXPORT_FORMATS, ExportFormat, export_analysis, neutralise_formula
from referee.analysis.finishing import finish_analysis
from referee.analysis.recording import record_tool_run
from referee.analysis.results import ToolRunResult
from referee.analysis.storable import make_storable
from referee.app import Application, open_application
from referee.core.errors import Conflict
from referee.core.vocabulary import ExitMeaning, Outcome, ParseState
from referee.foundation.settings import Settings
from referee.tools.install import ToolInstaller
from referee.tools.sarif import validate_sarif

HOSTILE = (
    '=HYPERLINK("http://example.org","click")',
    "+1+1|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    'quote " comma , newline \n and \r\n',
    "]]></failure><failure><![CDATA[ & &amp; <!-- --> <?xml?>",
    "\x01\x0b\x1f\ufffe\uffff\x7f\x85\u2028",
    "NUL \0 and half \udcff",
    "\u202eright to left",
    "a" * 100_000,
)


@pytest.fixture
async def application(database_settings: Settings) -> AsyncIterator[Application]:
    """An application without a worker: what is planned stays planned."""
    async with open_application(database_settings, is_worker=False) as opened:
        yield opened


@pytest.fixture
async def hostile(application: Application, subject: Path) -> Planned:
    """An ended analysis: bandit with hostile findings, one of them suppressed; ruff failed; jshint not applicable."""
    planned = await plan(application, subject, "bandit", "ruff", "jshint")
    report = make_report(
        *(
            make_finding(rule_id=text[:60], message=text, path=f"{text[:60]}.py", line=number)
            for number, text in enumerate(HOSTILE, start=1)
        ),
        make_finding(message="Nobody is told.", suppression="nosec"),
    )
    async with application.database.transaction() as session:
        await record_tool_run(session, planned.keys["bandit"], make_result(make_storable(report)))
        await _record_end(session, planned, "ruff", Outcome.failed, 'It said "<no>" & ended.')
        await _record_end(session, planned, "jshint", Outcome.not_applicable, "There is no <script>.")
    await finish_analysis(application.analysis, planned.project_id, planned.keys["bandit"].analysis_id)
    return planned


async def _record_end(
    session: AsyncSession, planned: Planned, tool: str, outcome: Outcome, reason: str
) -> None:
    result = ToolRunResult(
        outcome=outcome,
        reason=reason,
        did_run=False,
        exit_meaning=ExitMeaning.not_run,
        parse_state=ParseState.not_attempted,
    )
    assert await record_tool_run(session, planned.keys[tool], result)


async def export(planned: Planned, export_format: ExportFormat) -> bytes:
    key = planned.keys["bandit"]
    return await export_analysis(
        planned.application.analysis, planned.project_id, key.analysis_id, export_format
    )


async def test_junit_is_well_formed_and_its_counts_are_those_of_its_elements(hostile: Planned) -> None:
    root = ElementTree.fromstring(await export(hostile, "junit"))  # noqa: S314 - written by Referee

    suites = {suite.get("name"): suite for suite in root}
    assert {name: _count_told(suite) for name, suite in suites.items()} == {
        name: _count_elements(suite) for name, suite in suites.items()
    }
    assert (
        _count_told(root)
        == _count_elements(root)
        == {
            "tests": len(HOSTILE) + 3,
            "failures": len(HOSTILE),
            "errors": 1,
        }
    )
    error = suites["ruff"].find("testcase/error")
    skipped = suites["jshint"].find("testcase/skipped")
    assert error is not None and error.get("message") == 'It said "<no>" & ended.'
    assert skipped is not None and skipped.get("message") == "There is no <script>."


def _count_told(element: ElementTree.Element) -> dict[str, int]:
    return {name: int(element.get(name, "")) for name in ("tests", "failures", "errors")}


def _count_elements(element: ElementTree.Element) -> dict[str, int]:
    words = {"tests": "testcase", "failures": "failure", "errors": "error"}
    return {name: len(list(element.iter(word))) for name, word in words.items()}


async def test_junit_names_each_test_once_and_keeps_what_xml_can_hold(hostile: Planned) -> None:
    root = ElementTree.fromstring(await export(hostile, "junit"))  # noqa: S314 - written by Referee

    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(names)) == len(names)
    messages = [failure.get("message") for failure in root.iter("failure")]
    assert HOSTILE[0] in messages
    assert HOSTILE[7] in messages
    assert HOSTILE[8] in messages
    assert HOSTILE[12] in messages
    assert "\ufffd\ufffd\ufffd\ufffd\ufffd\x7f\x85\u2028" in messages


async def test_csv_is_what_rfc_4180_says_and_no_cell_is_a_formula(hostile: Planned) -> None:
    data = (await export(hostile, "csv")).decode()
    rows = list(csv.reader(io.StringIO(data, newline=""), strict=True))

    header, *findings = rows
    assert data.endswith("\r\n")
    assert {len(row) for row in rows} == {len(header)}
    assert len(findings) == len(HOSTILE) + 1
    assert [
        cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    ] == []
    messages = [row[header.index("message")] for row in findings]
    assert [message.removeprefix("'") for message in messages[:10]] == list(HOSTILE[:10])


@given(st.text(max_size=5))
def test_formula_is_neutralised_by_one_quote_and_nothing_else_changes(text: str) -> None:
    harmless = neutralise_formula(text)

    assert harmless in (text, f"'{text}")
    assert not harmless.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠"))


async def test_json_export_is_the_primary_result_file(hostile: Planned) -> None:
    document = json.loads(await export(hostile, "json"))

    assert document["schema"] == "referee-analysis"
    assert document["results"]["summary"]["total_findings"] == len(HOSTILE)
    assert document["results"]["summary"]["suppressed_findings"] == 1
    assert len(document["results"]["findings"]) == len(HOSTILE) + 1


async def test_every_export_of_an_analysis_that_has_not_ended_is_refused(
    application: Application, subject: Path
) -> None:
    planned = await plan(application, subject, "bandit")

    for export_format in EXPORT_FORMATS:
        with pytest.raises(Conflict) as refused:
            await export(planned, export_format)
        assert refused.value.code == "analysis.running"


async def test_cancelled_analysis_is_exported_in_every_format(
    application: Application, subject: Path, oasis: Draft4Validator
) -> None:
    planned = await plan(application, subject, "bandit", "pylint")
    analysis_id = planned.keys["bandit"].analysis_id
    await cancel_analysis(application.analysis, application.engine, planned.project_id, analysis_id)

    exported = {export_format: await export(planned, export_format) for export_format in EXPORT_FORMATS}

    log = json.loads(exported["sarif"])
    assert _list_errors(oasis, log) == []
    assert _endings(log) == {"bandit": False, "pylint": False}
    assert json.loads(exported["json"])["results"]["task"]["state"] == "cancelled"
    assert exported["csv"].count(b"\r\n") == 1
    assert ElementTree.fromstring(exported["junit"]).get("errors") == "2"  # noqa: S314 - written by Referee


BAD_PROGRAMS = {
    "bandit": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "mypy": "print('{\"cut')\n",
    "vulture": "import time\ntime.sleep(1000)\n",
    "radon": "import sys\nsys.exit(77)\n",
}


@pytest.fixture
def oasis(pytestconfig: pytest.Config) -> Draft4Validator:
    """The OASIS schema of SARIF 2.1.0 in a validator that is not the product's."""
    path = pytestconfig.rootpath / "src" / "referee" / "tools" / "schemas" / "sarif-2.1.0.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    return Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)


async def test_logs_of_runs_that_came_to_no_result_are_valid_and_say_why(
    database_settings: Settings, subject: Path, tmp_path: Path, oasis: Draft4Validator
) -> None:
    short = database_settings.model_copy(update={"tool_wall_max_s": 3.0})
    real = ToolInstaller(short.tools_path, advisories_dir=short.advisories_dir)
    programs = {tool: _write_program(tmp_path / tool, source) for tool, source in BAD_PROGRAMS.items()}
    not_a_program = _write_program(tmp_path / "detect-secrets", "")
    not_a_program.write_bytes(b"\x7fELF")
    kit = BadKit(real, {**programs, "detect-secrets": not_a_program}, frozenset({"semgrep"}))
    tools = (*BAD_PROGRAMS, "detect-secrets", "semgrep", "jshint")
    async with open_application(short, is_worker=True, install_kit=kit) as application:
        analysis, runs = await analyse(application, subject, *tools)
        merged = await export_analysis(
            application.analysis, analysis.project_id, analysis.analysis_id, "sarif"
        )

    assert {tool: run.outcome for tool, run in runs.items()} == {
        "bandit": Outcome.failed,
        "mypy": Outcome.parse_error,
        "vulture": Outcome.timed_out,
        "radon": Outcome.failed,
        "detect-secrets": Outcome.failed,
        "semgrep": Outcome.unavailable,
        "jshint": Outcome.not_applicable,
    }
    folder = short.results_dir / str(analysis.results_path) / "sarif"
    logs = {tool: json.loads((folder / f"static_{tool}.sarif.json").read_text("utf-8")) for tool in tools}
    assert {tool: _list_errors(oasis, log) for tool, log in logs.items()} == {tool: [] for tool in tools}
    assert {tool: _endings(log) for tool, log in logs.items()} == {
        tool: {tool: tool == "jshint"} for tool in tools
    }
    assert {tool: _texts(log) for tool, log in logs.items()} == {tool: [runs[tool].reason] for tool in tools}
    assert _list_errors(oasis, json.loads(merged)) == []
    assert _endings(json.loads(merged)) == {tool: tool == "jshint" for tool in tools}


def _write_program(folder: Path, source: str) -> Path:
    import sys

    folder.mkdir()
    program = folder / "program"
    interpreter = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    program.write_text(f"#!{interpreter} -IB\n{source}")
    program.chmod(0o755)
    return program


def _list_errors(validator: Draft4Validator, log: Any) -> list[str]:
    validate_sarif(log)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(log)]


def _endings(log: Any) -> dict[str, bool]:
    return {
        run["tool"]["driver"]["name"]: run["invocations"][0]["executionSuccessful"] for run in log["runs"]
    }


def _texts(log: Any) -> list[str]:
    return [
        one["message"]["text"]
        for run in log["runs"]
        for one in run["invocations"][0]["toolExecutionNotifications"]
    ]
