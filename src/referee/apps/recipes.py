"""How to start an app, found from what its source is.

What the app says itself wins: ``referee.toml``, then ``Procfile``. Else it is recognised
from file names, dependency files, Python syntax trees and a look through JavaScript. Nothing
of an app is executed or imported for that.

============================  ==================================================
``recipes_described``         the app's own ``referee.toml`` or ``Procfile``
``recipes_python``            Flask, FastAPI, Django; ``recipes_ports`` their port
``recipes_node``              Express, Vite; ``recipes_vite`` where the backend is
``recipes_static``            a folder with a page
``recipes_requirements``      which packages, without addresses and options
``recipes_reading``           bounded reading
============================  ==================================================

Not here: installing (``environments.py``) and running.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from referee.apps.recipes_contract import Component, Dependencies, Recipe
from referee.apps.recipes_described import read_description, read_procfile
from referee.apps.recipes_node import find_node_components
from referee.apps.recipes_python import find_python_components
from referee.apps.recipes_reading import SourceReader
from referee.apps.recipes_static import find_static_component
from referee.apps.recipes_vite import find_backend_port
from referee.core.sources import SourceSnapshot

__all__ = ["Component", "Dependencies", "Recipe", "find_recipe"]

_COMPOSE_NAMES: Final = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
_MAX_NOTICES: Final = 20


def find_recipe(snapshot: SourceSnapshot) -> Recipe | None:
    """Return how to start the app in a snapshot, None when nothing in it can be started.

    Raises:
        InvalidInput: The app's own ``referee.toml`` or ``Procfile`` is malformed.
    """
    reader = SourceReader(snapshot)
    described = read_description(reader)
    if described is not None:
        components, notices = described
    else:
        components, notices = _find_components(reader)
        notices += [f"{name} is there and not used." for name in _COMPOSE_NAMES if reader.has_file(name)]
    if not components:
        return None
    notices += _find_missing(snapshot)
    return Recipe(components=tuple(components), notices=tuple(dict.fromkeys(notices))[:_MAX_NOTICES])


def _find_missing(snapshot: SourceSnapshot) -> list[str]:
    """Return a notice when files that an app may need are not part of its copy."""
    missing = [entry for entry in snapshot.excluded if entry.reason in ("binary", "minified", "too_large")]
    if not missing:
        return []
    count = sum(max(1, entry.files_count) for entry in missing)
    return [f"Left out of the copy and so missing while it runs: {count:,} files, such as {missing[0].path}."]


def _find_components(reader: SourceReader) -> tuple[list[Component], list[str]]:
    found_python, notices = find_python_components(reader)
    found_node, noticed = find_node_components(reader)
    notices += noticed
    named = read_procfile(reader)
    if named is not None:
        servers, noticed = named
        notices += noticed
        own_folders = {one.folder for one in servers}
        rest = [one for one in found_node if one.name == "frontend" and one.folder not in own_folders]
    else:
        servers, rest = found_python, found_node
    components = _choose([*servers, *rest], notices)
    if not any(one.name == "frontend" for one in components):
        static = find_static_component(reader, components)
        components += [static] if static else []
    return _join_ports(reader, components, notices), notices


def _choose(found: list[Component], notices: list[str]) -> list[Component]:
    """Return the first component of each name, backends before frontends."""
    chosen: dict[str, Component] = {}
    has_page = any(one.name == "frontend" for one in found)
    for component in found:
        if component.name not in chosen:
            chosen[component.name] = component
        elif component.kind == "node" and not has_page:  # what serves pages beside a backend
            chosen["frontend"] = replace(component, name="frontend")
            has_page = True
        else:
            where = component.folder or "the root"
            notices.append(f"Another {component.name} in {where} is not started: {component.reason}")
    return sorted(chosen.values(), key=lambda one: one.name == "frontend")


def _join_ports(reader: SourceReader, components: list[Component], notices: list[str]) -> list[Component]:
    """Let the backend listen where its frontend looks for it, and no two components at one port."""
    backend = next((one for one in components if one.name == "backend"), None)
    frontend = next((one for one in components if one.name == "frontend"), None)
    if backend is None or frontend is None:
        return components
    wanted = find_backend_port(reader, frontend.folder, frontend.environment)
    if wanted is not None and wanted != frontend.port:
        if backend.port is None:
            backend = replace(backend, port=wanted)
        elif backend.port != wanted:
            notices.append(
                f"The frontend looks for its backend at port {wanted}, which listens at {backend.port}."
            )
    if backend.port is not None and backend.port == frontend.port:
        notices.append(f"Backend and frontend both name port {backend.port}; the frontend gets another.")
        frontend = replace(frontend, port=None)
    swapped = {"backend": backend, "frontend": frontend}
    return [swapped.get(one.name, one) for one in components]
