"""The console's form of a new job, in a real browser."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.console import Console, inspect, open_console
from tests.browser.test_console_job import page_of
from tests.support.command_line import CommandLine
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.fork_server import ForkServer
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

JOB_PAGE = re.compile(r"/console/tasks/[^/]+/jobs/[^/]+$")
LARGE = 9007199254740993
"""A number that JavaScript cannot hold."""

HIDDEN = {
    "metadata": {"number": LARGE, "10": "ten", "a": None, "__proto__": [1.50]},
    "retention": {"executions": "7d"},
    "resources": {"memory": "64m", "reserve": {"memory": "32m"}},
}
"""Fields that the form does not show."""


@pytest.fixture
def command_line(tmp_path) -> Iterator[CommandLine]:
    """A shell that has ``fastlane``."""
    with ForkServer() as server:
        yield CommandLine(server, tmp_path / "shell")


async def open_form(context: Any, server: Fastlane, query: str = "") -> Console:
    """The form, once it is there."""
    console = await open_console(context, f"{server.base}/console/new{query}")
    await expect(console.page.get_by_role("button", name="Create the job")).to_be_visible()
    return console


def field(page: Page, label: str) -> Any:
    """The field with this label."""
    return page.locator("input, textarea, select").and_(page.get_by_label(label, exact=True))


def fault(page: Page, label: str) -> Any:
    """What is said to be wrong with it."""
    return field(page, label).locator("xpath=following-sibling::p[@class='fault']")


async def create(page: Page) -> None:
    """Creates the job, and waits for its page."""
    await page.get_by_role("button", name="Create the job").click()
    await page.wait_for_url(JOB_PAGE)


async def definition(server: Fastlane, url: str) -> Any:
    """The job as it can be sent again."""
    return (await server.get(url)).json["job"]["definition"]


async def jobs(server: Fastlane, task: str) -> list[Any]:
    """The task's jobs, the newest first; none while there is no task."""
    answer = await server.get(f"/tasks/{task}/jobs")
    return answer.json["items"] if answer.status == 200 else []


async def test_a_job_is_created_from_the_form(context, server):
    await server.enqueue("reports")
    console = await open_console(context, f"{server.base}/console/tasks/reports")
    page = console.page
    await page.get_by_role("link", name="New job").click()
    await expect(field(page, "Task")).to_have_value("reports")
    assert await inspect(page, "new-empty") == {}
    await field(page, "Image").fill("ubuntu")
    await field(page, "Command").fill("""sh -c 'echo "$A"' it\\'s""")
    await expect(page.get_by_label("The words of the command").locator("li")).to_have_text(["sh", "-c", 'echo "$A"', "it's"])
    await page.get_by_role("button", name="Add a variable").click()
    await field(page, "Name").first.fill("A")
    await field(page, "Value").first.fill("one")
    await field(page, "Timeout").fill("90")
    await field(page, "Retries").fill("2")
    await field(page, "Memory").fill("64m")
    await field(page, "Processors").fill("0.5")
    await expect(page.get_by_role("region", name="Where it would run")).to_contain_text("up to 64 MiB")
    assert await inspect(page, "new") == {}
    await create(page)
    await expect(page.get_by_role("heading", level=1)).to_contain_text("reports")
    [made, _] = await jobs(server, "reports")
    assert await definition(server, made["url"]) == {
        "image": "ubuntu",
        "command": "sh -c 'echo \"$A\"' 'it'\"'\"'s'",
        "envs": {"A": "one"},
        "timeout": "1m30s",
        "retries": 2,
        "resources": {"memory": 64 << 20, "cpus": 0.5, "pids": None, "reserve": {"memory": None, "cpus": None, "generic": {}}},
    }
    assert console.faults == []


async def test_the_browser_asks_before_someone_loses_what_they_have_typed(context, server):
    console = await open_form(context, server)
    page, asked = console.page, []

    async def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        await dialog.dismiss()

    page.on("dialog", stay)
    await page.reload()
    await field(page, "Image").fill("ubuntu")
    await page.get_by_role("link", name="Tasks").click()
    await until(lambda: asked, "the browser to ask")
    await expect(field(page, "Image")).to_have_value("ubuntu")
    await field(page, "Task").fill("reports")
    await create(page)
    assert asked == ["beforeunload"]


