"""Every setting of Referee: its name with the unit, its default, its range and what it does.

A setting ``port`` is the environment variable ``REFEREE_PORT``; the command
line passes its options as overrides. Settings are read once by the program
that starts and handed on as an argument, never looked up again.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from referee.core.errors import InvalidInput
from referee.core.hosts import is_loopback_host
from referee.core.web_addresses import read_web_address
from referee.foundation.artifact_settings import ArtifactSettings
from referee.foundation.notification_settings import NotificationSettings
from referee.foundation.video_settings import VideoSettings
from referee.foundation.watching_settings import WatchingSettings

__all__ = ["LlmProvider", "Settings", "load_settings"]

MEGABYTE = 1_000_000
MEBIBYTE = 1 << 20

Roots: TypeAlias = Annotated[list[Path], NoDecode]
Urls: TypeAlias = Annotated[list[str], NoDecode]

MAX_ANALYZER_URLS_COUNT = 20


def _default_home() -> Path:
    """Return ``$XDG_DATA_HOME/referee``; for root, whose services keep data there, ``/var/lib/referee``."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/referee")
    data_home = os.environ.get("XDG_DATA_HOME", "")
    if not Path(data_home).is_absolute():
        return Path.home() / ".local" / "share" / "referee"
    return Path(data_home) / "referee"


def _default_tool_slots_count() -> int:
    return max(1, min(os.cpu_count() or 1, 8))


class LlmProvider(BaseModel):
    """An OpenAI-compatible API that metrics may name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https?://[^\s@?#/]+[^\s@?#]*$")
    """Address of the API, to which ``/chat/completions`` is added."""
    key_variable: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable with the key; None sends none."""
    timeout_s: float = Field(default=60.0, ge=1.0, le=3600.0)
    """Of one answer."""
    model: str = Field(default="", max_length=200)
    """For metrics that name no model."""


