"""What the command line prints of hostile text stays text."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from uuid import UUID

from rich.console import Console

from referee.analysis.printing import print_analyses, print_findings
from referee.analysis.views import Analysis, Finding, SeverityCounts, Subject
from referee.core.vocabulary import AnalysisState, FindingState, Severity, SubjectKind

ID = UUID(int=1)
AT = datetime(2026, 1, 2, tzinfo=UTC)
HOSTILE = "[demo] \x1b]0;title\x07\x1b[2J [/red] \u202e\x9b"


def make_finding(text: str) -> Finding:
    return Finding(
        finding_id=ID, project_id=ID, subject_id=ID, subject_name=text, fingerprint="f", tool="bandit", rule_id=text,
        severity=Severity.high, confidence=None, message=text, path=text, start_line=1, address=text, cwe_ids=(),
        is_suppressed=False, state=FindingState.open, state_reason="", cluster_id=None,
        first_analysis_id=ID, last_analysis_id=ID, first_seen_at=AT, last_seen_at=AT,
    )  # fmt: skip


def make_analysis(text: str) -> Analysis:
    subject = Subject(
        subject_id=ID, kind=SubjectKind.folder, name=text, path="/x", app_id=None, model=None, number=None
    )
    return Analysis(
        analysis_id=ID, sequence=1, project_id=ID, subject=subject, job_id=None, state=AnalysisState.completed,
        reason=text, profile="quick", is_cache_allowed=True, source_digest="", files_count=1, excluded_count=0,
        results_path=None, template_id=None, template=text, created_at=AT, started_at=AT, finished_at=AT,
        tools_count=1, ended_count=1, complete_count=1, severities=SeverityCounts(),
    )  # fmt: skip


def test_no_command_for_the_terminal_and_no_markup_gets_through() -> None:
    written = io.StringIO()
    console = Console(file=written, width=600)
    print_findings(console, [make_finding(HOSTILE)])
    print_analyses(console, [make_analysis(HOSTILE)])

    assert [one for one in written.getvalue() if not one.isprintable() and one != "\n"] == []
    assert written.getvalue().count("[demo] ⟨U+001B⟩]0;title⟨U+0007⟩⟨U+001B⟩[2J [/red] ⟨U+202E⟩⟨U+009B⟩") == 4
