"""Dependencies are installed once, whole or not at all, and what is installed really starts."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from tests.apps.running_samples import (
    MODELS_DIR,
    SHAPES_DIR,
    find_node,
    install_app,
    snapshot_files,
    snapshot_folder,
    start_app,
)

from referee.apps.environments import (
    AppEnvironment,
    DependenciesFailed,
    ensure_environment,
    prepare_workspace,
    sweep_environments,
)
from referee.apps.environments_clients import read_client_configuration
from referee.apps.recipes import Component, Dependencies, find_recipe
from referee.core.errors import Unavailable
from referee.core.sources import SourceSnapshot
from referee.foundation.sandbox import detect_isolation
from referee.tools.staging import taking_lock

FLASK_APP = "from flask import Flask\napp = Flask(__name__)\n"
FAKE_NODE = Path("/usr/bin/env")
"""Stands for Node.js where no installation comes as far as running it."""


def component_of(snapshot: SourceSnapshot) -> Component:
    recipe = find_recipe(snapshot)
    assert recipe is not None
    return recipe.components[0]


async def ensure(snapshot: SourceSnapshot, folder: Path, **environment: str) -> AppEnvironment:
    return await ensure_environment(
        component_of(snapshot),
        snapshot,
        environments_dir=folder,
        node=find_node() or FAKE_NODE,
        timeout_s=120,
        environment={**os.environ, **environment},
    )


def make_environment(folder: Path, name: str, *, size_bytes: int, used_at_s: float) -> Path:
    root = folder / "python" / name
    root.mkdir(parents=True)
    (root / "file").write_bytes(b"x" * size_bytes)
    os.utime(root, (used_at_s, used_at_s))
    return root


async def test_component_without_dependencies_runs_in_the_interpreter_itself(tmp_path: Path) -> None:
    snapshot = snapshot_files({"index.html": "<h1>hi</h1>"}, tmp_path)
    found = await ensure(snapshot, tmp_path / "environments")
    assert found.program.is_file()
    assert found.node_modules is None
    assert not (tmp_path / "environments").exists()


async def test_node_component_without_node_says_so(tmp_path: Path) -> None:
    snapshot = snapshot_folder(SHAPES_DIR / "express_api", tmp_path)
    with pytest.raises(DependenciesFailed, match=r"no Node\.js"):
        await ensure_environment(
            component_of(snapshot),
            snapshot,
            environments_dir=tmp_path / "environments",
            node=None,
            timeout_s=1,
        )


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        ("flask @ https://example.invalid/flask.whl", "takes flask from an address"),
        ("-e git+https://example.invalid/x.git", "names no package of the index"),
        ("flask\n../../etc/passwd", "is no requirement"),
        ("file:///etc/passwd", "is no requirement"),
        ("-r ../outside.txt", "names no package of the index"),
    ],
)
async def test_requirement_that_is_not_of_the_index_is_refused_before_anything_runs(
    tmp_path: Path, requirements: str, reason: str
) -> None:
    snapshot = snapshot_files({"app.py": FLASK_APP, "requirements.txt": requirements}, tmp_path)
    with pytest.raises(DependenciesFailed, match=reason):
        await ensure(snapshot, tmp_path / "environments")
    assert [path.name for path in (tmp_path / "environments" / "python").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    "specification",
    [
        "git+ssh://git@example.invalid/x.git",
        "https://example.invalid/x.tgz",
        "file:../x",
        "someone/x",
        "./x",
        5,
    ],
)
async def test_package_that_is_not_of_the_registry_is_refused_before_anything_runs(
    tmp_path: Path, specification: object
) -> None:
    package = {"scripts": {"start": "node server.js"}, "dependencies": {"express": specification}}
    snapshot = snapshot_files(
        {"server.js": "app.listen(3000)", "package.json": json.dumps(package)}, tmp_path
    )
    with pytest.raises(DependenciesFailed, match="not from the registry"):
        await ensure(snapshot, tmp_path / "environments")
    assert [path.name for path in (tmp_path / "environments" / "node").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("node_modules/x", {"resolved": "git+ssh://git@example.invalid/x.git"}),
        ("node_modules/x", {"resolved": "../x", "link": True}),
        ("../x", {"version": "1.0.0"}),
        ("node_modules/../../x", {"version": "1.0.0"}),
        ("node_modules/x", "1.0.0"),
    ],
)
async def test_lock_that_leads_out_of_the_registry_is_refused_before_anything_runs(
    tmp_path: Path, name: str, entry: object
) -> None:
    package = {"scripts": {"start": "node server.js"}, "dependencies": {"express": "4"}}
    lock = {"lockfileVersion": 3, "packages": {"": package, name: entry}}
    snapshot = snapshot_files(
        {
            "server.js": "app.listen(3000)",
            "package.json": json.dumps(package),
            "package-lock.json": json.dumps(lock),
        },
        tmp_path,
    )
    with pytest.raises(DependenciesFailed, match="outside of the registry"):
        await ensure(snapshot, tmp_path / "environments")


async def test_without_a_registry_it_fails_with_the_last_lines_and_no_secret(tmp_path: Path) -> None:
    snapshot = snapshot_files({"app.py": FLASK_APP, "requirements.txt": "flask==3.1.2"}, tmp_path)
    with pytest.raises(DependenciesFailed) as caught:
        await ensure(
            snapshot,
            tmp_path / "environments",
            UV_DEFAULT_INDEX="http://user:secret@127.0.0.1:9/simple",
            UV_HTTP_RETRIES="0",
            UV_NO_CONFIG="1",
        )
    assert caught.value.lines
    assert "secret" not in " ".join((caught.value.reason, *caught.value.lines))
    assert [path.name for path in (tmp_path / "environments" / "python").iterdir()] == [".lock"]


async def test_installation_past_its_time_fails_and_leaves_nothing(tmp_path: Path) -> None:
    snapshot = snapshot_files({"app.py": FLASK_APP, "requirements.txt": "flask==3.1.2"}, tmp_path)
    with pytest.raises(DependenciesFailed, match=r"within 0\.01 seconds"):
        await ensure_environment(
            component_of(snapshot),
            snapshot,
            environments_dir=tmp_path / "environments",
            node=None,
            timeout_s=0.01,
        )
    assert [path.name for path in (tmp_path / "environments" / "python").iterdir()] == [".lock"]


async def test_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    snapshot = snapshot_files({"app.py": FLASK_APP, "requirements.txt": "flask==3.1.2"}, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="could not be made"):
        await ensure(snapshot, tmp_path / "file")


def test_clients_get_the_files_of_their_configuration_and_no_other_variable(tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text("cafile = /ca/of-npm.pem\n//npm.test/:_authToken=${NPM_SECRET}\n")
    (tmp_path / ".netrc").write_text("machine index.test\n")
    (tmp_path / ".config/uv").mkdir(parents=True)
    (tmp_path / ".config/uv/uv.toml").write_text("index-url = 'http://index.test/simple'\n")
    (tmp_path / "wheels").mkdir()
    found = read_client_configuration(
        {
            "HOME": str(tmp_path),
            "NPM_SECRET": "token",
            "UV_FIND_LINKS": f"file://{tmp_path}/wheels",
            "UV_CACHE_DIR": "/cache/of/the/user",
            "SSL_CERT_FILE": "/absent/ca.pem",
            "REFEREE_DATABASE_URL": "postgresql://secret",
        },
        tmp_path / "environments",
    )
    assert found.variables == {
        "NETRC": str(tmp_path / ".netrc"),
        "NPM_SECRET": "token",
        "SSL_CERT_FILE": "/absent/ca.pem",
        "UV_CONFIG_FILE": str(tmp_path / ".config/uv/uv.toml"),
        "UV_FIND_LINKS": f"file://{tmp_path}/wheels",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "npm_config_userconfig": str(tmp_path / ".npmrc"),
    }
    shown = {path for path in found.read_only if path.is_relative_to(tmp_path)}
    assert shown == {
        tmp_path / ".npmrc",
        tmp_path / ".netrc",
        tmp_path / ".config/uv/uv.toml",
        tmp_path / "wheels",
    }


def test_workspace_is_a_writable_copy_whose_node_modules_are_links_in_a_folder_of_its_own(
    tmp_path: Path,
) -> None:
    snapshot = snapshot_files(
        {"web/package.json": '{"dependencies": {"vite": "5"}}', "web/src/a.js": "1", "api/app.py": "2"},
        tmp_path,
    )
    shared = tmp_path / "shared"
    for name in ("vite/bin/vite.js", "@scope/one/index.js", ".bin/vite", ".package-lock.json"):
        (shared / name).parent.mkdir(parents=True, exist_ok=True)
        (shared / name).write_text("shared")
    component = component_of(snapshot)
    environment = AppEnvironment(program=FAKE_NODE, read_only=(shared,), node_modules=shared)
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    prepare_workspace(snapshot, workspace, {component.name: environment}, (component,))

    (workspace / "web/src/a.js").write_text("changed")
    (workspace / "web/node_modules/.vite").mkdir()
    (workspace / "web/node_modules/@scope/two").mkdir()
    (workspace / "web/node_modules/.bin/other").write_text("")
    links = {
        path.relative_to(workspace).as_posix(): path.readlink().relative_to(shared).as_posix()
        for path in workspace.rglob("*")
        if path.is_symlink()
    }
    assert links == {
        "web/node_modules/.bin/vite": ".bin/vite",
        "web/node_modules/.package-lock.json": ".package-lock.json",
        "web/node_modules/@scope/one": "@scope/one",
        "web/node_modules/vite": "vite",
    }
    assert (snapshot.root / "web/src/a.js").read_text() == "1"
    assert sorted(path.name for path in shared.iterdir()) == [".bin", ".package-lock.json", "@scope", "vite"]
    assert (workspace / "api/app.py").read_text() == "2"


def test_least_recently_used_environments_are_removed_until_the_rest_fits(tmp_path: Path) -> None:
    now_s = 1_000_000.0
    oldest = make_environment(tmp_path, "oldest", size_bytes=100, used_at_s=now_s - 9_000)
    in_use = make_environment(tmp_path, "in_use", size_bytes=100, used_at_s=now_s - 8_000)
    older = make_environment(tmp_path, "older", size_bytes=100, used_at_s=now_s - 7_000)
    recent = make_environment(tmp_path, "recent", size_bytes=100, used_at_s=now_s - 60)

    assert sweep_environments(tmp_path, {in_use / "bin"}, 350, now_s=now_s) == 1
    assert not oldest.exists()
    assert sweep_environments(tmp_path, {in_use / "bin"}, 10, now_s=now_s) == 1
    assert [older.exists(), in_use.exists(), recent.exists()] == [False, True, True]


def test_cache_goes_when_removing_environments_is_not_enough(tmp_path: Path) -> None:
    cached = tmp_path / ".cache/node/archive"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"x" * 500)
    assert sweep_environments(tmp_path, (), 500) == 0
    assert cached.exists()
    assert sweep_environments(tmp_path, (), 499) == 0
    assert not cached.exists()


def test_cache_stays_while_a_client_is_at_work(tmp_path: Path) -> None:
    cached = tmp_path / ".cache/node/archive"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"x" * 500)
    with taking_lock(tmp_path / "node") as is_held:
        assert sweep_environments(tmp_path, (), 0) == 0
    assert is_held
    assert cached.exists()


def test_sweeping_what_was_never_made_is_nothing(tmp_path: Path) -> None:
    assert sweep_environments(tmp_path / "absent", (), 0) == 0


@pytest.fixture(scope="session")
def environments_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of environments for all slow tests of a run."""
    return tmp_path_factory.mktemp("environments")


