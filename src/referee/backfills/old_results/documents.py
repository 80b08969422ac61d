"""The formats of old result files, told apart by their structure, and what each of them says.

=====  ==============================  ========================================================
 A     structure 1                     ``results.tool_results``
 B     structure 2                     ``services.<service>.payload``
 C     consolidated 1.0                ``metadata`` with ``results.task`` and ``results.services``
 D     universal v1                    ``schema.name`` is ``universal``
 E     unified analysis 2.0            ``schema.name`` is ``unified-analysis``
 F     snapshot of one service         ``metadata.service_name`` or a lone ``analysis``
 G     legacy dot files                lists of issues, alerts, statistics or requirements alone
 H     note of an export               ``export_timestamp`` and ``exported_files``
 I     backfilled orchestrator         ``task_id`` with ``metadata.unified_analysis``
 S     SARIF log                       ``runs``
 M     manifest of a task              ``primary_result`` or ``main_result_file``
=====  ==============================  ========================================================

A file's name decides nothing. A document of no known structure is ``UnknownShape``, which says where it failed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from referee.backfills.old_results.entries import ReadEntry, ToolEntry, read_entry, read_sarif_entry
from referee.backfills.old_results.sarif_reading import is_sarif, read_sarif
from referee.backfills.old_results.walking import collect_entries, has_tools
from referee.backfills.old_results.words import read_service, read_tool_name, service_of_tool
from referee.core.findings import JsonValue, Location, Measurement
from referee.core.instants import UnreadableInstant, read_instant
from referee.core.vocabulary import Outcome, Service

__all__ = [
    "FORMATS",
    "ReadDocument",
    "ServiceFact",
    "UnknownShape",
    "outcome_of_service",
    "read_document",
    "recognise",
]

FORMATS: Final[Mapping[str, str]] = {
    "A": "structure 1",
    "B": "structure 2",
    "C": "consolidated 1.0",
    "D": "universal v1",
    "E": "unified analysis 2.0",
    "F": "service snapshot",
    "G": "legacy file",
    "H": "export note",
    "I": "orchestrator 2.0.0",
    "S": "SARIF log",
    "M": "manifest",
    "T": "output of a tool",
}
"""Letter → what people call it."""
_TASK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,119}")
_UNREACHABLE: Final = frozenset(("targets_unreachable", "unreachable"))


class UnknownShape(Exception):
    """A document of no known structure.

    Args:
        reason: One sentence: where in it and why.
    """


@dataclass(frozen=True, slots=True)
class ServiceFact:
    """A service that a document names, and what it says of it."""

    service: Service
    status: str
    error: str


@dataclass(slots=True)
class ReadDocument:
    """What a document says."""

    format: str
    """A key of ``FORMATS``."""
    entries: list[ReadEntry] = field(default_factory=list)
    wheres: list[str] = field(default_factory=list)
    """Place of each entry in the document."""
    services: list[ServiceFact] = field(default_factory=list)
    references: list[tuple[Service | None, str]] = field(default_factory=list)
    """Files that hold parts of it: the service, where it is known, and the file's path."""
    task_id: str | None = None
    model: str | None = None
    number: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    claims: dict[str, JsonValue] = field(default_factory=dict)


def recognise(document: object) -> str:
    """Return the letter of a document's format.

    Raises:
        UnknownShape: It has none.
    """
    if not isinstance(document, Mapping):
        kind = type(document).__name__
        raise UnknownShape(f"The document is a {kind}, not an object.")
    schema = document.get("schema")
    name = schema.get("name") if isinstance(schema, Mapping) else schema
    results, metadata = _mapping(document.get("results")), _mapping(document.get("metadata"))
    services = _mapping(document.get("services"))
    if is_sarif(document):
        return "S"
    if name == "universal" and isinstance(document.get("tools"), Mapping):
        return "D"
    if name == "unified-analysis":
        return "E"
    if "export_timestamp" in document and ("exported_files" in document or "statistics" in document):
        return "H"
    if {"primary_result", "main_result_file"} & document.keys() and "results" not in document:
        return "M"
    if "task_id" in document and metadata.get("unified_analysis"):
        return "I"
    if isinstance(results.get("task"), Mapping) and ("services" in results or "tools" in results):
        return "C"
    if any(isinstance(one, Mapping) and "payload" in one for one in services.values()):
        return "B"
    if isinstance(results.get("tool_results"), Mapping) and "service_name" not in metadata:
        return "A"
    return _recognise_part(document, metadata, services)


