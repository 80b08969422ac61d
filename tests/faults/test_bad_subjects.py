"""A subject that cannot be analysed is refused with one clear sentence, and nothing half-made stays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest
from tests.answers import CheckedApp
from tests.faults.conftest import (
    FLAWED,
    OpenBad,
    analyse,
    count_rows,
    list_problems,
)
from tests.programs import Referee

from referee.analysis.finding_queries import list_occurrences
from referee.analysis.requests import AnalysisRequest, plan_runs
from referee.app import open_application
from referee.core.errors import InvalidInput, PayloadTooLarge
from referee.core.vocabulary import AnalysisState, Outcome
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.web_app import create_web_app

Make: TypeAlias = Callable[[Path], "str | bytes"]


def absent(folder: Path) -> str:
    return str(folder / "absent")


def empty(folder: Path) -> str:
    return str(folder)


def nameless(_: Path) -> str:
    return " "


def file(folder: Path) -> str:
    (folder / "main.py").write_text(FLAWED)
    return str(folder / "main.py")


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return str(folder / "pipe")


def loop(folder: Path) -> str:
    (folder / "one").symlink_to(folder / "two")
    (folder / "two").symlink_to(folder / "one")
    return str(folder / "one")


def only_binary(folder: Path) -> str:
    (folder / "junk.py").write_bytes(b"\0" + os.urandom(100_000))
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + os.urandom(1_000))
    return str(folder)


def only_a_huge_file(folder: Path) -> str:
    with (folder / "huge.py").open("wb") as writer:
        writer.truncate(2 << 30)
    return str(folder)


def only_pipes_and_links(folder: Path) -> str:
    os.mkfifo(folder / "main.py")
    (folder / "other.py").symlink_to("/etc/passwd")
    (folder / "self").symlink_to(folder)
    return str(folder)


def name_not_utf8(folder: Path) -> bytes:
    path = os.fsencode(folder) + b"/caf\xe9"
    os.mkdir(path)  # noqa: PTH102 - a name that pathlib can only hold as surrogates
    return path


def name_too_long(folder: Path) -> str:
    return str(folder / ("x" * 3_000))


def too_many_files(folder: Path) -> str:
    for number in range(60):
        (folder / f"module_{number}.py").write_text("x = 1\n")
    return str(folder)


def too_many_bytes(folder: Path) -> str:
    for number in range(10):
        (folder / f"module_{number}.py").write_text("x = 1\n" * 10_000)
    return str(folder)


LIMITS = {
    "REFEREE_MAX_SUBJECT_FILES_COUNT": "50",
    "REFEREE_MAX_SUBJECT_BYTES": "500000",
}

BY_COMMAND = [
    pytest.param(absent, "There is no folder", id="absent"),
    pytest.param(empty, "has no source file: it is empty", id="empty", marks=pytest.mark.slow),
    pytest.param(loop, "loop of links", id="a loop of links", marks=pytest.mark.slow),
    pytest.param(name_not_utf8, "is not UTF-8", id="not UTF-8"),
    pytest.param(too_many_files, "more than 50 source files", id="too many files", marks=pytest.mark.slow),
]

BY_API: dict[Make, str] = {
    absent: "There is no folder",
    empty: "has no source file: it is empty",
    nameless: "No folder was named",
    file: "is not a folder",
    pipe: "is not a folder",
    loop: "loop of links",
    only_binary: "has no source file",
    only_a_huge_file: "has no source file",
    only_pipes_and_links: "has no source file",
    name_too_long: "cannot be followed",
    too_many_files: "more than 50 source files",
    too_many_bytes: "more than 500,000 bytes",
}


LOCATE_AS_NOBODY = """
import os, pwd, sys
from referee.apps.service import locate_source
if os.geteuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
try:
    locate_source(sys.argv[1], allowed_roots=[])
except Exception as error:
    print(type(error).__name__, error)