@pytest.mark.slow
async def test_installers_at_the_same_time_make_one_environment_that_nobody_needs_a_registry_for_again(
    tmp_path: Path,
) -> None:
    snapshot = snapshot_files({"app.py": FLASK_APP, "requirements.txt": "flask==3.1.2"}, tmp_path)
    folder = tmp_path / "environments"
    found = await asyncio.gather(*(ensure(snapshot, folder) for _ in range(3)))
    assert len({one.program for one in found}) == 1
    assert len([path for path in (folder / "python").iterdir() if path.name != ".lock"]) == 1
    assert await ensure(snapshot, folder, UV_OFFLINE="1") == found[0]


@pytest.mark.slow
async def test_environment_above_the_limit_is_not_kept(tmp_path: Path) -> None:
    snapshot = snapshot_files({"app.py": FLASK_APP, "requirements.txt": "flask==3.1.2"}, tmp_path)
    with pytest.raises(DependenciesFailed, match=r"MiB|allowed"):
        await ensure_environment(
            component_of(snapshot),
            snapshot,
            environments_dir=tmp_path / "environments",
            node=None,
            timeout_s=120,
            max_bytes=2_000_000,
        )
    assert [path.name for path in (tmp_path / "environments" / "python").iterdir()] == [".lock"]


@pytest.mark.slow
async def test_versions_that_do_not_go_together_are_named(tmp_path: Path, environments_dir: Path) -> None:
    snapshot = snapshot_folder(SHAPES_DIR / "broken_dependencies", tmp_path)
    with pytest.raises(DependenciesFailed) as caught:
        await ensure(snapshot, environments_dir)
    assert caught.value.reason == "The versions that the app asks for do not go together."
    assert "werkzeug==0.16.1" in " ".join(caught.value.lines)


