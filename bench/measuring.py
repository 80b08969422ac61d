"""What a bench gives back, where it may work, and the state of the machine meanwhile."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Measured", "describe_machine", "print_table", "temporary_folder", "tools_dir", "write_results"]

ROOT = Path(__file__).parents[1]
RESULTS_DIR = ROOT / "bench" / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One number with its goal."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    """At most; None: told for information."""
    details: dict[str, object] = field(default_factory=dict)

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        return None if self.goal is None else self.value <= self.goal


def tools_dir() -> Path:
    """Return the folder of installed tools: that of the checkout's own home."""
    return Path(os.environ.get("REFEREE_HOME") or ROOT / ".referee") / "tools"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder that is removed afterwards. Other users may pass through it, as the database's does."""
    folder = Path(tempfile.mkdtemp(prefix="referee-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def describe_machine() -> dict[str, object]:
    """Return what the numbers depend on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores_count": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _read_processor(),
    }


def print_table(measured: Sequence[Measured], before: dict[str, object], after: dict[str, object]) -> None:
    """Print a Markdown table."""
    print("\n| what | measured | goal | |")
    print("|---|---:|---:|---|")
    for one in measured:
        goal = "" if one.goal is None else f"≤ {one.goal:g} {one.unit}"
        word = {True: "met", False: "**missed**", None: ""}[one.is_met]
        print(f"| {one.name} | {one.value:.3g} {one.unit} | {goal} | {word} |")
    print(
        f"\n{before['at']}, {before['cores_count']} cores ({before['processor']}), Python {before['python']}; "
        f"load {before['load_1m']} before and {after['load_1m']} after."
    )


def write_results(
    name: str, measured: Sequence[Measured], before: dict[str, object], after: dict[str, object]
) -> Path:
    """Write everything as JSON and return where."""
    RESULTS_DIR.mkdir(parents=True, exist_ok=True)
    stamp = str(before["at"]).replace(":", "").replace("+0000", "Z")
    path = RESULTS_DIR / f"{name}-{stamp}.json"
    document = {
        "schema": "referee-bench",
        "schema_version": "1.0",
        "before": before,
        "after": after,
        "measured": [{**asdict(one), "is_met": one.is_met} for one in measured],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path


def _read_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
