"""What tools themselves print, by the shape of it: JSON, JSON lines, text, XML, CSV.

An old result keeps such output inside its own form, or beside it as a file. Where this server has the tool, its own
parser is asked first (``read_with_parser``); it knows most, and refuses what it does not know. The shapes here are
for the rest: other versions, other tools, output that was cut to its findings.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from referee.backfills.old_results.issues import FoundIssues, clean_path, shorten
from referee.backfills.old_results.measuring import read_measurements
from referee.backfills.old_results.sarif_reading import is_sarif, read_sarif
from referee.core.findings import Measurement, ToolFinding, ToolReport
from referee.core.vocabulary import Severity
from referee.tools.contract import RawOutput, ToolPlan
from referee.tools.reading import OutputUnreadable
from referee.tools.registry import TOOL_NAMES, get_tool

__all__ = ["NativeOutput", "read_native_bytes", "read_native_shape", "read_with_parser"]

_MYPY_LINE: Final = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+)(?::(?P<column>\d+))?: (?P<level>error|warning|note): (?P<message>.*?)"
    r"(?:  \[(?P<code>[a-z0-9-]+)\])?$"
)
_VULTURE_LINE: Final = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+): (?P<message>.+) \((?P<share>\d+)% confidence(?:, .*)?\)$"
)
_RADON_SEVERITIES: Final = {
    "C": Severity.medium,
    "D": Severity.medium,
    "E": Severity.high,
    "F": Severity.high,
}
_NMAP_PORT: Final = re.compile(
    r'<port protocol="(?P<protocol>\w+)" portid="(?P<port>\d+)">.*?<state state="open"(?P<rest>.*?)</port>',
    re.DOTALL,
)
_AB_NUMBER: Final = re.compile(
    r"^(?P<name>Requests per second|Time per request|Failed requests|Complete requests):\s+(?P<value>[0-9.]+)"
    r"(?P<rest>.*)$",
    re.MULTILINE,
)
_MAX_FINDINGS: Final = 200_000


@dataclass(slots=True)
class NativeOutput:
    """What was read from a tool's own output."""

    found: FoundIssues = field(default_factory=FoundIssues)
    measurements: list[Measurement] = field(default_factory=list)
    version: str | None = None
    report: ToolReport | None = None
    """When this server's own parser of the tool read it."""

    @property
    def findings(self) -> Sequence[ToolFinding]:
        """What was found, whoever read it."""
        return self.found.findings if self.report is None else self.report.findings


def read_with_parser(tool: str, data: bytes, paths: Iterable[str] = ()) -> NativeOutput | None:
    """Return what the tool's own parser here reads from an output; None when it refuses it. Blocking.

    Args:
        tool: Its name.
        data: The output.
        paths: Files that the output speaks of: parsers leave out what they were not told of.
    """
    if tool not in TOOL_NAMES:
        return None
    streams = {name: data for name in ("stdout", "report.json", "jscpd-report.json")}
    raw = RawOutput(
        streams={**streams, "stderr": b""},
        total_bytes={**{name: len(data) for name in streams}, "stderr": 0},
        end="exited",
        exit_code=0,
        duration_ms=0,
        cpu_ms=0,
        peak_memory_bytes=None,
        isolation=None,
    )
    try:
        plan = ToolPlan(
            parameters=get_tool(tool).describe().resolve_parameters({}), files=tuple(sorted(set(paths)))
        )
        report = get_tool(tool).parse(raw, plan)
    except (OutputUnreadable, KeyError, ValueError, TypeError, AttributeError, LookupError):
        return None  # another shape than the one it writes here: the shapes below are tried
    if not report.findings and not report.measurements:
        return None
    return NativeOutput(report=report)


