"""What people do with a job on its page, in a real browser."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.console import inspect, log_in, open_console, violations
from tests.browser.logpage import open_log
from tests.browser.test_console_job import page_of
from tests.support.credentials import basic, bearer, token, user
from tests.support.fastlane import IMAGE, Fastlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

CRON = {"name": "Nightly", "cron": "0 2 * * *"}


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    tokens = (token("eve", "fl_eve", "read"), token("tom", "fl_tom", "trigger"), token("ci", "fl_ci"))
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=tokens) as server:
        await server.report_worker()
        yield server


async def test_a_job_is_run_paused_resumed_and_stopped(context, server):
    reply = await server.enqueue("reports", **CRON)
    console = await open_console(context, page_of(server, reply))
    page, status = console.page, console.page.locator(".title .mark")
    button = page.get_by_role("group", name="Actions").get_by_role("button")
    await expect(button).to_have_text(["Run now", "Backfill", "Pause", "Stop the schedule", "Delete"])
    await page.get_by_role("button", name="Run now").click()
    await expect(console.section("Executions").locator("tbody tr")).to_have_count(1)
    await page.get_by_role("button", name="Pause").click()
    await expect(status).to_have_text("paused")
    await expect(console.section("Schedule")).to_contain_text("It is paused, so no run is due.")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    await page.get_by_role("button", name="Stop the schedule").click()
    question = page.get_by_role("alertdialog")
    await expect(question).to_contain_text("Stop the job “Nightly”")
    await question.get_by_role("button", name="Cancel").click()
    assert (await server.get(reply["jobUrl"])).json["job"]["scheduled"]
    await page.get_by_role("button", name="Stop the schedule").click()
    await question.get_by_role("button", name="Stop the job").click()
    await expect(status).to_have_text("stopped")
    await expect(page.get_by_role("button", name="Retry")).to_be_visible()
    await page.get_by_role("button", name="Retry").click()
    await expect(console.section("Executions").locator("tbody tr")).to_have_count(2)
    assert console.faults == []


async def test_deleting_asks_first_and_names_the_job(context, server):
    reply = await server.enqueue("reports", startIn="1h")
    await server.enqueue("reports")
    console = await open_console(context, page_of(server, reply))
    page = console.page
    await page.get_by_role("button", name="Delete").click()
    question = page.get_by_role("alertdialog")
    await expect(question).to_contain_text(f"Delete the job “reports” ({reply['jobId'][-8:]}) of the task “reports”?")
    await expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    assert await inspect(page, "question") == {}
    await page.keyboard.press("Escape")
    await expect(question).to_be_hidden()
    assert (await server.get(reply["jobUrl"])).status == 200
    await page.get_by_role("button", name="Delete").click()
    await question.get_by_role("button", name="Delete the job").click()
    await expect(page).to_have_url(f"{server.base}/console/tasks/reports")
    await expect(page.locator("tbody tr")).to_have_count(1)
    assert (await server.get(reply["jobUrl"])).status == 404
    assert console.faults == []


async def test_all_jobs_of_a_task_are_stopped_and_then_deleted_with_it(context, server):
    await server.enqueue("reports", **CRON)
    await server.enqueue("reports", startIn="1h")
    console = await open_console(context, f"{server.base}/console/tasks/reports")
    page, question, rows = console.page, console.page.get_by_role("alertdialog"), console.page.locator("tbody tr")
    await expect(rows.filter(has_text="scheduled")).to_have_count(2)
    await page.get_by_role("button", name="Stop all jobs").click()
    await expect(question).to_contain_text("Stop all 2 jobs of the task “reports”?")
    await question.get_by_role("button", name="Stop all jobs").click()
    await expect(rows.filter(has_text="stopped")).to_have_count(2)
    await page.get_by_role("button", name="Delete the task").click()
    await expect(question).to_contain_text("Delete the task “reports” with all 2 jobs")
    await question.get_by_role("button", name="Cancel").click()
    assert (await server.get("/tasks/reports")).status == 200
    await page.get_by_role("button", name="Delete the task").click()
    await question.get_by_role("button", name="Delete the task").click()
    await expect(page).to_have_url(f"{server.base}/console/tasks")
    assert (await server.get("/tasks/reports")).status == 404
    assert console.faults == []


async def test_what_the_server_refuses_is_said_in_its_words(context, server):
    reply = await server.enqueue("reports", **CRON, overlap="skip")
    await server.post(reply["jobUrl"] + "run")
    console = await open_console(context, page_of(server, reply))
    await console.page.get_by_role("button", name="Run now").click()
    await expect(console.page.locator("#refused")).to_contain_text("under way")
    await console.page.keyboard.press("r")
    await expect(console.page.locator("#refused")).to_contain_text("under way")
    await console.page.get_by_role("button", name="Dismiss").click()
    await expect(console.page.locator("#refused")).to_be_empty()


async def test_a_run_with_parameters_asks_for_their_values_and_says_what_is_wrong(context, server):
    version = {"description": "The release", "pattern": "v[0-9]+", "required": True}
    declared = {"VERSION": version, "SIZE": {"choices": ["s", "l"], "default": "s"}, "PIN": {"secret": True}}
    reply = await server.enqueue("shop", manual=True, parameters=declared)
    console = await open_console(context, page_of(server, reply))
    page, form = console.page, console.page.get_by_role("alertdialog")
    await expect(page.locator(".title .mark")).to_have_text("idle")
    await page.get_by_role("button", name="Run now").click()
    await form.get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Run now").click()
    await form.get_by_label("VERSION").fill("7")
    await form.get_by_label("SIZE").select_option("l")
    await expect(form.get_by_label("PIN")).to_have_attribute("type", "password")
    await form.get_by_role("button", name="Run now").click()
    await expect(form).to_contain_text("Does not match its pattern")
    assert await violations(page) == []
    await form.get_by_label("VERSION").fill("v7")
    await form.get_by_role("button", name="Run now").click()
    await expect(console.section("Executions").locator("tbody tr")).to_have_count(1)
    await expect(form).to_be_hidden()
    (row,) = (await server.get(reply["jobUrl"])).json["job"]["executions"]
    assert row["parameters"] == {"VERSION": "v7", "SIZE": "l"}
    assert console.faults == []


async def test_who_may_only_read_sees_why_the_buttons_are_off(context, guarded):
    reply = (await guarded.post("/tasks/reports", {"image": "ubuntu", **CRON}, headers=bearer("fl_ci"))).json
    console = await open_console(context, page_of(guarded, reply))
    await console.page.get_by_label("Token").fill("fl_eve")
    await console.page.get_by_role("button", name="Log in").click()
    actions = console.page.get_by_role("group", name="Actions")
    await expect(actions).to_contain_text("Your role is read, which may read and not change.")
    for button in await actions.get_by_role("button").all():
        await expect(button).to_be_disabled()
    assert await inspect(console.page, "job-read-only") == {}
    await console.page.get_by_role("link", name="reports").first.click()
    await expect(console.page.get_by_role("button", name="Stop all jobs")).to_be_disabled()
    await expect(actions).to_contain_text("Your role is read, which may read and not change.")
    assert await inspect(console.page, "task-read-only") == {}


async def test_the_role_trigger_runs_and_stops_jobs_and_all_else_is_off(context, guarded):
    reply = (await guarded.post("/tasks/reports", {"image": "ubuntu", **CRON}, headers=bearer("fl_ci"))).json
    console = await open_console(context, page_of(guarded, reply))
    page, question = console.page, console.page.get_by_role("alertdialog")
    await page.get_by_label("Token").fill("fl_tom")
    await page.get_by_role("button", name="Log in").click()
    buttons = page.get_by_role("group", name="Actions").get_by_role("button")
    off = page.locator(".actions button:disabled")
    rows = console.section("Executions").locator("tbody tr")
    await expect(off).to_have_text(["Backfill", "Pause", "Delete"])
    await expect(page.get_by_role("group", name="Actions")).to_contain_text("Your role is trigger, which may run and stop jobs")
    await expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    assert await inspect(page, "job-trigger") == {}
    await page.get_by_role("button", name="Run now").click()
    await expect(rows).to_have_count(1)
    (execution,) = await guarded.store.executions_of(reply["jobId"], 1)
    await guarded.run({"executionId": execution.id})
    await page.keyboard.press("r")
    await expect(buttons).to_have_text(["Run now", "Backfill", "Pause", "Stop this run", "Stop the schedule", "Delete"])
    log = await open_log(context, reply["jobUrl"])
    await expect(log.page.locator("#actions button:enabled")).to_have_text(["Run now", "Stop this run"])
    await page.get_by_role("button", name="Stop this run").click()
    await question.get_by_role("button", name="Stop this run").click()
    await expect(off).to_have_text(["Backfill", "Pause", "Stop this run", "Delete"])
    assert (await guarded.store.execution(execution.id)).stop_requested_at is not None
    await page.get_by_role("button", name="Stop the schedule").click()
    await question.get_by_role("button", name="Stop the job").click()
    await expect(console.section("Schedule")).to_contain_text("the schedule was stopped")
    await page.get_by_role("link", name="reports").first.click()
    await expect(off).to_have_text(["Stop all jobs", "Delete the task"])
    assert console.faults == log.faults == []


async def test_who_logs_in_by_name_and_password_may_do_what_their_role_says(browser, shared_redis, tmp_path):
    users = (user("anna", "annas", "run"), user("eve", "eves", "read"))
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", users=users) as server:
        await server.report_worker()
        for name, password, may in (("anna", "annas", True), ("eve", "eves", False)):
            context = await browser.new_context()
            if may:
                reply = (await server.post("/tasks/reports", {"image": "ubuntu"}, headers=basic(name, password))).json
            console = await open_console(context, page_of(server, reply))
            await log_in(console.page, name, password)
            await expect(console.page.locator(".account")).to_have_text(name)
            await expect(console.page.get_by_role("button", name="Run now")).to_be_enabled(enabled=may)
            await context.close()


async def test_an_execution_is_run_again_with_another_image(context, server):
    reply = await server.run_to_end("reports", code=3)
    console = await open_console(context, reply["executionUrl"].replace(server.base, f"{server.base}/console"))
    page, question = console.page, console.page.get_by_role("alertdialog")
    again = page.get_by_role("group", name="Actions").get_by_role("button", name="Run again")
    await again.click()
    image = question.get_by_label("Image")
    await expect(image).to_have_attribute("placeholder", f"{IMAGE} (default)")
    await image.fill("Not an image")
    await question.get_by_role("button", name="Run again").click()
    await expect(image).to_have_attribute("aria-invalid", "true")
    assert await violations(page) == []
    await image.fill("ubuntu:24.04")
    await question.get_by_role("button", name="Run again").click()
    await expect(question).to_be_hidden()
    (made, _) = (await server.get(reply["jobUrl"] + "executions")).json["items"]
    assert made["image"] == "ubuntu:24.04"
    assert console.faults == [] or all("400" in fault for fault in console.faults)


async def test_a_backfill_shows_what_would_run_begins_and_is_stopped(context, server):
    reply = await server.enqueue("reports", cron="0 * * * *")
    console = await open_console(context, page_of(server, reply))
    page, question = console.page, console.page.get_by_role("alertdialog")
    await page.get_by_role("button", name="Backfill").click()
    ago = datetime.now(UTC) - timedelta(hours=5)
    zone = await page.evaluate("() => new Date().getTimezoneOffset()")
    await question.get_by_label("From").fill((ago - timedelta(minutes=zone)).strftime("%Y-%m-%dT%H:%M"))
    await question.get_by_role("button", name="Show what would run").click()
    await expect(question.get_by_role("status")).to_contain_text(re.compile(r"^[56] due times would run: from "))
    assert await violations(page) == []
    go = question.get_by_role("button", name=re.compile("^Run [56]$"))
    await expect(go).to_be_focused()
    await question.get_by_label("How many at once").fill("2")
    await question.get_by_role("button", name="Show what would run").press("Enter")
    await go.press("Enter")
    await expect(question).to_be_hidden()
    await expect(console.section("Waiting for")).to_contain_text("A backfill runs")
    await page.get_by_role("button", name="Stop the backfill").click()
    await question.get_by_role("button", name="Stop the backfill").click()
    await expect(page.get_by_role("button", name="Backfill", exact=True)).to_be_visible()
    assert (await server.get(reply["jobUrl"] + "backfill")).json["status"] == "stopped"
    assert console.faults == []
