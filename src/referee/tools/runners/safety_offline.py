"""Run safety without a network: ``python safety_offline.py ARGUMENTS OF SAFETY…``.

safety asks an identity server who it is talking to before every command, even
with a database of its own. This script answers those three requests itself, on
a loopback port that only lives as long as safety runs.

Standard library only: it runs with the interpreter of safety's own environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class IdentityServer(BaseHTTPRequestHandler):
    """Answers the OpenID discovery and key requests, with no keys; everything else is 404."""

    server: ThreadingHTTPServer

    def do_HEAD(self) -> None:
        """Answer like GET, without a body."""
        self._answer(has_body=False)

    def do_GET(self) -> None:
        """Answer the two documents that safety asks for."""
        self._answer(has_body=True)

    def _answer(self, *, has_body: bool) -> None:
        base = f"http://127.0.0.1:{self.server.server_port}"
        documents: dict[str, dict[str, object]] = {
            "/.well-known/openid-configuration": {
                "issuer": base,
                "jwks_uri": base + "/jwks",
                "authorization_endpoint": base + "/authorize",
                "token_endpoint": base + "/token",
                "userinfo_endpoint": base + "/userinfo",
            },
            "/jwks": {"keys": []},
        }
        document = documents.get(self.path)
        body = json.dumps(document or {}).encode()
        self.send_response(200 if document is not None else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing: stderr belongs to safety."""


def main(arguments: list[str]) -> int:
    """Run safety beside the server and return its exit code."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), IdentityServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    environment = {**os.environ, "SAFETY_AUTH_SERVER_URL": base, "SAFETY_PLATFORM_URL": base}
    ended = subprocess.run([sys.executable, "-m", "safety", *arguments], env=environment, check=False)
    return ended.returncode if ended.returncode >= 0 else 128 - ended.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