"""
"""Root may read everything, so it becomes somebody else first."""


@pytest.fixture
def command(referee: Referee, database_settings: Settings) -> Referee:
    """The command line on this test's database."""

    def run(*arguments: str | bytes, **variables: str) -> subprocess.CompletedProcess[str]:
        assert database_settings.database_url is not None
        return referee(*arguments, REFEREE_DATABASE_URL=database_settings.database_url, **variables)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    made = tmp_path / "subject"
    made.mkdir()
    return made


def check_refusal(result: subprocess.CompletedProcess[str], words: str) -> None:
    """Exit code 2, the sentence and what to do, and nothing else."""
    lines = result.stderr.splitlines()
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert lines[0].startswith("Error: ")
    assert words in lines[0]
    assert len(lines) <= 2


@pytest.mark.parametrize(("make", "words"), BY_COMMAND)
async def test_command_refuses_what_cannot_be_analysed(
    command: Referee, folder: Path, make: Make, words: str, database: Database, home: Path
) -> None:
    path = make(folder)
    result = command("analyze", path, **LIMITS)

    check_refusal(result, words)
    assert set((await count_rows(database)).values()) == {0}
    assert list_copies(home) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--tools", "bandid"], "There is no tool 'bandid'", id="tool"),
        pytest.param(["--set", "bandit.colour=red"], "colour", id="parameter", marks=pytest.mark.slow),
        pytest.param(["--model", "../up", "--app", "1"], "model", id="model", marks=pytest.mark.slow),
    ],
)
async def test_command_refuses_what_it_does_not_know(
    command: Referee, folder: Path, arguments: list[str], words: str, database: Database, home: Path
) -> None:
    (folder / "main.py").write_text(FLAWED)
    result = command("analyze", str(folder), *arguments)

    check_refusal(result, words)
    assert set((await count_rows(database)).values()) == {0}
    assert list_copies(home) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profile": "thorough"}, "There is no profile 'thorough'"),
        ({"tools": ("",)}, "There is no tool ''"),
        ({"tools": ("bandit; rm -rf /",)}, "There is no tool"),
        ({"parameters": {"bandit": {"severity_level": 7}}}, "severity_level"),
        ({"parameters": {"bandit": {"severity_level": "awful"}}}, "severity_level"),
        ({"parameters": {"bandid": {}}}, "There is no tool 'bandid'"),
        ({"parameters": {"ruff": {}}, "tools": ("bandit",)}, "not among the requested tools"),
    ],
)
def test_request_is_refused_for_what_is_not_known(options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        plan_runs(AnalysisRequest(path="/", **options))  # type: ignore[arg-type]  # wrong on purpose


async def test_command_refuses_a_folder_outside_the_allowed_roots_even_through_a_link(
    command: Referee, folder: Path, tmp_path: Path, database: Database
) -> None:
    (folder / "main.py").write_text(FLAWED)
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to(folder)
    plain = command("analyze", str(folder), REFEREE_ALLOWED_ROOTS=str(allowed))
    linked = command("analyze", str(allowed / "link"), REFEREE_ALLOWED_ROOTS=str(allowed))

    check_refusal(plain, "outside the folders")
    check_refusal(linked, "outside the folders")
    assert set((await count_rows(database)).values()) == {0}


def test_folder_that_may_not_be_read_is_refused(folder: Path) -> None:
    folder.chmod(0)
    for parent in [*folder.parents][:-2]:
        parent.chmod(parent.stat().st_mode | 0o111)
    result = subprocess.run(
        [sys.executable, "-c", LOCATE_AS_NOBODY, str(folder)], capture_output=True, text=True, check=True
    )

    assert result.stdout.startswith("InvalidInput The folder")
    assert "cannot be read" in result.stdout


async def test_api_refuses_what_cannot_be_analysed(
    database_settings: Settings, tmp_path: Path, database: Database
) -> None:
    limited = database_settings.model_copy(
        update={"max_subject_files_count": 50, "max_subject_bytes": 500_000}
    )
    folders = {make: tmp_path / make.__name__ for make in BY_API}
    for folder in folders.values():
        folder.mkdir()
    paths = {make: make(folder) for make, folder in folders.items()}
    app = create_web_app(limited)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(CheckedApp(app)), base_url="http://127.0.0.1:8765"
        ) as client,
    ):
        answers = {
            make: await client.post("/v1/analyses", json={"path": path}) for make, path in paths.items()
        }

    assert {answer.status_code for answer in answers.values()} <= {413, 422}
    assert {answer.headers["content-type"] for answer in answers.values()} == {"application/problem+json"}
    details = {make.__name__: answers[make].json()["detail"] for make in BY_API}
    assert [name for make, words in BY_API.items() if words not in details[name := make.__name__]] == []
    assert set((await count_rows(database)).values()) == {0}
    assert list_copies(limited.home) == []


