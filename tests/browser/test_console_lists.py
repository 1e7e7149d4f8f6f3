"""The console's lists: tasks, the jobs of a task, executions; in a real browser."""

import re
from dataclasses import replace

import pytest
from playwright.async_api import expect

from tests.browser.console import inspect, open_console

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_tasks_are_found_while_one_types(context, server):
    for task in ("nightly-backup", "nightly-report", "transcode"):
        await server.enqueue(task)
    await server.enqueue("transcode")
    console = await open_console(context, f"{server.base}/console/tasks")
    rows = console.page.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("transcode2 waiting")
    await console.page.keyboard.press("/")
    await expect(console.page.get_by_label("Search tasks")).to_be_focused()
    await console.page.keyboard.type("nightly rep")
    await expect(rows).to_have_count(1)
    await expect(console.page).to_have_url(f"{server.base}/console/tasks?query=nightly+rep")
    await expect(console.page.get_by_label("Search tasks")).to_be_focused()
    await console.page.keyboard.type("x")
    await expect(console.page.locator(".nothing")).to_have_text("No task has words that begin with “nightly repx”.")
    await console.page.goto(f"{server.base}/console/tasks?query=nightly")
    await expect(console.page.get_by_label("Search tasks")).to_have_value("nightly")
    await expect(rows).to_have_count(2)
    await rows.get_by_role("link", name="nightly-report").click()
    await expect(console.page.get_by_role("heading", level=1)).to_contain_text("nightly-report")
    assert console.faults == []


async def test_lists_of_executions_show_the_node_on_which_each_runs(context, server):
    await server.run(await server.enqueue("backup"), node="node3")
    console = await open_console(context, f"{server.base}/console/executions")
    await expect(console.page.locator("tbody tr")).to_contain_text("node3")
    await console.page.goto(server.base)
    await expect(console.page.get_by_role("table", name="Executions under way")).to_contain_text("node3")


async def test_tasks_show_the_last_run_the_next_and_the_late_however_many_jobs_there_are(context, server):
    await server.run_to_end("backup", code=2)
    nightly = await server.enqueue("reports", cron="0 2 * * *", expectEvery="1d")
    job = await server.store.job(nightly["jobId"])
    assert await server.store.advance(job, replace(job, late_since=server.clock.now() - 7_200_000), (), None)
    for _ in range(101):
        await server.submit(task="many", at=server.clock.now() + 3_600_000)
    console = await open_console(context, f"{server.base}/console/tasks")
    page, rows = console.page, console.page.locator("tbody tr")
    many, reports, backup = rows.filter(has_text="many"), rows.filter(has_text="reports"), rows.filter(has_text="backup")
    await expect(many).to_contain_text("101 scheduled")
    await expect(many.locator("td").nth(3)).to_contain_text("in ")
    await expect(reports).to_contain_text("1 late")
    await expect(backup).to_contain_text("1 failed")
    await expect(backup.locator("td").nth(2)).to_have_text(re.compile(r"^failed (just now|\d+\ss ago)$"))
    assert await inspect(page, "tasks") == {}
    for _ in range(400):
        await server.submit(task="many", at=server.clock.now() + 3_600_000)
    await page.keyboard.press("r")
    await expect(many).to_contain_text("501 scheduled")
    await expect(many.locator("td").nth(3)).to_contain_text("in ")
    await expect(reports).to_contain_text("1 late")
    await expect(backup.locator("td").nth(2)).to_contain_text("failed")
    assert console.faults == []


async def test_search_begins_on_any_page(context, server):
    await server.enqueue("one")
    console = await open_console(context, server.base)
    await expect(console.section("Now")).to_be_visible()
    await console.page.keyboard.press("/")
    await expect(console.page.get_by_label("Search tasks")).to_be_focused()


async def test_a_task_shows_its_jobs_and_those_of_one_status(context, server):
    await server.run_to_end("reports", code=2)
    await server.run_to_end("reports")
    await server.enqueue("reports", name="Nightly", cron="0 2 * * *", command="make report", labels={"team": "data"})
    console = await open_console(context, f"{server.base}/console/tasks/reports")
    rows = console.page.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("scheduled")
    await expect(rows.first).to_contain_text("At 02:00 every day")
    await expect(rows.nth(1)).to_contain_text(re.compile(r"just now|\d\ss ago"))
    assert await inspect(console.page, "task") == {}
    await console.page.get_by_label("Status").select_option("failed")
    await expect(rows).to_have_count(1)
    await expect(console.page).to_have_url(f"{server.base}/console/tasks/reports?status=failed")
    await console.page.get_by_label("Status").select_option("paused")
    await expect(console.page.locator(".nothing")).to_have_text("No job of this task is paused.")
    await console.page.get_by_label("Status").select_option("")
    await expect(rows).to_have_count(3)
    await console.page.keyboard.press("Escape")
    await console.page.locator("h1").click()
    await console.page.keyboard.press("/")
    await console.page.keyboard.type("team=da")
    await expect(console.page.locator(".nothing")).to_have_text("No job of this task has the label “team=da”.")
    await console.page.keyboard.type("ta")
    await expect(rows).to_have_count(1)
    await rows.get_by_role("link", name="scheduled").click()
    await expect(console.page.get_by_role("heading", level=1)).to_contain_text("Nightly")
    await console.page.get_by_role("link", name="reports").click()
    await expect(rows).to_have_count(3)
    assert console.faults == []


