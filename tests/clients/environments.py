"""Environments of real clients, each installed once from its lock file with hashes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["drive", "ensure_client"]

LOCKS = Path(__file__).parent


def ensure_client(cache: Path, name: str) -> Path:
    """Return the interpreter of a client's environment, which is made when there is none for its lock.

    Args:
        cache: Folder that outlives the test.
        name: Of the lock file, such as ``honeyhive-1.7.0``.
    """
    lock = LOCKS / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = cache / f"{name}-{digest}"
    python, done = folder / "bin" / "python", folder / ".installed"
    if not done.exists():
        uv = str(Path(sys.executable).parent / "uv")
        run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        run(uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock))
        done.touch()
    return python


def run(*arguments: str) -> None:
    """Run a program, and say what it said when it fails."""
    result = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr


def drive(python: Path, script: str, variables: dict[str, str], *arguments: str) -> Any:
    """Run a script by a client's interpreter and return the JSON that it prints."""
    path = Path(__file__).parent / script
    result = subprocess.run(
        [str(python), str(path), *arguments],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])
