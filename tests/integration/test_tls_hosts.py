"""Hosts that are reached by TLS: the page of the docs is followed literally, against a dockerd that verifies its clients."""

import asyncio
import contextlib
import json
import shutil
import ssl
import subprocess
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.swarm.client import Client
from fastlane.executors.swarm.logs import LogReader
from fastlane.executors.swarm.transport import Transport
from fastlane.models.host import Endpoint, TlsFiles
from fastlane.models.pool import Pool
from tests.integration.test_swarm_hosts import opened, running_task, start, until
from tests.support.certificates import TLS_PAGE, follow_the_page
from tests.support.docs import blocks, commands_in
from tests.support.fastlane import Fastlane
from tests.support.installation import installed
from tests.support.redis import RealRedis
from tests.support.relay import Relay, ThreadRelay
from tests.support.swarms import Swarms
from tests.support.waiting import until as wait

EXPIRED = "-not_before 20200101000000Z -not_after 20200102000000Z"
INSTALLATION = "tls"


@dataclass(frozen=True)
class TlsEngine:
    """A dockerd set up as the page says, in a swarm of its own. ``files``: what the page's commands made."""

    bed: Swarms
    files: Path

    @property
    def target(self) -> tuple[str, int]:
        return self.bed.nodes[0].address, 2376


@pytest.fixture(scope="module")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsEngine]:
    files = tmp_path_factory.mktemp("tls")
    follow_the_page(files)
    config = json.loads(blocks(TLS_PAGE, "json")[0].replace("/etc/docker/tls", str(files)))
    del config["hosts"]  # the bed's own
    (files / "daemon.json").write_text(json.dumps(config))
    with Swarms("separate", 1, files / "daemon.json") as bed:
        yield TlsEngine(bed, files)


@pytest.fixture
def files(dockerd: TlsEngine, tmp_path: Path) -> TlsFiles:
    """A test's own copy of fastlane's files."""
    names = ("ca.pem", "cert.pem", "key.pem")
    return TlsFiles(*(Path(shutil.copy(dockerd.files / name, tmp_path)) for name in names))


@pytest.fixture
async def relay(dockerd: TlsEngine) -> AsyncIterator[Relay]:
    """What stands where the page has the engine's address and port."""
    async with Relay(0, dockerd.target) as relay:
        yield relay


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The same files by another authority."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    follow_the_page(folder)
    return folder


async def unusable(endpoint: Endpoint, words: str) -> None:
    """Checks that the host is unusable, for this reason."""
    async with opened([endpoint], INSTALLATION) as executor:
        view = await until(executor, lambda view: words in (view.reason or ""))
        assert not view.usable


def test_the_engine_of_the_page_answers_who_has_a_certificate_and_refuses_others(dockerd: TlsEngine) -> None:
    first, second = (command for command in commands_in(TLS_PAGE) if command.startswith("curl"))
    with ThreadRelay(0, dockerd.target) as relay:
        told = [typed(command.replace("10.0.0.7:2376", relay.url), dockerd.files) for command in (first, second)]
    assert json.loads(told[0])["ApiVersion"]
    assert told[1].strip() == "refused"


def typed(command: str, folder: Path) -> str:
    return subprocess.run(["bash", "-c", command], cwd=folder, check=True, timeout=60, capture_output=True, text=True).stdout


def test_jobs_run_on_the_pool_of_the_page(dockerd: TlsEngine, files: TlsFiles) -> None:
    with ThreadRelay(0, dockerd.target) as relay:
        (pool,) = tomllib.loads(blocks(TLS_PAGE, "toml")[0].replace("10.0.0.7:2376", relay.url))["pools"]
        with installed(files.ca.parent, dockerd.bed.nodes[0].url, pool=pool) as fastlane:
            fastlane.serve("up")
            fastlane.until_healthy()
            reply = fastlane.run("sh", "-c", "echo by TLS; sleep 0.1")
            assert fastlane.ends(reply)["status"] == "done"
            assert fastlane.output(reply) == b"by TLS\n"
            assert "host.insecure" not in fastlane.log("up")


