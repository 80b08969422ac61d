"""Run inside the sandbox: start an app's processes, ask them, print what they said, end them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any


def ask(url: str) -> tuple[int | None, str]:
    # As a browser does: a development server answers with a page only to who accepts one, and with code otherwise.
    accepted = "text/html" if url.endswith("/") else "*/*"
    request = urllib.request.Request(url, headers={"Accept": accepted})  # noqa: S310 - our own loopback address
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return answer.status, answer.read(4000).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read(4000).decode("utf-8", "replace")
    except OSError:
        return None, ""


def start(step: dict[str, Any]) -> subprocess.Popen[bytes]:
    *builds, command = step["commands"]
    options = {"cwd": step["folder"], "env": step["environment"], "stdout": sys.stderr, "stderr": sys.stderr}
    for build in builds:
        subprocess.run(build, check=True, timeout=100, **options)
    return subprocess.Popen(command, start_new_session=True, **options)


def wait_for(process: subprocess.Popen[bytes], url: str, wait_s: float) -> None:
    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s and process.poll() is None:
        status, _ = ask(url)
        if status is not None and status < 500:
            return
        threading.Event().wait(0.1)


def main() -> None:
    task = json.load(sys.stdin)
    statuses: dict[str, int | None] = {}
    bodies: dict[str, str] = {}
    exit_codes: dict[str, int | None] = {}
    processes = []
    for step in task["steps"]:
        process = start(step)
        processes.append(process)
        urls = {f"{step['name']} {path}": f"http://127.0.0.1:{step['port']}{path}" for path in step["paths"]}
        wait_for(process, next(iter(urls.values())), task["wait_s"])
        for name, url in urls.items():
            statuses[name], bodies[name] = ask(url)
        exit_codes[step["name"]] = process.poll()
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    json.dump({"statuses": statuses, "bodies": bodies, "exit_codes": exit_codes}, sys.stdout)


main()
