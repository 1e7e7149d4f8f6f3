"""The page of a live log, in a real browser."""

import re
from dataclasses import replace

import pytest
from playwright.async_api import expect

from fastlane.models import transitions
from fastlane.models.execution import Ending, Failure, FailureReason
from fastlane.models.note import Note, Obstacle
from fastlane.models.placement.host import HostView
from fastlane.models.schedule.tick import next_execution
from fastlane.models.status import Status
from fastlane.queue.base import Report
from tests.browser.logpage import DESK, PHONE, open_log, shoot, violations
from tests.support.credentials import user
from tests.support.fastlane import HOST, Fastlane
from tests.support.relay import Relay
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


def numbered(first: int, last: int, width: int = 0) -> bytes:
    return b"".join(b"line %d %s\n" % (number, b"." * width) for number in range(first, last))


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


@pytest.mark.parametrize(
    "path", ["/task/a%20task/jobs/{}/stream/", "//tasks//a%20task/jobs/{}//stream//", "/tasks/a%20task/jobs/{}/stream"]
)
async def test_it_is_served_at_every_spelling(context, server, path):
    reply = await server.run_to_end("a%20task", (1, b"here\n"))
    log = await open_log(context, server.base + path.format(reply["jobId"]))
    await expect(log.lines).to_have_text(["here"])
    await expect(log.page.locator("#task")).to_have_text("a task")
    assert log.faults == []


async def test_a_job_that_is_not_there_is_gone(context, server):
    log = await open_log(context, f"{server.base}/tasks/task/jobs/{NOBODY}/")
    await expect(log.status).to_have_text("gone")
    await expect(log.notices).to_contain_text("There is nothing at this address.")
    await expect(log.page.locator("#nothing")).to_contain_text("This job does not exist.")
    await shoot(log.page, "gone")


async def test_a_job_that_is_deleted_meanwhile_is_gone(context, server):
    reply = await server.enqueue(startIn="1h")
    log = await open_log(context, reply["jobUrl"])
    await expect(log.link).to_contain_text("Looking again")
    assert (await server.ask("DELETE", reply["jobUrl"] + "?stop=1")).status == 200
    await expect(log.status).to_have_text("gone")


async def test_while_it_waits_it_says_why(context, server):
    reply = await server.enqueue("waits")
    await server.report_worker(usable=False)
    log = await open_log(context, reply["jobUrl"])
    await expect(log.notices).to_contain_text("refused the connection")
    await expect(log.page.locator("#nothing")).to_have_text("Nothing has started yet.")
    await expect(log.page.locator("#link-count")).to_have_text(re.compile("in [1-4] s"))  # it counts
    await shoot(log.page, "waiting")
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"at last\n"))
    await log.page.get_by_role("button", name="Look now").click()
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
        await page.get_by_role("button", name="Look now").click()
        await until(lambda count=count: len(sockets) >= count, "one more connection")
        await expect(page.locator("#link")).to_contain_text(re.compile("in [1-5] s"))
    assert await page.evaluate("witness.said") == ["Nothing has started yet. The page looks again every 5 seconds."]
    assert await page.evaluate("witness.links") == ["Connecting", "Looking again"]