async def test_an_engine_of_another_authority_is_not_believed(relay: Relay, files: TlsFiles, foreign: Path) -> None:
    shutil.copy(foreign / "ca.pem", files.ca)
    await unusable(Endpoint(f"127.0.0.1:{relay.place}", tls=files), "that the file ca in the settings does not vouch for")


async def test_no_public_authority_is_believed_either(relay: Relay, files: TlsFiles) -> None:
    transport = Transport(Endpoint(f"127.0.0.1:{relay.place}", tls=files))
    client, reader = Client(transport), LogReader(transport)
    await client.get("/nodes")
    with pytest.raises(FastlaneError, match="task nothing not found"):
        await reader.open("1.41", "nothing", {}, follow=False)
    context = await transport.context()
    assert isinstance(context, ssl.SSLContext)
    assert len(context.get_ca_certs()) == 1
    await client.close()
    await reader.close()


async def test_an_engine_under_another_name_is_not_believed(relay: Relay, files: TlsFiles) -> None:
    await unusable(Endpoint(f"localhost:{relay.place}", tls=files), "shows a certificate for another host name")


async def test_a_certificate_that_the_engine_does_not_know_is_named(relay: Relay, files: TlsFiles, foreign: Path) -> None:
    shutil.copy(foreign / "cert.pem", files.certificate)
    shutil.copy(foreign / "key.pem", files.key)
    await unusable(Endpoint(f"127.0.0.1:{relay.place}", tls=files), "fastlane's certificate")


def damage(path: Path, text: str | None) -> None:
    path.unlink() if text is None else path.write_text(text)


@pytest.mark.parametrize(
    ("damaged", "text", "words"),
    [
        ("certificate", None, "cert.pem"),
        ("key", None, "key.pem"),
        ("ca", None, "ca.pem"),
        ("ca", "nonsense", "ca.pem"),
        ("certificate", "nonsense", "it has to be PEM"),
    ],
)
async def test_a_file_that_cannot_be_used_is_named(relay: Relay, files: TlsFiles, damaged: str, text: str | None, words: str) -> None:
    damage(getattr(files, damaged), text)
    await unusable(Endpoint(f"127.0.0.1:{relay.place}", tls=files), words)


async def test_an_engine_with_tls_is_not_spoken_to_without(relay: Relay) -> None:
    with capture_logs() as lines:
        await unusable(Endpoint(f"127.0.0.1:{relay.place}", insecure=True), "speaks TLS there: name the files of tls in its pool")
    assert [line["log_level"] for line in lines if line["event"] == "host.insecure"] == ["warning"]


async def test_an_engine_without_tls_is_told(dockerd: TlsEngine, files: TlsFiles) -> None:
    async with Relay(0, dockerd.bed.nodes[0].url) as plain:
        await unusable(Endpoint(f"127.0.0.1:{plain.place}", tls=files), "does not speak TLS there")


