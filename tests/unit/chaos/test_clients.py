"""What the clients of a run make of answers that do not come at once, or say that there is nothing yet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from aiohttp import web

from tests.chaos.clients import Clients
from tests.chaos.record import Journal
from tests.chaos.run import read
from tests.support.receiver import Received, receiving


@asynccontextmanager
async def clients_of(record: Path, *answers: tuple[int, str]) -> AsyncIterator[Clients]:
    """The clients of a server that gives these answers, one after another, and then the last of them."""
    left = list(answers)

    async def reply(_received: Received) -> web.StreamResponse:
        status, words = left.pop(0) if len(left) > 1 else left[0]
        return web.json_response({"detail": words}, status=status)

    async with receiving() as receiver:
        receiver.reply = reply
        with closing(Journal(record)) as journal:
            yield Clients([receiver.port], "token", "image", "mount", journal)


async def test_an_execution_that_has_not_started_has_an_empty_log(tmp_path: Path) -> None:
    words = "execution e-1 has no output yet: it is enqueued and has not started"
    async with clients_of(tmp_path / "record", (503, "later"), (404, words)) as clients:
        assert await asyncio.to_thread(clients.log, "/stdout") == ""


async def test_a_client_pauses_before_it_asks_for_a_stop_again_and_writes_down_the_answers(tmp_path: Path) -> None:
    async with clients_of(tmp_path / "record", (503, "later"), (200, "")) as clients:
        await asyncio.to_thread(clients.stop, "job-1")
    asked = read(tmp_path / "record")
    assert [row["status"] for row in asked] == [None, 503, None, 200]
    assert asked[2]["sent"] - asked[1]["answered"] >= 450
