"""The pipeline that failed in the system Referee took over from: 2 models × 2 templates, through cuts and stops.

There, five tasks appeared for four apps, results were lost when the connection to an analyzer closed, and most
runs against running apps failed because apps were stopped while in use. Here the static service works on an
analyzer of its own behind a relay that cuts its connection, and running apps are ended by ``kill -9`` at random
instants, while ``referee selftest`` sends one pipeline after another, each from many clients at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from tests.analysis.analyzers.relay import Cut, Relay, open_relay
from tests.faults.kills import Herd

__all__ = ["OriginalCount", "run_original_pipeline"]

CONNECT_TIMEOUT_S: Final = 240.0
_DEEPEST_CUT: Final = 24
"""Messages of a connection that pass at most before its cut: a result has some ten."""
_MOST_OF_A_KIND: Final = 2
"""Each round meets one or two cuts and one or two stops."""
_LATEST_S: Final = 8.0
"""From a pipeline's start to its troubles, at most."""
_LOOK_S: Final = 0.1
_PROJECT: Final = {"referee_project": "selftest"}


@dataclass(slots=True, kw_only=True)
class OriginalCount:
    """What became of it."""

    seed: int
    rounds: int
    connections_cut: int = 0
    apps_stopped: int = 0
    rows: list[dict[str, str]] = field(default_factory=list)
    """Of ``referee selftest``."""
    rates: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Kind → successes and cases, as the installation itself says."""
    problems_found_by_verify: int = 0
    duration_s: float = 0.0

    @property
    def faults(self) -> dict[str, str]:
        """Checks that failed, and what else must be nought."""
        found = {row["check"]: row["measured"] for row in self.rows if row["verdict"] == "failed"}
        if self.problems_found_by_verify:
            found["verify"] = f"{self.problems_found_by_verify} problems"
        return found

    def dump(self) -> dict[str, object]:
        """Return it as JSON."""
        return asdict(self)


class _Troublemaker(threading.Thread):
    """Cuts connections and stops apps until it is told to end."""

    def __init__(self, herd: Herd, seed: int, count: OriginalCount) -> None:
        super().__init__(daemon=True)
        self._herd, self._count = herd, count
        self._choose = random.Random(seed)
        self._over = threading.Event()
        self.is_active = threading.Event()
        self.is_ready = threading.Event()
        self.port = 0

    def run(self) -> None:
        asyncio.run(self._work())

    def finish(self) -> None:
        """Stop."""
        self._over.set()
        self.join(30)

    async def _work(self) -> None:
        async with open_relay(self._herd.port) as relay:
            self.port = relay.own_port
            self.is_ready.set()
            known = ""
            troubles: list[asyncio.Task[None]] = []
            async with httpx.AsyncClient(
                base_url=self._herd.url, cookies=_PROJECT, timeout=30, trust_env=False
            ) as client:
                while not self._over.is_set():
                    await asyncio.sleep(_LOOK_S)
                    latest = await _find_latest(client) if self.is_active.is_set() else None
                    if latest is not None and latest != known:
                        known = latest
                        troubles += [asyncio.create_task(self._cut(relay)) for _ in range(self._draw())]
                        troubles += [asyncio.create_task(self._stop_an_app()) for _ in range(self._draw())]
                    self._count.connections_cut = len(relay.made)
            for trouble in troubles:
                trouble.cancel()
            await asyncio.gather(*troubles, return_exceptions=True)

    def _draw(self) -> int:
        return self._choose.randint(1, _MOST_OF_A_KIND)

    async def _cut(self, relay: Relay) -> None:
        """Cut the analyzer's next connection at a message of it, and make it connect again now."""
        await asyncio.sleep(self._choose.uniform(0, _LATEST_S))
        relay.add([_draw_cut(self._choose)])
        relay.break_all()

    async def _stop_an_app(self) -> None:
        """End a component of a running app, as soon as there is one."""
        await asyncio.sleep(self._choose.uniform(0, _LATEST_S))
        while not (found := await asyncio.to_thread(_list_components, self._herd)):
            await asyncio.sleep(_LOOK_S)
        with suppress(ProcessLookupError):
            os.kill(self._choose.choice(found), signal.SIGKILL)
            self._count.apps_stopped += 1


async def _find_latest(client: httpx.AsyncClient) -> str | None:
    """Return the id of the latest pipeline while it runs."""
    with suppress(httpx.HTTPError, LookupError, ValueError):
        answer = await client.get("/v1/pipelines", params={"limit": 1})
        pipeline = answer.json()["items"][0]
        return str(pipeline["pipeline_id"]) if pipeline["state"] == "running" else None
    return None