class Settings(ArtifactSettings, NotificationSettings, VideoSettings, WatchingSettings):
    """What can be set, by environment variable ``REFEREE_<NAME>`` or by an argument of the same name."""

    model_config = SettingsConfigDict(
        env_prefix="REFEREE_", frozen=True, extra="forbid", validate_default=True
    )

    home: Path = Field(
        default_factory=_default_home,
        description="Folder that holds everything Referee keeps: database, artifacts, tools, results, logs.",
    )

    database_url: str | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="Your own PostgreSQL 15 or newer, such as postgresql://user:password@host/referee; "
        "without it the embedded server runs below home.",
    )
    database_pool_count: int = Field(
        default=10, ge=1, le=50, description="Database connections one process holds at most."
    )
    database_idle_stop_s: float = Field(
        default=5.0,
        ge=0.0,
        le=86_400.0,
        description="Seconds the embedded database keeps running after the last program has left.",
    )
    database_start_timeout_s: float = Field(
        default=60.0,
        ge=1.0,
        le=3600.0,
        description="Seconds to wait for the database to start, crash recovery included.",
    )
    database_statement_timeout_s: float = Field(
        default=60.0,
        ge=0.1,
        le=3600.0,
        description="Seconds after which the database gives up one statement.",
    )

    tools_dir: Path | None = Field(
        default=None, description="Folder of the tools' own environments; without it, tools below home."
    )

    host: str = Field(default="127.0.0.1", min_length=1, description="Address the server listens on.")
    port: int = Field(
        default=8765, ge=0, le=65_535, description="Port the server listens on; 0 takes a free one."
    )
    otlp_grpc_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="Port of the same address that takes spans over OTLP/gRPC, by custom 4317; 0 takes a free one. "
        "Without it there is none. Needs the extra referee[grpc].",
    )
    own_traces_project: str = Field(
        default="referee",
        pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$",
        description="Project in which Referee keeps what it did itself as traces: analyses, tool runs, pipelines, "
        "generations, experiment runs. Empty: it keeps none.",
    )
    allowed_roots: Roots = Field(
        default_factory=list,
        description="Folders below which subjects may lie, separated as in PATH; empty allows any readable "
        "path while the server listens on loopback only.",
    )
    theme_cookie: str = Field(
        default="referee_theme",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Name of the cookie that keeps light or dark.",
    )

    worker_tool_slots_count: int = Field(
        default_factory=_default_tool_slots_count,
        ge=1,
        le=256,
        description="Tools one worker runs at the same time.",
    )
    worker_app_slots_count: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Analyses of one worker that use a running app at the same time; more than one distorts "
        "what load tools measure.",
    )
    breaker_failures_count: int = Field(
        default=5,
        ge=1,
        le=10_000,
        description="Failures of a service within breaker_window_s that stop new work.",
    )
    breaker_window_s: float = Field(
        default=120.0, ge=1.0, le=86_400.0, description="Seconds in which failures of a service add up."
    )
    breaker_pause_s: float = Field(
        default=120.0,
        ge=0.1,
        le=86_400.0,
        description="Seconds before a service that was stopped is tried again.",
    )
    app_start_timeout_s: float = Field(
        default=90.0, ge=1.0, le=3600.0, description="Seconds one component of an app has until it answers."
    )
    app_install_timeout_s: float = Field(
        default=600.0, ge=1.0, le=7200.0, description="Seconds the dependencies of one component may take."
    )
    app_lease_ttl_s: float = Field(
        default=30.0,
        ge=2.0,
        le=3600.0,
        description="Seconds an app stays up for a tool that no longer renews its lease.",
    )
    app_linger_s: float = Field(
        default=3.0,
        ge=0.0,
        le=3600.0,
        description="Seconds an app stays up after its last lease was given back.",
    )
    app_memory_max_bytes: int = Field(
        default=1024 * MEBIBYTE,
        ge=64 * MEBIBYTE,
        le=1024 * 1024 * MEBIBYTE,
        description="Bytes of memory one component of an app may use.",
    )
    app_disk_max_bytes: int = Field(
        default=512 * MEBIBYTE,
        ge=MEBIBYTE,
        le=1024 * 1024 * MEBIBYTE,
        description="Bytes one component of an app may write.",
    )
    app_environments_max_bytes: int = Field(
        default=10_000 * MEGABYTE,
        ge=100 * MEGABYTE,
        le=10_000_000 * MEGABYTE,
        description="Bytes that installed dependencies of apps may take; the least recently used go first.",
    )
    lease_ttl_s: float = Field(
        default=15.0,
        ge=1.0,
        le=600.0,
        description="Seconds without a beat after which a worker counts as dead.",
    )
    lease_beat_s: float = Field(
        default=3.0, ge=0.1, le=200.0, description="Seconds between two beats of a worker."
    )
    queue_max_count: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Jobs that may wait; further ones are refused."
    )
    queue_poll_s: float = Field(
        default=0.1, ge=0.01, le=60.0, description="Seconds between two looks of a worker into a queue."
    )
    job_keep_days: float = Field(
        default=90.0, ge=0.01, le=36_500.0, description="Days an ended job stays in the list of jobs."
    )

    max_import_bytes: int = Field(
        default=1_000 * MEGABYTE,
        ge=1,
        le=1_000_000 * MEGABYTE,
        description="Bytes the file of a pipeline that is imported may have.",
    )
    max_subject_files_count: int = Field(
        default=20_000, ge=1, le=10_000_000, description="Files one subject may have."
    )
    max_subject_bytes: int = Field(
        default=500 * MEGABYTE, ge=1, le=1_000_000 * MEGABYTE, description="Bytes one subject may have."
    )
    max_file_bytes: int = Field(
        default=10 * MEGABYTE,
        ge=1,
        le=100_000 * MEGABYTE,
        description="Bytes one file of a subject may have; larger files are excluded and counted.",
    )
    raw_output_max_bytes: int = Field(
        default=32 * MEBIBYTE,
        ge=1024,
        le=4096 * MEBIBYTE,
        description="Bytes of a tool's raw output that are kept; more is cut and marked so.",
    )
    tool_wall_max_s: float = Field(
        default=3600.0,
        ge=1.0,
        le=86_400.0,
        description="Seconds one run of a tool may take at most; a tool's own limit holds where it is shorter.",
    )
    install_timeout_s: float = Field(
        default=900.0, ge=1.0, le=86_400.0, description="Seconds the installation of one tool may take."
    )

    judge_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@?#/]+[^\s@?#]*$",
        description="Address of an OpenAI-compatible API whose language model may judge apps, such as "
        "http://127.0.0.1:8080/v1; without it no model is asked.",
    )
    judge_model: str = Field(
        default="", max_length=200, description="Name of the judging model, as its server calls it."
    )
    judge_api_key: SecretStr | None = Field(
        default=None, description="Key of the judge's server; without it none is sent."
    )
    judge_timeout_s: float = Field(
        default=120.0, ge=1.0, le=3600.0, description="Seconds one answer of the judge may take."
    )
    judge_max_tokens_count: int = Field(
        default=200_000,
        ge=1_000,
        le=100_000_000,
        description="Tokens, of questions and answers together, that one run of a tool may spend on the judge.",
    )
    judge_max_attempts_count: int = Field(
        default=4,
        ge=1,
        le=20,
        description="Times a question is sent when the judge's server is busy, failing or not there.",
    )

    generator_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@?#/]+[^\s@?#]*$",
        description="Address of an OpenAI-compatible API whose language models write apps, such as "
        "http://127.0.0.1:8080/v1; without it no app is generated.",
    )
    generator_api_key: SecretStr | None = Field(
        default=None, description="Key of the generator's server; without it none is sent."
    )
    generator_timeout_s: float = Field(
        default=600.0, ge=1.0, le=7200.0, description="Seconds one answer of a generating model may take."
    )
    generator_max_tokens_count: int = Field(
        default=32_000,
        ge=256,
        le=1_000_000,
        description="Tokens one answer of a generating model may have; a longer one is continued.",
    )
    generator_budget_usd: float | None = Field(
        default=None,
        ge=0.0,
        le=1_000_000.0,
        description="US dollars that the generations of one project may cost in 24 hours; a request that could "
        "cost more than is left is not sent. Without it nothing is limited.",
    )
    generator_requests_per_minute_count: int = Field(
        default=10,
        ge=1,
        le=100_000,
        description="Requests one process sends to the generator's server in a minute.",
    )
    generator_max_attempts_count: int = Field(
        default=4,
        ge=1,
        le=20,
        description="Times a request is sent when the generator's server is busy, failing or not there.",
    )
    generator_pypi_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@?#/]+[^\s@?#]*$",
        description="Address of a Python package index (the simple API) that is asked whether a package exists "
        "which a generated app needs and nobody knows; without it none is asked.",
    )
    generator_npm_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@?#/]+[^\s@?#]*$",
        description="Address of an npm registry that is asked in the same way; without it none is asked.",
    )

    evaluator_providers: Annotated[dict[str, LlmProvider], NoDecode] = Field(
        default={},
        description="OpenAI-compatible APIs that metrics may name, as JSON: name to url, key_variable (the "
        'environment variable with the key), timeout_s and model, such as {"local": {"url": '
        '"http://127.0.0.1:8080/v1"}}. Without any, the judge\'s server is asked, if there is one.',
    )
    evaluator_max_tokens_count: int = Field(
        default=1_000_000,
        ge=1_000,
        le=100_000_000_000,
        description="Tokens, of questions and answers together, that the LLM metrics of one project may spend in 24 "
        "hours; beyond, events stay unscored and say so.",
    )
    evaluator_max_attempts_count: int = Field(
        default=4,
        ge=1,
        le=20,
        description="Times a question of a metric is sent when a provider is busy, failing or not there.",
    )
    evaluator_python_timeout_s: float = Field(
        default=10.0, ge=0.1, le=600.0, description="Seconds a PYTHON metric may take for one event."
    )
    evaluator_python_memory_bytes: int = Field(
        default=512 * MEBIBYTE,
        ge=64 * MEBIBYTE,
        le=64 * 1024 * MEBIBYTE,
        description="Bytes of memory a PYTHON metric may use.",
    )
    evaluator_slots_count: int = Field(
        default=2, ge=1, le=64, description="Batches of evaluations that one worker makes at the same time."
    )
    static_analyzer_urls: Urls = Field(
        default_factory=list,
        description="Addresses of listening analyzers that run the static service, such as "
        "ws://127.0.0.1:2001,wss://lab.example/static, tried in turn; where any is given, this machine does not "
        "run the service itself.",
    )
    dynamic_analyzer_urls: Urls = Field(
        default_factory=list, description="The same for the dynamic service, on port 2002."
    )
    performance_analyzer_urls: Urls = Field(
        default_factory=list, description="The same for the performance service, on port 2003."
    )
    ai_analyzer_urls: Urls = Field(
        default_factory=list, description="The same for the ai service, on port 2004."
    )
    analyzer_key: SecretStr | None = Field(
        default=None,
        description="Key that this server shows to listening analyzers, and the one that each of them asks for; "
        "an analyzer that connects to a server shows it there. It goes over wss:// or within this machine only.",
    )

    lead_blocked_reason_count: int = Field(
        default=5, ge=1, le=1_000_000, description="Blocks for one reason in a window; more are a spike."
    )
    lead_pauses_count: int = Field(
        default=2, ge=1, le=1_000_000, description="Pauses before a block that make churn."
    )
    lead_failed_retries_count: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Subjects that fail after a retry was recommended, which make a lead finding.",
    )
    lead_lag_p95_ms: int = Field(
        default=5_000,
        ge=1,
        le=86_400_000,
        description="Milliseconds of decision lag; a 95th percentile above is late.",
    )
    lead_redline_baseline_share: float = Field(
        default=0.05, ge=0.0, le=1.0, description="Share of decisions that usually name a crossed red line."
    )
    lead_redline_rise_share: float = Field(
        default=0.10, ge=0.0, le=1.0, description="Rise of that share; more makes a lead finding."
    )
    lead_critical_allows_count: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Decisions that allow work in spite of a critical finding, which make a lead finding.",
    )
    lead_self_check_decisions_count: int = Field(
        default=100,
        ge=1,
        le=1_000_000_000,
        description="Decisions in a window from which a scan warns when no scan has ever found anything.",
    )
    supervisor_backlog_warn_count: int = Field(
        default=100, ge=1, le=1_000_000, description="Waiting jobs from which the backlog is a warning."
    )
    supervisor_backlog_critical_count: int = Field(
        default=500, ge=1, le=1_000_000, description="Waiting jobs from which the backlog is critical."
    )
    supervisor_lag_warn_s: float = Field(
        default=60.0, ge=0.001, le=86_400.0, description="Seconds of p95 decision lag that are a warning."
    )
    supervisor_lag_critical_s: float = Field(
        default=300.0, ge=0.001, le=86_400.0, description="Seconds of p95 decision lag that are critical."
    )
    supervisor_failure_warn_share: float = Field(
        default=0.05, ge=0.0, le=1.0, description="Share of decisions that are errors, which is a warning."
    )
    supervisor_failure_critical_share: float = Field(
        default=0.20, ge=0.0, le=1.0, description="Share of decisions that are errors, which is critical."
    )

    log_format: Literal["console", "json"] = Field(
        default="console",
        description="Form of the log on standard error: for people, or one JSON object a line.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged."
    )

    @field_validator("allowed_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        """Read a list of folders the way PATH is written."""
        if isinstance(value, str):
            return [part for part in value.split(os.pathsep) if part]
        return value

    @field_validator("evaluator_providers", mode="before")
    @classmethod
    def _read_providers(cls, value: object) -> object:
        """Read the providers from JSON text; without any text there are none."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value.strip() else {}
        except (ValueError, RecursionError) as error:
            raise ValueError("must be JSON: an object of names and providers") from error

    @field_validator(
        "static_analyzer_urls", "dynamic_analyzer_urls", "performance_analyzer_urls", "ai_analyzer_urls",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _split_urls(cls, value: object) -> object:
        """Read a list of addresses separated by commas."""
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator(
        "static_analyzer_urls", "dynamic_analyzer_urls", "performance_analyzer_urls", "ai_analyzer_urls"
    )
    @classmethod
    def _check_urls(cls, value: list[str]) -> list[str]:
        """Connections go out to these addresses: each must be one of a WebSocket, and carry no secret."""
        if len(value) > MAX_ANALYZER_URLS_COUNT:
            raise ValueError(f"at most {MAX_ANALYZER_URLS_COUNT} addresses are taken")
        for url in value:
            problem = _find_url_problem(url)
            if problem:
                raise ValueError(f"{url[:200]!r} {problem}")
        return list(dict.fromkeys(url.rstrip("/") for url in value))

    @field_validator("analyzer_key")
    @classmethod
    def _keep_the_key_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """A key that goes over a network in the clear is nobody's own."""
        fields = (
            "static_analyzer_urls",
            "dynamic_analyzer_urls",
            "performance_analyzer_urls",
            "ai_analyzer_urls",
        )
        for url in (url for field in fields for url in info.data.get(field, ()) if value is not None):
            parts = urlsplit(url)
            if parts.scheme == "ws" and not is_loopback_host(parts.hostname or ""):
                raise ValueError(
                    f"the key would go to {parts.hostname} in the clear; write that address as wss://, or reach it"
                    " through a tunnel on 127.0.0.1"
                )
        return value

    @field_validator("lease_beat_s")
    @classmethod
    def _leave_room_for_a_late_beat(cls, value: float, info: ValidationInfo) -> float:
        """A lease must survive one beat that was lost, or a busy machine loses its work."""
        if "lease_ttl_s" in info.data and value * 2 > info.data["lease_ttl_s"]:
            raise ValueError("must be at most half of lease_ttl_s")
        return value

    @field_validator("judge_model")
    @classmethod
    def _name_the_judge(cls, value: str, info: ValidationInfo) -> str:
        """A judge without a name would be some model of the server's choice, and its verdicts nobody's."""
        if not value and info.data.get("judge_url") is not None:
            raise ValueError("must be given together with judge_url")
        return value

    @field_validator(
        "database_url", "judge_url", "judge_api_key", "generator_url",
        "generator_api_key", "generator_budget_usd", "generator_pypi_url", "generator_npm_url", "analyzer_key",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("home", "tools_dir")
    @classmethod
    def _make_absolute(cls, value: Path | None) -> Path | None:
        """Expand ``~`` and fix the path now, so that a later change of folder moves nothing."""
        return None if value is None else Path(os.path.abspath(value.expanduser()))  # noqa: PTH100 - symlinks stay

    @field_validator("allowed_roots")
    @classmethod
    def _make_roots_absolute(cls, value: list[Path]) -> list[Path]:
        return [Path(os.path.abspath(root.expanduser())) for root in value]  # noqa: PTH100 - symlinks stay

    @property
    def analyzer_urls(self) -> dict[str, tuple[str, ...]]:
        """Addresses of listening analyzers, by the services that have any."""
        given = {
            "static": self.static_analyzer_urls,
            "dynamic": self.dynamic_analyzer_urls,
            "performance": self.performance_analyzer_urls,
            "ai": self.ai_analyzer_urls,
        }
        return {service: tuple(urls) for service, urls in given.items() if urls}

    @property
    def artifacts_dir(self) -> Path:
        """Folder of stored bytes, addressed by SHA-256."""
        return self.home / "artifacts"

    @property
    def artifact_cache_dir(self) -> Path:
        """Folder of copies of artifacts that lie on S3."""
        return self.home / "artifact-cache"

    @property
    def snapshots_dir(self) -> Path:
        """Folder of read-only copies of subjects."""
        return self.home / "snapshots"

    @property
    def scratch_dir(self) -> Path:
        """Folder of work in progress; nothing in it is needed after the process that made it."""
        return self.home / "scratch"

    @property
    def uploads_dir(self) -> Path:
        """Folder of clips that are not whole yet."""
        return self.home / "uploads"

    @property
    def results_dir(self) -> Path:
        """Folder of the result files for people and other programs."""
        return self.home / "results"

    @property
    def app_runs_dir(self) -> Path:
        """Folder of running apps: their workspaces and logs."""
        return self.home / "running"

    @property
    def source_roots(self) -> list[Path]:
        """Folders below which sources may lie: the allowed ones and that of generated apps; empty allows any."""
        return [*self.allowed_roots, self.generated_dir] if self.allowed_roots else []

    @property
    def generated_dir(self) -> Path:
        """Folder of generated apps, as ``apps/<model>/app<number>``."""
        return self.home / "generated"

    @property
    def app_environments_dir(self) -> Path:
        """Folder of apps' installed dependencies."""
        return self.home / "environments"

    @property
    def advisories_dir(self) -> Path:
        """Folder of the advisory store."""
        return self.home / "advisories"

    @property
    def logs_dir(self) -> Path:
        """Folder of log files."""
        return self.home / "logs"

    @property
    def database_dir(self) -> Path:
        """Folder of the embedded database cluster."""
        return self.home / "database"

    @property
    def backups_dir(self) -> Path:
        """Folder of the database dumps that an upgrade makes first."""
        return self.home / "backups"

    @property
    def tools_path(self) -> Path:
        """Folder of the tools' own environments."""
        return self.tools_dir or self.home / "tools"

    def ensure_home(self) -> Path:
        """Make the home folder if it is absent, and prove that it can be written.

        New folders are 0711: a tool's unprivileged user may pass through to what is
        given to it, and nobody else may list what is there.

        Raises:
            InvalidInput: It cannot be made, is no folder, or cannot be written.
        """
        try:
            self.home.mkdir(mode=0o711, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.home):
                pass
        except OSError as error:
            raise InvalidInput(
                "settings.home_not_writable",
                f"The folder {self.home} cannot be written: {error.strerror or error}.",
                "Give a folder of your own by REFEREE_HOME, or change the owner of this one.",
                home=str(self.home),
            ) from error
        return self.home


def _find_url_problem(url: str) -> str:
    """Return why a text is not the address of a listening analyzer, empty when it is."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not an address"
    if parts.scheme not in ("ws", "wss") or not parts.hostname or port == 0:
        return "is not the address of a WebSocket; write it as ws://127.0.0.1:2001 or wss://lab.example"
    if parts.username is not None or parts.password is not None:
        return "holds a password; leave it out and set REFEREE_ANALYZER_KEY"
    if parts.query or parts.fragment or any(character.isspace() for character in url):
        return "has more than scheme, host, port and path"
    try:
        read_web_address(url, schemes=("ws", "wss"))
    except InvalidInput as error:
        return f"is refused. {error.message}"
    return ""


def load_settings(**overrides: object) -> Settings:
    """Return the settings of the environment, with ``overrides`` on top.

    An override of None means "not given", which is what an absent command line option is.

    Raises:
        InvalidInput: A value is out of its range or cannot be understood; the first such is named.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # the model checks each value itself
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        field = Settings.model_fields.get(name)
        raise InvalidInput(
            "settings.invalid",
            f"The setting {name} is not usable: {first['msg'][:1].lower()}{first['msg'][1:]}.",
            f"Set REFEREE_{name.upper()}: {field.description}"
            if field
            else "Leave it out: no setting has that name.",
            setting=name,
        ) from error