def read_document(document: Mapping[str, Any], *, service: Service | None = None) -> ReadDocument:
    """Read a document of any format but M and H.

    Args:
        document: Parsed JSON.
        service: Of those tools that the document says no service of.

    Raises:
        UnknownShape: It has no known structure, or nothing of what its structure promises.
    """
    letter = recognise(document)
    read = ReadDocument(letter)
    _read_identity(read, document)
    if letter == "S":
        read.entries = [
            read_sarif_entry(run, service or service_of_tool(run.tool)) for run in read_sarif(document)
        ]
        return read
    if letter in ("H", "M"):
        return read
    if letter == "G":
        entries = _collect_legacy(document)
    else:
        own = read_service(
            _mapping(document.get("metadata")).get("service_name") or document.get("service") or ""
        )
        walked = collect_entries(document, service or own)
        entries = walked.entries
        read.references = walked.references
        read.services = [ServiceFact(*fact) for fact in walked.services]
    read.entries = [read_entry(entry) for entry in entries]
    read.wheres = [entry.where.rpartition(".")[0] for entry in entries]
    _read_own_measurements(read, document)
    if not read.entries and not read.references and not read.services:
        raise UnknownShape(f"It has the structure of format {letter} ({FORMATS[letter]}) and names no tool.")
    return read


def _read_own_measurements(read: ReadDocument, document: Mapping[str, Any]) -> None:
    """Take the measurements of a result that Referee itself wrote, as they stand there."""
    listed = _mapping(document.get("results")).get("measurements")
    by_tool: dict[str, list[Measurement]] = {}
    for one in listed if isinstance(listed, list) else ():
        if not isinstance(one, Mapping) or not isinstance(one.get("value"), (int, float)):
            continue
        better = one.get("better")
        path = one.get("file_path")
        by_tool.setdefault(str(one.get("tool")), []).append(
            Measurement(
                str(one.get("name"))[:120],
                float(one["value"]),
                str(one.get("unit"))[:60],
                better if better in ("higher", "lower") else "neither",
                Location(path, _number(one.get("line_number"))) if isinstance(path, str) and path else None,
            )
        )
    for entry in read.entries:
        entry.measurements = by_tool.get(entry.tool, entry.measurements)


def _recognise_part(
    document: Mapping[str, Any], metadata: Mapping[str, Any], services: Mapping[str, Any]
) -> str:
    """Return the letter of a document that is about one service, or a list of findings alone."""
    if "service_name" in metadata or str(document.get("type", "")).endswith("analysis_result"):
        return "F"
    if isinstance(document.get("analysis"), Mapping):
        return "F"
    if services and any(isinstance(one, Mapping) and has_tools(one) for one in services.values()):
        return "B"
    if isinstance(document.get("tool_results"), Mapping) or (
        isinstance(document.get("results"), Mapping) and has_tools(document["results"])
    ):
        return "F"
    if _collect_legacy(document):
        return "G"
    if any(isinstance(one, Mapping) and "file" in one for one in services.values()):
        return "B"
    keys = ", ".join(sorted(str(key)[:40] for key in document)[:8]) or "nothing"
    raise UnknownShape(f"At the top of the document: {keys}. No known format begins so.")


def _collect_legacy(document: Mapping[str, Any]) -> list[ToolEntry]:
    """Return the tools of a file of 2025-07 or older, which holds no more than one list."""
    issues = document.get("issues")
    if isinstance(issues, list) and (
        "tool_status" in document or "tool_outputs" in document or "summary" in document
    ):
        statuses = _mapping(document.get("tool_status"))
        by_tool: dict[str, list[Any]] = {
            str(tool): [] for tool in (*statuses, *_mapping(document.get("tool_outputs")))
        }
        for issue in issues:
            tool = issue.get("tool") if isinstance(issue, Mapping) else None
            by_tool.setdefault(str(tool or "unnamed"), []).append(issue)
        entries = []
        for tool, found in by_tool.items():
            name = read_tool_name(tool)
            if name is not None:
                value = {**_legacy_status(statuses.get(tool)), "issues": found}
                service = service_of_tool(name) or Service.static
                entries.append(ToolEntry(name, service, value, f"issues of {tool}"))
        return entries
    alerts = document.get("alerts", document.get("site"))
    if isinstance(alerts, (list, Mapping)):
        return [ToolEntry("zap", Service.dynamic, document, "alerts")]
    judged = [group for group in document.values() if isinstance(group, list)]
    if any(isinstance(one, Mapping) and "met" in one for group in judged for one in group):
        return [ToolEntry("gpt4all-requirements", Service.ai, document, "requirements")]
    if {"requests_per_sec", "requests_per_second", "total_rps", "stats", "endpoints"} & document.keys() and (
        "avg_response_time" in document or "stats" in document or "total_requests" in document
    ):
        return [ToolEntry("locust", Service.performance, {"status": "success", **document}, "statistics")]
    return []


