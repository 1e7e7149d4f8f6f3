"""The page of a live log, in a real browser."""

import re
from dataclasses import replace

import pytest
from playwright.async_api import expect

from fastlane.models import transitions
from fastlane.models.event import Note, Obstacle
from fastlane.models.host import HostView
from fastlane.models.job import Ending, Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from fastlane.queue.port import Report
from tests.browser.logpage import DESK, PHONE, numbered, open_log, shoot, violations
from tests.support.fastlane import HOST
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODY = "00000000-0000-4000-8000-000000000000"
COLOURS = b"".join(
    b"\x1b[3%dmplain\x1b[0m \x1b[9%dmbright\x1b[0m \x1b[4%dmground\x1b[0m " % (one, one, one)
    + b"\x1b[10%d;3%dmboth\x1b[0m \x1b[2;3%dmdim\x1b[0m \x1b[7;3%dmturned\x1b[0m\n" % (one, one, one, one)
    for one in range(8)
)
STYLES = (
    b"\x1b[1mbold\x1b[22m \x1b[3mitalic\x1b[23m \x1b[4munderlined\x1b[24m "
    b"\x1b[38;5;208morange\x1b[m \x1b[48;2;20;60;120;38;2;30;70;130mnear\x1b[m\n"
)


# what it shows


async def test_lines_appear_before_the_job_ends_and_then_how_it_ended(context, server):
    reply = await server.enqueue("build", command="make all")
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"first\n"), (2, b"a warning\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["first", "a warning"])
    await expect(log.status).to_have_text("running")
    await expect(log.link).to_contain_text("Live")
    await server.append_log(execution, (1, b"second, unfin"))
    await expect(log.lines).to_have_text(["first", "a warning", "second, unfin"])
    await server.append_log(execution, (2, b"between\n"), (1, b"ished\n"))
    await expect(log.lines).to_have_text(["first", "a warning", "second, unfinished", "between"])
    await expect(log.page.locator("#log .row.stderr .text")).to_have_text(["a warning", "between"])
    for words in ("ubuntu:latest", "make all", "10.0.0.7:2375", execution.id):
        await expect(log.page.locator("#facts")).to_contain_text(words)
    await server.end(execution, 3)
    await expect(log.status).to_have_text("failed")
    await expect(log.page.locator("#gist")).to_contain_text("exit code 3")
    await expect(log.link).to_contain_text("Ended")
    assert await log.page.title() == "failed · build · fastlane"
    assert log.faults == []


async def test_a_stop_under_way_is_said_to_be_one(context, server):
    reply = await server.enqueue()
    await server.run(reply)
    log = await open_log(context, reply["jobUrl"])
    await expect(log.status).to_have_text("running")
    await server.post(reply["jobUrl"] + "stop")
    await expect(log.status).to_have_text("stopping")
    await server.change(transitions.end(await server.execution(reply), Ending(Status.STOPPED, server.clock.now(), 143)))
    await expect(log.status).to_have_text("stopped")


@pytest.mark.parametrize(
    "path", ["/task/a%20task/jobs/{}/stream/", "//tasks//a%20task/jobs/{}//stream//", "/tasks/a%20task/jobs/{}/stream"]
)
async def test_it_is_served_at_every_spelling(context, server, path):
    reply = await server.run_to_end("a%20task", (1, b"here\n"))
    log = await open_log(context, server.base + path.format(reply["jobId"]))
    await expect(log.lines).to_have_text(["here"])
    await expect(log.page.locator("#task")).to_have_text("a task")
    assert log.faults == []


async def test_a_job_is_called_by_its_name_or_else_its_task_below_its_task(context, server):
    for name, called in ((None, "backup"), ("Nightly", "Nightly")):
        reply = await server.enqueue("backup", **({"name": name} if name else {}))
        await server.end(await server.run(reply), 0)
        log = await open_log(context, reply["jobUrl"])
        await expect(log.page.get_by_role("heading", level=1)).to_have_text(f"{called} {reply['jobId'][-8:]}")
        await expect(log.page.locator(".path")).to_have_text("Task backup")
        await expect(log.page).to_have_title(f"done · {called} · fastlane")


async def test_a_job_that_never_existed_is_not_found(context, server):
    log = await open_log(context, f"{server.base}/tasks/task/jobs/{NOBODY}/")
    await expect(log.status).to_have_text("not found")
    await expect(log.notices).to_contain_text("There is nothing at this address.")
    await expect(log.page.locator("#nothing")).to_contain_text("This job does not exist.")
    await shoot(log.page, "not-found")


async def test_a_job_that_is_deleted_meanwhile_is_told_as_deleted(context, server):
    reply = await server.enqueue(startIn="1h")
    log = await open_log(context, reply["jobUrl"])
    await expect(log.link).to_contain_text("Reconnecting")
    assert (await server.ask("DELETE", reply["jobUrl"] + "?stop=1")).status == 200
    await expect(log.status).to_have_text("deleted")
    await expect(log.notices).to_contain_text("This job was deleted.")


async def test_while_it_waits_it_says_why(context, server):
    reply = await server.enqueue("waits")
    await server.report_worker(usable=False)
    log = await open_log(context, reply["jobUrl"])
    await expect(log.notices).to_contain_text("refused the connection")
    await expect(log.page.locator("#nothing")).to_have_text("Nothing has started yet.")
    await expect(log.page.locator("#live-count")).to_have_text(re.compile("in [1-4] s"))  # it counts
    await shoot(log.page, "waiting")
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"at last\n"))
    await log.page.get_by_role("button", name="Reconnect now").click()
    await expect(log.lines).to_have_text(["at last"])
    await expect(log.notices).to_be_empty()