def read_native_bytes(tool: str, data: bytes) -> NativeOutput | None:
    """Return what a tool's output says; None when it has no known shape of that tool. Blocking."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    stripped = text.lstrip()
    if stripped.startswith(("{", "[")):
        try:
            return read_native_shape(tool, json.loads(text))
        except (ValueError, RecursionError):
            return _read_json_lines(tool, stripped)
    reader = _TEXTS.get(tool)
    return None if reader is None else reader(text)


def read_native_shape(tool: str, value: Any) -> NativeOutput | None:
    """Return what a tool's output says that is JSON; None when it has no known shape."""
    if is_sarif(value):
        native = NativeOutput()
        for run in read_sarif(value):
            native.version = native.version or run.version
            for finding in run.found.findings:
                place = finding.location
                line = (
                    "" if place is None else run.found.code_lines.get((place.path, place.start_line or 0), "")
                )
                native.found.add(finding, line)
            native.found.rules.update(run.found.rules)
            native.found.unreadable_count += run.found.unreadable_count
        return native
    for reader in (_SHAPES.get(tool), _read_plain_list):
        native_or_none = None if reader is None else reader(value)
        if native_or_none is not None:
            return native_or_none
    return None


def _read_json_lines(tool: str, text: str) -> NativeOutput | None:
    entries = []
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            entries.append(json.loads(line))
        except (ValueError, RecursionError):
            return None
    return read_native_shape(tool, entries)


def _read_plain_list(value: Any) -> NativeOutput | None:
    """A list of findings, or an object with one under one of the usual names."""
    if isinstance(value, Mapping):
        for name in (
            "results",
            "issues",
            "messages",
            "findings",
            "vulnerabilities",
            "alerts",
            "errors",
            "warnings",
        ):
            if isinstance(value.get(name), list):
                return _collect(value[name], version=value.get("version"))
        return None
    return _collect(value) if isinstance(value, list) else None


def _collect(
    issues: Iterable[Any], *, version: Any = None, severity: Severity = Severity.medium
) -> NativeOutput | None:
    native = NativeOutput(version=version if isinstance(version, str) else None)
    entries = list(issues)[:_MAX_FINDINGS]
    native.found.add_all(entries, severity=severity)
    return None if entries and not native.found.findings else native


def _read_by_file(value: Any) -> NativeOutput | None:
    """Linters that list files, each with its messages: eslint, stylelint, html-validator."""
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        return None
    if value and not any({"messages", "warnings"} & entry.keys() for entry in value):
        return None
    native = NativeOutput()
    for entry in value:
        messages = entry.get("messages", entry.get("warnings")) or []
        path = clean_path(entry.get("filePath") or entry.get("source") or entry.get("file") or "")
        native.found.add_all(messages if isinstance(messages, list) else [messages], path=path)
    return native


def _read_ruff(value: Any) -> NativeOutput | None:
    return _collect(value) if isinstance(value, list) else None


def _read_radon(value: Any) -> NativeOutput | None:
    if not isinstance(value, Mapping) or not all(
        isinstance(blocks, (list, Mapping)) for blocks in value.values()
    ):
        return None
    native = NativeOutput()
    for path, blocks in value.items():
        for block in blocks if isinstance(blocks, list) else ():
            rank = str(block.get("rank")) if isinstance(block, Mapping) else ""
            if rank not in _RADON_SEVERITIES:
                continue
            issue = {
                "file": path,
                "line": block.get("lineno"),
                "rule": f"complexity-{rank}",
                "identity": block.get("name"),
                "message": f"{block.get('type', 'block')} {block.get('name')} has complexity {block.get('complexity')}"
                f" (rank {rank}).",
                "severity": _RADON_SEVERITIES[rank].value,
                "complexity": block.get("complexity"),
                "rank": rank,
            }
            native.found.add_all([issue])
    return native


def _read_secrets(value: Any) -> NativeOutput | None:
    results = value.get("results") if isinstance(value, Mapping) else None
    if not isinstance(results, Mapping):
        return None
    native = NativeOutput(version=value.get("version") if isinstance(value.get("version"), str) else None)
    for path, secrets in results.items():
        for secret in secrets if isinstance(secrets, list) else ():
            if isinstance(secret, Mapping):
                kind = str(secret.get("type", "secret"))
                issue = {
                    "file": path,
                    "line": secret.get("line_number"),
                    "rule": kind,
                    "message": f"{kind} in the code.",
                }
                native.found.add_all([issue], severity=Severity.high)
            else:
                native.found.unreadable_count += 1
    return native


