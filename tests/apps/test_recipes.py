"""How an app starts is found from its source alone, whatever shape it has and whatever it tries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.apps.running_samples import MODELS_DIR, SHAPES_DIR, snapshot_files, snapshot_folder

from referee.apps.recipes import Component, Recipe, find_recipe
from referee.apps.recipes_reading import SourceReader, strip_script_comments
from referee.apps.recipes_requirements import read_python_requirements
from referee.core.errors import InvalidInput

VITE = "node node_modules/vite/bin/vite.js --host {host} --port {port} --strictPort"
FLASK_APP = "from flask import Flask\napp = Flask(__name__)\n"
FLASK_MAIN = FLASK_APP + 'if __name__ == "__main__":\n    app.run(port=%s)\n'

EXPECTED = {
    "broken_dependencies": ["backend flask . [python app.py] port=5000 needs=requirements.txt"],
    "crash_on_start": ["backend flask . [python app.py] needs=requirements.txt"],
    "described": ["clock - service [python clock.py --port {port}] GREETING=it is"],
    "django_project": [
        "backend django . [python manage.py runserver --noreload {host}:{port}]"
        " build=[python manage.py migrate --noinput] needs=requirements.txt"
    ],
    "express_api": ["backend express . [node server.js] needs=package.json"],
    "fastapi_lifespan": ["backend fastapi . [python main.py] needs=requirements.txt"],
    "fixed_port": ["backend flask . [python server.py] port=7007 needs=requirements.txt"],
    "flask_factory": [
        "backend flask . [python -m flask --app notes:create_app run --host {host} --port {port}]"
        " needs=requirements.txt"
    ],
    "health_fails": ["backend flask . [python app.py] needs=requirements.txt"],
    "never_listens": ["backend flask . [python app.py] port=5000 needs=requirements.txt"],
    "no_main": [
        "backend fastapi . [python -m uvicorn app.main:app --host {host} --port {port}]"
        " needs=requirements.txt,uvicorn"
    ],
    "port_variable": ["backend flask . [python run.py] APP_PORT={port} needs=requirements.txt"],
    "slow_start": ["backend flask . [python app.py] needs=requirements.txt"],
    "static_page": ["frontend static . [python -m http.server {port} --bind {host}]"],
    "vite_proxy": [
        "backend flask backend [python app.py] port=5050 needs=backend/requirements.txt",
        f"frontend vite frontend [{VITE}] port=5174 BROWSER=none needs=frontend/package.json",
    ],
}

EXPECTED_MODELS = {
    "aurora-large/app1": [
        "backend flask backend [python app.py] needs=backend/requirements.txt",
        f"frontend vite frontend [{VITE}] BROWSER=none BACKEND_URL={{backend_url}}"
        " needs=frontend/package-lock.json,frontend/package.json",
    ],
    "aurora-large/app2": [
        "backend flask backend [python app.py] needs=backend/requirements.txt",
        "frontend express frontend [node server.js] build=[node node_modules/vite/bin/vite.js build]"
        " BACKEND_URL={backend_url} needs=frontend/package-lock.json,frontend/package.json",
    ],
    "pico-coder/app1": [
        "backend fastapi backend [python app.py] needs=backend/requirements.txt",
        f"frontend vite frontend [{VITE}] BROWSER=none BACKEND_URL={{backend_url}}"
        " needs=frontend/package-lock.json,frontend/package.json",
    ],
    "pico-coder/app2": [
        "backend fastapi backend [python app.py] needs=backend/requirements.txt",
        f"frontend vite frontend [{VITE}] BROWSER=none BACKEND_URL={{backend_url}} needs=frontend/package.json",
    ],
}


def describe(component: Component) -> str:
    """Return a component in one line."""
    needed = component.dependencies
    parts = [
        component.name,
        component.framework or "-",
        component.folder or ".",
        f"[{' '.join(component.argv)}]",
        *(f"build=[{' '.join(step)}]" for step in component.build),
        *([f"port={component.port}"] if component.port else []),
        *(f"{name}={value}" for name, value in component.environment.items()),
        *([f"needs={','.join((*needed.files, *needed.extra))}"] if needed else []),
    ]
    return " ".join(parts)


def find(files: dict[str, str], tmp_path: Path) -> Recipe | None:
    return find_recipe(snapshot_files(files, tmp_path))


def lines_of(files: dict[str, str], tmp_path: Path) -> list[str]:
    recipe = find(files, tmp_path)
    return [] if recipe is None else [describe(component) for component in recipe.components]


def package(**fields: object) -> str:
    return json.dumps(fields)


@pytest.mark.parametrize("shape", sorted(entry.name for entry in SHAPES_DIR.iterdir() if entry.is_dir()))
def test_every_shape_is_recognised(shape: str, tmp_path: Path) -> None:
    recipe = find_recipe(snapshot_folder(SHAPES_DIR / shape, tmp_path))
    assert recipe is not None
    assert [describe(component) for component in recipe.components] == EXPECTED[shape]


@pytest.mark.parametrize("app", sorted(EXPECTED_MODELS))
def test_every_sample_app_is_recognised_without_a_notice(app: str, tmp_path: Path) -> None:
    recipe = find_recipe(snapshot_folder(MODELS_DIR / app, tmp_path))
    assert recipe is not None
    assert [describe(component) for component in recipe.components] == EXPECTED_MODELS[app]
    assert recipe.notices == ()


def test_equal_dependency_files_have_one_digest_wherever_they_lie(tmp_path: Path) -> None:
    found = [
        find({f"{folder}app.py": FLASK_MAIN % 1, f"{folder}requirements.txt": text}, tmp_path)
        for folder, text in (("", "flask"), ("backend/", "flask"), ("", "flask==3.0.0"))
    ]
    digests = [
        one.components[0].dependencies.digest for one in found if one and one.components[0].dependencies
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("expression", "port", "variable"),
    [
        ("8123", 8123, ""),
        ("'8123'", 8123, ""),
        ("PORT", 4100, ""),
        ("int(os.environ.get('PORT', 5000))", None, ""),
        ("int(os.getenv('PORT') or 5000)", None, ""),
        ("os.environ['PORT']", None, ""),
        ("environ.get('WEB_PORT', 5000)", None, "WEB_PORT"),
        ("5000 if os.environ.get('PORT') is None else int(os.environ['PORT'])", None, ""),
        ("config['port']", 4200, ""),
        ("config.get('port', 1)", 4200, ""),
        ("settings.http_port", None, "SHOP_HTTP_PORT"),
        ("args.listen_port", 4300, ""),
        ("True", None, ""),
        ("99999", None, ""),
        ("find_port()", None, ""),
    ],
)
def test_port_is_followed_to_where_it_is_set(
    tmp_path: Path, expression: str, port: int | None, variable: str
) -> None:
    recipe = find(
        {
            "app.py": (
                "import os, argparse\nfrom os import environ\nfrom settings import settings\n"
                f"{FLASK_APP}PORT = 4100\nconfig = {{'port': 4200}}\n"
                "parser = argparse.ArgumentParser()\n"
                "parser.add_argument('--listen_port', default=4300)\nargs = parser.parse_args()\n"
                f"if __name__ == '__main__':\n    app.run(port={expression})\n"
            ),
            "settings.py": (
                "from pydantic_settings import BaseSettings\n"
                "class Settings(BaseSettings):\n    http_port: int = 4400\n"
                "    class Config:\n        env_prefix = 'shop_'\nsettings = Settings()\n"
            ),
        },
        tmp_path,
    )
    assert recipe is not None
    assert recipe.components[0].port == port
    assert dict(recipe.components[0].environment) == ({variable: "{port}"} if variable else {})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"app.py": FLASK_APP + "app.run()"}, "[python app.py] port=5000"),
        ({"main.py": FLASK_APP + "app.run('0.0.0.0', 4000)"}, "[python main.py] port=4000"),
        (
            {"run.py": "from web import app\napp.run(port=4000)", "web/__init__.py": FLASK_APP},
            "[python run.py] port=4000",
        ),
        (
            {
                "app.py": FLASK_APP
                + "def main():\n    app.run(port=1)\nif __name__ == '__main__':\n    main()\n"
            },
            "[python app.py] port=1",
        ),
        (
            {"app.py": FLASK_APP + "def never():\n    app.run(port=1)\n"},
            "[python -m flask --app app:app run --host {host} --port {port}]",
        ),
        (
            {
                "web/app.py": "from . import models\n" + FLASK_MAIN % 1,
                "web/models.py": "",
                "web/__init__.py": "",
            },
            "[python -m web.app] port=1",
        ),
        (
            {"src/shop/app.py": "import shop.models\n" + FLASK_APP, "src/shop/models.py": ""},
            "[python -m flask --app shop.app:app run --host {host} --port {port}]",
        ),
        (
            {
                "tests/test_app.py": FLASK_MAIN % 1,
                "scripts/run.py": FLASK_MAIN % 2,
                "server.py": FLASK_MAIN % 3,
            },
            "[python server.py] port=3",
        ),
        (
            {"app.py": "from waitress import serve\n" + FLASK_APP + "serve(app, port=8088)"},
            "[python app.py] port=8088",
        ),
    ],
)
def test_start_that_the_author_wrote_is_preferred(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    found = lines_of({"requirements.txt": "flask", **files}, tmp_path)
    folder = "src" if any(path.startswith("src/") for path in files) else "."
    assert found == [f"backend flask {folder} {expected} needs=requirements.txt"]


def test_fastapi_factory_is_started_as_one(tmp_path: Path) -> None:
    source = "from fastapi import FastAPI\ndef make_app(debug=False):\n    app = FastAPI()\n    return app\n"
    assert lines_of({"api/main.py": source}, tmp_path) == [
        "backend fastapi api [python -m uvicorn main:make_app --factory --host {host} --port {port}]"
        " needs=fastapi,uvicorn"
    ]


@pytest.mark.parametrize(
    ("named", "expected"),
    [("backend.main:app", ". [python -m backend.main]"), ("main:app", "backend [python main.py]")],
)
def test_app_that_is_served_by_its_name_starts_where_that_is_found(
    tmp_path: Path, named: str, expected: str
) -> None:
    source = (
        f"import uvicorn\nfrom fastapi import FastAPI\napp = FastAPI()\nuvicorn.run('{named}', port=8001)\n"
    )
    assert lines_of({"backend/main.py": source, "requirements.txt": "fastapi[standard]"}, tmp_path) == [
        f"backend fastapi {expected} port=8001 needs=requirements.txt"
    ]


def test_two_files_that_could_start_it_are_a_notice(tmp_path: Path) -> None:
    recipe = find(
        {"requirements.txt": "flask", "app.py": FLASK_MAIN % 1, "main.py": FLASK_MAIN % 2}, tmp_path
    )
    assert recipe is not None
    assert recipe.components[0].argv == ("python", "app.py")
    assert recipe.notices == ("app.py is started; main.py could be, too.",)


@pytest.mark.parametrize(
    "files",
    [
        {"README.md": "# nothing"},
        {"lib.py": "def add(a, b):\n    return a + b\n"},
        {"main.py": "import asyncio, subprocess\nsubprocess.run(['ls'])\nasyncio.run(main())\n"},
        {"game.py": "app = Game()\nif __name__ == '__main__':\n    app.run()\n"},
        {"package.json": "{}", "src/util.js": "export const one = 1"},
        {"package.json": '{"dependencies": {"next": "15"}, "scripts": {"dev": "next dev"}}'},
    ],
)
def test_what_cannot_be_started_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert find(files, tmp_path) is None


@pytest.mark.parametrize(
    ("scripts", "source", "expected"),
    [
        ({"start": "node server.js"}, "app.listen(4000)", "[node server.js] port=4000"),
        (
            {"start": "NODE_ENV=production node ./server.js"},
            "app.listen(port); let port = 5",
            "[node ./server.js]",
        ),
        ({"dev": "nodemon server.js"}, "const PORT = 4500\napp.listen(PORT)", "[node server.js] port=4500"),
        (
            {"start": "node server.js"},
            "const port = Number(process.env.API_PORT) || 3000;\napp.listen(port)",
            "[node server.js] API_PORT={port}",
        ),
        ({}, "// app.listen(1)\napp.listen(process.env.PORT || 3000)", "[node server.js]"),
        ({"start": "rm -rf / && node server.js"}, "app.listen({ port: 4000 })", "[node server.js] port=4000"),
    ],
)
def test_node_server_is_started_by_its_file(
    tmp_path: Path, scripts: dict[str, str], source: str, expected: str
) -> None:
    files = {"package.json": package(scripts=scripts, dependencies={"express": "4"}), "server.js": source}
    assert lines_of(files, tmp_path) == [f"backend express . {expected} needs=package.json"]


def test_typescript_server_is_built_first(tmp_path: Path) -> None:
    files = {
        "package.json": package(
            scripts={"build": "tsc", "start": "node dist/server.js"},
            dependencies={"express": "4"},
            devDependencies={"typescript": "5"},
        ),
        "src/server.ts": "app.listen(3000)",
    }
    assert lines_of(files, tmp_path) == [
        "backend express . [node dist/server.js] build=[node node_modules/typescript/bin/tsc] needs=package.json"
    ]


def test_server_and_page_of_one_package_are_two_components(tmp_path: Path) -> None:
    files = {
        "package.json": package(
            scripts={"dev": "vite", "server": "node server.js"},
            dependencies={"express": "4"},
            devDependencies={"vite": "5"},
        ),
        "server.js": "app.listen(process.env.PORT || 3001)",
        "vite.config.js": "export default { server: { proxy: { '/api': 'http://localhost:3001' } } }",
    }
    assert lines_of(files, tmp_path) == [
        "backend express . [node server.js] port=3001 needs=package.json",
        f"frontend vite . [{VITE}] BROWSER=none needs=package.json",
    ]


@pytest.mark.parametrize(
    ("files", "port"),
    [
        ({"src/api.js": "fetch('http://localhost:5055/api')"}, 5055),
        ({".env": "VITE_API_URL=http://127.0.0.1:5056/api\n"}, 5056),
        ({"vite.config.js": "// 'http://localhost:1234'\nproxy: 'http://backend:5057'"}, 5057),
        ({"vite.config.js": "const t = process.env.API_TARGET || 'http://localhost:5058'"}, None),
        ({"src/api.js": "/* http://localhost:5059 */ fetch('/api')"}, None),
    ],
)
def test_backend_listens_where_its_frontend_looks_for_it(
    tmp_path: Path, files: dict[str, str], port: int | None
) -> None:
    base = {
        "backend/app.py": "import os\n" + FLASK_MAIN % "os.environ['PORT']",
        "frontend/package.json": package(devDependencies={"vite": "5"}),
    }
    recipe = find({**base, **{f"frontend/{name}": text for name, text in files.items()}}, tmp_path)
    assert recipe is not None
    assert [component.port for component in recipe.components] == [port, None]


def test_frontend_that_looks_elsewhere_is_a_notice(tmp_path: Path) -> None:
    recipe = find(
        {
            "backend/app.py": FLASK_MAIN % 5000,
            "backend/requirements.txt": "flask",
            "frontend/package.json": package(devDependencies={"vite": "5"}),
            "frontend/src/api.js": "fetch('http://localhost:8000/api')",
        },
        tmp_path,
    )
    assert recipe is not None
    assert recipe.notices == ("The frontend looks for its backend at port 8000, which listens at 5000.",)


def test_path_of_a_backend_variable_is_kept(tmp_path: Path) -> None:
    config = "const target = process.env.API_URL ?? 'http://localhost:5000/api/'"
    recipe = find(
        {"package.json": package(devDependencies={"vite": "5"}), "vite.config.ts": config}, tmp_path
    )
    assert recipe is not None
    assert recipe.components[0].environment["API_URL"] == "{backend_url}/api"


def test_folder_of_pages_that_the_backend_serves_is_no_component_of_its_own(tmp_path: Path) -> None:
    served = {
        "app.py": "from flask import Flask\napp = Flask(__name__, static_folder='frontend')\napp.run()\n",
        "frontend/index.html": "<h1>hi</h1>",
    }
    alone = {**served, "app.py": FLASK_APP + "app.run()\n"}
    assert [line.split()[0] for line in lines_of(served, tmp_path)] == ["backend"]
    assert [line.split()[0] for line in lines_of(alone, tmp_path)] == ["backend", "frontend"]


def test_compose_file_and_foreign_lock_are_notices(tmp_path: Path) -> None:
    recipe = find(
        {
            "package.json": package(devDependencies={"vite": "5"}),
            "yarn.lock": "",
            "docker-compose.yml": "services: {}",
        },
        tmp_path,
    )
    assert recipe is not None
    assert recipe.notices == (
        "yarn.lock is not read; npm chooses the versions.",
        "docker-compose.yml is there and not used.",
    )


def test_own_description_wins_over_everything(tmp_path: Path) -> None:
    description = """
