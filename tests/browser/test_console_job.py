"""The console's page of a job, in a real browser."""

import re
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import expect

from fastlane.models import transitions
from fastlane.models.cron import Cron
from fastlane.models.job import Ending, Failure, JobSource, Usage
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from tests.browser.console import inspect, open_console
from tests.browser.logpage import numbered
from tests.support.fastlane import Fastlane
from tests.support.past_runs import add_runs

pytestmark = pytest.mark.asyncio(loop_scope="session")

NIGHTLY = {
    "name": "Nightly report",
    "cron": "30 2 * * mon-fri",
    "timezone": "Europe/Berlin",
    "command": "python -m reports --all",
    "envs": {"MODE": "full", "API_TOKEN": "hush"},
    "labels": {"team": "data"},
    "resources": {"memory": "512m", "cpus": 2},
    "retries": 2,
}


def page_of(server: Fastlane, reply: dict[str, Any]) -> str:
    """The job's page, whose path is that of the API below ``/console``."""
    return reply["jobUrl"].replace(server.base, f"{server.base}/console")


async def run(
    server: Fastlane, reply: dict[str, Any], seconds: float, code: int = 0, memory: int = 180_000_000, node: str | None = None
) -> None:
    """Has the job run once more, for this long by its own account."""
    started = await server.run((await server.post(reply["jobUrl"] + "run")).json, node)
    assert started.started_at is not None
    failure = Failure(FailureReason.EXIT, f"exit code {code}") if code else None
    status = Status.FAILED if code else Status.DONE
    ending = Ending(status, started.started_at + round(seconds * 1_000), code, failure, usage=Usage(memory, round(seconds * 700)))
    await server.change(transitions.end(started, ending))


async def test_a_job_shows_what_it_runs_when_and_what_became_of_it(context, server):
    reply = await server.enqueue("reports", **NIGHTLY, expectEvery="1d")
    await run(server, reply, 40)
    await run(server, reply, 44)
    await run(server, reply, 9.5, code=1, memory=530_000_000)
    await run(server, reply, 65, memory=210_000_000)
    await run(server, reply, 48, memory=190_000_000)
    console = await open_console(context, page_of(server, reply))
    page = console.page
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Nightly report")
    assert await page.title() == "Nightly report · fastlane"
    schedule = console.section("Schedule")
    await expect(schedule).to_contain_text("At 02:30, Monday to Friday")
    await expect(schedule).to_contain_text("Europe/Berlin")
    await expect(schedule).to_contain_text(re.compile(r"a success every 1\sd · late in .+ without one"))
    await expect(schedule.locator(".runs li")).to_have_count(5)
    bars = page.locator(".bars a")
    await expect(bars).to_have_count(5)
    assert all([(await bar.bounding_box())["width"] >= 24 for bar in await bars.all()]), "too narrow to hit"
    lengths = [(await bar.locator("i").bounding_box())["height"] for bar in await bars.all()]
    assert lengths[1] == max(lengths)
    assert lengths[2] == min(lengths)
    assert (await bars.nth(2).get_attribute("aria-label")).startswith("failed, attempt 1 of 3, 9.5 s, ")
    failed = console.section("Executions").locator("tbody tr").nth(2)
    await expect(failed).to_contain_text("Exit code 1.")
    await expect(failed).to_contain_text("505 MiB of 512 MiB")
    await expect(console.section("What it runs")).to_contain_text("python -m reports --all")
    await expect(console.section("What it runs")).to_contain_text("API_TOKEN=********")
    await expect(console.section("About")).to_contain_text("team=data")
    await expect(console.section("Waiting for")).to_have_count(0)
    await expect(console.section("Ticks that did not run")).to_contain_text("Each of the last 5 due times on record made an execution.")
    assert await inspect(page, "job") == {}
    await bars.first.click()
    await expect(page.locator("#status")).to_have_text("done")
    await page.locator("#job").click()
    await expect(schedule).to_contain_text("At 02:30, Monday to Friday")
    assert console.faults == []


