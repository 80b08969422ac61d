"""Running uv and npm for an app: in the sandbox, with the network and the user's own registries.

What a client reads is hostile, so nothing of the app but names and versions reaches it, no
script of a package runs, and it can write only the environment being made and its cache.
It must know the user's registries, whose settings may lie in files: those are shown
read-only at their own place. The cache is used by one client at a time, since in the
sandbox each command is a user of its own; the lock of the environments' folder sees to that.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from referee.apps.environments_contract import DependenciesFailed
from referee.foundation.sandbox import Command, CommandResult, Limits, run_command
from referee.tools.installing import build_installer_environment, hide_secrets

__all__ = ["ClientAnswer", "ClientConfiguration", "ClientRun", "read_client_configuration"]

MIB: Final = 1024 * 1024
LAST_LINES: Final = 20
_LINE_CHARACTERS: Final = 400
_TAIL_BYTES: Final = 64 * 1024
_CONFIGURATION_BYTES: Final = 64 * 1024
_MEMORY_BYTES: Final = 3072 * MIB
_DISK_FACTOR: Final = 3
"""A package is on disk up to three times while it is installed: as an archive, unpacked in the cache, in its place."""
_DISK_FILES: Final = 600_000
_PATH_VARIABLES: Final = re.compile(
    r"(SSL_CERT_\w+|NODE_EXTRA_CA_CERTS|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NETRC|UV_CONFIG_FILE|UV_FIND_LINKS"
    r"|UV_INDEX|UV_DEFAULT_INDEX|UV_INDEX_URL|UV_EXTRA_INDEX_URL|npm_config_(userconfig|globalconfig|cafile))",
    re.IGNORECASE,
)
"""Variables whose value may name a file or folder that the client has to see."""
_OWN_PLACES: Final = re.compile(
    r"(HOME|USER|LOGNAME|PATH|TMPDIR|XDG_\w+|UV_CACHE_DIR|UV_PYTHON\w*|UV_PROJECT\w*|UV_LINK_MODE|UV_TOOL_\w+"
    r"|npm_config_(cache|prefix|global|tmp|workspaces?|location))",
    re.IGNORECASE,
)
"""Variables that name places of the user which the sandbox has its own for."""
_SHOWN_ANYWAY: Final = ("/usr", "/bin", "/lib", "/etc/ssl", "/etc/pki", "/etc/ca-certificates")
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfiguration:
    """What uv and npm are told, and the files that this names."""

    variables: Mapping[str, str]
    read_only: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ClientAnswer:
    """What became of one command of a client."""

    exit_code: int
    said: tuple[str, ...]
    """What it printed, without colours and credentials; of a long output the end."""

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines, for people."""
        return self.said[-LAST_LINES:]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRun:
    """The commands of one installation."""

    staging: Path
    cache_dir: Path
    configuration: ClientConfiguration
    deadline_s: float
    """On the monotonic clock. Seconds."""
    max_bytes: int
    """Largest environment."""

    async def run(
        self, label: str, argv: Sequence[str], *, read_only: Sequence[Path], variables: Mapping[str, str]
    ) -> ClientAnswer:
        """Run one command of a client in the staging folder and return what became of it.

        Raises:
            DependenciesFailed: It was ended, because of a limit or a signal.
        """
        remaining_s = max(1.0, self.deadline_s - time.monotonic())
        command = Command(
            label=label,
            argv=tuple(argv),
            working_dir=self.staging,
            environment={
                **self.configuration.variables,
                "PATH": "/usr/bin:/bin",
                "NO_COLOR": "1",
                "CI": "true",
                **variables,
            },
            read_only=tuple(dict.fromkeys((*read_only, *self.configuration.read_only))),
            writable=(self.staging, self.cache_dir),
            has_network=True,
        )
        limits = Limits(
            wall_s=remaining_s,
            cpu_s=max(60.0, 2 * remaining_s),
            memory_bytes=_MEMORY_BYTES,
            processes_count=512,
            open_files_count=4096,
            file_bytes=self.max_bytes,
            output_bytes=4 * MIB,
            disk_bytes=_DISK_FACTOR * self.max_bytes,
            disk_files_count=_DISK_FILES,
        )
        with tempfile.TemporaryDirectory(prefix="referee-install-") as output_dir:
            result = await run_command(command, limits, Path(output_dir))
            said = _read_said(result)
        if result.end != "exited" or result.exit_code is None:
            raise DependenciesFailed(
                result.reason or f"{label} was ended by signal {result.signal}.", said[-LAST_LINES:]
            )
        return ClientAnswer(result.exit_code, said)


