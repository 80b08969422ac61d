"""Routes of Express: ``app.get('/path', …)``, ``router.route('/path')`` and where routers are mounted."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from referee.tools.route_discovery.javascript_tokens import (
    HOLE,
    Token,
    match_brackets,
    split_arguments,
    tokenize,
)
from referee.tools.route_discovery.python_sources import MAX_PATH_CHARACTERS, join_paths
from referee.tools.routes import Route, name_target

__all__ = ["find_express_routes"]

_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete", "head", "options"})
_ALL_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
_SUFFIXES: Final = ("", ".js", ".ts", ".mjs", ".cjs", ".jsx", ".tsx", "/index.js", "/index.ts", "/index.mjs")
_PARAMETER: Final = re.compile(r":(\w+)(?:\((?:[^()]|\([^()]*\))*\))?[?+*]?")
_APP_PARAMETERS: Final = frozenset({"app", "router", "server"})
MAX_PREFIXES: Final = 32
MAX_FOLLOWED: Final = 8
MAX_CHAIN: Final = 20
DEFAULT: Final = "default"
"""Name of what a module exports as a whole."""


@dataclass(slots=True)
class _Module:
    """One file: its tokens and its names."""

    path: str
    tokens: list[Token]
    pairs: dict[int, int]
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Local name → path as written, and the exported name."""
    exports: dict[str, str] = field(default_factory=dict)
    """Exported name → local name."""
    strings: dict[str, str] = field(default_factory=dict)
    apps: set[str] = field(default_factory=set)
    routers: set[str] = field(default_factory=set)

    def text(self, index: int) -> str:
        """Return what stands at an index when it is a name or a mark, else ""."""
        if 0 <= index < len(self.tokens) and self.tokens[index].kind in ("name", "mark"):
            return self.tokens[index].value
        return ""


_Holder = tuple[str, str]
"""Path of the file and local name of an app or a router."""


def find_express_routes(texts: Mapping[str, str]) -> Iterator[Route]:
    """Yield the routes of Express apps among these files."""
    if not any("express" in text for text in texts.values()):
        return
    modules = {path: _read_module(path, text) for path, text in texts.items()}
    finder = _Finder(modules)
    for module in modules.values():
        yield from finder.find_routes(module)