async def test_trends_have_a_plot_and_figures_for_each_measure_and_say_over_how_many_runs(context, server):
    reply = await server.enqueue("grows", cron="0 0 1 1 *")
    console = await open_console(context, page_of(server, reply))
    await expect(console.section("Executions")).to_contain_text("It has not run yet.")
    await expect(console.section("Trends")).to_have_count(0)
    runs = [
        {"seconds": at, "memory": at * 2**20, "cpu": at * 500, "stdout_bytes": at} if at > 30 else {"seconds": at} for at in range(1, 61)
    ]
    await add_runs(server.store, reply["jobId"], [*runs, {"seconds": 30, "status": Status.FAILED}], server.clock.now() - 7_200_000)
    await console.page.keyboard.press("r")
    trends = console.section("Trends")
    await expect(trends).to_contain_text("over 61 runs (60 done, 1 failed) since 2\u00a0h ago")
    duration = trends.get_by_role("row", name="Duration")
    await expect(duration.get_by_role("cell")).to_contain_text(["Duration", "Older half 16 s, newer half 45 s", "30 s", "30 s", "1 m"])
    await expect(trends.get_by_role("row", name="Memory peak").get_by_role("cell").first).to_have_text("Memory peakof 30")
    plot = duration.get_by_role("img")
    label = "Duration of each run, from 1 s to 1 m; medians: older half 16 s, newer half 45 s"
    await expect(plot).to_have_attribute("aria-label", label)
    heights = [(await bar.bounding_box())["height"] for bar in await plot.locator("i").all()]
    assert len(heights) == 31
    assert heights[:-1] == sorted(heights[:-1])
    assert heights[-1] < heights[-2]
    advice = console.section("Advice")
    await expect(advice).to_contain_text("by the last 61 executions")
    await expect(advice.get_by_role("listitem")).to_contain_text(["30 measured runs showed is 60 MiB, and nothing limits it"])
    await expect(advice).to_contain_text("Set resources.memory to 96MiB")
    assert await inspect(console.page, "job-trends") == {}
    assert console.faults == []


async def test_it_shows_how_a_jobs_container_is_set_up(context, server):
    options = {"entrypoint": "sh -c", "readOnly": True, "capDrop": ["NET_RAW", "CHOWN"]}
    console = await open_console(context, page_of(server, await server.enqueue("locked", manual=True, container=options)))
    rows = console.section("What it runs").locator(".facts > div")
    for title, words in {"Entry point": "sh-c", "Root file system": "can only be read", "Capabilities dropped": "NET_RAWCHOWN"}.items():
        await expect(rows.filter(has_text=title).locator("dd")).to_have_text(words)
    await expect(rows.filter(has_text="Kernel parameters")).to_have_count(0)


