"""A database's address that somebody sent to a server: read strictly, judged, and fixed to what was judged."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from referee.core.errors import InvalidInput
from referee.foundation.outgoing import OutgoingGuard

__all__ = ["pin_postgres_address"]

_PARTS: Final = frozenset({"host", "port", "user", "dbname", "sslmode"})
"""Whatever else libpq knows reads files of the server, or names another place to connect to."""
_PLAIN_SCHEME: Final = "postgresql://"
_DEFAULT_PORT: Final = 5432
_MAX_PORT: Final = 65_535


def pin_postgres_address(address: str, guard: OutgoingGuard) -> str:
    """Return the address with what the guard let pass as the only places that are connected to. Blocking.

    The host's name stays in it, since certificates are checked against it.

    Raises:
        InvalidInput: It cannot be understood, has no host, or says more than where a database is.
        Forbidden: Its host is, or has, an address that may not be reached.
        Unavailable: The host's name is not known.
    """
    try:
        parts = {
            name: str(value)
            for name, value in conninfo_to_dict(_PLAIN_SCHEME + address.partition("://")[2]).items()
        }
        port = int(parts.get("port") or _DEFAULT_PORT)
    except (psycopg.Error, ValueError) as error:
        raise InvalidInput(
            "backfill.address_invalid",
            "The address of the database cannot be understood.",
            "It looks like postgresql://user@host:5432/name.",
        ) from error
    refused = sorted(parts.keys() - _PARTS)
    if refused or not 0 < port <= _MAX_PORT:
        raise InvalidInput(
            "backfill.address_part_refused",
            f"The address says {', '.join(refused)}." if refused else f"There is no port {port}.",
            f"Give {', '.join(sorted(_PARTS))} only; what needs more goes into a variable of the server.",
        )
    host = parts.get("host", "")
    if not host or host.startswith(("/", "@")):
        raise InvalidInput(
            "backfill.address_without_host",
            "The address names no host.",
            "Name one, or let the operator put the address into a variable of the server.",
        )
    pinned = guard.pin_sync(host, port)
    place = f"[{pinned.host}]" if ":" in pinned.host else pinned.host
    user = f"{quote(parts['user'], safe='')}@" if parts.get("user") else ""
    options = {"hostaddr": ",".join(pinned.addresses)} | {
        name: parts[name] for name in ("sslmode",) if name in parts
    }
    places = ",".join([f"{place}:{port}"] * len(pinned.addresses))
    return f"{_PLAIN_SCHEME}{user}{places}/{quote(parts.get('dbname', ''), safe='')}?{urlencode(options)}"
