"""The frame of the console, and its first page, in a real browser."""

import re
from dataclasses import replace

import pytest
from playwright.async_api import expect

from fastlane.models.delivery import Receiver
from fastlane.models.job import Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from fastlane.queue.port import Report
from tests.browser.console import FIRST_VIEW, inspect, open_console
from tests.support.fastlane import Fastlane
from tests.support.relay import Relay
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAILED = Failure(FailureReason.EXIT, "exit code 1")


async def fill(server: Fastlane) -> None:
    """Jobs of each kind: under way, waiting, done, failed, for later."""
    await server.run_to_end("reports")
    await server.run_to_end("backup-database", code=137)
    failed = await server.enqueue("import-customers", command="python -m importer --from s3://bucket/customers", retries=0)
    await server.end(await server.run(failed), 3)
    await server.run(await server.enqueue("transcode", command="ffmpeg -i in.mp4 out.webm"))
    await server.pull(await server.enqueue("transcode"))
    await server.enqueue("transcode")
    await server.enqueue("nightly-report", cron="0 2 * * *")
    await server.enqueue("cleanup", startIn="5m")
    await server.count_ends()


async def test_a_server_where_nothing_ran_says_what_to_do_first(context, server):
    console = await open_console(context, server.base)
    await expect(console.page.get_by_role("heading", name="Nothing has run here yet")).to_be_visible()
    await expect(console.page.locator("pre")).to_have_text(
        f"""curl -XPOST -d'{{"image": "ubuntu:latest", "command": "ls -lah"}}' {server.base}/tasks/test-task"""
    )
    assert await inspect(console.page, "welcome") == {}
    await console.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await console.page.get_by_role("button", name="Copy").click()
    await expect(console.page.get_by_role("button", name="Copied")).to_be_visible()
    assert "tasks/test-task" in await console.page.evaluate("navigator.clipboard.readText()")
    assert console.faults == []


async def test_the_first_page_shows_what_runs_waits_failed_and_comes(context, server):
    await fill(server)
    console = await open_console(context, server.base)
    figures = console.page.locator(".figures")
    await expect(figures.locator("div")).to_have_text(
        ["Running2 now", "Waiting1 now", "Failed2 last 24 h", "Done1 last 24 h", "Scheduled2 jobs"]
    )
    now = console.section("Now")
    await expect(now.locator("tbody tr")).to_have_count(3)
    for status in ("running", "starting", "waiting"):
        await expect(now.get_by_role("link", name=status)).to_be_visible()
    day = console.section("Last 24 hours")
    await expect(day.get_by_role("img")).to_have_accessible_name("Of the last 24 hours, an hour each: 1 done, 2 failed")
    await expect(day).to_contain_text("late on average")
    failures = console.section("Failures by job")
    await expect(failures).to_contain_text("import-customers")
    await expect(failures).to_contain_text("Exit code 3")
    await expect(console.section("Next due").locator("li").first).to_contain_text("cleanup")
    await expect(console.section("Pools").locator("li").last).to_contain_text("default")
    await expect(console.section("Hosts").locator("li").first).to_contain_text("usable")
    await expect(console.live).to_have_text("Live")
    assert await inspect(console.page, "overview") == {}
    await now.get_by_role("link", name="running").click()
    await expect(console.page.locator("#status")).to_have_text("running")
    await console.page.goto(server.base)
    await now.get_by_role("link", name="transcode").nth(1).click()
    await expect(console.page.locator(".title .mark")).to_have_text("running")
    assert console.faults == []


async def test_in_a_backlog_what_runs_stands_first_and_one_noisy_job_hides_no_other(context, server):
    quiet = await server.enqueue("quiet", name="Weekly", command="sync")
    await server.end(await server.run(quiet), 4)
    noisy = await server.run_to_end("noisy", code=1)
    one = await server.execution(noisy)
    for _ in range(300):
        one = next_execution(one, due=one.scheduled_for + 1, now=server.clock.now())
        failed = replace(one, status=Status.FAILED, finished_at=server.clock.now(), exit_code=1, failure=FAILED)
        assert await server.store.insert(failed)
    await server.run(await server.enqueue("running"))
    for number in range(14):
        await server.enqueue(f"waiting-{number}")
    console = await open_console(context, server.base)
    now, failures = console.section("Now").locator("tbody tr"), console.section("Failures by job").locator("tbody tr")
    await expect(now).to_have_count(8)
    await expect(now.first).to_contain_text("running")
    await expect(console.section("Now")).to_contain_text("All 15")
    await expect(failures).to_have_count(2)
    await expect(failures.first).to_contain_text("301 times")
    await expect(failures.last).to_contain_text(f"Weekly {quiet['jobId'][-8:]}Exit code 4once")
    assert await inspect(console.page, "overview-backlog") == {}
    assert console.faults == []


