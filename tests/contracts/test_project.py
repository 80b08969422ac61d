"""Rules of the project that no linter knows."""

from __future__ import annotations

import ast
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine, pool

import referee
from referee.app import ALL_TABLES
from referee.core import errors
from referee.foundation.settings import Settings
from referee.foundation.store import Base
from referee.foundation.store.database import database_url_of, read_database_url
from referee.foundation.store.schemas import list_differences

ROOT = Path(__file__).parents[2]
PACKAGE = Path(referee.__path__[0])
MODULES = sorted(module.name for module in pkgutil.walk_packages(referee.__path__, "referee."))
RUN_ELSEWHERE = (
    "referee.tools.runners.",
    "referee.__main__",
    "referee.foundation.sandbox.supervisor.__main__",
    "referee.videos.vision.child.",
)
"""Scripts for a tool's own interpreter, and entry points that run when imported."""
IMPORTABLE = [name for name in MODULES if not name.startswith(RUN_ELSEWHERE) and ".migrations" not in name]
HEAVY = (
    "sqlalchemy",
    "pydantic",
    "fastapi",
    "dbos",
    "alembic",
    "psycopg",
    "httpx",
    "rich.table",
    "prometheus_client",
    "numpy",
    "scipy",
)
MACHINE_PATH = re.compile(r"/(?:work|root)/[a-z]\w+")
ABOUT_FOREIGN_PATHS = (
    "tests/tools/test_reading.py",
    "src/referee/tools/reading.py",
    "tests/contracts/test_project.py",
)
"""They show how a path that a tool prints is mapped onto the subject."""
RECORDED = ("tests/samples/",)
"""Verbatim output of tools."""


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("name", IMPORTABLE)
def test_public_names_are_sorted_and_there(name: str) -> None:
    module = import_module(name)
    public = getattr(module, "__all__", None)
    if public is None:
        assert defines_nothing_public(name)
        return
    assert public == sorted(public, key=in_order_of_ruff)
    assert [word for word in public if not hasattr(module, word)] == []


def test_modules_are_at_most_700_lines(tracked: list[Path]) -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in python_files(tracked)
    }
    assert {name: size for name, size in sizes.items() if size > 700} == {}


def test_every_room_has_a_readme_of_at_most_40_lines() -> None:
    rooms = [
        path
        for path in (*PACKAGE.iterdir(), *(PACKAGE / "foundation").iterdir())
        if (path / "__init__.py").exists()
    ]
    sizes = {room.name: count_lines(room / "README.md") for room in rooms}
    assert {name: size for name, size in sizes.items() if not 5 <= size <= 40} == {}


def test_nothing_is_left_to_do(tracked: list[Path]) -> None:
    word = re.compile(rb"\b(?:TO" rb"DO|FIX" rb"ME)\b")
    own = [path for path in tracked if not is_foreign(path)]
    assert [str(path.relative_to(ROOT)) for path in own if word.search(path.read_bytes())] == []


def test_no_file_names_a_path_of_a_machine(tracked: list[Path]) -> None:
    own = [path for path in text_files(tracked) if str(path.relative_to(ROOT)) not in ABOUT_FOREIGN_PATHS]
    found = [
        f"{path.relative_to(ROOT)}: {match}"
        for path in own
        if not str(path.relative_to(ROOT)).startswith(RECORDED)
        for match in MACHINE_PATH.findall(path.read_text("utf-8"))
    ]
    assert found == []
    checkout = f"{ROOT}/".encode()
    assert [str(path.relative_to(ROOT)) for path in tracked if checkout in path.read_bytes()] == []