async def test_a_schedule_is_said_in_words_while_it_is_typed(browser, server):
    await server.report_worker(usable=False)
    context = await browser.new_context(timezone_id="America/New_York")
    console = await open_form(context, server, "?task=reports")
    page, when = console.page, console.page.locator(".when")
    await expect(when).to_contain_text("It runs as soon as it is created.")
    await expect(console.section("Where it would run")).to_contain_text("refused the connection")
    await field(page, "Image").fill("ubuntu")
    await page.get_by_label("Again and again").check()
    await expect(when).not_to_contain_text("as soon as")
    await field(page, "Cron").fill("30 2 * * mon-fri")
    await expect(when).to_contain_text("At 02:30, Monday to Friday, by the clocks of UTC")
    await field(page, "Time zone").fill("Europe/Berlin")
    await expect(when).to_contain_text("by the clocks of Europe/Berlin")
    await expect(when.locator("li")).to_have_count(5)
    await field(page, "Cron").fill("30 2 * *")
    await expect(fault(page, "Cron")).to_contain_text("Cron ")
    await expect(when.locator("li")).to_have_count(0)
    await page.get_by_label("After a time").check()
    await field(page, "Starts in").fill("2h")
    await expect(when.locator("li")).to_have_count(1)
    await page.get_by_label("At a time").check()
    await field(page, "Starts at").fill("2030-01-31T02:30")
    await expect(when.locator("li")).to_contain_text("Jan 31, 2030, 02:30:00 EST")
    await expect(page.locator(".command").first).to_contain_text("2030-01-31T07:30:00Z")
    await page.get_by_label("Again and again").check()
    await expect(field(page, "Cron")).to_have_value("30 2 * *")
    await field(page, "Cron").fill("@daily")
    await create(page)
    [made] = await jobs(server, "reports")
    assert await definition(server, made["url"]) == {"image": "ubuntu", "cron": "@daily", "timezone": "Europe/Berlin"}
    await context.close()


async def test_the_dates_on_which_it_does_not_run_may_be_calendars_which_it_offers(context, server):
    for name in ("freeze", "holidays"):
        assert (await server.ask("PUT", f"/calendars/{name}", json={"dates": ["2001-01-01"]})).status == 200
    page = (await open_form(context, server)).page
    await field(page, "Task").fill("reports")
    await field(page, "Image").fill("ubuntu")
    await page.get_by_label("Again and again").check()
    await field(page, "Cron").fill("0 8 * * *")
    dates, offered = field(page, "Not on"), page.locator("#calendars option")
    await dates.focus()
    await expect(offered).to_have_count(2)
    await dates.fill("2027-01-05, fre")
    assert [await one.get_attribute("value") for one in await offered.all()] == ["2027-01-05, freeze", "2027-01-05, holidays"]
    await dates.fill("2027-01-05, freezer")
    await page.get_by_role("button", name="Create the job").click()
    await expect(fault(page, "Not on")).to_contain_text("is not the name of a calendar; the nearest is 'freeze'")
    await dates.fill("2027-01-05, freeze")
    await create(page)
    (job,) = await jobs(server, "reports")
    assert (await definition(server, job["url"]))["skipDates"] == ["2027-01-05", "freeze"]


