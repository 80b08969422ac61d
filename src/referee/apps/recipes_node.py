"""How a Node.js app starts: from its ``package.json``, its Vite configuration and its server file.

JavaScript is looked at as text without comments; no script of the app is run to find out.
Programs are started by their own file below ``node_modules``, never through npm or a shell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from referee.apps.recipes_contract import PAGE_PROBE, Component, Dependencies
from referee.apps.recipes_ports import is_port
from referee.apps.recipes_reading import (
    MAX_FOLDER_DEPTH,
    SourceReader,
    folder_of,
    join_path,
    strip_script_comments,
)
from referee.apps.recipes_requirements import digest_files
from referee.apps.recipes_vite import find_own_port, find_proxy_variables

__all__ = ["find_node_components", "find_node_dependencies", "translate_node_words"]

VITE: Final = ("node", "node_modules/vite/bin/vite.js")
_PROGRAMS: Final[Mapping[str, str]] = {
    "vite": "node_modules/vite/bin/vite.js",
    "tsc": "node_modules/typescript/bin/tsc",
    "tsx": "node_modules/tsx/dist/cli.mjs",
    "ts-node": "node_modules/ts-node/dist/bin.js",
    "nodemon": "",
    "node": "",
    "react-scripts": "node_modules/react-scripts/bin/react-scripts.js",
    "serve": "node_modules/serve/build/main.js",
    "http-server": "node_modules/http-server/bin/http-server",
    "webpack": "node_modules/webpack/bin/webpack.js",
}
"""Where the programs that scripts name lie; empty: Node.js itself runs the file that follows."""
_SERVER_PACKAGES: Final = (
    "express",
    "fastify",
    "koa",
    "@hapi/hapi",
    "restify",
    "polka",
    "hono",
    "@nestjs/core",
)
_ENTRY_NAMES: Final = (
    "server.js", "index.js", "app.js", "main.js", "server.mjs", "index.mjs", "app.mjs", "server.cjs", "index.cjs",
    "src/server.js", "src/index.js", "src/app.js", "src/main.js", "server/index.js", "server/server.js",
)  # fmt: skip
_NOT_SERVERS: Final = frozenset(_PROGRAMS[name] for name in ("vite", "tsc", "react-scripts", "webpack"))
_UNKNOWN: Final = {
    "next": "Next.js",
    "nuxt": "Nuxt",
    "@angular/cli": "Angular",
    "gatsby": "Gatsby",
    "astro": "Astro",
}
_LOCK_NAMES: Final = ("package-lock.json", "npm-shrinkwrap.json")
_OTHER_LOCKS: Final = ("yarn.lock", "pnpm-lock.yaml", "bun.lockb", "bun.lock")
_LISTEN: Final = re.compile(r"\.listen\(\s*(?:\{\s*port\s*:\s*)?([\w.$]+)")
_PORT_VARIABLE: Final = re.compile(r"process\.env(?:\.(\w+)|\[\s*['\"](\w+)['\"]\s*\])")
_SCRIPT_WORD: Final = re.compile(r"[\w@./:=,*+-]+")
_MAX_PACKAGES: Final = 30
_MAX_LISTENS: Final = 10
"""Calls of ``listen`` whose port is looked for in the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package:
    """One ``package.json``."""

    reader: SourceReader
    folder: str
    scripts: Mapping[str, str]
    packages: frozenset[str]
    main: str
    proxy: str

    def find_vite_config(self) -> str | None:
        """Return the Vite configuration as text without comments; empty when there is none but Vite is used."""
        for ending in ("js", "ts", "mjs", "mts", "cjs", "cts"):
            text = self.reader.find_text(join_path(self.folder, f"vite.config.{ending}"))
            if text is not None:
                return strip_script_comments(text)
        return "" if "vite" in self.packages else None


def find_node_components(reader: SourceReader) -> tuple[list[Component], list[str]]:
    """Return the Node.js processes of a snapshot, servers first, and what was noticed."""
    found: list[Component] = []
    notices: list[str] = []
    files = [file for file in reader.snapshot.files_named("package.json") if _is_near(file.path)]
    for file in sorted(files, key=lambda one: (one.path.count("/"), one.path))[:_MAX_PACKAGES]:
        package = _read_package(reader, file.path)
        if package is None:
            notices.append(f"{file.path} is not valid JSON.")
            continue
        unknown = [name for key, name in _UNKNOWN.items() if key in package.packages]
        if unknown:
            notices.append(f"{file.path} is a project of {unknown[0]}, which is not started.")
            continue
        found.extend(_find_in_package(package, notices))
    return sorted(found, key=lambda one: one.name != "backend"), notices


