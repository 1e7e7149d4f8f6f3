"""From the mail about a failure to the line of the log that says why, and to the person who changed the job: by the pages, and in a
terminal, with nothing but what the mail and what follows it say."""

import json
import re
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.console import open_console
from tests.support.command_line import CommandLine
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.fork_server import ForkServer
from tests.support.mail_server import Received, mail_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUBLIC, LINE = "https://fl.example.com", "no space left on device: /srv/backup"
TOKENS = (token("ann", "fl_ann"), token("bob", "fl_bob"), token("on-call", "fl_call", "read"))


@pytest_asyncio.fixture(loop_scope="session")
async def alarmed(shared_redis, tmp_path):
    """A fastlane, and the mail about a job of ann's that fails since bob changed it, and succeeded before and after."""
    async with mail_server() as mails:
        settings: dict[str, Any] = {"listen": "0.0.0.0", "public_url": PUBLIC, "tokens": TOKENS, **mails.settings}
        async with Fastlane(tmp_path / "fastlane", shared_redis.url, workers=1, **settings) as server:
            body = {"image": "ubuntu", "command": ["out", "fine\n"], "name": "Nightly", "cron": "0 0 1 1 *"}
            body["notify"] = {"fails": ["team@example.com"]}
            made = (await server.post("/tasks/backup", body, headers=bearer("fl_ann"))).json
            job = f"/tasks/backup/jobs/{made['jobId']}"
            await server.post(f"{job}/run", {}, headers=bearer("fl_ann"))
            broken = {"command": ["out", f"copying\n{LINE}\n", "exit", "28"]}
            assert (await server.ask("PATCH", job, data=json.dumps(broken).encode(), headers=bearer("fl_bob"))).status == 200
            await server.post(f"{job}/run", {}, headers=bearer("fl_ann"))
            (mail,) = await mails.got()
            yield server, mail


def links(mail: Received) -> list[str]:
    """The links of the mail, in its order: the execution, its log, its job."""
    return [url.replace(PUBLIC, "") for url in re.findall(r'<a href="([^"]*)">', mail.html)]


async def test_by_the_pages(context, alarmed):
    server, mail = alarmed
    console = await open_console(context, f"{server.base}{links(mail)[0]}")
    page = console.page
    await page.get_by_label("Token").fill("fl_call")
    await page.get_by_role("button", name="Log in").last.click()
    await expect(page.locator("#page .notice.bad")).to_contain_text("xit code 28")
    await expect(console.section("Log")).to_contain_text(LINE)
    await page.get_by_role("link", name="Nightly").first.click()
    await expect(console.section("Who did what").get_by_role("listitem").filter(has_text="changed it")).to_contain_text("bob")
    assert console.faults == []


async def test_in_a_terminal(alarmed, tmp_path):
    server, mail = alarmed
    url = f"{server.base}{links(mail)[0]}"
    with ForkServer() as commands:
        line = CommandLine(commands, tmp_path / "home", server.base, FASTLANE_TOKEN="fl_call")
        why = await line("why", url)
        assert "exit code 28" in why.text
        logged = await line("logs", url)
        assert LINE in logged.text + logged.err
        for named in (f"{server.base}{links(mail)[2]}", "backup"):
            done = await line("events", named, "--kind", "job.changed")
            assert re.search(r"\bbob\b.*\bcommand\b", done.text), done
