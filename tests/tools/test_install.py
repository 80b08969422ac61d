"""A tool's environment is made once, whole or not at all, and a failure is one clear sentence."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from referee.core.errors import Unavailable
from referee.tools import ToolInstaller
from referee.tools.installing import build_installer_environment, hide_secrets


def make_installer(folder: Path, **environment: str) -> ToolInstaller:
    return ToolInstaller(
        folder,
        advisories_dir=folder / "advisories",
        install_timeout_s=120,
        environment={**os.environ, **environment},
    )


async def test_installers_at_the_same_time_make_one_environment_and_leave_nothing_half_made(
    tmp_path: Path,
) -> None:
    installers = [make_installer(tmp_path) for _ in range(4)]
    found = await asyncio.gather(
        *(one.python_environment("vulture", "vulture.txt", "vulture") for one in installers)
    )
    assert len(set(found)) == 1
    assert [path.name for path in (tmp_path / "vulture").iterdir() if path.name != ".lock"] == [
        found[0].root.name
    ]
    answer = subprocess.run([found[0].program, "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("vulture ")


async def test_second_installer_finds_the_environment_without_a_registry(tmp_path: Path) -> None:
    first = await make_installer(tmp_path).python_environment("vulture", "vulture.txt", "vulture")
    offline = make_installer(tmp_path, UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "cache"))
    assert await offline.python_environment("vulture", "vulture.txt", "vulture") == first


async def test_leftover_of_a_crash_is_removed_by_the_next_installation(tmp_path: Path) -> None:
    leftover = tmp_path / "vulture" / ".staging-dead"
    leftover.mkdir(parents=True)
    await make_installer(tmp_path).python_environment("vulture", "vulture.txt", "vulture")
    assert not leftover.exists()


async def test_without_a_registry_the_tool_is_unavailable_with_a_sentence_and_no_secret(
    tmp_path: Path,
) -> None:
    installer = make_installer(
        tmp_path,
        UV_DEFAULT_INDEX="http://user:secret@127.0.0.1:9/simple",
        UV_HTTP_RETRIES="0",
        UV_CACHE_DIR=str(tmp_path / "cache"),
        UV_NO_CONFIG="1",
    )
    with pytest.raises(Unavailable) as caught:
        await installer.python_environment("vulture", "vulture.txt", "vulture")
    assert caught.value.message.startswith("vulture could not be installed: ")
    assert "secret" not in str(caught.value)
    assert [path.name for path in (tmp_path / "vulture").iterdir()] == [".lock"]


async def test_installation_past_its_time_is_unavailable_and_leaves_nothing(tmp_path: Path) -> None:
    installer = ToolInstaller(tmp_path, advisories_dir=tmp_path, install_timeout_s=0.01)
    with pytest.raises(Unavailable, match=r"within 0\.01 seconds"):
        await installer.python_environment("vulture", "vulture.txt", "vulture")
    assert [path.name for path in (tmp_path / "vulture").iterdir()] == [".lock"]


async def test_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="could not be installed"):
        await make_installer(tmp_path / "file").python_environment("vulture", "vulture.txt", "vulture")


async def test_node_comes_from_a_wheel_where_the_machine_has_none(tmp_path: Path, tools_dir: Path) -> None:
    installer = make_installer(tools_dir, PATH=str(tmp_path))
    await installer.python_environment("node", "node.txt", "python")
    answer = subprocess.run([installer.node, "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("v2")


def test_missing_node_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"There is no Node\.js 20 or newer"):
        _ = make_installer(tmp_path, PATH=str(tmp_path)).node


def test_installer_gets_the_configuration_of_package_clients_and_no_other_variable() -> None:
    given = {
        "PIP_INDEX_URL": "http://index.test/simple",
        "UV_HTTP_TIMEOUT": "9",
        "npm_config_registry": "http://npm.test",
        "HTTPS_PROXY": "http://proxy.test",
        "SSL_CERT_FILE": "/ca.pem",
        "HOME": "/nowhere",
        "REFEREE_DATABASE_URL": "postgresql://secret",
        "LD_PRELOAD": "/evil.so",
        "PYTHONPATH": "/evil",
    }
    passed = build_installer_environment(given)
    assert passed["UV_DEFAULT_INDEX"] == "http://index.test/simple"
    assert passed.keys().isdisjoint({"REFEREE_DATABASE_URL", "LD_PRELOAD", "PYTHONPATH"})
    assert {"UV_HTTP_TIMEOUT", "npm_config_registry", "HTTPS_PROXY", "SSL_CERT_FILE"} <= passed.keys()


def test_index_in_pip_configuration_is_handed_to_uv(tmp_path: Path) -> None:
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text("[global]\nindex-url = http://index.test/simple\n")
    passed = build_installer_environment({"HOME": str(tmp_path)})
    assert passed["UV_DEFAULT_INDEX"] == "http://index.test/simple"


def test_secret_in_an_address_is_hidden() -> None:
    assert hide_secrets("at https://user:pass@host/x") == "at https://host/x"
