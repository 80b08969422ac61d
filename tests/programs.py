"""Programs that only the system's package manager brings.

An ordinary user may lack them, and then tests are skipped with the reason. The
checks that decide what lands run as root, where ``make test`` installs them: there
a skip of this kind is a failure.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import NoReturn, TypeAlias

import pytest

__all__ = ["Referee", "skip_for_system"]

Referee: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]
"""Runs the real command line with these arguments and, by name, variables."""


def skip_for_system(reason: str) -> NoReturn:
    """Skip the test for want of something that only the system can bring; under ``CI=true`` fail it."""
    if os.environ.get("CI") == "true" and os.geteuid() == 0:
        pytest.fail(f"{reason} (not skipped here: `make test` must have brought it)", pytrace=False)
    pytest.skip(reason)
