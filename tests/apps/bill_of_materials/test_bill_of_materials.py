"""Bills of materials: what lock files say stands in them, what they do not say is named, and nothing breaks them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from referee.apps import SourceLimits, take_snapshot
from referee.apps.bill_of_materials.document import render_bill

LOCKS = Path(__file__).parent / "locks"
LIMITS = SourceLimits(files_count=1_000, total_bytes=64_000_000, file_bytes=32_000_000)

MakeBill: TypeAlias = Callable[[Mapping[str, str]], dict[str, Any]]


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write files below a folder."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8", errors="surrogateescape")
    return root


def render(root: Path, snapshots: Path) -> bytes:
    """Return the document of a folder."""
    return render_bill(take_snapshot(root, snapshots, LIMITS, name="m/app1"), "m/app1")


@pytest.fixture
def make_bill(tmp_path: Path) -> MakeBill:
    """Return the document of files, checked against the schema that the library brings."""

    def make(files: Mapping[str, str]) -> dict[str, Any]:
        content = render(write(tmp_path / "app", files), tmp_path / "snapshots").decode()
        problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(content)
        assert problem is None, problem
        document: dict[str, Any] = json.loads(content)
        return document

    return make


def read(name: str) -> str:
    """Return a lock file as its program wrote it."""
    return (LOCKS / name).read_text(encoding="utf-8")


def scopes(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the scope of every component."""
    return {one["bom-ref"]: one["scope"] for one in document["components"]}