async def test_all_jobs_are_one_list_that_is_found_by_text_task_label_status_and_id(context, server):
    await server.run_to_end("reports", code=2)
    nightly = await server.enqueue("reports", name="Nightly", cron="0 2 * * *", command="make report", labels={"team": "data"})
    hook = {"url": "https://93.184.216.34/hook"}
    heard = {"fails": [hook, {**hook, "url": f"{hook['url']}/2"}], "late": [hook]}
    await server.enqueue("backup", cron="@hourly", command="pg_dump shop", expectEvery="1h", webhooks=heard)
    console = await open_console(context, server.base)
    page, rows = console.page, console.page.locator("tbody tr")
    await page.locator(".figures").get_by_role("link", name="Scheduled").click()
    await expect(rows).to_have_count(2)
    await page.get_by_label("Status").select_option("")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(1)).to_contain_text(f"Nightly {nightly['jobId'][-8:]}")
    await expect(rows.nth(1)).to_contain_text("reports · At 02:00 every day · make report")
    await expect(rows.nth(1)).to_contain_text("nobody hears of failures")
    await expect(rows.nth(0).locator(".rules")).to_have_text("expected every 1 hreceivers: 2 of failures, 1 of lateness")
    await expect(rows.nth(2)).to_contain_text("failed")
    await expect(rows.nth(2).locator(".rules")).to_have_count(0)
    assert await inspect(page, "jobs") == {}
    text = page.get_by_label("Search jobs: name, command, id")
    for words, found in (("nightly", 1), ("PG_dump", 1), (nightly["jobId"][-8:], 1), ("make zip", 0)):
        await text.fill(words)
        await expect(rows).to_have_count(found)
    await expect(page.locator(".nothing")).to_have_text("No job is like that.")
    await text.fill("")
    await page.get_by_label("Label, as team=data").fill("team=data")
    await expect(rows).to_have_count(1)
    await page.reload()
    await expect(rows).to_have_count(1)
    await page.get_by_label("Label, as team=data").fill("")
    await page.get_by_label("Late").select_option("1")
    await expect(rows).to_have_count(0)
    await page.get_by_label("Late").select_option("")
    await page.get_by_label("Of a task").fill("backup")
    await expect(rows).to_have_count(1)
    await rows.get_by_role("link", name="backup").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("backup")
    assert console.faults == []


async def test_late_jobs_stand_above_all_and_in_the_lists(context, server):
    reply = await server.enqueue("reports", name="Nightly", cron="0 2 * * *", expectEvery="1d")
    job = await server.store.job(reply["jobId"])
    assert await server.store.advance(job, replace(job, late_since=server.clock.now() - 7_200_000), (), None)
    console = await open_console(context, server.base)
    late = console.page.locator(".notice.warn")
    await expect(late).to_contain_text("A job is late")
    await expect(late).to_contain_text(f"Nightly {reply['jobId'][-8:]} since 2\u00a0h ago, expected every 1 d")
    assert await inspect(console.page, "overview-late") == {}
    await console.page.goto(f"{server.base}/console/jobs?late=1")
    await expect(console.page.locator("tbody tr")).to_contain_text("late since")
    await expect(console.page.locator("tbody tr")).to_contain_text("expected every 1 dnobody hears of failuresnobody hears when it is late")
    await console.page.get_by_role("link", name="Nightly").click()
    await expect(console.page.locator(".notice.warn")).to_contain_text("Late since")
    assert console.faults == []


async def test_executions_are_filtered_in_the_address(context, server):
    await server.run_to_end("backup", code=1)
    await server.run_to_end("backup")
    await server.run(await server.enqueue("transcode", command="ffmpeg -i in.mp4 out.webm"))
    console = await open_console(context, f"{server.base}/console/executions?status=failed,timedout,expired&since=24h")
    rows = console.page.locator("tbody tr")
    await expect(rows).to_have_count(1)
    await expect(console.page.get_by_label("Status")).to_have_value("failed,timedout,expired")
    await console.page.get_by_label("Status").select_option("")
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("ffmpeg")
    assert await inspect(console.page, "executions") == {}
    await console.page.get_by_label("All of a task").fill("backup")
    await expect(rows).to_have_count(2)
    await expect(console.page).to_have_url(f"{server.base}/console/executions?since=24h&task=backup")
    await console.page.reload()
    await expect(rows).to_have_count(2)
    assert console.faults == []


async def test_a_long_list_has_pages(context, server):
    for number in range(51):
        await server.enqueue(f"task-{number:02}")
    console = await open_console(context, f"{server.base}/console/tasks")
    rows = console.page.locator("tbody tr")
    await expect(rows).to_have_count(50)
    await expect(console.page.get_by_role("heading", level=1)).to_contain_text("51")
    await rows.last.locator("a").focus()
    await console.page.keyboard.press("ArrowDown")
    await expect(console.page.get_by_role("link", name="Next")).to_be_focused()
    await console.page.keyboard.press("ArrowUp")
    await expect(rows.last.locator("a")).to_be_focused()
    await console.page.get_by_role("link", name="Next").click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("task-00")
    await console.page.get_by_role("link", name="Previous").click()
    await expect(rows).to_have_count(50)


async def test_the_figures_of_the_first_page_lead_to_their_lists(context, server):
    await server.run_to_end("backup", code=1)
    await server.run_to_end("backup")
    console = await open_console(context, server.base)
    await console.page.locator(".figures").get_by_role("link", name="Failed").click()
    await expect(console.page.locator("tbody tr")).to_have_count(1)
    await expect(console.page.locator("tbody tr")).to_contain_text("failed")


async def test_an_address_that_no_list_understands_is_told_in_the_servers_words(context, server):
    console = await open_console(context, f"{server.base}/console/executions?status=sleeping")
    await expect(console.trouble).to_contain_text("is not one of")
    console = await open_console(context, f"{server.base}/console/tasks/nothing")
    await expect(console.trouble).to_contain_text("nothing")
