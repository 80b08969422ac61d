"""An analysis told as spans: from the request to each of its tools."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.analysis.conftest import Analyse

from referee.analysis.own_work import list_analysis_work
from referee.app import Application


async def test_a_finished_analysis_is_told_from_the_wait_to_each_tool(
    application: Application, analyse: Analyse, subject: Path
) -> None:
    analysis, runs = await analyse(subject, "radon")
    assert analysis.finished_at is not None
    (work,) = await list_analysis_work(application.database, analysis.finished_at, 10)
    assert work.work_id == f"analysis:{analysis.analysis_id}"
    assert [(span.name, span.service) for span in work.spans] == [
        (f"analyse {analysis.subject.name}", "referee"),
        ("wait for a worker", "jobs"),
        ("job", "jobs"),
        ("static", "static"),
        ("radon", "radon"),
    ]
    parents = {span.key: span.parent_key for span in work.spans}
    assert all(parent is None or parent in parents for parent in parents.values())
    assert work.spans[-1].attributes["referee.findings_count"] == runs["radon"].findings_count
    later = analysis.finished_at + timedelta(seconds=1)
    assert await list_analysis_work(application.database, later, 10) == []
