"""``fastlane grep`` and the client's search, against a real server."""

import asyncio
import io
import json
import signal
import tarfile

import pytest

from fastlane.client import AsyncClient, Client, LogHit, LogMissing, SearchEnded, SearchQuery
from fastlane.errors import StoreDown
from fastlane.models.log import STDERR, STDOUT, Head
from tests.support.command_line import Terminal
from tests.support.endless_log import EndlessLog
from tests.support.waiting import LONG_PATIENCE, until

TIME = "2023-11-14T22:13:20.000Z"


async def test_lines_come_with_their_job_run_time_and_number_the_newest_run_first(server, command_line):
    old = await server.run_to_end("backup", (STDOUT, b"fine\nERROR\t\x1b[2Jone\n"))
    new = await server.run_to_end("backup", (STDERR, b"ERROR two\n"))
    await server.run_to_end("other", (STDOUT, b"ERROR three\n"))
    names = [f"backup/{one['jobId'][-8:]} {one['executionId'][-8:]} {TIME}" for one in (new, old)]
    done = await command_line("grep", "ERROR", "backup", "--since", "7d")
    assert (done.code, done.lines, done.err) == (0, [f"{names[0]} 1: ERROR two", f"{names[1]} 2: ERROR one"], "")
    one_job = await command_line("grep", "error", "-i", f"backup/{old['jobId'][-8:]}", "--json")
    assert [json.loads(line)["text"] for line in one_job.lines] == ["ERROR\tone"]
    assert (await command_line("grep", "ERROR.two", "--stream", "stdout")).code == 1
    assert (await command_line("grep", "-F", "ERROR.two", "backup")).code == 1
    first = await command_line("grep", "ERROR", "-m", "1")
    assert (first.code, len(first.lines), "may be more than these 1 lines" in first.err) == (0, 1, True)
    quiet = await command_line("grep", "-q", "ERROR", "backup")
    assert (quiet.code, quiet.out, quiet.err) == (0, b"", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("(a", "task"), "pattern: has no ) for the ( at character 1"),
        (("a", "taks"), "there is no task 'taks'; did you mean 'task'?"),
        (("a", "task", "--since", "never"), "since"),
        (("a", "task/"), "names no job after the slash"),
    ],
)
async def test_an_error_is_exit_code_2(server, command_line, arguments, words):
    await server.run_to_end("task", (STDOUT, b"a\n"))
    done = await command_line("grep", *arguments)
    assert (done.code, done.out) == (2, b"")
    assert words in done.err


async def test_runs_whose_log_is_gone_are_named(server, command_line, monkeypatch):
    gone = [await server.run_to_end("task", (STDOUT, b"here\n")) for _ in range(12)]
    await server.run_to_end("task", (STDOUT, b"here\n"))
    real = server.store.log_head

    async def head(id):
        return Head() if id in {one["executionId"] for one in gone} else await real(id)

    monkeypatch.setattr(server.store, "log_head", head)
    done = await command_line("grep", "here", "task")
    assert (done.code, len(done.lines)) == (0, 1)
    assert done.err.count("its log, or the end of it, is removed") == 10
    assert "in all, 12 runs were not searched whole: 12 removed" in done.err
    assert (await command_line("grep", "nothing", "task")).code == 1


async def test_matches_have_a_colour_on_a_terminal(server, command_line):
    await server.run_to_end("task", (STDOUT, b"an ERROR here\n"))
    with Terminal(120) as terminal:
        process = await command_line.start("grep", "E+R*", stdin=terminal.there, stdout=terminal.there)
        await process.wait()
        await until(lambda: b"here" in terminal.said, lambda: terminal.said)
        assert b"an \x1b[31m\x1b[1mERR\x1b[0mOR here" in terminal.said


async def test_a_search_that_is_cut_goes_on_and_nothing_comes_twice(server, monkeypatch):
    for number in range(3):
        await server.run_to_end("task", *[(STDOUT, b"hit %d %d\n" % (number, line)) for line in range(2)])
    await server.enqueue("task")
    real, calls = server.store.read_log, 0

    async def read(*rest):
        nonlocal calls
        calls += 1
        if calls in (2, 4):
            raise StoreDown("away for a moment")
        return await real(*rest)

    monkeypatch.setattr(server.store, "read_log", read)
    lost = []
    async with AsyncClient(server.base) as client:
        events = [event async for event in client.search_logs(SearchQuery("hit", "task"), on_lost=lost.append)]
    assert [event.text for event in events if isinstance(event, LogHit)] == [f"hit {run} {line}" for run in (2, 1, 0) for line in (0, 1)]
    assert len(lost) == 2
    assert not [event for event in events if isinstance(event, LogMissing)]
    [end] = [event for event in events if isinstance(event, SearchEnded)]
    assert (end.counts.hits, end.counts.runs, end.limited) == (6, 3, False)


async def test_the_synchronous_client_searches_too(server):
    await server.run_to_end("task", (STDOUT, b"a hit\n"))

    def search():
        with Client(server.base) as client:
            return list(client.search_logs(SearchQuery("hit", limit=1)))

    hit, end = [event for event in await asyncio.to_thread(search) if isinstance(event, LogHit | SearchEnded)]
    assert (hit.text[hit.begin : hit.end], end.limited) == ("hit", True)


async def test_the_logs_of_a_task_are_written_to_a_file_that_has_its_name_once_it_is_whole(server, command_line, monkeypatch):
    for text in (b"one", b"two"):
        await server.run_to_end("backup", (STDOUT, text))
    path = command_line.folder / "logs.tar.gz"
    done = await command_line("logs", "backup", "--archive", str(path), "--since", "7d")
    assert (done.code, done.out, done.err) == (0, b"", "")
    for data in (path.read_bytes(), (await command_line("logs", "backup", "--archive", "-")).out):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            assert [archive.extractfile(one).read() for one in archive if one.name.endswith(".log")] == [b"two", b"one"]
    assert (await command_line("logs", "backup", "--archive", "x", "--tail", "1")).code == 2
    wrong = await command_line("logs", "bakcup", "--archive", "x")
    assert (wrong.code, "did you mean 'backup'?" in wrong.err) == (2, True)

    async def fails(*_):
        raise StoreDown("away")

    monkeypatch.setattr(server.store, "read_log", fails)
    cut = await command_line("logs", "backup", "--archive", str(command_line.folder / "cut.tar.gz"))
    assert (cut.code, sorted(one.name for one in command_line.folder.glob("*.tar.gz*"))) == (1, ["logs.tar.gz"])


async def test_a_long_search_says_how_far_it_is_on_a_terminal_and_ends_with_ctrl_c(server, command_line, monkeypatch):
    await server.run_to_end("task", (STDOUT, b"a line\n" * 1000))
    EndlessLog(server, monkeypatch)
    with Terminal(120) as terminal:
        process = await command_line.start("grep", "nothing like it", stdin=terminal.there, stdout=terminal.there, stderr=terminal.there)
        await until(lambda: b"\r\x1b[Ksearched 0 logs, " in terminal.said, lambda: terminal.said, LONG_PATIENCE)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    await until(lambda: server.context.services.search_feeds.is_idle, "the server's search to end", LONG_PATIENCE)
