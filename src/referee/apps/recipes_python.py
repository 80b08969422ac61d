"""How a Python web app starts: its entry file, framework, port and start command.

Decided from names and syntax trees. The start that the author wrote is preferred to
one of ours, so that an app's own settings, such as a debug mode, are what is judged.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field, replace
from typing import Final

from referee.apps.recipes_contract import Component
from referee.apps.recipes_ports import TAKEN_PORT, PortChoice, resolve_port
from referee.apps.recipes_reading import MAX_FOLDER_DEPTH, SourceReader, folder_of, join_path, name_of
from referee.apps.recipes_requirements import find_python_dependencies

__all__ = ["find_python_components"]

_ENTRY_NAMES: Final = (
    "app.py", "main.py", "server.py", "run.py", "wsgi.py", "asgi.py", "application.py", "api.py", "index.py",
    "backend.py", "__init__.py",
)  # fmt: skip
"""Files that start an app by habit, the likeliest first."""
_SIDE_FOLDERS: Final = frozenset(
    {"tests", "test", "scripts", "migrations", "examples", "docs", "tools", "alembic"}
)
_FACTORY_NAME: Final = re.compile(r"(create|make|build|get)_(\w+_)?(app|application|server|api)|app_factory")
_CLASSES: Final = {"Flask": "flask", "FastAPI": "fastapi"}
_DEFAULT_PORTS: Final = {"flask": 5000, "fastapi": 8000}
"""Where ``app.run()`` and ``uvicorn.run(app)`` listen when they are told nothing."""
_MAX_MODULES: Final = 400
_MAX_IMPORTS: Final = 200
_HINT: Final = re.compile(
    r"\b(Flask|FastAPI|uvicorn|__main__|create_app|make_app|create_server|serve_forever)\b|\.run\("
)
_SERVERS: Final = frozenset(
    {
        "flask",
        "fastapi",
        "uvicorn",
        "waitress",
        "hypercorn",
        "starlette",
        "quart",
        "aiohttp",
        "sanic",
        "bottle",
        "http",
    }
)
"""Modules that only a web app imports."""
_RUN_BY: Final = re.compile(r"\w*app|application|server|api|socketio|uvicorn|web", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    """What one Python file has to do with starting an app."""

    path: str
    framework: str = ""
    """``flask`` or ``fastapi`` when it makes an app object itself."""
    object_name: str = ""
    """Module-level name that holds the app."""
    factory_name: str = ""
    """Function that makes the app and takes no argument that it must be given."""
    has_start: bool = False
    """Whether running the file as a program starts a server."""
    port: PortChoice = TAKEN_PORT
    imported: frozenset[str] = frozenset()
    """First parts of the modules it imports from the top."""
    relative_level: int = 0


@dataclass(slots=True)
class _Calls:
    """Calls of interest in one module."""

    tree: ast.Module
    frameworks: list[str] = field(default_factory=list)
    starts: list[ast.Call] = field(default_factory=list)


def find_python_components(reader: SourceReader) -> tuple[list[Component], list[str]]:
    """Return the Python web apps of a snapshot, the likeliest first, and what was noticed."""
    notices: list[str] = []
    django = _find_django(reader, notices)
    if django:
        return django, notices
    modules = [
        _read_module(reader, file.path)
        for file in reader.list_files("", ".py")[:_MAX_MODULES]
        if file.path.count("/") <= MAX_FOLDER_DEPTH
        and not _SIDE_FOLDERS & set(file.path.split("/")[:-1])
        and not name_of(file.path).startswith("test_")
        and _HINT.search(reader.find_text(file.path) or "")
    ]
    has_framework = any(one.framework for one in modules)
    starters = [
        one for one in modules if one.has_start or (has_framework and (one.object_name or one.factory_name))
    ]
    if not starters or not (has_framework or any(one.imported & _SERVERS for one in modules)):
        return [], notices
    starters.sort(key=_rank)
    chosen = starters[0]
    rivals = [one.path for one in starters[1:] if _rank(one)[:2] == _rank(chosen)[:2] and one.has_start]
    if rivals:
        notices.append(f"{chosen.path} is started; {', '.join(rivals[:5])} could be, too.")
    component, noticed = _make_component(reader, chosen, modules)
    return [component], [*notices, *noticed]


def _rank(module: _Module) -> tuple[bool, bool, int, int, str]:
    """Order files by how likely they start the app: those with a start of their own first."""
    name = name_of(module.path)
    is_entry_name = name in _ENTRY_NAMES
    place = _ENTRY_NAMES.index(name) if is_entry_name else len(_ENTRY_NAMES)
    return (not module.has_start, not module.object_name, module.path.count("/"), place, module.path)


def _find_django(reader: SourceReader, notices: list[str]) -> list[Component]:
    found = []
    for file in reader.snapshot.files_named("manage.py"):
        if file.path.count("/") > MAX_FOLDER_DEPTH:
            continue
        if "DJANGO_SETTINGS_MODULE" not in (reader.find_text(file.path) or ""):
            continue
        folder = folder_of(file.path)
        dependencies, noticed = find_python_dependencies(reader, folder, ("django",))
        notices.extend(noticed)
        found.append(
            Component(
                name="backend",
                kind="python",
                framework="django",
                folder=folder,
                argv=("python", "manage.py", "runserver", "--noreload", "{host}:{port}"),
                build=(("python", "manage.py", "migrate", "--noinput"),),
                dependencies=dependencies,
                reason=f"{file.path} names the settings of a Django project.",
            )
        )
    return found


def _read_module(reader: SourceReader, path: str) -> _Module:
    tree = reader.find_tree(path)
    if tree is None:
        return _Module(path=path)
    calls = _Calls(tree)
    imported: set[str] = set()
    level = 0
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                _sort_call(node, calls)
                imported.update(_find_served_module(node))
            case ast.ImportFrom(module=name, level=found) if found:
                level = max(level, found)
            case ast.ImportFrom(module=str() as name):
                imported.add(name.split(".")[0])
            case ast.Import(names=names):
                imported.update(alias.name.split(".")[0] for alias in names)
    framework = calls.frameworks[0] if calls.frameworks else ""
    has_start = bool(calls.starts) and _has_start(tree, calls.starts)
    module = _Module(
        path=path,
        framework=framework,
        object_name=_find_object(tree),
        factory_name=_find_factory(tree),
        has_start=has_start,
        imported=frozenset(sorted(imported)[:_MAX_IMPORTS]),
        relative_level=level,
    )
    if not has_start:
        return module
    return replace(module, port=_find_port(reader, module, calls))


def _sort_call(node: ast.Call, calls: _Calls) -> None:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in _CLASSES:
            calls.frameworks.append(_CLASSES[name])
        case ast.Attribute(attr="run", value=ast.Name(id=name)) if _RUN_BY.fullmatch(name):
            calls.starts.append(node)
        case ast.Attribute(attr="run", value=ast.Call()):  # create_app().run()
            calls.starts.append(node)
        case (
            ast.Name(id="serve" | "run_simple") | ast.Attribute(attr="serve" | "run_simple" | "serve_forever")
        ):
            calls.starts.append(node)
        case ast.Attribute(attr="Config", value=ast.Name(id="uvicorn")):
            calls.starts.append(node)


def _find_served_module(node: ast.Call) -> list[str]:
    """Return the first part of the module that ``uvicorn.run("package.module:app")`` imports by name."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="uvicorn")), args=[ast.Constant(value=str() as named), *_]
        ):
            return [named.partition(":")[0].partition(".")[0]]
        case _:
            return []


