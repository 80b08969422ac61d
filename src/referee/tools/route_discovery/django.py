"""Routes of Django: ``urlpatterns`` with includes, views as functions and classes, and REST framework routers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from referee.tools.route_discovery.python_sources import (
    PythonFile,
    PythonProject,
    dotted_name,
    get_argument,
    join_paths,
    normalise_parameters,
)
from referee.tools.routes import Route, name_target

__all__ = ["find_django_routes"]

MAX_INCLUDE_DEPTH: Final = 8
MAX_ENTRIES: Final = 5_000
"""Entries of ``urlpatterns`` followed from one root; files that include each other end here."""

_GROUP: Final = re.compile(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)")
_UNNAMED_GROUP: Final = re.compile(r"\((?!\?)(?:[^()]|\([^()]*\))*\)")
_HTTP_METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")
_BASES: Final[dict[str, tuple[str, ...]]] = {
    "ListAPIView": ("GET",), "RetrieveAPIView": ("GET",), "CreateAPIView": ("POST",),
    "DestroyAPIView": ("DELETE",), "UpdateAPIView": ("PUT", "PATCH"), "ListCreateAPIView": ("GET", "POST"),
    "RetrieveUpdateAPIView": ("GET", "PUT", "PATCH"), "RetrieveDestroyAPIView": ("GET", "DELETE"),
    "RetrieveUpdateDestroyAPIView": ("GET", "PUT", "PATCH", "DELETE"),
    "TemplateView": ("GET",), "ListView": ("GET",), "DetailView": ("GET",), "RedirectView": ("GET",),
    "CreateView": ("GET", "POST"), "UpdateView": ("GET", "POST"), "DeleteView": ("GET", "POST"),
    "FormView": ("GET", "POST"), "LoginView": ("GET", "POST"), "LogoutView": ("POST",),
    "TokenObtainPairView": ("POST",), "TokenRefreshView": ("POST",),
}  # fmt: skip
"""What the views of Django and its REST framework answer to without a method of their own."""
_LIST_ACTIONS: Final = {"list": "GET", "create": "POST"}
_ITEM_ACTIONS: Final = {"retrieve": "GET", "update": "PUT", "partial_update": "PATCH", "destroy": "DELETE"}
_SET_BASES: Final[dict[str, tuple[str, ...]]] = {
    "ModelViewSet": ("list", "create", "retrieve", "update", "partial_update", "destroy"),
    "ReadOnlyModelViewSet": ("list", "retrieve"), "ListModelMixin": ("list",), "CreateModelMixin": ("create",),
    "RetrieveModelMixin": ("retrieve",), "UpdateModelMixin": ("update", "partial_update"),
    "DestroyModelMixin": ("destroy",),
}  # fmt: skip


class _Walker:
    """Follows includes from a root ``urlpatterns`` and keeps what it finds."""

    def __init__(self, project: PythonProject) -> None:
        self._project = project
        self._entries_count = 0
        self._function_methods: dict[ast.AST, tuple[str, ...]] = {}
        self.routes: list[Route] = []

    def walk_file(self, file: PythonFile, prefix: str, depth: int) -> None:
        for node in _patterns_of(file):
            self._walk_entry(file, node, prefix, depth)

    def _walk_entry(self, file: PythonFile, node: ast.expr, prefix: str, depth: int) -> None:
        self._entries_count += 1
        if depth > MAX_INCLUDE_DEPTH or self._entries_count > MAX_ENTRIES:
            return
        if isinstance(node, ast.Starred):
            node = node.value
        router = dotted_name(node)
        if router is not None and router.endswith(".urls"):
            self._walk_router(file, router.removesuffix(".urls"), prefix)
            return
        if not isinstance(node, ast.Call):
            return
        kind = (dotted_name(node.func) or "").rpartition(".")[2]
        path = self._project.read_string(file, get_argument(node, 0, "route", "regex"))
        view = get_argument(node, 1, "view")
        if kind not in ("path", "re_path", "url") or path is None or view is None:
            return
        whole = join_paths(
            prefix, normalise_parameters(path if kind == "path" else _simplify_expression(path))
        )
        if isinstance(view, ast.Call) and (dotted_name(view.func) or "").endswith("include"):
            self._walk_include(file, view, whole, depth + 1)
        else:
            for method in self._read_view_methods(file, view):
                self._add(method, whole, file, node.lineno)

    def _walk_include(self, file: PythonFile, call: ast.Call, prefix: str, depth: int) -> None:
        target = get_argument(call, 0, "arg")
        if isinstance(target, ast.Tuple) and target.elts:
            target = target.elts[0]
        module = self._project.read_string(file, target) if isinstance(target, ast.Constant) else None
        name = dotted_name(target)
        found = self._project.find_module(file, module, 0) if module else None
        if found is None and name:
            found = self._project.find_imported_module(file, name)
        if found is not None:
            self.walk_file(found, prefix, depth)
        elif name and name.endswith(".urls"):
            self._walk_router(file, name.removesuffix(".urls"), prefix)
        else:
            items = file.assigned.get(name) if name else target
            for item in items.elts if isinstance(items, ast.List | ast.Tuple) else ():
                self._walk_entry(file, item, prefix, depth)

    def _walk_router(self, file: PythonFile, name: str, prefix: str) -> None:
        place = self._project.resolve(file, name)
        if place is None:
            return
        file, name = place
        for node in file.nodes:
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr != "register" or dotted_name(node.func.value) != name:
                continue
            path = self._project.read_string(file, get_argument(node, 0, "prefix"))
            if path is None:
                continue
            base = join_paths(prefix, _simplify_expression(path).strip("/"))
            actions = _read_set_actions(self._project, file, get_argument(node, 1, "viewset"))
            for action, method in (*_LIST_ACTIONS.items(), *_ITEM_ACTIONS.items()):
                if action in actions:
                    tail = "/" if action in _LIST_ACTIONS else "/:pk/"
                    self._add(method, f"{base}{tail}", file, node.lineno)

    def _read_view_methods(self, file: PythonFile, view: ast.expr) -> tuple[str, ...]:
        while isinstance(view, ast.Call) and not _is_as_view(view):
            inner = view.args[0] if view.args else None  # ``csrf_exempt(view)``
            if inner is None:
                return ("GET",)
            view = inner
        if isinstance(view, ast.Call) and isinstance(view.func, ast.Attribute):
            actions = get_argument(view, 0, "actions")
            if isinstance(actions, ast.Dict):
                keys = [key.value for key in actions.keys if isinstance(key, ast.Constant)]
                return tuple(str(key).upper() for key in keys if str(key) in _HTTP_METHODS)
            return _read_class_methods(self._project, file, dotted_name(view.func.value))
        name = dotted_name(view)
        place = self._project.resolve(file, name) if name else None
        if place is None or place[1] not in place[0].functions:
            return ("GET",)
        function = place[0].functions[place[1]]
        if function not in self._function_methods:
            self._function_methods[function] = _read_function_methods(function)
        return self._function_methods[function]

    def _add(self, method: str, path: str, file: PythonFile, line: int) -> None:
        self.routes.append(
            Route(
                method=method,
                path=path,
                file=file.path,
                line=line,
                framework="django",
                target=name_target(file.path),
            )
        )


def find_django_routes(project: PythonProject) -> Iterator[Route]:
    """Yield the routes of Django apps; the roots are the patterns that no other file includes."""
    holders = {file.path: file for file in project.files.values() if _patterns_of(file)}
    roots = [path for path in holders if path not in _find_included(project, holders)]
    for path in roots:
        walker = _Walker(project)
        walker.walk_file(holders[path], "", 0)
        yield from walker.routes


def _find_included(project: PythonProject, holders: dict[str, PythonFile]) -> set[str]:
    included = set()
    for file in holders.values():
        for node in file.nodes:
            if isinstance(node, ast.Call) and (dotted_name(node.func) or "").endswith("include"):
                target = get_argument(node, 0, "arg")
                if isinstance(target, ast.Tuple) and target.elts:
                    target = target.elts[0]
                name = dotted_name(target)
                module = project.read_string(file, target)
                found = project.find_module(file, module, 0) if module else None
                if found is None and name:
                    found = project.find_imported_module(file, name)
                if found is not None and found is not file:
                    included.add(found.path)
    return included


def _patterns_of(file: PythonFile) -> list[ast.expr]:
    entries: list[ast.expr] = []
    for node in file.tree.body:
        target, value = None, None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            target, value = node.target, node.value
        if isinstance(target, ast.Name) and target.id == "urlpatterns" and value is not None:
            entries += _list_entries(value)
    return entries


def _list_entries(value: ast.expr) -> list[ast.expr]:
    pending, entries = [value], []
    while pending:
        node = pending.pop()
        if isinstance(node, ast.BinOp):
            pending += [node.right, node.left]
        elif isinstance(node, ast.List | ast.Tuple):
            entries += node.elts
        elif isinstance(node, ast.Attribute):
            entries.append(node)
        elif isinstance(node, ast.Call):
            pending += node.args[:1]
    return entries


def _simplify_expression(path: str) -> str:
    """Return a regular expression's path with its groups as parameters."""
    text = _GROUP.sub(r":\1", path.removeprefix("^").removesuffix("$"))
    numbered = iter(range(1, 100))
    text = _UNNAMED_GROUP.sub(lambda _: f":group{next(numbered, 0)}", text)
    return text.replace("\\", "").rstrip("?")


