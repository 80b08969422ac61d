"""The settings of where artifacts are kept: a folder of the home, or an S3 bucket.

A part of ``Settings`` (``settings.py``), which is what everybody uses.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from referee.core.hosts import is_loopback_host

__all__ = ["ARTIFACTS_URL_PATTERN", "ArtifactSettings"]

ARTIFACTS_URL_PATTERN = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9][A-Za-z0-9._-]{0,62}){0,8}/?$"
"""A bucket's name as S3 takes it, and a prefix of plain path segments: nothing that an address would escape."""

MEGABYTE = 1_000_000


class ArtifactSettings(BaseSettings):
    """Where artifacts are kept."""

    artifacts_can_use_http: bool = Field(
        default=False,
        description="Whether an S3 server on another machine may be talked to in the clear. On this machine it may "
        "always.",
    )
    artifacts_url: str | None = Field(
        default=None,
        pattern=ARTIFACTS_URL_PATTERN,
        description="S3 bucket that artifacts are kept in, such as s3://bucket or s3://bucket/prefix; without it they "
        "lie in the folder artifacts of home. Move what is there with referee artifacts move.",
    )
    artifacts_endpoint_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@?#/]+/?$",
        description="Address of the S3 server, such as https://s3.lab.example; without it that of AWS in the region.",
    )
    artifacts_region: str = Field(
        default="us-east-1", pattern=r"^[a-z0-9-]{1,40}$", description="Region of the bucket."
    )
    artifacts_access_key_id: SecretStr | None = Field(
        default=None,
        description="Id of the key for S3; without it the standard AWS variables or the machine's role are used.",
    )
    artifacts_secret_access_key: SecretStr | None = Field(
        default=None, description="The key's secret, given together with its id."
    )
    artifacts_timeout_s: float = Field(
        default=30.0,
        ge=0.5,
        le=600.0,
        description="Seconds one request to S3 may take; large artifacts are many requests.",
    )
    artifacts_connect_timeout_s: float = Field(
        default=5.0, ge=0.1, le=60.0, description="Seconds a connection to S3 may take."
    )
    artifacts_retry_s: float = Field(
        default=60.0,
        ge=0.0,
        le=280.0,
        description="Seconds for which a request is tried again while S3 is away; then what needed it fails as "
        "unavailable.",
    )
    artifacts_cache_bytes: int = Field(
        default=10_000 * MEGABYTE,
        ge=0,
        le=1_000_000_000 * MEGABYTE,
        description="Bytes of copies from S3 that this machine keeps for programs that need a file, such as video "
        "decoders; the least recently used go first. Those in use stay.",
    )

    @field_validator("artifacts_url", "artifacts_endpoint_url")
    @classmethod
    def _check_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Keys sign requests rather than travel, yet what is stored would be readable by all in between."""
        if value is None:
            return None
        if info.field_name == "artifacts_endpoint_url":
            try:
                parts = urlsplit(value)
                host = parts.hostname or ""
                _ = parts.port
            except ValueError as error:
                raise ValueError("is not an address") from error
            if (
                parts.scheme == "http"
                and not info.data.get("artifacts_can_use_http")
                and not is_loopback_host(host)
            ):
                raise ValueError(
                    f"what is stored would go to {host} in the clear; write it as https://, or set "
                    "REFEREE_ARTIFACTS_CAN_USE_HTTP=true where the network is your own"
                )
        return value.rstrip("/")

    @field_validator("artifacts_secret_access_key")
    @classmethod
    def _give_both(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "artifacts_access_key_id" in info.data and (info.data["artifacts_access_key_id"] is None) != (
            value is None
        ):
            raise ValueError("must be given together with artifacts_access_key_id")
        return value

    @field_validator(
        "artifacts_url", "artifacts_endpoint_url", "artifacts_access_key_id", "artifacts_secret_access_key",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _leave_out_empty_address(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value
