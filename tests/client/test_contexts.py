"""Which server the commands ask, and as whom."""

import json
import stat

import pytest
from aiohttp import web

from fastlane import __version__
from tests.support.certificates import make_certificate
from tests.support.command_line import Terminal
from tests.support.credentials import token, user
from tests.support.fastlane import Fastlane
from tests.support.waiting import until


@pytest.fixture
async def guarded(shared_redis, tmp_path):
    access = {"users": (user("anna", "secret", "admin"),), "tokens": (token("ci", "fl_ci"),)}
    async with Fastlane(tmp_path / "guarded", shared_redis.url, **access) as server:
        await server.post("/tasks/hello", {"image": "ubuntu"}, headers={"Authorization": "Bearer fl_ci"})
        yield server


async def test_credentials_come_from_the_environment_or_a_file(guarded, command_at):
    line = command_at(guarded.base)
    refused = await line("tasks", "-q")
    assert (refused.code, refused.err.count("\n"), "FASTLANE_TOKEN" in refused.err) == (1, 1, True)
    line.environment["FASTLANE_TOKEN"] = "fl_wrong"
    assert (await line("tasks", "-q")).code == 1
    line.environment["FASTLANE_TOKEN"] = "fl_ci"
    assert (await line("tasks", "-q")).lines == ["hello"]
    (line.folder / "token").write_text("fl_ci\n")
    line.environment |= {"FASTLANE_TOKEN": "", "FASTLANE_TOKEN_FILE": "token"}
    assert (await line("tasks", "-q")).lines == ["hello"]
    line.environment |= {"FASTLANE_TOKEN_FILE": "", "FASTLANE_USER": "anna", "FASTLANE_PASSWORD": "secret"}
    assert (await line("tasks", "-q")).lines == ["hello"]


async def test_a_context_is_kept_for_its_owner_only(guarded, command_at):
    line = command_at()
    added = await line("context", "add", "prod", guarded.base, "--token-stdin", input=b"fl_ci\n")
    assert added.code == 0, added.err
    file = line.folder / ".config/fastlane/contexts.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await line("tasks", "-q")).lines == ["hello"]
    assert (await line("context", "add", "other", "http://127.0.0.1:1")).code == 0
    assert (await line("tasks", "-q", "--context", "other")).code == 1
    shown = await line("context", "list")
    assert shown.lines == [f"* prod\t{guarded.base}\ttoken", "  other\thttp://127.0.0.1:1\tno credentials"]
    assert (await line("context", "use", "other")).code == 0
    assert (await line("tasks", "-q")).code == 1
    assert (await line("tasks", "-q", "-c", "prod")).lines == ["hello"]
    line.environment["FASTLANE_CONTEXT"] = "prod"
    assert (await line("tasks", "-q")).lines == ["hello"]
    unknown = await line("tasks", "-c", "prood")
    assert (unknown.code, "prod, other" in unknown.err) == (1, True)
    assert (await line("context", "rm", "other")).code == 0
    assert json.loads(file.read_text())["current"] is None
    file.chmod(0o644)
    open_to_all = await line("tasks")
    assert (open_to_all.code, "chmod 600" in open_to_all.err) == (1, True)
    file.chmod(0o600)
    file.write_text("{")
    assert (await line("tasks")).code == 1


async def test_the_environment_goes_before_the_current_context(guarded, command_at):
    line = command_at()
    await line("context", "add", "prod", guarded.base, "--token-stdin", input=b"fl_ci")
    line.environment["FASTLANE_URL"] = "http://127.0.0.1:1"
    assert (await line("tasks", "-q")).code == 1
    assert (await line("tasks", "-q", "-c", "prod")).lines == ["hello"]


@pytest.mark.parametrize("url", ["127.0.0.1:10000", "http://a:b@127.0.0.1", "nonsense"])
async def test_a_wrong_address_makes_no_context(command_at, url):
    line = command_at()
    assert (await line("context", "add", "x", url)).code in (1, 2)
    assert (await line("context", "list")).lines == []


