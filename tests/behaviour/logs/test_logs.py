"""Logs over HTTP: bytes as they were written, ranges, last lines, and readers who hang."""

import socket
from dataclasses import replace
from typing import Any

import pytest

from fastlane.models import transitions
from fastlane.models.job import Ending, Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from tests.support.intercept import Call, intercept, keeping
from tests.support.waiting import at_rest, until

KINDS = ["stdout", "stderr", "logs"]


@pytest.mark.parametrize("kind", KINDS)
async def test_there_is_no_log_before_something_has_started(server, kind):
    reply = await server.enqueue()
    for url in (reply["jobUrl"], reply["executionUrl"]):
        answer = await server.get(url + kind)
        assert answer.status == 404
        assert "enqueued" in answer.json["detail"]
        assert answer.headers["Fastlane-Status"] == "enqueued"
    await server.pull(reply)
    assert (await server.get(reply["jobUrl"] + kind)).headers["Fastlane-Status"] == "pulling"
    later = await server.enqueue(startIn="1h")
    assert (await server.get(later["jobUrl"] + kind)).headers["Fastlane-Status"] == "scheduled"


async def test_what_never_started_is_the_same_404_in_each_case(server):
    """A stop, an image that is not there, a cron that was stopped: by its job, and by the execution where there is one."""
    stopped = await server.enqueue("stopped")
    assert (await server.post(stopped["executionUrl"] + "stop")).status == 200
    failed = await server.enqueue("failed")
    ending = Ending(Status.FAILED, server.clock.now(), 127, Failure(FailureReason.EXIT, "it could not be started"))
    assert await server.store.change(transitions.give_up(await server.pull(failed), ending))
    cron = await server.enqueue("cron", cron="0 0 1 1 *")
    assert (await server.post(cron["jobUrl"] + "stop")).status == 200
    urls = [(reply[of], status) for reply, status in ((stopped, "stopped"), (failed, "failed")) for of in ("jobUrl", "executionUrl")]
    for url, status in (*urls, (cron["jobUrl"], "stopped")):
        for kind in (*KINDS, "logs?interleaved=1"):
            answer = await server.get(url + kind)
            assert (answer.status, answer.json["executionStatus"], answer.headers["Fastlane-Status"]) == (404, status, status)
            assert "has no output: it" in answer.json["detail"]
            assert "ever started" in answer.json["detail"]
    for reply in (stopped, failed):
        assert (await server.get(reply["jobUrl"] + "stdout")).headers["Fastlane-Execution-Id"] == reply["executionId"]
    codes = [(await server.get(failed[of] + "stdout")).headers.get("Fastlane-Exit-Code") for of in ("jobUrl", "executionUrl")]
    assert codes == ["127", "127"]


async def test_a_log_is_shown_although_no_start_was_seen(server):
    """The engine lost the service before anyone had seen its container."""
    reply = await server.enqueue()
    pulling = await server.pull(reply)
    await server.append_log(pulling, (1, b"out"))
    ending = Ending(Status.FAILED, server.clock.now(), failure=Failure(FailureReason.KILLED, "it is gone"))
    assert await server.store.change(transitions.give_up(pulling, ending))
    for url in (reply["jobUrl"], reply["executionUrl"]):
        assert (await server.get(url + "stdout")).body == b"out"
        assert (await server.get(url + "logs?follow=1")).body == b"out"


async def test_a_running_log_comes_as_far_as_it_is_and_has_no_exit_code(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"one\n"))
    first = await server.get(reply["jobUrl"] + "stdout")
    assert (first.body, first.headers["Fastlane-Status"]) == (b"one\n", "running")
    assert "Fastlane-Exit-Code" not in first.headers
    await server.append_log(execution, (1, b"two\n"))
    assert (await server.get(reply["jobUrl"] + "stdout")).body == b"one\ntwo\n"