async def test_what_happens_is_shown_as_it_happens(context, server):
    await server.run_to_end("first")
    console = await open_console(context, server.base)
    await expect(console.section("Now")).to_contain_text("Nothing runs or waits.")
    await expect(console.live).to_have_text("Live")
    second = await server.enqueue("second")
    await expect(console.section("Now")).to_contain_text("second")
    row = await console.section("Now").locator("tbody tr").element_handle()
    await server.end(await server.run(second), 3)
    await expect(console.section("Failures by job")).to_contain_text("second")
    await server.enqueue("third")
    await expect(console.section("Now")).to_contain_text("third")
    assert not await row.evaluate("row => row.isConnected")
    assert console.faults == []


async def test_what_the_server_counts_later_is_shown_as_well(context, server):
    page = await context.new_page()
    await page.clock.install()
    await page.goto(server.base)
    await expect(page.locator("#live")).to_have_text("Live")
    await server.enqueue("one")
    await expect(page.get_by_role("region", name="Now")).to_contain_text("one")
    await server.report_worker(usable=False)
    await page.clock.fast_forward("01:00")
    await expect(page.get_by_role("region", name="Hosts")).to_contain_text("Refused the connection")


async def test_a_row_stays_the_same_element_while_others_come(context, server):
    """So what has the focus keeps it."""
    await server.enqueue("one")
    console = await open_console(context, server.base)
    one = console.section("Now").get_by_role("link", name="waiting")
    await one.focus()
    await server.enqueue("two")
    await expect(console.section("Now").locator("tbody tr")).to_have_count(2)
    await expect(console.section("Now").locator("tbody tr", has_text="one").get_by_role("link", name="waiting")).to_be_focused()


async def test_a_stream_that_is_lost_comes_back_with_what_happened_meanwhile(context, server):
    await server.enqueue("one")
    away = re.compile(r".*/events\?.*")
    await context.route(away, lambda route: route.abort())
    console = await open_console(context, server.base)
    await expect(console.section("Now")).to_contain_text("one")
    await expect(console.live).to_have_text("Not connected")
    await server.enqueue("two")
    await expect(console.section("Now")).not_to_contain_text("two")
    await context.unroute(away)
    await expect(console.section("Now")).to_contain_text("two")
    await expect(console.live).to_have_text("Live")


async def test_after_a_long_silence_it_is_up_to_date_within_seconds_however_long_a_request_took(context, server):
    """A request that was under way, and failed, puts no reading off. The page's clock is the test's."""
    async with Relay(0, server.port) as relay:
        page = await context.new_page()
        await page.clock.install()
        await page.goto(f"http://localhost:{relay.place}/")
        live = page.locator("#live")
        await expect(live).to_have_text("Live")
        await page.clock.pause_at(await page.evaluate("Date.now()") + 1_000)
        relay.hang()
        await page.keyboard.press("r")
        await page.clock.run_for(10_000)
        await expect(live).to_have_text("Not connected")
        await page.clock.run_for(4_000)
        await server.enqueue("meanwhile")
        await relay.cut()
        relay.flow()
        await page.clock.resume()
        await expect(live).to_have_text("Live")
        await expect(page.get_by_role("region", name="Now")).to_contain_text("meanwhile")
        await server.enqueue("later")
        await expect(page.get_by_role("region", name="Now")).to_contain_text("later")
        await expect(page.locator("#lost")).to_be_empty()
        await expect(page.locator("#trouble")).to_be_empty()


async def test_a_page_that_could_not_be_read_is_read_again_though_nothing_happens(context, server):
    console = await open_console(context, server.base)
    await expect(console.live).to_have_text("Live")
    status = re.compile(r".*/status$")
    away = {"status": 503, "content_type": "application/problem+json", "body": '{"detail": "the store does not answer"}'}
    await context.route(status, lambda route: route.fulfill(**away))
    await console.page.keyboard.press("r")
    await expect(console.live).to_have_text("Out of date")
    await expect(console.trouble).to_contain_text("The store does not answer")
    await context.unroute(status)
    await expect(console.live).to_have_text("Live")
    await expect(console.trouble).to_be_empty()


