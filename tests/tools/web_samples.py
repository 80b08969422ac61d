"""Real outputs of eslint, jshint, semgrep and jscpd, recorded on ``tests/samples/planted_web``.

Laid out as ``python_samples`` says; ``python -m tests.tools.web_samples`` records them again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.tools.python_samples import SAMPLES_DIR, record_sample

PLANTED_WEB_DIR = SAMPLES_DIR / "planted_web"
WEB_TOOLS = ("eslint", "jshint", "semgrep", "jscpd")

CLEAN = {
    "app.js": '"use strict";\n\nfunction add(left, right) {\n  return left + right;\n}\n\nmodule.exports = { add };\n'
}
EMPTY = {"empty.js": ""}


def web_sample_dirs(case: str) -> list[Path]:
    """Return the folders of one case of every tool."""
    return sorted(folder for tool in WEB_TOOLS for folder in (SAMPLES_DIR / tool).glob(f"*/{case}"))


def load_planted_files() -> dict[str, str]:
    """Return the planted app's texts by path."""
    paths = sorted(path for path in PLANTED_WEB_DIR.rglob("*") if path.is_file())
    return {path.relative_to(PLANTED_WEB_DIR).as_posix(): path.read_text(encoding="utf-8") for path in paths}


async def _main() -> None:
    tools_dir = Path(os.environ.get("REFEREE_HOME") or ".referee").absolute() / "tools"
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folders = {"findings": PLANTED_WEB_DIR, "crash": PLANTED_WEB_DIR}
        for case, files in (("clean", CLEAN), ("empty", EMPTY)):
            folders[case] = scratch / case
            folders[case].mkdir()
            for path, text in files.items():
                (folders[case] / path).write_text(text, encoding="utf-8")
        for tool in sys.argv[1:] or WEB_TOOLS:
            for case, source in folders.items():
                await record_sample(tool, case, source, scratch, tools_dir)


if __name__ == "__main__":
    asyncio.run(_main())
