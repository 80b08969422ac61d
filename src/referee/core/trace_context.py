"""W3C trace context: the one line that ties a request to everything done for it, on every machine.

Source:
    W3C Trace Context, section 3.2: version 00, ids in lower-case hexadecimal and not all zero.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

__all__ = ["make_traceparent", "parse_traceparent"]

_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def parse_traceparent(text: str | None) -> str | None:
    """Return a ``traceparent`` if it is one, None otherwise: it goes into the environment of tools."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


def make_traceparent() -> str:
    """Return the ``traceparent`` of a new trace, for work that nobody else began one for."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
