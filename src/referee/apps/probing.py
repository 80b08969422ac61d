"""Ask an app over HTTP from the very place where a tool will: inside its network, in the sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from referee.foundation.sandbox import Command, Limits, NetworkHandle, run_command

__all__ = ["ProbeAnswer", "probe_urls"]

_SCRIPT: Final = Path(__file__).parent / "runners" / "probe.py"
_LIMITS: Final = Limits(
    wall_s=30, wall_stretch=4, cpu_s=20, memory_bytes=256 * 1024 * 1024, processes_count=16
)
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """What one GET brought."""

    url: str
    status: int | None
    error: str
    """Why there was no answer; empty when there was one."""
    content_type: str = ""
    duration_ms: float = 0.0

    @property
    def is_healthy(self) -> bool:
        """Whether it shows an app at work: any answer that does not blame the server."""
        return self.status is not None and self.status < _SERVER_ERROR


async def probe_urls(
    urls: Sequence[str], network: NetworkHandle | None, *, timeout_s: float = 5.0
) -> tuple[ProbeAnswer, ...]:
    """Send a GET to each URL, one after another, and return the answers in the same order.

    Args:
        urls: At most a few; each gets ``timeout_s``.
        network: The app's network; None: the machine's own.
        timeout_s: For each of them.
    """
    with tempfile.TemporaryDirectory(prefix="referee-probe-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        output_dir = folder / "output"
        output_dir.mkdir(mode=0o700)
        working_dir = folder / "work"
        working_dir.mkdir(mode=0o755)
        base = Path(sys.base_prefix).resolve()
        python = Path(os.path.realpath(sys.executable))
        result = await run_command(
            Command(
                label="probe",
                argv=(str(python), "-I", "-S", str(_SCRIPT)),
                working_dir=working_dir,
                read_only=(_SCRIPT.parent, *(() if base in (Path("/usr"), Path("/")) else (base,))),
                writable=(working_dir,),
                stdin=json.dumps({"urls": list(urls), "timeout_s": timeout_s}).encode(),
                network=network,
                has_network=network is None,
            ),
            _LIMITS,
            output_dir,
        )
        data = await asyncio.to_thread(result.stdout_path.read_bytes)
        said = await asyncio.to_thread(result.stderr_path.read_bytes)
    try:
        answers = json.loads(data)
        return tuple(ProbeAnswer(**answer) for answer in answers)
    except (ValueError, TypeError):
        reason = result.reason or said.decode(errors="replace").strip()[-300:] or "The probe said nothing."
        return tuple(ProbeAnswer(url=url, status=None, error=reason) for url in urls)
