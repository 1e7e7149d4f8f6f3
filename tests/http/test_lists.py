"""The lists over HTTP: tasks, search, a task's jobs, executions; by page numbers, and by walks along ``nextUrl``."""

import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from urllib.parse import parse_qs, quote, urlsplit

import orjson
import pytest

from fastlane.clock import iso
from fastlane.errors import ReadTooLong
from fastlane.models import transitions
from fastlane.models.notify import NotificationTrigger
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from fastlane.redaction import Redaction
from fastlane.services.reads import lists, status
from fastlane.web import handler
from tests.support.intercept import failing, intercept
from tests.support.waiting import until

KEYS = {"total", "page", "pages", "perPage", "hasNext", "hasPrev", "nextUrl", "prevUrl"}


async def fill(server, *, executions: int = 25, tasks: int = 12):
    """Tasks with a job each, and one job with a history; its reply."""
    for number in range(tasks):
        await server.enqueue(f"nightly-{number:02}")
    reply = await server.run_to_end("history", code=1)
    one = await server.execution(reply)
    for _ in range(executions - 1):
        one = next_execution(one, due=one.scheduled_for + 1, now=server.clock.now())
        assert await server.store.insert(replace(one, status=Status.FAILED, finished_at=5))
    return reply


async def walk(server, url, rows):
    """The pages from this one on."""
    pages = []
    while url:
        answer = await server.get(url)
        assert answer.status == 200, answer.body
        page = answer.json
        assert set(page) >= KEYS
        assert page["hasNext"] is (page["nextUrl"] is not None)
        assert page["hasPrev"] is (page["prevUrl"] is not None) is (page["page"] > 1)
        assert len(rows(page)) <= page["perPage"]
        pages.append(page)
        url = page["nextUrl"]
    return pages


def items(page):
    return page["items"]


async def test_the_jobs_of_a_task_are_a_list_as_other_lists(server):
    replies = [await server.enqueue() for _ in range(12)]
    await server.post(replies[0]["jobUrl"] + "stop")
    whole = (await server.get("/tasks/task")).json
    pages = await walk(server, "/tasks/task/jobs", items)
    assert [row["id"] for page in pages for row in page["items"]] == [reply["jobId"] for reply in reversed(replies)]
    assert [row for page in pages for row in page["items"]] == whole["jobs"]
    assert set(pages[0]) == {"items", *KEYS}
    assert (pages[0]["perPage"], pages[0]["total"]) == (10, 12)
    stopped = (await server.get("/tasks/task/jobs?status=stopped")).json
    assert [row["id"] for row in stopped["items"]] == [replies[0]["jobId"]]
    faults = (await server.get("/tasks/task/jobs?status=finished&perPage=101")).json["errors"]
    assert {fault["field"] for fault in faults} == {"status", "perPage"}
    assert (await server.get("/tasks/none/jobs")).status == 404
    assert (await server.get("/tasks/task/jobs?page=3")).status == 404


LISTS = {
    "/tasks?perPage=5": (items, 13),
    "/search?query=night&perPage=5": (items, 12),
    "/jobs?perPage=5": (items, 13),
    "/jobs?perPage=5&status=enqueued,paused": (items, 12),
    "/jobs?perPage=5&task=history&status=failed": (items, 1),
    "/executions?perPage=5": (items, 37),
    "/executions?perPage=5&status=enqueued": (items, 12),
    "/executions?perPage=5&task=history&status=failed,done&since=1": (items, 25),
    "/tasks/history/jobs/{job}/executions?perPage=5": (items, 25),
    "/tasks/history/jobs/{job}?perPage=5": (lambda page: page["job"]["executions"], 25),
    "/tasks/history/jobs/{job}/ticks?perPage=5": (items, 1),
    "/tasks/history?perPage=5&status=failed": (lambda page: page["jobs"], 1),
}


