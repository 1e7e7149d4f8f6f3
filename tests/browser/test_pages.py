"""The other pages, and how all of them are served."""

import gzip
import re

import pytest
from playwright.async_api import expect

from fastlane.web.static_files import StaticFiles
from tests.browser.logpage import DESK, PHONE, shoot, violations
from tests.support.credentials import basic, user
from tests.support.fastlane import Fastlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODY = "00000000-0000-4000-8000-000000000000"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_docs_show_every_route_and_send_requests(context, server):
    page = await context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: faults.append(request.url) if not request.url.startswith((server.base, "data:", "blob:")) else None)
    await page.goto(f"{server.base}/docs/")
    document = (await server.get("/openapi.json")).json
    described = {**document["paths"], **document["webhooks"]}.items()
    operations = [(method.upper(), path) for path, methods in described for method in methods if method != "parameters"]
    rows = page.locator(".opblock-summary")
    await expect(rows).to_have_count(len(operations), timeout=30_000)
    shown = [re.sub(r"[\u200b\s]+", " ", text).strip().split(" ")[:2] for text in await rows.all_inner_texts()]
    assert sorted(map(tuple, shown)) == sorted(operations)
    await page.locator("#operations-server-getLiveness .opblock-summary-control").click()
    await page.locator("#operations-server-getLiveness").get_by_role("button", name="Execute").click()
    await expect(page.locator("#operations-server-getLiveness .live-responses-table .microlight").first).to_contain_text("alive")
    assert faults == []


@pytest.mark.parametrize(
    ("size", "theme"),
    [
        pytest.param(DESK, "light", id="light-desk"),
        pytest.param(PHONE, "dark", id="dark-phone"),
        pytest.param(DESK, "dark", id="dark-desk", marks=pytest.mark.thorough),
        pytest.param(PHONE, "light", id="light-phone", marks=pytest.mark.thorough),
    ],
)
async def test_axe_finds_nothing_in_the_docs(context, server, size, theme):
    """Closed, and with an operation open, ready to be sent, and answered."""
    page = await context.new_page()
    await page.set_viewport_size(size)
    await page.emulate_media(color_scheme=theme)
    await page.goto(f"{server.base}/docs#/tasks/enqueue")
    one = page.locator("#operations-tasks-enqueue")
    await expect(one.locator(".body-param__text")).to_be_visible()  # the address of one opens it
    assert await violations(page) == []
    await page.locator("#operations-server-getLiveness .opblock-summary-control").click()
    await page.locator("#operations-server-getLiveness").get_by_role("button", name="Execute").click()
    await expect(page.locator("#operations-server-getLiveness .live-responses-table .microlight").first).to_contain_text("alive")
    assert page.url.endswith("/docs#/server/getLiveness")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await violations(page) == []
    await page.evaluate("scrollTo(0, 0)")
    await shoot(page, f"docs-{'desk' if size is DESK else 'phone'}-{theme}")


async def test_whoever_asks_for_no_html_gets_the_health(server):
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        answer = await server.get("/", headers=headers)
        assert "redis" in answer.json
        assert "Accept," in answer.headers["Vary"]


async def test_a_page_runs_only_what_comes_from_its_server(server):
    reply = await server.run_to_end()
    for path in (reply["jobUrl"] + "stream", reply["executionUrl"] + "stream", "/docs", "/", "/console"):
        for method in ("GET", "HEAD"):
            answer = await server.ask(method, path, headers=HTML)
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
            policy = answer.headers["Content-Security-Policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_files_are_kept_forever_and_gzipped_for_whoever_takes_that(server):
    page = (await server.get("/docs")).body.decode()
    files = re.findall(r'(?:href|src)="\./(static/[^"]+)"', page)
    assert {name.rpartition(".")[2] for name in files} == {"css", "js", "svg"}
    for name in files:
        plain = await server.get(f"/{name}")
        small = await server.get(f"//{name}/", headers={"Accept-Encoding": "gzip"})
        assert gzip.decompress(small.body) == plain.body
        assert small.headers["Content-Encoding"] == "gzip"
        for answer in (plain, small):
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for name in ("nothing.js", "..%2F__init__.py", "%2e%2e", "stream.html"):
        assert (await server.get(f"/static/{name}")).status == 404
    assert (await server.post("/static/x")).status == 405


async def test_what_is_not_there_is_a_404_with_the_page(server):
    reply = await server.run_to_end("task")
    job = f"/tasks/task/jobs/{reply['jobId']}"
    for path in (f"/tasks/task/jobs/{NOBODY}/stream", f"/tasks/other/jobs/{reply['jobId']}/stream", f"{job}/executions/{NOBODY}/stream"):
        answer = await server.get(path)
        assert answer.status == 404
        assert b"<!doctype html>" in answer.body
    assert (await server.get(f"{job}/stream?tail=3")).status == 400
    assert (await server.post(f"{job}/stream")).status == 405


async def test_with_users_a_page_asks_who_it_is(shared_redis, tmp_path):
    users = {"users": (user("anna", "annas", "read", tasks="mine"),)}
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", **users) as server:
        path = f"/tasks/mine/jobs/{NOBODY}/stream"
        answer = await server.get(path)
        assert (answer.status, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")
        asked = await server.get(path, headers=HTML)
        assert (asked.status, asked.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
        assert asked.headers["Content-Type"] == "text/html; charset=utf-8"
        assert (await server.get(path, headers=basic("anna", "annas"))).status == 404
        assert (await server.get(path.replace("mine", "theirs"), headers=basic("anna", "annas"))).status == 403
        assert (await server.get("/docs")).status == 401
        name = re.findall(rb'src="\./(static/[^"]+)"', (await server.get("/docs", headers=basic("anna", "annas"))).body)[0].decode()
        assert (await server.get(f"/{name}")).status == 200


async def test_without_its_pages_a_server_says_so_and_does_all_else(server, tmp_path):
    server.api.application.settings["static_files"] = StaticFiles(tmp_path)
    reply = await server.run_to_end()
    for path in (reply["jobUrl"] + "stream", "/docs", "/static/x.js"):
        answer = await server.get(path)
        assert answer.status == 503
        assert "installed without its web pages" in answer.json["detail"]
    answer = await server.get(f"/tasks/task/jobs/{NOBODY}/stream")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert (await server.get(reply["jobUrl"])).status == 200


@pytest.mark.parametrize(
    ("path", "up"), [("/docs", "./"), ("/docs/", "../"), ("/tasks/t/jobs/j/stream", "../../../../"), ("//docs", "../")]
)
async def test_a_page_refers_to_its_server_by_the_way_up(path, up):
    assert f'href="{up}static/'.encode() in StaticFiles().page("docs.html", path=path, base_url="http://x")
