"""What a server loads before it answers."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_server_starts_without_what_only_comparisons_and_reports_need() -> None:
    program = "import sys, referee.web_app; print([one for one in ('numpy', 'scipy', 'typst') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