def _has_start(tree: ast.Module, starts: list[ast.Call]) -> bool:
    """Return whether running the file reaches one of the calls that start a server."""
    wanted = set(map(id, starts))
    starting = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(id(inner) in wanted for inner in ast.walk(node))
    }
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for inner in ast.walk(node):
            if id(inner) in wanted:
                return True
            if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in starting:
                return True
    return False


def _find_object(tree: ast.Module) -> str:
    """Return the module-level name that holds the app, ``app`` before others."""
    found = []
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=made))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=made))
            ):
                called = made.id if isinstance(made, ast.Name) else getattr(made, "attr", "")
                if called in _CLASSES or _FACTORY_NAME.fullmatch(called):
                    found.append(name)
    return next((name for name in ("app", "application", "api") if name in found), found[0] if found else "")


def _find_factory(tree: ast.Module) -> str:
    """Return the function that makes the app and can be called without arguments."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or len(node.args.args) > len(node.args.defaults):
            continue
        makes = any(
            isinstance(inner, ast.Call)
            and (inner.func.id if isinstance(inner.func, ast.Name) else getattr(inner.func, "attr", ""))
            in _CLASSES
            for inner in ast.walk(node)
        )
        if makes and any(isinstance(inner, ast.Return) and inner.value for inner in ast.walk(node)):
            return node.name
    return ""


def _find_port(reader: SourceReader, module: _Module, calls: _Calls) -> PortChoice:
    """Return where the first start that is found gets its port from."""
    call = calls.starts[0]
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = getattr(call.func.value, "id", "") if isinstance(call.func, ast.Attribute) else ""
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "port"), None)
    if given is None and called == "run" and owner != "uvicorn" and len(call.args) > 1:
        given = call.args[1]  # app.run(host, port)
    if given is not None:
        return resolve_port(given, calls.tree, reader, folder_of(module.path))
    if any(keyword.arg is None for keyword in call.keywords):  # **options
        return PortChoice(is_known=False)
    if called in ("run", "Config"):
        return PortChoice(port=_DEFAULT_PORTS["fastapi" if owner == "uvicorn" else "flask"])
    return PortChoice(is_known=False)


def _make_component(
    reader: SourceReader, module: _Module, modules: list[_Module]
) -> tuple[Component, list[str]]:
    framework = module.framework or next((one.framework for one in modules if one.framework), "")
    folder = _find_start_folder(reader, module)
    inner = module.path.removeprefix(f"{folder}/") if folder else module.path
    dotted = inner.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    notices: list[str] = []
    environment: dict[str, str] = {}
    port = None
    if module.has_start:
        argv: tuple[str, ...] = ("python", inner) if "/" not in inner else ("python", "-m", dotted)
        reason = f"{module.path} starts a server when it is run."
        port = module.port.port
        if module.port.variable:
            environment[module.port.variable] = "{port}"
        if not module.port.is_known:
            notices.append(f"The port in {module.path} could not be read; PORT is set for it.")
    else:
        argv = _serve(framework, dotted, module)
        made = (
            f"the object {module.object_name}" if module.object_name else f"the factory {module.factory_name}"
        )
        reason = f"{module.path} holds {made} and no start of its own."
    needed = [framework] if framework else []
    if framework == "fastapi" and "hypercorn" not in module.imported:
        needed.append("uvicorn")
    dependencies, noticed = find_python_dependencies(reader, folder, needed)
    component = Component(
        name="backend",
        kind="python",
        framework=framework,
        folder=folder,
        argv=argv,
        environment=environment,
        port=port,
        dependencies=dependencies,
        reason=reason,
    )
    return component, [*notices, *noticed]


def _serve(framework: str, dotted: str, module: _Module) -> tuple[str, ...]:
    """Return a start for an app that has none of its own."""
    name = module.object_name or module.factory_name
    if framework == "fastapi":
        factory = () if module.object_name else ("--factory",)
        listen = ("--host", "{host}", "--port", "{port}")
        return ("python", "-m", "uvicorn", f"{dotted}:{name}", *factory, *listen)
    return (
        "python",
        "-m",
        "flask",
        "--app",
        f"{dotted}:{name}",
        "run",
        "--host",
        "{host}",
        "--port",
        "{port}",
    )


def _find_start_folder(reader: SourceReader, module: _Module) -> str:
    """Return the folder in which the file's imports are found: its own, or one above for a package."""
    parts = module.path.split("/")[:-1]
    deepest = len(parts) - module.relative_level if module.relative_level else len(parts)
    if name_of(module.path) == "__init__.py":
        deepest = min(deepest, len(parts) - 1)
    depths = range(max(deepest, 0), -1, -1)
    return max(
        ("/".join(parts[:depth]) for depth in depths),
        key=lambda folder: sum(_has_module(reader, folder, name) for name in module.imported),
    )


def _has_module(reader: SourceReader, folder: str, name: str) -> bool:
    path = join_path(folder, name)
    return reader.has_file(f"{path}.py") or reader.has_folder(path)
