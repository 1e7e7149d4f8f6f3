"""The console's page of hosts and pools, in a real browser."""

import re

import pytest
from playwright.async_api import expect

from fastlane.models.host import Disk
from tests.browser.console import inspect, open_console
from tests.support.credentials import bearer, token
from tests.support.fastlane import HOST, Fastlane

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_pools_are_paused_and_hosts_drained(context, server):
    await server.report_worker(cpus=8, memory=33_000_000_000, disk=Disk(free=412_000_000_000))
    for _ in range(3):
        await server.enqueue("waits")
    console = await open_console(context, f"{server.base}/console/hosts")
    pools, hosts = (console.section(name).locator("tbody tr") for name in ("Pools", "Hosts"))
    await expect(pools).to_have_count(2)
    await expect(pools.last).to_contain_text("3 waiting")
    await expect(hosts).to_have_count(1)
    await expect(hosts).to_contain_text("fast, default")
    await expect(hosts).to_contain_text("8 CPUs")
    await expect(console.section("Workers")).to_contain_text("worker-1")
    await expect(console.section("Workers").get_by_role("cell", name="9.9.9")).to_be_visible()
    assert await inspect(console.page, "hosts") == {}
    await console.page.get_by_role("button", name="Pause default").click()
    await expect(pools.last).to_contain_text("paused")
    assert (await server.get("/pools")).json["items"][1]["paused"]
    await console.page.get_by_role("button", name="Resume default").click()
    await expect(console.page.get_by_role("button", name="Pause default")).to_be_visible()
    await console.page.get_by_role("button", name="Pause all dispatch").click()
    await expect(console.page.get_by_role("button", name="Resume all dispatch")).to_be_visible()
    assert (await server.get("/status")).json["dispatch"]["paused"]
    await console.page.get_by_role("button", name="Resume all dispatch").click()
    await expect(console.page.get_by_role("button", name="Pause all dispatch")).to_be_visible()
    await console.page.get_by_role("button", name=f"Drain {HOST}").click()
    await expect(hosts).to_contain_text("drained")
    assert (await server.get("/status")).json["hosts"][0]["blacklisted"]
    await console.page.get_by_role("button", name=f"Undrain {HOST}").click()
    await expect(hosts).to_contain_text("usable")
    assert console.faults == []


async def test_calendars_stand_below_the_workers_once_there_are_any(context, server):
    await server.report_worker()
    console = await open_console(context, f"{server.base}/console/hosts")
    await expect(console.section("Workers")).to_be_visible()
    await expect(console.section("Calendars")).to_have_count(0)
    made = await server.ask("PUT", "/calendars/holidays", json={"dates": ["2026-12-25..2026-12-26 Christmas", "2027-01-01"]})
    assert made.status == 200
    await server.enqueue(cron="@daily", skipDates=["holidays"])
    await console.page.reload()
    await expect(console.section("Calendars").locator("tbody tr td")).to_have_text(["holidays", "2", "1", "", re.compile("ago|now")])
    assert await inspect(console.page, "calendars") == {}
    assert console.faults == []


async def test_a_host_that_cannot_be_used_says_why(context, server):
    await server.report_worker(usable=False)
    console = await open_console(context, f"{server.base}/console/hosts")
    await expect(console.section("Hosts").locator("tbody tr")).to_contain_text("Refused the connection")
    await expect(console.section("Pools").locator("tbody tr").first).to_contain_text("0 of 1")


async def test_only_administrators_may_change_them(context, shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=(token("ci", "fl_ci"),)) as server:
        await server.report_worker()
        assert (await server.post("/pools/default/pause", headers=bearer("fl_ci"))).status == 403
        console = await open_console(context, f"{server.base}/console/hosts")
        await console.page.get_by_label("Token").fill("fl_ci")
        await console.page.get_by_role("button", name="Log in").click()
        await expect(console.page.locator("#page")).to_contain_text("Your role is run; only administrators pause pools and drain hosts.")
        await expect(console.page.get_by_role("button", name="Pause default")).to_be_disabled()