def read_client_configuration(environment: Mapping[str, str], environments_dir: Path) -> ClientConfiguration:
    """Return what package clients need of the user's configuration inside of the sandbox. Blocking.

    Args:
        environment: Variables of the user.
        environments_dir: Where environments lie; a path above it is not shown.
    """
    passed = build_installer_environment(environment)
    home = Path(passed.get("HOME") or "/nonexistent")
    config_home = Path(passed.get("XDG_CONFIG_HOME") or home / ".config")
    variables = {name: value for name, value in passed.items() if not _OWN_PLACES.fullmatch(name)}
    variables["UV_PYTHON_DOWNLOADS"] = "never"
    uv_files = (config_home / "uv/uv.toml", Path("/etc/xdg/uv/uv.toml"), Path("/etc/uv/uv.toml"))
    _set_file(variables, "UV_CONFIG_FILE", uv_files)
    if "UV_CONFIG_FILE" not in variables:
        variables["UV_NO_CONFIG"] = "1"
    _set_file(variables, "NETRC", (home / ".netrc",))
    user_files = [value for name, value in variables.items() if name.lower() == "npm_config_userconfig"]
    npm_file = Path(user_files[0]) if user_files else home / ".npmrc"
    named: list[str] = [value for name, value in variables.items() if _PATH_VARIABLES.fullmatch(name)]
    if _is_file(npm_file):
        variables["npm_config_userconfig"] = str(npm_file)
        text = _read_configuration(npm_file)
        for name in re.findall(r"\$\{(\w{1,100})\}", text):
            if name in environment:
                variables[name] = environment[name]
        named += [str(npm_file), *re.findall(r"(?m)^\s*cafile\s*=\s*\"?([^\"\n]+?)\"?\s*$", text)]
    named.append("/etc/npmrc")
    shown = (Path(word.removeprefix("file://")) for value in named for word in re.split(r"[\s,]+", value))
    return ClientConfiguration(
        variables=variables,
        read_only=tuple(dict.fromkeys(path for path in shown if _has_to_be_shown(path, environments_dir))),
    )


def _set_file(variables: dict[str, str], name: str, candidates: Sequence[Path]) -> None:
    """Name the first file that is there by a variable, unless the user has set that."""
    found = next((path for path in candidates if _is_file(path)), None)
    if found is not None:
        variables.setdefault(name, str(found))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _read_configuration(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_CONFIGURATION_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _has_to_be_shown(path: Path, environments_dir: Path) -> bool:
    if not path.is_absolute() or ".." in path.parts or environments_dir.is_relative_to(path):
        return False
    try:
        return path.exists() and not any(path.is_relative_to(folder) for folder in _SHOWN_ANYWAY)
    except OSError:
        return False


def _read_said(result: CommandResult) -> tuple[str, ...]:
    text = ""
    for path in (result.stdout_path, result.stderr_path):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text += file.read(_TAIL_BYTES).decode("utf-8", errors="replace") + "\n"
    plain = hide_secrets(_COLOURS.sub("", text))
    printable = (
        "".join(one if one.isprintable() else " " for one in line).rstrip() for line in plain.splitlines()
    )
    return tuple(line[:_LINE_CHARACTERS] for line in printable if line)