async def test_what_went_wrong_stands_at_the_top_and_a_run_or_the_schedule_is_stopped_and_started(context, server):
    webhook = {"url": "https://93.184.216.34/hook"}
    reply = await server.enqueue("reports", **NIGHTLY, expectEvery="1d", webhooks={"fails": [webhook], "late": [webhook]})
    await run(server, reply, 9.5, code=3, node="node2")
    under_way = await server.run((await server.post(reply["jobUrl"] + "run")).json)
    job = await server.store.job(reply["jobId"])
    assert await server.store.advance(job, replace(job, late_since=server.clock.now() - 7_200_000), (), None)
    console = await open_console(context, page_of(server, reply).replace(reply["jobId"], reply["jobId"][-6:]))
    page, question = console.page, console.page.get_by_role("alertdialog")
    await expect(page).to_have_url(page_of(server, reply).rstrip("/"))
    await expect(page.locator(".notice.warn")).to_contain_text("Late since 2\u00a0h ago. It is expected to succeed every 1 d, and has not.")
    await expect(page.locator(".notice.bad")).to_contain_text(
        "The last run that ended failed just now, attempt 1 of 3, on node2. Exit code 3."
    )
    await expect(page.get_by_role("row").filter(has_text="attempt 1 of 3")).to_contain_text("attempt 1 of 3 · on node2")
    buttons = page.get_by_role("group", name="Actions").get_by_role("button")
    await expect(buttons).to_have_text(["Run now", "Backfill", "Pause", "Stop this run", "Stop the schedule", "Delete"])
    await page.get_by_text("What the buttons do").click()
    await expect(page.locator(".explained")).to_contain_text("the newest under way, and no retry of it follows")
    await expect(console.section("Notifications")).to_contain_text("When it is late")
    assert await inspect(page, "job-failed") == {}
    await page.get_by_role("button", name="Stop this run").click()
    await expect(question).to_contain_text(f"Stop the run {under_way.id[-8:]} of the job “Nightly report”")
    await question.get_by_role("button", name="Stop this run").click()
    await expect(console.section("Who did what")).to_contain_text("stopped a run")
    assert (await server.store.execution(under_way.id)).stop_requested_at is not None
    assert (await server.get(reply["jobUrl"])).json["job"]["scheduled"]
    await page.get_by_role("button", name="Stop the schedule").click()
    await question.get_by_role("button", name="Stop the job").click()
    await expect(console.section("Schedule")).to_contain_text("the schedule was stopped")
    await server.end(await server.store.execution(under_way.id), 143)
    await page.keyboard.press("r")
    await page.get_by_role("button", name="Start the schedule").click()
    await expect(console.section("Schedule").locator(".runs li")).to_have_count(5)
    await expect(console.section("Who did what")).to_contain_text("started its schedule")
    await page.goto(f"{server.base}/console/tasks/reports/jobs/zz")
    await expect(console.trouble).to_contain_text("There is no job 'zz'")
    assert console.faults == []


@pytest.mark.parametrize("width", [768, 1_280])
async def test_the_buttons_of_a_job_stand_in_one_row(context, server, width):
    reply = await server.enqueue("invoices", name="Monthly report", cron="15 * * * 1-5")
    console = await open_console(context, page_of(server, reply))
    await console.page.set_viewport_size({"width": width, "height": 800})
    buttons = console.page.get_by_role("group", name="Actions").get_by_role("button")
    await expect(buttons).to_have_count(5)
    rows = {round((await button.bounding_box())["y"]) for button in await buttons.all()}
    assert len(rows) == 1
    assert console.faults == []


async def test_it_says_what_a_job_waits_for(context, server):
    reply = await server.enqueue("reports", **NIGHTLY)
    await server.post("/dispatch/pause")
    first = (await server.post(reply["jobUrl"] + "run")).json
    console = await open_console(context, page_of(server, reply))
    await expect(console.section("Waiting for")).to_contain_text("paused")
    await expect(console.section("Executions").locator("tbody tr")).to_contain_text("not started")
    assert await inspect(console.page, "job-waiting") == {}
    await server.post("/dispatch/resume")
    await server.run(first)
    await console.page.keyboard.press("r")
    await expect(console.page.locator(".title .mark")).to_have_text("running")
    await expect(console.section("Waiting for")).to_have_count(0)
    assert console.faults == []


async def test_a_job_of_a_services_labels_shows_the_service_and_the_labels_faults(context, server):
    reply = await server.enqueue("shop", **NIGHTLY)
    job = await server.store.job(reply["jobId"])
    source = JobSource("shop_web", "swarm", "id", fault="fastlane.retries is not a whole number")
    assert await server.store.advance(job, replace(job, source=source, revision=job.revision + 1), (), None)
    console = await open_console(context, page_of(server, reply))
    await expect(console.section("About")).to_contain_text("the labels of the service shop_web")
    faults = console.page.locator("[data-key=labels]")
    await expect(faults).to_contain_text("because the labels of shop_web have faults: fastlane.retries is not a whole number.")
    await expect(console.page.get_by_role("link", name="Edit", exact=True)).to_have_count(0)
    assert await inspect(console.page, "job-labels") == {}