async def test_an_end_without_a_code_has_no_exit_code(server):
    reply = await server.enqueue()
    running = await server.run(reply)
    ending = Ending(Status.FAILED, server.clock.now(), failure=Failure(FailureReason.HOST_LOST, "its node is away"))
    await server.change(transitions.end(running, ending))
    answer = await server.get(reply["jobUrl"] + "stdout")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Fastlane-Status"] == "failed"
    assert "Fastlane-Exit-Code" not in answer.headers
    shown = (await server.get(reply["executionUrl"])).json["execution"]
    assert shown["failure"] == {"reason": "host-lost", "message": "its node is away"}
    assert shown["exitCode"] is None


async def test_what_never_started_does_not_hide_the_log_of_what_did(server):
    reply = await server.run_to_end("task", (1, b"the last run\n"), code=0)
    never = replace(next_execution(await server.execution(reply), due=1, now=1), status=Status.STOPPED, finished_at=1)
    assert await server.store.insert(never)
    answer = await server.get(reply["jobUrl"] + "stdout")
    assert (answer.body, answer.headers["Fastlane-Execution-Id"]) == (b"the last run\n", reply["executionId"])


async def test_both_streams_come_one_after_the_other_or_as_they_came(server):
    reply = await server.run_to_end("task", (1, b"a\n"), (2, b"b\n"), (1, b"c\n"), code=0)
    for url in (reply["jobUrl"], reply["executionUrl"]):
        assert (await server.get(url + "logs")).body == b"a\nc\n\n-=-\nb\n"
        assert (await server.get(url + "logs?interleaved=1")).body == b"a\nb\nc\n"
        assert (await server.get(url + "logs?interleaved=false")).body == b"a\nc\n\n-=-\nb\n"
        assert (await server.get(url + "logs?interleaved=yes")).status == 400
    assert (await server.get(reply["jobUrl"] + "logs")).headers["Fastlane-Exit-Code"] == "0"


@pytest.mark.parametrize(
    ("header", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=x-", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
    ],
)
async def test_ranges(server, header, status, body, content_range):
    reply = await server.run_to_end("task", (1, b"01234"), (2, b"err"), (1, b"56789"))
    answer = await server.get(reply["jobUrl"] + "stdout", headers={"Range": header})
    assert answer.status == status
    assert answer.headers.get("Content-Range") == content_range
    if body is not None:
        assert answer.body == body
        assert answer.headers["Accept-Ranges"] == "bytes"
    head = await server.ask("HEAD", reply["jobUrl"] + "stdout", headers={"Range": header})
    assert (head.status, head.headers["Content-Length"]) == (status, answer.headers["Content-Length"])
    whole = await server.get(reply["jobUrl"] + "stdout", headers={"Range": header, "If-Range": '"x"'})  # there is no validator to match
    assert (whole.status, whole.body, whole.headers.get("Content-Range")) == (200, b"0123456789", None)


@pytest.mark.parametrize(
    "path", ["stdout?tail=2", "stderr?since=1", "logs", "logs?tail=1", "logs?interleaved=1", "logs?interleaved=1&tail=2", "logs?tail=0"]
)
async def test_a_range_of_both_streams_and_of_a_tail_is_that_part_of_the_answer_without_it(server, path):
    reply = await server.run_to_end("task", (1, b"one\n"), (2, b"err\n"), (1, b"two\nthree\n"), code=0)
    for url in (reply["jobUrl"], reply["executionUrl"]):
        whole = (await server.get(url + path)).body
        size = len(whole)
        for start in range(size):
            answer = await server.get(url + path, headers={"Range": f"bytes={start}-{start + 5}"})
            end = min(start + 6, size)
            assert (answer.status, answer.body) == (206, whole[start:end])
            assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert (await server.get(url + path, headers={"Range": f"bytes={start - 2}-"})).body == whole[-3:]
        past = await server.get(url + path, headers={"Range": f"bytes={size}-"})
        assert (past.status, past.headers["Content-Range"]) == (416, f"bytes */{size}")


