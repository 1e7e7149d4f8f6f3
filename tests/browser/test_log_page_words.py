"""The words of the log page: times, the command, why an execution ended badly, and names that would reorder what is around them."""

import re
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from fastlane.models import transitions
from fastlane.models.job import Ending, Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from tests.browser.logpage import open_log, shoot

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOMENT = r"[A-Z][a-z]{2} \d{1,2}, \d{4}, \d\d:\d\d:\d\d GMT\+5:30"
LONG = "x" * 3_000


async def end(server, reply, ending):
    """Runs the execution and ends it so many milliseconds after its start."""
    execution = await server.run(reply)
    return await server.change(transitions.end(execution, ending(execution.started_at)))


async def test_every_time_has_the_same_format_and_the_zone(browser, server):
    reply = await server.run_to_end("task", (1, b"line\n"))
    assert (await server.put(f"/tasks/task/jobs/{reply['jobId']}", {"image": "ubuntu:latest", "cron": "0 0 1 1 *"})).status == 200
    context = await browser.new_context(timezone_id="Asia/Kolkata")
    try:
        log = await open_log(context, reply["jobUrl"])
        await expect(log.notices).to_contain_text(re.compile(rf"^Next run: {MOMENT}, in \d+ d"))
        facts = log.page.locator("#facts div")
        for name in ("Started", "Ended"):
            await expect(facts.filter(has_text=name)).to_have_text(re.compile(rf"^{name}(just now|\d+\W[smh] ago)$"))
            await expect(facts.filter(has_text=name).locator("time")).to_have_attribute("title", re.compile(f"^{MOMENT}$"))
        await expect(log.page.locator("#executions time")).to_have_text(re.compile(r"^(just now|\d+\W[smh] ago)$"))
        await expect(log.page.locator("#executions time")).to_have_attribute("title", re.compile(f"^{MOMENT}$"))
        await log.page.locator("#view summary").click()
        await expect(log.page.get_by_label("Show times (GMT+5:30)")).to_be_visible()
        waiting = await open_log(context, (await server.enqueue("task", startIn="1h"))["jobUrl"])
        await expect(waiting.notices).to_contain_text(re.compile(f"It is due at {MOMENT}|Its next tick is due at {MOMENT}"))
    finally:
        await context.close()


async def test_the_command_is_there_in_full_and_is_copied(context, server):
    reply = await server.enqueue(command=["sh", "-c", f"echo {LONG}; echo 'the end'"])
    command = (await server.get(reply["jobUrl"])).json["job"]["spec"]["command"]
    log = await open_log(context, reply["jobUrl"])
    shown = log.page.locator("#facts .command code")
    await expect(shown).to_have_text(command)
    await shown.evaluate("(code) => { code.scrollTop = code.scrollHeight }")
    assert await shown.evaluate("(code) => code.scrollWidth <= code.clientWidth")
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await log.page.get_by_role("button", name="Copy the command").click()
    await expect(log.page.locator("#facts .command button")).to_have_text("Copied")
    assert await log.page.evaluate("navigator.clipboard.readText()") == command
    await shoot(log.page, "long-command")


ENDINGS = {
    "timed out": (
        {"timeout": 4},
        lambda start: Ending(Status.TIMEDOUT, start + 4_000, 143),
        "Timed out after 4 s (limit 4 s).",
    ),
    "by the server's limit": (
        {"retries": 2},
        lambda start: Ending(Status.TIMEDOUT, start + 1_800_000, 137),
        "Attempt 1 of 3 timed out after 30 m (the server's limit). This is not retried.",
    ),
    "failed": (
        {},
        lambda start: Ending(Status.FAILED, start + 1, 3, Failure(FailureReason.EXIT, "the command ended with exit code 3")),
        "Failed: the command ended with exit code 3. No retries were asked for.",
    ),
    "out of memory": (
        {"retries": 2, "retryDelay": "1h"},
        lambda start: Ending(Status.FAILED, start + 1, 137, Failure(FailureReason.OOM, "it used more than its limit of 64 MiB of memory.")),
        "Attempt 1 of 3 failed: it used more than its limit of 64 MiB of memory. 2 of 2 retries left; attempt 2 is due at",
    ),
    "refused": (
        {"retries": 1},
        lambda start: Ending(Status.FAILED, start, None, Failure(FailureReason.REJECTED, "its node refused \u202eit")),
        "Attempt 1 of 2 failed: its node refused [U+202E]it. This is not retried.",
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_one_line_says_why_it_ended_badly_and_what_is_left(context, server, name):
    fields, ending, words = ENDINGS[name]
    reply = await server.enqueue(**fields)
    await end(server, reply, ending)
    log = await open_log(context, reply["executionUrl"])
    await expect(log.notices).to_have_text(re.compile(re.escape(words) + ("$" if words.endswith(".") else "")))


async def test_a_pause_is_told_without_a_route_of_the_api(context, server):
    await server.report_worker()
    reply = await server.enqueue(cron="0 0 1 1 *")
    await server.post(reply["jobUrl"] + "pause")
    log = await open_log(context, reply["jobUrl"])
    await expect(log.notices).to_contain_text("is held until someone resumes the job.")
    await expect(log.notices).not_to_contain_text(re.compile("POST|/resume"))


ORDER = """() => {
    const text = document.getElementById("job-id").firstChild;
    const place = (at) => {
        const range = new Range();
        range.setStart(text, at);
        range.setEnd(text, at + 1);
        return range.getBoundingClientRect();
    };
    const task = document.getElementById("job-name").getBoundingClientRect();
    return [task.right <= place(0).left, place(0).left < place(text.length - 1).left];
}"""
"""Whether the job's id begins after the task's, and is written from left to right."""


@pytest.mark.parametrize("task", ["x\u202egnp", "x\u2069\u202egnp", "\u05d0\u05d1\u05d2", "\u2067x"])
async def test_a_task_id_cannot_reorder_what_is_around_it(context, server, task):
    reply = await server.run_to_end(quote(task), (1, b"line\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["line"])
    assert await log.page.locator("#task").text_content() == task
    assert await log.page.locator("#job-name").text_content() == task
    assert await log.page.evaluate(ORDER) == [True, True]
    title = await log.page.title()
    assert title.startswith("done · ")
    assert title.endswith(" · fastlane")
    assert not re.search("[\u202a-\u202e\u2066\u2067]", title)
    assert title.count("\u2068") == title.count("\u2069")