def test_no_file_names_a_registry_of_this_machine(tracked: list[Path]) -> None:
    hosts = list(registry_hosts())
    found = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in tracked
        for data in [path.read_bytes()]
        for host in hosts
        if host.encode() in data
    ]
    assert found == []


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "requirements").glob("*.txt"), *(PACKAGE / "tools/locks").glob("*.txt")]),
    ids=lambda path: path.name,
)
def test_every_requirement_is_pinned_with_hashes(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "://" not in text
    entries = re.findall(r"^[A-Za-z0-9](?:.*\\\n)*.*", text, re.MULTILINE)
    assert entries
    loose = [entry.split()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]
    assert loose == []


@pytest.mark.parametrize(
    "path",
    sorted(
        [
            *(PACKAGE / "tools/locks").rglob("package-lock.json"),
            *(ROOT / "samples").rglob("package-lock.json"),
        ]
    ),
    ids=lambda path: str(path.parent.relative_to(ROOT)),
)
def test_every_node_package_is_pinned_with_a_hash_and_without_an_address(path: Path) -> None:
    packages = json.loads(path.read_text("utf-8"))["packages"]
    installed = {name: entry for name, entry in packages.items() if name and not entry.get("link")}
    assert installed
    assert [name for name, entry in installed.items() if "resolved" in entry] == []
    assert [
        name for name, entry in installed.items() if "integrity" not in entry and not entry.get("inBundle")
    ] == []


def test_command_line_starts_without_what_only_commands_need() -> None:
    script = f"import sys, referee.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_core_imports_the_standard_library_only() -> None:
    imported = {
        name.partition(".")[0]
        for path in (PACKAGE / "core").glob("*.py")
        for name in list_imports(ast.parse(path.read_text("utf-8")))
    }
    assert imported <= {*sys.stdlib_module_names, "referee"}


def test_tables_of_all_rooms_are_what_the_migrations_make(database_settings: Settings) -> None:
    for name in ALL_TABLES:
        import_module(name)
    conninfo = read_database_url(database_settings.database_url or "")
    engine = create_engine(database_url_of(conninfo), poolclass=pool.NullPool)
    with engine.connect() as connection:
        assert list_differences(connection, Base.metadata) == []


def test_all_tables_are_listed() -> None:
    modules = {
        ".".join(("referee", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in PACKAGE.rglob("tables.py")
    }
    assert modules == set(ALL_TABLES)


def test_every_error_class_is_drawn_in_the_tree() -> None:
    tree = errors.__doc__ or ""
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert re.search(rf"{name} +{kind.status}  exit {kind.exit_code}", tree), name


def test_package_data_is_below_the_package() -> None:
    carried = [
        "analysis/schemas/referee-analysis-1.0.json",
        "foundation/web/static/app.css",
        "foundation/web/templates/layout.html",
        "tools/locks/bandit.txt",
        "tools/locks/eslint/package-lock.json",
        "tools/rules/semgrep/python_general.yaml",
        "tools/schemas/sarif-2.1.0.json",
        "tools/advisories/data/pypi.json",
        "py.typed",
    ]
    assert [name for name in carried if not (PACKAGE / name).is_file()] == []


def defines_nothing_public(name: str) -> bool:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text("utf-8"))
    names = [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return all(word.startswith("_") for word in names)


def in_order_of_ruff(name: str) -> tuple[int, str]:
    """Return the key of an isort-like order: constants, then classes, then the rest."""
    if name.isupper():
        return 0, name
    return (1, name) if name[:1].isupper() else (2, name)


def count_lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines()) if path.exists() else 0


def is_foreign(path: Path) -> bool:
    name = str(path.relative_to(ROOT))
    return name.startswith(
        ("tests/samples/", "samples/apps/", "src/referee/foundation/web/static/vendor/")
    ) or name.endswith(("package-lock.json", "community_rules.json", ".png", ".svg"))


def python_files(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.suffix == ".py" and not is_foreign(path)]


def text_files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        yield path


def list_imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def registry_hosts() -> Iterator[str]:
    """Yield the hosts that this machine's pip, uv and npm are told to use."""
    texts = [
        value
        for name, value in os.environ.items()
        if re.match(r"(?:PIP|UV|NPM_CONFIG)_.*(?:INDEX|REGISTRY|LINKS)", name, re.I)
    ]
    commands = [[sys.executable, "-m", "pip", "config", "list"], ["npm", "config", "get", "registry"]]
    for command in commands:
        if shutil.which(command[0]) is not None:
            texts.append(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    for word in re.findall(r"https?://[^\s'\",]+", "\n".join(texts)):
        host = urlsplit(word).hostname
        if host is not None:
            yield host