async def test_every_fault_stands_beside_its_field_in_the_servers_words(context, server):
    console = await open_form(context, server)
    page = console.page
    button = page.get_by_role("button", name="Create the job")
    await button.click()
    await expect(fault(page, "Task")).to_contain_text("Task is missing")
    await expect(fault(page, "Image")).to_contain_text("Image is missing")
    await expect(field(page, "Task")).to_be_focused()
    await field(page, "Task").fill("reports")
    await page.get_by_role("button", name="Add a variable").click()
    await field(page, "Name").first.fill("1A")
    await field(page, "Retries").fill("-1")
    await field(page, "Timeout").fill("99h")
    await page.get_by_text("Name, labels, priority").click()
    await field(page, "Priority").fill("high")
    await page.get_by_text("Name, labels, priority").click()
    await button.click()
    await expect(fault(page, "Name").first).to_contain_text("1A is not a variable's name")
    await expect(fault(page, "Retries")).to_contain_text("Retries is not a whole number, 0 or more")
    await expect(fault(page, "Timeout")).to_contain_text("Timeout is more than this server allows (30m)")
    await expect(fault(page, "Priority")).to_contain_text("Priority is not a whole number")
    await expect(fault(page, "Priority")).to_be_visible()
    await expect(field(page, "Image")).to_be_focused()
    assert await inspect(page, "new-faults") == {}
    await field(page, "Retries").fill("1")
    await expect(fault(page, "Retries")).to_be_empty()
    await page.get_by_role("button", name="Add a variable").click()
    await field(page, "Name").nth(1).fill("1A")
    await expect(fault(page, "Name").nth(1)).to_have_text("1A appears twice; keep one of them.")
    await page.get_by_role("button", name="JSON").click()
    await expect(field(page, "Name").nth(1)).to_be_focused()
    await page.get_by_role("group", name="variable 2").get_by_role("button", name="Remove").click()
    await expect(page.get_by_role("button", name="Add a variable")).to_be_focused()
    assert await jobs(server, "reports") == []
    assert console.faults == []


async def test_faults_of_fields_that_it_does_not_show_stand_above_and_in_the_json(context, server):
    console = await open_form(context, server, "?task=reports")
    page = console.page
    await page.get_by_role("button", name="JSON").click()
    text = field(page, "The job as JSON")
    await text.fill('{\n  "image": "ubuntu",\n  "container": {\n    "user": "0"\n  }\n}')
    await expect(page.get_by_role("button", name="Line 4")).to_be_visible()
    await page.get_by_role("button", name="Form").click()
    box = page.get_by_label("What is wrong")
    await expect(box).to_contain_text("container.user: ")
    await page.get_by_role("button", name="Create the job").click()
    await expect(box).to_be_focused()
    await box.get_by_role("button", name="Show the JSON").click()
    await page.get_by_role("button", name="Line 4").click()
    assert await text.evaluate("field => field.value.slice(field.selectionStart, field.selectionStart + 3)") == '"0"'
    assert await inspect(page, "new-json") == {}


async def test_the_json_has_every_field_and_loses_none(context, server):
    reply = await server.enqueue("reports", **HIDDEN, startIn="1h", envs={"LEVEL": 4, "RETURN": "a\rb"}, labels={"team": "data"})
    before = (await server.get(reply["jobUrl"])).json["job"]["definition"]
    console = await open_console(context, page_of(server, reply))
    page = console.page
    await page.get_by_role("link", name="Another like this").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Another like “reports”")
    await expect(page.get_by_text("The JSON has more that is kept as it is: retention, metadata, resources.reserve.")).to_be_visible()
    await expect(page.get_by_role("group", name="variable 2").get_by_label("Value")).to_be_disabled()
    await expect(page.get_by_text("It is set to something that this field cannot show.")).to_be_visible()
    await field(page, "Memory").fill("128m")
    text = field(page, "The job as JSON")
    await page.get_by_role("button", name="JSON").click()
    right = await text.input_value()
    line = right[: right.index('"image"')].count("\n") + 1
    image = '"image": "ubuntu:latest"'
    for wrong, words in (
        (f"{image} ", f"Line {line + 1}, column 3: a comma or }} is missing."),
        (f"{image}, {image},", f'Line {line}, column 29: the field "image" is there twice.'),
        ('"image": ubuntu,', f"Line {line}, column 12: ubuntu is not a value"),
        ('"image": constructor,', f"Line {line}, column 12: constructor is not a value"),
    ):
        await text.fill(right.replace(f"{image},", wrong))
        await expect(fault(page, "The job as JSON")).to_contain_text(words)
        for button in ("Form", "Create the job"):
            await page.get_by_role("button", name=button).click()
            await expect(text).to_be_focused()
    await text.fill(right)
    await page.get_by_role("button", name="Form").click()
    await expect(field(page, "Memory")).to_have_value("128m")
    assert str(LARGE) in await page.locator(".command").first.inner_text()
    await create(page)
    [made, _] = await jobs(server, "reports")
    after = await definition(server, made["url"])
    assert after == {**before, "resources": {**before["resources"], "memory": 128 << 20}}
    assert after["metadata"] == HIDDEN["metadata"]
    assert console.faults == []


