"""What a hostile program can reach, method by method."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from tests.foundation.sandbox.conftest import Bench

from referee.foundation.sandbox import detect_isolation

SECRET = "canary-7d1f"

CONNECT = """
import socket
try:
    socket.create_connection({address}, 2)
    print("in")
except OSError as error:
    print(error.errno)
"""


@pytest.mark.parametrize(
    "target",
    ["/usr/x", "/etc/x", "/x", "/bin/x", "/lib/x", "/root/x", "/home/x", "/dev/x", "/var/x", "/opt/x"],
)
async def test_system_cannot_be_written(bench: Bench, strong_method: str, target: str) -> None:
    result = await bench.shell(f"echo x > {target}")
    assert result.exit_code not in (0, None)
    assert not os.access(target, os.F_OK)


async def test_read_only_folders_cannot_be_written(bench: Bench, strong_method: str) -> None:
    (bench.read_only_dir / "file").write_text("as it was")
    result = await bench.shell(
        f"cd {bench.read_only_dir}; echo x > file; echo x > new; rm file; mv file other; chmod 777 file; ln file hard"
    )
    assert result.exit_code != 0
    assert [path.name for path in bench.read_only_dir.iterdir()] == ["file"]
    assert (bench.read_only_dir / "file").read_text() == "as it was"


async def test_files_of_others_and_of_root_cannot_be_read(
    bench: Bench, strong_method: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "secret"
    other.write_text(SECRET)
    other.chmod(0o644)
    other.parent.chmod(0o755)
    result = await bench.shell(
        f"cat {other} /etc/shadow {Path.home()}/.bashrc {Path.home()}/.profile; ls -A /home; ls -A /var/tmp; exit 0"
    )
    assert result.stdout_path.read_bytes() == b""


async def test_scratch_of_another_command_cannot_be_reached(
    bench: Bench, strong_method: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("attempt")
    result = await bench.shell(f"echo forged > {other}/report.json")
    assert result.exit_code != 0
    assert list(other.iterdir()) == []


async def test_listener_on_our_loopback_cannot_be_reached(bench: Bench, strong_method: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = await bench.python(CONNECT.format(address=("127.0.0.1", port)))
    assert detect_isolation().has_own_network
    assert result.stdout_path.read_text() == f"{errno.ECONNREFUSED}\n"


async def test_loopback_of_its_own_works(bench: Bench, strong_method: str) -> None:
    code = (
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 0)) as listener:\n"
        "    socket.create_connection(listener.getsockname(), 2)\n"
        "    print('in')"
    )
    result = await bench.python(code)
    assert result.stdout_path.read_text() == "in\n"


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "192.0.2.1"])
async def test_no_address_outside_can_be_reached(bench: Bench, strong_method: str, host: str) -> None:
    result = await bench.python(CONNECT.format(address=(host, 80)))
    assert result.stdout_path.read_text() == f"{errno.ENETUNREACH}\n"


async def test_network_is_there_when_asked_for(bench: Bench, method: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = bench.python_command(CONNECT.format(address=("127.0.0.1", port)))
        result = await bench.run(replace(command, has_network=True))
    assert result.stdout_path.read_text() == "in\n"


async def test_our_process_and_its_environment_are_closed(
    bench: Bench, strong_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", SECRET)
    result = await bench.shell(
        f"cat /proc/{os.getpid()}/environ /proc/{os.getpid()}/maps /proc/1/environ; kill -9 {os.getpid()}; exit 0"
    )
    assert SECRET not in result.stdout_path.read_text()
    assert result.stderr_path.read_text().count("\n") >= 3


async def test_only_its_own_processes_are_seen(bench: Bench, strong_method: str) -> None:
    result = await bench.shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "pytest" not in result.stdout_path.read_text()


async def test_output_kept_by_us_cannot_be_altered_or_replaced(bench: Bench, method: str) -> None:
    inside = bench.scratch_dir / "output"
    inside.mkdir()
    script = "echo true; rm -rf output/*; ln -s /etc/shadow output/test.stdout; echo x > output/test.stderr"
    result = await replace(bench, output_dir=inside).shell(script)
    assert result.stdout_path.read_text() == "true\n"
    assert not result.stdout_path.is_symlink()


async def test_set_user_id_programs_give_nothing(bench: Bench, strong_method: str) -> None:
    result = await bench.shell("grep -i nonewprivs /proc/self/status; grep CapEff /proc/self/status")
    assert result.stdout_path.read_text().split() == ["NoNewPrivs:", "1", "CapEff:", "0000000000000000"]


async def test_user_is_neither_root_nor_us(bench: Bench, bubblewrap: str) -> None:
    result = await bench.shell("id -u; id -g; hostname")
    assert result.stdout_path.read_text().split() == ["65534", "65534", "sandbox"]


async def test_namespaces_cannot_be_nested(bench: Bench, bubblewrap: str) -> None:
    result = await bench.shell("unshare -U true")
    assert result.exit_code != 0


async def test_nothing_of_this_machine_is_in_its_view(bench: Bench, bubblewrap: str) -> None:
    result = await bench.shell("ls -A / | sort | tr '\\n' ' '; ls -A /etc | sort | tr '\\n' ' '")
    names = set(result.stdout_path.read_text().split())
    assert not names & {
        "boot",
        "home",
        "media",
        "mnt",
        "opt",
        "run",
        "srv",
        "sys",
        "var",
        "shadow",
        "resolv.conf",
    }
