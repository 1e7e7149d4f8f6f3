"""The embedded Redis server: it lives and dies with its parent, and no stranger is harmed."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from fastlane.embedded import RedisServer
from fastlane.errors import Conflict, QueueDown
from tests.support.waiting import PATIENCE, until, wait_until

PARENT = """
    import asyncio, sys
    from pathlib import Path
    from fastlane.embedded import RedisServer

    async def main():
        print(await RedisServer(Path(sys.argv[1])).start(), flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


@pytest.fixture
async def server(tmp_path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    await server.stop()


def path_of(url: str) -> Path:
    return Path(url.removeprefix("unix://"))


def answers(url: str) -> bool:
    """Whether a server answers there now."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path_of(url)))
            client.sendall(b"PING\r\n")
            return client.recv(64) == b"+PONG\r\n"
    except OSError:
        return False


def pid_in(folder: Path) -> int:
    """The recorded process; 0 while none is."""
    try:
        return int((folder / "redis.pid").read_text())
    except (OSError, ValueError):
        return 0


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_it_answers_once_it_is_started_and_is_gone_once_it_is_stopped(server, tmp_path):
    url = await server.start()
    assert answers(url)
    assert path_of(url).parent == tmp_path
    pid = pid_in(tmp_path)
    await server.stop()
    assert not answers(url)
    assert not alive(pid)
    assert not path_of(url).exists()
    await server.stop()


async def test_it_can_be_started_again(server):
    await server.start()
    await server.stop()
    assert answers(await server.start())


async def test_only_its_user_reaches_it_and_only_by_its_socket(server, tmp_path):
    url = await server.start()
    assert stat.S_IMODE(path_of(url).stat().st_mode) & 0o077 == 0
    assert psutil.Process(pid_in(tmp_path)).net_connections("tcp") == []


async def test_it_keeps_nothing_on_disk(server, tmp_path):
    await server.start()
    await server.stop()
    assert {path.name for path in tmp_path.iterdir()} <= {"redis.lock", "redis.log"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_one_that_ends_by_itself_is_started_again_on_the_same_socket(server, tmp_path, number):
    url = await server.start()
    first = pid_in(tmp_path)
    os.kill(first, number)
    await until(lambda: pid_in(tmp_path) not in (0, first) and answers(url), "no new server")


async def test_one_that_hangs_is_ended_by_a_stop(server, tmp_path):
    await server.start()
    pid = pid_in(tmp_path)
    os.kill(pid, signal.SIGSTOP)
    await server.stop()
    assert not alive(pid)


async def test_a_second_one_in_the_same_folder_is_refused_and_the_first_goes_on(server, tmp_path):
    url = await server.start()
    with pytest.raises(Conflict, match="another fastlane"):
        await RedisServer(tmp_path).start()
    assert answers(url)


def start_parent(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that has a server, and the server's URL."""
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT), str(folder)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    while not (line := parent.stdout.readline()).startswith("unix://"):
        assert line, "the parent ended"
    return parent, line.strip()


async def test_kill_9_of_the_parent_ends_it_and_the_next_start_has_one_child(server, tmp_path):
    parent, url = start_parent(tmp_path)
    pid = pid_in(tmp_path)
    assert answers(url)
    parent.kill()
    parent.communicate(timeout=PATIENCE)
    await until(lambda: not alive(pid), "the server outlived its parent")
    assert answers(await server.start())
    assert _servers_of(url) == [pid_in(tmp_path)]


def _servers_of(url: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if str(path_of(url)) in (process.info["cmdline"] or []):
            found.append(process.info["pid"])
    return found


async def test_a_leftover_is_found_and_ended_before_a_new_one_starts(server, tmp_path):
    leftover = _leftover(server)
    try:
        url = await server.start()
        assert leftover.wait(PATIENCE) == -signal.SIGKILL
        assert answers(url)
        assert _servers_of(url) == [pid_in(tmp_path)]
    finally:
        leftover.kill()
        leftover.wait()


def _leftover(server: RedisServer) -> "subprocess.Popen[bytes]":
    """The very server that an earlier run started, where nothing ended it with that run."""
    leftover = subprocess.Popen([str(server._program), *server._options()], stdout=subprocess.DEVNULL)
    url = f"unix://{server._socket}"
    wait_until(lambda: answers(url) and pid_in(server._data) == leftover.pid, "the leftover to answer")
    return leftover


def _stranger() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "600"])


async def test_a_foreign_process_with_the_recorded_number_is_not_touched(server, tmp_path):
    stranger = _stranger()
    try:
        (tmp_path / "redis.pid").write_text(str(stranger.pid))
        assert answers(await server.start())
        assert stranger.poll() is None
        assert pid_in(tmp_path) != stranger.pid
    finally:
        stranger.kill()
        stranger.wait()


async def test_another_folder_s_server_is_not_taken_for_a_leftover(server, tmp_path):
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other = RedisServer(other_folder)
    url = await other.start()
    (tmp_path / "redis.pid").write_text(str(pid_in(other_folder)))
    await server.start()
    assert answers(url)
    await other.stop()


async def test_a_broken_pid_file_and_a_file_in_the_socket_s_place_do_no_harm(server, tmp_path):
    (tmp_path / "redis.pid").write_text("not a number")
    (tmp_path / "redis.sock").write_text("")
    assert answers(await server.start())


async def test_a_data_folder_with_a_long_path_has_its_socket_in_a_private_folder(tmp_path):
    folder = tmp_path / ("long" * 25) / ("longer" * 10)
    folder.mkdir(parents=True)
    server = RedisServer(folder)
    url = await server.start()
    assert answers(url)
    assert len(os.fsencode(path_of(url))) <= 103
    assert stat.S_IMODE(path_of(url).parent.stat().st_mode) == 0o700
    await server.stop()
    path_of(url).parent.rmdir()


async def test_a_private_folder_that_others_may_enter_is_refused(tmp_path):
    folder = tmp_path / ("long" * 25) / ("longer" * 10)
    folder.mkdir(parents=True)
    private = RedisServer(folder)._socket.parent
    private.chmod(0o755)
    with pytest.raises(Conflict, match="only this user"):
        RedisServer(folder)
    private.rmdir()


async def test_it_ends_when_its_start_is_given_up(tmp_path):
    server = RedisServer(tmp_path)
    starting = asyncio.create_task(server.start())
    await until(lambda: pid_in(tmp_path) != 0 or starting.done(), "no process")
    starting.cancel()
    await asyncio.wait([starting])
    await server.stop()
    assert _servers_of(f"unix://{server._socket}") == []


async def test_the_data_folder_is_made_for_its_owner_alone(tmp_path):
    server = RedisServer(tmp_path / "new" / "data")
    try:
        assert answers(await server.start())
        assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700
    finally:
        await server.stop()


async def test_a_data_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(QueueDown, match=r"cannot create the data folder .*file/data"):
        await RedisServer(tmp_path / "file" / "data").start()
