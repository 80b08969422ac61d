"""Talk to a ZAP daemon about the targets named on stdin, and write what it says as one JSON file.

Reads one JSON object: ``report`` (file to write), ``daemon`` (``url`` and ``api_key`` of a running
one) or ``program`` (``zap.sh`` to start one beside this script), ``targets`` (``stream``, ``url``,
``seeds``) and the numbers ``start_s spider_s passive_s active_s request_s max_children page_count``,
``should_attack``. Uses the standard library only, so any interpreter can run it inside the app's network.

The file holds ``version``, ``failure``, ``is_complete`` and for each target ``urls alerts
alerts_count unanswered failure notices``. It is written anew after each target, so a run that is
stopped keeps what it had. The API key is in none of it.

ZAP answers errors as values, and may answer 200 with something else entirely: every answer is
checked for what it must hold, and every wait has an end.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_TEXT_CHARACTERS = 2_000
MAX_ALERTS = 20_000
MAX_URLS = 5_000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
SHUTDOWN_S = 15.0
KEPT_FIELDS = (
    "id", "pluginId", "alertRef", "alert", "name", "risk", "confidence", "method", "url", "param",
    "attack", "evidence", "cweid", "wascid", "description", "solution", "reference",
)  # fmt: skip


class ZapError(Exception):
    """ZAP refused, gave no answer, or answered what it never should; the message is a sentence for people."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Api:
    """The JSON API of one daemon."""

    def __init__(self, url: str, api_key: str, request_s: float) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._is_secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._is_secure else 8080)
        self._prefix = parts.path.rstrip("/")
        self._api_key = api_key
        self._request_s = request_s

    def call(self, operation: str, /, **parameters: object) -> dict[str, Any]:
        """Return the object that ``component/kind/operation`` answers."""
        query = urlencode({key: str(value) for key, value in parameters.items()})
        data = self._fetch(operation, f"{self._prefix}/JSON/{operation}/" + (f"?{query}" if query else ""))
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            raise ZapError(f"ZAP's answer to {operation} is not JSON.") from None
        if not isinstance(answer, dict):
            raise ZapError(f"ZAP's answer to {operation} is no object.")
        code = answer.get("code")
        if isinstance(code, str) and "message" in answer:
            raise ZapError(_explain(operation, code, answer), code=code)
        return answer

    def read(self, operation: str, key: str, /, **parameters: object) -> Any:
        """Return the value under ``key``, which must be there."""
        answer = self.call(operation, **parameters)
        if key not in answer:
            raise ZapError(f"ZAP's answer to {operation} has no {key}.")
        value = answer[key]
        if value == "bad_api_key":
            raise ZapError(_explain(operation, "bad_api_key", {}), code="bad_api_key")
        return value

    def read_number(self, operation: str, key: str, /, **parameters: object) -> int:
        """Return the value under ``key``, which must be a whole number, written as text or not."""
        value = self.read(operation, key, **parameters)
        text = str(value)
        if isinstance(value, bool) or not text.isdecimal() or len(text) > 9:
            raise ZapError(f"ZAP answered {_shorten(text, 40)!r} to {operation}, which is no number.")
        return int(text)

    def _fetch(self, name: str, path: str) -> bytes:
        make = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        connection = make(self._host, self._port, timeout=self._request_s)
        try:
            connection.request(
                "GET", path, headers={"X-ZAP-API-Key": self._api_key, "Accept": "application/json"}
            )
            answer = connection.getresponse()
            data = answer.read(MAX_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise ZapError(
                f"ZAP gave no answer to {name}: {type(error).__name__}.", code="no_answer"
            ) from None
        finally:
            connection.close()
        if answer.length and len(data) <= MAX_ANSWER_BYTES:
            raise ZapError(f"ZAP's answer to {name} ends before its end.", code="no_answer")
        if len(data) > MAX_ANSWER_BYTES:
            raise ZapError(f"ZAP's answer to {name} has more than {MAX_ANSWER_BYTES} bytes.")
        return data


def _explain(name: str, code: str, answer: dict[str, Any]) -> str:
    if code == "bad_api_key":
        return "ZAP does not accept the API key."
    detail = answer.get("detail") or answer.get("message") or ""
    return f"ZAP refused {name} with {_shorten(code, 60)}: {_shorten(str(detail), 300)}"


def _shorten(text: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def wait_until(is_done: Callable[[], bool], limit_s: float) -> bool:
    """Return whether ``is_done`` came true within the limit; asks more and more rarely."""
    deadline, pause_s = time.monotonic() + limit_s, FIRST_PAUSE_S
    while not is_done():
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
    return True


class Conversation:
    """What is said about one target, in ZAP's order."""

    def __init__(self, api: Api, job: dict[str, Any], target: dict[str, Any]) -> None:
        self._api = api
        self._job = job
        self._url = str(target["url"])
        self._seeds = [str(seed) for seed in target["seeds"]]
        self.result: dict[str, Any] = {
            "stream": target["stream"],
            "urls": [],
            "alerts": [],
            "alerts_count": None,
            "unanswered": None,
            "failure": None,
            "notices": [],
        }

    def hold(self) -> None:
        """Crawl, wait for the passive scan, attack if asked to, and fetch the alerts."""
        try:
            if self._has_access():
                self._crawl()
                self._await_passive_scan()
                if self._job["should_attack"]:
                    self._attack()
                self._fetch_alerts()
        except ZapError as error:
            self.result["failure"] = str(error)
            if error.code in ("bad_api_key", "no_answer"):
                raise

    def _has_access(self) -> bool:
        try:
            messages = self._api.read(
                "core/action/accessUrl", "accessUrl", url=f"{self._url}/", followRedirects="false"
            )
        except ZapError as error:
            if error.code in ("", "bad_api_key", "no_answer"):
                raise
            self.result["unanswered"] = str(error)
            return False
        status = _read_status(messages)
        if status is None:
            self.result["unanswered"] = "ZAP got no answer from it."
            return False
        self.result["urls"].append(f"{self._url}/")
        for seed in self._seeds:
            with _tolerating(self.result["notices"]):
                self._api.read("core/action/accessUrl", "accessUrl", url=seed, followRedirects="false")
                self.result["urls"].append(seed)
        return True

    def _crawl(self) -> None:
        number = self._api.read_number(
            "spider/action/scan",
            "scan",
            url=f"{self._url}/",
            maxChildren=self._job["max_children"],
            recurse="true",
            subtreeOnly="true",
        )
        self._await_scan("spider", number, float(self._job["spider_s"]), "crawling")
        found = self._api.read("spider/view/results", "results", scanId=number)
        urls = [url for url in found if isinstance(url, str)] if isinstance(found, list) else []
        self.result["urls"] = list(dict.fromkeys([*self.result["urls"], *urls]))[:MAX_URLS]

    def _await_passive_scan(self) -> None:
        def is_done() -> bool:
            return self._api.read_number("pscan/view/recordsToScan", "recordsToScan") == 0

        if not wait_until(is_done, float(self._job["passive_s"])):
            self.result["notices"].append(
                "The passive scan had not looked at every answer at its time limit."
            )

    def _attack(self) -> None:
        try:
            number = self._api.read_number(
                "ascan/action/scan", "scan", url=f"{self._url}/", recurse="true", inScopeOnly="false"
            )
        except ZapError as error:
            if error.code != "url_not_found":
                raise
            self.result["notices"].append("There was nothing to attack: ZAP knows no page of it.")
            return
        self._await_scan("ascan", number, float(self._job["active_s"]), "attacking")

    def _await_scan(self, component: str, number: int, limit_s: float, what: str) -> None:
        def is_done() -> bool:
            return self._api.read_number(f"{component}/view/status", "status", scanId=number) >= 100

        if not wait_until(is_done, limit_s):
            self._api.call(f"{component}/action/stop", scanId=number)
            self.result["notices"].append(f"ZAP was stopped at the time limit for {what}.")

    def _fetch_alerts(self) -> None:
        total = self._api.read_number("core/view/numberOfAlerts", "numberOfAlerts", baseurl=self._url)
        size = int(self._job["page_count"])
        kept: dict[str, dict[str, str]] = {}
        # ZAP counts alerts from 1, and takes 0 for 1.
        for start in range(1, min(total, MAX_ALERTS) + 1, size):
            page = self._api.read("core/view/alerts", "alerts", baseurl=self._url, start=start, count=size)
            if not isinstance(page, list):
                raise ZapError("ZAP's alerts are no list.")
            for alert in page:
                if not isinstance(alert, dict) or "id" not in alert:
                    raise ZapError("One of ZAP's alerts has no id.")
                kept[str(alert["id"])] = {
                    key: _shorten(str(alert[key])) for key in KEPT_FIELDS if alert.get(key) not in (None, "")
                }
        self.result["alerts"] = list(kept.values())
        self.result["alerts_count"] = total


@contextlib.contextmanager
def _tolerating(notices: list[str]) -> Iterator[None]:
    """Let one address fail: the next may answer. A daemon that is gone is no such thing."""
    try:
        yield
    except ZapError as error:
        if error.code in ("", "bad_api_key", "no_answer"):
            raise
        notices.append(str(error))


def _read_status(messages: Any) -> int | None:
    """Return the status of the last answer that ZAP got, None when it got none."""
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        return None
    words = str(messages[-1].get("responseHeader", "")).split(maxsplit=2)
    is_status = len(words) >= 2 and words[0].startswith("HTTP/") and words[1].isdecimal() and words[1] != "0"
    return int(words[1]) if is_status else None


@contextlib.contextmanager
def running_daemon(job: dict[str, Any]) -> Iterator[Api]:
    """Yield the API of the daemon that was named, or of one that runs as long as the block."""
    request_s = float(job["request_s"])
    daemon = job.get("daemon")
    if daemon:
        yield Api(str(daemon["url"]), str(daemon["api_key"]), request_s)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    key, folder = secrets.token_hex(16), str(Path(job["report"]).with_name("zap"))
    argv = [str(job["program"]), "-daemon", "-silent", "-notel", "-host", "127.0.0.1", "-port", str(port)]
    argv += ["-dir", folder, "-config", f"api.key={key}", "-config", "api.disablekey=false"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)
    api = Api(f"http://127.0.0.1:{port}", key, request_s)
    try:
        if not wait_until(lambda: process.poll() is not None or _is_up(api), float(job["start_s"])):
            raise ZapError(f"ZAP did not come up within {job['start_s']} seconds.")
        if process.poll() is not None:
            raise ZapError(f"ZAP ended with exit code {process.returncode} before it answered.")
        yield api
    finally:
        with contextlib.suppress(ZapError):
            api.call("core/action/shutdown")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SHUTDOWN_S)
        process.kill()
        process.wait()


def _is_up(api: Api) -> bool:
    try:
        api.call("core/view/version")
    except ZapError as error:
        if error.code != "no_answer":
            raise
        return False
    return True


def write_report(job: dict[str, Any], report: dict[str, Any]) -> None:
    """Write the report so that a reader sees all of it or the one before."""
    path = Path(job["report"])
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(report, sort_keys=True), encoding="utf-8")
    fresh.replace(path)


def main() -> None:
    """Hold the conversation that stdin asks for."""
    job = json.load(sys.stdin)
    report: dict[str, Any] = {"version": "", "failure": None, "is_complete": False, "targets": []}
    try:
        with running_daemon(job) as api:
            report["version"] = _shorten(str(api.read("core/view/version", "version")), 40)
            api.call("core/action/newSession", name="", overwrite="true")
            for target in job["targets"]:
                conversation = Conversation(api, job, target)
                report["targets"].append(conversation.result)
                conversation.hold()
                write_report(job, report)
            report["is_complete"] = True
    except ZapError as error:
        report["failure"] = str(error)
    write_report(job, report)


if __name__ == "__main__":
    main()
