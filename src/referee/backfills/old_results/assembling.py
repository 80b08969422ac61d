"""The files of one folder, put together as the old analyses that they are.

Several documents of a folder are parts of one task, or tasks of their own; each tool of a task is told in up to five
places. Of the places that tell the same, the one with most findings is taken; parts of one place that stand apart by
language or address are added up. What a file only claims is compared with what was found, never believed.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from referee.analysis import ImportedAnalysis, ImportedRun, OriginalFile
from referee.backfills.old_results.documents import (
    FORMATS,
    ReadDocument,
    UnknownShape,
    outcome_of_service,
    read_document,
)
from referee.backfills.old_results.entries import ReadEntry, merge_entries
from referee.backfills.old_results.native_outputs import read_native_bytes
from referee.backfills.old_results.sources import MAX_TASK_BYTES, FoundFile, Problem, TaskFiles
from referee.backfills.old_results.spellings import Spellings
from referee.backfills.old_results.words import LANGUAGE_GROUPS, read_service, read_tool_name, service_of_tool
from referee.core.errors import RefereeError
from referee.core.findings import Coverage, JsonValue, ToolReport
from referee.core.instants import UnreadableInstant, read_instant
from referee.core.vocabulary import Outcome, Service

__all__ = ["AssembledTask", "assemble"]

_LAYOUT: Final = re.compile(r"(?:^|/)(?P<model>[^/]+)/app(?P<number>[1-9][0-9]{0,5})(?:/|$)")
_TASK_FOLDER: Final = re.compile(r"(?:^|/)(?P<task>task_[A-Za-z0-9_.:-]{1,115})$")
_STAMP: Final = re.compile(r"_(20\d{6})_(\d{6})(?:_|\.|$)")
_WHOLE: Final = frozenset("ABCDEI")
"""Formats that are a whole task."""
_MAX_FINDINGS: Final = 200_000
_OUTCOME_ORDER: Final = tuple(Service)


@dataclass(frozen=True, slots=True)
class AssembledTask:
    """One old analysis, ready to be written."""

    place: str
    task_id: str
    format: str
    analysis: ImportedAnalysis
    findings_count: int
    claimed_count: int | None


@dataclass(slots=True)
class _Part:
    """A file that was understood."""

    file: FoundFile
    document: ReadDocument


@dataclass(slots=True)
class _Group:
    files: TaskFiles
    parts: list[_Part] = field(default_factory=list)
    unknown: dict[str, tuple[FoundFile, str]] = field(default_factory=dict)
    """Path → file and why it was not understood."""
    manifest: Mapping[str, Any] | None = None
    taken: dict[str, FoundFile] = field(default_factory=dict)
    """Files that some task came from."""

    def find(self, name: str) -> str | None:
        """Return the path of a file that another one names; None for one outside of the folder."""
        path = posixpath.normpath(posixpath.join(self.files.root, name.replace("\\", "/")))
        known = {one.path for one in self.files.files}
        if path in known:
            return path
        base = posixpath.basename(path)  # moved folders keep the names of their files
        return next((one for one in sorted(known) if posixpath.basename(one) == base), None)


def assemble(files: TaskFiles, spellings: Spellings) -> Iterator[AssembledTask | Problem]:
    """Yield the old analyses of a folder, and what of it could not be understood. Blocking.

    Args:
        files: Of the folder.
        spellings: Of models, as known so far.
    """
    size_bytes = sum(one.size_bytes for one in files.files)
    if size_bytes > MAX_TASK_BYTES:
        yield Problem(
            files.root, f"Its files come to {size_bytes:,} bytes; at most {MAX_TASK_BYTES:,} are read."
        )
        return
    group = _Group(files)
    for file in files.files:
        _read_part(group, file)
    tasks = _split(group)
    for task_id, parts in tasks:
        try:
            yield _assemble_task(group, task_id, parts, spellings, is_alone=len(tasks) == 1)
        except UnknownShape as error:
            yield Problem(
                parts[0].file.path if parts else files.root, str(error), parts[0].file.read if parts else None
            )
    for path, (file, reason) in group.unknown.items():
        if path not in group.taken:
            yield Problem(path, reason, file.read)


def _read_part(group: _Group, file: FoundFile) -> None:
    try:
        data = file.read()
    except (OSError, RefereeError) as error:
        group.unknown[file.path] = (file, f"It cannot be read: {str(error)[:300]}")
        return
    stripped = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not stripped:
        group.unknown[file.path] = (file, "It is empty.")
        return
    if not stripped.startswith((b"{", b"[")):
        group.unknown[file.path] = (file, "It is no JSON, and no result names it.")
        return
    try:
        document = json.loads(data)
    except RecursionError:
        group.unknown[file.path] = (file, "Its JSON is nested too deep.")
        return
    except ValueError as error:
        group.unknown[file.path] = (file, f"It is not JSON: {str(error)[:200]}.")
        return
    try:
        read = read_document(document, service=_service_of_file(file.path))
    except UnknownShape as error:
        group.unknown[file.path] = (file, str(error))
        return
    except RecursionError:
        group.unknown[file.path] = (file, "Its JSON is nested too deep.")
        return
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError) as error:
        # Shapes are without number; one that nobody thought of costs its own file, never the import.
        group.unknown[file.path] = (
            file,
            f"Its structure broke the reader: {type(error).__name__}: {str(error)[:200]}",
        )
        return
    if read.format == "M":
        group.manifest = document
        group.taken[file.path] = file
    group.parts.append(_Part(file, read))


def _service_of_file(path: str) -> Service | None:
    name = posixpath.basename(path).lstrip(".")
    stem = re.sub(r"(\.sarif)?\.json$", "", name)
    return read_service(stem) or next(
        (found for word in reversed(re.split(r"[_.]", stem)) if (found := read_service(word))), None
    )


def _split(group: _Group) -> list[tuple[str | None, list[_Part]]]:
    """Return the tasks of a folder: the id of each, where one is said, and its parts."""
    whole = [part for part in group.parts if part.document.format in _WHOLE]
    rest = [part for part in group.parts if part.document.format in "FGS"]
    ids = list(dict.fromkeys(part.document.task_id for part in whole))
    if len(ids) <= 1:
        if whole or any(part.document.format in "FG" for part in rest):
            return [(ids[0] if ids else None, [*whole, *rest])]
        logs = [part for part in rest if part.document.format == "S"]
        if logs and (_TASK_FOLDER.search(group.files.root) or group.manifest is not None):
            return [(None, logs)]
        return [(None, [part]) for part in logs]
    tasks: list[tuple[str | None, list[_Part]]] = []
    for task_id in ids:
        own = [part for part in whole if part.document.task_id == task_id]
        named = {group.find(name) for part in own for name in _names_of(part.document)}
        own += [part for part in rest if part.file.path in named or part.document.task_id == task_id]
        tasks.append((task_id, own))
    used = {part.file.path for _, parts in tasks for part in parts}
    for part in rest:
        if part.file.path not in used:
            group.unknown[part.file.path] = (
                part.file,
                f"The folder has {len(ids)} tasks, and none of them names this file.",
            )
    return tasks


def _names_of(document: ReadDocument) -> list[str]:
    named = [entry.sarif_file for entry in document.entries if entry.sarif_file]
    return [*named, *(name for _, name in document.references)]


def _assemble_task(
    group: _Group, task_id: str | None, parts: Sequence[_Part], spellings: Spellings, *, is_alone: bool
) -> AssembledTask:
    documents = [part.document for part in parts]
    main = documents[0]
    originals = {part.file.path: part.file for part in parts}
    runs = _collect_runs(group, parts, originals)
    if not runs:
        raise UnknownShape(
            f"It has the structure of format {main.format} ({FORMATS[main.format]}) and names no tool."
        )
    findings_count = sum(len(run.report.findings) for run in runs if run.report is not None)
    if findings_count > _MAX_FINDINGS:
        raise UnknownShape(
            f"It has {findings_count:,} findings; at most {_MAX_FINDINGS:,} of a task are taken in."
        )
    if is_alone:
        originals |= {path: file for path, file in group.taken.items() if path not in originals}
    group.taken |= originals
    model, number, spelled = _identify(group, documents, spellings)
    task_id = task_id or _find_task_id(group, documents)
    place = parts[0].file.path
    if task_id is None:
        digest = hashlib.sha256(
            b"".join(sorted(hashlib.sha256(file.read()).digest() for file in originals.values()))
        )
        task_id = f"{'legacy' if main.format == 'G' else 'file'}_{digest.hexdigest()[:16]}"
    name = f"{model}/app{number}" if model is not None else _subject_name(place)
    claimed = _find_claim(documents)
    times = _find_times(group, documents, task_id, place)
    return AssembledTask(
        place=place,
        task_id=task_id,
        format=main.format,
        findings_count=findings_count,
        claimed_count=claimed,
        analysis=ImportedAnalysis(
            key="/".join((spellings.key_of(spelled), f"app{number}", task_id))
            if model
            else f"{name}/{task_id}",
            model=model,
            number=number,
            name=name,
            runs=runs,
            originals=_list_originals(group.files.root, originals),
            started_at=times[0],
            finished_at=times[1],
            claims=_collect_claims(main, task_id, spelled, documents),
        ),
    )


def _find_claim(documents: Iterable[ReadDocument]) -> int | None:
    for document in documents:
        claim = document.claims.get("total_findings", document.claims.get("total_issues"))
        if isinstance(claim, int):
            return claim
    return None


def _collect_runs(
    group: _Group, parts: Sequence[_Part], originals: dict[str, FoundFile]
) -> list[ImportedRun]:
    by_tool: dict[tuple[str, Service], dict[str, list[ReadEntry]]] = defaultdict(lambda: defaultdict(list))
    logs = {part.file.path: part for part in parts if part.document.format == "S"}
    services: dict[str, Service] = {}
    notices: dict[str, list[str]] = defaultdict(list)
    for part in parts:
        for entry in part.document.entries:
            if entry.service is not None:
                services.setdefault(entry.tool, entry.service)
    for part in parts:
        for place, entry in enumerate(part.document.entries):
            service = entry.service or services.get(entry.tool) or Service.static
            entry.service = service
            notices[entry.tool] += _follow(group, entry, logs, originals)
            # Parts of one place that stand apart by language have the same key, and are added up.
            by_tool[entry.tool, service][_place_key(part, place)].append(entry)
    runs: list[ImportedRun] = []
    names: set[str] = set()
    for (tool, service), places in by_tool.items():
        read = _choose([merge_entries(entries) for entries in places.values()])
        name = tool if tool not in names else f"{service.value}-{tool}"
        if name in names:
            continue
        names.add(name)
        runs.append(_make_run(name, read, list(dict.fromkeys(notices[tool]))))
    _add_missing(runs, names, parts)
    return sorted(runs, key=lambda run: (_OUTCOME_ORDER.index(run.service), run.tool))


def _place_key(part: _Part, place: int) -> str:
    where = part.document.wheres[place] if place < len(part.document.wheres) else ""
    kept = [one for one in where.split(".") if one not in LANGUAGE_GROUPS and "://" not in one]
    return f"{part.file.path}#{'.'.join(kept)}"


def _choose(entries: Sequence[ReadEntry]) -> ReadEntry:
    """Return the place that tells most, with what others say that it does not."""
    best = max(entries, key=lambda one: (len(one.found.findings), one.has_findings, one.outcome is not None))
    for one in entries:
        best.outcome = best.outcome or one.outcome
        best.reason = best.reason or one.reason
        best.version = best.version or one.version
        best.measurements = best.measurements or one.measurements
        best.has_findings |= one.has_findings
        best.duration_ms = one.duration_ms if best.duration_ms is None else best.duration_ms
        best.exit_code = one.exit_code if best.exit_code is None else best.exit_code
        if one.claimed_count is not None:
            best.claimed_count = max(best.claimed_count or 0, one.claimed_count)
    # An entry that says how the tool ended is believed before a list of findings that only implies it.
    said = [one.outcome for one in entries if one.outcome not in (None, Outcome.succeeded)]
    if said and not best.found.findings:
        best.outcome = said[0]
    return best


def _follow(
    group: _Group, entry: ReadEntry, logs: Mapping[str, _Part], originals: dict[str, FoundFile]
) -> list[str]:
    """Read the files that an entry names; returns what is worth saying of them."""
    said = []
    if entry.sarif_file is not None:
        path = group.find(entry.sarif_file)
        part = None if path is None else logs.get(path) or _find_log(group, path)
        if part is None:
            said.append(f"The file {entry.sarif_file[:200]} that it names is not there.")
        else:
            originals[part.file.path] = part.file
            run = next((one for one in part.document.entries if one.tool == entry.tool), None)
            run = run or (part.document.entries[0] if part.document.entries else None)
            if run is not None and len(run.found.findings) > len(entry.found.findings):
                entry.found, entry.has_findings = run.found, True
            elif run is not None:
                entry.has_findings = True
            if run is not None:
                run.tool = entry.tool  # its driver's name may be another spelling
                entry.version = entry.version or run.version
    if entry.output_file is not None:
        path = group.find(entry.output_file)
        file = next((one for one in group.files.files if one.path == path), None)
        if file is None:
            said.append(f"The file {entry.output_file[:200]} that it names is not there.")
        else:
            originals[file.path] = file
            native = read_native_bytes(entry.tool, file.read()) if not entry.found.findings else None
            if native is not None:
                entry.found, entry.has_findings = native.found, True
                entry.measurements = entry.measurements or native.measurements
    return said


def _find_log(group: _Group, path: str) -> _Part | None:
    return next(
        (part for part in group.parts if part.file.path == path and part.document.format == "S"), None
    )


def _make_run(name: str, read: ReadEntry, notices: list[str]) -> ImportedRun:
    count = len(read.found.findings)
    outcome, reason = read.outcome, read.reason
    is_known = read.has_findings or bool(read.measurements) or read.claimed_count == 0
    if outcome is None:
        outcome = Outcome.succeeded if read.has_findings or read.measurements else Outcome.failed
        reason = reason or (
            "" if outcome is Outcome.succeeded else "Its entry does not say what became of it."
        )
    if outcome is Outcome.succeeded and read.claimed_count and not count:
        outcome = Outcome.parse_error
        reason = f"It claims {read.claimed_count:,} findings, and none of them is in the files."
        is_known = False
    elif outcome is Outcome.succeeded and not is_known:
        outcome = Outcome.parse_error
        reason = "It says that it succeeded, and the files have nothing of what it found."
    elif read.claimed_count is not None and read.claimed_count != count:
        notices.append(f"It claims {read.claimed_count:,} findings; {count:,} are in the files.")
    if read.found.unreadable_count:
        notices.append(
            f"{read.found.unreadable_count:,} of its entries say neither what was found nor by which rule."
        )
    # Of a tool that did not come to its end, "no findings" is not known.
    is_known = is_known and outcome is Outcome.succeeded
    report = ToolReport(
        findings=tuple(read.found.findings),
        rules=tuple(read.found.rules.values()),
        coverage=Coverage("file", 0),
        measurements=tuple(read.measurements),
        notices=tuple(notices),
    )
    return ImportedRun(
        tool=name,
        service=read.service or service_of_tool(name) or Service.static,
        outcome=outcome,
        reason="" if outcome is Outcome.succeeded else reason or "The old result does not say why.",
        report=report if is_known or count or read.measurements else None,
        code_lines=read.found.code_lines,
        version=read.version,
        exit_code=read.exit_code,
        duration_ms=read.duration_ms,
    )


def _add_missing(runs: list[ImportedRun], names: set[str], parts: Sequence[_Part]) -> None:
    """Name what the task says it ran, and of which the files have nothing."""
    present = {run.service for run in runs}
    for part in parts:
        for fact in part.document.services:
            outcome = outcome_of_service(fact.status)
            name = f"{fact.service.value}-analyzer"
            if outcome is not None and fact.service not in present and name not in names:
                names.add(name)
                reason = fact.error or f"The service says of itself: {fact.status}."
                runs.append(ImportedRun(tool=name, service=fact.service, outcome=outcome, reason=reason))
        for key, words in (("tools_used", "ran"), ("tools_requested", "were asked for")):
            listed = part.document.claims.get(key)
            for one in listed if isinstance(listed, list) else ():
                name_or_none = read_tool_name(one)
                if name_or_none is None or name_or_none in names or f"{name_or_none}" in LANGUAGE_GROUPS:
                    continue
                names.add(name_or_none)
                runs.append(
                    ImportedRun(
                        tool=name_or_none,
                        service=service_of_tool(name_or_none) or Service.static,
                        outcome=Outcome.failed,
                        reason=f"It is among the tools that {words}, and the files have nothing of it.",
                    )
                )


def _identify(
    group: _Group, documents: Sequence[ReadDocument], spellings: Spellings
) -> tuple[str | None, int | None, str]:
    """Return the model as it is called here, the app's number, and the model as it was spelled."""
    layout = _LAYOUT.search(group.files.root)
    manifest = group.manifest or {}
    model = group.files.model or next((one.model for one in documents if one.model), None)
    number = group.files.number or next((one.number for one in documents if one.number), None)
    if model is None and isinstance(manifest.get("model_slug"), str):
        model = manifest["model_slug"]
    if number is None and isinstance(manifest.get("app_number"), int):
        number = manifest["app_number"]
    if layout is not None:
        model, number = model or layout["model"], number or int(layout["number"])
    if not model or number is None:
        return None, None, ""
    return spellings.find(model), number, model