async def test_a_range_of_lines_with_times_and_of_a_followed_log_is_all_of_it(server):
    reply = await server.run_to_end("task", (1, b"one\n"), code=0)
    for path in ("logs?timestamps=1", "logs?follow=1"):
        answer = await server.get(reply["jobUrl"] + path, headers={"Range": "bytes=0-0"})
        assert (answer.status, b"one\n" in answer.body, "Content-Range" in answer.headers) == (200, True, False)


@pytest.mark.parametrize(
    ("tail", "body"), [(0, b""), (1, b"three\n"), (2, b"two\nthree\n"), (3, b"one\ntwo\nthree\n"), (99, b"one\ntwo\nthree\n")]
)
async def test_the_last_lines(server, tail, body):
    reply = await server.run_to_end("task", (1, b"one\ntw"), (2, b"x\ny\n"), (1, b"o\nthree\n"))
    assert (await server.get(f"{reply['jobUrl']}stdout?tail={tail}")).body == body


async def test_the_last_lines_of_a_long_log_are_found_across_slices(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    lines = [b"%d " % number + b"x" * (number % 300) + b"\n" for number in range(5_000)]
    for place in range(0, len(lines), 500):
        await server.append_log(execution, (1, b"".join(lines[place : place + 500])), (2, b"noise\n"))
    await server.append_log(execution, (1, b"no end"))
    for tail in (1, 2, 900, 4_999, 5_001):
        got = (await server.get(f"{reply['jobUrl']}stdout?tail={tail}")).body
        assert got == b"".join([*lines, b"no end"][-tail:])


async def test_what_came_since_a_moment(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for number in range(5):
        await server.append_log(execution, (1, b"out %d\n" % number), (2, b"err\n"), at=1_700_000_000_000 + number * 1_000)
    url = reply["jobUrl"] + "stdout"
    moments = {"1": 0, "1700000000": 0, "1700000002": 2, "2023-11-14T22:13:22Z": 2, "1700000003.5": 4, "1900000000": 5}
    for since, first in moments.items():
        answer = await server.get(f"{url}?since={since}")
        assert answer.body == b"".join(b"out %d\n" % number for number in range(first, 5)), since
        assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert (await server.get(f"{url}?since=1700000001&tail=2")).body == b"out 3\nout 4\n"
    assert (await server.get(f"{url}?since=1700000004&tail=2")).body == b"out 4\n"
    assert (await server.get(f"{reply['executionUrl']}stderr?since=1700000004")).body == b"err\n"
    head = await server.ask("HEAD", f"{url}?since=1700000003")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "12", b"")
    both = await server.get(f"{url}?since=x&tail=-1")
    assert {fault["field"] for fault in both.json["errors"]} == {"since", "tail"}


@pytest.mark.parametrize("path", ["stdout", "stderr", "logs", "logs?interleaved=1"])
async def test_a_faulty_part_is_refused_before_anything_has_started_too(server, path):
    reply = await server.enqueue()
    refused = await server.get(f"{reply['jobUrl']}{path}{'&' if '?' in path else '?'}since=x&tail=-1")
    assert (refused.status, {fault["field"] for fault in refused.json["errors"]}) == (400, {"since", "tail"})


async def test_since_takes_a_duration_ago(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    now = server.clock.now()
    for minutes in (90, 50, 10):
        await server.append_log(execution, (1, b"%d minutes ago\n" % minutes), at=now - minutes * 60_000)
    for since, lines in (("1h", [50, 10]), ("30m", [10]), ("2h", [90, 50, 10]), ("1s", [])):
        got = (await server.get(f"{reply['jobUrl']}stdout?since={since}")).body
        assert got == b"".join(b"%d minutes ago\n" % minutes for minutes in lines), since
    assert (await server.get("/executions?since=1h")).json["total"] == 1
    assert (await server.get("/executions?since=1h&task=other")).json["total"] == 0
    words = (await server.get(f"{reply['jobUrl']}stdout?since=yesterday")).json["detail"]
    assert 'or a duration ago ("1h")' in words


async def test_the_last_lines_and_what_came_since_of_both_streams(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for second, part in enumerate([(1, b"a\n"), (2, b"b\n"), (1, b"c\n"), (1, b"d\n")]):
        await server.append_log(execution, part, at=1_700_000_000_000 + second * 1_000)
    await server.end(execution)
    url = reply["jobUrl"]
    for query, body in (
        ("tail=1", b"d\n\n-=-\nb\n"),
        ("tail=0", b"\n-=-\n"),
        ("since=1700000002", b"c\nd\n\n-=-\n"),
        ("since=1700000001&tail=1", b"d\n\n-=-\nb\n"),
        ("interleaved=1&tail=3", b"b\nc\nd\n"),
        ("interleaved=1&since=1700000001", b"b\nc\nd\n"),
        ("interleaved=1&since=1700000001&tail=9", b"b\nc\nd\n"),
        ("follow=1&since=1700000001", b"b\nc\nd\n"),
        ("follow=1&since=1700000001&tail=2", b"c\nd\n"),
        ("follow=1&since=1700000000&stream=stderr", b"b\n"),
    ):
        answer = await server.get(f"{url}logs?{query}")
        assert answer.body == body, query
        assert int(answer.headers.get("Content-Length", len(body))) == len(body)


@pytest.mark.parametrize("query", ["tail=-1", "tail=x", "tail=", "since=x", "since=", "since=1700000000000", "interleaved=1", "follow=1"])
async def test_a_bad_query_of_a_stream_is_refused(server, query):
    reply = await server.run_to_end("task", (1, b"out"))
    assert (await server.get(f"{reply['jobUrl']}stdout?{query}")).status == 400


async def test_an_execution_tells_the_end_of_each_stream_as_text(server):
    reply = await server.run_to_end("task", (1, "é".encode() * 40_000 + b"\xff"), (2, b"bad"))
    shown = (await server.get(reply["executionUrl"])).json["execution"]
    assert shown["error"] == "bad"
    assert shown["log"] == "é" * 32_767 + "\ufffd"
    assert shown["logInfo"] == {"stdoutBytes": 80_001, "stderrBytes": 3, "truncated": False}


async def test_a_log_of_many_slices_comes_whole(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    parts = [bytes([number]) * 100_000 for number in range(60)]
    for part in parts:
        await server.append_log(execution, (1, part), (2, b"e"))
    assert (await server.get(reply["jobUrl"] + "stdout")).body == b"".join(parts)
    assert (await server.get(reply["jobUrl"] + "logs")).body == b"".join(parts) + b"\n-=-\n" + b"e" * 60


async def test_a_reader_who_hangs_stops_the_reading_and_nobody_else(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for _ in range(40):
        await server.append_log(execution, (1, b"x" * 500_000))
    slices: list[Call] = []
    intercept(server.store, "read_log", keeping(slices))
    path = f"/tasks/task/jobs/{reply['jobId']}/stdout"
    hanging = socket.socket()
    hanging.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    hanging.connect(("127.0.0.1", server.port))
    try:
        hanging.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await until(lambda: slices, "the log to be read")
        assert await at_rest(lambda: len(slices)) < 80, "the whole log was read for a client that takes nothing"
        assert (await server.get("/livez")).status == 200
    finally:
        hanging.close()


async def test_a_job_that_runs_while_its_log_is_asked_for_is_not_said_to_have_no_output(server):
    reply = await server.enqueue("task")
    reads: list[Call] = []

    async def read_as_it_ends(call: Call) -> Any:
        reads.append(call)
        found = await call.carry()
        if len(reads) == 1:
            await server.end(await server.run(reply))
        return found

    intercept(server.store, "last_started", read_as_it_ends)
    answer = await server.get(f"{reply['jobUrl']}stdout")
    assert (answer.status, answer.headers["Fastlane-Status"], answer.headers["Fastlane-Exit-Code"]) == (200, "done", "0")
