"""Result files of an analysis, in the consolidated layout that other programs read.

``results/<model>/app<N>/task_<analysis hex>/`` (for a plain folder
``results/_folders/<name>-<8 hex of its path's digest>/task_…/``) holds one
primary JSON, ``manifest.json``, ``sarif/`` and ``services/``. Everything in them
comes from the rows that the page shows; the primary file is checked against the
published JSON Schema before it counts.

Rendering only: no database, no disk. Writing and digests: ``finishing.py``.

Source:
    The consolidated layout 1.0 of the app-analysis results that Referee took over, with
    ``schema``/``schema_version`` in front.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final
from uuid import UUID

from referee import __version__
from referee.analysis.views import Analysis, Measured, Occurrence, ToolRun
from referee.core.errors import IntegrityError
from referee.core.findings import JsonValue
from referee.core.vocabulary import Outcome, Service

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

__all__ = [
    "RESULT_SCHEMA",
    "RESULT_SCHEMA_VERSION",
    "ResultFiles",
    "render_folder_manifest",
    "render_result_files",
    "result_schema",
    "results_folder",
    "validate_result",
]

RESULT_SCHEMA: Final = "referee-analysis"
RESULT_SCHEMA_VERSION: Final = "1.0"
MANIFEST_SCHEMA: Final = "referee-analysis-manifest"

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """The files of one analysis before they are written."""

    folder: str
    """Relative to the results folder, POSIX."""
    files: Mapping[str, bytes]
    """Relative name → bytes; ``manifest.json`` is not among them."""
    primary: str
    """Name of the primary file."""


def results_folder(analysis: Analysis) -> str:
    """Return where the files of an analysis lie, relative to the results folder."""
    task = f"task_{analysis.analysis_id.hex}"
    subject = analysis.subject
    if subject.model is not None and subject.number is not None:
        return f"{_safe(subject.model)}/app{subject.number}/{task}"
    digest = hashlib.sha256(subject.path.encode()).hexdigest()[:8]
    return f"_folders/{_safe(subject.name)}-{digest}/{task}"


def render_result_files(
    analysis: Analysis,
    tool_runs: Sequence[ToolRun],
    occurrences: Iterable[Occurrence],
    measurements: Sequence[Measured],
    sarif_logs: Mapping[str, bytes],
) -> ResultFiles:
    """Render every result file of an analysis that has ended.

    Args:
        analysis: With its final state.
        tool_runs: Its ledger.
        occurrences: All of them, by tool.
        measurements: All of them.
        sarif_logs: Tool → its SARIF log.

    Raises:
        IntegrityError: The primary document does not match its schema.
    """
    stem = _file_stem(analysis)
    sarif_names = {
        run.tool: f"sarif/{run.service.value}_{run.tool}.sarif.json"
        for run in tool_runs
        if run.tool in sarif_logs
    }
    services = {run.tool: run.service for run in tool_runs}
    findings: list[JsonValue] = [_finding(occurrence, services) for occurrence in occurrences]
    primary = _primary(analysis, tool_runs, findings, measurements, sarif_names)
    validate_result(primary)
    rendered = {f"{stem}.json": _dump(primary)}
    rendered.update(
        {sarif_names[tool]: data for tool, data in sorted(sarif_logs.items()) if tool in sarif_names}
    )
    for service in _services(tool_runs):
        rendered[f"services/{_app_stem(analysis)}_{service.value}.json"] = _dump(
            _service_snapshot(analysis, service, tool_runs, findings)
        )
    return ResultFiles(folder=results_folder(analysis), files=rendered, primary=f"{stem}.json")


def render_folder_manifest(analysis: Analysis, result: ResultFiles, tool_runs: Sequence[ToolRun]) -> bytes:
    """Return ``manifest.json``: which file is which, with sizes and digests."""
    services = [service.value for service in _services(tool_runs)]
    return _dump(
        {
            "schema": MANIFEST_SCHEMA,
            "schema_version": RESULT_SCHEMA_VERSION,
            "task_id": _task_id(analysis.analysis_id),
            "model_slug": analysis.subject.model,
            "app_number": analysis.subject.number,
            "primary_result": result.primary,
            "services": list(services),
            "service_files": {
                service: f"services/{_app_stem(analysis)}_{service}.json" for service in services
            },
            "created_at": _instant(analysis.finished_at),
            "state": analysis.state.value,
            "files": {
                name: {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
                for name, data in sorted(result.files.items())
            },
        }
    )


def validate_result(primary: Mapping[str, JsonValue]) -> None:
    """Check a primary document against the published schema.

    Raises:
        IntegrityError: It does not match.
    """
    error = next(_validator().iter_errors(primary), None)
    if error is not None:
        place = "/".join(str(part) for part in error.instance_path)
        raise IntegrityError(
            "analysis.result_invalid",
            f"The result document does not match its schema at /{place}: {error.message[:300]}",
            "Report this with the analysis' id.",
        )


@cache
def result_schema() -> Mapping[str, JsonValue]:
    """Return the published JSON Schema of the primary document."""
    text = files("referee.analysis").joinpath("schemas/referee-analysis-1.0.json").read_text("utf-8")
    schema: Mapping[str, JsonValue] = json.loads(text)
    return schema


@cache
def _validator() -> Draft202012Validator:
    from jsonschema_rs import Draft202012Validator as Validator  # noqa: PLC0415 - loaded only where results are written

    return Validator(dict(result_schema()))


def _primary(
    analysis: Analysis,
    tool_runs: Sequence[ToolRun],
    findings: list[JsonValue],
    measurements: Sequence[Measured],
    sarif_names: Mapping[str, str],
) -> dict[str, JsonValue]:
    return {
        "schema": RESULT_SCHEMA,
        "schema_version": RESULT_SCHEMA_VERSION,
        "metadata": {
            "model_slug": analysis.subject.model,
            "app_number": analysis.subject.number,
            "subject": analysis.subject.name,
            "subject_kind": analysis.subject.kind.value,
            "analysis_type": "unified",
            "profile": analysis.profile,
            "source_digest": analysis.source_digest,
            "template": analysis.template,
            "timestamp": _instant(analysis.finished_at),
            "analyzer_version": __version__,
            "module": "referee",
            "version": RESULT_SCHEMA_VERSION,
        },
        "results": {
            "task": {
                "task_id": _task_id(analysis.analysis_id),
                "started_at": _instant(analysis.started_at),
                "completed_at": _instant(analysis.finished_at),
                "state": analysis.state.value,
                "reason": analysis.reason,
            },
            "summary": _summary(analysis, tool_runs),
            "services": {
                service.value: _service_summary(service, tool_runs) for service in _services(tool_runs)
            },
            "tools": {run.tool: _tool(run, sarif_names.get(run.tool)) for run in tool_runs},
            "findings": findings,
            "measurements": [
                {
                    "tool": measured.tool,
                    "name": measured.name,
                    "value": measured.value,
                    "unit": measured.unit,
                    "better": measured.better,
                    "file_path": measured.path,
                    "line_number": measured.start_line,
                    "address": measured.address,
                }
                for measured in measurements
            ],
            "raw_outputs": {run.tool: dict(run.raw) for run in tool_runs if run.raw},
        },
    }


def _summary(analysis: Analysis, tool_runs: Sequence[ToolRun]) -> dict[str, JsonValue]:
    severities = analysis.severities
    return {
        "status": analysis.state.value,
        "total_findings": severities.total,
        "suppressed_findings": severities.suppressed,
        "severity_breakdown": {
            "critical": severities.critical,
            "high": severities.high,
            "medium": severities.medium,
            "low": severities.low,
            "info": severities.info,
        },
        "findings_by_tool": {run.tool: run.findings_count for run in tool_runs},
        "files_examined": analysis.files_count,
        "files_excluded": analysis.excluded_count,
        "services_executed": [service.value for service in _services(tool_runs)],
        "services_partial": [
            service.value
            for service in _services(tool_runs)
            if _service_state(service, tool_runs) == "partial"
        ],
        "services_unreachable": [
            service.value for service in _services(tool_runs) if _service_state(service, tool_runs) == "error"
        ],
        "tools_requested": [run.tool for run in tool_runs],
        "tools_executed": sum(bool(run.did_run) for run in tool_runs),
        "tools_used": [run.tool for run in tool_runs if run.outcome is Outcome.succeeded],
        "tools_failed": [run.tool for run in tool_runs if run.outcome is None or not run.outcome.is_complete],
        "tools_skipped": [run.tool for run in tool_runs if run.outcome is Outcome.not_applicable],
    }


def _tool(run: ToolRun, sarif_file: str | None) -> dict[str, JsonValue]:
    return {
        "status": run.status,
        "service": run.service.value,
        "reason": run.reason,
        "did_run": run.did_run,
        "exit_meaning": None if run.exit_meaning is None else run.exit_meaning.value,
        "exit_code": run.exit_code,
        "parse_state": None if run.parse_state is None else run.parse_state.value,
        "findings_count": run.findings_count,
        "suppressed_count": run.suppressed_count,
        "version": run.version,
        "execution_time_ms": run.duration_ms,
        "is_from_cache": run.cached_from_tool_run_id is not None,
        "parameters": dict(run.parameters),
        "coverage": None if run.coverage is None else dict(run.coverage),
        "notices": list(run.notices),
        "isolation": None if run.isolation is None else dict(run.isolation),
        "app_run_id": None if run.app_run_id is None else run.app_run_id.hex,
        "app_isolation": run.app_isolation,
        "stands_in_for": run.stands_in_for,
        "sarif": None if sarif_file is None else {"sarif_file": sarif_file},
    }


def _finding(occurrence: Occurrence, services: Mapping[str, Service]) -> dict[str, JsonValue]:
    return {
        "finding_id": occurrence.finding_id.hex,
        "fingerprint": occurrence.fingerprint,
        "tool": occurrence.tool,
        "service": services[occurrence.tool].value,
        "rule_id": occurrence.rule_id,
        "severity": occurrence.severity.value,
        "tool_severity": occurrence.tool_severity,
        "confidence": None if occurrence.confidence is None else occurrence.confidence.value,
        "message": occurrence.message,
        "file_path": occurrence.path,
        "line_number": occurrence.start_line,
        "column": occurrence.start_column,
        "end_line": occurrence.end_line,
        "end_column": occurrence.end_column,
        "address": None if occurrence.address is None else str(occurrence.address),
        "properties": dict(occurrence.properties),
        "code_snippet": occurrence.code_line,
        "cwe": [f"CWE-{number}" for number in occurrence.cwe_ids],
        "suppression": occurrence.suppression,
        "state": occurrence.state.value,
        "help_url": occurrence.help_url,
    }


def _service_summary(service: Service, tool_runs: Sequence[ToolRun]) -> dict[str, JsonValue]:
    runs = [run for run in tool_runs if run.service is service]
    return {
        "status": _service_state(service, tool_runs),
        "tools": [run.tool for run in runs],
        "total_findings": sum(run.findings_count or 0 for run in runs),
    }


def _service_snapshot(
    analysis: Analysis, service: Service, tool_runs: Sequence[ToolRun], findings: Sequence[JsonValue]
) -> dict[str, JsonValue]:
    names = {run.tool for run in tool_runs if run.service is service}
    return {
        "schema": "referee-analysis-service",
        "schema_version": RESULT_SCHEMA_VERSION,
        "metadata": {
            "model_slug": analysis.subject.model,
            "app_number": analysis.subject.number,
            "task_id": _task_id(analysis.analysis_id),
            "service_name": service.value,
            "timestamp": _instant(analysis.finished_at),
        },
        "results": {
            "status": _service_state(service, tool_runs),
            "tool_results": {run.tool: _tool(run, None) for run in tool_runs if run.tool in names},
            "findings": [
                finding for finding in findings if isinstance(finding, dict) and finding["tool"] in names
            ],
        },
    }


def _service_state(service: Service, tool_runs: Sequence[ToolRun]) -> str:
    outcomes = [run.outcome for run in tool_runs if run.service is service]
    complete = [outcome is not None and outcome.is_complete for outcome in outcomes]
    if all(complete):
        return "success"
    return "partial" if any(complete) else "error"


def _services(tool_runs: Sequence[ToolRun]) -> list[Service]:
    present = {run.service for run in tool_runs}
    return [service for service in Service if service in present]


def _app_stem(analysis: Analysis) -> str:
    subject = analysis.subject
    if subject.model is not None and subject.number is not None:
        return f"{_safe(subject.model)}_app{subject.number}"
    return _safe(subject.name)


def _file_stem(analysis: Analysis) -> str:
    return f"{_app_stem(analysis)}_{_task_id(analysis.analysis_id)}"


def _task_id(analysis_id: UUID) -> str:
    return f"task_{analysis_id.hex}"


def _safe(name: str) -> str:
    """Return a name that is one path part everywhere: no separators, no leading dot or dash."""
    return _UNSAFE.sub("_", name).strip("._-")[:80] or "unnamed"


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _dump(document: Mapping[str, JsonValue]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()
