"""The parts that every page and API stands on, as one object per application.

``create_shell`` (in ``application.py``) makes it; a handler reaches it through
``get_shell(request)``. Nothing here is global, so two applications can live in
one process, as tests do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from starlette.requests import HTTPConnection

from referee.core.clock import Clock
from referee.core.errors import Unauthorized
from referee.foundation.access import Principal
from referee.foundation.settings import Settings
from referee.foundation.web.assets import Assets
from referee.foundation.web.live import LiveHub
from referee.foundation.web.navigation import NavigationRegistry
from referee.foundation.web.problem_catalogue import ProblemCatalogue

if TYPE_CHECKING:
    from referee.foundation.web.sessions import Sessions
    from referee.foundation.web.templating import Templates

__all__ = ["ListProjects", "ProjectChoice", "Shell", "find_principal", "get_principal", "get_shell"]


@dataclass(frozen=True, slots=True)
class ProjectChoice:
    """A project that the switch offers."""

    slug: str
    name: str


ListProjects: TypeAlias = Callable[[Principal], Awaitable[Sequence[ProjectChoice]]]


@dataclass(frozen=True, slots=True)
class Shell:
    """The parts of one application."""

    settings: Settings
    title: str
    version: str
    clock: Clock
    assets: Assets
    navigation: NavigationRegistry
    problems: ProblemCatalogue
    live: LiveHub
    templates: Templates
    sessions: Sessions
    list_projects: ListProjects | None

    def register_templates(self, package: str) -> None:
        """Let pages of a room be named: ``analysis/list.html`` after ``referee.analysis``."""
        self.templates.register(package)


def get_shell(connection: HTTPConnection) -> Shell:
    """Return the shell of the application that serves this request."""
    shell: Shell = connection.app.state.shell
    return shell


async def get_principal(connection: HTTPConnection) -> Principal:
    """Return who asks.

    Raises:
        Unauthorized: The path is one that nobody needs a key for, and no key was sent.
    """
    principal = find_principal(connection)
    if principal is None:
        raise Unauthorized(
            "access.key_missing", "A key is needed here.", "Send it as a bearer key, or log in."
        )
    return principal


def find_principal(connection: HTTPConnection) -> Principal | None:
    """Return who asks, or None where no key is needed."""
    return getattr(connection.state, "principal", None)
