"""Logs as events for programs: the bytes as they were written (``encoding=base64``), and the log so far without following it."""

import base64
import json

import pytest

from fastlane.streams.batch import MOST_PIECES, batch_of
from fastlane.web.streaming import logs as stored_events

EVENTS = {"Accept": "text/event-stream"}
LOG = ((1, b"one\n"), (2, b"\xff\x00two\n"), (1, "ä".encode()[:1]), (2, b"three\n"), (1, "ä".encode()[1:] + b"\r\n"))
STDOUT = b"".join(data for stream, data in LOG if stream == 1)
STDERR = b"".join(data for stream, data in LOG if stream == 2)


def events_of(body: bytes) -> list[dict]:
    """The data of all events that have any."""
    lines = [line.removeprefix("data: ") for line in body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines]


def written(events: list[dict], stream: str) -> bytes:
    return b"".join(base64.b64decode(event["data"]) for event in events if event.get("stream") == stream)


async def events(server, url):
    answer = await server.get(url, headers=EVENTS)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream"), answer.body
    return events_of(answer.body)


@pytest.mark.parametrize("query", ["logs?encoding=base64", "logs?follow=1&encoding=base64"])
@pytest.mark.parametrize("of", ["jobUrl", "executionUrl"])
async def test_events_in_base64_have_each_byte_of_each_stream(server, of, query):
    reply = await server.run_to_end("task", *LOG, code=3)
    found = await events(server, reply[of] + query)
    assert (written(found, "stdout"), written(found, "stderr")) == (STDOUT, STDERR)
    assert [event.get("stream") for event in found] == ["stdout", "stderr", "stdout", "stderr", "stdout", None]
    assert found[-1] == {"event": "end", "status": "failed", "exitCode": 3}
    assert all(event["time"] == "2023-11-14T22:13:20.000Z" for event in found[:-1])


@pytest.mark.parametrize("query", ["logs?encoding=base64", "logs?follow=1&encoding=base64"])
async def test_bytes_go_on_after_any_event_and_none_comes_twice(server, query):
    reply = await server.run_to_end("task", *LOG)
    whole = await events(server, reply["jobUrl"] + query)
    for place, event in enumerate(whole[:-1], 1):
        assert await events(server, f"{reply['jobUrl']}{query}&from={event['cursor']}") == whole[place:]


async def test_a_long_piece_comes_in_parts_of_a_bounded_size(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"\xfe" * 100_000))
    found = await events(server, reply["jobUrl"] + "logs?encoding=base64")
    assert written(found, "stdout") == b"\xfe" * 100_000
    assert max(len(event["data"]) for event in found) < 25_000


async def test_the_log_so_far_of_what_still_runs_has_no_last_event(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"one\n"), (2, b"two\n"))
    found = await events(server, reply["jobUrl"] + "logs")
    assert [(event["stream"], event["text"]) for event in found] == [("stdout", "one\n"), ("stderr", "two\n")]
    await server.append_log(execution, (1, b"three\n"))
    (more,) = await events(server, f"{reply['jobUrl']}logs?from={found[-1]['cursor']}")
    assert more["text"] == "three\n"


@pytest.mark.parametrize(
    ("query", "expected"),
    [("tail=1", ["c\n"]), ("tail=2&stream=stdout", ["a\n", "c\n"]), ("stream=stderr", ["b\n"]), ("since=1h", []), ("tail=0", [])],
)
async def test_a_part_of_the_log_so_far(server, query, expected):
    reply = await server.run_to_end("task", (1, b"a\n"), (2, b"b\n"), (1, b"c\n"))
    found = await events(server, f"{reply['jobUrl']}logs?{query}")
    assert [event["text"] for event in found if "text" in event] == expected


async def test_a_character_that_is_never_finished_is_shown_at_the_end(server):
    reply = await server.run_to_end("task", (1, b"x\xc3"))
    assert "".join(event.get("text", "") for event in await events(server, reply["jobUrl"] + "logs")) == "x\ufffd"


