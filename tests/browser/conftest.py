"""A real browser, one for the session, with a profile of its own. Every name under example.com is this machine to it.

It is Debian's package ``chromium``; Playwright brings none of its own here, since that would need another download.
"""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.browser.logpage import SHOTS
from tests.support.fastlane import Fastlane
from tests.support.waiting import wait_until

FLAGS = [
    "--headless",
    "--hide-scrollbars",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP *.example.com 127.0.0.1",
    "--remote-debugging-port=0",
]


@pytest.fixture(scope="session")
def browser_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the browser of this session takes orders."""
    program = shutil.which("chromium")
    assert program, "there is no chromium; on Debian: apt-get install chromium"
    profile = tmp_path_factory.mktemp("profile")
    with (profile / "output").open("wb") as output:
        process = subprocess.Popen([program, *FLAGS, f"--user-data-dir={profile}"], stdout=output, stderr=output)
    try:
        yield f"http://127.0.0.1:{wait_until(lambda: _port(process, profile), 'the browser to listen')}"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], profile: Path) -> int | None:
    assert process.poll() is None, (profile / "output").read_text("utf-8", "replace")
    file = profile / "DevToolsActivePort"
    lines = file.read_text().split("\n") if file.exists() else []
    return int(lines[0]) if len(lines) > 1 else None


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(browser_url: str) -> AsyncIterator[Browser]:
    """It, under Playwright. What drives a browser belongs to one loop, so all tests here run in that of the session."""
    shutil.rmtree(SHOTS, ignore_errors=True)
    expect.set_options(timeout=30_000)
    async with async_playwright() as playwright:
        yield await playwright.chromium.connect_over_cdp(browser_url)


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A window with no cookies, log-ins or cache from before. Nothing in it moves by itself: a turning mark would be drawn all the
    time."""
    context = await browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(60_000)
    try:
        yield context
    finally:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[int]:
    """Somebody else's web server with an empty page; its port."""

    class Page(RequestHandler):
        def get(self) -> None:
            self.write("<!doctype html><title>a page</title><iframe name=hidden></iframe>")

    server = HTTPServer(Application([("/", Page)]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield sockets[0].getsockname()[1]
    server.stop()
    async with asyncio.timeout(30):
        await server.close_all_connections()


@pytest_asyncio.fixture(loop_scope="session")
async def server(context, shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    """As others can reach it, with a worker; nothing runs what is enqueued: tests play that."""
    built = Path(__file__).parents[2] / "fastlane/static/pages"
    assert built.is_dir(), "the pages were not built: run scripts/static"
    async with Fastlane(tmp_path, shared_redis.url, ws_start_wait=1.0) as server:
        await server.report_worker()
        yield server
        # A page that is still open may ask it for something, by way of a test's route, once it is gone.
        for routed in (context, *context.pages):
            await routed.unroute_all(behavior="ignoreErrors")