async def test_it_lists_the_due_times_at_which_the_job_did_not_run(context, server):
    await server.hire()
    job = await server.submit("hold", schedule=Schedule(ScheduleKind.CRON, None, Cron("0 0 1 1 *"), Overlap.SKIP))
    await server.move(job, server.clock.now())
    first = await server.reaches(job, "running")
    await server.move(job, server.clock.now())
    await server.ledger(job, "started", "skipped")
    console = await open_console(context, f"{server.base}/console/tasks/task/jobs/{job.job_id}")
    rows = console.section("Ticks that did not run").locator("tbody tr")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("skipped")
    await expect(rows).to_contain_text("overlap: skip")
    assert await inspect(console.page, "job-skipped") == {}
    server.executor.release(first.id)
    await server.cleaned(job)


async def test_a_job_that_ran_once_and_one_that_never_did(context, server):
    reply = await server.run_to_end("once")
    console = await open_console(context, page_of(server, reply))
    await expect(console.section("Schedule")).to_contain_text("Once, when it was posted")
    await expect(console.section("Schedule")).to_contain_text("No further run is due.")
    await expect(console.section("Ticks that did not run")).to_have_count(0)
    later = await server.enqueue("later", startIn="2h")
    console = await open_console(context, page_of(server, later))
    await expect(console.section("Executions")).to_contain_text("It has not run yet.")
    await expect(console.section("Schedule").locator(".runs li")).to_have_count(1)
    assert await inspect(console.page, "job-later") == {}


async def test_a_job_that_does_not_exist_is_told_in_the_servers_words(context, server):
    reply = await server.enqueue("here")
    others = f"/console/tasks/other/jobs/{reply['jobId']}"
    for path, words in ((others, "'other' has no job"), ("/console/tasks/here/jobs/x", "There is no job 'x'")):
        console = await open_console(context, server.base + path)
        await expect(console.trouble).to_contain_text(words)
        await expect(console.trouble.get_by_role("link", name="To the overview")).to_be_visible()
        assert console.faults == []


async def test_names_of_any_kind_lead_to_their_pages(context, server):
    reply = await server.run_to_end("a%20b%25%3F%26%E2%80%AE")
    console = await open_console(context, server.base)
    console_page = console.page
    await expect(console.section("Now")).to_be_visible()
    await console_page.goto(page_of(server, reply))
    await expect(console_page.locator(".title .path")).to_contain_text("a b%?&")
    await expect(console_page.locator(".bars a")).to_have_count(1)
    assert console.faults == []


async def test_it_shows_the_end_of_the_newest_log_as_it_grows(context, server):
    reply = await server.enqueue("reports", cron="0 0 1 1 *")
    console = await open_console(context, page_of(server, reply))
    page, part = console.page, console.section("Log")
    await expect(console.section("Executions")).to_contain_text("It has not run yet.")
    await expect(part).to_have_count(0)
    first = await server.run((await server.post(reply["jobUrl"] + "run")).json)
    await expect(part).to_contain_text("It has written nothing yet.")
    await server.append_log(first, (1, numbered(0, 400)), (2, b"\x1b[31mred\x1b[0m https://example.com/x\n"))
    lines = part.locator(".text")
    await expect(lines.last).to_have_text("red https://example.com/x")
    await expect(lines.last).to_be_in_viewport()
    await expect(lines).to_have_count(100)
    await expect(part.locator(".stderr .text a")).to_have_attribute("href", "https://example.com/x")
    row = await lines.last.element_handle()
    await page.keyboard.press("r")
    await expect(console.live).to_have_text("Live")
    assert await row.evaluate("row => row.isConnected")
    server.followers.interrupt()
    await server.append_log(first, (1, b"goes on\n"))
    await expect(lines.last).to_have_text("goes on")
    assert await inspect(page, "job-log") == {}
    await server.end(first)
    second = await server.run((await server.post(reply["jobUrl"] + "run")).json)
    await server.append_log(second, (1, b"another\n"))
    await expect(lines).to_have_text(["another"])
    await part.get_by_role("link", name="Open the log").click()
    await expect(page.locator("#log .text")).to_have_text(["another"])
    assert console.faults == []