class _Finder:
    """Follows routers from file to file."""

    def __init__(self, modules: Mapping[str, _Module]) -> None:
        self._modules = modules
        self._mounts: defaultdict[_Holder, list[tuple[_Holder, str]]] = defaultdict(list)
        self._prefixes: dict[_Holder, list[str]] = {}
        self._has_lost_mount = False
        for module in modules.values():
            for name, index in _find_calls(module, {"use"}):
                if name in module.apps or name in module.routers:
                    self._read_mount(module, name, index)

    def _read_mount(self, module: _Module, name: str, opening: int) -> None:
        arguments = split_arguments(module.tokens, opening, module.pairs)
        prefixes = self._read_paths(module, arguments[0]) if arguments else []
        for argument in arguments[1:] if prefixes else arguments:
            child = self._find_holder(module, argument)
            for prefix in prefixes or [""]:
                if child is not None:
                    self._mounts[child].append(((module.path, name), prefix))

    def _find_holder(self, module: _Module, argument: list[Token]) -> _Holder | None:
        words = [token.value for token in argument]
        if words[:2] == ["require", "("] and len(argument) >= 4 and argument[2].kind == "string":
            exported = words[5] if len(words) > 5 and words[4] == "." else DEFAULT
            return self._follow_export(module, argument[2].value, exported, 0)
        if len(argument) == 1 and argument[0].kind == "name":
            return self._resolve(module, words[0], 0)
        if len(argument) == 3 and words[1] == "." and words[0] in module.imports:
            return self._follow_export(module, module.imports[words[0]][0], words[2], 0)
        return None

    def _resolve(self, module: _Module, name: str, depth: int) -> _Holder | None:
        if name in module.routers or name in module.apps:
            return module.path, name
        if name in module.imports and depth < MAX_FOLLOWED:
            source, exported = module.imports[name]
            return self._follow_export(module, source, exported, depth + 1)
        return None

    def _follow_export(self, module: _Module, source: str, exported: str, depth: int) -> _Holder | None:
        if not source.startswith("."):
            return None
        target = self._find_module(module, source)
        if target is None:
            self._has_lost_mount = True
            return None
        local = target.exports.get(exported) or (exported if exported != DEFAULT else None)
        return self._resolve(target, local, depth) if local else None

    def _find_module(self, module: _Module, source: str) -> _Module | None:
        base = posixpath.normpath(posixpath.join(posixpath.dirname(module.path), source))
        bases = (base, base[:-3]) if base.endswith((".js", ".mjs")) else (base,)
        for stem in bases:
            for suffix in _SUFFIXES:
                if stem + suffix in self._modules:
                    return self._modules[stem + suffix]
        return None

    def _prefixes_of(self, holder: _Holder) -> list[str]:
        if holder not in self._prefixes:
            self._prefixes[holder] = []  # a router mounted below itself is nowhere
            mounts = self._mounts.get(holder, [])
            found = [
                f"{outer.rstrip('/')}/{prefix.strip('/')}"[:MAX_PATH_CHARACTERS]
                for parent, prefix in mounts[:MAX_PREFIXES]
                for outer in self._prefixes_of(parent)
            ]
            is_root = holder[1] in self._modules[holder[0]].apps
            if not mounts and (is_root or self._has_lost_mount):
                found = [""]
            self._prefixes[holder] = found[:MAX_PREFIXES]
        return self._prefixes[holder]

    def find_routes(self, module: _Module) -> Iterator[Route]:
        """Yield the routes that one file declares."""
        for name, opening in _find_calls(module, _METHODS | {"all", "route"}):
            if name not in module.apps and name not in module.routers:
                continue
            verb = module.tokens[opening - 1].value
            arguments = split_arguments(module.tokens, opening, module.pairs)
            paths = self._read_paths(module, arguments[0]) if arguments else []
            if verb == "route":
                methods = _read_chain(module, opening)
            elif len(arguments) < 2:  # ``app.get('setting')`` reads a setting
                continue
            else:
                methods = _ALL_METHODS if verb == "all" else (verb.upper(),)
            line = module.tokens[opening - 1].line
            for prefix in self._prefixes_of((module.path, name)):
                for path in paths:
                    for method in methods:
                        yield _make_route(method, prefix, path, module.path, line)

    def _read_paths(self, module: _Module, argument: list[Token]) -> list[str]:
        """Return the paths that an argument is: text, a sum of texts, or a list of them."""
        if argument and argument[0].value == "[" and argument[0].kind == "mark":
            words = [token.value for token in argument if token.kind in ("string", "template")]
            return [word for word in words if word.startswith(("/", "*"))]
        parts: list[str] = []
        for index, token in enumerate(argument):
            if index % 2:
                if token.value != "+":
                    return []
            elif token.kind in ("string", "template"):
                parts.append(self._fill_holes(module, token))
            elif token.kind == "name" and token.value in module.strings:
                parts.append(module.strings[token.value])
            else:
                return []
        path = "".join(parts)[:MAX_PATH_CHARACTERS]
        return [path] if path.startswith(("/", "*")) or (parts and not path) else []

    @staticmethod
    def _fill_holes(module: _Module, token: Token) -> str:
        """Return a template with the one text that the file gives a name, where it begins with one."""
        if token.kind == "template" and token.value.startswith(HOLE) and module.strings:
            likely = [text for text in module.strings.values() if text.startswith("/")]
            if len(likely) == 1:
                return likely[0] + token.value[1:]
        return token.value


def _make_route(method: str, prefix: str, path: str, file: str, line: int) -> Route:
    whole = _PARAMETER.sub(r":\1", join_paths(prefix, path)).replace(HOLE, ":value")
    return Route(
        method=method,
        path=whole.rstrip("/") or "/",
        file=file,
        line=line,
        framework="express",
        target=name_target(file),
    )


def _read_chain(module: _Module, opening: int) -> tuple[str, ...]:
    """Return the methods of ``.route('/path').get(…).post(…)``."""
    methods: list[str] = []
    closing = module.pairs.get(opening)
    for _ in range(MAX_CHAIN):
        if closing is None or module.text(closing + 1) != "." or module.text(closing + 3) != "(":
            break
        verb = module.text(closing + 2)
        if verb in _METHODS:
            methods.append(verb.upper())
        elif verb == "all":
            methods += _ALL_METHODS
        closing = module.pairs.get(closing + 3)
    return tuple(dict.fromkeys(methods))


def _find_calls(module: _Module, verbs: set[str] | frozenset[str]) -> Iterator[tuple[str, int]]:
    """Yield the name before and the index of the bracket after each ``name.verb(``."""
    for index, token in enumerate(module.tokens):
        if token.kind == "name" and token.value in verbs and module.text(index - 1) == ".":
            name = module.text(index - 2)
            if name and module.text(index + 1) == "(" and module.text(index - 3) not in (".", "?."):
                yield name, index + 1


def _read_module(path: str, text: str) -> _Module:
    tokens = tokenize(text)
    module = _Module(path, tokens, match_brackets(tokens))
    is_express = "express" in text
    for index, token in enumerate(tokens):
        if token.kind != "name":
            continue
        if token.value in ("const", "let", "var"):
            _read_declaration(module, index + 1, is_express)
        elif token.value == "import":
            _read_import(module, index + 1)
        elif token.value in ("export", "module", "exports"):
            _read_export(module, index)
    for name in _find_app_parameters(module) if not module.apps and not module.routers else ():
        module.apps.add(name)
    return module


