"""Connections that analyzers open: who may, and what becomes of each.

What is said on a connection is in ``conversations.py``; those that this server opens itself are in ``replicas.py``.
"""

from __future__ import annotations

import structlog
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from referee.analysis.analyzers.conversations import Conversation, ConversationHost
from referee.analysis.analyzers.links import AcceptedLink, LinkClosed
from referee.core.errors import Forbidden, RefereeError, Unauthorized
from referee.foundation.access import Principal
from referee.foundation.web.shell import get_shell

__all__ = ["AnalyzerConnections"]

log = structlog.get_logger("referee.analyzers")


class AnalyzerConnections(ConversationHost):
    """The connections that analyzers have opened to one server process."""

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one connection until it ends."""
        try:
            principal = await _identify(websocket)
        except RefereeError as error:
            await websocket.send_denial_response(
                JSONResponse({"code": error.code, "detail": str(error)}, status_code=error.status)
            )
            return
        await websocket.accept()
        link, live = AcceptedLink(websocket), get_shell(websocket).live
        conversation = Conversation(self, link, live, principal.project_id)
        try:
            await conversation.run()
        except LinkClosed:
            pass
        except RefereeError as error:
            log.warning("analyzer.connection_failed", code=error.code, message=error.message)
            await conversation.refuse(error)


async def _identify(websocket: WebSocket) -> Principal:
    """Return who connects.

    Raises:
        Unauthorized: No key, or one that is not known.
        Forbidden: A browser asks, or the key may not write.
    """
    if "origin" in websocket.headers:  # programs send none; a page of any site can open a WebSocket
        raise Forbidden(
            "analyzer.browser_refused", "Analyzers are programs, not pages.", "Run `referee analyzer`."
        )
    principal, _ = await get_shell(websocket).sessions.identify(websocket)
    if principal is None:
        raise Unauthorized(
            "access.key_missing", "A key is needed here.", "Give the analyzer a key with the scope write."
        )
    principal.require("write")
    return principal