HOSTILE = [
    "sh",
    "-c",
    """echo "$HOME" `id` 'it''s' \\ \\n !x ~ * {a,b} # %s <&> é \U0001f600""",
    "two\nlines\n",
    "",
    " ",
    "--",
    "-x",
    "$(touch ran)",
    "'",
    '"',
    "\\",
]


async def test_the_commands_make_the_same_job(context, server, command_line):
    """Typed into a real shell; whatever the values are."""
    await server.hire()
    console = await open_form(context, server)
    page = console.page
    await field(page, "Task").fill("it's $HOME")
    await page.get_by_role("button", name="JSON").click()
    body = {
        "image": "ubuntu",
        "command": HOSTILE,
        "envs": {"QUOTES": "'\"`$(touch ran)\\", "LINES": "a\nb\n", "EMPTY": "", "NUMBER": 1.5, "FLAG": True, "EQUALS": "a=b"},
        "labels": {"team": "it's ours"},
        "name": "-n 'one' \"two\" $HOME",
        "timeout": 90,
        "retries": 1,
        "retryDelay": "2s",
        "expiresIn": "1h",
        "priority": -3,
        "concurrency": 2,
        "resources": {"memory": 67108864, "cpus": 0.5},
        "container": {"readOnly": True, "capDrop": ["NET_RAW", "CHOWN"], "entrypoint": "sh -c 'a b'"},
    }
    await field(page, "The job as JSON").fill(json.dumps(body))
    await page.get_by_role("button", name="Form").click()
    assert [await one.input_value() for one in await field(page, "Argument").all()] == HOSTILE
    assert await inspect(page, "new-list") == {}
    curl, fastlane = [await one.text_content() or "" for one in await page.locator(".command code").all()]
    await create(page)
    for command in (curl, fastlane):
        done = await command_line.shell(command)
        assert done.code == 0, done
    made = [await definition(server, one["url"]) for one in await jobs(server, "it's%20%24HOME")]
    assert len(made) == 3
    assert made[0] == made[1] == made[2]
    assert made[0]["envs"] == {**body["envs"], "NUMBER": "1.5", "FLAG": "true"}
    assert not list(command_line.folder.rglob("ran"))


async def test_a_schedule_as_a_command_and_a_job_for_which_there_is_none(context, server, command_line):
    console = await open_form(context, server, "?task=reports")
    page = console.page
    await field(page, "Image").fill("ubuntu")
    await page.get_by_label("Again and again").check()
    await field(page, "Cron").fill("*/5 * * * *")
    await field(page, "Time zone").fill("Europe/Berlin")
    await page.get_by_label("While one still runs").select_option("skip")
    await page.get_by_label("Of missed ticks").select_option("none")
    await field(page, "Retries").fill("1")
    box = console.section("The same from a terminal")
    done = await command_line.shell(await box.locator("code").last.text_content() or "")
    assert done.code == 0, done
    await field(page, "Processes").fill("20")
    await expect(box).to_contain_text("Its commands have no options for resources.pids. Use curl for this job.")
    await field(page, "Processes").fill("")
    await expect(box.locator("code")).to_have_count(2)
    await create(page)
    first, second = [await definition(server, one["url"]) for one in await jobs(server, "reports")]
    assert first == second
    assert first["overlap"] == "skip"


