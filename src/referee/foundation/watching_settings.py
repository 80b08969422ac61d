"""Settings of how Referee watches itself: probes, and its own traces for other collectors; a part of ``Settings``."""

from __future__ import annotations

import os

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

__all__ = ["WatchingSettings"]

_DAY_S = 86_400


def _default_export_url() -> str | None:
    """Return where OpenTelemetry's own variables say that traces go; None where they name no HTTP collector."""
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", ""
    )
    if protocol == "grpc":
        return None
    whole = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    return whole or (f"{base.rstrip('/')}/v1/traces" if base else None)


def _default_export_headers() -> SecretStr | None:
    given = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or os.environ.get(
        "OTEL_EXPORTER_OTLP_HEADERS", ""
    )
    return SecretStr(given) if given.strip() else None


class WatchingSettings(BaseSettings):
    """How often Referee tries itself out, and who else gets its own traces."""

    probe_trace_interval_s: int = Field(
        default=300,
        ge=0,
        le=_DAY_S,
        description="Seconds between two probes that write a trace and read it back, rounded up to whole minutes; 0: "
        "never.",
    )
    probe_trace_timeout_s: float = Field(
        default=10.0, ge=0.1, le=600.0, description="Seconds after which such a probe has failed."
    )
    probe_artifact_interval_s: int = Field(
        default=300,
        ge=0,
        le=_DAY_S,
        description="The same for probes that store an artifact and verify it.",
    )
    probe_artifact_timeout_s: float = Field(
        default=10.0, ge=0.1, le=600.0, description="Seconds after which such a probe has failed."
    )
    probe_analysis_interval_s: int = Field(
        default=3_600,
        ge=0,
        le=_DAY_S,
        description="The same for probes that create a tiny analysis and wait for its end.",
    )
    probe_analysis_timeout_s: float = Field(
        default=120.0, ge=0.1, le=3_600.0, description="Seconds after which such a probe has failed."
    )
    probe_keep_days: int = Field(
        default=30, ge=1, le=3_650, description="Days that results of probes, and what they made, are kept."
    )
    probe_project: str = Field(
        default="referee-probes",
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="Project in which probes work, so that nothing of them is among anybody's data.",
    )

    otlp_export_url: str | None = Field(
        default_factory=_default_export_url,
        pattern=r"^https?://[^\s@?#/]+[^\s@?#]*$",
        description="Address that takes OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces: Referee sends it the "
        "traces of its own work. Without it none are sent.",
    )
    otlp_export_headers: SecretStr | None = Field(
        default_factory=_default_export_headers,
        description="Headers for that address, as name=value pairs with commas between them, such as "
        "authorization=Bearer%20secret.",
    )
    otlp_export_timeout_s: float = Field(
        default=10.0, ge=0.1, le=120.0, description="Seconds one request to that address may take."
    )

    @field_validator("otlp_export_url", "otlp_export_headers", mode="before")
    @classmethod
    def _leave_out_nothing(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value
