"""What lost its supervisor and its worker is ended; what is watched goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from referee.foundation.sandbox import end_orphans

START = """\
import subprocess, sys
nothing = subprocess.DEVNULL
child = subprocess.Popen(["sleep", "60"], stdin=nothing, stdout=nothing, env={"HOME": sys.argv[1]})
print(child.pid, flush=True)
"""
STAY = f"{START}input()\n"


def test_only_what_nobody_watches_is_ended(tmp_path: Path) -> None:
    home = str(tmp_path / "scratch" / "run-1" / "work")
    python = [sys.executable, "-S", "-c"]
    left = subprocess.run([*python, START, home], stdout=subprocess.PIPE, text=True, check=True)
    orphan = psutil.Process(int(left.stdout))
    with subprocess.Popen(
        [*python, STAY, home, "sandbox/supervisor/__main__.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        watched = psutil.Process(int(supervisor.stdout.readline()))

        ended_count = end_orphans(tmp_path / "scratch")

        assert ended_count == 1
        assert psutil.wait_procs([orphan], timeout=10)[1] == []
        assert watched.is_running()
        watched.kill()
        supervisor.communicate("\n", timeout=10)