async def test_another_like_one_with_secrets_says_which_could_not_be_carried_over(context, server):
    webhooks = {"fails": [{"url": "https://93.184.216.34/hook", "headers": {"Authorization": "hush"}}]}
    reply = await server.enqueue(
        "reports", command="run --db postgres://me:hush@db/x", envs={"API_TOKEN": "hush", "A": "b"}, webhooks=webhooks, startIn="1h"
    )
    console = await open_form(context, server, f"?like=reports/{reply['jobId'][-8:]}")
    page = console.page
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    missing = page.locator(".notice.warn")
    named = "a part of the command, the variable API_TOKEN, the header Authorization of webhook 1 for “fails”."
    await expect(missing).to_contain_text(f"these values are missing: {named}")
    await expect(fault(page, "Command")).to_contain_text("could not be carried over")
    await expect(fault(page, "Value").first).to_contain_text("API_TOKEN has ********")
    await expect(fault(page, "Headers")).to_contain_text("Headers has ********")
    await page.get_by_role("button", name="Create the job").click()
    await expect(field(page, "Command")).to_be_focused()
    await expect(page.get_by_role("region", name="Where it would run")).to_contain_text("default")
    assert await inspect(page, "new-secrets") == {}
    assert len(await jobs(server, "reports")) == 1
    await field(page, "Command").fill("run --db postgres://me:other@db/x")
    await field(page, "Value").first.fill("other")
    await page.get_by_role("button", name="JSON").click()
    text = field(page, "The job as JSON")
    await page.get_by_role("button", name="Create the job").click()
    at = "field => field.value.slice(field.selectionStart, field.selectionStart + 10)"
    await expect(text).to_be_focused()
    assert await text.evaluate(at) == '"********"'
    await text.fill((await text.input_value()).replace("********", "another"))
    await expect(missing).to_have_count(0)
    assert "********" not in "".join(sent)
    await create(page)
    [made, _] = await jobs(server, "reports")
    stored = await server.store.job(made["id"])
    assert stored.spec.envs == {"API_TOKEN": "other", "A": "b"}
    assert stored.spec.webhooks[0].headers == {"Authorization": "another"}
    assert stored.spec.command[-1] == "postgres://me:other@db/x"


async def test_a_job_is_edited_in_the_form_and_keeps_its_secrets(context, server):
    webhooks = {"fails": [{"url": "https://93.184.216.34/hook", "headers": {"Authorization": "hush"}}]}
    reply = await server.enqueue("reports", name="Nightly", cron="0 2 * * *", envs={"API_TOKEN": "hush"}, retries=2, webhooks=webhooks)
    console = await open_console(context, page_of(server, reply))
    page, box = console.page, console.section("The same from a terminal")
    whole = re.compile(f"edit=reports(/|%2F){reply['jobId']}$")
    await expect(page.get_by_role("link", name="Edit")).to_have_attribute("href", whole)
    await page.goto(f"{server.base}/console/new?edit=reports/{reply['jobId'][-8:]}")
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Edit “Nightly” ({reply['jobId'][-8:]})")
    await expect(box).to_contain_text("Nothing is changed yet.")
    await expect(page.locator(".notice.info")).to_contain_text("Secrets stay as they are")
    await expect(field(page, "Task")).to_have_attribute("readonly", "")
    save = page.get_by_role("button", name="Save the changes")
    await field(page, "Cron").fill("30 4 * * *")
    await field(page, "Retries").fill("")
    await field(page, "Expected to succeed every").fill("1d")
    mail = "When it fails, times out or expires"
    await field(page, mail).fill("team@example.com")
    await save.click()
    await expect(fault(page, mail)).to_contain_text(f"{mail} needs a mail server")
    await field(page, mail).fill("")
    await page.get_by_role("button", name="Add a webhook").click()
    second = page.get_by_role("group", name="webhook 2")
    await second.get_by_label("URL").fill("http://10.0.0.1/x")
    await second.get_by_label("When").select_option("late")
    await expect(page.locator(".notice.warn")).to_contain_text("the header Authorization of webhook 1")
    await page.get_by_role("group", name="webhook 1").get_by_label("Headers").fill("Authorization: other")
    await expect(page.locator(".notice.warn")).to_have_count(0)
    await save.click()
    await expect(second.locator(".fault").nth(1)).to_contain_text("URL has the address 10.0.0.1, which is not public")
    assert await inspect(page, "edit") == {}
    await second.get_by_role("button", name="Remove").click()
    await expect(box.locator("code")).to_contain_text('{"retries": null, "cron": "30 4 * * *", "webhooks": ')
    await save.click()
    await page.wait_for_url(JOB_PAGE)
    await expect(console.section("Who did what")).to_contain_text("changed it")
    await expect(console.section("Who did what")).to_contain_text("cron: 0 2 * * * → 30 4 * * *")
    await expect(console.section("About")).to_contain_text("by 127.0.0.1")
    stored = (await server.store.job(reply["jobId"])).spec
    assert (stored.envs, stored.webhooks[0].headers, stored.retries) == ({"API_TOKEN": "hush"}, {"Authorization": "other"}, 0)
    after = await definition(server, reply["jobUrl"])
    assert (after["cron"], after["expectEvery"]) == ("30 4 * * *", "24h")
    await page.get_by_role("link", name="Edit").click()
    await field(page, "Timeout").fill("5m")
    await server.ask("PATCH", reply["jobUrl"], data='{"name": "Other"}')
    await save.click()
    await expect(page.get_by_label("What is wrong")).to_contain_text("Somebody has changed this job since you opened it here.")
    assert console.faults == []