def find_node_dependencies(reader: SourceReader, folder: str) -> tuple[Dependencies | None, tuple[str, ...]]:
    """Return what a component in ``folder`` needs installed, from the nearest ``package.json``, and notices."""
    place = folder
    while not reader.has_file(join_path(place, "package.json")):
        if not place:
            return None, ()
        place = folder_of(place)
    package = _read_package(reader, join_path(place, "package.json"))
    if package is None or not package.packages:
        return None, ()
    locks = [join_path(place, name) for name in _LOCK_NAMES if reader.has_file(join_path(place, name))][:1]
    others = [name for name in _OTHER_LOCKS if reader.has_file(join_path(place, name))]
    notices = (f"{others[0]} is not read; npm chooses the versions.",) if others and not locks else ()
    files = (*locks, join_path(place, "package.json"))
    digest = digest_files(reader, "npm", place, files)
    return Dependencies(manager="npm", folder=place, files=files, digest=digest), notices


def translate_node_words(words: list[str]) -> tuple[str, ...] | None:
    """Return a command of a script as one that Node.js runs, None when its program is not known."""
    if words[:1] == ["npx"]:
        words = words[1:]
    if not words or words[0] not in _PROGRAMS:
        return None
    program = _PROGRAMS[words[0]]
    return ("node", program, *words[1:]) if program else ("node", *words[1:])


def _is_near(path: str) -> bool:
    return path.count("/") <= MAX_FOLDER_DEPTH


def _read_package(reader: SourceReader, path: str) -> _Package | None:
    data = reader.find_object(path)
    if data is None:
        return None
    names: set[str] = set()
    for key in ("dependencies", "devDependencies", "optionalDependencies"):
        table = data.get(key)
        names.update(table if isinstance(table, dict) else ())
    scripts = data.get("scripts")
    pairs = scripts.items() if isinstance(scripts, dict) else ()
    main, proxy = data.get("main"), data.get("proxy")
    return _Package(
        reader=reader,
        folder=folder_of(path),
        scripts={str(name): text for name, text in pairs if isinstance(text, str)},
        packages=frozenset(names),
        main=main if isinstance(main, str) else "",
        proxy=proxy if isinstance(proxy, str) else "",
    )


def _find_in_package(package: _Package, notices: list[str]) -> list[Component]:
    dependencies, noticed = find_node_dependencies(package.reader, package.folder)
    notices.extend(noticed)
    config = package.find_vite_config()
    server = _find_server(package, dependencies, is_beside_vite=config is not None)
    if config is None:
        if server is None and "react-scripts" in package.packages:
            return [_make_react_scripts(package, dependencies)]
        return [server] if server else []
    if server and server.build:
        return [server]
    vite = _make_vite(package, config, dependencies)
    return [server, vite] if server else [vite]


def _make_vite(package: _Package, config: str, dependencies: Dependencies | None) -> Component:
    return Component(
        name="frontend",
        kind="node",
        framework="vite",
        folder=package.folder,
        argv=(*VITE, "--host", "{host}", "--port", "{port}", "--strictPort"),
        environment={"BROWSER": "none", **find_proxy_variables(config)},
        port=find_own_port(config),
        probe_paths=PAGE_PROBE,
        dependencies=dependencies,
        reason=f"{join_path(package.folder, 'package.json')} uses Vite.",
    )


def _make_react_scripts(package: _Package, dependencies: Dependencies | None) -> Component:
    return Component(
        name="frontend",
        kind="node",
        framework="node",
        folder=package.folder,
        argv=("node", _PROGRAMS["react-scripts"], "start"),
        environment={"BROWSER": "none"},
        probe_paths=PAGE_PROBE,
        dependencies=dependencies,
        reason=f"{join_path(package.folder, 'package.json')} uses react-scripts.",
    )


