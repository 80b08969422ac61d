"""HTTP as uvicorn reads it, with an answer in our words to what is no HTTP, and read to its end.

A request whose line or headers are broken or too long never reaches a route. Its answer is problem details all the
same, and the connection is kept for a moment: closed with bytes unread, it would be reset, and a client that still
sends would lose the answer.
"""

from __future__ import annotations

import sys
from typing import Final
from uuid import uuid4

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from referee.core.errors import InvalidInput
from referee.foundation.web.problem_catalogue import problem_url
from referee.foundation.web.problems import PROBLEM_MEDIA_TYPE, Problem

__all__ = ["HttpProtocol"]

_TOO_LONG_STATUS: Final = 431
"""What the library says of a line and headers that do not end in time."""
_LINGER_S: Final = 2.0
_LINGER_BYTES: Final = 16 * 1024 * 1024


class HttpProtocol(H11Protocol):
    """uvicorn's, with the answers above."""

    _unread_bytes = -1
    """How much more is taken and thrown away after a refusal; less than 0: nothing was refused."""

    def data_received(self, data: bytes) -> None:
        """Take bytes in; those behind a request that was refused are thrown away."""
        if self._unread_bytes < 0:
            super().data_received(data)
            return
        self._unread_bytes -= len(data)
        if self._unread_bytes <= 0:
            self._unread_bytes = 0
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Say why the request could not be read, then stop listening to it."""
        error = sys.exc_info()[1]
        is_too_long = getattr(error, "error_status_hint", 0) == _TOO_LONG_STATUS
        code = "request.head_too_long" if is_too_long else "request.not_http"
        problem = Problem(
            type=problem_url(code),
            title=InvalidInput.title,
            status=400,
            detail="The address and headers of the request are too long."
            if is_too_long
            else "What arrived is no HTTP request.",
            hint="Keep them below 64 KiB, and send long values in the body."
            if is_too_long
            else "Send HTTP/1.1, with the address percent-encoded.",
            code=code,
            instance="",
            request_id=uuid4().hex,
        )
        body = problem.model_dump_json(exclude_none=True).encode()
        headers = [
            (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self._unread_bytes = _LINGER_BYTES
        self.loop.call_later(_LINGER_S, self.transport.close)