@pytest.mark.slow
async def test_package_that_would_have_to_be_built_is_not_built(
    tmp_path: Path, environments_dir: Path
) -> None:
    snapshot = snapshot_files({"app.py": FLASK_APP, "requirements.txt": "flask-script==2.0.6"}, tmp_path)
    with pytest.raises(DependenciesFailed, match="nothing is built from source"):
        await ensure(snapshot, environments_dir)


@pytest.mark.slow
async def test_lock_that_does_not_fit_is_left_aside_and_said(tmp_path: Path, environments_dir: Path) -> None:
    _need_node()
    package = {"scripts": {"start": "node server.js"}, "dependencies": {"ms": "2.1.3"}}
    lock = {"lockfileVersion": 3, "packages": {"": {"dependencies": {"ms": "2.0.0"}}}}
    snapshot = snapshot_files(
        {
            "server.js": "app.listen(3000)",
            "package.json": json.dumps(package),
            "package-lock.json": json.dumps(lock),
        },
        tmp_path,
    )
    found = await ensure(snapshot, environments_dir)
    assert found.notices == (
        "The lock file does not fit package.json; npm chose the versions, with --legacy-peer-deps.",
    )
    assert found.node_modules is not None
    assert (found.node_modules / "ms" / "package.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "asked", "expected"),
    [
        ("flask_factory", ["/api/notes"], [200]),
        ("fastapi_lifespan", ["/health", "/docs"], [200, 200]),
        ("django_project", ["/health"], [200]),
        ("fixed_port", ["/"], [200]),
        ("port_variable", ["/health"], [200]),
        ("no_main", ["/api/health"], [200]),
        ("slow_start", ["/health"], [200]),
    ],
)
async def test_python_app_starts_as_recognised(
    tmp_path: Path, environments_dir: Path, shape: str, asked: list[str], expected: list[int | None]
) -> None:
    snapshot = snapshot_folder(SHAPES_DIR / shape, tmp_path)
    found = await start_app(snapshot, environments_dir, tmp_path, asked={"backend": asked})
    assert list(found.statuses.values()) == expected, found.log
    assert found.exit_codes == {"backend": None}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "status", "exit_code"),
    [("health_fails", 500, None), ("crash_on_start", None, 1), ("never_listens", None, None)],
)
async def test_python_app_that_does_not_come_up_fails_in_its_own_way(
    tmp_path: Path, environments_dir: Path, shape: str, status: int | None, exit_code: int | None
) -> None:
    snapshot = snapshot_folder(SHAPES_DIR / shape, tmp_path)
    found = await start_app(snapshot, environments_dir, tmp_path, asked={"backend": ["/health"]}, wait_s=4)
    assert found.statuses == {"backend /health": status}, found.log
    assert found.exit_codes == {"backend": exit_code}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "name", "path"), [("static_page", "frontend", "/"), ("described", "clock", "/time")]
)
async def test_app_without_dependencies_starts_as_recognised(
    tmp_path: Path, environments_dir: Path, shape: str, name: str, path: str
) -> None:
    snapshot = snapshot_folder(SHAPES_DIR / shape, tmp_path)
    found = await start_app(snapshot, environments_dir, tmp_path, asked={name: [path]})
    assert found.statuses == {f"{name} {path}": 200}, found.log