def _find_server(
    package: _Package, dependencies: Dependencies | None, *, is_beside_vite: bool
) -> Component | None:
    """Return the server of a package: what its scripts start, else its entry file."""
    name, argv = _find_start(package, is_beside_vite=is_beside_vite)
    if not argv:
        return None
    path = _find_entry_path(package, argv)
    text = strip_script_comments(package.reader.find_text(path) or "") if path else ""
    is_built = path is None  # what starts is made by the build
    serves_build = is_beside_vite and re.search(r"['\"`/](dist|build)\b", text) is not None
    build: tuple[tuple[str, ...], ...] = ()
    if is_built or serves_build:
        build = _find_build(package)
        if is_built and not build:
            return None
    port, variable = _find_listen_port(text)
    environment = {variable: "{port}"} if variable else {}
    proxied = find_proxy_variables(text)
    framework = "express" if "express" in package.packages else "node"
    where = f"The script {name!r} of" if name else "The entry file of"
    return Component(
        name="frontend" if serves_build and proxied else "backend",
        kind="node",
        framework=framework,
        folder=package.folder,
        argv=argv,
        environment={**environment, **proxied},
        port=port,
        build=build,
        dependencies=dependencies,
        reason=f"{where} {join_path(package.folder, 'package.json')} starts a server.",
    )


def _find_start(package: _Package, *, is_beside_vite: bool) -> tuple[str, tuple[str, ...]]:
    """Return the script that starts a server, and its command as one for Node.js."""
    for name in ("start", "server", "serve", "start:server", "backend", "dev:server", "dev"):
        argv = _translate_script(package.scripts.get(name, ""))
        if argv and argv[1:2] and argv[1] not in _NOT_SERVERS:
            return name, argv
    if not is_beside_vite or any(one in package.packages for one in _SERVER_PACKAGES):
        for entry in (package.main.removeprefix("./"), *_ENTRY_NAMES):
            text = package.reader.find_text(join_path(package.folder, entry)) if entry else None
            if text is not None and re.search(r"\.listen\(|\bserve\(", text):
                return "", ("node", entry)
    return "", ()


def _translate_script(script: str) -> tuple[str, ...]:
    """Return the command of a script; nothing when it needs a shell or a program that is not known."""
    words = script.split()
    while words and re.fullmatch(r"(?:cross-env|[A-Z_][A-Z0-9_]*=[\w./:-]*)", words[0]):
        words = words[1:]
    if not words or not all(_SCRIPT_WORD.fullmatch(word) for word in words):
        return ()
    return translate_node_words(words) or ()


def _find_entry_path(package: _Package, argv: tuple[str, ...]) -> str | None:
    """Return the source file that a command starts; None when the snapshot does not have it."""
    for word in argv[1:]:
        if word.startswith(("-", "node_modules/")) or word in ("watch", "run"):
            continue
        for ending in ("", ".js", "/index.js"):
            path = join_path(package.folder, word.removeprefix("./") + ending)
            if package.reader.has_file(path):
                return path
    return None


def _find_build(package: _Package) -> tuple[tuple[str, ...], ...]:
    """Return the steps of the script ``build``; nothing when one of them is not known."""
    steps = [_translate_script(step.strip()) for step in package.scripts.get("build", "").split("&&")]
    return tuple(steps) if all(steps) else ()


def _find_listen_port(text: str) -> tuple[int | None, str]:
    """Return the port that a server fixes, and the variable that gives it when that is not PORT."""
    for found in islice(_LISTEN.finditer(text), _MAX_LISTENS):
        word = found[1]
        if word.isdecimal():
            return _port(word), ""
        if word.startswith("process.env."):
            name = word.removeprefix("process.env.")
            return None, "" if name == "PORT" else name
        name = word.rpartition(".")[2]
        set_to = re.search(rf"(?<![\w.]){re.escape(name)}\s*[=:]\s*([^;\n]{{1,200}})", text)
        if set_to is None:
            continue
        variable = _PORT_VARIABLE.search(set_to[1])
        if variable:
            given = variable[1] or variable[2]
            return None, "" if given == "PORT" else given
        number = re.match(r"\d{2,5}\b", set_to[1].strip())
        return (_port(number[0]) if number else None), ""
    return None, ""


def _port(text: str) -> int | None:
    return int(text) if len(text) <= 5 and is_port(int(text)) else None