async def test_troubles_stand_above_all_else(context, server):
    await server.post("/dispatch/pause")
    await server.post("/pools/fast/pause")
    console = await open_console(context, server.base)
    await expect(console.page.locator("#page .notice")).to_contain_text("All dispatch is paused.")
    await server.post("/dispatch/resume")
    await server.enqueue("one")
    await server.report_worker(usable=False)
    await console.page.keyboard.press("r")
    await expect(console.page.locator("#page .notice")).to_have_count(0)
    now = server.clock.now()
    assert await server.store.write_receiver(Receiver("one", "https://example.com:443", now - 7_200_000, now, "it said no"))
    await console.page.keyboard.press("r")
    words = "No message reaches https://example.com:443 since 2\u00a0h ago: it said no"
    await expect(console.page.locator("#page .notice")).to_have_text(words)
    await expect(console.page.locator("#page section")).to_have_count(6)
    await expect(console.section("Pools").locator("li").first).to_contain_text("paused")
    await expect(console.section("Hosts").locator("li").first).to_contain_text("unusable")
    await expect(console.section("Hosts").locator("li").first).to_contain_text("Refused the connection")
    await server.queue.reports.announce(Report("worker-1", server.clock.now(), ()), ttl=1)

    async def is_said() -> bool:
        await console.page.keyboard.press("r")
        return "No worker is alive" in await console.page.locator("#page").inner_text()

    await until(is_said, "the page to say that no worker is alive", longest=0.25)


async def test_a_server_that_is_away_leaves_what_was_shown_and_says_so(context, server):
    await server.run_to_end("here")
    console = await open_console(context, server.base)
    await expect(console.section("Pools")).to_be_visible()
    await context.set_offline(True)
    await console.page.keyboard.press("r")
    await expect(console.page.locator("#lost")).to_contain_text("Not connected since")
    await expect(console.trouble).to_be_empty()
    await expect(console.section("Pools")).to_be_visible()
    await context.set_offline(False)
    await console.page.get_by_role("button", name="Reconnect now").click()
    await expect(console.page.locator("#lost")).to_be_empty()
    await expect(console.live).to_have_text("Live")


@pytest.mark.parametrize(
    ("path", "there", "parts"),
    [("/", ".figures", ("console-", "/status", "/executions")), ("/console/new?task=reports", ".lead", ("console-", "/session"))],
)
async def test_the_first_view_is_small_and_all_of_it_comes_from_the_server(context, server, path, there, parts):
    await fill(server)
    page = await context.new_page()
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(server.base) else None)
    await page.goto(server.base + path)
    await expect(page.locator(there)).to_be_visible()
    sizes = await page.evaluate("performance.getEntries().filter(one => 'transferSize' in one).map(one => [one.name, one.transferSize])")
    for part in parts:
        assert any(part in name and size for name, size in sizes), sizes
    assert sum(size for _, size in sizes) < FIRST_VIEW, sizes
    assert foreign == []


PATHS = ("", "console/tasks", "console/jobs", "console/executions", "console/calendar", "console/hosts", "console/new", "console/nowhere")
FRAME = """() => [...document.querySelectorAll("[data-page]")].map((link) => {
    const {x, y, width, height} = link.getBoundingClientRect();
    return [link.dataset.page, Math.round(x), Math.round(y), Math.round(width), Math.round(height)];
})"""
"""Where each link of the navigation is, and how large."""


@pytest.mark.parametrize("width", [360, 768, 1_280])
async def test_the_navigation_stays_in_its_place_from_page_to_page_and_before_a_script_runs(context, server, width):
    await server.run_to_end("backup", code=3)
    console = await open_console(context, server.base)
    page = console.page
    await page.set_viewport_size({"width": width, "height": 800})
    frames = {}
    for path in PATHS:
        await page.goto(f"{server.base}/{path}")
        await expect(page.get_by_role("heading", level=1)).to_have_count(1)
        frames[path] = await page.evaluate(FRAME)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    await page.route("**/*.js", lambda route: route.abort())
    await page.goto(f"{server.base}/console/tasks")
    frames["without a script"] = await page.evaluate(FRAME)
    first = frames[""]
    assert len(first) >= 5
    assert [(name, x, x + wide) for name, x, _, wide, high in first if not (high and x >= 0 and x + wide <= width)] == []
    assert {name: [(a, b) for a, b in zip(found, first, strict=True) if a != b] for name, found in frames.items() if found != first} == {}
    assert console.faults == []


async def test_keys_walk_through_the_rows_and_show_help(context, server):
    await fill(server)
    console = await open_console(context, server.base)
    await expect(console.section("Now").locator("tbody tr")).to_have_count(3)
    rows = console.page.locator("#page tbody tr")
    await console.page.keyboard.press("j")
    await expect(rows.nth(0).locator("a").first).to_be_focused()
    await console.page.keyboard.press("ArrowDown")
    await expect(rows.nth(1).locator("a").first).to_be_focused()
    await console.page.keyboard.press("ArrowUp")
    await expect(rows.nth(0).locator("a").first).to_be_focused()
    await console.page.keyboard.press("?")
    await expect(console.page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    assert await inspect(console.page, "keyboard") == {}
    await console.page.keyboard.press("Escape")
    await expect(console.page.get_by_role("dialog", name="Keyboard")).to_be_hidden()
    await console.page.keyboard.press("Enter")
    await expect(console.page.locator("#log")).to_be_visible()