def _legacy_status(text: object) -> dict[str, Any]:
    """Return a status such as ``✅ No issues found`` or ``⚠️ Found 3 issues`` as an entry says it."""
    words = str(text or "").lower()
    if isinstance(text, Mapping):
        return dict(text)
    if "not " in words and ("installed" in words or "available" in words):
        return {"status": "not_available", "error": str(text)}
    if "error" in words or "fail" in words:
        return {"status": "error", "error": str(text)}
    if "timeout" in words or "timed out" in words:
        return {"status": "timeout", "error": str(text)}
    if "skip" in words:
        return {"status": "skipped", "error": str(text)}
    return {"status": "success"}


def _read_identity(read: ReadDocument, document: Mapping[str, Any]) -> None:
    results = _mapping(document.get("results"))
    metadata, task = _mapping(document.get("metadata")), _mapping(results.get("task"))
    own = _mapping(document.get("task"))
    places = (document, metadata, task, own, results, _mapping(document.get("analysis")))
    task_id = next((one.get("task_id") for one in places if isinstance(one.get("task_id"), str)), None)
    if task_id is not None and _TASK.fullmatch(task_id):
        while task_id.startswith("task_task_"):  # a double prefix of one release
            task_id = task_id.removeprefix("task_")
        read.task_id = task_id
    models = [one.get(key) for one in places for key in ("model_slug", "target_model", "model")]
    read.model = next((model for model in models if isinstance(model, str) and model), None)
    numbers = [_number(one.get(key)) for one in places for key in ("app_number", "target_app_number", "app")]
    read.number = next((number for number in numbers if number), None)
    read.started_at = _instant(places, ("started_at", "analysis_started", "created_at"))
    read.finished_at = _instant(
        places, ("completed_at", "finished_at", "timestamp", "analysis_time", "ended_at")
    )
    read.claims = _read_claims(document, results)


def _read_claims(document: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return the totals that a document states of itself."""
    claims: dict[str, JsonValue] = {}
    metadata = _mapping(document.get("metadata"))
    requested = metadata.get("requested_tools", metadata.get("tools_requested"))
    if isinstance(requested, list) and len(requested) <= 200:
        claims["tools_requested"] = [str(one)[:80] for one in requested]
    for source in (_mapping(document.get("summary")), _mapping(results.get("summary")), results, document):
        for name in ("total_findings", "total_issues", "tools_executed", "tools_successful"):
            value = source.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                claims.setdefault(name, value)
        for name in ("tools_used", "services_executed", "tools_failed", "tools_requested"):
            value = source.get(name)
            if isinstance(value, list) and len(value) <= 200:
                claims.setdefault(name, [str(one)[:80] for one in value])
    return claims


def _instant(places: tuple[Mapping[str, Any], ...], names: tuple[str, ...]) -> datetime | None:
    for name in names:
        for place in places:
            value = place.get(name)
            if isinstance(value, (str, int, float)) and not isinstance(value, bool):
                try:
                    return read_instant(value)
                except UnreadableInstant:
                    continue
    return None


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1_000_000
    return value if is_number and isinstance(value, int) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def outcome_of_service(status: str) -> Outcome | None:
    """Return what a service's status means for a tool of it that left nothing; None when it means nothing."""
    word = status.lower()
    if word in _UNREACHABLE:
        return Outcome.target_unreachable
    return {"error": Outcome.failed, "timeout": Outcome.timed_out, "failed": Outcome.failed}.get(word)
