"""What a page of another site can do to fastlane through somebody's browser, tried in a real one.

Its server and fastlane's are on the same machine to the browser, as an attacker would have it who pointed his name there.
"""

from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, expect

from fastlane import __version__
from tests.browser.console import log_in
from tests.support.credentials import basic, user
from tests.support.fastlane import Fastlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

OK = {"image": "ubuntu:latest"}
USERS = {"users": (user("anna", "annas", "admin"),)}

READ = "async ([url, options]) => { try { return await (await fetch(url, options)).text() } catch { return 'refused' } }"
WRITE = """async ([url, options]) => {
    const body = JSON.stringify({image: "ubuntu:latest"});
    try { const answer = await fetch(url, {method: "POST", body, ...options}); return `${answer.type} ${answer.status}` }
    catch { return "refused" }
}"""
FORM = """([url, target]) => {
    const form = document.createElement("form"), field = document.createElement("input");
    Object.assign(form, {action: url, method: "POST", enctype: "text/plain", target});
    Object.assign(field, {name: '{"image": "ubuntu:latest", "metadata": {"a": "', value: '"}}'});
    form.append(field);
    document.body.append(form);
    form.submit();
}"""


async def page_of(context: BrowserContext, site: int, name: str = "evil.example.com") -> Page:
    page = await context.new_page()
    await page.goto(f"http://{name}:{site}/")
    return page


async def attack(page: Page, url: str) -> list[Any]:
    """Every way to write that a page has, tried once; what it saw of each."""
    ways: list[dict[str, Any]] = [
        {"mode": "no-cors"},
        {"mode": "no-cors", "credentials": "include"},
        {"credentials": "include"},
        {"headers": {"Content-Type": "application/json"}},
        {"headers": {"Content-Type": "application/json"}, "credentials": "include"},
        {"method": "PUT"},
    ]
    seen = [await page.evaluate(WRITE, [url, way]) for way in ways]
    for target in ("hidden", "_self"):
        async with page.expect_response(url) as answer:
            await page.evaluate(FORM, [url, target])
        seen.append((await answer.value).status)
    return seen


async def jobs(server: Fastlane, task: str, headers: dict[str, str] | None = None) -> int:
    answer = await server.get(f"/tasks/{task}", headers=headers or {})
    return answer.json["jobsCount"] if answer.status == 200 else 0


async def test_on_loopback_a_foreign_page_reads_and_writes_nothing(context, site, shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url) as server:
        await server.enqueue("known")
        page = await page_of(context, site)
        for path in ("/tasks/known", "/status", "/livez", "/nothing"):
            assert await page.evaluate(READ, [server.base + path, {}]) == "refused"
        seen = await attack(page, f"{server.base}/tasks/attacked")
        assert seen == ["opaque 0", "opaque 0", "refused", "refused", "refused", "refused", 403, 403]
        assert await jobs(server, "attacked") == 0


async def test_a_name_that_was_pointed_at_loopback_opens_no_door(context, shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url) as server:
        page = await context.new_page()
        answer = await page.goto(f"http://rebound.example.com:{server.port}/livez")
        assert answer is not None
        assert answer.status == 403
        # the page of that answer is of the server's own origin, as the browser sees it
        assert await page.evaluate(WRITE, ["/tasks/attacked", {}]) == "basic 403"
        assert "does not answer to the name" in await page.evaluate(READ, ["/status", {}])
        assert await jobs(server, "attacked") == 0


async def test_beyond_loopback_without_users_a_foreign_page_reads_and_writes_nothing(context, site, shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0") as server:
        reply = await server.enqueue("known")
        page = await page_of(context, site)
        assert reply["jobId"] in await page.evaluate(READ, [server.base + "/tasks/known", {}])
        assert await page.evaluate(READ, [server.base + "/tasks/known", {"credentials": "include"}]) == "refused"
        seen = await attack(page, f"{server.base}/tasks/attacked")
        assert seen == ["opaque 0", "opaque 0", "refused", "cors 403", "refused", "refused", 403, 403]
        assert await jobs(server, "attacked") == 0


async def test_a_name_that_was_pointed_at_a_server_without_users_writes_nothing(context, shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0") as server:
        page = await context.new_page()
        await page.goto(f"http://rebound.example.com:{server.port}/livez")
        for way in ({}, {"method": "PUT"}, {"mode": "no-cors"}, {"referrerPolicy": "no-referrer"}):
            assert await page.evaluate(WRITE, ["/tasks/attacked", way]) == f"basic {405 if way.get('method') else 403}"
        assert await jobs(server, "attacked") == 0
        await page.goto(f"http://127.0.0.1:{server.port}/livez")
        assert await page.evaluate(WRITE, ["/tasks/own", {}]) == "basic 200"


async def test_a_name_that_was_pointed_at_a_server_with_open_reads_off_reads_nothing(context, shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", open_reads=False) as server:
        reply = await server.enqueue("known")
        page = await context.new_page()
        await page.goto(f"http://rebound.example.com:{server.port}/livez")
        assert "set public_url" in await page.evaluate(READ, ["/tasks/known", {}])
        await page.goto(f"http://127.0.0.1:{server.port}/livez")
        assert reply["jobId"] in await page.evaluate(READ, ["/tasks/known", {}])


async def test_a_foreign_page_cannot_use_the_log_in_that_the_browser_remembers(context, site, shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", **USERS) as server:
        own = await context.new_page()
        await own.goto(f"http://localhost:{server.port}/console")
        await log_in(own, "anna", "annas")
        await expect(own.locator(".account")).to_have_text("anna")
        assert await own.evaluate(WRITE, [server.base + "/tasks/own", {}]) == "basic 200"
        page = await page_of(context, site)
        for options in ({}, {"credentials": "include"}, {"headers": basic("anna", "annas")}):
            assert await page.evaluate(READ, [server.base + "/tasks/own", options]) == "refused"
        seen = await attack(page, f"{server.base}/tasks/attacked")
        assert seen[:6] == ["opaque 0", "opaque 0", "refused", "refused", "refused", "refused"]
        assert seen[6] in (401, 403)  # browsers differ in whether what a page embeds has the log-in
        assert seen[7] in (401, 403)  # nor the cookie of the log-in, which does not come along with a POST of another site
        assert await jobs(server, "attacked", basic("anna", "annas")) == 0
        assert await jobs(server, "own", basic("anna", "annas")) == 1


@pytest.mark.parametrize("settings", [{"listen": "127.0.0.1"}, {"listen": "0.0.0.0", **USERS}])
async def test_a_page_that_the_settings_name_reads_and_writes(context, site, shared_redis, tmp_path, settings):
    listed = {"allowed_origins": (f"http://dash.example.com:{site}",)}
    async with Fastlane(tmp_path, shared_redis.url, **settings, **listed) as server:
        page = await page_of(context, site, "dash.example.com")
        headers = {"Content-Type": "application/json", **basic("anna", "annas")}
        assert await page.evaluate(WRITE, [server.base + "/tasks/listed", {"headers": headers}]) == "cors 200"
        assert '"jobsCount":1' in await page.evaluate(READ, [server.base + "/tasks/listed", {"headers": headers}])
        assert (
            await page.evaluate("async (url) => (await fetch(url)).headers.get('X-Fastlane-Version')", server.base + "/livez")
            == __version__
        )
