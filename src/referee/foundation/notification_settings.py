"""The settings of what goes out of this server to people: whom it may call, its mail server, alerts.

A part of ``Settings`` (``settings.py``), which is what everybody uses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from referee.core.web_addresses import read_allowed_place

__all__ = ["NotificationSettings"]

MAX_OUTGOING_ALLOWED_COUNT = 200


class NotificationSettings(BaseSettings):
    """What leaves the server, and where to."""

    outgoing_allowed: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Hosts, addresses and networks beyond the public internet that webhooks, mail servers and imports "
        "by address may reach, separated by commas, such as hooks.lab.example,127.0.0.1,10.0.0.0/8. An address in "
        "another setting is allowed by being set.",
    )

    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@?#/]+[^\s@?#]*$",
        description="Address under which people reach this server, for links in notifications; without it host and "
        "port.",
    )
    smtp_host: str = Field(
        default="",
        max_length=253,
        description="Mail server that notifications go out by; empty: no mail is sent.",
    )
    smtp_port: int = Field(default=587, ge=1, le=65_535, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the connection is secured: starttls (required, usual on 587), tls (from the first byte, usual "
        "on 465), or none.",
    )
    smtp_user: str = Field(default="", max_length=200, description="Name to log in with; empty: no login.")
    smtp_password: SecretStr | None = Field(default=None, description="Password to log in with.")
    smtp_from: str = Field(
        default="referee@localhost", max_length=200, description="Sender of notifications."
    )
    smtp_ca_file: Path | None = Field(
        default=None,
        description="Certificates that the mail server's own is checked against; without it those of the system.",
    )
    alert_timeout_s: float = Field(
        default=10.0, ge=0.5, le=60.0, description="Seconds one attempt to deliver a notification may take."
    )
    alert_max_attempts_count: int = Field(
        default=8, ge=1, le=30, description="Attempts to deliver one notification before it is given up."
    )
    alert_retry_s: float = Field(
        default=30.0,
        ge=0.0,
        le=86_400.0,
        description="Seconds before the second attempt; doubled for each one after, up to six hours.",
    )
    alert_disable_failures_count: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Attempts in a row that fail, after which a channel is disabled, with a notice on the others.",
    )
    alert_log_days: int = Field(
        default=90, ge=1, le=3_650, description="Days that evaluations and ended deliveries are kept."
    )

    @field_validator("outgoing_allowed", mode="before")
    @classmethod
    def _split_allowed(cls, value: object) -> object:
        """Read a list of places separated by commas."""
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("outgoing_allowed")
    @classmethod
    def _read_allowed(cls, value: list[str]) -> list[str]:
        """Write each entry in its one spelling, or refuse it: a guard must not guess."""
        if len(value) > MAX_OUTGOING_ALLOWED_COUNT:
            raise ValueError(f"at most {MAX_OUTGOING_ALLOWED_COUNT} entries are taken")
        return list(dict.fromkeys(read_allowed_place(entry) for entry in value))

    @field_validator("public_url", "smtp_password", "smtp_ca_file", mode="before")
    @classmethod
    def _leave_out_empty(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value