[[components]]
name = "api"
kind = "python"
folder = "server"
command = "gunicorn --bind 0.0.0.0:9000 'app:app'"
build = ["python setup_database.py"]
environment = { MODE = "demo" }
probe = ["/ready", "/"]

[[components]]
name = "web"
folder = "ui"
command = ["npx", "vite", "--port", "{port}"]
"""
    recipe = find(
        {
            "referee.toml": description,
            "Procfile": "web: python other.py | tee log",
            "server/app.py": FLASK_MAIN % 1,
            "server/requirements.txt": "flask",
            "ui/package.json": package(devDependencies={"vite": "5"}),
        },
        tmp_path,
    )
    assert recipe is not None
    assert [describe(component) for component in recipe.components] == [
        "api flask server [python -m gunicorn --bind 0.0.0.0:9000 app:app] build=[python setup_database.py]"
        " port=9000 MODE=demo needs=server/requirements.txt,gunicorn",
        "web vite ui [node node_modules/vite/bin/vite.js --port {port}] needs=ui/package.json",
    ]
    assert [component.probe_paths for component in recipe.components] == [("/ready", "/"), ("/",)]


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ('name = "Web"\ncommand = "node a.js"', "needs a name"),
        ('name = "web"\ncommand = "node a.js"\nshell = true', "'shell' is not known"),
        ('name = "web"', "neither a text nor a list"),
        ('name = "web"\ncommand = "node a.js; rm -rf /"', "needs a shell"),
        ('name = "web"\ncommand = "node $(id)"', "needs a shell"),
        ('name = "web"\ncommand = "node \'a.js"', "cannot be split"),
        ('name = "web"\ncommand = "bash run.sh"', "not one that Referee starts"),
        ('name = "web"\ncommand = "node a.js"\nfolder = "../.."', "leads out of the app"),
        ('name = "web"\ncommand = "node a.js"\nfolder = "/etc"', "leads out of the app"),
        ('name = "web"\ncommand = "node a.js"\nfolder = "absent"', "no folder"),
        ('name = "web"\ncommand = "node a.js"\nport = 70000', "not a number from 1 to 65535"),
        ('name = "web"\ncommand = "node a.js"\nport = true', "not a number from 1 to 65535"),
        ('name = "web"\ncommand = "node a.js"\nkind = "docker"', "not python, node or static"),
        ('name = "web"\ncommand = "node a.js"\nenvironment = { "A=B" = "c" }', "cannot be set"),
        ('name = "web"\ncommand = "node a.js"\nprobe = "http://other/"', "not a path"),
        ('name = "web"\ncommand = "node a.js"\nbuild = "make"', "not a list"),
        ('name = "web"\ncommand = ["node", 5]', "no word"),
        (
            'name = "web"\ncommand = "node a.js"\n[[components]]\nname = "web"\ncommand = "node a.js"',
            "same name",
        ),
    ],
)
def test_malformed_description_is_refused_with_a_sentence(tmp_path: Path, entry: str, what: str) -> None:
    with pytest.raises(InvalidInput, match=what) as caught:
        find({"referee.toml": f"[[components]]\n{entry}\n", "a.js": ""}, tmp_path)
    assert caught.value.code == "app.description_invalid"


@pytest.mark.parametrize(
    "text", ["", "components = 5", "components = []", "[[components", "[[components]]\n" * 9]
)
def test_description_without_components_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"The app's referee\.toml cannot be used"):
        find({"referee.toml": text, "a.js": ""}, tmp_path)


def test_procfile_is_split_without_a_shell(tmp_path: Path) -> None:
    recipe = find(
        {
            "Procfile": (
                "# how to start\nrelease: ./migrate.sh\n"
                'web: APP_MODE=demo uvicorn "main:app" --host 0.0.0.0 --port ${PORT:-8000}\n'
            ),
            "main.py": "from fastapi import FastAPI\napp = FastAPI()\n",
            "requirements.txt": "fastapi\nuvicorn",
            "frontend/package.json": package(devDependencies={"vite": "5"}),
        },
        tmp_path,
    )
    assert recipe is not None
    assert [describe(component) for component in recipe.components] == [
        "backend fastapi . [python -m uvicorn main:app --host 0.0.0.0 --port {port}] APP_MODE=demo"
        " needs=requirements.txt",
        f"frontend vite frontend [{VITE}] BROWSER=none needs=frontend/package.json",
    ]
    assert recipe.notices == ("The process 'release' of the Procfile is not started.",)


@pytest.mark.parametrize(
    "line",
    [
        "web: cd backend && python app.py",
        "web: python app.py > /etc/passwd",
        "web: python app.py $SECRET",
        "web: python `id`",
        "web: ./start.sh",
        "web:",
        "just words",
        "a b: python app.py",
    ],
)
def test_procfile_that_needs_a_shell_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(InvalidInput, match="Procfile cannot be used"):
        find({"Procfile": line, "app.py": FLASK_APP}, tmp_path)


def test_only_names_and_versions_of_a_requirements_file_are_taken_over(tmp_path: Path) -> None:
    text = (
        "\ufeff# pinned\nFlask==3.0.0  # web\n--index-url https://example.invalid/simple\n-r more/base.txt\n"
        "requests[socks]>=2 ; python_version > '3' \\\n    --hash=sha256:abc\n${SECRET}\n"
        "x @ https://example.invalid/${TOKEN}\n-e .\n"
    )
    snapshot = snapshot_files(
        {"requirements.txt": text, "more/base.txt": "uvicorn\n-r ../requirements.txt\n"}, tmp_path
    )
    found = read_python_requirements(SourceReader(snapshot), "")
    assert found.lines == ["Flask==3.0.0", "uvicorn", 'requests[socks]>=2; python_version > "3"']
    assert found.files == ["requirements.txt", "more/base.txt"]
    assert found.notices == ["The option --index-url in requirements.txt is not followed."]
    assert found.refused == [
        "base.txt has the line '-r ../requirements.txt', which names no package of the index.",
        "requirements.txt asks for '${SECRET}', which is no requirement.",
        "requirements.txt takes x from an address, not from the index.",
        "requirements.txt has the line '-e .', which names no package of the index.",
    ]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("pyproject.toml", '[project]\ndependencies = ["flask>=3", "httpx"]', ["flask>=3", "httpx"]),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\npython = "^3.11"\nflask = "^2.3"\nsmall = "^0.0.3"\nzero = "^0.2.1"\n'
            'one = "~1.4"\nany = "*"\nfast = { version = "0.1", extras = ["all"] }\nexact = "==2.0"',
            [
                "flask<3,>=2.3", "small<0.0.4,>=0.0.3", "zero<0.3,>=0.2.1", "one<1.5,>=1.4", "any",
                "fast[all]==0.1", "exact==2.0",
            ],
        ),
        ("setup.cfg", "[options]\ninstall_requires =\n    flask\n    # no\n    httpx<1\n", ["flask", "httpx<1"]),
        ("Pipfile", '[packages]\nflask = "*"\nhttpx = "==0.27"', ["flask", "httpx==0.27"]),
    ],
)  # fmt: skip
def test_dependencies_of_other_files_are_read(
    tmp_path: Path, name: str, text: str, expected: list[str]
) -> None:
    found = read_python_requirements(SourceReader(snapshot_files({name: text}, tmp_path)), "")
    assert (found.lines, found.refused) == (expected, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 'http://x' // y\n", "a = 'http://x'  \n"),
        ("a /* b */ c", "a   c"),
        ("`http://${x}` /* never closed", "`http://${x}`  "),
        ("'it\\'s // in'", "'it\\'s // in'"),
    ],
)
def test_comments_of_scripts_are_left_out_and_addresses_stay(text: str, expected: str) -> None:
    assert strip_script_comments(text) == expected


@pytest.mark.parametrize(
    "hostile",
    [
        "(" * 100_000,
        "app = " + "-" * 50_000 + "1",
        "a" + ".b" * 50_000 + ".run()",
        "x = Flask(" + "[" * 5_000,
        "if __name__ == '__main__':\n    app.run(port="
        + " or ".join(["PORT"] * 3_000)
        + ")\nPORT = PORT or PORT\n",
    ],
)
def test_hostile_python_is_read_to_the_end_or_left_aside(tmp_path: Path, hostile: str) -> None:
    files = {"app.py": FLASK_APP + hostile, "main.py": FLASK_MAIN % 4321, "requirements.txt": "flask"}
    recipe = find(files, tmp_path)
    assert recipe is not None


@pytest.mark.parametrize(
    "hostile", ["/*" * 100_000, "`" * 100_001, '"\\' * 100_000, "http://localhost:" * 20_000]
)
def test_hostile_script_is_read_in_time(tmp_path: Path, hostile: str) -> None:
    files = {
        "package.json": package(devDependencies={"vite": "5"}),
        "vite.config.js": hostile,
        "src/a.js": hostile,
    }
    assert lines_of(files, tmp_path) == [f"frontend vite . [{VITE}] BROWSER=none needs=package.json"]


_NAMES = st.sampled_from(
    ["app.py", "manage.py", "requirements.txt", "pyproject.toml", "package.json", "vite.config.js", "Procfile",
     "referee.toml", "setup.cfg", "index.html", "frontend/package.json", "backend/main.py", ".env"]
)  # fmt: skip
_TEXTS = st.one_of(
    st.text(max_size=200),
    st.sampled_from(["[]", "{}", '{"scripts": []}', '{"dependencies": ["a"], "main": 5}', "[project]\ndependencies=5"]),
    st.lists(st.sampled_from(["Flask(", ")", "app", "=", ".run(", "port=", "\n", "web:", "-r", "[[components]]", "'"]))
    .map("".join),
)  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_NAMES, _TEXTS, min_size=1, max_size=5))
def test_any_source_gives_a_recipe_none_or_a_refusal(tmp_path: Path, files: dict[str, str]) -> None:
    writable = {name: text.encode("utf-8", "replace").decode() for name, text in files.items()}
    try:
        recipe = find({"kept.txt": "kept", **writable}, tmp_path)
    except InvalidInput as error:
        assert error.code == "app.description_invalid"
        return
    for component in recipe.components if recipe else ():
        assert component.argv[0] in ("python", "node")
        assert component.port is None or 0 < component.port < 65_536
        assert component.folder in ("", "frontend", "backend")
