"""Logs: no secret and no terminal control character leaves the process."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from referee.foundation.access import make_secret
from referee.foundation.logs import configure_logs
from referee.foundation.settings import load_settings


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def read_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_each_event_is_one_json_object_with_its_time_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(load_settings(log_format="json"))
    structlog.get_logger("referee").info("analysis.finished", findings_count=3)
    logging.getLogger("uvicorn.error").warning("port %s is taken", 80)
    first, second = read_lines(capsys)
    assert (first["event"], first["findings_count"], first["level"]) == ("analysis.finished", 3, "info")
    assert str(first["at"]).endswith("Z")
    assert (second["event"], second["level"]) == ("port 80 is taken", "warning")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_hidden_wherever_they_stand(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(load_settings(log_format=log_format))
    secret = make_secret()
    log = structlog.get_logger("referee")
    log.info(
        "key.made",
        api_key="hush",
        headers={"Authorization": "Bearer hush", "Cookie": "hush"},
        nested=[{"password": "hush"}],
        text=f"sent {secret} to postgresql://me:hush@host/db",
    )
    try:
        password = "hush"
        raise ValueError(f"{secret} was refused" if password else "")
    except ValueError:
        log.exception("key.refused", token="hush")
    written = capsys.readouterr().err
    assert "key.made" in written
    assert "key.refused" in written
    assert "hush" not in written.replace('password = "hush"', "")
    assert secret not in written


def test_names_that_only_sound_secret_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(load_settings(log_format="json"))
    structlog.get_logger("referee").info("model.answered", prompt_tokens=12, tokens_count=3, api_key_id="id")
    (line,) = read_lines(capsys)
    assert (line["prompt_tokens"], line["tokens_count"], line["api_key_id"]) == (12, 3, "id")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_foreign_text_cannot_steer_the_terminal(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(load_settings(log_format=log_format))
    foreign = "a\x1b[2Jb\rc\nd\u202ee\x9bf\ud800"
    structlog.get_logger("referee").warning("tool.said", line=foreign, more=[foreign])
    logging.getLogger("tool").warning("said %s", foreign)
    written = capsys.readouterr().err
    assert written.count("\n") == 2
    assert not {"\x1b", "\r", "\u202e", "\x9b"} & set(written)


def test_quieter_events_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(load_settings(log_format="json", log_level="warning"))
    structlog.get_logger("referee").info("beat.sent")
    structlog.get_logger("referee").error("beat.missed")
    assert [line["event"] for line in read_lines(capsys)] == ["beat.missed"]