def _read_npm(value: Any) -> NativeOutput | None:
    packages = value.get("vulnerabilities", value.get("advisories")) if isinstance(value, Mapping) else None
    if not isinstance(packages, Mapping):
        return None
    native = NativeOutput()
    for name, entry in packages.items():
        if not isinstance(entry, Mapping):
            native.found.unreadable_count += 1
            continue
        causes = [cause for cause in entry.get("via") or [] if isinstance(cause, Mapping)] or [entry]
        for cause in causes:
            title = cause.get("title") or f"{name} {entry.get('range', '')} is vulnerable."
            issue = {
                "package": str(entry.get("module_name") or name),
                "rule": str(cause.get("url", "")).rsplit("/", 1)[-1] or str(cause.get("source") or name),
                "message": str(title),
                "severity": cause.get("severity") or entry.get("severity"),
                "range": cause.get("range") or entry.get("range"),
                "cwe": cause.get("cwe"),
                "url": cause.get("url"),
                "more_info": cause.get("url"),
                "file": "package.json",
            }
            native.found.add_all([issue])
    return native


def _read_pip_audit(value: Any) -> NativeOutput | None:
    packages = value.get("dependencies") if isinstance(value, Mapping) else value
    if not isinstance(packages, list) or (
        packages and not any("vulns" in p for p in packages if isinstance(p, Mapping))
    ):
        return None
    native = NativeOutput()
    for package in packages:
        for entry in (package.get("vulns") or []) if isinstance(package, Mapping) else ():
            fixed = ", ".join(str(one) for one in entry.get("fix_versions") or [])
            issue = {
                "package": package.get("name"),
                "version": package.get("version"),
                "rule": entry.get("id"),
                "message": entry.get("description")
                or f"{package.get('name')} {package.get('version')} is vulnerable.",
                "fixed_version": fixed,
                "file": "requirements.txt",
            }
            native.found.add_all([issue], severity=Severity.high)
    return native


def _read_zap(value: Any) -> NativeOutput | None:
    if not isinstance(value, (Mapping, list)):
        return None
    alerts: list[Any] = []
    sites = value.get("site") if isinstance(value, Mapping) else value
    for site in sites if isinstance(sites, list) else [sites] if isinstance(sites, Mapping) else []:
        if isinstance(site, Mapping) and isinstance(site.get("alerts"), list):
            alerts += site["alerts"]
    if isinstance(value, Mapping):
        listed = value.get("alerts", value.get("alerts_by_risk"))
        groups = listed.values() if isinstance(listed, Mapping) else [listed]
        alerts += [alert for group in groups if isinstance(group, list) for alert in group]
    if not alerts and not (
        isinstance(value, Mapping) and {"site", "alerts", "alerts_by_risk"} & value.keys()
    ):
        return None
    flat = []
    for alert in alerts[:_MAX_FINDINGS]:
        instances = alert.get("instances") if isinstance(alert, Mapping) else None
        places = [one for one in instances or [] if isinstance(one, Mapping)] or [{}]
        flat += (
            [{**alert, **{k: v for k, v in place.items() if v}} for place in places]
            if isinstance(alert, Mapping)
            else [alert]
        )
    for alert in flat:
        if isinstance(alert, dict) and "://" in str(alert.get("uri", "")):
            alert.setdefault("url", alert.pop("uri"))
    return _collect(flat, severity=Severity.info)


def _read_locust_json(value: Any) -> NativeOutput | None:
    measurements = read_measurements(value)
    return NativeOutput(measurements=measurements) if measurements else None


def _read_mypy_text(text: str) -> NativeOutput | None:
    return _read_lines(text, _MYPY_LINE, Severity.high)


def _read_vulture_text(text: str) -> NativeOutput | None:
    native = NativeOutput()
    for line in text.splitlines():
        match = _VULTURE_LINE.match(line)
        if match is None:
            if line.strip():
                return None
            continue
        share = int(match["share"])
        issue = {
            **match.groupdict(),
            "rule": match["message"].split(" '", 1)[0].replace(" ", "-"),
            "confidence": share,
        }
        native.found.add_all([issue], severity=Severity.medium if share >= 80 else Severity.low)
    return native


