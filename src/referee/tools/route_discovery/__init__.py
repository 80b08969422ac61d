"""Reading the routes of each framework from an app's source."""

from __future__ import annotations

from collections.abc import Iterator

from referee.core.sources import SourceSnapshot
from referee.tools.route_discovery.django import find_django_routes
from referee.tools.route_discovery.express import find_express_routes
from referee.tools.route_discovery.flask_fastapi import find_decorated_routes
from referee.tools.route_discovery.python_sources import read_python_project
from referee.tools.route_discovery.sources import read_sources
from referee.tools.routes import Route

__all__ = ["find_routes"]


def find_routes(snapshot: SourceSnapshot) -> Iterator[Route]:
    """Yield every route that the source declares, in no order."""
    project = read_python_project(read_sources(snapshot, "python"))
    yield from find_decorated_routes(project)
    yield from find_django_routes(project)
    yield from find_express_routes(read_sources(snapshot, "javascript", "typescript", "jsx", "tsx"))
