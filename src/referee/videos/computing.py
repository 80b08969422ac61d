"""What is computed from keypoints, in a process of its own: numpy on the event loop would stop every other request.

``compute`` starts it (``apart.py``) with a request in a file and waits. It ends when its standard input does, so it
never outlives a server that was killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from referee.core.errors import Unavailable

__all__ = ["DRAW", "EXPORT", "MEASURE", "compute"]

MEASURE: Final = "measure"
DRAW: Final = "draw"
EXPORT: Final = "export"
_WALL_S: Final = 600.0
_SAID_CHARS: Final = 400
_KEPT_VARIABLES: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "OPENBLAS_CORETYPE",
)


def _make_environment() -> dict[str, str]:
    """Return what the child needs: no setting, and so no secret."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


async def compute(what: str, folder: Path, request: dict[str, Any]) -> None:
    """Have ``MEASURE``, ``DRAW`` or ``EXPORT`` done in a folder, which holds its inputs and gets its outputs.

    Raises:
        Unavailable: It did not come to an end.
    """
    path = folder / f"{what}.json"
    await asyncio.to_thread(path.write_text, json.dumps({**request, "do": what}), "utf-8")
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "referee.videos.apart",
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=_make_environment(),
        start_new_session=True,
    )
    assert child.stderr is not None  # noqa: S101 - asked for above
    try:
        async with asyncio.timeout(_WALL_S):
            said = await child.stderr.read()
            code = await child.wait()
    except TimeoutError:
        code, said = -9, b"It took too long."
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if code != 0:
        why = " ".join(said.decode(errors="replace").split())[-_SAID_CHARS:] or f"It ended with {code}."
        raise Unavailable(
            "video.computation_failed",
            f"The computation from keypoints did not come to its end: {why}",
            "Try again; what was found before is kept.",
        )