async def test_while_no_node_takes_it_it_says_so_in_the_engines_words_and_counts_to_the_deadline(context, server):
    reply = await server.enqueue("waits")
    execution = await server.pull(reply)
    words, now = "no suitable node (scheduling constraints not satisfied on 1 node)", server.clock.now()
    note = Note(execution.id, execution.epoch, Obstacle.NO_NODE, words, now, now + 3_600_000)
    await server.queue.reports.announce(Report("w", now, (HostView(HOST, True),), (note,)), ttl=60_000)
    log = await open_log(context, reply["jobUrl"])
    await expect(log.notices).to_contain_text(f"No node of the swarm of {HOST} takes it: {words};")
    await expect(log.notices).to_contain_text(re.compile(r"it is given up at [^;]+, in 59 m"))
    await shoot(log.page, "no-node")
    await server.queue.reports.announce(Report("w", now, (HostView(HOST, True),)), ttl=60_000)
    await expect(log.notices).not_to_contain_text("no suitable node")


async def test_who_listens_to_a_page_that_waits_hears_it_once_and_who_looks_sees_it_stand_still(context, server):
    reply = await server.enqueue(startIn="1h")
    page = await context.new_page()
    await page.add_init_script(WITNESS)
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    await page.goto(reply["jobUrl"] + "stream")
    await expect(page.locator("#notices")).to_contain_text("Its next tick is due at")
    for count in (2, 3, 4):
        await page.get_by_role("button", name="Reconnect now").click()
        await until(lambda count=count: len(sockets) >= count, "one more connection")
        await expect(page.locator("#live")).to_contain_text(re.compile("in [1-5] s"))
    assert await page.evaluate("witness.said") == ["Nothing has started yet. The page reconnects every 5 seconds."]
    assert await page.evaluate("witness.links") == ["Connecting", "Reconnecting"]


WITNESS = """addEventListener("DOMContentLoaded", () => {
    const keep = (id, list) => {
        const place = document.getElementById(id);
        const note = () => { if (place.textContent && place.textContent !== list.at(-1)) list.push(place.textContent); };
        new MutationObserver(note).observe(place, {childList: true, characterData: true, subtree: true});
        note();
    };
    window.witness = {said: [], links: []};
    keep("said", witness.said);
    keep("live-words", witness.links);
})"""
"""Keeps what is said to who listens, and what the page's corner says of its connection."""


async def test_of_a_periodic_job_it_says_when_the_next_tick_is(context, server):
    reply = await server.enqueue(cron="0 0 1 1 *")
    log = await open_log(context, reply["jobUrl"])
    await expect(log.status).to_have_text("scheduled")
    await expect(log.notices).to_contain_text("Its next tick is due at")
    await expect(log.notices).to_contain_text(" d ")
    await expect(log.page.locator("#facts")).to_contain_text("0 0 1 1 * (UTC)")


async def test_what_never_ran_says_so(context, server):
    reply = await server.enqueue()
    pulling = await server.pull(reply)
    ending = Ending(Status.FAILED, server.clock.now(), failure=Failure(FailureReason.IMAGE, "No such image: <b>x</b>"))
    assert await server.store.change(transitions.give_up(pulling, ending))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.page.locator("#nothing")).to_have_text("It never ran.")
    await expect(log.notices).to_have_text("Failed: No such image: <b>x</b>.")


