"""What every tool that talks to a running app needs: its targets in the raw output, and stable addresses.

``parse`` knows only raw output and plan, and the plan is made before the app runs. So a run writes
the targets it met, and what it asked them, into a stream of ours beside the tool's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from referee.core.errors import Unavailable
from referee.core.findings import MAX_HOLES, Coverage, CoverageHole, JsonValue, ToolFinding
from referee.core.sources import SourceSnapshot
from referee.core.targets import Target
from referee.tools.contract import ParameterValue, RawOutput, RunKit, RunningApp, ToolPlan
from referee.tools.reading import as_array, as_object, get_integer, get_text, read_json, shorten
from referee.tools.route_queries import find_query_names
from referee.tools.routes import Route, discover_routes, match_key
from referee.tools.running import merge_outputs

__all__ = [
    "MET_STREAM",
    "MetTarget",
    "PathNames",
    "build_url_coverage",
    "compute_address_key",
    "explain_unreachable",
    "get_app",
    "get_number",
    "join_outputs",
    "list_seeds",
    "name_streams",
    "plan_with_routes",
    "read_met_targets",
    "select_output",
    "strip_host",
]

MET_STREAM: Final = "targets.json"
"""Our own stream: which targets the run met, and what it asked of them."""

MAX_SEEDS: Final = 60
"""Start addresses taken from the source; more than a generated app has pages."""
MAX_NAMED_ROUTES: Final = 500
"""Routes remembered for naming paths."""

_PARAMETER: Final = re.compile(r":[A-Za-z_]\w*\*?|\{[^{}/]*\}|<[^<>/]*>")
_IDENTIFIER: Final = re.compile(
    r"\d+|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{24,64}", re.IGNORECASE
)
_BUILD_DIGEST: Final = re.compile(r"(?<=[-.])(?=[\w-]*[0-9A-Z_])[\w-]{8}(?=\.(?:m?js|css)(?:\.map)?$)")
"""The part of a bundler's file name that changes with every build: ``index-BX3kd9Qa.js``."""


@dataclass(frozen=True, slots=True)
class MetTarget:
    """A target as the run met it."""

    target: Target
    stream: str
    """What the names of its streams begin with."""


def get_app(kit: RunKit) -> RunningApp:
    """Return the running app.

    Raises:
        Unavailable: There is none; a tool that needs one is not run without.
    """
    if kit.app is None or not kit.app.targets:
        raise Unavailable(
            "tools.app_absent",
            "There is no running app to talk to.",
            "Start the app first, or analyse it with tools that read its source.",
        )
    return kit.app


def get_number(parameters: Mapping[str, ParameterValue], name: str) -> float:
    """Return the value of a numeric parameter."""
    value = parameters[name]
    return float(value) if isinstance(value, int | float) else 0.0


def name_streams(app: RunningApp) -> tuple[MetTarget, ...]:
    """Return each target with the beginning of its streams' names, which are unique and fit for a file."""
    met: list[MetTarget] = []
    for index, target in enumerate(app.targets, start=1):
        name = re.sub(r"[^A-Za-z0-9_-]", "_", target.name)[:40] or "target"
        taken = {other.stream for other in met}
        met.append(MetTarget(target, f"{name}{index}" if name in taken else name))
    return tuple(met)


def join_outputs(
    met: Sequence[MetTarget], outputs: Mapping[str, RawOutput], asked: Mapping[str, JsonValue] | None = None
) -> RawOutput:
    """Return one raw output of several commands, each stream under its command's own prefix.

    Args:
        met: The targets of the run.
        outputs: Raw output by prefix (``backend``, ``backend.home``). At least one.
        asked: What else ``parse`` must know of the run, kept beside the targets.
    """
    document: dict[str, JsonValue] = {
        "targets": [
            {
                "name": one.target.name,
                "url": one.target.url,
                "port": one.target.port,
                "framework": one.target.framework,
                "stream": one.stream,
            }
            for one in met
        ],
        **(asked or {}),
    }
    content = json.dumps(document, sort_keys=True).encode()
    (first_prefix, first), *others = outputs.items()
    base = replace(
        first,
        streams={
            MET_STREAM: content,
            **{f"{first_prefix}.{name}": data for name, data in first.streams.items()},
        },
        total_bytes={
            MET_STREAM: len(content),
            **{f"{first_prefix}.{name}": total for name, total in first.total_bytes.items()},
        },
    )
    return merge_outputs(base, dict(others))


def select_output(raw: RawOutput, prefix: str) -> RawOutput:
    """Return what one command of a joined output wrote, its streams under their own names."""
    start = f"{prefix}."
    return replace(
        raw,
        streams={
            name.removeprefix(start): data for name, data in raw.streams.items() if name.startswith(start)
        },
        total_bytes={
            name.removeprefix(start): total
            for name, total in raw.total_bytes.items()
            if name.startswith(start)
        },
    )