@pytest.mark.slow
async def test_express_app_starts_as_recognised(tmp_path: Path, environments_dir: Path) -> None:
    _need_node()
    snapshot = snapshot_folder(SHAPES_DIR / "express_api", tmp_path)
    found = await start_app(snapshot, environments_dir, tmp_path, asked={"backend": ["/health"]})
    assert found.bodies == {"backend /health": '{"status":"ok"}'}, found.log


@pytest.mark.slow
async def test_vite_serves_the_page_its_packages_and_the_backend_behind_its_proxy(
    tmp_path: Path, environments_dir: Path
) -> None:
    _need_node()
    snapshot = snapshot_folder(SHAPES_DIR / "vite_proxy", tmp_path)
    found = await start_app(
        snapshot,
        environments_dir,
        tmp_path,
        asked={"backend": ["/api/health"], "frontend": ["/", "/api/health", "/src/main.jsx"]},
    )
    assert set(found.statuses.values()) == {200}, found.log
    assert '<div id="root">' in found.bodies["frontend /"]
    assert json.loads(found.bodies["frontend /api/health"]) == {"status": "ok"}
    assert "/node_modules/.vite/deps/react.js" in found.bodies["frontend /src/main.jsx"]
    assert "/node_modules/bootstrap/dist/css/bootstrap.min.css" in found.bodies["frontend /src/main.jsx"]
    assert (tmp_path / "workspace/frontend/node_modules/.vite").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize(
    "app", ["aurora-large/app1", "aurora-large/app2", "pico-coder/app1", "pico-coder/app2"]
)
async def test_sample_app_starts_as_recognised_and_its_frontend_reaches_its_backend(
    tmp_path: Path, environments_dir: Path, app: str
) -> None:
    _need_node()
    snapshot = snapshot_folder(MODELS_DIR / app, tmp_path)
    found = await start_app(
        snapshot,
        environments_dir,
        tmp_path,
        asked={"backend": ["/health"], "frontend": ["/", "/api/products", "/api/boards"]},
        wait_s=60,
    )
    assert json.loads(found.bodies["backend /health"]) == {"status": "ok"}, found.log
    assert '<div id="root">' in found.bodies["frontend /"]
    assert {200, 401} & {found.statuses["frontend /api/products"], found.statuses["frontend /api/boards"]}