async def test_every_list_is_walked_and_paged_alike(server):
    reply = await fill(server)
    for template, (rows, total) in LISTS.items():
        path = template.format(job=reply["jobId"])
        pages = await walk(server, path, rows)
        assert {(page["total"], page["pages"]) for page in pages} == {(total, -(-total // 5))}, path
        assert [page["page"] for page in pages] == list(range(1, pages[0]["pages"] + 1))
        found = [row for page in pages for row in rows(page)]
        assert len({orjson.dumps(row) for row in found}) == total, path
        for number, page in enumerate(pages, 1):
            numbered = (await server.get(f"{path}&page={number}")).json
            assert rows(numbered) == rows(page)
            assert numbered["nextUrl"] == page["nextUrl"]
        if len(pages) > 1:
            assert rows((await server.get(pages[1]["prevUrl"])).json) == rows(pages[0])
        assert (await server.get(f"{path}&page={len(pages) + 1}")).status == 404


async def test_an_empty_list_has_one_page(server):
    for path in (
        "/tasks",
        "/search?query=x",
        "/jobs",
        "/jobs?label=a=b",
        "/executions",
        "/executions?task=none",
        "/executions?since=4000000000",
    ):
        page = (await server.get(path)).json
        assert page == {
            "items": [], "total": 0, "page": 1, "pages": 1, "perPage": 10,
            "hasNext": False, "hasPrev": False, "nextUrl": None, "prevUrl": None,
        }  # fmt: skip


async def test_tasks_are_listed_with_those_changed_last_first(server):
    for task in ("a", "b/c".replace("/", "%20"), "a"):
        await server.enqueue(task)
    page = (await server.get("/tasks/")).json
    assert [(row["taskId"], row["jobsCount"]) for row in page["items"]] == [("a", 2), ("b c", 1)]
    row = page["items"][0]
    task = await server.store.task("a")
    assert row == {
        "taskId": "a",
        "createdAt": iso(task.created_at),
        "lastModifiedAt": iso(task.modified_at),
        "jobsCount": 2,
        "jobsByStatus": {"enqueued": 2},
        "lateJobs": 0,
        "nextRunAt": None,
        "lastExecution": row["lastExecution"],
        "url": f"{server.base}/tasks/a/",
    }
    assert (await server.get(page["items"][1]["url"])).status == 200
    assert (await server.get("/task")).json == page


async def test_tasks_are_found_by_words_and_beginnings(server):
    for task in ("nightly-backup", "nightly_report", "Tâche de nuit", "%22quoted%22"):
        await server.enqueue(quote(task, safe="%"))
    for words, expected in (
        ("nightly", {"nightly-backup", "nightly_report"}),
        ("REP night", {"nightly_report"}),
        ("tache nuit", {"Tâche de nuit"}),
        ("night*", {"nightly-backup", "nightly_report"}),
        ('"quoted', {'"quoted"'}),
        ("backup OR report", set()),
        ("\0nightly", {"nightly-backup", "nightly_report"}),
        ("ackup", set()),
    ):
        page = (await server.get(f"/search?query={quote(words)}")).json
        assert ({row["taskId"] for row in page["items"]}, page["total"]) == (expected, len(expected)), words


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("", "query", "is missing"),
        ("?query=", "query", "is missing"),
        ("?query=%20%20", "query", "is missing"),
        ("?query=" + "x" * 1_001, "query", "longer than 1000 characters"),
        ("?q=x", "q", "is not a query parameter"),
    ],
)
async def test_a_search_without_words_is_refused_and_says_so(server, query, field, words):
    answer = await server.get("/search" + query)
    assert answer.status == 400
    assert answer.json["errors"][0]["field"] == field
    assert words in answer.json["errors"][0]["message"]


async def test_a_tasks_jobs_are_filtered_by_status(server):
    failed = await server.run_to_end("task", code=1)
    waiting = await server.enqueue("task")
    later = await server.enqueue("task", startIn="1h")
    for wanted, reply in (("failed", failed), ("enqueued", waiting), ("scheduled", later)):
        page = (await server.get(f"/tasks/task?status={wanted}")).json
        assert ([job["id"] for job in page["jobs"]], page["total"], page["jobsCount"]) == ([reply["jobId"]], 1, 3)
    assert (await server.get("/tasks/task?status=paused")).json["jobs"] == []
    assert (await server.get("/tasks/none?status=done")).status == 404
    for path in ("/tasks/task", "/tasks/task/jobs"):
        answer = await server.get(f"{path}?status=finished,done&label=x&page=0&perPage=1001")
        assert answer.status == 400
        assert {fault["field"] for fault in answer.json["errors"]} == {"status", "label", "page", "perPage"}


async def test_a_tasks_jobs_are_filtered_by_several_statuses_and_by_label(server):
    failed = await server.run_to_end("task", code=1)
    waiting = await server.enqueue("task", labels={"team": "data"})
    later = await server.enqueue("task", startIn="1h", labels={"team": "data"})
    await server.enqueue("other", labels={"team": "data"})
    for query, expected in (
        ("status=failed,enqueued", [waiting, failed]),
        ("label=team%3Ddata", [later, waiting]),
        ("status=scheduled,failed&label=team=data", [later]),
    ):
        for path, rows in (("/tasks/task", "jobs"), ("/tasks/task/jobs", "items")):
            pages = await walk(server, f"{path}?{query}&perPage=1", lambda page, rows=rows: page[rows])
            assert [job["id"] for page in pages for job in page[rows]] == [reply["jobId"] for reply in expected], query


async def test_a_tasks_jobs_come_in_smaller_pages_when_they_are_large_unless_the_query_asks_for_a_page(server, monkeypatch):
    monkeypatch.setattr("fastlane.storage.pages.MAX_TEXT", 12_000)
    replies = [await server.enqueue("task", command="x" * 1_000) for _ in range(12)]
    pages = await walk(server, "/tasks/task", lambda page: page["jobs"])
    assert [page["perPage"] for page in pages] == [10, 10]
    assert [job["id"] for page in pages for job in page["jobs"]] == [reply["jobId"] for reply in reversed(replies)]
    for query in ("perPage=1000", "perPage=12", "page=1"):
        answer = await server.get(f"/tasks/task?{query}")
        assert (answer.status, answer.json["errors"][0]["field"]) == (400, "perPage")


async def test_a_page_whose_latest_executions_are_too_large_is_made_smaller_or_refused_too(server, monkeypatch):
    monkeypatch.setattr("fastlane.storage.pages.MAX_TEXT", 12_000)
    replies = [await server.enqueue("task", command="x" * 1_000) for _ in range(12)]
    for reply in replies:
        answer = await server.ask("PATCH", f"/tasks/task/jobs/{reply['jobId']}", data=b'{"command": ["small"]}')
        assert answer.status == 200
    pages = await walk(server, "/tasks/task", lambda page: page["jobs"])
    assert [job["id"] for page in pages for job in page["jobs"]] == [reply["jobId"] for reply in reversed(replies)]
    assert [page["perPage"] for page in pages] == [10, 10]
    for path in ("/tasks/task?perPage=12", "/jobs/?perPage=12"):
        answer = await server.get(path)
        assert (answer.status, answer.json["errors"][0]["field"]) == (400, "perPage")


async def test_executions_are_listed_in_full_with_the_latest_due_first(server):
    """With how often the job must succeed, and how many receivers each kind of message has: a list has these beside what one has."""
    first, second = await server.run_to_end("task", (1, b"out"), code=3), await server.enqueue("other")
    page = (await server.get("/executions")).json
    assert [row["executionId"] for row in page["items"]] == [second["executionId"], first["executionId"]]
    shown = (await server.get(first["executionUrl"])).json["execution"]
    del shown["log"], shown["error"]
    shown |= {"expectEvery": None, "receivers": dict.fromkeys(NotificationTrigger, 0)}
    assert page["items"][1] == shown
    assert (await server.get(first["jobUrl"] + "executions")).json["items"] == [shown]
    since = iso((await server.execution(second)).scheduled_for)
    assert [row["executionId"] for row in (await server.get(f"/executions?since={quote(since)}")).json["items"]] == [second["executionId"]]


async def test_the_failures_of_each_job_are_one_row_with_the_last_one(server):
    other = await server.run_to_end("other", code=3)
    noisy = await fill(server, executions=60, tasks=1)
    page = (await server.get("/failures?since=1h")).json
    assert page.keys() == {"items", *KEYS}
    assert [(row["taskId"], row["jobId"], row["failures"]) for row in page["items"]] == [
        ("history", noisy["jobId"], 1),
        ("other", other["jobId"], 1),
    ]
    last = page["items"][1]["lastFailure"]
    assert (last["exitCode"], last["status"], last["taskId"]) == (3, "failed", "other")
    first = (await server.get("/failures?perPage=1")).json
    assert [(row["taskId"], row["failures"]) for row in first["items"]] == [("history", 60)]
    assert [row["taskId"] for row in (await server.get(first["nextUrl"])).json["items"]] == ["other"]
    assert [row["taskId"] for row in (await server.get("/failures?task=other")).json["items"]] == ["other"]
    assert (await server.get("/failures?task=none")).json["total"] == 0
    answer = await server.get("/failures?since=soon&perPage=0&task=%00")
    assert (answer.status, {fault["field"] for fault in answer.json["errors"]}) == (400, {"since", "perPage", "task"})


async def test_a_list_of_tasks_says_in_short_how_their_jobs_are(server):
    await server.run_to_end("report", code=3)
    late = await server.enqueue("report", cron="0 2 * * *", expectEvery="1d")
    job = await server.store.job(late["jobId"])
    assert await server.store.advance(job, replace(job, late_since=server.clock.now() - 1), (), None)
    for path in ("/tasks", "/search?query=report"):
        (task,) = (await server.get(path)).json["items"]
        assert (task["jobsCount"], task["jobsByStatus"], task["lateJobs"]) == (2, {"failed": 1, "scheduled": 1}, 1)
        assert task["nextRunAt"] == (await server.get(late["jobUrl"])).json["job"]["nextRunAt"]
        assert (task["lastExecution"]["status"], task["lastExecution"]["exitCode"]) == ("failed", 3)
    await server.enqueue("empty", manual=True)
    empty = (await server.get("/tasks?perPage=1")).json["items"][0]
    assert (empty["jobsByStatus"], empty["nextRunAt"], empty["lastExecution"]) == ({"idle": 1}, None, None)


async def test_every_fault_of_a_query_is_told_at_once(server):
    answer = await server.get("/executions?status=ended&task=a%2Fb&since=yesterday&page=0&perPage=x&after=%20")
    assert answer.status == 400
    assert [fault["field"] for fault in answer.json["errors"]] == ["status", "task", "since", "page", "perPage", "after"]
    assert (await server.get("/executions?status=done,")).status == 400
    assert (await server.get("/executions?status=done&status=failed")).status == 400


async def test_the_list_of_what_is_not_there_is_404(server):
    reply = await server.enqueue()
    none = "96812ec5-4574-46da-9474-f901b51d49ec"
    for path in (f"/tasks/other/jobs/{reply['jobId']}/executions", f"/tasks/task/jobs/{none}/executions"):
        assert (await server.get(path)).status == 404
    assert (await server.post("/executions")).status == 405


# the jobs of all tasks


async def test_jobs_of_all_tasks_are_found_by_label_by_status_and_by_task(server):
    one = await server.enqueue("a%20b", labels={"team": "data", "note": "a=b, c"}, name="nightly")
    two = await server.enqueue("c", labels={"team": "data"}, cron="0 8 * * *")
    await server.enqueue("c", labels={"team": "web"})
    first, second, third = (await server.get("/jobs")).json["items"]
    assert [row["taskId"] for row in (first, second, third)] == ["c", "c", "a b"]
    assert third["name"] == "nightly"
    for query, expected in (
        ("label=team%3Ddata", [two, one]),
        ("label=team=data&status=scheduled", [two]),
        ("label=team=data&task=a%20b", [one]),
        ("label=note%3Da%3Db%2C%20c", [one]),
        ("label=team=", []),
    ):
        assert [row["id"] for row in (await server.get(f"/jobs?{query}")).json["items"]] == [reply["jobId"] for reply in expected], query
    answer = await server.get("/jobs?status=ended&task=a%2Fb&label=team&colour=red")
    assert {fault["field"] for fault in answer.json["errors"]} == {"colour"}
    answer = await server.get("/jobs?status=ended&task=a%2Fb&label=team")
    assert {fault["field"] for fault in answer.json["errors"]} == {"status", "task", "label"}


async def test_jobs_are_found_by_words_of_what_they_show_and_by_the_end_of_their_id(server, monkeypatch):
    monkeypatch.setattr(lists, "LOOKED_AT", (2, 1))
    one = await server.enqueue("invoices", name="Monthly Straße", command="make pdf --url https://ann:hush@example.com/")
    two = await server.enqueue("invoices", image="registry.example.com/pdf:4", labels={"team": "data"}, cron="0 8 * * *")
    three = await server.enqueue("backup", envs={"WORD": "monthly"})
    for query, expected in (
        ("query=PDF", [two, one]),
        ("query=strasse+month", [one]),
        ("query=team=data", [two]),
        ("query=pdf&status=scheduled", [two]),
        ("query=inv&task=backup", []),
        (f"query={three['jobId'][-8:]}", [three]),
        ("query=hush", []),
        ("query=word", []),
    ):
        assert [row["id"] for row in (await server.get(f"/jobs?{query}")).json["items"]] == [reply["jobId"] for reply in expected], query
    pages = await walk(server, "/jobs?query=o&perPage=1", items)
    assert [page["items"][0]["id"] for page in pages] == [reply["jobId"] for reply in (two, one)]
    assert {page["total"] for page in pages} == {2}
    assert [row["id"] for row in (await server.get("/jobs?query=o&perPage=1&page=2")).json["items"]] == [one["jobId"]]
    assert (await server.get("/jobs?query=o&perPage=1&page=3")).status == 404
    assert (await server.get(f"/jobs?query={'+'.join(map(str, range(21)))}")).json["errors"][0]["field"] == "query"
    monkeypatch.setattr(lists, "MOST_LOOKED_AT", 2)
    answer = await server.get("/jobs?query=pdf")
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "query")
    assert "add task, label or status" in answer.json["detail"]


