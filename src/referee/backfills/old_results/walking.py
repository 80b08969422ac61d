"""Finds the tools in a result, however deep and under whichever service they stand.

The same tool stood in many places over time: ``analysis.results.python.bandit``, ``tool_results.bandit``,
``results.tool_runs.ab``, ``tools.bandit``, ``results.zap_security_scan[]``. The walk goes through containers only,
never into a tool, and takes along under which service it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from referee.backfills.old_results.entries import ToolEntry
from referee.backfills.old_results.words import (
    KNOWN_TOOLS,
    is_metadata_key,
    read_service,
    read_tool_name,
    service_of_tool,
)
from referee.core.vocabulary import Service

__all__ = ["Walked", "collect_entries", "has_tools"]

_TOOL_CONTAINERS: Final = frozenset(("tool_results", "tools", "tool_runs"))
_SERVICE_CONTAINERS: Final = frozenset(("services", "raw_outputs"))
_LISTED_TOOLS: Final = {"zap_security_scan": "zap", "port_scan": "port-scan", "vulnerability_scan": "curl"}
_FINDING_LISTS: Final = frozenset(("findings", "issues"))
_STATED: Final = frozenset(
    (
        "status",
        "executed",
        "issues",
        "findings",
        "total_issues",
        "findings_count",
        "raw",
        "tool",
        "results",
        "error",
    )
)
_MAX_DEPTH: Final = 12
_MAX_ENTRIES: Final = 2_000


@dataclass(slots=True)
class Walked:
    """What a walk found."""

    entries: list[ToolEntry] = field(default_factory=list)
    services: list[tuple[Service, str, str]] = field(default_factory=list)
    """Service, its status, its error."""
    references: list[tuple[Service | None, str]] = field(default_factory=list)


def collect_entries(document: Mapping[str, Any], service: Service | None) -> Walked:
    """Return every tool of a document, in its order."""
    walked = Walked()
    _walk(walked, document, service, "", 0)
    return walked


def has_tools(node: Mapping[str, Any]) -> bool:
    """Return whether there is a tool in a part of a document."""
    return bool(collect_entries(node, None).entries)


def _walk(walked: Walked, node: Mapping[str, Any], service: Service | None, where: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        return
    for key, value in node.items():
        if len(walked.entries) >= _MAX_ENTRIES:
            return
        name, place = str(key), f"{where}.{key}".lstrip(".")
        if name in _TOOL_CONTAINERS and isinstance(value, Mapping):
            _take_container(walked, value, service, place)
        elif name in _SERVICE_CONTAINERS and isinstance(value, Mapping):
            _walk_services(walked, value, service, place, depth)
        elif name in _LISTED_TOOLS and isinstance(value, (list, Mapping)):
            _take_listed(walked, _LISTED_TOOLS[name], value, service, place)
        elif name in _FINDING_LISTS and isinstance(value, list):
            _take_flat(walked, value, service, place)
        elif name == "references" or is_metadata_key(name):
            continue
        elif read_tool_name(name) in KNOWN_TOOLS and isinstance(value, (Mapping, list)):
            _take(walked, name, value, service, place)
        elif isinstance(value, Mapping):
            _walk(walked, value, service, place, depth + 1)


def _walk_services(
    walked: Walked, services: Mapping[str, Any], outer: Service | None, where: str, depth: int
) -> None:
    for name, part in services.items():
        place = f"{where}.{name}"
        service = read_service(name)
        if name == "services" and isinstance(part, Mapping):
            _walk_services(walked, part, outer, place, depth)
        elif service is None:
            tool = read_tool_name(name)
            if tool in KNOWN_TOOLS and isinstance(part, (Mapping, list)):
                _take(walked, str(name), part, outer, place)
            elif isinstance(part, Mapping) and not is_metadata_key(str(name)):
                _walk(walked, part, outer, place, depth + 1)
        elif isinstance(part, Mapping):
            if isinstance(part.get("file"), str):
                walked.references.append((service, part["file"]))
            error = part.get("error")
            walked.services.append((service, str(part.get("status", "")), str(error or "")[:500]))
            _walk(walked, part, service, place, depth + 1)


def _take_container(walked: Walked, tools: Mapping[str, Any], service: Service | None, where: str) -> None:
    for name, value in tools.items():
        if is_metadata_key(str(name)) or not isinstance(value, (Mapping, list)):
            continue
        if isinstance(value, Mapping) and not _is_tool(str(name), value):
            _walk(walked, value, service, f"{where}.{name}", _MAX_DEPTH - 2)
            continue
        _take(walked, str(name), value, service, f"{where}.{name}")


def _is_tool(name: str, value: Mapping[str, Any]) -> bool:
    """Whether a part in a container of tools is one: known, or stating what a tool states."""
    return read_tool_name(name) in KNOWN_TOOLS or bool(_STATED & value.keys())


def _take(walked: Walked, name: str, value: Any, service: Service | None, where: str) -> None:
    tool = read_tool_name(name.split("://", 1)[0] if "://" in name else name)
    if isinstance(value, Mapping) and isinstance(value.get("tool"), str):
        tool = read_tool_name(value["tool"]) or tool
    if tool is None:
        return
    own = read_service(value.get("service", "")) if isinstance(value, Mapping) else None
    walked.entries.append(ToolEntry(tool, service or own or service_of_tool(tool), value, where))


def _take_listed(walked: Walked, tool: str, value: Any, service: Service | None, where: str) -> None:
    """Take a list of results, one for each address, for one tool."""
    parts = [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else [value]
    merged: dict[str, Any] = {}
    for part in parts:
        for key, one in part.items():
            if isinstance(one, list):
                merged.setdefault(key, [])
                if isinstance(merged[key], list):
                    merged[key] = [*merged[key], *one]
            else:
                merged.setdefault(key, one)
    if parts:
        walked.entries.append(ToolEntry(tool, service or service_of_tool(tool), merged, where))


def _take_flat(walked: Walked, issues: list[Any], service: Service | None, where: str) -> None:
    """Take a list of findings of several tools apart."""
    by_tool: dict[str, list[Any]] = {}
    for issue in issues:
        named = issue.get("tool", issue.get("tool_name")) if isinstance(issue, Mapping) else None
        tool = None if named is None else read_tool_name(named)
        if tool is not None:
            by_tool.setdefault(tool, []).append(issue)
    for tool, found in by_tool.items():
        own = next((read_service(one.get("service", "")) for one in found if isinstance(one, Mapping)), None)
        walked.entries.append(
            ToolEntry(tool, service or own or service_of_tool(tool), {"issues": found}, where)
        )
