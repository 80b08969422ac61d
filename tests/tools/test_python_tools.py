"""The Python tools, run for real in the sandbox, see every file and tell what they could not read."""

from __future__ import annotations

import pytest
from tests.tools.conftest import PlantedRun, RunTool, TakeSnapshot, ToolRun, WriteApp
from tests.tools.python_samples import PLANTED_DIR, TOOLS

from referee.tools import get_tool

PYTHON_TOOLS = tuple(tool for tool in TOOLS if tool != "detect-secrets")


def rules_at(run: ToolRun, path: str) -> set[str]:
    return {
        finding.rule_id
        for finding in run.report.findings
        if finding.location and finding.location.path == path
    }


@pytest.mark.parametrize("tool", TOOLS)
async def test_version_is_that_of_the_lock(tool: str, planted_run: PlantedRun) -> None:
    from referee.tools.install import LOCKS_DIR

    run = await planted_run(tool)
    version = await get_tool(tool).probe_version(run.installation)
    assert f"{tool}=={version} \\" in (LOCKS_DIR / f"{tool}.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("tool", PYTHON_TOOLS)
def test_subject_without_python_is_not_applicable(
    tool: str, snapshot_of: TakeSnapshot, write_app: WriteApp
) -> None:
    snapshot = snapshot_of(write_app({"index.html": "<p>", "main.js": "let a = 1"}))
    plan = get_tool(tool).plan(snapshot, get_tool(tool).describe().resolve_parameters({}))
    assert plan.not_applicable == "There are no Python files in the subject."


@pytest.mark.parametrize("tool", PYTHON_TOOLS)
async def test_file_with_a_syntax_error_is_a_hole_and_the_others_are_examined(
    tool: str, planted_run: PlantedRun
) -> None:
    run = await planted_run(tool)
    holes = {(hole.name, hole.kind) for hole in run.report.coverage.holes}
    assert ("backend/broken.py", "unreadable") in holes
    assert rules_at(run, "backend/app.py")


@pytest.mark.parametrize("tool", PYTHON_TOOLS)
async def test_names_that_look_like_options_or_hold_spaces_are_examined(
    tool: str, run_tool: RunTool, write_app: WriteApp
) -> None:
    files = {
        "-rf.py": "x = 1\n",
        "--help/a b.py": "x = 1\n",
        "deep/é/naïve.py": "x = 1\n",
        "no_init/x/y/z.py": "x = 1\n",
    }
    run = await run_tool(tool, write_app(files))
    assert run.report.coverage.examined_count == len(files)
    assert run.report.coverage.holes == ()


async def test_mypy_checks_files_of_the_same_module_name(run_tool: RunTool, write_app: WriteApp) -> None:
    wrong = "x: int = ''\n"
    files = {f"{folder}/app.py": wrong for folder in ("backend", "other", "my-app", "my-app2", "my-pkg")}
    run = await run_tool(
        "mypy", write_app(files | {"my-pkg/__init__.py": "", "my-pkg/near.py": "from . import app\n" + wrong})
    )
    assert {finding.location.path for finding in run.report.findings if finding.location} == {
        *files,
        "my-pkg/near.py",
    }
    assert run.report.coverage.unreadable_count == 0


async def test_mypy_knows_imports_between_files_of_a_backend_folder(
    run_tool: RunTool, write_app: WriteApp
) -> None:
    files = {
        "manage.py": "import os\n",
        "backend/app.py": "from models import name\nx: int = name()\n",
        "backend/models.py": "def name() -> str:\n    return ''\n",
    }
    run = await run_tool("mypy", write_app(files))
    assert rules_at(run, "backend/app.py") == {"assignment"}


async def test_mypy_checks_a_file_that_imports_one_with_a_syntax_error(
    run_tool: RunTool, write_app: WriteApp
) -> None:
    run = await run_tool("mypy", write_app({"app.py": "import bad\nx: int = ''\n", "bad.py": "x = (\n"}))
    assert rules_at(run, "app.py") == {"assignment"}
    assert run.report.coverage.unreadable_count == 1


async def test_mypy_checks_an_app_with_a_module_named_like_one_of_its_own_foundations(
    run_tool: RunTool, write_app: WriteApp
) -> None:
    wrong = "x: int = ''\n"
    files = {
        "app/types.py": wrong,
        "app/main.py": "from routes.users import y\nx: int = y\n",
        "app/routes/users.py": "y = ''\n",
    }
    run = await run_tool("mypy", write_app(files))
    assert rules_at(run, "app/types.py") == {"assignment"}
    assert rules_at(run, "app/main.py") == {"assignment"}
    assert run.report.coverage.examined_count == len(files)


async def test_pylint_gives_the_same_on_one_and_on_two_cores(
    run_tool: RunTool, planted_run: PlantedRun
) -> None:
    one = await planted_run("pylint")
    two = await run_tool("pylint", PLANTED_DIR, cores_count=2)
    assert one.report == two.report


@pytest.mark.parametrize(
    ("tool", "path", "rule_id", "suppression"),
    [
        ("bandit", "backend/app.py", "B307", "nosec"),
        ("pylint", "backend/app.py", "eval-used", "pylint: disable"),
        ("mypy", "backend/app.py", "return-value", "type: ignore"),
        ("ruff", "backend/app.py", "S307", "noqa"),
        ("vulture", "worker/app.py", "unused-import", "noqa"),
        ("detect-secrets", "backend/app.py", "aws-access-key", "pragma: allowlist secret"),
    ],
)
async def test_finding_that_a_comment_silences_is_kept_and_marked(
    tool: str, path: str, rule_id: str, suppression: str, planted_run: PlantedRun
) -> None:
    run = await planted_run(tool)
    silenced = [finding for finding in run.report.findings if finding.suppression]
    assert (path, rule_id, suppression) in {
        (finding.location.path, finding.rule_id, finding.suppression)
        for finding in silenced
        if finding.location
    }
    assert run.report.coverage.suppressed_count == len(silenced)


async def test_vulture_does_not_count_route_handlers(planted_run: PlantedRun) -> None:
    run = await planted_run("vulture")
    names = {finding.identity[0] for finding in run.report.findings}
    assert "unused_helper" in names
    assert names.isdisjoint({"search", "run", "calculate"})


async def test_secret_itself_is_nowhere_in_the_output_of_detect_secrets(planted_run: PlantedRun) -> None:
    run = await planted_run("detect-secrets")
    assert not any(b"hunter2" in data or b"AKIA" in data for data in run.raw.streams.values())


async def test_excluded_folder_is_left_out_of_plan_and_findings(run_tool: RunTool) -> None:
    run = await run_tool("bandit", PLANTED_DIR, {"exclude": ["backend"]})
    assert run.plan.files == ("worker/app.py", "worker/legacy.py")
    assert run.report.findings == ()


async def test_command_is_recorded_without_folders_of_this_machine(planted_run: PlantedRun) -> None:
    run = await planted_run("bandit")
    assert run.raw.command[0] == "$TOOL/bin/python"
    assert not any(str(run.scratch_dir) in word or str(run.snapshot.root) in word for word in run.raw.command)
