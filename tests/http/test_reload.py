"""Users and tokens that change while the server runs: who is gone is out at once, wherever they were; and nobody else notices."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from fastlane.config.access import hash_token
from fastlane.config.load import load
from fastlane.web import reload
from tests.support.credentials import bearer
from tests.support.fastlane import Fastlane
from tests.support.followers import Socket
from tests.support.waiting import until

ONE, OTHER, NEW = bearer("fl_one"), bearer("fl_other"), bearer("fl_new")


def row(name: str, role: str = "run", secret: str | None = None, **more: str) -> dict[str, str]:
    return {"name": name, "token": hash_token(secret or f"fl_{name}"), "role": role, **more}


def in_a_file_of_its_own(folder: Path, *rows: dict[str, str]) -> None:
    (folder / "next").write_text(json.dumps(rows))
    (folder / "next").rename(folder / "tokens.json")


def in_the_settings(folder: Path, *rows: dict[str, str]) -> None:
    tables = ["[[tokens]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items()) for row in rows]
    (folder / "fastlane.toml").write_text("\n".join(tables))


Write = Callable[..., None]


@pytest.fixture(params=[in_a_file_of_its_own, in_the_settings])
async def served(request, shared_redis, tmp_path, monkeypatch) -> AsyncIterator[tuple[Fastlane, Write]]:
    """A server with two tokens, and what writes others into the place that they came from."""
    monkeypatch.setattr(reload, "EVERY", 0.02)
    if request.param is in_a_file_of_its_own:
        monkeypatch.setenv("FASTLANE_TOKENS_FILE", str(tmp_path / "tokens.json"))
    request.param(tmp_path, row("one"), row("other"))
    loaded = load("up", cwd=tmp_path)
    async with Fastlane(tmp_path, shared_redis.url, tokens=loaded.settings.tokens, access=loaded.access) as server:
        yield server, lambda *rows: request.param(tmp_path, *rows)


async def reaches(server: Fastlane, credential: dict[str, str], status: int, path: str = "/tasks") -> None:
    async def answered() -> bool:
        return (await server.get(path, headers=credential)).status == status

    await server.until(answered, f"a {status} of {path}")


async def running(server: Fastlane) -> str:
    """The path of a job that runs."""
    reply = (await server.ask("POST", "/tasks/task", json={"image": "x"}, headers=OTHER)).json
    await server.run(reply)
    return f"/tasks/task/jobs/{reply['jobId']}"


async def test_a_token_that_is_taken_out_is_refused_at_once_and_a_new_one_let_in(served):
    server, write = served
    for credential, status in ((ONE, 200), (OTHER, 200), (NEW, 401)):
        assert (await server.get("/tasks", headers=credential)).status == status
    write(row("other"), row("new"))
    await reaches(server, ONE, 401)
    for credential in (OTHER, NEW):
        assert (await server.get("/tasks", headers=credential)).status == 200


async def test_whoever_follows_by_a_token_that_is_taken_out_is_cut_off_and_others_are_not(served):
    server, write = served
    job = await running(server)
    url = f"{server.base}{job}/ws"
    async with Socket(server.client, url, headers=ONE) as one, Socket(server.client, url, headers=OTHER) as other:
        await until(lambda: len(server.followers) == 2, "the followers to run")
        write(row("other"))
        assert (await one.closed()).end == (1000, "retry")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await Socket(server.client, url, headers=ONE).__aenter__()
        assert refused.value.status == 401
        assert len(server.followers) == 1
        assert other.received.code is None


async def test_a_ticket_and_the_visit_that_it_opened_end_with_their_token(served):
    server, write = served
    job = await running(server)
    made = [(await server.post(f"{job}/ws-ticket", headers=ONE)).json for _ in range(2)]
    cookie = {"Cookie": (await server.get(made[0]["streamUrl"])).headers["Set-Cookie"].partition(";")[0]}
    async with Socket(server.client, f"{server.base}{job}/ws", headers=cookie) as visitor:
        await until(lambda: len(server.followers) == 1, "the follower to run")
        write(row("other"))
        assert (await visitor.closed()).end == (1000, "retry")
    assert (await server.get(job, headers=cookie)).status == 401
    assert (await server.get(made[1]["streamUrl"])).status == 401


@pytest.mark.parametrize(
    "changed", [row("one", "read"), row("one", tasks="mine"), row("one", secret="fl_changed")], ids=["role", "tasks", "secret"]
)
async def test_a_token_that_changes_means_something_else_at_once(served, changed):
    server, write = served
    job = await running(server)
    async with Socket(server.client, f"{server.base}{job}/ws", headers=ONE) as follower:
        await until(lambda: len(server.followers) == 1, "the follower to run")
        write(changed, row("other"))
        assert (await follower.closed()).end == (1000, "retry")
    answer = await server.ask("POST", f"{job}/stop", headers=ONE)
    assert answer.status == (401 if changed["token"] != row("one")["token"] else 403)


async def test_a_change_of_something_else_cuts_nobody_off(served):
    server, write = served
    job = await running(server)
    async with Socket(server.client, f"{server.base}{job}/ws", headers=ONE) as follower:
        await until(lambda: len(server.followers) == 1, "the follower to run")
        write(row("one"), row("other"), row("new"))
        await reaches(server, NEW, 200)
        assert follower.received.code is None
        assert len(server.followers) == 1


@pytest.mark.parametrize("damage", ["{", '[[tokens]]\nname = "one"', ""])
async def test_a_file_that_cannot_be_read_changes_nothing_and_is_reported(served, tmp_path, damage):
    server, write = served
    (name,) = {"tokens.json", "fastlane.toml"} & {file.name for file in tmp_path.iterdir()}
    with capture_logs() as lines:
        if damage:
            (tmp_path / name).write_text(damage)
        else:
            (tmp_path / name).unlink()
        await until(lambda: [line for line in lines if line["event"] == "access.not_reloaded"], "the fault to be reported")
    assert (await server.get("/tasks", headers=ONE)).status == 200
    assert "sha256" not in str(lines)
    write(row("other"))
    await reaches(server, ONE, 401)


async def test_when_nobody_is_left_everybody_is_refused(served):
    server, write = served
    write()
    await reaches(server, ONE, 401)
    assert (await server.get("/tasks")).status == 401
    assert (await server.get("/livez")).status == 200
