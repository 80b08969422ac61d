"""Every tool by name, in the order in which people see them.

A module is imported when its tool is first asked for, so a command that needs
no tool pays for none. Each module has ``create_tool()``.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Final, cast

from referee.core.errors import NotFound
from referee.tools.contract import Tool, ToolDescription

__all__ = ["TOOL_NAMES", "all_tools", "describe_tools", "get_tool"]

_MODULES: Final[dict[str, str]] = {
    "bandit": "bandit",
    "pylint": "pylint",
    "mypy": "mypy",
    "vulture": "vulture",
    "safety": "safety",
    "semgrep": "semgrep",
    "eslint": "eslint",
    "jshint": "jshint",
    "curl": "curl",
    "nmap": "nmap",
    "zap": "zap",
    "wapiti": "wapiti",
    "ruff": "ruff",
    "radon": "radon",
    "detect-secrets": "detect_secrets",
    "pip-audit": "pip_audit",
    "npm-advisories": "npm_advisories",
    "jscpd": "jscpd",
    "ab": "ab",
    "aiohttp": "aiohttp_load",
    "locust": "locust",
    "requirements-scanner": "requirements_scanner",
}

TOOL_NAMES: Final[tuple[str, ...]] = tuple(_MODULES)
"""Names of all tools, without importing any."""


@cache
def get_tool(name: str) -> Tool:
    """Return the tool of this name.

    Raises:
        NotFound: There is none; the hint names the nearest.
    """
    if name not in _MODULES:
        close = get_close_matches(name, _MODULES, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(_MODULES)}."
        raise NotFound("tools.not_found", f"There is no tool {name!r}.", hint)
    module = import_module(f"referee.tools.{_MODULES[name]}")
    return cast(Tool, module.create_tool())  # a module found by name has no static type


def all_tools() -> dict[str, Tool]:
    """Return every tool by name, in the order in which people see them."""
    return {name: get_tool(name) for name in _MODULES}


def describe_tools() -> list[ToolDescription]:
    """Return what every tool is, in the order in which people see them."""
    return [tool.describe() for tool in all_tools().values()]
