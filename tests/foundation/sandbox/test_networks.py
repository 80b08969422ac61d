"""A network that an app and the tools on it share, and that nobody else reaches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.foundation.sandbox.conftest import Bench

from referee.core.errors import InvalidInput
from referee.foundation.sandbox import (
    Limits,
    NetworkHandle,
    SharedNetwork,
    is_network_held,
    open_network,
    run_command,
)

SERVE = """
import http.server, pathlib
server = http.server.HTTPServer(("127.0.0.1", 5001), http.server.SimpleHTTPRequestHandler)
pathlib.Path("ready").touch()
server.serve_forever()
"""

ASK = """
import http.client
for host in ("127.0.0.1", "192.0.2.1"):
    connection = http.client.HTTPConnection(host, 5001, timeout=2)
    try:
        connection.request("GET", "/")
        print(connection.getresponse().status)
    except OSError as error:
        print(type(error).__name__)
"""


@asynccontextmanager
async def serve(bench: Bench, network: SharedNetwork) -> AsyncIterator[None]:
    """Have a server in the network until the block ends."""
    output_dir = bench.output_dir / "server"
    output_dir.mkdir()
    workspace = bench.scratch_dir.parent / "server"
    workspace.mkdir(mode=0o755)
    command = replace(
        bench.python_command(SERVE),
        label="server",
        network=network.handle,
        working_dir=workspace,
        writable=(workspace,),
        is_log_live=True,
    )
    running = asyncio.create_task(run_command(command, Limits(wall_s=60), output_dir))
    try:
        async with asyncio.timeout(20):
            while not (workspace / "ready").exists():
                await asyncio.sleep(0.02)
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def ask(bench: Bench, network: NetworkHandle | None) -> list[str]:
    """Return what a program in a network gets from the server and from the world."""
    result = await bench.run(replace(bench.python_command(ASK), network=network))
    return result.stdout_path.read_text().split()


async def open_own_network() -> SharedNetwork:
    """Return a network; the isolation methods under test all have them."""
    network = await open_network()
    assert network is not None
    return network


@pytest.mark.usefixtures("strong_method")
async def test_command_in_the_same_network_reaches_a_server_and_nothing_outside(bench: Bench) -> None:
    async with await open_own_network() as network, serve(bench, network):
        answers = await ask(bench, network.handle)

    assert answers == ["200", "OSError"]


@pytest.mark.usefixtures("strong_method")
async def test_command_in_another_network_does_not_reach_the_server(bench: Bench) -> None:
    async with await open_own_network() as network, await open_own_network() as other, serve(bench, network):
        answers = await ask(bench, None), await ask(bench, other.handle)

    assert [first for first, _ in answers] == ["ConnectionRefusedError", "ConnectionRefusedError"]


@pytest.mark.usefixtures("strong_method")
async def test_command_for_a_network_that_is_gone_does_not_start(bench: Bench) -> None:
    network = await open_own_network()
    await network.close()

    result = await bench.run(replace(bench.python_command(ASK), network=network.handle))

    assert (result.end, is_network_held(network.handle)) == ("not_started", False)
    assert "network of the app is gone" in result.reason


@pytest.mark.usefixtures("strong_method")
@pytest.mark.parametrize("changed", [{"holder_started_ticks": 1}, {"inode": 1}])
async def test_another_process_is_never_taken_for_the_holder(bench: Bench, changed: dict[str, int]) -> None:
    async with await open_own_network() as network:
        wrong = replace(network.handle, **changed)
        result = await bench.run(replace(bench.python_command(ASK), network=wrong))

        assert (result.end, is_network_held(wrong), is_network_held(network.handle)) == (
            "not_started",
            False,
            True,
        )


@pytest.mark.usefixtures("limits_only")
async def test_without_isolation_there_is_no_network_to_share(bench: Bench) -> None:
    assert await open_network() is None


@pytest.mark.usefixtures("limits_only")
async def test_command_cannot_be_in_two_networks(bench: Bench) -> None:
    handle = NetworkHandle(holder_pid=1, holder_started_ticks=1, inode=1)
    command = replace(bench.python_command(ASK), network=handle, has_network=True)

    with pytest.raises(InvalidInput, match="two networks"):
        await bench.run(command)


async def test_live_log_holds_both_streams_while_the_program_runs(bench: Bench) -> None:
    code = """
import pathlib, sys, time
print("out", flush=True)
print("err", file=sys.stderr, flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.01)
print("end")
"""
    command = replace(bench.python_command(code), is_log_live=True)
    running = asyncio.create_task(bench.run(command))
    log = bench.output_dir / "test.stdout"
    async with asyncio.timeout(20):
        while not log.exists() or log.read_text() != "out\nerr\n":
            await asyncio.sleep(0.02)
    (bench.scratch_dir / "go").touch()
    result = await running

    assert (result.stdout_path.read_text(), result.stderr_path.read_text()) == ("out\nerr\nend\n", "")
    assert result.exit_code == 0