@pytest.mark.parametrize("query", ["logs", "logs?follow=1"])
async def test_events_of_what_failed_without_a_word_tell_why(server, query):
    reply = await server.run_to_end("task", code=3)
    assert await events(server, reply["jobUrl"] + query) == [
        {"event": "failure", "reason": "exit", "message": "exit code 3"},
        {"event": "end", "status": "failed", "exitCode": 3},
    ]


@pytest.mark.parametrize("query", ["logs", "logs?follow=1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_browser_that_has_had_the_end_is_told_not_to_come_again(server, method, query):
    reply = await server.run_to_end("task", (1, b"x"))
    whole = await server.get(reply["jobUrl"] + query, headers=EVENTS)
    last = whole.body.decode().rpartition("id: ")[2].splitlines()[0]
    again = await server.ask(method, reply["jobUrl"] + query, headers=EVENTS | {"Last-Event-ID": last})
    assert (again.status, again.body) == (204, b"")


async def test_a_log_of_single_bytes_is_made_into_events_a_few_at_a_time(server, monkeypatch):
    sizes = []
    monkeypatch.setattr(stored_events, "batch_of", lambda start, pieces: sizes.append(len(pieces)) or batch_of(start, pieces))
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, *[(number % 2 + 1, b"\n") for number in range(3 * MOST_PIECES)])
    found = await events(server, reply["jobUrl"] + "logs")
    assert len(found) == 3 * MOST_PIECES
    assert max(sizes) == MOST_PIECES


async def test_events_of_what_has_not_started_are_a_404_that_says_its_status(server):
    reply = await server.enqueue()
    answer = await server.get(reply["jobUrl"] + "logs", headers=EVENTS)
    assert (answer.status, answer.json["executionStatus"]) == (404, "enqueued")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("logs?interleaved=1&timestamps=1", "T one\nT two\nT \nT th\nT reeT half"),
        ("logs?follow=1&timestamps=1", "T one\nT two\nT \nT th\nT reeT half"),
        ("logs?follow=1&timestamps=1&stream=stdout", "T one\nT th\nT ree"),
        ("logs?timestamps=1", "T one\nT th\nT ree\n-=-\nT two\nT \nT half"),
        ("logs?timestamps=1&interleaved=1&tail=1", "T reeT half"),
    ],
)
async def test_text_may_have_the_time_before_each_line(server, query, expected):
    reply = await server.run_to_end("task", (1, b"on"), (1, b"e\n"), (2, b"two\n\n"), (1, b"th\nree"), (2, b"half"))
    answer = await server.get(reply["jobUrl"] + query)
    assert answer.body.decode().replace("2023-11-14T22:13:20.000Z", "T") == expected


async def test_head_of_a_text_with_times_has_no_length(server):
    reply = await server.run_to_end("task", (1, b"x"))
    answer = await server.ask("HEAD", reply["jobUrl"] + "logs?timestamps=1")
    assert (answer.status, "Content-Length" in answer.headers) == (200, False)


async def test_head_of_events_has_no_length(server):
    reply = await server.run_to_end("task", (1, b"x"))
    answer = await server.ask("HEAD", reply["jobUrl"] + "logs", headers=EVENTS)
    assert (answer.status, answer.headers["Content-Type"], "Content-Length" in answer.headers) == (200, "text/event-stream", False)


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("encoding=base64", {}, "encoding"),
        ("follow=1&encoding=base64", {}, "encoding"),
        ("timestamps=1", EVENTS, "timestamps"),
        ("follow=1&timestamps=1", EVENTS, "timestamps"),
        ("timestamps=maybe", {}, "timestamps"),
        ("encoding=hex", EVENTS, "encoding"),
        ("follow=1&encoding=hex", EVENTS, "encoding"),
        ("from={id}:99", EVENTS, "from"),
        ("from=00000000-0000-4000-8000-000000000000:0", EVENTS, "from"),
    ],
)
async def test_a_query_that_means_nothing_is_a_400_that_names_it(server, query, headers, field):
    reply = await server.run_to_end("task", (1, b"x"))
    answer = await server.get(f"{reply['jobUrl']}logs?{query.format(id=reply['executionId'])}", headers=headers)
    assert (answer.status, [fault["field"] for fault in answer.json["errors"]]) == (400, [field])
