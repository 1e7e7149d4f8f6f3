"""Hosts that are reached by ssh: a real sshd on loopback, and behind it a real engine."""

import asyncio
import contextlib
import os
import subprocess
import tempfile
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from fastlane.config.pools import POOLS
from fastlane.errors import HostDown
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.executors.swarm.transport import Tunnel
from fastlane.models.host import Endpoint, SshFiles
from fastlane.models.pool import KnownHost, Pool
from tests.integration.test_swarm_hosts import HOLD, opened, running_task, start, until
from tests.support.docs import ROOT, blocks, commands_in, section
from tests.support.engine import remove_all
from tests.support.fastlane import Fastlane
from tests.support.installation import installed
from tests.support.redis import RealRedis
from tests.support.relay import Relay
from tests.support.sshd import SshServer, make_key, ssh_processes
from tests.support.waiting import LONG_PATIENCE, until as wait, wait_until

PAGE = section(ROOT / "docs/security.md", "With ssh")
CALLS = 40


@pytest.fixture
def installation(engine: str) -> Iterator[str]:
    name = f"ssh-{uuid4().hex[:8]}"
    yield name
    remove_all(engine, name)


@dataclass(frozen=True)
class Way:
    """A way to the engine by ssh, with what lies on it. ``relay`` is between ssh and ``sshd``."""

    endpoint: Endpoint
    sshd: SshServer
    relay: Relay
    known_hosts: Path

    @property
    def address(self) -> str:
        return self.endpoint.address

    def know(self, host_key: str) -> None:
        self.known_hosts.write_text(f"[127.0.0.1]:{self.relay.place} {host_key}\n")


@pytest.fixture
async def way(engine: str, tmp_path: Path) -> AsyncIterator[Way]:
    identity = make_key(tmp_path / "identity")
    with SshServer(tmp_path / "sshd") as sshd:
        sshd.authorize(identity.with_suffix(".pub").read_text())
        async with Relay(0, sshd.port) as relay:
            address = f"ssh://{sshd.user}@127.0.0.1:{relay.place}{engine.removeprefix('unix://')}"
            made = Way(Endpoint(address, ssh=SshFiles(identity, tmp_path / "known hosts")), sshd, relay, tmp_path / "known hosts")
            made.know(sshd.host_key)
            yield made


@contextlib.asynccontextmanager
async def connected(way: Way, installation: str, **options: float) -> AsyncIterator[SwarmExecutor]:
    async with opened([way.endpoint], installation, **options) as executor:
        await until(executor, lambda view: view.usable)
        yield executor


async def answers(executor: SwarmExecutor, way: Way) -> bool:
    try:
        await executor.services(way.address)
    except HostDown:
        return False
    return executor.hosts()[0].usable


async def refused(way: Way, installation: str, words: str) -> None:
    """Checks that the host is unusable, for this reason, and that a call names it too."""
    async with opened([way.endpoint], installation) as executor:
        await until(executor, lambda view: words in (view.reason or ""))
        assert not executor.hosts()[0].usable
        with pytest.raises(HostDown):
            await executor.services(way.address)
        assert ssh_processes(os.getpid()) == []


async def test_calls_and_logs_share_one_connection(way: Way, installation: str) -> None:
    async with connected(way, installation) as executor:
        tasks = [await running_task(executor, way.address, await start(executor, way.address, HOLD)) for _ in range(2)]
        async with contextlib.AsyncExitStack() as stack:
            logs = [executor.logs(way.address, task, {}, follow=True) for task in tasks]
            follows = [await stack.enter_async_context(contextlib.aclosing(log)) for log in logs]
            for follow in follows:
                assert [piece.data for piece in (await anext(follow)).pieces] == [b"begun\n"]
            answers = await asyncio.gather(*(executor.services(way.address) for _ in range(CALLS)))
            assert {len(services) for services in answers} == {2}
            assert len(ssh_processes(os.getpid())) == 1
            assert way.sshd.connections() == 1
    assert ssh_processes(os.getpid()) == []


async def test_a_changed_host_key_makes_the_host_unusable_and_is_named(way: Way, installation: str) -> None:
    way.sshd.stop()
    way.sshd.new_host_key()
    way.sshd.start()
    await refused(way, installation, "shows another host key than the known one")


async def test_an_unknown_host_key_is_refused_and_not_remembered(way: Way, installation: str) -> None:
    way.known_hosts.write_text("")
    await refused(way, installation, "has a host key that is not in the known hosts")
    assert way.known_hosts.read_text() == ""


