"""Routes of Flask and FastAPI: decorators on an app, a blueprint or a router, and where those are mounted."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from referee.tools.route_discovery.python_sources import (
    MAX_PATH_CHARACTERS,
    PythonFile,
    PythonProject,
    dotted_name,
    get_argument,
    join_paths,
    normalise_parameters,
)
from referee.tools.routes import Route, name_target

__all__ = ["find_decorated_routes"]

_HTTP_METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")
_MAKERS: Final[dict[str, tuple[Literal["flask", "fastapi"], str]]] = {
    "Flask": ("flask", ""),
    "Blueprint": ("flask", "url_prefix"),
    "APIBlueprint": ("flask", "url_prefix"),
    "FastAPI": ("fastapi", ""),
    "APIRouter": ("fastapi", "prefix"),
}
"""What makes something that routes hang on: its framework and the argument with its prefix; apps have none."""
_LIKELY_NAMES: Final = ("app", "application", "api", "bp", "blueprint", "router", "server")
"""Names of parameters by which an app is handed to a function that adds routes."""
MAX_PREFIXES: Final = 32
MAX_LOOP_NAMES: Final = 100


@dataclass(frozen=True, slots=True)
class _Holder:
    """Something that routes hang on."""

    file: str
    name: str
    framework: Literal["flask", "fastapi"]
    prefix: str
    is_app: bool


@dataclass(frozen=True, slots=True)
class _Mount:
    parent: _Holder
    prefix: str
    replaces_prefix: bool
    """Flask's ``url_prefix`` of a registration stands instead of the blueprint's own."""


class _Holders:
    """Finds apps, blueprints and routers by name, and where they are mounted."""

    def __init__(self, project: PythonProject) -> None:
        self._project = project
        self._known: dict[tuple[str, str], _Holder] = {}
        self._mounts: defaultdict[tuple[str, str], list[_Mount]] = defaultdict(list)
        self._prefixes: dict[tuple[str, str], list[str]] = {}
        self._has_lost_mount = False
        self._frameworks = _find_frameworks(project)
        for file in project.files.values():
            for name, value in file.assigned.items():
                holder = self._read_maker(file, name, value)
                if holder is not None:
                    self._known[file.path, name] = holder
        for file in project.files.values():
            self._read_mounts(file)

    def _read_maker(self, file: PythonFile, name: str, value: ast.expr) -> _Holder | None:
        if not isinstance(value, ast.Call):
            return None
        maker = (dotted_name(value.func) or "").rpartition(".")[2]
        if maker in _MAKERS:
            framework, argument = _MAKERS[maker]
            prefix = self._project.read_string(file, get_argument(value, None, argument)) if argument else ""
            return _Holder(file.path, name, framework, prefix or "", is_app=not argument)
        return None

    def find(self, file: PythonFile, name: str) -> _Holder | None:
        """Return the holder that ``name`` means in ``file``."""
        place = self._project.resolve(file, name)
        if place is not None:
            known = self._known.get((place[0].path, place[1]))
            if known is not None:
                return known
            if self._is_api_of_restful(*place):
                return self._find_wrapped(*place)
            if self._is_from_factory(*place):
                return self._guess_app(*place)
        if name.rpartition(".")[2].lower() in _LIKELY_NAMES and place is None and name not in file.imports:
            return self._guess_app(file, name)
        return None

    def _guess_app(self, file: PythonFile, name: str) -> _Holder | None:
        framework = self._frameworks.get(file.path) or self._frameworks.get("")
        return _Holder(file.path, name, framework, "", is_app=True) if framework else None

    def _is_from_factory(self, file: PythonFile, name: str) -> bool:
        """Whether it is ``app = create_app()``."""
        value = file.assigned.get(name)
        if not isinstance(value, ast.Call) or name.rpartition(".")[2].lower() not in _LIKELY_NAMES:
            return False
        maker = self._project.resolve(file, dotted_name(value.func) or "")
        return maker is not None and maker[1] in maker[0].functions

    def _is_api_of_restful(self, file: PythonFile, name: str) -> bool:
        value = file.assigned.get(name)
        return isinstance(value, ast.Call) and (dotted_name(value.func) or "").rpartition(".")[2] == "Api"

    def _find_wrapped(self, file: PythonFile, name: str) -> _Holder | None:
        """Return the app or blueprint inside ``Api(app, prefix=…)`` of Flask-RESTful."""
        value = file.assigned[name]
        if not isinstance(value, ast.Call):
            return None
        prefix = self._project.read_string(file, get_argument(value, None, "prefix")) or ""
        inner_name = dotted_name(get_argument(value, 0, "app"))
        inner = self._known.get((file.path, inner_name)) if inner_name else None
        if inner is None or not prefix:
            return inner or _Holder(file.path, name, "flask", prefix, is_app=True)
        wrapped = _Holder(file.path, name, "flask", prefix, is_app=False)
        mounts = self._mounts[file.path, name]
        if not mounts:
            mounts.append(_Mount(inner, "", replaces_prefix=False))
        return wrapped

    def _read_mounts(self, file: PythonFile) -> None:
        loops = _find_loops(file)
        for node in file.nodes:
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            parent_name, verb = dotted_name(node.func.value), node.func.attr
            if parent_name is None or verb not in ("register_blueprint", "include_router", "mount"):
                continue
            parent = self.find(file, parent_name)
            child = get_argument(node, 1 if verb == "mount" else 0, "app" if verb == "mount" else "router")
            prefix_node = (
                get_argument(node, 0, "path")
                if verb == "mount"
                else get_argument(node, None, "prefix", "url_prefix")
            )
            prefix = self._project.read_string(file, prefix_node) if prefix_node is not None else ""
            names = loops.get(dotted_name(child) or "", (dotted_name(child),))
            for name in names:
                held = self.find(file, name) if name else None
                if held is None or parent is None or prefix is None:
                    self._has_lost_mount = self._has_lost_mount or verb != "mount"
                    continue
                replaces = verb == "register_blueprint" and prefix_node is not None
                self._mounts[held.file, held.name].append(_Mount(parent, prefix, replaces))

    def find_prefixes(self, holder: _Holder) -> list[str]:
        """Return the path before each route of a holder, one for each place where it is mounted."""
        key = (holder.file, holder.name)
        if key not in self._prefixes:
            self._prefixes[key] = []  # a router mounted below itself is nowhere
            self._prefixes[key] = self._compute_prefixes(holder)[:MAX_PREFIXES]
        return self._prefixes[key]

    def _compute_prefixes(self, holder: _Holder) -> list[str]:
        mounts = self._mounts.get((holder.file, holder.name), [])
        if not mounts:
            return [holder.prefix] if holder.is_app or self._has_lost_mount else []
        found = []
        for mount in mounts:
            own = "" if mount.replaces_prefix else holder.prefix
            for outer in self.find_prefixes(mount.parent):
                found.append(f"{outer.rstrip('/')}{mount.prefix.rstrip('/')}{own}"[:MAX_PATH_CHARACTERS])
            if len(found) >= MAX_PREFIXES:
                break
        return found


def find_decorated_routes(project: PythonProject) -> Iterator[Route]:
    """Yield the routes of Flask and FastAPI apps."""
    holders = _Holders(project)
    for file in project.files.values():
        for node in file.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call):
                        yield from _read_decorator(project, holders, file, decorator, node.lineno)
            elif isinstance(node, ast.Call):
                yield from _read_call(project, holders, file, node)


def _read_decorator(
    project: PythonProject, holders: _Holders, file: PythonFile, call: ast.Call, line: int
) -> Iterator[Route]:
    if not isinstance(call.func, ast.Attribute):
        return
    owner, verb = dotted_name(call.func.value), call.func.attr
    if owner is None or verb not in (*_HTTP_METHODS, "route", "api_route"):
        return
    holder = holders.find(file, owner)
    path = project.read_string(file, get_argument(call, 0, "path", "rule"))
    if holder is None or path is None:
        return
    methods = (verb.upper(),) if verb in _HTTP_METHODS else _read_methods(call) or ("GET",)
    yield from _make_routes(holders, holder, path, methods, file, call.lineno or line)


def _read_call(
    project: PythonProject, holders: _Holders, file: PythonFile, call: ast.Call
) -> Iterator[Route]:
    """Read ``add_url_rule``, ``add_api_route`` and ``add_resource``."""
    if not isinstance(call.func, ast.Attribute):
        return
    verb = call.func.attr
    if verb not in ("add_url_rule", "add_api_route", "add_resource"):
        return
    owner = dotted_name(call.func.value)
    holder = holders.find(file, owner) if owner else None
    if holder is None:
        return
    if verb == "add_resource":
        methods = _read_class_methods(project, file, dotted_name(get_argument(call, 0)))
        paths = [project.read_string(file, node) for node in call.args[1:]]
    else:
        view = get_argument(call, 2 if verb == "add_url_rule" else 1, "view_func", "endpoint")
        methods = _read_methods(call) or _read_view_methods(project, file, view) or ("GET",)
        paths = [project.read_string(file, get_argument(call, 0, "rule", "path"))]
    for path in paths:
        if path is not None:
            yield from _make_routes(holders, holder, path, methods, file, call.lineno)


def _make_routes(
    holders: _Holders, holder: _Holder, path: str, methods: tuple[str, ...], file: PythonFile, line: int
) -> Iterator[Route]:
    for prefix in holders.find_prefixes(holder):
        whole = normalise_parameters(join_paths(prefix, path))
        for method in methods:
            yield Route(
                method=method,
                path=whole,
                file=file.path,
                line=line,
                framework=holder.framework,
                target=name_target(file.path),
            )


def _read_methods(call: ast.Call) -> tuple[str, ...]:
    node = get_argument(call, None, "methods")
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        return ()
    words = [
        item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)
    ]
    return tuple(word.upper() for word in words if word.lower() in _HTTP_METHODS)


def _read_view_methods(project: PythonProject, file: PythonFile, view: ast.expr | None) -> tuple[str, ...]:
    """Return the methods of ``Class.as_view(…)``."""
    if isinstance(view, ast.Name) and view.id in file.assigned:
        view = file.assigned[view.id]
    if not (
        isinstance(view, ast.Call) and isinstance(view.func, ast.Attribute) and view.func.attr == "as_view"
    ):
        return ()
    return _read_class_methods(project, file, dotted_name(view.func.value))


def _read_class_methods(project: PythonProject, file: PythonFile, name: str | None) -> tuple[str, ...]:
    place = project.resolve(file, name) if name else None
    if place is None or place[1] not in place[0].classes:
        return ()
    body = place[0].classes[place[1]].body
    names = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return tuple(name.upper() for name in names if name in _HTTP_METHODS)


def _find_loops(file: PythonFile) -> dict[str, tuple[str, ...]]:
    """Return what a loop's variable stands for, where the loop goes over names written in it."""
    loops: dict[str, tuple[str, ...]] = {}
    for node in file.nodes:
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            items = node.iter
            if isinstance(items, ast.Name) and items.id in file.assigned:
                items = file.assigned[items.id]
            if isinstance(items, ast.List | ast.Tuple):
                names = tuple(name for item in items.elts[:MAX_LOOP_NAMES] if (name := dotted_name(item)))
                loops[node.target.id] = names
                for attribute in (
                    "router",
                    "bp",
                    "blueprint",
                ):  # ``for module in (auth, users): …module.router``
                    loops[f"{node.target.id}.{attribute}"] = tuple(f"{name}.{attribute}" for name in names)
    return loops


def _find_frameworks(project: PythonProject) -> dict[str, Literal["flask", "fastapi"]]:
    """Return which framework each file imports; under "" the one of the app, where there is only one."""
    found: dict[str, Literal["flask", "fastapi"]] = {}
    for file in project.files.values():
        roots = {module.partition(".")[0] for module, level, _ in file.imports.values() if not level}
        if "fastapi" in roots:
            found[file.path] = "fastapi"
        elif roots & {"flask", "flask_restful"}:
            found[file.path] = "flask"
    kinds = set(found.values())
    if len(kinds) == 1:
        found[""] = kinds.pop()
    return found