WITNESS = """addEventListener("DOMContentLoaded", () => {
    const keep = (id, list) => {
        const place = document.getElementById(id);
        const note = () => { if (place.textContent && place.textContent !== list.at(-1)) list.push(place.textContent); };
        new MutationObserver(note).observe(place, {childList: true, characterData: true, subtree: true});
        note();
    };
    window.witness = {said: [], links: []};
    keep("said", witness.said);
    keep("link-words", witness.links);
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


async def test_all_attempts_are_in_one_log_and_each_has_a_page(context, server):
    reply = await server.enqueue("again", retries=1)
    first = await server.run(reply)
    await server.append_log(first, (1, b"in vain\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["in vain"])
    failed = await server.end(first, 1)
    following = next_execution(failed, due=server.clock.now(), now=server.clock.now())
    assert await server.store.insert(following)
    assert await server.store.change(transitions.settle(failed))
    running = await server.run({"executionId": following.id})
    await server.append_log(running, (1, b"at last\n"))
    await expect(log.lines).to_have_text(["in vain", "Attempt 2", "at last"])
    await server.end(running)
    await expect(log.status).to_have_text("done")
    await expect(log.page.locator("#gist")).to_contain_text("attempt 2")
    others = log.page.locator("#executions a")
    await expect(others).to_have_count(2)
    await expect(others.nth(0)).to_have_attribute("aria-current", "true")
    await others.nth(1).click()
    await expect(log.page.locator("#log .row .text")).to_have_text(["in vain"])
    await expect(log.status).to_have_text("failed")
    await expect(others.nth(1)).to_have_attribute("aria-current", "true")


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
    await expect(others).to_have_count(20)
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
    again = replace(next_execution(await server.execution(reply), due=1, now=server.clock.now()), sequence=9)
    assert await server.store.insert(again)
    running = await server.run({"executionId": again.id})
    await server.append_log(running, (1, b"after\n"))
    await log.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(log.notices).to_contain_text("A newer run has started.")
    await expect(log.lines).to_have_text(["before"])
    await log.page.get_by_role("button", name="Follow it").click()
    await expect(log.lines).to_have_text(["after"])


# the connection


async def test_after_a_cut_it_goes_on_without_a_gap_or_a_repeat(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    async with Relay(0, server.port) as relay:
        log = await open_log(context, reply["jobUrl"].replace(f":{server.port}/", f":{relay.place}/"))
        for start in range(0, 3_000, 1_000):
            await server.append_log(execution, (1, numbered(start, start + 499)), (2, numbered(start + 499, start + 500)))
            await expect(log.lines.last).to_have_text(f"line {start + 499} ")
            await relay.cut()
            await server.append_log(execution, (1, numbered(start + 500, start + 1_000)))
            await expect(log.notices).to_contain_text("The connection was lost")
            await log.page.get_by_role("button", name="Connect now").click()
            await expect(log.lines.last).to_have_text(f"line {start + 999} ")
            await expect(log.notices).to_be_empty()
        assert await log.copied() == numbered(0, 3_000).decode()
    assert log.faults == []


async def test_while_the_server_is_away_it_tries_every_five_seconds(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    async with Relay(0, server.port) as relay:
        log = await open_log(context, reply["jobUrl"].replace(f":{server.port}/", f":{relay.place}/"))
        await expect(log.link).to_contain_text("Live")
        await relay.stop()
        await expect(log.link).to_contain_text("Reconnecting in")
        await expect(log.link).to_contain_text(re.compile("Reconnecting in [1-4] s"))
        await expect(log.notices).to_contain_text("The server cannot be reached", timeout=15_000)
        await shoot(log.page, "away")
        await relay.start()
        await server.append_log(execution, (1, b"meanwhile\n"))
        await log.page.get_by_role("button", name="Connect now").click()
        await expect(log.lines).to_have_text(["meanwhile"])
        await expect(log.link).to_contain_text("Live")


async def test_whoever_has_logged_in_by_the_browser_follows_too(context, shared_redis, tmp_path):
    users = {"users": (user("anna", "annas", "read"),)}
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0") as server:
        reply = await server.run_to_end("task", (1, b"for anna\n"))
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", **users) as server:
        path = f"localhost:{server.port}/tasks/task/jobs/{reply['jobId']}/stream"
        log = await open_log(context, f"http://anna:annas@{path}")
        await expect(log.lines).to_have_text(["for anna"])
        await expect(log.link).to_contain_text("Ended")


# much, and hostile


async def test_ten_megabytes_are_all_there_with_few_of_them_drawn(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for start in range(0, 100_000, 5_000):
        await server.append_log(execution, (1, numbered(start, start + 5_000, 90)))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_contain_text("line 99999 ")
    assert await log.page.locator("#log .row").count() < 2_000
    view = log.page.locator("#log")
    for place, line in ((0.0, 0), (0.5, 50_000), (1.0, 99_999)):
        await view.evaluate("(log, place) => { log.scrollTop = place * log.scrollHeight }", place)
        await expect(log.page.locator("#log .row .text", has_text=f"line {line} ")).to_be_visible()
    drawn = await view.evaluate(SCROLLED)
    assert drawn["longest"] < 2_000, drawn
    assert drawn["blank"] == 0, drawn
    await log.page.locator("#query").fill("line 12345 ")
    await expect(log.page.locator("#found")).to_have_text("1")
    await log.page.locator("#query").press("Enter")
    await expect(log.page.locator("#log .row.current .text")).to_contain_text("line 12345 ")
    await expect(log.page.locator("#log .row.current")).to_be_in_viewport()
    await server.append_log(execution, (1, b"one more\n"))
    await expect(log.page.locator("#newer")).to_have_text("↓ 1 new line")
    assert len(await log.copied()) == len(numbered(0, 100_000, 90)) + len("one more\n")


SCROLLED = """async (log) => {
    const frame = () => new Promise(requestAnimationFrame);
    let longest = 0, blank = 0, last = performance.now();
    for (let at = 0; at < 30; at++) {
        log.scrollTop = (log.scrollHeight * at) / 30;
        await frame();
        await frame();
        const box = log.getBoundingClientRect();
        blank += document.elementFromPoint(box.left + 40, box.top + box.height / 2).closest(".row") ? 0 : 1;
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
    }
    return {longest, blank};
}"""
"""How long a frame took at most, and in how many of them there was nothing in the middle of the view."""


async def test_memory_has_a_bound_and_what_is_missing_is_told(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for start in range(0, 211_000, 10_550):
        await server.append_log(execution, (1, b"".join(b"%d\n" % number for number in range(start, start + 10_550))))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_have_text("210999")
    await expect(log.notices).to_contain_text("The first 10,000 lines are no longer shown.")
    assert (await log.copied()).split("\n", 1)[0] == "10000"
    await log.page.locator("#log").evaluate("(log) => { log.scrollTop = 0 }")
    await expect(log.page.locator("#log .no[data-no='10001'] ~ .text")).to_have_text("10000")


async def test_of_a_very_long_log_the_last_lines_are_asked_for(context, server):
    reply = await server.run_to_end("task", (1, b"x\n"))

    async def enlarge(route):
        answer = await route.fetch()
        await route.fulfill(response=answer, body=(await answer.text()).replace('"stdoutBytes":2', '"stdoutBytes":99000000'))

    await context.route(reply["jobUrl"], enlarge)
    page = await context.new_page()
    async with page.expect_websocket() as opened:
        await page.goto(f"{reply['jobUrl']}stream")
    assert "tail=100000" in (await opened.value).url
    await expect(page.locator("#notices")).to_contain_text("Only the last 100,000 lines are shown")
    await expect(page.locator("#facts")).to_contain_text("99 MB")


async def test_hostile_text_stays_text(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    parts = [
        (b"<script>alert(1)</script><img src=x onerror=alert(2)>", "<script>alert(1)</script><img src=x onerror=alert(2)>"),
        (b"\x1b[2J\x1b[H\x1b[1A\x1b[999Ccursor \x1b[2Kkept\x1b[8m and not hidden", "cursor kept and not hidden"),
        (b"\x1b]0;title\x07\x1b]8;;javascript:alert(3)\x1b\\link\x1b]8;;\x1b\\ \x1bPsixel\x1b\\end", "link end"),
        (b"\x1b]0;never ended", "^[]0;never ended"),
        (b"nul \x00 bell \x07 back\x08space \x7f", "nul ^@ bell ^G back^Hspace ^?"),
        ("turned \u202egnp.exe\u202c".encode(), "turned [U+202E]gnp.exe[U+202C]"),
        (b"first\rsecond\rlast", "last"),
        (b"kept\r", "kept"),
        (b"\x1b[31;99999999m\x1b[38;2;300;1;1mred\x1b[m", "red"),
        (b"\xff\xfe bytes", "\ufffd\ufffd bytes"),
        (b"windows\r", "windows"),
    ]
    await server.append_log(execution, (1, b"".join(data + b"\n" for data, _ in parts)))
    await server.append_log(execution, (1, b"x" * 1_000_000), (1, b"\nafter\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_have_text("after")
    assert await log.page.title() == "running · task · fastlane"
    copied = (await log.copied()).split("\n")
    assert copied[: len(parts)] == [text for _, text in parts]
    assert "".join(copied[len(parts) : -2]) == "x" * 1_000_000
    assert await log.page.locator("#log :is(script, img, a)").count() == 0
    await log.page.locator("#log").evaluate("(log) => { log.scrollTop = 0 }")
    await expect(log.lines.first).to_be_visible()
    for text in ("cursor kept and not hidden", "^[]0;never ended"):
        await expect(log.page.locator("#log .text", has_text=text)).to_be_visible()
    await shoot(log.page, "hostile")
    assert log.faults == []


async def test_a_sequence_that_is_cut_between_messages_is_still_one(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for part in (b"a \x1b", b"[3", b"1mred\x1b]0;ti", b"tle\x07 and ", b"\x1b[0", b"mplain\r", b"\nnext \x1b[4"):
        await server.append_log(execution, (1, part))
    await server.end(execution)
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["a red and plain", "next ^[[4"])
    red = log.page.locator("#log .row span[style]")
    await expect(red).to_have_text("red and ")


# what a person does


async def test_scrolling_up_pauses_and_the_end_is_one_press_away(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, numbered(0, 500)))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_be_in_viewport()
    await log.page.locator("#log").hover()
    await log.page.mouse.wheel(0, -2_000)
    follow = log.page.locator("#follow")
    await expect(follow).to_have_attribute("aria-pressed", "false")
    seen = await log.page.locator("#log").evaluate("(log) => log.scrollTop")
    await server.append_log(execution, (1, numbered(500, 700)))
    await expect(log.page.locator("#newer")).to_have_text("↓ 200 new lines")
    assert await log.page.locator("#log").evaluate("(log) => log.scrollTop") == seen
    await log.page.locator("#newer").click()
    await expect(log.lines.last).to_be_in_viewport()
    await server.append_log(execution, (1, numbered(700, 900)))
    await expect(log.page.locator("#log .text", has_text="line 899 ")).to_be_in_viewport()
    await follow.click()
    await server.append_log(execution, (1, numbered(900, 950)))
    await expect(log.page.locator("#newer")).to_have_text("↓ 50 new lines")


async def test_search_and_choices_by_the_keyboard_alone(context, server):
    reply = await server.run_to_end("task", (1, b"one apple\n\x1b[32mtwo\x1b[0m pears\n"), (2, b"three APPLES\n"), (1, b"four\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_count(4)
    keyboard = log.page.keyboard
    await keyboard.press("Control+f")
    await keyboard.type("apple")
    found, current = log.page.locator("#found"), log.page.locator("#log .row.current .text")
    await expect(found).to_have_text("2")
    await keyboard.press("Enter")
    await expect(current).to_have_text("one apple")
    await keyboard.press("Enter")
    await expect(current).to_have_text("three APPLES")
    await expect(found).to_have_text("2 of 2")
    assert await log.page.evaluate("[...CSS.highlights.get('current')].map(String)") == ["APPLE"]
    await shoot(log.page, "search")
    await keyboard.press("Escape")
    await expect(log.page.locator("#log")).to_be_focused()
    await log.view(shown="stderr")
    await expect(log.lines).to_have_text(["three APPLES"])
    await log.view(shown="found", times=True)
    await expect(log.lines).to_have_text(["one apple", "three APPLES"])
    await expect(log.page.locator("#log .time").first).to_be_visible()
    await log.view(shown="all")
    await expect(log.lines).to_have_count(4)


async def test_the_download_is_the_log_byte_for_byte(context, server):
    reply = await server.run_to_end("my%20task!", (1, b"\x1b[31mred\x1b[0m\r\n"), (2, b"\xff\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_count(2)
    async with log.page.expect_download() as started:
        await log.page.locator("#download").click()
    download = await started.value
    assert download.suggested_filename == f"my-task--{reply['executionId'][:8]}.log.txt"
    assert (await download.path()).read_bytes() == b"\x1b[31mred\x1b[0m\r\n\xff\n"


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
        states.append(("waiting", (await server.enqueue("waiting", cron="0 0 1 1 *"))["jobUrl"], "Looking again"))
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
        assert await violations(log.page) == [], name
        await log.page.close()