async def test_a_login_that_is_refused_says_what_to_do(way: Way, installation: str) -> None:
    way.sshd.authorize("")
    await refused(way, installation, "add its public key to authorized_keys")


async def test_an_identity_that_others_may_read_is_named(way: Way, installation: str) -> None:
    assert way.endpoint.ssh.identity is not None
    way.endpoint.ssh.identity.chmod(0o644)
    await refused(way, installation, "others may read the identity file")


async def test_an_engine_that_is_not_there_is_told_from_a_login_that_fails(way: Way, installation: str) -> None:
    nowhere = replace(way, endpoint=replace(way.endpoint, address=f"ssh://{way.sshd.user}@127.0.0.1:{way.relay.place}/nowhere"))
    async with opened([nowhere.endpoint], installation) as executor:
        await until(executor, lambda view: "is the engine running there" in (view.reason or ""))


async def test_a_connection_that_dies_breaks_what_uses_it_and_comes_back(way: Way, installation: str) -> None:
    async with connected(way, installation, max_fails=1, reset=600) as executor:
        service = await start(executor, way.address, HOLD)
        task = await running_task(executor, way.address, service)
        async with contextlib.aclosing(executor.logs(way.address, task, {}, follow=True)) as follow:
            await anext(follow)
            (first,) = ssh_processes(os.getpid())
            await way.relay.stop()
            with pytest.raises(HostDown):
                await anext(follow)
        view = await until(executor, lambda view: not view.usable and view.circuit == "open")
        assert view.reason
        await way.relay.start()
        await until(executor, lambda view: view.usable and view.circuit == "closed")
        (second,) = ssh_processes(os.getpid())
        assert second != first
        assert (await executor.inspect(way.address, service)).activated
        assert await running_task(executor, way.address, service) == task


async def test_an_ssh_that_is_killed_is_replaced_by_one(way: Way, installation: str) -> None:
    async with connected(way, installation) as executor:
        for _ in range(3):
            (pid,) = ssh_processes(os.getpid())
            os.kill(pid, 9)
            await wait(lambda pid=pid: pid not in ssh_processes(os.getpid()), "the end of ssh")
            await wait(lambda: answers(executor, way), "the host to answer again")
        assert len(ssh_processes(os.getpid())) == 1
        await wait(lambda: way.sshd.connections() == 1, "the server to miss the others")


async def test_a_server_that_falls_silent_is_noticed(way: Way, installation: str) -> None:
    async with connected(way, installation) as executor:
        way.relay.hang()
        await until(executor, lambda view: not view.usable)
        way.relay.flow()
        await until(executor, lambda view: view.usable)
        assert len(ssh_processes(os.getpid())) == 1


async def test_an_ssh_that_failed_is_not_started_again_at_once(way: Way) -> None:
    way.sshd.authorize("")
    tunnel = Tunnel(way.endpoint)
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(HostDown, match="add its public key"):
                await tunnel.connect()
    assert [line["event"] for line in lines] == ["ssh.ended"]
    await tunnel.close()


async def test_the_log_tells_of_the_connection_without_secrets(way: Way, installation: str) -> None:
    assert way.endpoint.ssh.identity is not None
    with capture_logs() as lines:
        async with connected(way, installation):
            pass
    events = [line["event"] for line in lines]
    assert "ssh.connected" in events
    assert "ssh.ended" in events
    assert not [line for line in lines if line["event"] == "host.insecure"]
    secret = way.endpoint.ssh.identity.read_text().splitlines()[1]
    assert secret not in str(lines)


@pytest.fixture
def own_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A short one: the socket's folder stays behind when its process is killed."""
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield


