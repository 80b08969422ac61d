"""Which packages an app needs, and whether they exist.

Imports are read from the code and joined with what the app declares. A package
that is imported, known and not declared is declared for it. A name that nobody
knows is never added: whoever registers a name that models make up gets his code
into the apps ("slopsquatting"). Only a registry that the settings name is asked.

Source:
    PEP 503 for names and the simple API; npm registry API, ``GET /{package}``.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from referee.apps.generation.contract import FileSet, Notice
from referee.apps.generation.syntax import parse_python
from referee.apps.recipes_reading import strip_script_comments
from referee.core.findings import JsonValue
from referee.foundation.settings import Settings

__all__ = ["Ecosystem", "PackageUse", "complete_dependencies", "find_package_uses", "judge_packages"]

Ecosystem: TypeAlias = Literal["pypi", "npm"]
Existence: TypeAlias = Literal["exists", "absent", "unknown"]

_KNOWN: Final = Path(__file__).parent / "known_packages.toml"
_MAX_ASKED: Final = 50
"""Names that a registry is asked about for one app."""
_TIMEOUT_S: Final = 10.0
_AT_ONCE: Final = 4
_JS_IMPORT: Final = re.compile(
    r"""\b(?:from|import|(?:import|require)\s{0,20}\()\s{0,20}(['"])([^'"\n]{1,200})\1"""
)
"""The end of every form of import: what is imported stands between words that code can make as long as it likes."""
_NPM_NAME: Final = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-zA-Z0-9~-][a-zA-Z0-9._~-]*")
_NODE_MODULES: Final = frozenset({
    "assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto",
    "dgram", "diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https",
    "inspector", "module", "net", "os", "path", "perf_hooks", "process", "punycode", "querystring",
    "readline", "repl", "stream", "string_decoder", "sys", "test", "timers", "tls", "trace_events", "tty",
    "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib",
})  # fmt: skip
_NPM_VERSIONS: Final[Mapping[str, str]] = {
    "react": "^18.3.1", "react-dom": "^18.3.1", "react-router-dom": "^6.26.0",
}  # fmt: skip
"""Where the newest release does not fit what models write."""


@dataclass(slots=True)
class PackageUse:
    """A package that an app imports or declares."""

    ecosystem: Ecosystem
    name: str
    """As its registry writes it."""
    paths: list[str] = field(default_factory=list)
    """Files that import or declare it."""
    is_declared: bool = False
    is_imported: bool = False


def find_package_uses(files: FileSet) -> list[PackageUse]:
    """Return the packages of an app by ecosystem and name. Its own modules and the languages' are none."""
    uses: dict[tuple[Ecosystem, str], PackageUse] = {}

    def note(ecosystem: Ecosystem, name: str, path: str, *, is_declared: bool) -> None:
        use = uses.setdefault((ecosystem, name), PackageUse(ecosystem, name))
        use.paths = list(dict.fromkeys([*use.paths, path]))
        use.is_declared |= is_declared
        use.is_imported |= not is_declared

    own_modules = _list_own_modules(files)
    for path, text in sorted(files.items()):
        if path.endswith(".py"):
            for module in _list_python_imports(text):
                if module not in own_modules and module not in sys.stdlib_module_names:
                    note("pypi", _find_pypi_name(module), path, is_declared=False)
        elif path.endswith((".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx")):
            for name in _list_script_imports(text):
                note("npm", name, path, is_declared=False)
        elif PurePosixPath(path).name == "requirements.txt":
            for name in _list_requirements(text):
                note("pypi", name, path, is_declared=True)
        elif PurePosixPath(path).name == "package.json":
            for name in _list_package_dependencies(text):
                note("npm", name, path, is_declared=True)
    return [uses[key] for key in sorted(uses)]


async def judge_packages(
    uses: Sequence[PackageUse], settings: Settings
) -> tuple[dict[tuple[Ecosystem, str], Existence], list[Notice]]:
    """Return whether each package exists, and what has to be said about those that do not.

    A package of our list exists. Any other is asked for at the registry that the settings name, and is
    unknown without one, without an answer, or beyond the number of names that are asked.
    """
    verdicts: dict[tuple[Ecosystem, str], Existence] = {
        (use.ecosystem, use.name): "exists" if use.name in _known(use.ecosystem) else "unknown"
        for use in uses
    }
    waiting = [use for use in uses if verdicts[use.ecosystem, use.name] == "unknown"]
    urls: dict[Ecosystem, str | None] = {
        "pypi": settings.generator_pypi_url,
        "npm": settings.generator_npm_url,
    }
    asked = [use for use in waiting if urls[use.ecosystem] is not None][:_MAX_ASKED]
    if asked:
        answers = await _ask_registries([(use.ecosystem, use.name) for use in asked], urls)
        verdicts.update(answers)
    notices = [
        notice for use in waiting if (notice := _tell(use, verdicts[use.ecosystem, use.name])) is not None
    ]
    return verdicts, notices


def complete_dependencies(
    files: FileSet, uses: Sequence[PackageUse], verdicts: Mapping[tuple[Ecosystem, str], Existence]
) -> tuple[dict[str, str], list[Notice]]:
    """Return the files with every existing package that is imported declared, and what was added.

    ``backend/requirements.txt`` and ``frontend/package.json`` are extended or made; what the model declared
    stays as it is, whether or not it exists.
    """
    completed = dict(files)
    missing = [
        use
        for use in uses
        if use.is_imported and not use.is_declared and verdicts[use.ecosystem, use.name] == "exists"
    ]
    python = [use for use in missing if use.ecosystem == "pypi" and _is_in(use, "backend")]
    scripts = [use for use in missing if use.ecosystem == "npm" and _is_in(use, "frontend")]
    added: list[tuple[PackageUse, str]] = []
    if python:
        path = "backend/requirements.txt"
        text = completed.get(path, "")
        lines = "".join(f"{use.name}\n" for use in python)
        completed[path] = f"{text.rstrip()}\n{lines}".lstrip()
        added += [(use, path) for use in python]
    if scripts and "frontend/package.json" in completed:
        path = "frontend/package.json"
        package = _declare_in_package(completed[path], [use.name for use in scripts])
        if package is not None:
            completed[path] = package
            added += [(use, path) for use in scripts]
    notices = [
        Notice(
            "added_dependency",
            f"{use.name} is imported and was not declared; it was added to {path}.",
            subject=use.name,
            path=use.paths[0],
        )
        for use, path in added
    ]
    return completed, notices


def _is_in(use: PackageUse, part: str) -> bool:
    return any(path.startswith(f"{part}/") for path in use.paths)


def _tell(use: PackageUse, verdict: Existence) -> Notice | None:
    registry = "PyPI" if use.ecosystem == "pypi" else "npm"
    how = "declared" if use.is_declared else "imported"
    if verdict == "absent":
        return Notice(
            "slopsquatting",
            f"{use.name} is {how} and does not exist on {registry}: whoever registers that name runs code in this app.",
            subject=use.name,
            path=use.paths[0],
        )
    if verdict == "unknown":
        return Notice(
            "unknown_package",
            f"{use.name} is {how}, and whether {registry} has it is not known.",
            subject=use.name,
            path=use.paths[0],
        )
    return None


@cache
def _read_known() -> Mapping[str, frozenset[str]]:
    values = tomllib.loads(_KNOWN.read_text("utf-8"))
    python = {canonicalize_name(name) for name in [*values["pypi"].split(), *values["imports"].values()]}
    return {"pypi": frozenset(map(str, python)), "npm": frozenset(values["npm"].split())}


@cache
def _read_import_names() -> Mapping[str, str]:
    names: dict[str, str] = tomllib.loads(_KNOWN.read_text("utf-8"))["imports"]
    return names


def _known(ecosystem: Ecosystem) -> frozenset[str]:
    return _read_known()[ecosystem]


def _find_pypi_name(module: str) -> str:
    return str(canonicalize_name(_read_import_names().get(module, module)))


def _list_own_modules(files: FileSet) -> set[str]:
    """Return names that an import may mean as a module of the app: each file and folder with Python in it."""
    return {
        part.removesuffix(".py")
        for path in files
        if path.endswith(".py")
        for part in PurePosixPath(path).parts
    }


def _list_python_imports(text: str) -> set[str]:
    tree = parse_python(text)
    if isinstance(tree, str):
        return set()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def _list_script_imports(text: str) -> set[str]:
    found = set()
    for match in _JS_IMPORT.finditer(strip_script_comments(text)):
        target = match[2]
        if target.startswith((".", "/", "#", "@/", "~/", "node:", "virtual:", "http:", "https:", "data:")):
            continue
        parts = target.split("/")
        name = "/".join(parts[:2]) if target.startswith("@") else parts[0]
        if name not in _NODE_MODULES and _NPM_NAME.fullmatch(name):
            found.add(name)
    return found


def _list_requirements(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        try:
            requirement = Requirement(re.sub(r"(^|\s)#.*$", "", line)[:1_000].strip())
        except (InvalidRequirement, RecursionError):
            continue
        if requirement.url is None:
            found.append(str(canonicalize_name(requirement.name)))
    return found


def _read_package(text: str) -> dict[str, JsonValue] | None:
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _list_package_dependencies(text: str) -> list[str]:
    package = _read_package(text) or {}
    found: list[str] = []
    for section in ("dependencies", "devDependencies"):
        listed = package.get(section)
        found += [name for name in (listed if isinstance(listed, dict) else {}) if _NPM_NAME.fullmatch(name)]
    return found


def _declare_in_package(text: str, names: Iterable[str]) -> str | None:
    package = _read_package(text)
    if package is None:
        return None
    listed = package.get("dependencies")
    dependencies = dict(listed) if isinstance(listed, dict) else {}
    dependencies.update({name: _NPM_VERSIONS.get(name, "latest") for name in names})
    package["dependencies"] = dict(sorted(dependencies.items()))
    return json.dumps(package, indent=2, ensure_ascii=False) + "\n"


async def _ask_registries(
    names: Sequence[tuple[Ecosystem, str]], urls: Mapping[Ecosystem, str | None]
) -> dict[tuple[Ecosystem, str], Existence]:
    import httpx  # noqa: PLC0415 - only where a registry may be asked

    from referee.foundation.outgoing import GuardedTransport, OutgoingGuard, find_proxy  # noqa: PLC0415 - likewise

    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(client: httpx.AsyncClient, ecosystem: Ecosystem, name: str) -> Existence:
        base = (urls[ecosystem] or "").rstrip("/")
        if ecosystem == "pypi":
            # An index leads another spelling of a name on to this one (PEP 503), and no redirect is followed.
            address = f"{base}/{quote(re.sub(r'[-_.]+', '-', name).lower())}/"
        else:
            address = f"{base}/{quote(name, safe='@')}"
        async with slots:
            try:
                async with client.stream("GET", address) as response:
                    status = response.status_code
            except httpx.HTTPError:
                return "unknown"
        if status in (404, 410):
            return "absent"
        return "exists" if 200 <= status < 300 else "unknown"

    own = [url for url in urls.values() if url]
    guard = OutgoingGuard()
    for url in own:
        guard = guard.allowing(url)
    transport = None if any(map(find_proxy, own)) else GuardedTransport(guard)
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False, transport=transport) as client:
        answers = await asyncio.gather(*(ask(client, ecosystem, name) for ecosystem, name in names))
    return dict(zip(names, answers, strict=True))
