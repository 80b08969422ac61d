"""Settings: read from the environment, checked, and said in one sentence when wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from referee.core.errors import InvalidInput
from referee.foundation.settings import Settings, load_settings


def test_environment_variables_are_read_and_arguments_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REFEREE_HOME", str(tmp_path / "from-environment"))
    monkeypatch.setenv("REFEREE_PORT", "9000")
    settings = load_settings(port=9001, host=None)
    assert (settings.home, settings.port, settings.host) == (tmp_path / "from-environment", 9001, "127.0.0.1")


def test_every_folder_lies_below_home_but_the_tools_may_lie_elsewhere(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    folders = [
        settings.artifacts_dir, settings.snapshots_dir, settings.scratch_dir, settings.results_dir,
        settings.advisories_dir, settings.logs_dir, settings.database_dir, settings.backups_dir, settings.tools_path,
    ]  # fmt: skip
    assert [folder.parent for folder in folders] == [tmp_path] * 9
    assert len(set(folders)) == 9
    assert load_settings(home=tmp_path, tools_dir=Path("/opt/tools")).tools_path == Path("/opt/tools")


def test_relative_home_is_fixed_when_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(home="here", tools_dir="~/tools")
    monkeypatch.chdir("/")
    assert settings.home == tmp_path / "here"
    assert settings.tools_dir == Path.home() / "tools"


def test_roots_are_written_like_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFEREE_ALLOWED_ROOTS", os.pathsep.join(["/srv/apps", "/home/me/with space", ""]))
    assert load_settings().allowed_roots == [Path("/srv/apps"), Path("/home/me/with space")]
    monkeypatch.setenv("REFEREE_ALLOWED_ROOTS", "")
    assert load_settings().allowed_roots == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "70000"),
        ("port", "http"),
        ("database_pool_count", "0"),
        ("lease_ttl_s", "-1"),
        ("log_format", "xml"),
        ("theme_cookie", "a b;"),
        ("queue_poll_s", "nan"),
    ],
)
def test_value_out_of_range_is_named_with_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"REFEREE_{name.upper()}", value)
    with pytest.raises(InvalidInput) as refusal:
        load_settings()
    assert name in refusal.value.message
    assert f"REFEREE_{name.upper()}" in refusal.value.hint
    assert refusal.value.exit_code == 2


def test_beat_must_leave_room_within_the_lease() -> None:
    with pytest.raises(InvalidInput, match="lease_beat_s"):
        load_settings(lease_ttl_s=5, lease_beat_s=4)


def test_unknown_override_is_refused() -> None:
    with pytest.raises(InvalidInput, match="prot"):
        load_settings(prot=1)


def test_empty_database_url_means_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFEREE_DATABASE_URL", "")
    assert load_settings().database_url is None


UNITS = ("_s", "_ms", "_days", "_count", "_bytes", "_share")


def test_every_setting_says_what_it_does_and_its_unit() -> None:
    for name, field in Settings.model_fields.items():
        assert (field.description or "").endswith("."), name
        is_number = field.annotation in (int, float)
        assert not is_number or name.split("_")[-1] == "port" or name.endswith(UNITS), name


def test_new_home_can_be_passed_but_not_listed_by_others(tmp_path: Path) -> None:
    home = load_settings(home=tmp_path / "new" / "home").ensure_home()
    assert home.stat().st_mode & 0o777 == 0o711


def test_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput) as refusal:
        load_settings(home=tmp_path / "file" / "home").ensure_home()
    assert refusal.value.message == f"The folder {tmp_path}/file/home cannot be written: Not a directory."


def test_addresses_of_analyzers_are_read_from_a_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REFEREE_STATIC_ANALYZER_URLS", "ws://127.0.0.1:2001, wss://lab.example/static/,")
    monkeypatch.setenv("REFEREE_AI_ANALYZER_URLS", "")
    settings = load_settings(home=tmp_path)
    assert settings.analyzer_urls == {"static": ("ws://127.0.0.1:2001", "wss://lab.example/static")}


@pytest.mark.parametrize(
    ("urls", "key", "problem"),
    [
        ("http://127.0.0.1:2001", "", "is not the address of a WebSocket"),
        ("127.0.0.1:2001", "", "is not the address of a WebSocket"),
        ("ws://127.0.0.1:70000", "", "is not an address"),
        ("ws://:2001", "", "is not the address of a WebSocket"),
        ("ws://me:secret@lab.example", "", "holds a password"),
        ("ws://lab.example?to=elsewhere", "", "has more than scheme, host, port and path"),
        (",".join(f"ws://lab{number}.example" for number in range(21)), "", "at most 20 addresses"),
        ("ws://lab.example:2002", "a key", "the key would go to lab.example in the clear"),
    ],
)
def test_wrong_address_of_an_analyzer_is_refused(
    monkeypatch: pytest.MonkeyPatch, urls: str, key: str, problem: str
) -> None:
    monkeypatch.setenv("REFEREE_DYNAMIC_ANALYZER_URLS", urls)
    monkeypatch.setenv("REFEREE_ANALYZER_KEY", key)
    with pytest.raises(InvalidInput, match=problem) as refusal:
        load_settings()
    assert "secret" not in refusal.value.hint
