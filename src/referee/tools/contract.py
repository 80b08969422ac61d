"""The contract of a tool: six methods, and the values they exchange.

A tool is one file in this room. It says what it is (``describe``), gets itself
a pinned environment (``ensure_installed``), says which version it has
(``probe_version``), decides what of a subject concerns it (``plan``), runs in
the sandbox (``run``) and turns its raw output into findings (``parse``).

``parse`` takes only raw output, so stored output can be read again later with
a better parser and without a run. Outcome and counts come from what was
parsed, never from the exit code alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from referee.core.findings import JsonValue, ToolReport
from referee.core.sources import Language, SourceSnapshot
from referee.core.targets import Target
from referee.core.templates import Template
from referee.core.vocabulary import ExitMeaning, Service
from referee.foundation.sandbox.commands import (
    Command,
    CommandEnd,
    CommandResult,
    Isolation,
    Limits,
    NetworkHandle,
)

if TYPE_CHECKING:
    from referee.foundation.llm import LlmClient

__all__ = [
    "FiledStreams",
    "InstallKit",
    "Installation",
    "Parameter",
    "ParameterValue",
    "PiecewiseStreams",
    "RawOutput",
    "RunKit",
    "RunningApp",
    "StreamFile",
    "SubjectNeed",
    "Tool",
    "ToolDescription",
    "ToolPlan",
]

ParameterValue: TypeAlias = "str | int | float | bool | tuple[str, ...] | dict[str, JsonValue] | None"
ParameterType = Literal["string", "integer", "number", "boolean", "array", "object"]
SubjectNeed = Literal["source", "running_app", "source_and_app"]
"""What a tool judges: source text; a running app, without which it is ``target_unreachable``; or source,
with what a running app adds when there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A setting of a tool that people may change."""

    name: str
    type: ParameterType
    default: ParameterValue
    help: str
    options: tuple[str, ...] = ()
    """Allowed words for a string, or for each entry of an array; empty: any."""
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDescription:
    """What a tool is. Everything people and programs may know without running it."""

    name: str
    service: Service
    summary: str
    """One sentence: what it finds."""
    homepage_url: str
    license: str
    """SPDX expression."""
    languages: tuple[Language, ...]
    """Languages it judges; empty when it looks at something else (see ``applies_to``)."""
    applies_to: str
    """What it looks for in a subject, for people: "Python files", "requirements.txt, pyproject.toml"."""
    parameters: tuple[Parameter, ...] = ()
    presets: Mapping[str, Mapping[str, ParameterValue]] = field(default_factory=dict)
    """Named sets of parameters. ``quick`` and ``deep`` are what the profiles of that name use."""
    limits: Limits
    exit_codes: Mapping[int, ExitMeaning]
    """Codes that mean something. Any other is ``unknown``."""
    identity_fields: tuple[str, ...]
    """What makes a finding the same one next time, besides tool, rule, path and code line:
    names of the values in ``ToolFinding.identity``, in order."""
    has_line_identity: bool = True
    """Whether the text of the code line is part of a finding's identity; False for dependencies."""
    is_default: bool = True
    """Whether it runs when nobody names tools."""
    needs: SubjectNeed = "source"
    stands_in_for: str | None = None
    """Name of the tool whose work it can do where that one cannot be had; shown beside its own name."""
    cost_s: float = 1.0
    """CPU seconds on a small app, for longest-first order."""
    adapter_version: int = 1
    """Raised when the same raw output would parse to something else; part of the cache key."""

    @property
    def is_in_deep(self) -> bool:
        """Whether it is among the fifteen tools of the deep profile, or stands in for one."""
        return self.is_default or self.service is not Service.static

    def resolve_parameters(
        self, given: Mapping[str, object], *, preset: str | None = None
    ) -> dict[str, ParameterValue]:
        """Return all parameters: defaults, then the preset, then what was given, each checked.

        Raises:
            InvalidInput: An unknown parameter or preset, or a value of the wrong type or range.
        """
        from referee.tools.parameters import resolve_parameters  # noqa: PLC0415 - keeps this module declarative

        return resolve_parameters(self, given, preset=preset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A tool's own environment, ready to run."""

    root: Path
    """Folder of the environment; mounted read-only into the sandbox."""
    program: Path
    """What to run: an executable or a script."""
    read_only: tuple[Path, ...]
    """Everything the sandbox must show for it: the environment, its interpreter, rule files."""
    lock_digest: str
    """SHA-256 of the lock file it was installed from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPlan:
    """What of a subject concerns a tool, decided before it runs."""

    parameters: Mapping[str, ParameterValue]
    files: tuple[str, ...] = ()
    """Paths that it must examine; what is missing from its output is a coverage hole."""
    not_applicable: str | None = None
    """One sentence when nothing of its kind is in the subject: what was looked for and not found."""
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the tool wants to remember for ``run`` and ``parse``."""


@runtime_checkable
class PiecewiseStreams(Protocol):
    """What a mapping of streams can do besides when they lie in a file."""

    def size_of(self, name: str) -> int:
        """Return how many bytes a stream has, without reading it."""

    def read_pieces(self, name: str) -> Iterator[bytes]:
        """Yield a stream in pieces. Blocking."""


@dataclass(frozen=True, slots=True)
class StreamFile:
    """A file that holds one stream and nothing else, is on disk, and is not written any more."""

    path: Path
    sha256: str
    size_bytes: int


@runtime_checkable
class FiledStreams(Protocol):
    """What a mapping of streams can do besides when some lie in files of their own."""

    def find_file(self, name: str) -> StreamFile | None:
        """Return the file of a stream; None when it has none of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawOutput:
    """The verbatim output of one run, bounded, enough to parse it at any later time."""

    streams: Mapping[str, bytes]
    """``stdout``, ``stderr`` and the tool's own report files by name (``report.json``)."""
    total_bytes: Mapping[str, int]
    """Bytes each stream had; more than ``len(streams[name])`` means it was cut."""
    end: CommandEnd
    exit_code: int | None
    """Less than 0: the signal that ended it, with a minus."""
    duration_ms: int
    cpu_ms: int
    peak_memory_bytes: int | None
    isolation: Isolation | None
    reason: str = ""
    command: tuple[str, ...] = ()
    """The command line, with host folders replaced by ``$SUBJECT``, ``$SCRATCH`` and ``$TOOL``."""

    @property
    def truncated(self) -> frozenset[str]:
        """Names of the streams that were cut."""
        return frozenset(name for name in self.streams if self.total_bytes.get(name, 0) > self.size_of(name))

    def size_of(self, name: str) -> int:
        """Return how many bytes of a stream there are."""
        if isinstance(self.streams, PiecewiseStreams):
            return self.streams.size_of(name)
        return len(self.streams[name])


class InstallKit(Protocol):
    """What a tool gets to install itself. Installs happen once per lock digest and survive restarts."""

    async def python_environment(self, tool: str, lock: str, program: str) -> Installation:
        """Return a virtual environment made by uv from the hash-pinned ``locks/<lock>``.

        Raises:
            Unavailable: It cannot be installed here; the hint says what is missing.
        """
        ...

    async def node_environment(self, tool: str, lock: str, program: str) -> Installation:
        """Return a ``node_modules`` made by ``npm ci --ignore-scripts`` from the folder ``locks/<lock>``.

        ``program`` is the path of the JavaScript file to run, below the environment's root.

        Raises:
            Unavailable: It cannot be installed here; the hint says what is missing.
        """
        ...

    async def system_program(self, tool: str, program: str, package: str) -> Installation:
        """Return a program of the machine, such as ``nmap``, found in the system's folders.

        ``package`` is the Debian package that brings it, for the hint. ``lock_digest`` is that of the program's bytes.

        Raises:
            Unavailable: It is not installed; the hint says how to get it.
        """
        ...

    @property
    def node(self) -> Path:
        """Path of the Node.js program to run ``Installation.program`` with.

        Raises:
            Unavailable: No Node.js could be had.
        """
        ...

    @property
    def advisories_dir(self) -> Path:
        """Folder of the advisory store (OSV records), read-only to tools."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningApp:
    """An app under test that answered a moment ago, from where the tool will run."""

    targets: tuple[Target, ...]
    """Where it answers, backend first. At least one."""
    network: NetworkHandle | None
    """The app's network, for ``Command.network``; None when it runs in the machine's own network."""
    app_run_id: str
    """Which run of the app it is, for the record."""
    isolation: str = ""
    """One sentence: what keeps the app in."""

    def get_target(self, name: str) -> Target | None:
        """Return the target of this name, if there is one."""
        return next((target for target in self.targets if target.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKit:
    """What a tool gets to run."""

    snapshot: SourceSnapshot
    installation: Installation
    install_kit: InstallKit
    scratch_dir: Path
    """An empty folder of this attempt alone, writable, removed afterwards."""
    limits: Limits
    cores_count: int
    """Cores it may use; 1 when others run beside it."""
    run_command: Callable[[Command, Limits, Path], Awaitable[CommandResult]]
    """``run_command(command, limits, output_dir)`` runs it in the sandbox."""
    app: RunningApp | None = None
    """The running app, for tools that need or may use one."""
    template: Template | None = None
    """What the app was asked to do, where that is known."""
    judge: LlmClient | None = None
    """The language model that may judge, where one is configured; for the AI service only."""


class Tool(Protocol):
    """A plug-in that judges a subject. See the module's docstring for the order of calls."""

    def describe(self) -> ToolDescription:
        """Return what the tool is. Pure and fast."""
        ...

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return its environment, installing it first if need be. Idempotent.

        Raises:
            Unavailable: It cannot be had on this machine; message and hint say why and what to do.
        """
        ...

    async def probe_version(self, installation: Installation) -> str:
        """Return the version that is installed, as the tool calls it, such as ``1.9.4``."""
        ...

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Decide what of the subject concerns the tool. Reads files at most; runs nothing."""
        ...

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Run it in the sandbox and return its raw output, whatever became of it.

        A cancelled task must leave no process behind.
        """
        ...

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Turn raw output into findings, rules, coverage and measurements. Pure.

        Raises:
            OutputUnreadable: The output is not what this tool writes (see ``referee.tools.reading``).
        """
        ...
