"""50,000 findings of one analysis: stored, paged through, exported."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import httpx
from bench.measuring import Measured, temporary_folder, tools_dir
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import AnalysisRequest, create_analysis
from referee.analysis.exports import export_analysis
from referee.analysis.finishing import finish_analysis
from referee.analysis.recording import record_tool_run
from referee.analysis.results import RawStream, SourceLines, ToolRunResult, prepare_occurrences
from referee.analysis.running import load_workpiece
from referee.analysis.service import start_analysis
from referee.analysis.tables import ToolRunRow
from referee.app import Application, open_application
from referee.core.findings import Coverage, Location, ToolFinding, ToolReport
from referee.core.findings import Rule as ToolRule
from referee.core.vocabulary import Confidence, ExitMeaning, Outcome, ParseState, Severity
from referee.foundation.access import get_project
from referee.foundation.logs import configure_logs
from referee.foundation.settings import Settings, load_settings
from referee.tools.sarif import SarifInvocation, render_sarif, validate_sarif
from referee.web_app import create_web_app

__all__ = ["measure_findings"]

FINDINGS_COUNT = 50_000
FILES_COUNT = 500
RULES_COUNT = 60
REPEATS = 7

Value = TypeVar("Value")


def measure_findings() -> list[Measured]:
    """Store 50,000 findings of one analysis and read them back in each form."""
    with temporary_folder() as folder:
        settings = load_settings(
            home=folder / "home", tools_dir=tools_dir(), log_level="error", database_idle_stop_s=2.0
        )
        configure_logs(settings)
        app = folder / "app"
        app.mkdir()
        for number in range(FILES_COUNT):
            lines = (f"value_{line} = call_{line % 7}(request.args['{line}'])\n" for line in range(120))
            (app / f"module_{number:03d}.py").write_text("".join(lines))
        return asyncio.run(_measure(settings, app))


async def _measure(settings: Settings, app: Path) -> list[Measured]:
    async with open_application(settings, is_worker=False) as application:
        project_id = (await get_project(application.database, "default")).project_id
        first_id, first_s = await _store(application, project_id, app)
        finish_s, _ = await _timed(finish_analysis(application.analysis, project_id, first_id))
        again_id, again_s = await _store(application, project_id, app)
        await finish_analysis(application.analysis, project_id, again_id)
        sarif_s, sarif = await _timed(export_analysis(application.analysis, project_id, first_id, "sarif"))
    validate_sarif(json.loads(sarif))
    assert len(json.loads(sarif)["runs"][0]["results"]) == FINDINGS_COUNT
    pages = await _measure_pages(settings, first_id)
    name = f"{FINDINGS_COUNT:,} findings of one analysis"
    return [
        Measured(name=f"{name}: stored", value=first_s, unit="s", goal=10),
        Measured(name="… stored when all are known already", value=again_s, unit="s", goal=10),
        Measured(name="… result files written and verified", value=finish_s, unit="s"),
        Measured(name="… SARIF export, valid", value=sarif_s, unit="s", goal=5),
        *(
            Measured(name=f"… first page {path}", value=took_ms, unit="ms", goal=100)
            for path, took_ms in pages.items()
        ),
    ]


async def _store(application: Application, project_id: UUID, app: Path) -> tuple[UUID, float]:
    """Store a tool run with all findings and return its analysis and the seconds from report to commit."""
    request = AnalysisRequest(path=str(app), tools=("bandit",), is_cache_allowed=False)
    room = application.analysis
    analysis = await create_analysis(room, application.engine, project_id, request)
    async with application.database.transaction() as session:
        await start_analysis(session, analysis.analysis_id)
        tool_run_id = await _find_tool_run(session, analysis.analysis_id)
        workpiece = await load_workpiece(room, session, tool_run_id, attempt=1)
    assert workpiece is not None
    report, description = _make_report(), workpiece.tool.describe()
    begun_s = time.perf_counter()
    lines = SourceLines(workpiece.snapshot)
    occurrences = await asyncio.to_thread(prepare_occurrences, description, report, lines)
    log = await asyncio.to_thread(
        render_sarif,
        description,
        "1.9.4",
        report,
        invocation=SarifInvocation(is_successful=True, exit_code=1, reason="", command=("bandit",)),
        code_line=lines.line,
        fingerprints=[occurrence.fingerprint for occurrence in occurrences],
        automation_id="bench/bandit",
        subject_digest=workpiece.snapshot.source_digest,
    )
    await asyncio.to_thread(validate_sarif, log)
    sarif = await room.artifacts.put_bytes(json.dumps(log).encode(), "application/sarif+json")
    raw = await room.artifacts.put_bytes(b"{}", "application/octet-stream")
    result = ToolRunResult(
        outcome=Outcome.succeeded,
        reason="",
        did_run=True,
        exit_meaning=ExitMeaning.findings,
        parse_state=ParseState.parsed,
        exit_code=1,
        occurrences=occurrences,
        is_counted=True,
        rules=report.rules,
        coverage=report.coverage,
        version="1.9.4",
        adapter_version=1,
        cache_key="0" * 64,
        raw={"report.json": RawStream(artifact=raw, total_bytes=2, is_truncated=False)},
        sarif=sarif,
        sources={},
        duration_ms=1,
        cpu_ms=1,
    )
    async with application.database.transaction() as session:
        assert await record_tool_run(session, workpiece.key, result)
    return analysis.analysis_id, time.perf_counter() - begun_s


async def _measure_pages(settings: Settings, analysis_id: UUID) -> dict[str, float]:
    """Return the median server time of first pages."""
    app = create_web_app(settings)
    paths = (
        f"/v1/analyses/{analysis_id}/findings?limit=50",
        "/v1/findings?limit=50",
        "/v1/findings?filter=is:open severity:>=high&limit=50",
        "/ui/findings",
        f"/ui/analyses/{analysis_id}",
    )
    found = {}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8765") as client,
    ):
        for path in paths:
            times = []
            for _ in range(REPEATS):
                took_s, answer = await _timed(client.get(path))
                assert answer.status_code == 200, answer.text
                times.append(took_s * 1000)
            found[path.replace(str(analysis_id), "{id}").split("?limit")[0]] = sorted(times)[REPEATS // 2]
    return found


def _make_report() -> ToolReport:
    severities = (Severity.low, Severity.medium, Severity.high)
    findings = tuple(
        ToolFinding(
            rule_id=f"B{100 + number % RULES_COUNT}",
            message=f"Call number {number} with untrusted input: check for execution of untrusted input.",
            severity=severities[number % 3],
            location=Location(
                f"module_{number % FILES_COUNT:03d}.py", number // FILES_COUNT + 1, 5, number // FILES_COUNT + 1, 40
            ),
            tool_severity=severities[number % 3].value.upper(),
            confidence=Confidence.high,
            cwe_ids=(78,),
            help_url="https://bandit.readthedocs.io/",
        )
        for number in range(FINDINGS_COUNT)
    )  # fmt: skip
    rules = tuple(
        ToolRule(
            f"B{100 + number}", f"rule_{number}", f"Rule {number}.", Severity.medium, "https://x.test/", (78,)
        )
        for number in range(RULES_COUNT)
    )
    return ToolReport(findings=findings, rules=rules, coverage=Coverage("file", FILES_COUNT))


async def _find_tool_run(session: AsyncSession, analysis_id: UUID) -> UUID:
    return (
        await session.execute(select(ToolRunRow.tool_run_id).where(ToolRunRow.analysis_id == analysis_id))
    ).scalar_one()


async def _timed(awaitable: Awaitable[Value]) -> tuple[float, Value]:
    begun_s = time.perf_counter()
    value = await awaitable
    return time.perf_counter() - begun_s, value
