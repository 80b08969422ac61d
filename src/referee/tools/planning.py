"""Deciding which files concern a tool, the same way for every tool that examines files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from referee.core.findings import JsonValue
from referee.core.sources import Language, SourceSnapshot
from referee.tools.contract import Parameter, ParameterValue, ToolPlan

__all__ = ["EXCLUDE_PARAMETER", "get_words", "plan_files"]

EXCLUDE_PARAMETER = Parameter(
    name="exclude",
    type="array",
    default=(),
    help="Paths or folders to leave out, such as tests or */migrations/*; matched from the subject's root.",
)


def plan_files(
    snapshot: SourceSnapshot,
    parameters: Mapping[str, ParameterValue],
    *languages: Language,
    noun: str,
    details: Mapping[str, JsonValue] | None = None,
) -> ToolPlan:
    """Return a plan of all files of these languages that the parameter ``exclude`` leaves.

    Args:
        snapshot: The subject.
        parameters: The tool's parameters.
        languages: Languages the tool reads; none: every file.
        noun: What the files are called, such as ``Python files``.
        details: What the tool wants to remember.
    """
    candidates = snapshot.files_in(*languages) if languages else snapshot.files
    patterns = get_words(parameters, "exclude")
    files = tuple(file.path for file in candidates if not _is_excluded(file.path, patterns))
    remembered: dict[str, JsonValue] = {"root": str(snapshot.root), **(details or {})}
    if files:
        return ToolPlan(parameters=parameters, files=files, details=remembered)
    reason = f"There are no {noun} in the subject."
    if candidates:
        reason = f"The parameter exclude leaves none of the {len(candidates)} {noun}."
    return ToolPlan(parameters=parameters, not_applicable=reason, details=remembered)


def get_words(parameters: Mapping[str, ParameterValue], name: str) -> tuple[str, ...]:
    """Return the words of an array parameter."""
    value = parameters.get(name, ())
    return value if isinstance(value, tuple) else ()


def _is_excluded(path: str, patterns: Iterable[str]) -> bool:
    for pattern in patterns:
        bare = pattern.removeprefix("./").rstrip("/")
        if path == bare or path.startswith(f"{bare}/") or f"/{bare}/" in path or fnmatchcase(path, bare):
            return True
    return False
