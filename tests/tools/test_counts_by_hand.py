"""What Referee counts is what each tool prints when a person runs it by hand, outside of the sandbox."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.tools.conftest import RunTool, ToolRun
from tests.tools.python_samples import PLANTED_DIR

from referee.tools.planning import get_words

SDIST = "flask-admin==2.2.1"


def by_hand(run: ToolRun, program: str, *arguments: str) -> str:
    """Run a program of the tool's environment in the snapshot, without our adapter."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(run.scratch_dir), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [run.installation.root / "bin" / program, *arguments],
        cwd=run.snapshot.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def bandit_by_hand(run: ToolRun) -> Counter[str]:
    report = json.loads(by_hand(run, "bandit", "-r", ".", "-q", "-f", "json", "-s", "B101"))
    return Counter(result["test_id"] for result in report["results"])


def pylint_by_hand(run: ToolRun) -> Counter[str]:
    disabled = "import-error,missing-docstring,too-few-public-methods"
    good = "--good-names=i,j,k,ex,Run,_,id,pk,db,app"
    report = by_hand(
        run,
        "pylint",
        "--rcfile=/dev/null",
        f"--disable={disabled}",
        good,
        "--output-format=json2",
        *run.plan.files,
    )
    return Counter(message["symbol"] for message in json.loads(report)["messages"])


def vulture_by_hand(run: ToolRun) -> Counter[str]:
    decorators, names = (
        ",".join(get_words(run.plan.parameters, one)) for one in ("ignore_decorators", "ignore_names")
    )
    printed = by_hand(
        run,
        "vulture",
        ".",
        "--min-confidence=60",
        f"--ignore-decorators={decorators}",
        f"--ignore-names={names}",
    )
    kinds = re.findall(r"^.*:\d+: (unused \w+|unreachable code)", printed, re.MULTILINE)
    return Counter(kind.replace(" ", "-") for kind in kinds)


def ruff_by_hand(run: ToolRun) -> Counter[str]:
    rules = [
        "--isolated",
        "--no-cache",
        "--select=E4,E7,E9,F,B,S,PLE",
        "--ignore=S101",
        "--target-version=py311",
    ]
    report = by_hand(run, "ruff", "check", *rules, "--no-respect-gitignore", "--output-format=json", ".")
    return Counter(result["code"] for result in json.loads(report))


def radon_by_hand(run: ToolRun) -> Counter[str]:
    report = json.loads(by_hand(run, "radon", "cc", "-j", "-n", "C", "."))
    blocks = [block for blocks in report.values() if isinstance(blocks, list) for block in blocks]
    return Counter("cyclomatic-complexity" for _ in blocks)


def detect_secrets_by_hand(run: ToolRun) -> Counter[str]:
    report = json.loads(by_hand(run, "detect-secrets", "scan", "--all-files", "-n", "."))
    kinds = [secret["type"] for secrets in report["results"].values() for secret in secrets]
    return Counter(re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-") for kind in kinds)


def mypy_by_hand(run: ToolRun) -> Counter[str]:
    flags = [
        "-O",
        "json",
        "--no-error-summary",
        "--config-file=",
        "--ignore-missing-imports",
        "--check-untyped-defs",
    ]
    flags += ["--no-site-packages", "--namespace-packages", "--explicit-package-bases"]
    printed = by_hand(run, "mypy", *flags, f"--cache-dir={run.scratch_dir}/cache", *run.plan.files)
    return Counter(json.loads(line)["code"] or "misc" for line in printed.splitlines())


BY_HAND: dict[str, Callable[[ToolRun], Counter[str]]] = {
    "bandit": bandit_by_hand,
    "pylint": pylint_by_hand,
    "vulture": vulture_by_hand,
    "ruff": ruff_by_hand,
    "radon": radon_by_hand,
    "detect-secrets": detect_secrets_by_hand,
}


def counts_of(run: ToolRun) -> Counter[str]:
    return Counter(finding.rule_id for finding in run.report.findings if finding.suppression is None)


@pytest.mark.parametrize("tool", BY_HAND)
async def test_counts_on_the_planted_app_are_those_of_the_tool_by_hand(tool: str, run_tool: RunTool) -> None:
    run = await run_tool(tool, PLANTED_DIR)
    assert counts_of(run) == BY_HAND[tool](run)


@pytest.fixture(scope="session")
def sdist_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real, larger code base, fetched from the package registry."""
    folder = tmp_path_factory.mktemp("sdist")
    fetch = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary=:all:",
    ]
    subprocess.run([*fetch, "--dest", str(folder), SDIST], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


@pytest.mark.slow
@pytest.mark.parametrize("tool", [*BY_HAND, "mypy"])
async def test_counts_on_a_larger_code_base_are_those_of_the_tool_by_hand(
    tool: str, run_tool: RunTool, sdist_dir: Path
) -> None:
    run = await run_tool(tool, sdist_dir, cores_count=2)
    assert run.report.failure is None
    assert run.report.coverage.examined_count > 50
    assert counts_of(run) == {**BY_HAND, "mypy": mypy_by_hand}[tool](run)
