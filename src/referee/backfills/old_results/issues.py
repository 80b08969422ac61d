"""One finding of an old result, whatever its tool called the parts of it, as a finding here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from referee.backfills.old_results.words import read_confidence, read_severity
from referee.core.addresses import Address
from referee.core.findings import JsonValue, Location, Rule, ToolFinding
from referee.core.vocabulary import Severity

__all__ = ["FoundIssues", "clean_path", "read_cwe_ids", "read_issue", "shorten"]

_MESSAGE_CHARACTERS: Final = 2_000
_RULE_CHARACTERS: Final = 200
_PATH_CHARACTERS: Final = 500
_PROPERTY_CHARACTERS: Final = 1_000
_PATHS: Final = ("file_path", "filename", "file", "path", "uri", "artifact")
_LINES: Final = ("line_number", "line", "lineno", "start_line", "startLine", "beginLine", "lastLine")
_COLUMNS: Final = ("column", "column_number", "col", "start_column", "startColumn", "col_offset", "character")
_MESSAGES: Final = (
    "message", "issue_text", "text", "description", "msg", "alert", "title", "name", "reason", "advisory", "detail",
    "details", "error", "requirement", "output",
)  # fmt: skip
_RULES: Final = (
    "rule_id", "ruleId", "test_id", "check_id", "rule", "symbol", "message-id", "messageId", "code", "sarif_rule_id",
    "vulnerability_id", "cve", "pluginId", "plugin_id", "alertRef", "id", "issue_type", "type", "category", "test_name",
)  # fmt: skip
_SEVERITIES: Final = (
    "severity",
    "issue_severity",
    "level",
    "risk",
    "riskdesc",
    "sarif_level",
    "impact",
    "cvss_score",
)
_CONFIDENCES: Final = ("confidence", "issue_confidence")
_SNIPPETS: Final = ("code_snippet", "snippet", "code_line", "source", "context", "evidence_line")
_URLS: Final = ("url", "endpoint", "target", "uri")
_KEPT: Final = (
    "solution", "fix_suggestion", "fix", "evidence", "package", "package_name", "version", "installed_version",
    "fixed_version", "fix_versions", "range", "cvss", "cvss_score", "url", "method", "param", "attack", "category",
    "expected", "actual", "expected_status", "actual_status", "port", "state", "service", "rank", "complexity",
    "issue_type", "hashed_secret", "impact_score", "recommendation", "file_path_original",
)  # fmt: skip
_APP_FOLDER: Final = re.compile(r"^.*?/app[0-9]{1,6}/")
_CWE: Final = re.compile(r"(?:CWE[-_ ]?)?([0-9]{1,5})", re.IGNORECASE)


@dataclass(slots=True)
class FoundIssues:
    """Findings of one tool, with the rules and the code lines that they name."""

    findings: list[ToolFinding] = field(default_factory=list)
    rules: dict[str, Rule] = field(default_factory=dict)
    code_lines: dict[tuple[str, int], str] = field(default_factory=dict)
    unreadable_count: int = 0
    """Entries that say neither what was found nor by which rule."""

    def add(self, finding: ToolFinding, code_line: str = "") -> None:
        """Take in one finding, and the text of its line where it is quoted."""
        self.findings.append(finding)
        self.rules.setdefault(
            finding.rule_id,
            Rule(
                rule_id=finding.rule_id,
                name=finding.rule_id,
                summary=shorten(finding.message, 200),
                default_severity=finding.severity,
                help_url=finding.help_url,
                cwe_ids=finding.cwe_ids,
            ),
        )
        place = finding.location
        if code_line and place is not None and place.start_line is not None:
            self.code_lines.setdefault((place.path, place.start_line), code_line)

    def add_all(
        self, issues: Iterable[object], *, severity: Severity = Severity.medium, path: str = ""
    ) -> None:
        """Take in raw entries; what cannot be read is counted.

        Args:
            issues: As the old result has them.
            severity: Of those that do not say.
            path: Of those that do not say.
        """
        for issue in issues:
            if isinstance(issue, str):
                issue = {"message": issue}  # noqa: PLW2901 - a bare sentence is a message
            found = read_issue(issue, severity=severity, path=path) if isinstance(issue, Mapping) else None
            if found is None:
                self.unreadable_count += 1
            else:
                self.add(*found)


def read_issue(
    issue: Mapping[str, Any], *, severity: Severity = Severity.medium, path: str = ""
) -> tuple[ToolFinding, str] | None:
    """Return an entry as a finding with its code line; None when it says neither what nor by which rule."""
    extra = issue.get("extra")  # semgrep keeps message and severity one level down
    parts: list[Mapping[str, Any]] = [issue, *([extra] if isinstance(extra, Mapping) else [])]
    message, rule = _first_text(parts, _MESSAGES), _first_text(parts, _RULES)
    if not message and not rule:
        return None
    word = next((part[name] for part in parts for name in _SEVERITIES if part.get(name) is not None), None)
    url = next((text for text in (_first_text(parts, (name,)) for name in _URLS) if "://" in text), "")
    place = _read_place(issue, path)
    snippet = _first_text([*parts, *_nested(issue, "region", "snippet")], _SNIPPETS)
    finding = ToolFinding(
        rule_id=shorten(rule or "unnamed", _RULE_CHARACTERS),
        message=shorten(message or rule, _MESSAGE_CHARACTERS),
        severity=read_severity(word, severity),
        location=place,
        tool_severity=shorten("" if word is None else str(word), 60),
        confidence=read_confidence(
            next((part[name] for part in parts for name in _CONFIDENCES if part.get(name) is not None), None)
        ),
        cwe_ids=read_cwe_ids(_first(parts, ("cwe", "cwe_id", "cweid", "issue_cwe", "cwes"))),
        identity=tuple(
            shorten(text, 200)
            for name in ("package", "package_name", "param", "url", "port")
            if (text := _first_text(parts, (name,)))
        ),
        address=_read_address(
            url, _first_text(parts, ("method",)), _first_text(parts, ("param", "parameter"))
        ),
        help_url=_read_help(
            _first_text(parts, ("more_info", "help_url", "helpUri", "reference", "info_url"))
        ),
        properties=_keep(parts),
    )
    lines = snippet.strip("\n").splitlines()
    return finding, lines[0] if len(lines) == 1 else ""


def clean_path(text: object) -> str:
    """Return a path of an old result relative to its app, safe to show; empty when it names none."""
    path = str(text).replace("\\", "/")
    path = path.removeprefix("file://").replace("%SRCROOT%", "")
    path = _APP_FOLDER.sub("", path)
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    shown = "".join(sign if sign.isprintable() else f"%{ord(sign):02X}" for sign in "/".join(parts))
    return shown[:_PATH_CHARACTERS]


def read_cwe_ids(value: object) -> tuple[int, ...]:
    """Return the CWE numbers in a number, a text, a list of such or bandit's ``{"id": 78}``."""
    values: Sequence[object] = value if isinstance(value, list) else [value]
    found = []
    for one in values[:20]:
        one = one.get("id") if isinstance(one, Mapping) else one  # noqa: PLW2901 - bandit's form
        if one is None or isinstance(one, bool):
            continue
        match = _CWE.match(str(one).strip())
        if match is not None and 0 < int(match[1]) < 100_000:
            found.append(int(match[1]))
    return tuple(dict.fromkeys(found))


