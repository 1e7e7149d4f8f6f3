"""What people do with a job from the page of its log, by role; and the navigation that the page shares with the console."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from fastlane.models import transitions
from fastlane.models.job import Ending
from fastlane.models.status import Status
from tests.browser.console import FIRST_VIEW, log_in
from tests.browser.logpage import DESK, PHONE, LogPage, open_log, violations
from tests.support.credentials import basic, bearer, token, user
from tests.support.fastlane import Fastlane

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    tokens = (token("eve", "fl_eve", "read"), token("ci", "fl_ci"))
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=tokens, ws_start_wait=1.0) as server:
        await server.report_worker()
        yield server


async def test_a_run_is_stopped_after_a_question_that_names_it_and_then_retried(context, server):
    reply = await server.enqueue("reports", name="Nightly")
    execution = await server.run(reply)
    log = await open_log(context, reply["executionUrl"])
    page, button = log.page, log.page.locator("#actions button")
    await expect(button).to_have_text(["Run now", "Stop this run"])
    await button.last.click()
    question = page.get_by_role("alertdialog")
    await expect(question).to_contain_text(f"Stop the run {execution.id[-8:]} of the job “Nightly” ({reply['jobId'][-8:]})?")
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    assert (await server.execution(reply)).stop_requested_at is None
    await button.last.click()
    await question.get_by_role("button", name="Stop this run").click()
    await expect(log.status).to_have_text("stopping")
    await expect(button.last).to_be_disabled()
    await page.route("**/*", lambda route: route.abort())
    await button.first.click()
    await expect(page.locator("#refused")).to_contain_text("does not answer")
    await expect(button.first).to_be_enabled()
    await expect(button.last).to_be_disabled()
    await page.unroute("**/*")
    await server.change(transitions.end(await server.execution(reply), Ending(Status.STOPPED, server.clock.now(), 143)))
    await expect(button).to_have_text(["Run now", "Retry"])
    await page.get_by_role("button", name="Retry").click()
    await expect(page.locator("#executions a")).to_have_count(2)
    assert log.faults == []


async def test_a_schedule_is_paused_and_resumed_and_what_is_refused_is_said(context, server):
    reply = await server.enqueue("reports", cron="0 2 * * *", overlap="skip")
    log = await open_log(context, reply["jobUrl"])
    await log.page.get_by_role("button", name="Pause").click()
    await expect(log.status).to_have_text("paused")
    await log.page.get_by_role("button", name="Resume").click()
    await expect(log.status).to_have_text("scheduled")
    await server.post(reply["jobUrl"] + "run")
    await log.page.get_by_role("button", name="Run now").click()
    await expect(log.page.locator("#refused")).to_contain_text("under way")
    await log.page.get_by_role("button", name="Dismiss").click()
    await expect(log.page.locator("#refused")).to_be_empty()
    assert log.faults == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_the_page_leads_to_those_of_its_task_and_its_job_and_to_all_others(context, server, size):
    reply = await server.run_to_end("reports", (1, b"one\n"))
    log = await open_log(context, reply["executionUrl"])
    await log.page.set_viewport_size(size)
    nav = log.page.get_by_role("navigation", name="Pages")
    await expect(nav.get_by_role("link")).to_have_text(["Overview", "Tasks", "Jobs", "Executions", "Calendar", "Hosts", "API"])
    sizes = await log.page.evaluate("performance.getEntries().map(one => one.transferSize ?? 0)")
    assert 10_000 < sum(sizes) < FIRST_VIEW, sizes
    await expect(log.page.locator("#task-link")).to_have_attribute("href", f"{server.base}/console/tasks/reports")
    await log.page.locator("#job").click()
    await expect(log.page.get_by_role("region", name="What it runs")).to_be_visible()
    await log.page.get_by_role("region", name="Executions").locator("tbody a").first.click()
    await expect(log.lines).to_have_text(["one"])
    assert log.faults == []


async def test_who_may_only_read_sees_why_the_buttons_are_off(context, guarded):
    reply = (await guarded.post("/tasks/reports", {"image": "ubuntu"}, headers=bearer("fl_ci"))).json
    await guarded.run(reply)
    log = await open_log(context, reply["jobUrl"])
    await log.page.get_by_label("Token").fill("fl_eve")
    await log.page.get_by_role("button", name="Log in").click()
    actions = log.page.get_by_role("group", name="Actions")
    await expect(actions).to_contain_text("Your role is read, which may read and not change.")
    for button in await actions.get_by_role("button").all():
        await expect(button).to_be_disabled()
    await expect(log.page.locator(".account")).to_have_text("eve")
    assert await violations(log.page) == []


async def test_who_came_by_a_ticket_gets_no_buttons_no_navigation_and_no_question_for_a_password(browser, shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", users=(user("anna", "annas", "run"),)) as server:
        await server.report_worker()
        reply = (await server.post("/tasks/task", {"image": "ubuntu"}, headers=basic("anna", "annas"))).json
        await server.append_log(await server.run(reply), (1, b"first\n"))
        link = (await server.post(f"{reply['jobUrl']}ws-ticket", headers=basic("anna", "annas"))).json["streamUrl"]
        context = await browser.new_context()
        log = LogPage(await context.new_page())
        async with log.page.expect_response("**/session") as answered:
            await log.page.goto(link)
        assert (await answered.value).status == 200
        await expect(log.lines).to_have_text(["first"])
        await expect(log.page.locator("#facts")).to_contain_text("ubuntu")
        await expect(log.page.locator("#actions")).to_be_empty()
        await expect(log.page.get_by_role("navigation").get_by_role("link")).to_have_count(0)
        await expect(log.page.get_by_role("link", name="New job")).to_have_count(0)
        assert await violations(log.page) == []
        await context.close()
        logged_in = await browser.new_context()
        log = await open_log(logged_in, reply["jobUrl"])
        await log_in(log.page, "anna", "annas")
        await expect(log.page.get_by_role("button", name="Stop this run")).to_be_enabled()
        await expect(log.page.locator(".account")).to_have_text("anna")
        await logged_in.close()


async def test_a_question_mark_shows_the_keys(context, server):
    reply = await server.run_to_end("task", (1, b"one\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_count(1)
    await expect(log.page.locator("#log")).to_be_focused()  # so that the keyboard scrolls it
    await log.page.keyboard.press("?")
    dialog = log.page.get_by_role("dialog", name="Keyboard")
    await expect(dialog).to_contain_text("Follow the log, or pause")
    assert await dialog.locator("dd").evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)"), "words are cut off"
    assert await violations(log.page) == []
    await log.page.keyboard.press("Escape")
    await log.page.keyboard.press("f")
    await expect(log.page.locator("#follow")).to_have_attribute("aria-pressed", "false")
    await log.page.keyboard.press("/")
    await expect(log.page.locator("#query")).to_be_focused()


async def test_the_page_of_a_schedule_goes_on_to_each_new_run_if_that_was_chosen(context, server):
    reply = await server.enqueue("reports", cron="0 0 1 1 *")
    first = await server.run((await server.post(reply["jobUrl"] + "run")).json)
    await server.append_log(first, (1, b"one\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["one"])
    await server.end(first)
    await expect(log.link).to_contain_text("Ended")
    await log.page.get_by_role("button", name="Run now").click()
    await expect(log.page.locator("#executions a")).to_have_count(2)
    second = await server.run({"executionId": (await newest(server, reply)).id})
    await server.append_log(second, (1, b"two\n"))
    await expect(log.notices).to_contain_text("A newer run has started.")
    await expect(log.lines).to_have_text(["one"])
    await log.view(runs=True)
    await log.page.reload()
    await expect(log.lines).to_have_text(["two"])
    await server.end(second)
    await expect(log.link).to_contain_text("Ended")
    third = await server.run((await server.post(reply["jobUrl"] + "run")).json)
    await server.append_log(third, (1, b"three\n"))
    await log.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(log.lines).to_have_text(["three"])
    await expect(log.status).to_have_text("running")
    await expect(log.link).to_contain_text("Live")
    await server.append_log(third, (1, b"four\n"))
    await expect(log.lines).to_have_text(["three", "four"])
    once = await open_log(context, (await server.run_to_end("once", (1, b"x\n")))["jobUrl"])
    await expect(once.lines).to_have_count(1)
    await once.page.locator("#view summary").click()
    await expect(once.page.get_by_label("Keep following new runs")).to_be_hidden()
    assert log.faults == []


async def newest(server, reply):
    return (await server.store.executions_of(reply["jobId"], 1))[0]
