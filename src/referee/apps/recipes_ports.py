"""Which port a Python program listens on, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from referee.apps.recipes_reading import SourceReader

__all__ = ["TAKEN_PORT", "PortChoice", "is_port", "resolve_port"]

_MAX_STEPS: Final = 40
"""Expressions looked at from a port to its value; more is a puzzle, not a program."""
_MAX_SETTINGS_FILES: Final = 60


@dataclass(slots=True)
class _Search:
    """One port being followed."""

    reader: SourceReader
    folder: str
    remaining_count: int = _MAX_STEPS


@dataclass(frozen=True, slots=True)
class PortChoice:
    """Where a program gets its port from."""

    port: int | None = None
    """Written in the source; None: it takes the one it is given."""
    variable: str = ""
    """Environment variable that gives it, when its name is not PORT."""
    is_known: bool = True
    """False when the expression could not be followed."""


TAKEN_PORT: Final = PortChoice()
"""The port that the variable PORT gives."""


def is_port(number: int) -> bool:
    """Return whether a number can be a port."""
    return 0 < number < 65_536


def resolve_port(expression: ast.expr, tree: ast.Module, reader: SourceReader, folder: str) -> PortChoice:
    """Return where the value of a port expression comes from.

    Args:
        expression: What is given as port.
        tree: The module that it stands in.
        reader: Of the app's snapshot.
        folder: Where the component starts; its modules may hold the settings.
    """
    return _resolve(expression, [tree], _Search(reader, folder)) or PortChoice(is_known=False)


def _resolve(node: ast.expr, trees: list[ast.Module], search: _Search) -> PortChoice | None:
    """Return the choice that an expression makes; None when it cannot be followed."""
    search.remaining_count -= 1
    if search.remaining_count < 0:
        return None
    match node:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return PortChoice(port=number) if is_port(number) else None
        case ast.Constant(value=str() as text):
            is_number = text.isdecimal() and len(text) < 6 and is_port(int(text))
            return PortChoice(port=int(text)) if is_number else None
        case ast.BoolOp(values=values) | ast.Call(func=ast.Name(id="int" | "str"), args=values):
            return _resolve_first(values, trees, search)
        case ast.IfExp(body=body, orelse=otherwise):
            return _resolve_first([body, otherwise], trees, search)
        case ast.Call() | ast.Subscript() if (variable := _find_variable(node)) is not None:
            return TAKEN_PORT if variable == "PORT" else PortChoice(variable=variable)
        case ast.Name(id=name):
            return _follow(name, trees, search)
        case ast.Attribute(attr=name):
            return _follow(name, trees, search)
        case ast.Subscript(slice=ast.Constant(value=str() as name)):
            return _follow(name, trees, search)
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str() as name), *_]):
            return _follow(name, trees, search)
        case _:
            return None


def _resolve_first(nodes: list[ast.expr], trees: list[ast.Module], search: _Search) -> PortChoice | None:
    """Return the first choice that can be given, else the first that is fixed."""
    found = [choice for choice in (_resolve(node, trees, search) for node in nodes[:4]) if choice is not None]
    return next((choice for choice in found if choice.port is None), found[0] if found else None)


def _follow(name: str, trees: list[ast.Module], search: _Search) -> PortChoice | None:
    """Return the choice made where a name gets its value: in this module, else in one of the settings."""
    for tree in trees:
        for value in _list_values(name, tree):
            choice = _resolve_value(name, value, tree, search)
            if choice is not None:
                return choice
    if len(trees) > 1 or "port" not in name.lower():
        return None
    others = [
        found
        for file in search.reader.list_files(search.folder, ".py")[:_MAX_SETTINGS_FILES]
        if name in (search.reader.find_text(file.path) or "")
        and (found := search.reader.find_tree(file.path)) is not None
    ]
    return _follow(name, [*trees, *others], search) if others else None


def _resolve_value(
    name: str, value: ast.expr | ast.ClassDef, tree: ast.Module, search: _Search
) -> PortChoice | None:
    if isinstance(value, ast.ClassDef):  # settings that take a variable of the field's own name
        variable = _find_prefix(value) + name.upper()
        return TAKEN_PORT if variable == "PORT" else PortChoice(variable=variable)
    return _resolve(value, [tree], search)


def _list_values(name: str, tree: ast.Module) -> Iterator[ast.expr | ast.ClassDef]:
    """Yield what a name is set to, wherever in the module; for a settings class, the class."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(bases=bases, body=body) if any(_is_settings(base) for base in bases):
                if any(_is_target(name, target) for entry in body for target in _targets(entry)):
                    yield node
                    return
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                if any(_is_target(name, target) for target in _targets(node)):
                    yield value
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == name:
                        yield value
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=flags, keywords=keywords):
                if any(isinstance(flag, ast.Constant) and flag.value == f"--{name}" for flag in flags):
                    yield from (keyword.value for keyword in keywords if keyword.arg == "default")


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _is_target(name: str, target: ast.expr) -> bool:
    match target:
        case ast.Name(id=found) | ast.Attribute(attr=found):
            return found == name
        case ast.Subscript(slice=ast.Constant(value=found)):
            return bool(found == name)
        case _:
            return False


def _is_settings(base: ast.expr) -> bool:
    found = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
    return found == "BaseSettings"


def _find_prefix(settings: ast.ClassDef) -> str:
    """Return the prefix that a settings class puts before its variables."""
    for node in ast.walk(settings):
        match node:
            case ast.keyword(arg="env_prefix", value=ast.Constant(value=str() as prefix)):
                return prefix.upper()
            case ast.Assign(targets=[ast.Name(id="env_prefix")], value=ast.Constant(value=str() as prefix)):
                return prefix.upper()
    return ""


def _find_variable(node: ast.expr) -> str | None:
    """Return the variable that an expression reads from the environment."""
    match node:
        case ast.Call(func=ast.Attribute(attr="getenv") | ast.Name(id="getenv"), args=[name, *_]):
            pass
        case ast.Call(
            func=ast.Attribute(attr="get", value=ast.Attribute(attr="environ") | ast.Name(id="environ")),
            args=[name, *_],
        ):
            pass
        case ast.Subscript(value=ast.Attribute(attr="environ") | ast.Name(id="environ"), slice=name):
            pass
        case ast.Call(func=ast.Name(id="config" | "env") | ast.Attribute(attr="int"), args=[name, *_]):
            pass  # python-decouple and environs
        case _:
            return None
    return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else None
