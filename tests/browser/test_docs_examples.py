"""Runs the JavaScript of docs/live-logs.md, unchanged, in a page of another site."""

import re
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page

from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = re.findall(r"```js\n(.*?)```", (Path(__file__).parents[2] / "docs/live-logs.md").read_text("utf-8"), re.DOTALL)
PLAIN, RESUMING, EVENTS, TICKETS = EXAMPLES
NOBODY = "00000000-0000-4000-8000-000000000000"
JOB = re.compile(r"fastlane\.local:10000/tasks/test-task/jobs/[0-9a-f-]{36}/")


class Console:
    """A page of another site that runs a program, and the lines that the program logs."""

    def __init__(self, page: Page) -> None:
        self.said: list[str] = []
        self.page = page
        page.on("console", lambda message: self.said.append(message.text) if message.type == "log" else None)

    async def said_all(self, *words: str) -> None:
        """Waits until exactly these lines were logged."""
        await until(lambda: len(self.said) >= len(words), f"{words}, {self.said}")
        assert self.said == list(words)


async def run(context: BrowserContext, site: int, program: str, job_url: str) -> Console:
    page = await context.new_page()
    await page.goto(f"http://page.example.com:{site}/")
    console = Console(page)
    await page.evaluate("(program) => { (0, eval)(program) }", JOB.sub(job_url.removeprefix("http://"), program))
    return console


@pytest_asyncio.fixture(loop_scope="session")
async def server(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", ws_start_wait=0.3) as server:
        yield server


async def test_the_how_tos_client_waits_for_the_start_and_follows_to_the_end(context, site, server):
    reply = await server.enqueue("test-task")
    console = await run(context, site, PLAIN, reply["jobUrl"])
    await console.said_all("Socket open, waiting for logs", "Socket closed", "Trying again in 5s...")
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"first\n"))
    again = ("Socket open, waiting for logs", "Received log first\n")
    await until(lambda: len(console.said) >= 5, "a second try")
    assert console.said[3:] == list(again)
    await server.append_log(execution, (2, b"second\n"))
    await until(lambda: len(console.said) >= 6, "more of the log")
    await server.end(execution)
    await until(lambda: len(console.said) >= 7, "the end")
    assert console.said[5:] == ["Received log second\n", "Socket closed"]


async def test_the_client_with_a_cursor_gets_each_message_once(context, site, server):
    reply = await server.run_to_end("test-task", (1, b"out\n"), (2, b"err\n"), code=2)
    console = await run(context, site, RESUMING, reply["jobUrl"])
    time = "2023-11-14T22:13:20.000Z"
    await console.said_all(f"stdout {time} out\n", f"stderr {time} err\n", "It is failed, exit code 2")


async def test_the_event_source_ends_at_the_end(context, site, server):
    reply = await server.run_to_end("test-task", (1, b"out\n"))
    console = await run(context, site, EVENTS, reply["jobUrl"])
    await console.said_all("out\n", "done")


async def test_the_program_with_tickets_follows_where_tokens_are_asked_for(context, site, shared_redis, tmp_path):
    settings = {"tokens": (token("ci", "fl_ci"),), "allowed_origins": (f"http://page.example.com:{site}",)}
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", **settings) as server:
        reply = (await server.post("/tasks/test-task", {"image": "ubuntu:latest"}, headers=bearer("fl_ci"))).json
        execution = await server.run(reply)
        await server.append_log(execution, (1, b"first\n"))
        console = await run(context, site, TICKETS.replace('"TOKEN"', '"fl_ci"'), reply["jobUrl"])
        await until(lambda: console.said == ["first\n"], "the first line")
        server.followers.interrupt()
        await server.append_log(execution, (1, b"second\n"))
        await server.end(execution)
        await console.said_all("first\n", "second\n")
        await until(lambda: len(server.followers) == 0, "the end")
        missing = await run(context, site, TICKETS.replace('"TOKEN"', '"fl_ci"'), f"{server.base}/tasks/test-task/jobs/{NOBODY}/")
        await missing.said_all("The job does not exist")
