"""What of the tools is there on this machine: looked at, never installed.

A page or an answer must not start an installation, so tools are asked through a
kit that finds environments and programs and makes none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from referee.core.errors import RefereeError, Unavailable
from referee.tools.contract import InstallKit
from referee.tools.install import ToolInstaller
from referee.tools.registry import get_tool

__all__ = ["Inspection", "InstalledTools", "ToolInspector"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Whether a tool can run here now."""

    version: str | None
    """None when it is not installed."""
    reason: str = ""
    """Why it is not, and what to do; empty when it is."""


class InstalledTools(ToolInstaller):
    """An ``InstallKit`` that finds what is installed and installs nothing."""

    def _installing(  # type: ignore[override]  # of the generator's type, callers use only that it can be entered
        self, tool: str, root: Path
    ) -> AbstractAsyncContextManager[Path | None]:
        """Say that it is not installed, in place of making it."""
        del root
        raise Unavailable(
            "tools.not_installed",
            f"{tool} is not installed yet.",
            f"It is when it is first needed, or with `referee tool install {tool}`.",
            tool=tool,
        )


class ToolInspector:
    """Asks tools for their version, and remembers the answers for a while.

    Args:
        kit: What finds the tools; it must not install.
        ttl_s: How long an answer is good for.
        monotonic_s: The clock.
    """

    def __init__(
        self, kit: InstallKit, *, ttl_s: float = 30.0, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._kit = kit
        self._ttl_s = ttl_s
        self._monotonic_s = monotonic_s
        self._answers: dict[str, tuple[float, Inspection]] = {}

    async def inspect(self, name: str) -> Inspection:
        """Return whether a tool can run here now.

        Raises:
            NotFound: There is no tool of that name.
        """
        tool = get_tool(name)
        known = self._answers.get(name)
        if known is not None and self._monotonic_s() - known[0] < self._ttl_s:
            return known[1]
        try:
            version = await tool.probe_version(await tool.ensure_installed(self._kit))
            found = Inspection(version=version or "unknown")
        except RefereeError as error:
            found = Inspection(version=None, reason=f"{error.message} {error.hint}".strip())
        except OSError as error:
            found = Inspection(version=None, reason=f"It cannot be started: {error.strerror or error}.")
        self._answers[name] = (self._monotonic_s(), found)
        return found

    async def inspect_all(self, names: Sequence[str]) -> dict[str, Inspection]:
        """Return the same for several tools, asked at once."""
        found = await asyncio.gather(*(self.inspect(name) for name in names))
        return dict(zip(names, found, strict=True))