@pytest.mark.usefixtures("own_temporary_folder")
def test_jobs_run_over_ssh_set_up_by_the_commands_of_the_docs(engine: str, tmp_path: Path) -> None:
    with SshServer(tmp_path / "sshd") as sshd:
        there = f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{engine.removeprefix('unix://')}"
        typed = "\n".join(["set -e", *commands_in(PAGE)]).replace("ed25519 10.0.0.7", f"ed25519 -p {sshd.port} 127.0.0.1")
        said = subprocess.run(["bash", "-c", typed], cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True).stdout
        assert fingerprint(sshd) in said
        words = blocks(PAGE, "text")[0].split()[0]
        sshd.authorize(f"{words} {(tmp_path / 'docker-ssh.pub').read_text()}")
        pool = pool_of(blocks(PAGE, "toml")[0].replace("ssh://fastlane@10.0.0.7", there))
        with installed(tmp_path, engine, pool=pool) as fastlane:
            up = fastlane.serve("up")
            fastlane.until_healthy()
            reply = fastlane.run("sh", "-c", "echo by ssh; sleep 0.1")
            assert fastlane.ends(reply)["status"] == "done"
            assert fastlane.output(reply) == b"by ssh\n"
            assert not runs_a_command(sshd, tmp_path)
            (ssh,) = ssh_processes(up.pid)
            up.kill()
            wait_until(lambda: not Path(f"/proc/{ssh}").exists(), "ssh to end with its parent")
            wait_until(lambda: sshd.connections() == 0, "the connection to end", LONG_PATIENCE)


def runs_a_command(sshd: SshServer, folder: Path) -> bool:
    """Whether the key of the docs lets its holder run a command there."""
    files = ["-i", str(folder / "docker-ssh"), "-o", f"UserKnownHostsFile={folder / 'docker-known-hosts'}", "-o", "BatchMode=yes"]
    words = ["ssh", "-F", "none", *files, "-p", str(sshd.port), "127.0.0.1", f"touch {folder / 'touched'}"]
    assert subprocess.run(words, check=False, timeout=30, capture_output=True).returncode == 1
    return (folder / "touched").exists()


def fingerprint(sshd: SshServer) -> str:
    command = ["ssh-keygen", "-l", "-f", str(sshd.folder / "host_key.pub")]
    return subprocess.run(command, check=True, timeout=30, capture_output=True, text=True).stdout.split()[1]


def pool_of(text: str) -> dict[str, object]:
    """The one pool of a page, as JSON would have it."""
    (row,) = tomllib.loads(text)["pools"]
    POOLS.read([row])
    return dict(row)


@pytest.mark.thorough
async def test_a_host_whose_key_is_changed_in_the_settings_is_reached_with_the_new_one(way: Way, installation: str, tmp_path: Path) -> None:
    wrong = replace(way.endpoint, ssh=replace(way.endpoint.ssh, identity=make_key(tmp_path / "another")))
    async with connected(way, installation) as executor:
        service = await start(executor, way.address, HOLD)
        for endpoint, usable in ((wrong, False), (way.endpoint, True)):
            await executor.use_hosts([KnownHost(endpoint)])
            view = await until(executor, lambda view, usable=usable: view.usable is usable and view.reason != "is not probed yet")
            assert usable or "does not let fastlane log in by ssh" in (view.reason or "")
        assert (await executor.inspect(way.address, service)).activated
        assert len(ssh_processes(os.getpid())) == 1
    assert ssh_processes(os.getpid()) == []


@pytest.mark.thorough
async def test_a_key_that_is_changed_on_disk_counts_from_the_next_connection_and_a_reload_breaks_none(
    way: Way, installation: str, shared_redis: RealRedis, tmp_path: Path
) -> None:
    identity = way.endpoint.ssh.identity
    assert identity is not None
    pools = (Pool("default", "", (way.address,), ssh=way.endpoint.ssh),)
    async with connected(way, installation) as executor:
        server = Fastlane(tmp_path / "f", shared_redis.url, pools=pools, installation=installation, read_pools=lambda: pools)
        server.executor = executor
        async with server:
            await server.hire()
            running = await server.submit("sh", "-c", "sleep 4; echo went on; sleep 0.1")
            started = await server.reaches(running, "running")
            (first,) = ssh_processes(os.getpid())
            make_key(tmp_path / "new").replace(identity)
            public = (tmp_path / "new.pub").replace(identity.with_suffix(".pub"))
            way.sshd.authorize(public.read_text())
            assert (await server.post("/pools/reload")).status == 200
            assert await answers(executor, way)
            assert ssh_processes(os.getpid()) == [first]
            way.sshd.cut()
            await wait(lambda: ssh_processes(os.getpid()) not in ([], [first]), "another connection")
            ended = await server.reaches(running, "done")
            assert (ended.id, ended.exit_code) == (started.id, 0)
            assert (await server.get(f"/tasks/task/jobs/{running.job_id}/stdout")).body == b"went on\n"
            assert (await server.reaches(await server.submit("true"), "done")).host == way.address
