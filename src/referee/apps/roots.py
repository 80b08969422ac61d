"""Whether a server may read folders of its machine for those who ask it."""

from __future__ import annotations

from referee.core.errors import Forbidden
from referee.foundation.settings import Settings
from referee.foundation.web.sessions import is_loopback_host

__all__ = ["check_roots"]


def check_roots(settings: Settings) -> None:
    """Refuse to read this machine's folders for others until somebody says which.

    Raises:
        Forbidden: The server listens beyond loopback and no roots are set.
    """
    if not settings.allowed_roots and not is_loopback_host(settings.host):
        raise Forbidden(
            "source.roots_unset",
            "This server listens beyond its own machine, and nobody has said which folders it may read.",
            "Set REFEREE_ALLOWED_ROOTS to the folders that hold apps, and start it again.",
        )