def _find_task_id(group: _Group, documents: Sequence[ReadDocument]) -> str | None:
    stated = next((one.task_id for one in documents if one.task_id), None) or group.files.task_id
    if stated is not None:
        return stated
    manifest = (group.manifest or {}).get("task_id")
    if isinstance(manifest, str) and manifest:
        return manifest[:120]
    match = _TASK_FOLDER.search(group.files.root)
    return None if match is None else match["task"]


def _find_times(
    group: _Group, documents: Sequence[ReadDocument], task_id: str, place: str
) -> tuple[datetime | None, datetime | None]:
    """Return when it began and ended: as the database or the documents say, else by the stamp in a name."""
    finished_at = group.files.finished_at or next(
        (one.finished_at for one in documents if one.finished_at), None
    )
    started_at = group.files.started_at or next((one.started_at for one in documents if one.started_at), None)
    if finished_at is None and started_at is None:
        stamp = _STAMP.search(task_id) or _STAMP.search(posixpath.basename(place))
        text = f"{stamp[1]}T{stamp[2]}" if stamp else (group.manifest or {}).get("created_at")
        try:
            finished_at = read_instant(text)
        except UnreadableInstant:
            return None, None
    if started_at is not None and finished_at is not None and started_at > finished_at:
        started_at = finished_at
    return started_at, finished_at or started_at


def _list_originals(root: str, originals: Mapping[str, FoundFile]) -> list[OriginalFile]:
    prefix = f"{root}/" if root else ""
    return [
        OriginalFile(
            path.removeprefix(prefix),
            file.size_bytes,
            "application/json" if path.endswith(".json") else "application/octet-stream",
            partial(file.read),
        )
        for path, file in sorted(originals.items())
    ]


def _collect_claims(
    main: ReadDocument, task_id: str, spelled: str, documents: Iterable[ReadDocument]
) -> dict[str, JsonValue]:
    claims: dict[str, JsonValue] = {"format": main.format, "task_id": task_id, "model": spelled}
    for document in documents:
        for name, value in document.claims.items():
            claims.setdefault(name, value)
    return claims


def _subject_name(place: str) -> str:
    return (
        re.sub(r"(\.sarif)?\.json$|\.[a-z0-9]{1,5}$", "", posixpath.basename(place)).lstrip(".") or "results"
    )
