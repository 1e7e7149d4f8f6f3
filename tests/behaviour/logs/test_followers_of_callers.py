"""How many logs one caller follows at once: by a credential, or by an address, and never all that the process may follow."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import aiohttp
import pytest

from fastlane.services import assembly
from fastlane.streams.follower import CloseReason, Closing, StartPosition
from fastlane.streams.followers import Followers
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.followers import Socket
from tests.support.waiting import until

ONE, OTHER = bearer("fl_one"), bearer("fl_other")
TOKENS = (token("one", "fl_one", "run"), token("other", "fl_other", "read"))
MOST, SHARE = 20, 4


@pytest.fixture(params=["token", "address"])
async def callers(request, shared_redis, tmp_path, monkeypatch):
    """A server, and the headers of two callers that it tells apart."""
    monkeypatch.setattr(assembly, "Followers", partial(Followers, most=MOST))
    settings = {"tokens": TOKENS} if request.param == "token" else {"listen": "0.0.0.0", "trusted_proxies": ("127.0.0.1",)}
    async with Fastlane(tmp_path, shared_redis.url, **settings) as server:
        if request.param == "token":
            yield server, ONE, OTHER
        else:
            yield server, {"X-Forwarded-For": "10.1.1.1"}, {"X-Forwarded-For": "10.1.1.2"}


async def test_one_caller_leaves_room_for_others_and_gets_it_back(callers):
    server, one, other = callers
    reply = (await server.ask("POST", "/tasks/task", json={"image": "x"}, headers=one)).json
    await server.run(reply)
    follow = partial(Socket, server.client, reply["jobUrl"] + "ws")
    async with AsyncExitStack() as stack:
        for _ in range(SHARE):
            await stack.enter_async_context(follow(headers=one))
        await until(lambda: len(server.followers) == SHARE, "the followers to run")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await follow(headers=one).__aenter__()
        assert refused.value.status == 429
        answer = await server.get(reply["jobUrl"] + "logs?follow=1", headers=one)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
        assert "close one first" in answer.json["detail"]
        await stack.enter_async_context(follow(headers=other))
    await until(lambda: len(server.followers) == 0, "the followers to end")
    async with follow(headers=one):
        await until(lambda: len(server.followers) == 1, "a follower after the others")


async def test_a_follower_that_was_admitted_before_rights_changed_never_runs(server):
    """Its rights may be among those that changed, and nobody looks at them again."""
    reply = await server.run_to_end("task", (1, b"x"))
    sink: Any = None  # it is not used
    follower = await server.followers.follow("task", reply["jobId"], None, StartPosition(), "anna")
    server.followers.revoke(["ben"])
    assert await follower.run(sink) == Closing(CloseReason.RETRY, started=False)


async def test_this_machine_has_no_share_since_it_may_be_a_proxy(shared_redis, tmp_path, monkeypatch):
    monkeypatch.setattr(assembly, "Followers", partial(Followers, most=MOST))
    async with Fastlane(tmp_path, shared_redis.url) as server, AsyncExitStack() as stack:
        reply = await server.enqueue()
        await server.run(reply)
        for _ in range(SHARE + 1):
            await stack.enter_async_context(Socket(server.client, reply["jobUrl"] + "ws"))
        await until(lambda: len(server.followers) == SHARE + 1, "the followers to run")