async def test_oddly_named_files_are_analysed_and_shown(open_bad: OpenBad, folder: Path) -> None:
    for name in ("with space.py", "-rf.py", "new\nline.py", "ünïcode ☃.py", "per%cent.py", f"{'l' * 200}.py"):
        (folder / name).write_text(FLAWED)
    (Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.py"))).write_text(FLAWED)
    (folder / "--config=evil.py").write_text(FLAWED)
    async with open_bad() as application:
        analysis, runs = await analyse(application, folder, "bandit", "vulture", "pylint", "mypy", "ruff")
        async with application.database.reading() as session:
            page = await list_occurrences(session, analysis.analysis_id, limit=1000)
        problems = await list_problems(application)

    assert {run.outcome for run in runs.values()} == {Outcome.succeeded}, runs
    assert analysis.state is AnalysisState.completed
    assert problems == []
    assert {occurrence.path for occurrence in page.items if occurrence.tool == "bandit"} == {
        "with space.py",
        "-rf.py",
        "new%0Aline.py",
        "ünïcode ☃.py",
        "per%25cent.py",
        f"{'l' * 200}.py",
        "caf%E9.py",
        "--config=evil.py",
    }


async def test_oddly_named_folders_are_analysed(open_bad: OpenBad, folder: Path) -> None:
    names = ("with space", "-rf", "new\nline", "ünïcode ☃", "'; DROP TABLE x; --", "$(id)", "\x1b[31mred")
    for name in names:
        (folder / name).mkdir()
        (folder / name / "main.py").write_text(FLAWED)
    async with open_bad() as application:
        ended = [await analyse(application, folder / name, "vulture") for name in names]
        problems = await list_problems(application)

    assert {analysis.state for analysis, _ in ended} == {AnalysisState.completed}
    assert {runs["vulture"].findings_count for _, runs in ended} == {3}
    assert len({analysis.results_path for analysis, _ in ended}) == len(names)
    assert problems == []


async def test_what_is_left_out_beside_good_files_is_counted(open_bad: OpenBad, folder: Path) -> None:
    (folder / "main.py").write_text(FLAWED)
    only_pipes = folder / "odd"
    only_pipes.mkdir()
    only_pipes_and_links(only_pipes)
    only_a_huge_file(folder)
    (folder / "junk.py").write_bytes(b"\0" + os.urandom(1_000))
    async with open_bad() as application:
        analysis, _ = await analyse(application, folder, "vulture")

    assert analysis.state is AnalysisState.completed
    assert analysis.files_count == 1
    assert analysis.excluded_count == 5


@pytest.mark.slow
async def test_folder_with_200_000_files_is_refused_within_seconds(
    database_settings: Settings, folder: Path, database: Database
) -> None:
    program = (
        "import os, sys\n"
        "for outer in range(200):\n"
        "    os.mkdir(f'{sys.argv[1]}/{outer}')\n"
        "    for inner in range(1000):\n"
        "        os.close(os.open(f'{sys.argv[1]}/{outer}/{inner}.py', os.O_CREAT | os.O_WRONLY))\n"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)
    async with open_application(database_settings, is_worker=False) as application:
        with pytest.raises(PayloadTooLarge, match="more than 20,000 source files"):
            await analyse(application, folder, "vulture")

    assert set((await count_rows(database)).values()) == {0}
    assert list_copies(database_settings.home) == []


def list_copies(home: Path) -> list[str]:
    """Return the names of all copies of sources, finished or not."""
    snapshots = home / "snapshots"
    return sorted(path.name for path in snapshots.iterdir()) if snapshots.is_dir() else []