async def test_new_files_are_used_without_a_restart_and_followed_logs_go_on(
    dockerd: TlsEngine, relay: Relay, files: TlsFiles, foreign: Path
) -> None:
    address = f"127.0.0.1:{relay.place}"
    script = "trap 'exit 0' TERM; n=0; while :; do echo $n; n=$((n + 1)); sleep 0.1; done"
    async with opened([Endpoint(address, tls=files)], INSTALLATION) as executor:
        task = await running_task(executor, address, await start(executor, address, ("sh", "-c", script)))
        got: list[bytes] = []

        async def follow() -> None:
            async for portion in executor.logs(address, task, {}, follow=True):
                got.extend(piece.data for piece in portion.pieces)

        async def goes_on() -> None:
            seen = len(got)
            await wait(lambda: len(got) > seen + 1, "the log to go on")

        following = asyncio.ensure_future(follow())
        await goes_on()
        shutil.copy(foreign / "cert.pem", files.certificate)  # half of a change: the key is still the old one
        await goes_on()
        assert executor.hosts()[0].usable
        shutil.copy(foreign / "key.pem", files.key)
        view = await until(executor, lambda view: not view.usable)
        assert "fastlane's certificate" in (view.reason or "")
        await goes_on()
        with pytest.raises(HostDown, match="fastlane's certificate"):
            async with contextlib.aclosing(executor.logs(address, task, {}, follow=False)) as log:
                await anext(log)
        renewed = files.ca.parent / "renewed"
        shutil.copytree(dockerd.files, renewed)
        client = [command for command in commands_in(TLS_PAGE) if "client.csr" in command]
        await asyncio.to_thread(typed, "\n".join(["set -e", *client]), renewed)
        shutil.copy(renewed / "key.pem", files.key)
        shutil.copy(renewed / "cert.pem", files.certificate)
        await until(executor, lambda view: view.usable)
        await goes_on()
        assert not following.done()
        following.cancel()
        await asyncio.wait([following])
        assert b"".join(got).split() == [str(number).encode() for number in range(len(b"".join(got).split()))]


async def test_an_engine_whose_certificate_has_expired_is_not_believed(dockerd: TlsEngine, relay: Relay, files: TlsFiles) -> None:
    node, own = dockerd.bed.nodes[0], dockerd.files
    ca = (own / "ca.pem").read_bytes()
    server = [command for command in commands_in(TLS_PAGE) if "server.csr" in command]
    again = "\n".join(["set -e", *server]).replace("10.0.0.7", "127.0.0.1")

    async def renew(commands: str) -> None:
        await asyncio.to_thread(typed, commands, own)
        await asyncio.to_thread(node.halt)
        await asyncio.to_thread(node.start)

    await renew(again.replace("-days 365", EXPIRED))
    try:
        assert (own / "ca.pem").read_bytes() == ca
        await unusable(Endpoint(f"127.0.0.1:{relay.place}", tls=files), "shows a certificate that has expired")
    finally:
        await renew(again)  # for the tests that follow


@pytest.mark.thorough
async def test_a_reload_that_changes_how_a_host_is_reached_applies_to_what_runs_there_too(
    relay: Relay, files: TlsFiles, foreign: Path, shared_redis: RealRedis, tmp_path: Path
) -> None:
    """First the files are of another authority, then those of the engine, then again of the other one, and right in the end."""
    address = f"127.0.0.1:{relay.place}"
    wrong = replace(files, ca=foreign / "ca.pem")

    def pools(tls: TlsFiles) -> tuple[Pool, ...]:
        return (Pool("default", "", (address,), tls=tls),)

    current = [pools(wrong)]
    async with opened([Endpoint(address, tls=wrong)], INSTALLATION) as executor:
        server = Fastlane(tmp_path / "f", shared_redis.url, pools=current[0], installation=INSTALLATION, read_pools=lambda: current[0])
        server.executor = executor
        async with server:
            await server.hire()

            async def reload(tls: TlsFiles, words: str | None) -> None:
                current[0] = pools(tls)
                assert (await server.post("/pools/reload")).status == 200

                async def shown() -> bool:
                    (row,) = (await server.get("/status")).json["hosts"]
                    return row["available"] if words is None else words in (row["error"] or "")

                await server.until(shown, f"the host to be {words or 'available'}")

            waiting = await server.submit("sh", "-c", "echo reached; sleep 0.1")
            await reload(wrong, "does not vouch for")
            assert (await server.latest_execution(waiting)).status.value == "enqueued"
            await reload(files, None)
            assert (await server.reaches(waiting, "done")).exit_code == 0
            running = await server.submit("sh", "-c", "sleep 4; echo went on; sleep 0.1")
            started = await server.reaches(running, "running")
            await reload(wrong, "does not vouch for")
            await reload(files, None)
            ended = await server.reaches(running, "done")
            assert (ended.id, ended.exit_code) == (started.id, 0)
            assert (await server.get(f"/tasks/task/jobs/{running.job_id}/stdout")).body == b"went on\n"