async def test_late_jobs_are_found_until_they_are_stopped(server, monkeypatch):
    monkeypatch.setattr(lists, "MOST_LOOKED_AT", 1)  # others than late ones are not looked at
    late, stopped, _ = [await server.enqueue(expectEvery="1h", cron="0 8 * * *") for _ in range(3)]
    for reply in (late, stopped):
        job = await server.store.job(reply["jobId"])
        assert await server.store.advance(job, replace(job, late_since=server.clock.now()), (), None)
    await server.post(stopped["jobUrl"] + "stop")
    assert [row["id"] for row in (await server.get("/jobs?late=1")).json["items"]] == [late["jobId"]]
    assert (await server.get("/jobs?late=1&query=none")).json["items"] == []
    assert (await server.get("/jobs?late=0")).json["total"] == 3


# the token of a walk


async def tokens(server):
    await fill(server, executions=3)
    return (await server.get("/tasks?perPage=5")).json["nextUrl"]


def forged(token, change):
    """A token whose text was changed, under its old seal."""
    data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    return urlsafe_b64encode(data[:8] + change(data[8:])).decode().rstrip("=")


async def test_a_token_that_was_changed_is_refused_by_its_name(server):
    url = await tokens(server)
    (token,) = parse_qs(urlsplit(url).query)["after"]
    text = urlsafe_b64decode(token + "=" * (-len(token) % 4))[8:]
    changed = [token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :] for place in range(len(token))]
    changed += [token[:-1], token + "A", token + "=", "", "x", "x" * 5_000, "%00", token.upper(), "é", token[4:]]
    changed += [forged(token, lambda _, other=other: other) for other in (b"", b"[]", b"{}", b"[1]", b"null", text + b" ", b"\xff")]
    for other in changed:
        answer = await server.get(url.replace(token, quote(other)))
        assert answer.status == 400, other
        (fault,) = answer.json["errors"]
        assert fault["field"] == "after"
        assert "leave it out" in fault["message"]