def run_original_pipeline(
    base: Path,
    tools_dir: Path,
    *,
    rounds: int,
    seed: int,
    submitters: int = 40,
    tell: Callable[[str], None] = lambda _: None,
) -> OriginalCount:
    """Send so many pipelines through trouble, one after another.

    Args:
        base: An empty folder.
        tools_dir: Installed tools.
        rounds: Pipelines of four apps.
        seed: Of everything that is random here.
        submitters: Clients that send each pipeline at the same time.
        tell: Is told what begins.
    """
    begun_s = time.monotonic()
    count = OriginalCount(seed=seed, rounds=rounds)
    herd = Herd(base / "herd", tools_dir, has_worker=False)
    trouble = _Troublemaker(herd, seed, count)
    analyzer: subprocess.Popen[bytes] | None = None
    try:
        herd.start_all()
        trouble.start()
        trouble.is_ready.wait(10)
        tell("a first round without trouble, which makes the project")
        _selftest(herd, "--rounds", "1", "--submitters", "2", "--no-run-apps")
        analyzer = _start_analyzer(herd, base, trouble.port)
        tell("the analyzer is connected")
        trouble.is_active.set()
        count.rows = _selftest(herd, "--rounds", str(rounds), "--submitters", str(submitters))
        count.rates = _read_rates(herd)
    finally:
        trouble.finish()
        if analyzer is not None:
            analyzer.terminate()
            with suppress(subprocess.TimeoutExpired):
                analyzer.wait(60)
            analyzer.kill()
        herd.stop()
    count.problems_found_by_verify = len(herd.verify())
    count.duration_s = time.monotonic() - begun_s
    return count


def _draw_cut(choose: random.Random) -> Cut:
    return Cut(
        direction=choose.choice(("to_server", "to_analyzer")),
        frames_count=choose.randint(1, _DEEPEST_CUT),
        is_midway=choose.random() < 0.5,
        is_reset=choose.random() < 0.5,
    )


def _list_components(herd: Herd) -> list[int]:
    """Return the processes of running apps of this home."""
    found = []
    for host in psutil.process_iter():
        with suppress(psutil.Error):
            if "referee.apps.hosting" not in host.cmdline():
                continue
            if host.environ().get("REFEREE_HOME") != str(herd.home):
                continue
            for child in host.children(recursive=True):
                with suppress(psutil.Error):
                    if child.cmdline()[-1:] == ["app.py"]:
                        found.append(child.pid)
    return found


def _run(herd: Herd, *arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "referee", *arguments],
        env={**herd.environment, "REFEREE_HOME": str(home or herd.home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * 3_600,
    )


def _selftest(herd: Herd, *arguments: str) -> list[dict[str, str]]:
    done = _run(herd, "selftest", "--json", *arguments)
    assert done.returncode in (0, 12), done.stderr
    rows: list[dict[str, str]] = json.loads(done.stdout)
    return rows


def _start_analyzer(herd: Herd, base: Path, port: int) -> subprocess.Popen[bytes]:
    created = _run(herd, "key", "create", "lab", "--scope", "write", "--project", "selftest")
    assert created.returncode == 0, created.stderr
    home = base / "lab"
    command = [sys.executable, "-m", "referee", "analyzer", "--services", "static", "--name", "lab"]
    with (base / "analyzer.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--server", f"ws://127.0.0.1:{port}"],
            env={
                **herd.environment,
                "REFEREE_HOME": str(home),
                "REFEREE_ANALYZER_KEY": created.stdout.split()[0],
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
    while not _is_connected(herd):
        assert process.poll() is None, (base / "analyzer.log").read_text()[-2_000:]
        assert time.monotonic() < deadline_s, "the analyzer did not connect"
        time.sleep(0.2)
    return process


def _is_connected(herd: Herd) -> bool:
    analyzers = _get(herd, "/v1/analyzers")["analyzers"]
    return any(analyzer["is_connected"] for analyzer in analyzers)


def _read_rates(herd: Herd) -> dict[str, tuple[int, int]]:
    return {
        one["kind"]: (one["succeeded_count"], one["total_count"])
        for one in _get(herd, "/v1/success-rates")["items"]
    }


def _get(herd: Herd, path: str) -> Any:
    answer = httpx.get(f"{herd.url}{path}", cookies=_PROJECT, timeout=30, trust_env=False)
    answer.raise_for_status()
    return answer.json()