async def test_who_may_only_read_sees_why_no_job_can_be_created(context, shared_redis, tmp_path):
    tokens = (token("eve", "fl_eve", "read"), token("ci", "fl_ci"))
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=tokens) as server:
        reply = (await server.post("/tasks/reports", {"image": "ubuntu"}, headers=bearer("fl_ci"))).json
        console = await open_console(context, f"{server.base}/console/new?like=reports/{reply['jobId']}")
        await console.page.get_by_label("Token").fill("fl_eve")
        await console.page.get_by_role("button", name="Log in").click()
        await expect(console.page.get_by_role("button", name="Create the job")).to_be_disabled()
        await expect(console.page.locator(".bottom")).to_contain_text("Your role is read, which may read and not change.")
        await expect(console.section("The same from a terminal")).to_contain_text('-H "Authorization: Bearer $FASTLANE_TOKEN"')
        assert await inspect(console.page, "new-read-only") == {}
        assert console.faults == []


async def test_a_job_is_created_once_however_often_it_is_sent(context, server):
    console = await open_form(context, server, "?task=reports")
    page = console.page
    await field(page, "Image").fill("ubuntu")
    lost = f"{server.base}/tasks/reports"
    sent: list[str] = []

    async def lose(route: Any) -> None:
        sent.append(route.request.headers["idempotency-key"])
        await route.fetch()
        await route.abort()

    await page.route(lost, lose)
    button = page.get_by_role("button", name="Create the job")
    await button.dblclick()
    box = page.get_by_label("What is wrong")
    await expect(box).to_contain_text("The server does not answer. The job may have been created, or not.")
    await expect(box.get_by_role("link", name="The jobs of reports")).to_be_visible()
    await expect(box).to_be_focused()
    await page.unroute(lost)
    await create(page)
    assert len(sent) == 1
    assert len(await jobs(server, "reports")) == 1


async def test_one_that_was_changed_after_a_lost_answer_says_that_there_may_be_two(context, server):
    console = await open_form(context, server, "?task=reports")
    page = console.page
    await field(page, "Image").fill("ubuntu")
    lost = f"{server.base}/tasks/reports"

    async def lose(route: Any) -> None:
        await route.fetch()
        await route.abort()

    await page.route(lost, lose)
    await page.get_by_role("button", name="Create the job").click()
    box = page.get_by_label("What is wrong")
    await expect(box).to_contain_text("The job may have been created")
    await page.unroute(lost)
    await field(page, "Image").fill("debian")
    await page.get_by_role("button", name="Create the job").click()
    await expect(box).to_contain_text("An earlier attempt may have created the job as the form was then.")
    assert len(await jobs(server, "reports")) == 1
    await create(page)
    assert [one["image"] for one in await jobs(server, "reports")] == ["debian", "ubuntu"]


async def test_an_address_that_names_no_job_says_so(context, server):
    for like, words in (("reports", "names no job"), ("../..", "names no job"), ("reports/x", "There is no job 'x'")):
        console = await open_console(context, f"{server.base}/console/new?like={like}")
        await expect(console.trouble).to_contain_text(words)
        assert console.faults == []
