"""Peers of Referee in environments of their own, made at their first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.measuring import ROOT, tools_dir

__all__ = ["install_peer"]


def install_peer(name: str) -> Path:
    """Return the Python of an environment that has what ``requirements/bench-<name>.txt`` pins."""
    folder = tools_dir().parent / "bench-envs" / name
    needed = ROOT / "requirements" / f"bench-{name}.txt"
    uv = str(Path(sys.executable).with_name("uv"))
    if not (folder / ".installed").exists():
        print(f"installing {name} …", file=sys.stderr, flush=True)
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True
        )
        subprocess.run(
            [
                *(uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")),
                *("--require-hashes", "-r", str(needed)),
            ],
            check=True,
        )
        (folder / ".installed").touch()
    return folder / "bin" / "python"
