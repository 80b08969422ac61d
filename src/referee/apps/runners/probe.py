"""Send one GET to each URL and say what came back. Runs where the tools run; standard library only.

Reads ``{"urls": […], "timeout_s": 5}`` from standard input and prints one JSON list.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from urllib.parse import urlsplit


def probe(url: str, timeout_s: float) -> dict[str, object]:
    """Return status or error of one GET. Redirects are answers; at most 64 KiB are read."""
    parts = urlsplit(url)
    started = time.monotonic()
    answer: dict[str, object] = {"url": url, "status": None, "error": "", "content_type": ""}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request(
            "GET", parts.path or "/", headers={"Accept": "text/html,*/*;q=0.8", "Connection": "close"}
        )
        response = connection.getresponse()
        response.read(65536)
        answer["status"] = response.status
        answer["content_type"] = response.headers.get("Content-Type", "")[:100]
    except (OSError, http.client.HTTPException) as error:
        answer["error"] = f"{type(error).__name__}: {error}"[:300]
    finally:
        connection.close()
    answer["duration_ms"] = round((time.monotonic() - started) * 1000, 1)
    return answer


if __name__ == "__main__":
    request = json.load(sys.stdin)
    print(json.dumps([probe(url, request["timeout_s"]) for url in request["urls"]]))