def links(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return who needs whom; the app is called so."""
    return {
        "app" if one["ref"].startswith("app:") else one["ref"]: one["dependsOn"]
        for one in document["dependencies"]
        if "dependsOn" in one
    }


def gaps(document: Mapping[str, Any]) -> list[str]:
    """Return what is not known."""
    return [one["value"] for one in document["properties"] if one["name"] == "referee:gap"]


def aggregate(document: Mapping[str, Any]) -> str:
    """Return whether the list may be short."""
    return str(document["compositions"][0]["aggregate"])


@pytest.mark.parametrize("version", [1, 2, 3])
def test_npm_lock_of_every_version_is_the_same_bill(make_bill: MakeBill, version: int) -> None:
    document = make_bill(
        {
            "web/package.json": read("package.json"),
            "web/package-lock.json": read(f"lock-{version}.json"),
        }
    )

    assert scopes(document) == {
        "pkg:npm/%40sindresorhus/is@7.0.1": "excluded",
        "pkg:npm/is-number@7.0.0": "optional",
        "pkg:npm/js-tokens@3.0.2": "required",
        "pkg:npm/js-tokens@4.0.0": "required",
        "pkg:npm/loose-envify@1.4.0": "required",
        "pkg:npm/to-regex-range@5.0.1": "excluded",
    }
    assert links(document) == {
        "app": [
            "pkg:npm/%40sindresorhus/is@7.0.1",
            "pkg:npm/is-number@7.0.0",
            "pkg:npm/js-tokens@3.0.2",
            "pkg:npm/loose-envify@1.4.0",
            "pkg:npm/to-regex-range@5.0.1",
        ],
        "pkg:npm/loose-envify@1.4.0": ["pkg:npm/js-tokens@4.0.0"],
        "pkg:npm/to-regex-range@5.0.1": ["pkg:npm/is-number@7.0.0"],
    }
    by_ref = {one["bom-ref"]: one for one in document["components"]}
    scoped = by_ref["pkg:npm/%40sindresorhus/is@7.0.1"]
    assert (scoped["group"], scoped["name"], scoped["version"]) == ("@sindresorhus", "is", "7.0.1")
    assert [one["alg"] for one in scoped["hashes"]] == ["SHA-512"]
    assert (aggregate(document), gaps(document)) == ("complete", [])


def test_uv_lock_knows_what_each_package_is_for(make_bill: MakeBill) -> None:
    document = make_bill({"pyproject.toml": read("uv-pyproject.toml"), "uv.lock": read("uv.lock")})

    by_name = {one["name"]: one for one in document["components"]}
    assert {name: one["scope"] for name, one in by_name.items()} == {
        "blinker": "required", "click": "required", "flask": "required",
        "iniconfig": "excluded", "itsdangerous": "required", "jinja2": "required", "markupsafe": "required",
        "orjson": "optional", "werkzeug": "required",
    }  # fmt: skip
    found = links(document)
    assert found["app"] == ["pkg:pypi/flask@3.0.3", "pkg:pypi/iniconfig@2.0.0", "pkg:pypi/orjson@3.10.7"]
    assert [one.partition("@")[0] for one in found["pkg:pypi/flask@3.0.3"]] == [
        f"pkg:pypi/{name}" for name in ("blinker", "click", "itsdangerous", "jinja2", "werkzeug")
    ]
    files = [one["url"] for one in by_name["flask"]["externalReferences"]]
    assert files == ["flask-3.0.3-py3-none-any.whl", "flask-3.0.3.tar.gz"]
    assert (aggregate(document), gaps(document)) == ("complete", [])
    assert "index.example" not in json.dumps(document)


@pytest.mark.parametrize(
    ("lock", "expected"),
    [
        ("poetry-2.lock", {"click": "required", "colorama": "required", "iniconfig": "excluded"}),
        ("poetry-1.lock", {"atomicwrites": "excluded", "click": "required"}),
    ],
)
def test_poetry_lock_of_both_forms(make_bill: MakeBill, lock: str, expected: Mapping[str, str]) -> None:
    document = make_bill({"pyproject.toml": read("poetry-pyproject.toml"), "poetry.lock": read(lock)})

    assert {one["name"]: one["scope"] for one in document["components"]} == expected
    assert all("hashes" in one or "externalReferences" in one for one in document["components"])
    assert "pkg:pypi/click@8.1.7" in links(document)["app"]
    assert aggregate(document) == "complete"


def test_without_a_lock_ranges_stay_ranges_and_the_bill_is_incomplete(make_bill: MakeBill) -> None:
    document = make_bill(
        {
            "backend/requirements.txt": "Flask_Login==0.6.3\nrequests[socks]>=2,<3 ; python_version > '3'\n",
            "backend/requirements-dev.txt": f"-r requirements.txt\npytest==8.0.0 --hash=sha256:{'a' * 64}\n",
            "frontend/package.json": json.dumps(
                {
                    "dependencies": {"react": "^18.3.1", "left-pad": "1.3.0", "own": "file:../own"},
                    "devDependencies": {"vite": "~6.0"},
                }
            ),
        }
    )

    wanted = {
        one["bom-ref"]: [p["value"] for p in one["properties"] if p["name"] == "referee:wanted"]
        for one in document["components"]
    }
    assert wanted == {
        "path:npm/own@": [],
        "pkg:npm/left-pad@1.3.0": [],
        "pkg:npm/react": ["^18.3.1"],
        "pkg:npm/vite": ["~6.0"],
        "pkg:pypi/flask-login@0.6.3": [],
        "pkg:pypi/pytest@8.0.0": [],
        "pkg:pypi/requests": ["<3,>=2"],
    }
    assert [ref for ref, scope in scopes(document).items() if scope == "excluded"] == [
        "pkg:npm/vite",
        "pkg:pypi/pytest@8.0.0",
    ]
    assert (aggregate(document), gaps(document)) == ("incomplete", [])


def test_other_dependency_files_are_taken_from_the_tools_readers(make_bill: MakeBill) -> None:
    document = make_bill(
        {
            "a/Pipfile": '[packages]\nflask = "==2.2.2"\nclick = "*"\n',
            "b/setup.py": "raise SystemExit\n",
            "c/yarn.lock": '# yarn lockfile v1\n\n\nleft-pad@^1.0.0:\n  version "1.3.0"\n',
        }
    )

    assert sorted(scopes(document)) == ["pkg:npm/left-pad@1.3.0", "pkg:pypi/flask@2.2.2"]
    assert gaps(document) == [
        "b/setup.py: skipped: setup.py is code and is not run",
        "click: skipped: not pinned to one version",
    ]
    assert aggregate(document) == "incomplete"


def test_app_without_dependency_files_has_an_empty_bill_that_claims_nothing(make_bill: MakeBill) -> None:
    document = make_bill({"app.py": "import flask\n"})
    assert (document["components"], aggregate(document)) == ([], "unknown")


def test_addresses_and_what_they_hold_stay_out(make_bill: MakeBill) -> None:
    document = make_bill(
        {
            "requirements.txt": "one @ git+https://user:secret@host.example/one.git\n"
            "https://user:secret@host.example/x.whl\n"
            "-e git+https://user:secret@host.example/z.git#egg=z\n",
            "package.json": json.dumps(
                {"dependencies": {"two": "git+ssh://user:secret@host.example/two.git"}}
            ),
        }
    )

    assert sorted(scopes(document)) == ["git:npm/two@", "git:pypi/one@"]
    assert "purl" not in json.dumps(document)
    assert "secret" not in json.dumps(document)
    assert len(gaps(document)) == 2


HOSTILE = {
    "package-lock.json": '{"lockfileVersion": 3, "packages": {"node_modules/<script>": {"version": "1.0.0"}, '
    '"node_modules/a": {"version": "\\u202e1"}, "node_modules/b": {"version": {"x": 1}, "dependencies": [1]}, '
    f'"{"node_modules/x/" * 500}": {{"version": "1.0.0"}}, "node_modules/c": 7}}}}',
    "deep/package.json": '{"dependencies": ' + "[" * 100_000,
    "list/package.json": "[1, 2]",
    "poetry.lock": '[[package]]\nname = "a\\u0000b"\nversion = "1"\n[[package]]\nname = 7\n'
    "[package.dependencies]\na = 1\n",
    "x/uv.lock": "package = 3\n",
    "y/uv.lock": "a" + ".b" * 5_000 + " = 1\n",
    "z/requirements.txt": "../../etc/passwd\n-r ../../../etc/passwd\n\udcff\udcfe\n"
    + "a" * 100_000
    + "\n--\n=\n",
    "z/pyproject.toml": '[project]\ndependencies = "no list"\n[tool.poetry]\ngroup = 3\n',
}


@pytest.mark.parametrize("path", HOSTILE)
def test_hostile_file_is_a_named_gap_and_not_a_crash(make_bill: MakeBill, path: str) -> None:
    document = make_bill({path: HOSTILE[path], "ok/requirements.txt": "flask==2.2.2\n"})

    assert "pkg:pypi/flask@2.2.2" in scopes(document)
    assert "<script>" not in "".join(scopes(document))
    assert aggregate(document) == "incomplete"
    assert not re.search("[\u202e\x00]", json.dumps(document, ensure_ascii=False))


def test_bill_of_many_packages_has_each_of_them(tmp_path: Path) -> None:
    count = 2_000
    packages: dict[str, object] = {"": {"dependencies": {f"p{number}": "1" for number in range(count)}}}
    packages |= {
        f"node_modules/p{number}": {
            "version": "1.0.0",
            "dependencies": {f"p{(number * 7 + offset) % count}": "1" for offset in range(5)},
        }
        for number in range(count)
    }
    write(tmp_path / "app", {"package-lock.json": json.dumps({"packages": packages})})
    document = json.loads(render(tmp_path / "app", tmp_path / "snapshots"))

    assert len(document["components"]) == count
    assert len({component["purl"] for component in document["components"]}) == count


def test_same_source_is_the_same_document_byte_by_byte(tmp_path: Path) -> None:
    files = {"uv.lock": read("uv.lock"), "web/package-lock.json": read("lock-3.json")}
    one = render(write(tmp_path / "one", files), tmp_path / "snapshots")
    two = render(write(tmp_path / "two", files), tmp_path / "others")
    other = render(write(tmp_path / "one", {"new.py": "x = 1\n"}), tmp_path / "snapshots")

    assert one == two
    assert b"timestamp" not in one
    assert json.loads(other)["serialNumber"] != json.loads(one)["serialNumber"]
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-.*", json.loads(one)["serialNumber"])


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["1.0.0", "npm:a@1.0.0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["version", "dependencies", "requires", "integrity", "name", "link", "node_modules/a", ""]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(packages=json_values)
@settings(max_examples=60, deadline=None)
def test_whatever_a_lock_holds_the_document_is_valid(
    packages: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    write(root / "app", {"package-lock.json": json.dumps({"packages": packages, "dependencies": packages})})
    content = render(root / "app", root / "snapshots").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content) is None
