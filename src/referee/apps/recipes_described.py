"""How an app says itself that it starts: ``referee.toml`` and ``Procfile``.

Both are written by strangers. A command is split into words without a shell, and what
only a shell understands is refused rather than guessed at.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, NoReturn

from referee.apps.recipes_contract import PAGE_PROBE, SERVER_PROBE, Component, ComponentKind, Dependencies
from referee.apps.recipes_node import find_node_dependencies, translate_node_words
from referee.apps.recipes_ports import is_port
from referee.apps.recipes_reading import SourceReader, join_path
from referee.apps.recipes_requirements import find_python_dependencies, read_python_requirements
from referee.core.errors import InvalidInput

__all__ = ["DESCRIPTION_NAME", "PROCFILE_NAME", "read_description", "read_procfile"]

DESCRIPTION_NAME: Final = "referee.toml"
PROCFILE_NAME: Final = "Procfile"
MAX_COMPONENTS: Final = 8
MAX_WORDS: Final = 100
MAX_TEXT: Final = 2_000
"""Longest command, variable or path. Characters."""
_KEYS: Final = frozenset({"name", "kind", "folder", "command", "port", "environment", "build", "probe"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SHELL_SIGNS: Final = re.compile(r"[|&;<>`$()\n\r\0]")
_PYTHON_PROGRAMS: Final = {
    "flask": "flask", "uvicorn": "uvicorn", "gunicorn": "gunicorn", "hypercorn": "hypercorn", "daphne": "daphne",
    "waitress-serve": "waitress", "fastapi": "fastapi", "django-admin": "django", "streamlit": "streamlit",
}  # fmt: skip
"""Programs of packages that Python starts as modules."""
_FRAMEWORKS: Final = ("django", "fastapi", "flask")
_QUIET_PROCESSES: Final = frozenset({"release", "worker", "beat", "clock", "scheduler", "cron"})
"""Processes of a Procfile that answer nobody."""
_PORT_OPTION: Final = re.compile(r"(?:--port|-p)$")
_BOUND: Final = re.compile(r"(?:--bind=|-b|--port=|--listen=)?(?:[\w.*\[\]]*:)?(\d{2,5})")


def read_description(reader: SourceReader) -> tuple[list[Component], list[str]] | None:
    """Return the components that ``referee.toml`` describes and notices, None when there is no such file.

    Raises:
        InvalidInput: It is malformed.
    """
    if not reader.has_file(DESCRIPTION_NAME):
        return None
    text = reader.find_text(DESCRIPTION_NAME)
    if text is None:
        _refuse(DESCRIPTION_NAME, "it is too long")
    try:
        data: Mapping[str, object] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        _refuse(DESCRIPTION_NAME, f"it is not valid TOML ({str(error)[:200]})")
    entries = data.get("components")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_COMPONENTS:
        _refuse(DESCRIPTION_NAME, f"it needs one to {MAX_COMPONENTS} tables [[components]]")
    notices: list[str] = []
    components = [_read_component(reader, entry, notices) for entry in entries]
    names = [component.name for component in components]
    if len(set(names)) < len(names):
        _refuse(DESCRIPTION_NAME, "two components have the same name")
    return components, notices


def read_procfile(reader: SourceReader) -> tuple[list[Component], list[str]] | None:
    """Return the components of the root's ``Procfile`` and notices, None when it has none that answers.

    Raises:
        InvalidInput: A line is malformed, needs a shell, or names a program that is not known.
    """
    text = reader.find_text(PROCFILE_NAME)
    if text is None:
        return None
    components: list[Component] = []
    notices: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, command = line.partition(":")
        name = name.strip().lower()
        if not colon or not _NAME.fullmatch(name) or not command.strip():
            _refuse(PROCFILE_NAME, f"the line {line[:100]!r} is not 'name: command'")
        if name in _QUIET_PROCESSES:
            notices.append(f"The process {name!r} of the {PROCFILE_NAME} is not started.")
            continue
        if len(components) >= MAX_COMPONENTS:
            _refuse(PROCFILE_NAME, f"it names more than {MAX_COMPONENTS} processes")
        variables, words = _split_command(command, PROCFILE_NAME)
        component = _make_component(
            reader,
            name="backend" if name == "web" else name,
            folder="",
            words=words,
            source=PROCFILE_NAME,
            notices=notices,
            environment=variables,
        )
        components.append(component)
    return (components, notices) if components else None


def _read_component(reader: SourceReader, entry: object, notices: list[str]) -> Component:
    if not isinstance(entry, dict):
        _refuse(DESCRIPTION_NAME, "a component is not a table")
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        _refuse(
            DESCRIPTION_NAME,
            f"the key {unknown[0][:50]!r} is not known; there are {', '.join(sorted(_KEYS))}",
        )
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        _refuse(DESCRIPTION_NAME, "a component needs a name of small letters, digits, - and _")
    folder = _read_folder(reader, entry.get("folder", ""))
    variables, words = _read_command(entry.get("command"), f"the command of {name}")
    kind = entry.get("kind")
    if kind not in ("python", "node", "static", None):
        _refuse(DESCRIPTION_NAME, f"the kind of {name} is not python, node or static")
    port = entry.get("port")
    if port is not None and (not isinstance(port, int) or isinstance(port, bool) or not is_port(port)):
        _refuse(DESCRIPTION_NAME, f"the port of {name} is not a number from 1 to 65535")
    build = entry.get("build", [])
    if not isinstance(build, list) or len(build) > MAX_COMPONENTS:
        _refuse(DESCRIPTION_NAME, f"the build of {name} is not a list of at most {MAX_COMPONENTS} commands")
    return _make_component(
        reader,
        name=name,
        folder=folder,
        words=words,
        source=DESCRIPTION_NAME,
        notices=notices,
        kind=kind,
        port=port,
        environment={**variables, **_read_environment(entry.get("environment", {}), name)},
        build=tuple(
            _translate(_read_command(one, f"the build of {name}")[1], DESCRIPTION_NAME)[1] for one in build
        ),
        probe=_read_probe(entry.get("probe"), name),
    )


def _make_component(
    reader: SourceReader,
    *,
    name: str,
    folder: str,
    words: list[str],
    source: str,
    notices: list[str],
    environment: Mapping[str, str],
    kind: ComponentKind | None = None,
    port: int | None = None,
    build: tuple[tuple[str, ...], ...] = (),
    probe: tuple[str, ...] | None = None,
) -> Component:
    found_kind, argv = _translate(words, source)
    kind = kind or found_kind
    dependencies: Dependencies | None = None
    framework = "static" if kind == "static" else ""
    noticed: tuple[str, ...] = ()
    if kind == "node":
        dependencies, noticed = find_node_dependencies(reader, folder)
        framework = "vite" if "node_modules/vite/bin/vite.js" in argv else "node"
        packages = (reader.find_object(join_path(folder, "package.json")) or {}).get("dependencies")
        if framework == "node" and isinstance(packages, dict) and "express" in packages:
            framework = "express"
    elif kind == "python":
        needed = (argv[2],) if argv[1:2] == ("-m",) and argv[2] in _PYTHON_PROGRAMS.values() else ()
        dependencies, noticed = find_python_dependencies(reader, folder, needed)
        named = read_python_requirements(reader, dependencies.folder).names
        framework = next((one for one in _FRAMEWORKS if one in named), "")
        dependencies = dependencies if dependencies.files or dependencies.extra else None
    notices.extend(noticed)
    return Component(
        name=name,
        kind=kind,
        framework=framework,
        folder=folder,
        argv=argv,
        environment=environment,
        port=port if port is not None else _find_port(argv),
        build=build,
        probe_paths=probe or (PAGE_PROBE if framework in ("static", "vite") else SERVER_PROBE),
        dependencies=dependencies,
        reason=f"The app's own {source} describes it.",
    )


def _read_folder(reader: SourceReader, folder: object) -> str:
    if not isinstance(folder, str) or len(folder) > MAX_TEXT:
        _refuse(DESCRIPTION_NAME, "a folder is not a text")
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if folder.startswith("/") or ".." in parts or "\0" in folder:
        _refuse(DESCRIPTION_NAME, f"the folder {folder[:100]!r} leads out of the app")
    path = "/".join(parts)
    if not reader.has_folder(path):
        _refuse(DESCRIPTION_NAME, f"there is no folder {folder[:100]!r} in the app")
    return path


def _read_command(command: object, what: str) -> tuple[dict[str, str], list[str]]:
    if isinstance(command, str):
        return _split_command(command, DESCRIPTION_NAME)
    if not isinstance(command, list) or not 1 <= len(command) <= MAX_WORDS:
        _refuse(DESCRIPTION_NAME, f"{what} is neither a text nor a list of words")
    if not all(isinstance(word, str) and len(word) <= MAX_TEXT and "\0" not in word for word in command):
        _refuse(DESCRIPTION_NAME, f"{what} holds what is no word")
    return {}, list(command)


def _read_environment(table: object, name: str) -> dict[str, str]:
    if not isinstance(table, dict) or len(table) > MAX_WORDS:
        _refuse(DESCRIPTION_NAME, f"the environment of {name} is not a table of texts")
    for variable, value in table.items():
        if (
            not _VARIABLE.fullmatch(variable)
            or not isinstance(value, str)
            or len(value) > MAX_TEXT
            or "\0" in value
        ):
            _refuse(DESCRIPTION_NAME, f"the variable {variable[:64]!r} of {name} cannot be set")
    return dict(table)


def _read_probe(probe: object, name: str) -> tuple[str, ...] | None:
    if probe is None:
        return None
    paths = [probe] if isinstance(probe, str) else probe
    if not isinstance(paths, list) or not 1 <= len(paths) <= MAX_COMPONENTS:
        _refuse(DESCRIPTION_NAME, f"the probe of {name} is neither a path nor a list of paths")
    for path in paths:
        if not isinstance(path, str) or not re.fullmatch(r"/[!-~]{0,200}", path):
            _refuse(DESCRIPTION_NAME, f"the probe of {name} is not a path that starts with /")
    return tuple(paths)


def _split_command(command: str, source: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables that a command sets and its words, as a shell would without expanding anything."""
    plain = re.sub(r"\$(?:\{PORT(?::-\d+)?\}|PORT\b)", "{port}", command)
    plain = re.sub(r"\$(?:\{HOST\}|HOST\b)", "{host}", plain)
    if len(plain) > MAX_TEXT or _SHELL_SIGNS.search(plain.strip()):
        _refuse(source, f"the command {command.strip()[:100]!r} needs a shell, and none is started")
    try:
        words = shlex.split(plain)
    except ValueError as error:
        _refuse(source, f"the command {command.strip()[:100]!r} cannot be split into words ({error})")
    variables: dict[str, str] = {}
    while words and re.fullmatch(r"[A-Za-z_]\w{0,63}=.*", words[0]):
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    if not words or len(words) > MAX_WORDS:
        _refuse(source, f"the command {command.strip()[:100]!r} names no program")
    return variables, words