def _is_as_view(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "as_view"


def _read_function_methods(function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    for decorator in function.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        name = (dotted_name(call.func if call else decorator) or "").rpartition(".")[2]
        if name in ("api_view", "require_http_methods") and call is not None:
            words = _read_words(get_argument(call, 0, "http_method_names", "request_method_list"))
            return words or ("GET",)
        if name in ("require_GET", "require_POST", "require_safe"):
            return ("POST",) if name == "require_POST" else ("GET",)
    compared: list[str] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and (dotted_name(node.left) or "").endswith("request.method"):
            for side in node.comparators:
                compared += _read_words(side)
    return tuple(dict.fromkeys(compared)) or ("GET",)


def _read_words(node: ast.expr | None) -> tuple[str, ...]:
    items = node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]
    words = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return tuple(word.upper() for word in words if word.lower() in _HTTP_METHODS)


def _read_class_methods(project: PythonProject, file: PythonFile, name: str | None) -> tuple[str, ...]:
    found: list[str] = []
    for names, bases in _lineage(project, file, name):
        found += [word.upper() for word in names if word in _HTTP_METHODS]
        found += [method for base in bases for method in _BASES.get(base, ())]
    if name:
        found += _BASES.get(name.rpartition(".")[2], ())
    return tuple(dict.fromkeys(found)) or ("GET",)


def _read_set_actions(project: PythonProject, file: PythonFile, node: ast.expr | None) -> set[str]:
    found: set[str] = set()
    for names, bases in _lineage(project, file, dotted_name(node)):
        found |= {word for word in names if word in _LIST_ACTIONS or word in _ITEM_ACTIONS}
        found |= {action for base in bases for action in _SET_BASES.get(base, ())}
    return found


def _lineage(
    project: PythonProject, file: PythonFile, name: str | None
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield a class's methods and the names of its bases, then those of its bases in the app."""
    pending = [(file, name)] if name else []
    for _ in range(MAX_INCLUDE_DEPTH):
        if not pending:
            return
        holder, wanted = pending.pop(0)
        place = project.resolve(holder, wanted) if wanted else None
        if place is None or place[1] not in place[0].classes:
            continue
        definition = place[0].classes[place[1]]
        bases = [base for node in definition.bases if (base := dotted_name(node))]
        methods = [
            node.name for node in definition.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        yield methods, [base.rpartition(".")[2] for base in bases]
        pending += [(place[0], base) for base in bases]