async def test_of_many_executions_the_older_ones_come_on_demand(context, server):
    reply = await server.run_to_end("task", (1, b"x\n"))
    one = await server.execution(reply)
    for _ in range(30):
        one = replace(next_execution(one, due=1, now=1), sequence=9)
        assert await server.store.insert(one)
    log = await open_log(context, reply["executionUrl"])
    await expect(log.lines).to_have_text(["x"])
    await expect(log.page.locator("#others-count")).to_have_text("31")
    others = log.page.locator("#executions a")
    await expect(others).to_have_count(21)  # the newest 20, and the one that the page shows
    await log.page.locator("#older").click()
    await expect(others).to_have_count(31)
    await expect(log.page.locator("#older")).to_be_hidden()


async def test_what_comes_after_the_end_is_told(context, server):
    reply = await server.run_to_end("task", (1, b"before\n"))
    assert (await server.put(f"/tasks/task/jobs/{reply['jobId']}", {"image": "ubuntu:latest", "cron": "0 0 1 1 *"})).status == 200
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["before"])
    await expect(log.status).to_have_text("done")
    await expect(log.notices).to_contain_text("Next run: Jan 1")
    again = replace(next_execution(await server.execution(reply), due=1, now=server.clock.now()), sequence=9, tick_id="next", attempt=1)
    assert await server.store.insert(again)
    running = await server.run({"executionId": again.id})
    await server.append_log(running, (1, b"after\n"))
    await expect(log.notices).to_contain_text("A newer run has started.")
    await expect(log.lines).to_have_text(["before"])
    await log.page.locator("#log .no[data-no='1']").click()
    assert log.page.url == f"{reply['executionUrl']}stream#L1"
    await log.page.get_by_role("button", name="Follow it").click()
    await expect(log.lines).to_have_text(["after"])
    await expect(log.page.locator("#log .linked")).to_have_count(0)
    assert log.page.url == f"{reply['jobUrl']}stream"


async def test_events_tell_of_the_job_so_that_the_page_hardly_asks(context, server):
    reply = await server.enqueue()
    await server.run(reply)
    page, asked = await context.new_page(), []
    await page.clock.install()
    async with page.expect_response("**/events?*"):
        await page.goto(f"{reply['jobUrl']}stream")
    page.on("request", lambda request: asked.append(request) if request.url == reply["jobUrl"] else None)

    async def rests():
        before = len(asked)
        await page.clock.fast_forward("00:06")
        await page.wait_for_timeout(500)
        return len(asked) == before

    await until(rests, "the page to ask no more")
    await server.change(transitions.end(await server.execution(reply), Ending(Status.FAILED, server.clock.now(), 3)))
    await expect(page.locator("#status")).to_have_text("failed")


async def test_without_events_the_page_asks_every_five_seconds(context, server):
    reply = await server.enqueue()
    await server.run(reply)
    await context.route("**/events?*", lambda route: route.abort())
    page = await context.new_page()
    await page.clock.install()
    await page.goto(f"{reply['jobUrl']}stream")
    await expect(page.locator("#live")).to_contain_text("Live")
    for _ in range(3):
        async with page.expect_request(reply["jobUrl"]):
            await page.clock.fast_forward("00:06")
    await server.change(transitions.end(await server.execution(reply), Ending(Status.FAILED, server.clock.now(), 3)))
    await page.clock.fast_forward("00:06")
    await expect(page.locator("#status")).to_have_text("failed")


# for everybody


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing(context, server, size, theme):
    """In the state with the most in it everywhere, in the others on a phone."""
    running = await server.enqueue("colours", command="make all", retries=2)
    execution = await server.run(running)
    await server.append_log(execution, (1, COLOURS + STYLES), (2, COLOURS + b"an error\n"), (1, numbered(0, 3, 60)))
    states = [("running", running["jobUrl"], "Live")]
    if size is PHONE:
        states.append(("failed", (await server.run_to_end("failed", (1, b"one\n"), (2, b"two\n"), code=1))["executionUrl"], "Ended"))
        states.append(("waiting", (await server.enqueue("waiting", cron="0 0 1 1 *"))["jobUrl"], "Reconnecting"))
    for name, url, link in states:
        log = await open_log(context, url)
        await log.page.set_viewport_size(size)
        await log.page.emulate_media(color_scheme=theme)
        await expect(log.link).to_contain_text(link)
        await expect(log.page.locator("#facts")).not_to_be_empty()
        if name == "running":
            await expect(log.lines.last).to_be_in_viewport()
            await shoot(log.page, f"running-{theme}-{size['width']}")
            await log.page.locator("#view summary").click()
            if size is PHONE:
                await log.page.locator("#others summary").click()
        assert await log.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await shoot(log.page, f"{name}-open-{theme}-{size['width']}" if name == "running" else f"{name}-{theme}")
        assert await violations(log.page, theme) == [], name
        await log.page.close()