async def test_a_token_is_asked_for_and_not_shown(guarded, command_at):
    line = command_at()
    with Terminal() as terminal:
        process = await line.start("context", "add", "prod", guarded.base, stdin=terminal.there, stderr=terminal.there)
        await until(lambda: b"Token" in terminal.said, lambda: terminal.said)
        terminal.type(b"fl_ci\n")
        assert await process.wait() == 0
        assert b"fl_ci" not in terminal.said
    assert (await line("tasks", "-q")).lines == ["hello"]


async def test_a_password_that_is_not_kept_is_asked_for(guarded, command_at):
    line = command_at(guarded.base)
    line.environment["FASTLANE_USER"] = "anna"
    with Terminal() as terminal:
        process = await line.start("tasks", "-q", stdin=terminal.there, stderr=terminal.there)
        await until(lambda: b"Password of anna" in terminal.said, lambda: terminal.said)
        terminal.type(b"secret\n")
        assert (await process.stdout.readline(), await process.wait()) == (b"hello\n", 0)
        assert b"secret" not in terminal.said


async def test_a_page_is_opened_with_a_ticket_where_one_logs_in_with_a_token(guarded, command_at):
    line = command_at(guarded.base)
    line.environment["FASTLANE_TOKEN"] = "fl_ci"
    (url,) = (await line("open", "--print", "hello")).lines
    assert "/stream/?ticket=" in url
    assert (await guarded.get(url)).status in (200, 302, 303)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_completes_commands_and_tasks(server, command_line, shell):
    reply = await server.enqueue("backup")
    script = await command_line("completion", shell)
    assert "_FASTLANE_COMPLETE" in script.text
    if shell == "bash":
        command_line.environment |= {"_FASTLANE_COMPLETE": "bash_complete", "COMP_WORDS": "fastlane sch", "COMP_CWORD": "1"}
        assert (await command_line()).lines == ["plain,schedule"]
        command_line.environment |= {"COMP_WORDS": "fastlane stop ba", "COMP_CWORD": "2"}
        assert (await command_line()).lines == ["plain,backup", f"plain,backup/{reply['jobId'][-8:]}"]
        await server.enqueue("backup", name="nightly")
        command_line.environment |= {"COMP_WORDS": "fastlane stop backup/n", "COMP_CWORD": "2"}
        assert (await command_line()).lines == ["plain,backup/nightly"]


async def test_an_unknown_command_and_an_unknown_option_name_the_nearest(command_line):
    for arguments, nearest in ((["shedule"], "'schedule'"), (["ps", "--jsn"], "--json"), (["context", "ad"], "'add'")):
        done = await command_line(*arguments)
        assert (done.code, nearest in done.err) == (2, True), done.err


async def test_a_certificate_is_checked(shared_redis, tmp_path, command_at):
    certificate, key = make_certificate(tmp_path, "localhost")
    async with Fastlane(tmp_path / "tls", shared_redis.url, tls_certificate=certificate, tls_key=key) as server:
        server_url = server.base
        assert server_url.startswith("https://")
        line = command_at(server_url)
        refused = await line("pools", "-q")
        assert (refused.code, "not trusted" in refused.err, "FASTLANE_CA_FILE" in refused.err) == (1, True, True), refused.err
        line.environment["FASTLANE_CA_FILE"] = str(certificate)
        assert (await line("pools", "-q")).lines == ["fast", "default"]
        assert (await command_at(server_url.replace("https", "http"))("pools")).code == 1


async def test_a_server_of_another_version_is_named(command_at, unused_tcp_port):
    """It knows less than this command asks for."""

    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response({"detail": "there is nothing here"}, status=404, headers={"X-Fastlane-Version": "9.9"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    site = web.AppRunner(app)
    await site.setup()
    await web.TCPSite(site, "127.0.0.1", unused_tcp_port).start()
    done = await command_at(f"http://127.0.0.1:{unused_tcp_port}")("pools")
    await site.cleanup()
    assert (done.code, done.err) == (
        1,
        f"fastlane: there is nothing here; the server is fastlane 9.9, and this command {__version__}\n",
    )
