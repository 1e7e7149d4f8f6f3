"""HTTPS by fastlane itself: what changes with it, a certificate that is renewed, and clients that do not speak it."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fastlane.errors import FastlaneError
from fastlane.web import reload
from tests.support.certificates import make_certificate
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.followers import Socket
from tests.support.waiting import until

CI = bearer("fl_ci")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The settings of a certificate for localhost."""
    folder = tmp_path / "first"
    folder.mkdir()
    certificate, key = make_certificate(folder, "localhost")
    return {"tls_certificate": certificate, "tls_key": key}


@pytest.fixture
async def server(shared_redis, tmp_path, files, monkeypatch) -> AsyncIterator[Fastlane]:
    monkeypatch.setattr(reload, "EVERY", 0.02)
    async with Fastlane(tmp_path, shared_redis.url, tokens=(token("ci", "fl_ci"),), **files) as server:
        yield server


def trusting(files: dict[str, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files["tls_certificate"]))


async def served(server: Fastlane) -> str:
    """The certificate that a new connection gets."""
    return await asyncio.to_thread(ssl.get_server_certificate, ("localhost", server.port))


async def test_urls_cookies_and_logs_are_those_of_https(server, files):
    trust = trusting(files)
    reply = (await server.ask("POST", "/tasks/task", json={"image": "x"}, headers=CI, ssl=trust)).json
    assert reply["jobUrl"].startswith(f"https://localhost:{server.port}/")
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"seen\n" * 100_000))
    made = (await server.post(f"/tasks/task/jobs/{reply['jobId']}/ws-ticket", headers=CI, ssl=trust)).json
    assert made["url"].startswith(f"wss://localhost:{server.port}/")
    page = await server.get(made["streamUrl"], ssl=trust)
    assert page.headers["Set-Cookie"].endswith("; Secure")
    async with Socket(server.client, f"{reply['jobUrl']}ws", headers=CI, ssl=trust) as follower:
        await follower.until(lambda got: len(got.text) == 500_000)
        await server.end(execution)
        assert (await follower.closed()).end == (1000, "done")
    assert len((await server.get(f"{reply['jobUrl']}stdout", headers=CI, ssl=trust)).body) == 500_000


async def test_a_page_that_came_without_tls_writes_nothing(server, files):
    answers = [
        await server.ask("POST", "/tasks/t", json={"image": "x"}, headers=CI | {"Origin": origin}, ssl=trusting(files))
        for origin in (f"http://localhost:{server.port}", f"https://localhost:{server.port}")
    ]
    assert [answer.status for answer in answers] == [403, 200]


async def test_a_renewed_certificate_is_served_and_nobody_is_cut_off(server, files, tmp_path):
    first = await served(server)
    reply = (await server.ask("POST", "/tasks/task", json={"image": "x"}, headers=CI, ssl=trusting(files))).json
    execution = await server.run(reply)
    async with Socket(server.client, f"{reply['jobUrl']}ws", headers=CI, ssl=trusting(files)) as follower:
        await until(lambda: len(server.followers) == 1, "the follower to run")
        certificate, key = make_certificate(tmp_path, "localhost")
        with capture_logs() as lines:
            shutil.copy(certificate, files["tls_certificate"])  # the key is still the old one
            await until(lambda: [line for line in lines if line["event"] == "tls.not_reloaded"], "half of a change to be reported")
            assert await served(server) == first
            shutil.copy(key, files["tls_key"])
            await until(lambda: [line for line in lines if line["event"] == "tls.reloaded"], "the certificate to be read again")
        assert await served(server) == certificate.read_text()
        await server.append_log(execution, (1, b"still here"))
        await follower.until(lambda got: got.text == "still here")
    assert (await server.get("/livez", ssl=trusting(files))).status == 200


async def vanish_after_handshake(server: Fastlane) -> None:
    """Closes a connection before the server hears that the handshake is done, so that its next writes fail."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, loop = context.wrap_bio(incoming, outgoing), asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", server.port))
        while True:
            with suppress(ssl.SSLWantReadError):
                client.do_handshake()
                sock.send(outgoing.read())
                return
            await loop.sock_sendall(sock, outgoing.read())
            incoming.write(await loop.sock_recv(sock, 65_536))


async def test_a_client_that_closes_right_after_its_handshake_cuts_nobody_else_off(server, files):
    reply = (await server.ask("POST", "/tasks/task", json={"image": "x"}, headers=CI, ssl=trusting(files))).json
    execution = await server.run(reply)
    async with Socket(server.client, f"{reply['jobUrl']}ws", headers=CI, ssl=trusting(files)) as follower:
        await until(lambda: len(server.followers) == 1, "the follower to run")
        for _ in range(20):
            await vanish_after_handshake(server)
        await server.append_log(execution, (1, b"still here"))
        await follower.until(lambda got: got.text == "still here")


async def test_whoever_speaks_no_tls_gets_nothing_and_fills_no_log(server, files):
    with capture_logs() as lines:
        for sent in (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent)
            writer.write_eof()
            with suppress(ConnectionResetError):
                assert b"200" not in await asyncio.wait_for(reader.read(), 30)
            writer.close()
        assert (await server.get("/livez", ssl=trusting(files))).status == 200
    assert [line for line in lines if line["log_level"] in ("warning", "error")] == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_of_tls_are_refused(server):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("localhost", server.port, ssl=old)


@pytest.mark.parametrize("damage", ["missing", "empty", "other key", "encrypted"])
async def test_files_that_cannot_be_used_are_named_at_the_start(shared_redis, tmp_path, files, damage):
    key = files["tls_key"]
    match damage:
        case "missing":
            key.unlink()
        case "empty":
            key.write_text("")
        case "other key":
            shutil.copy(make_certificate(tmp_path, "localhost")[1], key)
        case "encrypted":
            encrypt = ["openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:x", "-out", str(key)]
            await asyncio.to_thread(subprocess.run, encrypt, check=True, capture_output=True, timeout=30)
    with pytest.raises(FastlaneError, match="cannot serve TLS with tls_certificate") as told:
        async with Fastlane(tmp_path, shared_redis.url, **files):
            pass
    assert str(key) in str(told.value)