@pytest.mark.slow
async def test_lock_that_names_another_host_is_installed_from_the_users_registry(
    tmp_path: Path, environments_dir: Path
) -> None:
    _need_node()
    package = {"scripts": {"start": "node server.js"}, "dependencies": {"ms": "2.1.3"}}
    entry = {"version": "2.1.3", "resolved": "https://host.invalid/ms/-/ms-2.1.3.tgz"}
    lock = {"lockfileVersion": 3, "packages": {"": package, "node_modules/ms": entry}}
    snapshot = snapshot_files(
        {
            "server.js": "app.listen(3000)",
            "package.json": json.dumps(package),
            "package-lock.json": json.dumps(lock),
        },
        tmp_path,
    )
    found = await ensure(snapshot, environments_dir)
    assert found.node_modules is not None
    assert (found.node_modules / "ms" / "index.js").is_file()


@pytest.mark.slow
async def test_python_app_cannot_change_the_environment_that_others_share(
    tmp_path: Path, environments_dir: Path
) -> None:
    _need_read_only_system()
    source = (
        "import pathlib, flask\npathlib.Path(flask.__file__).write_text('')\n"
        "app = flask.Flask(__name__)\napp.run()\n"
    )
    snapshot = snapshot_files({"requirements.txt": "flask==3.1.2", "app.py": source}, tmp_path)
    found = await start_app(snapshot, environments_dir, tmp_path, asked={"backend": ["/"]}, wait_s=5)
    assert found.exit_codes == {"backend": 1}
    assert "Read-only file system" in found.log or "Permission denied" in found.log
    _, environments = await install_app(snapshot, environments_dir)
    shared = environments["backend"].program.parents[1]
    assert "Flask" in next(shared.glob("lib/*/site-packages/flask/__init__.py")).read_text()


@pytest.mark.slow
async def test_node_app_cannot_change_the_modules_that_others_share(
    tmp_path: Path, environments_dir: Path
) -> None:
    _need_node()
    _need_read_only_system()
    source = """
const fs = require('fs')
for (const name of ['ms/index.js', '.package-lock.json']) {
  try { fs.appendFileSync('node_modules/' + name, 'x'); console.error('changed') } catch (error) {}
}
require('http').createServer((request, answer) => answer.end('up')).listen(process.env.PORT)
"""
    package = {"scripts": {"start": "node server.js"}, "dependencies": {"ms": "2.1.3"}}
    snapshot = snapshot_files({"server.js": source, "package.json": json.dumps(package)}, tmp_path)
    found = await start_app(snapshot, environments_dir, tmp_path, asked={"backend": ["/"]})
    assert found.bodies == {"backend /": "up"}, found.log
    assert "changed" not in found.log


def test_equal_dependencies_share_one_environment_and_other_packages_besides_do_not() -> None:
    from referee.apps.environments import _key_of

    one = Dependencies(manager="uv", folder="a", files=("a/requirements.txt",), digest="1" * 64)
    same = Dependencies(manager="uv", folder="b", files=("b/requirements.txt",), digest="1" * 64)
    more = Dependencies(
        manager="uv", folder="a", files=("a/requirements.txt",), digest="1" * 64, extra=("uvicorn",)
    )
    assert _key_of(one) == _key_of(same) != _key_of(more)


def _need_node() -> None:
    if find_node() is None:
        pytest.skip("Node.js is not on the search path")


def _need_read_only_system() -> None:
    if not detect_isolation().has_read_only_system:
        pytest.skip("the sandbox of this machine cannot keep a program from writing")