async def test_a_token_belongs_to_its_list_and_filters(server):
    url = await tokens(server)
    (token,) = parse_qs(urlsplit(url).query)["after"]
    for path in ("/executions?", "/executions?status=done&", "/search?query=night&", "/tasks/history?"):
        assert (await server.get(f"{path}after={token}")).status == 400
    assert (await server.get(f"/tasks?after={token}")).status == 200
    assert (await server.get(f"/task/?perPage=3&after={token}")).status == 200


async def test_a_walk_goes_on_while_the_list_grows(server):
    reply = await fill(server, executions=20)
    url = reply["jobUrl"] + "executions/?perPage=5"
    expected = [row["executionId"] for page in await walk(server, url, items) for row in items(page)]
    found = []
    while url:
        page = (await server.get(url)).json
        found += [row["executionId"] for row in page["items"]]
        url = page["nextUrl"]
        newest = (await server.store.executions_of(reply["jobId"], 1))[0]
        assert await server.store.insert(next_execution(newest, due=newest.scheduled_for + 1, now=1))
        assert (page["total"], page["pages"]) == (20, 4)
    assert found == expected


async def test_a_task_that_is_walked_over_shows_an_execution_once_whatever_becomes_of_it(server):
    replies = [await server.enqueue("task") for _ in range(6)]
    first = (await server.get("/executions?perPage=4")).json
    assert await server.store.change(transitions.cancel(await server.execution(replies[0]), now=5))
    rest = (await server.get(first["nextUrl"])).json
    assert [row["executionId"] for row in (*first["items"], *rest["items"])] == [reply["executionId"] for reply in reversed(replies)]
    assert rest["items"][-1]["status"] == "stopped"


