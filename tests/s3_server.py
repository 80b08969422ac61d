"""A real S3 server for tests: SeaweedFS from its wheel, on loopback, with a key that everything asks for."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
from obstore.store import S3Store
from pydantic import SecretStr

from referee.foundation.settings import Settings

__all__ = ["BUCKET", "S3Server"]

BUCKET: Final = "referee-tests"
KEY: Final = "referee-test-key"
SECRET: Final = "referee-test-secret-of-forty-characters"
_START_TIMEOUT_S: Final = 60.0
_PARTS: Final = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
    "s3.port", "s3.port.grpc",
)  # fmt: skip


class S3Server:
    """One process with everything in a folder; it can be killed and started again on the same port."""

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", launcher: Sequence[str] = ()) -> None:
        self._folder = folder
        self._host = host
        self._launcher = tuple(launcher)
        """Words before the program, such as those that run it in a network of its own."""
        self._ports = dict(zip(_PARTS, _find_free_ports(len(_PARTS)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": actions,
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    @property
    def url(self) -> str:
        """Address of the S3 interface."""
        return f"http://{self._host}:{self._ports['s3.port']}"

    @property
    def argv(self) -> list[str]:
        """The command that runs it."""
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        return [
            *self._launcher, str(Path(sys.executable).with_name("weed")), "server", "-s3",
            f"-dir={data}", f"-ip={self._host}", f"-ip.bind={self._host}",
            f"-s3.config={self._folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false",
            f"-s3.localSocket={self._folder / 's3.sock'}", f"-filer.localSocket={self._folder / 'filer.sock'}",
            "-master.telemetry=false", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=256", "-volume.max=20",
            "-volume.minFreeSpace=1MiB", *(f"-{name}={port}" for name, port in self._ports.items()),
        ]  # fmt: skip

    def start(self) -> None:
        """Start it, and return when the bucket is there."""
        log = (self._folder / "log").open("ab")
        # weed looks for settings files below HOME and writes its logs to TMPDIR.
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
        }
        with log:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self._folder,
                start_new_session=True,
            )  # fmt: skip
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.kill()
                raise RuntimeError(f"the S3 server did not start; see {self._folder / 'log'}")
            time.sleep(0.1)

    def pause(self) -> None:
        """Let it hang: connections are taken, and nothing is answered."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after a pause."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def overrides(self, prefix: str = "") -> dict[str, Any]:
        """Return the settings of a store of its own in here."""
        return {
            "artifacts_url": f"s3://{BUCKET}/{prefix}".rstrip("/"),
            "artifacts_endpoint_url": self.url,
            "artifacts_access_key_id": KEY,
            "artifacts_secret_access_key": SECRET,
            **({} if self._host == "127.0.0.1" else {"artifacts_can_use_http": True}),
        }

    def apply(self, settings: Settings, prefix: str) -> Settings:
        """Return settings whose artifacts lie in here, under a prefix."""
        given = {
            name: SecretStr(value) if name.endswith(("_id", "_key")) else value
            for name, value in self.overrides(prefix).items()
        }
        return settings.model_copy(update=given)

    def variables(self, prefix: str) -> dict[str, str]:
        """Return the same as environment variables."""
        return {f"REFEREE_{name.upper()}": str(value) for name, value in self.overrides(prefix).items()}

    def open_store(self, prefix: str | None = None) -> S3Store:
        """Return the bare store, to look behind Referee's back."""
        return S3Store(
            BUCKET,
            prefix=prefix,
            endpoint=self.url,
            access_key_id=KEY,
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def _is_ready(self) -> bool:
        """Return whether a write is taken; the first one makes the bucket."""
        try:
            httpx.get(f"{self.url}/healthz", timeout=1.0).raise_for_status()
            self.open_store().put("ready", b"ready", use_multipart=False)
        except Exception:  # whatever is not ready yet; the deadline ends it
            return False
        return True


def _find_free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