def read_met_targets(raw: RawOutput) -> tuple[tuple[MetTarget, ...], dict[str, JsonValue]]:
    """Return the targets of a run, and what else its document holds.

    Raises:
        OutputUnreadable: The stream is absent, cut, or not what ``join_outputs`` writes.
    """
    document = as_object(read_json(raw, MET_STREAM), MET_STREAM)
    met = []
    for entry in as_array(document.get("targets"), "targets"):
        values = as_object(entry, "a target")
        met.append(
            MetTarget(
                Target(
                    name=get_text(values, "name"),
                    url=get_text(values, "url"),
                    port=get_integer(values, "port") or 0,
                    framework=get_text(values, "framework", default=""),
                ),
                get_text(values, "stream"),
            )
        )
    return tuple(met), document


class PathNames:
    """Names for paths that are the same next time: ids and build digests out, the source's own names in."""

    def __init__(self, plan: ToolPlan) -> None:
        self._routes: list[tuple[re.Pattern[str], str]] = []
        for path in _texts(plan, "paths"):
            pieces = [re.escape(piece) for piece in _PARAMETER.split(path)]
            if len(pieces) > 1:
                self._routes.append((re.compile("[^/]+".join(pieces)), path))

    def name(self, path: str) -> str:
        """Return the name of a path or URL as it was sent; query and fragment are left out."""
        try:
            bare = urlsplit(path).path or "/"
        except ValueError:
            bare = "/"
        for segments, template in self._routes:
            if segments.fullmatch(bare):
                return template
        named = "/".join(":id" if _IDENTIFIER.fullmatch(piece) else piece for piece in bare.split("/"))
        return shorten(_BUILD_DIGEST.sub("*", named), limit=300)


def plan_with_routes(snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
    """Return a plan that remembers the routes that the source declares: where to begin, and how paths are called."""
    routes = discover_routes(snapshot)
    paths = sorted({route.path for route in routes if match_key(route.path) != route.path})
    reads = [route for route in routes if route.method == "GET"]
    queries = find_query_names(snapshot, reads)
    writes = [route for route in routes if route.method == "POST" and not _PARAMETER.search(route.path)]
    return ToolPlan(
        parameters=parameters,
        details={
            "paths": list(paths[:MAX_NAMED_ROUTES]),
            "seeds": [
                {"target": route.target, "path": _fill_path(route, queries.get(route, ()))}
                for route in reads[:MAX_SEEDS]
            ],
            "writes": [{"target": route.target, "path": route.path} for route in writes[:MAX_SEEDS]],
        },
    )


def _fill_path(route: Route, query_names: Sequence[str]) -> str:
    """Return a path that can be sent: each parameter is 1, and so is each field of the query."""
    query = "&".join(f"{name}=1" for name in query_names)
    return _PARAMETER.sub("1", route.path) + (f"?{query}" if query else "")


def list_seeds(plan: ToolPlan, target: Target, key: str = "seeds") -> tuple[str, ...]:
    """Return the paths of a plan that belong to a target, once each and fit for a URL."""
    entries = plan.details.get(key)
    paths = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("target") == target.name:
            path = str(entry.get("path", ""))
            if re.fullmatch(r"/[A-Za-z0-9_.~/@+,;=-]*(?:\?[A-Za-z0-9_=&]*)?", path):
                paths.append(path)
    return tuple(dict.fromkeys(paths))


def strip_host(url: str) -> str:
    """Return path and query of a URL or path; ``/`` when it is neither."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/"
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def build_url_coverage(answered: Iterable[str], unanswered: Mapping[str, str]) -> Coverage:
    """Return the coverage of a tool that asks addresses.

    Args:
        answered: Name of each address that gave an answer.
        unanswered: Reason by name for those that gave none.
    """
    holes = [
        CoverageHole(shorten(name, limit=300), "unreadable", shorten(reason, limit=300))
        for name, reason in sorted(unanswered.items())
    ]
    return Coverage(
        unit="url",
        examined_count=len(set(answered)),
        unreadable_count=len(holes),
        holes=tuple(holes[:MAX_HOLES]),
    )


def explain_unreachable(met: Sequence[MetTarget], reason: str) -> str:
    """Return the sentence of a report none of whose targets answered."""
    names = ", ".join(one.target.name for one in met)
    word = "target" if len(met) == 1 else "targets"
    return shorten(f"The {word} {names} gave no answer: {reason.rstrip('.')}.", limit=500)


def compute_address_key(finding: ToolFinding) -> tuple[str, ...]:
    """Return what findings about addresses are sorted by: address, rule, identity, message."""
    place = finding.address
    return (
        place.target if place else "",
        place.path if place else "",
        place.method if place else "",
        finding.rule_id,
        place.parameter if place else "",
        *finding.identity,
        finding.message,
    )


def _texts(plan: ToolPlan, key: str) -> list[str]:
    values = plan.details.get(key)
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