async def test_a_search_has_at_most_twenty_different_words(server):
    await server.enqueue("nightly")
    many = "+".join(["n", "ni"] * 30)
    assert (await server.get(f"/search?query={many}")).json["total"] == 1
    answer = await server.get("/search?query=" + "+".join(f"word{number}" for number in range(21)))
    assert answer.status == 400
    assert answer.json["errors"] == [
        {"field": "query", "message": "has 21 words; name at most 20, the ones that tell the task from others"}
    ]


async def test_a_list_that_takes_too_long_is_a_503_that_says_how_to_ask_for_less(server):
    intercept(server.store, "list_executions", failing(ReadTooLong("the store did not answer within 5 s; ask for less")))
    answer = await server.get("/executions")
    assert (answer.status, answer.json["detail"]) == (503, "the store did not answer within 5 s; ask for less")
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize("path", ["/executions", "/tasks/history", "/tasks/history/jobs/{job}", "/tasks/history/jobs/{job}/executions"])
async def test_secrets_in_the_messages_of_a_list_are_looked_for_in_a_thread(server, monkeypatch, path):
    reply = await server.run_to_end("history", code=1)
    threads, message = [], Redaction.message
    monkeypatch.setattr(Redaction, "message", lambda *given: [message(*given), threads.append(threading.current_thread())][0])
    assert (await server.get(path.format(job=reply["jobId"]))).status == 200
    assert threads
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("path", ["/tasks/t", "/executions", "/tasks/t/jobs/{job}?include=logs"])
async def test_a_list_with_logs_or_long_commands_is_rendered_in_a_thread(server, monkeypatch, path):
    reply = await server.enqueue("t", command=["echo", "long " * 4_000] if "logs" not in path else None)
    threads, encode = [], handler.encode_json
    monkeypatch.setattr(handler, "encode_json", lambda value: [encode(value), threads.append(threading.current_thread())][0])
    assert (await server.get(path.format(job=reply["jobId"]))).status == 200
    assert len(threads) == 1
    assert threading.current_thread() not in threads


async def test_jobs_that_take_too_long_to_count_leave_the_rest_of_the_status(server, monkeypatch):
    await server.enqueue()
    assert (await server.get("/status")).json["jobs"]["byStatus"]["enqueued"] == 1
    monkeypatch.setattr(status, "COUNT_DEADLINE", 0.0)
    await until(lambda: jobs_of_status(server, None), "a count that is given up")


async def jobs_of_status(server, expected) -> bool:
    jobs = (await server.get("/status")).json["jobs"]
    return (jobs["count"], jobs["byStatus"]) == (1, expected)
