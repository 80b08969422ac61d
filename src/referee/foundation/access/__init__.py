"""Projects, keys, and who may do what. This is the door.

Names are imported when first asked for: the command line mounts this room's commands,
and ``referee --help`` must not pay for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.foundation.access.keys import KeyKind, Scope, hash_secret, make_secret
    from referee.foundation.access.service import (
        KEY_SCOPES,
        LOCAL_SCOPES,
        KeyView,
        Principal,
        Project,
        authenticate,
        confirm_principal,
        create_key,
        create_project,
        find_local_principal,
        get_project,
        list_keys,
        list_projects,
        revoke_key,
    )
    from referee.foundation.access.tables import ApiKeyRow, ProjectRow

__all__ = [
    "KEY_SCOPES",
    "LOCAL_SCOPES",
    "ApiKeyRow",
    "KeyKind",
    "KeyView",
    "Principal",
    "Project",
    "ProjectRow",
    "Scope",
    "authenticate",
    "confirm_principal",
    "create_key",
    "create_project",
    "find_local_principal",
    "get_project",
    "hash_secret",
    "list_keys",
    "list_projects",
    "make_secret",
    "revoke_key",
]

__getattr__ = open_door(
    __name__,
    {
        "keys": (
            "KeyKind",
            "Scope",
            "hash_secret",
            "make_secret",
        ),
        "service": (
            "KEY_SCOPES",
            "KeyView",
            "LOCAL_SCOPES",
            "Principal",
            "Project",
            "authenticate",
            "confirm_principal",
            "create_key",
            "create_project",
            "find_local_principal",
            "get_project",
            "list_keys",
            "list_projects",
            "revoke_key",
        ),
        "tables": (
            "ApiKeyRow",
            "ProjectRow",
        ),
    },
)
