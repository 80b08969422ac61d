"""Projects, keys, and who may do what. This is the door."""

from __future__ import annotations

from referee.foundation.access.keys import Scope, hash_secret, make_secret
from referee.foundation.access.service import (
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
    "LOCAL_SCOPES",
    "ApiKeyRow",
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