def _read_declaration(module: _Module, index: int, is_express: bool) -> None:
    """Read ``const name [: Type] = …`` and ``const { a, b } = require(…)``."""
    name = module.text(index)
    if name == "{":
        closing = module.pairs.get(index, index)
        if module.text(closing + 1) == "=" and module.text(closing + 2) == "require":
            source = _string_at(module, closing + 4)
            for exported, local in _read_names(module, index, closing):
                module.imports[local] = (source, exported)
        return
    start = index + 1
    if module.text(start) == ":":
        start = next((at for at in range(start, start + MAX_CHAIN) if module.text(at) == "="), start)
    if module.text(start) != "=":
        return
    value = module.tokens[start + 1] if start + 1 < len(module.tokens) else None
    words = [module.text(at) for at in range(start + 1, start + 6)]
    if words[:2] == ["require", "("]:
        exported = module.text(start + 6) if module.text(start + 5) == "." else DEFAULT
        module.imports[name] = (_string_at(module, start + 3), exported)
    elif is_express and words[0] == "express" and words[1] == "(":
        module.apps.add(name)
    elif is_express and ("Router" in (words[0], words[1]) or words[:3] == ["express", ".", "Router"]):
        module.routers.add(name)
    elif value is not None and value.kind in ("string", "template") and HOLE not in value.value:
        module.strings[name] = value.value


def _read_import(module: _Module, index: int) -> None:
    """Read ``import a, { b as c } from '…'`` and ``import * as a from '…'``."""
    names: list[tuple[str, str]] = []
    while module.text(index) not in ("", "from", ";") and len(names) < MAX_PATH_CHARACTERS:
        word = module.text(index)
        if word == "{":
            closing = module.pairs.get(index, index)
            names += _read_names(module, index, closing)
            index = closing
        elif word == "*":
            names.append((DEFAULT, module.text(index + 2)))
            index += 2
        elif word not in (",", "type"):
            names.append((DEFAULT, word))
        index += 1
    if module.text(index) == "from":
        source = _string_at(module, index + 1)
        module.imports.update({local: (source, exported) for exported, local in names if local})


def _read_export(module: _Module, index: int) -> None:
    word = module.text(index)
    if word == "export":
        if module.text(index + 1) == "default":
            module.exports[DEFAULT] = module.text(index + 2)
        elif module.text(index + 1) == "{":
            closing = module.pairs.get(index + 1, index + 1)
            module.exports.update(
                {exported: local for local, exported in _read_names(module, index + 1, closing)}
            )
        return
    start = index + 3 if word == "module" and module.text(index + 2) == "exports" else index + 1
    if word == "module" and start == index + 1:
        return
    if module.text(start) == "." and module.text(start + 2) == "=":
        module.exports[module.text(start + 1)] = module.text(start + 3)
    elif module.text(start) == "=" and module.text(start + 1) == "{":
        closing = module.pairs.get(start + 1, start + 1)
        module.exports.update(
            {exported: local for exported, local in _read_names(module, start + 1, closing)}
        )
    elif module.text(start) == "=":
        module.exports[DEFAULT] = module.text(start + 1)


def _read_names(module: _Module, opening: int, closing: int) -> list[tuple[str, str]]:
    """Return the pairs in ``{ a, b as c, d: e }``: (left, right), the same twice without a second name."""
    pairs: list[tuple[str, str]] = []
    index = opening + 1
    while index < closing and len(pairs) < MAX_PATH_CHARACTERS:
        word = module.text(index)
        if module.tokens[index].kind == "name" and word != "type":
            has_second = module.text(index + 1) in ("as", ":")
            pairs.append((word, module.text(index + 2) if has_second else word))
            index += 2 if has_second else 0
        index += 1
    return pairs


def _string_at(module: _Module, index: int) -> str:
    if index < len(module.tokens) and module.tokens[index].kind == "string":
        return module.tokens[index].value
    return ""


def _find_app_parameters(module: _Module) -> Iterator[str]:
    """Yield ``app`` of ``module.exports = function (app) {…}`` and ``export default (app) => {…}``."""
    for index, token in enumerate(module.tokens):
        is_arrow = token.value == "=>" and module.text(index - 1) == ")"
        is_function = token.value == "function"
        if not is_arrow and not is_function:
            continue
        window = range(index - 1, max(index - 8, -1), -1) if is_arrow else range(index + 1, index + 9)
        for at in window:
            if module.text(at) in _APP_PARAMETERS:
                yield module.text(at)
