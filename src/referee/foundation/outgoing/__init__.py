"""The one guard of connections that Referee opens to addresses it was given. This is the door.

Names are loaded when first asked for: settings are read by commands that need no HTTP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.foundation.outgoing.guard import OutgoingGuard, PinnedAddress, open_guard
    from referee.foundation.outgoing.http import (
        GuardedTransport,
        GuardedTransportSync,
        RefusedAddressError,
        find_proxy,
    )

__all__ = [
    "GuardedTransport",
    "GuardedTransportSync",
    "OutgoingGuard",
    "PinnedAddress",
    "RefusedAddressError",
    "find_proxy",
    "open_guard",
]

__getattr__ = open_door(
    __name__,
    {
        "guard": ("OutgoingGuard", "PinnedAddress", "open_guard"),
        "http": ("GuardedTransport", "GuardedTransportSync", "RefusedAddressError", "find_proxy"),
    },
)
