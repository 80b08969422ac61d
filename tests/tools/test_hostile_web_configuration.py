"""A scanned app cannot make a JavaScript tool run its code, read its configuration, or write beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tools.conftest import RunTool, WriteApp
from tests.tools.python_samples import summarise
from tests.tools.web_samples import PLANTED_WEB_DIR, WEB_TOOLS, load_planted_files

TRACE = (
    "const fs = require('fs'), path = require('path'), os = require('os');\n"
    "for (const folder of [process.cwd(), os.homedir(), os.tmpdir(), '/tmp', __dirname])\n"
    "  try { fs.writeFileSync(path.join(folder, 'EXECUTED'), 'executed'); } catch {}\n"
    "throw new Error('executed');\n"
)
TRACE_MODULE = (
    "import { createRequire } from 'node:module';\nimport path from 'node:path';\n"
    "const require = createRequire(import.meta.url);\n"
    "const __dirname = path.dirname(new URL(import.meta.url).pathname);\n" + TRACE
)
OFF = {"no-eval": "off", "no-undef": "off", "no-unused-vars": "off"}
CODE = {
    "eslint.config.js": TRACE, "eslint.config.mjs": TRACE_MODULE, "eslint.config.cjs": TRACE,
    "eslint.config.ts": TRACE_MODULE,
    ".eslintrc.js": TRACE, ".eslintrc.cjs": TRACE, "babel.config.js": TRACE, "vite.config.js": TRACE,
    ".jscpd.js": TRACE, "jscpd.config.js": TRACE,
}  # fmt: skip
DATA = {
    ".eslintrc.json": json.dumps({"root": True, "rules": OFF, "ignorePatterns": ["**"]}),
    ".eslintrc": json.dumps({"rules": OFF}),
    ".eslintignore": "**\n",
    ".jshintrc": json.dumps({"maxerr": 1, "evil": True, "undef": False, "asi": True}),
    ".jshintignore": "**\n",
    ".semgrepignore": "*\n",
    ".semgrep.yml": "rules: []\n",
    ".semgrep/settings.yml": "x: [\n",
    ".gitignore": "*\n",
    ".ignore": "*\n",
    ".jscpd.json": json.dumps(
        {"ignore": ["**"], "minTokens": 100000, "output": "/tmp/EXECUTED", "reporters": ["html"]}
    ),
    "tsconfig.json": json.dumps({"extends": "./evil", "compilerOptions": {"plugins": [{"name": "./evil.js"}]}}),
    "package.json": json.dumps({
        "type": "module", "eslintConfig": {"root": True, "rules": OFF}, "eslintIgnore": ["**"],
        "jshintConfig": {"evil": True, "maxerr": 1}, "jscpd": {"ignore": ["**"], "minTokens": 100000},
        "babel": {"plugins": ["./evil.js"]},
    }),
}  # fmt: skip
PACKAGES = (
    "eslint",
    "react",
    "typescript",
    "jshint",
    "globals",
    "@eslint/js",
    "eslint-plugin-security",
    "jscpd",
)
SHADOWS = {f"{name}/index.js": TRACE for name in PACKAGES}
OWN_FILES = ("semgrep.py", "ruamel.py", "sitecustomize.py", "click.py", "requests.py")
PYTHON_TRACE = (
    "import pathlib\nfor folder in ('/tmp', '.'):\n    try:\n"
    "        pathlib.Path(folder, 'EXECUTED').write_text('x')\n    except OSError:\n        pass\n"
)


def folders_of(files: dict[str, str]) -> set[str]:
    return {str(Path(path).parent) for path in files}


@pytest.mark.parametrize("tool", WEB_TOOLS)
async def test_configuration_of_the_app_is_neither_run_nor_honoured(
    run_tool: RunTool, write_app: WriteApp, tmp_path: Path, tool: str
) -> None:
    planted = load_planted_files()
    hostile = {
        str(Path(folder, name)): text
        for folder in folders_of(planted) | {"."}
        for name, text in {**DATA, **CODE}.items()
    }
    packages = {f"node_modules/{path}": text for path, text in SHADOWS.items()}
    python = dict.fromkeys(OWN_FILES, PYTHON_TRACE)
    calm = await run_tool(tool, PLANTED_WEB_DIR)
    attacked = await run_tool(tool, write_app({**planted, **hostile, **packages, **python}))
    ours = set(planted)
    assert [f for f in attacked.report.findings if f.location and f.location.path in ours] == list(
        calm.report.findings
    )
    assert attacked.report.failure is None
    assert {hole.name for hole in attacked.report.coverage.holes} & ours == {
        hole.name for hole in calm.report.coverage.holes
    }
    assert [
        path for path in (*tmp_path.rglob("EXECUTED"), *Path("/tmp").glob("EXECUTED")) if path.is_file()
    ] == []


@pytest.mark.parametrize("tool", WEB_TOOLS)
async def test_nothing_is_written_into_the_snapshot(run_tool: RunTool, tool: str) -> None:
    run = await run_tool(tool, PLANTED_WEB_DIR)
    written = {
        path.relative_to(run.snapshot.root).as_posix()
        for path in run.snapshot.root.rglob("*")
        if path.is_file()
    }
    assert written == {file.path for file in run.snapshot.files}


@pytest.mark.parametrize("tool", WEB_TOOLS)
async def test_two_runs_give_equal_reports(run_tool: RunTool, tool: str) -> None:
    first, second = await run_tool(tool, PLANTED_WEB_DIR), await run_tool(tool, PLANTED_WEB_DIR)
    assert summarise(first.report) == summarise(second.report)
    assert first.report.findings == second.report.findings