def _translate(words: list[str], source: str) -> tuple[ComponentKind, tuple[str, ...]]:
    """Return what runs a command, and the command with that as its first word."""
    if words[0] in ("python", "python3"):
        is_static = words[1:3] == ["-m", "http.server"]
        return ("static" if is_static else "python"), ("python", *words[1:])
    if words[0] in _PYTHON_PROGRAMS:
        return "python", ("python", "-m", _PYTHON_PROGRAMS[words[0]], *words[1:])
    argv = translate_node_words(words)
    if argv is None:
        _refuse(source, f"the program {words[0][:100]!r} is not one that Referee starts")
    return "node", argv


def _find_port(argv: tuple[str, ...]) -> int | None:
    """Return the port that a command's options fix."""
    for before, word in pairwise(argv):
        is_value = _PORT_OPTION.fullmatch(before) or before in (
            "-b",
            "--bind",
            "--listen",
            "runserver",
            "http.server",
        )
        if is_value or word.startswith(("--port=", "--bind=", "--listen=", "-b")):
            found = _BOUND.fullmatch(word)
            if found and is_port(int(found[1])):
                return int(found[1])
    return None


def _refuse(source: str, what: str) -> NoReturn:
    raise InvalidInput(
        "app.description_invalid",
        f"The app's {source} cannot be used: {what}.",
        f"Correct the {source}, or remove it to have the start found from the source.",
    )