def shorten(text: object, characters: int) -> str:
    """Return a text cut to a length."""
    whole = str(text).strip()
    return whole if len(whole) <= characters else f"{whole[: characters - 1]}…"


def _read_place(issue: Mapping[str, Any], default: str) -> Location | None:
    nested = _nested(issue, "location", "start", "region", "locations")
    found = _first([issue], _PATHS)
    if isinstance(found, Mapping):
        found = _first([found], ("path", "uri", "name"))
    if not isinstance(found, str) or "://" in found.removeprefix("file://"):
        found = _first(nested, _PATHS)
    path = clean_path(
        found if isinstance(found, str) and "://" not in found.removeprefix("file://") else default
    )
    if not path:
        return None
    parts = [issue, *nested]
    end = _nested(issue, "end", "end_location")
    return Location(
        path,
        _first_number(parts, (*_LINES, "row")),
        _first_number(parts, _COLUMNS),
        _first_number([issue, *end], ("end_line", "endLine", *(("line", "row") if end else ())))
        if end or "end_line" in issue or "endLine" in issue
        else None,
        None,
    )


def _nested(issue: Mapping[str, Any], *names: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for name in names:
        value = issue.get(name)
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, Mapping):
            found.append(value)
    return found


def _read_address(url: str, method: str, parameter: str) -> Address | None:
    if not url:
        return None
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    return Address(
        target="app", method=method.upper()[:10], path=clean_url_path(path), parameter=parameter[:100]
    )


def clean_url_path(path: str) -> str:
    """Return the path of an address, printable and bounded."""
    return "".join(sign for sign in path if sign.isprintable())[:300] or "/"


def _read_help(text: str) -> str | None:
    return text[:500] if text.startswith(("https://", "http://")) and " " not in text else None


def _keep(parts: Sequence[Mapping[str, Any]]) -> dict[str, JsonValue]:
    kept: dict[str, JsonValue] = {}
    for part in parts:
        for name in _KEPT:
            value = part.get(name)
            if isinstance(value, (bool, int, float)):
                kept.setdefault(name, value)
            elif isinstance(value, str) and value:
                kept.setdefault(name, shorten(value, _PROPERTY_CHARACTERS))
    return kept


def _first(parts: Sequence[Mapping[str, Any]], names: Sequence[str]) -> object:
    return next((part[name] for part in parts for name in names if part.get(name) not in (None, "")), None)


def _first_text(parts: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    for name in names:
        for part in parts:
            value = part.get(name)
            if isinstance(value, Mapping) and isinstance(value.get("text"), str):
                value = value["text"]
            if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
                return str(value).strip()
    return ""


def _first_number(parts: Sequence[Mapping[str, Any]], names: Sequence[str]) -> int | None:
    for part in parts:
        for name in names:
            value = part.get(name)
            if isinstance(value, str) and value.isascii() and value.isdigit():
                value = int(value[:9])
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31:
                return value
    return None
