"""Fixtures of the sample apps' tests: the apps, and running tools on them as the tools' own tests do."""

from __future__ import annotations

from tests.tools.conftest import installer, run_tool, snapshot_of

__all__ = ["installer", "run_tool", "snapshot_of"]
