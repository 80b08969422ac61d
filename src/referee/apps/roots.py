"""Whether a server may read folders of its machine for those who ask it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from referee.core.errors import Forbidden
from referee.foundation.settings import Settings
from referee.foundation.web.sessions import is_loopback_host

__all__ = ["check_roots", "list_readable_roots"]


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


def list_readable_roots(settings: Settings) -> Sequence[Path]:
    """Return the folders below which sources may be sent to those who ask; none stands for any folder.

    Where ``check_roots`` refuses, what this server had written itself is left.
    """
    if settings.allowed_roots or is_loopback_host(settings.host):
        return settings.source_roots
    return [settings.generated_dir]