def _read_lines(text: str, pattern: re.Pattern[str], severity: Severity) -> NativeOutput | None:
    native = NativeOutput()
    matches = [match.groupdict() for line in text.splitlines() if (match := pattern.match(line))]
    if not matches and "Success:" not in text:
        return None
    native.found.add_all(matches, severity=severity)
    return native


def _read_nmap_xml(text: str) -> NativeOutput | None:
    """Open ports of an XML report, by pattern: a foreign XML file is never parsed as XML here."""
    if "<nmaprun" not in text:
        return None
    native = NativeOutput()
    for match in _NMAP_PORT.finditer(text):
        name = re.search(r'<service name="([^"]{1,60})"', match["rest"])
        what = f" ({name[1]})" if name else ""
        issue = {
            "rule": "open-port",
            "port": match["port"],
            "message": f"Port {match['port']}/{match['protocol']} is open{what}.",
        }
        native.found.add_all([issue], severity=Severity.info)
    return native


def _read_ab_text(text: str) -> NativeOutput | None:
    numbers: dict[str, Any] = {}
    for match in _AB_NUMBER.finditer(text):
        if match["name"] == "Requests per second":
            numbers["requests_per_second"] = float(match["value"])
        elif match["name"] == "Time per request" and "across" not in match["rest"]:
            numbers["mean_response_ms"] = float(match["value"])
        elif match["name"] == "Failed requests":
            numbers["failed_requests"] = float(match["value"])
        elif match["name"] == "Complete requests":
            numbers["total_requests"] = float(match["value"])
    return NativeOutput(measurements=read_measurements(numbers)) if numbers else None


def _read_locust_csv(text: str) -> NativeOutput | None:
    rows = list(csv.DictReader(io.StringIO(text)))
    total = next((row for row in rows if row.get("Name") == "Aggregated"), None)
    if total is None:
        return None
    known = {
        "Requests/s": "requests_per_second", "Average Response Time": "mean_response_ms", "50%": "p50_ms",
        "95%": "p95_ms", "99%": "p99_ms", "Failure Count": "failed_requests", "Request Count": "total_requests",
    }  # fmt: skip
    numbers: dict[str, Any] = {}
    for name, ours in known.items():
        try:
            numbers[ours] = float(total.get(name) or "")
        except ValueError:
            continue
    return NativeOutput(measurements=read_measurements(numbers)) if numbers else None


def _read_curl_text(text: str) -> NativeOutput | None:
    """The headers of an answer: which of the expected ones are missing."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("HTTP/"):
        return None
    present = {line.split(":", 1)[0].strip().lower() for line in lines if ":" in line}
    native = NativeOutput()
    for header in (
        "X-Frame-Options",
        "X-Content-Type-Options",
        "Strict-Transport-Security",
        "Content-Security-Policy",
    ):
        if header.lower() not in present:
            issue = {
                "rule": f"missing-{header.lower()}",
                "message": f"The answer has no {shorten(header, 60)} header.",
            }
            native.found.add_all([issue], severity=Severity.low)
    return native


_SHAPES: Final[Mapping[str, Callable[[Any], NativeOutput | None]]] = {
    "eslint": _read_by_file,
    "stylelint": _read_by_file,
    "html-validator": _read_by_file,
    "jshint": _read_by_file,
    "ruff": _read_ruff,
    "radon": _read_radon,
    "detect-secrets": _read_secrets,
    "npm-audit": _read_npm,
    "npm-advisories": _read_npm,
    "pip-audit": _read_pip_audit,
    "zap": _read_zap,
    "locust": _read_locust_json,
    "aiohttp": _read_locust_json,
    "artillery": _read_locust_json,
    "ab": _read_locust_json,
}
_TEXTS: Final[Mapping[str, Callable[[str], NativeOutput | None]]] = {
    "mypy": _read_mypy_text,
    "vulture": _read_vulture_text,
    "nmap": _read_nmap_xml,
    "ab": _read_ab_text,
    "locust": _read_locust_csv,
    "curl": _read_curl_text,
}
