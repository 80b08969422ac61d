"""Run pip-audit against records from a file: ``python pip_audit_offline.py RECORDS ARGUMENTS…``.

pip-audit asks an OSV server about each dependency. This script is that server,
on a loopback port that only lives as long as pip-audit runs. RECORDS is JSON:
``{"package==version": [OSV record, …]}``; what is not in it has no known problem.

Standard library only: it runs with the interpreter of pip-audit's own environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MAX_QUERY_BYTES = 65_536


class AdvisoryServer(ThreadingHTTPServer):
    """A loopback server that knows the records."""

    def __init__(self, records: dict[str, list[object]]) -> None:
        super().__init__(("127.0.0.1", 0), QueryHandler)
        self.records = records


class QueryHandler(BaseHTTPRequestHandler):
    """Answers ``POST /v1/query`` as osv.dev does; everything else is 404."""

    server: AdvisoryServer

    def do_POST(self) -> None:
        """Answer with the records of the package and version that are asked for."""
        length = min(int(self.headers.get("Content-Length") or 0), MAX_QUERY_BYTES)
        status = 404
        answer: dict[str, object] = {}
        if self.path == "/v1/query":
            try:
                query = json.loads(self.rfile.read(length))
                key = "{}=={}".format(query["package"]["name"], query["version"])
                status = 200
                records = self.server.records.get(key)
                answer = {"vulns": records} if records else {}
            except (ValueError, KeyError, TypeError):
                status = 400
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing: stderr belongs to pip-audit."""


def main(arguments: list[str]) -> int:
    """Run pip-audit beside the server and return its exit code."""
    records, *rest = arguments
    server = AdvisoryServer(json.loads(Path(records).read_text(encoding="utf-8")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/v1/query"
    command = [sys.executable, "-m", "pip_audit", "-s", "osv", "--osv-url", address, *rest]
    ended = subprocess.run(command, check=False)
    return ended.returncode if ended.returncode >= 0 else 128 - ended.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
