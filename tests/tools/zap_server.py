"""A server on loopback that speaks ZAP's JSON API as its documentation has it, and can go wrong in chosen ways.

Source:
    ZAP API documentation (core, spider, pscan, ascan): paths, parameters, answers; errors are objects with
    ``code`` and ``message`` and status 400; the alerts' ``start`` counts from 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from threading import Lock, Thread
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from tests.tools.dynamic_apps import Server

Fault = Literal[
    "", "spider_stuck", "passive_stuck", "odd_id", "short_page", "dropped", "not_json", "half_answer",
    "target_refused", "target_silent", "tree_empty",
]  # fmt: skip

API_KEY = "a-key-of-tests"


_CONSTANT_ANSWERS: dict[str, Any] = {
    "core/view/version": {"version": "2.16.1"},
    "core/action/newSession": {"Result": "OK"},
    "spider/action/stop": {"Result": "OK"},
    "spider/view/results": {"results": ["http://127.0.0.1/", "http://127.0.0.1/tasks"]},
    "ascan/view/status": {"status": "100"},
    "ascan/action/stop": {"Result": "OK"},
}


def make_alert(number: int, base_url: str, **fields: str) -> dict[str, Any]:
    """Return an alert as ``core/view/alerts`` has it."""
    return {
        "id": str(number),
        "sourceid": "3",
        "pluginId": "10038",
        "alertRef": "10038-1",
        "alert": "Content Security Policy (CSP) Header Not Set",
        "name": "Content Security Policy (CSP) Header Not Set",
        "risk": "Medium",
        "confidence": "High",
        "method": "GET",
        "url": f"{base_url}/",
        "param": "",
        "attack": "",
        "evidence": "",
        "other": "",
        "inputVector": "",
        "cweid": "693",
        "wascid": "15",
        "messageId": "1",
        "description": "No policy limits what scripts may do.",
        "solution": "Send the header.",
        "reference": "https://developer.mozilla.org/en-US/docs/Web/HTTP/CSP\nhttps://www.w3.org/TR/CSP/",
        "tags": {"CWE-693": "https://cwe.mitre.org/data/definitions/693.html"},
        **fields,
    }


class ZapServer:
    """What the server knows and what it was asked."""

    def __init__(
        self, alerts: list[dict[str, Any]], fault: Fault, refused_urls: tuple[str, ...] = ()
    ) -> None:
        self.alerts = alerts
        self.fault = fault
        self.refused_urls = refused_urls
        self.calls: list[str] = []
        self.queries: list[tuple[str, dict[str, str]]] = []
        self.url = ""
        self._polls = 0
        self._lock = Lock()

    @property
    def conversation(self) -> list[str]:
        """The calls in order, equal ones in a row once."""
        return [call for index, call in enumerate(self.calls) if index == 0 or call != self.calls[index - 1]]

    def answer(self, path: str, key: str | None) -> tuple[int, Any]:
        """Return status and object of one request; an answer of None drops the connection."""
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        call = parts.path.removeprefix("/JSON/").rstrip("/")
        with self._lock:
            self.calls.append(call)
            self.queries.append((call, query))
            if key != API_KEY:
                return 400, {"code": "bad_api_key", "message": "Provided API key incorrect or missing"}
            return self._answer(call, query)

    def _answer(self, call: str, query: dict[str, str]) -> tuple[int, Any]:
        if call in _CONSTANT_ANSWERS:
            return 200, _CONSTANT_ANSWERS[call]
        match call:
            case "core/action/accessUrl":
                return self._access(query["url"])
            case "spider/action/scan":
                return 200, {"scan": "busy" if self.fault == "odd_id" else "0"}
            case "spider/view/status":
                self._polls += 1
                status = "50" if self.fault == "spider_stuck" else ("40", "100")[min(self._polls, 2) - 1]
                return (200, None) if self.fault == "dropped" else (200, {"status": status})
            case "pscan/view/recordsToScan":
                return 200, {"recordsToScan": "3" if self.fault == "passive_stuck" else "0"}
            case "ascan/action/scan" if self.fault == "tree_empty":
                return 400, {"code": "url_not_found", "message": "URL Not Found in the Scan Tree"}
            case "ascan/action/scan":
                return 200, {"scan": "1"}
            case "core/view/numberOfAlerts":
                return 200, {"numberOfAlerts": str(len(self._alerts_of(query)))}
            case "core/view/alerts":
                return 200, {"alerts": self._page(query)}
            case _:
                return 400, {"code": "bad_view", "message": "No Implementor"}

    def _access(self, url: str) -> tuple[int, Any]:
        if self.fault == "target_refused" or url.startswith(self.refused_urls):
            return 400, {
                "code": "internal_error",
                "message": "Internal Error",
                "detail": "Connection refused",
            }
        header = "" if self.fault == "target_silent" else "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
        return 200, {"accessUrl": [{"id": "1", "type": "15", "responseHeader": header, "responseBody": ""}]}

    def _alerts_of(self, query: dict[str, str]) -> list[dict[str, Any]]:
        return [alert for alert in self.alerts if alert["url"].startswith(query["baseurl"])]

    def _page(self, query: dict[str, str]) -> list[dict[str, Any]]:
        start, count = max(int(query["start"]), 1), int(query["count"])
        page = self._alerts_of(query)[start - 1 : start - 1 + count]
        return page[:-1] if self.fault == "short_page" else page


@contextmanager
def serving_zap(
    alerts: list[dict[str, Any]], *, fault: Fault = "", refused_urls: tuple[str, ...] = ()
) -> Iterator[ZapServer]:
    """Serve ZAP's API on a free port."""
    zap = ZapServer(alerts, fault, refused_urls or ("nothing",))

    class Handler(BaseHTTPRequestHandler):
        wbufsize = 65_536

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            status, value = zap.answer(self.path, self.headers.get("X-ZAP-API-Key"))
            if value is None:
                self.close_connection = True
                return
            data = b"<html>" if zap.fault == "not_json" else json.dumps(value).encode()
            is_half = zap.fault == "half_answer" and "core/view/alerts" in self.path
            self.send_response(status)
            self.send_header("Content-Type", "application/json;charset=UTF-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if is_half else data)

    server = Server(("127.0.0.1", 0), Handler)
    zap.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield zap
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
