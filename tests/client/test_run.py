"""``fastlane run``: streams byte for byte, exit codes, what it says while it waits, and its ends by signals and closed pipes."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner

from fastlane.cli.client.fields import job_fields, job_options
from fastlane.cli.client.reference import subject
from tests.support.command_line import Terminal, ended
from tests.support.waiting import until

BYTES = bytes(range(256)) * 100
IMAGE = "ubuntu"


async def started(server, task="run"):
    """The job of a task, once its execution runs."""

    async def running():
        rows = (await server.get(f"/executions?task={task}&status=running")).json["items"]
        return rows[0] if rows else None

    return await until(running, "the job to run")


async def test_each_stream_comes_where_it_belongs_byte_for_byte(crewed_line):
    done = await crewed_line("run", IMAGE, "hex", BYTES.hex(), "err", "trouble\n", "hex", "0d0a00")
    assert (done.code, done.out, done.err) == (0, BYTES + b"\r\n\0", "trouble\n")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["exit", "0"], 0, ""),
        (["exit", "3"], 3, ""),
        (["exit", "255"], 255, ""),
        (["end", "oom"], 137, "memory"),
        (["end", "image"], 125, "finished"),
    ],
)
async def test_the_exit_code_is_the_commands(crewed_line, command, code, said):
    done = await crewed_line("run", IMAGE, *command)
    assert done.code == code
    assert said in done.err


async def test_a_time_out_is_124(crewed_line):
    done = await crewed_line("run", "--timeout", "1s", IMAGE, "hold")
    assert (done.code, "timeout" in done.err) == (124, True), done.err


async def test_what_fastlane_cannot_run_is_125(crewed, crewed_line, command_at, unused_tcp_port):
    crewed.executor._missing = frozenset({"none:1"})
    missing = await crewed_line("run", "none:1")
    assert (missing.code, missing.out) == (125, b"")
    assert "not found" in missing.err
    invalid = await crewed_line("run", "--retries", "-1", "--memory", "1", "A B")
    assert invalid.code == 125
    assert "retries: " in invalid.err
    assert "image: " in invalid.err
    unknown = await crewed_line("run", "--memroy", "1", IMAGE)
    assert (unknown.code, "--memory" in unknown.err) == (125, True)
    assert (await crewed_line("run")).code == 125
    away = await command_at(f"http://127.0.0.1:{unused_tcp_port}")("run", IMAGE)
    assert (away.code, away.err.count("\n"), "cannot be reached" in away.err) == (125, 1, True)


async def test_options_become_fields_of_the_job(server, command_line):
    (command_line.folder / "vars").write_text("# a comment\n\nA=1\nB=two words=2\n")
    command_line.environment["C"] = "from here"
    done = await command_line(
        "run", "-d", "-t", "report", "--name", "weekly", "--env-file", "vars", "-e", "A=3", "-e", "C", "-l", "team=data", "-m", "64m",
        "--timeout", "5m", "--retries", "2", "--priority", "7", IMAGE, "--", "sh", "-c", "echo -- $A",
    )  # fmt: skip
    assert done.code == 0, done.err
    task, job = done.text.strip().split("/")
    found = (await server.get(f"/tasks/{task}/jobs/{job}")).json["job"]
    assert found["definition"] == {
        "name": "weekly", "labels": {"team": "data"}, "image": IMAGE, "command": "sh -c 'echo -- $A'",
        "envs": {"A": "3", "B": "two words=2", "C": "from here"}, "retries": 2, "timeout": "5m", "priority": 7,
        "resources": {"cpus": None, "memory": 64 * 2**20, "pids": None, "reserve": {"cpus": None, "memory": None, "generic": {}}},
    }  # fmt: skip


async def test_a_unique_job_is_refused_by_the_name_of_the_one_that_waits(command_line):
    words = ("run", "-d", "-t", "report", "--unique", "--concurrency", "1", "--concurrency-key", "db", IMAGE)
    first, second = await command_line(*words), await command_line(*words)
    assert first.code == 0, first.err
    assert second.code != 0
    assert first.text.strip().partition("/")[2] in second.err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--service", "shop_web"], {"service": "shop_web"}),
        (["--service", "shop_web", "--", "./manage.py", "migrate"], {"service": "shop_web", "command": ["./manage.py", "migrate"]}),
        (["--service", "shop_web", "ls", "--", "-l"], {"service": "shop_web", "command": ["ls", "--", "-l"]}),
        (["ubuntu", "--", "ls"], {"image": "ubuntu", "command": ["ls"]}),
        (
            ["--hostname", "worker", "--read-only", "--dns", "10.0.0.53", "--cap-add", "KILL", "--cap-drop", "ALL", "--config", "a",
             "--ulimit", "nofile=1:2", "--config", "b:/etc/b", "--sysctl", "net.core.somaxconn=1", "--generic-resource", "gpu=1",
             "--entrypoint", "sh -c", "ubuntu"],
            {"image": "ubuntu", "resources": {"reserve": {"generic": {"gpu": "1"}}}, "container": {
                "entrypoint": "sh -c", "hostname": "worker", "readOnly": True, "dns": ["10.0.0.53"], "capAdd": ["KILL"],
                "capDrop": ["ALL"], "sysctls": {"net.core.somaxconn": "1"}, "ulimits": {"nofile": "1:2"},
                "configs": [{"name": "a"}, {"name": "b", "target": "/etc/b"}],
            }},
        ),
        ([], "or name a service of the swarm: --service NAME"),
    ],
)  # fmt: skip
def test_a_service_stands_in_the_place_of_the_image(words, wanted):
    made = []

    @click.command(context_settings={"allow_interspersed_args": False})
    @job_options()
    def command(**options):
        made.append(job_fields(options))

    done = CliRunner().invoke(command, words)
    assert made == ([] if isinstance(wanted, str) else [wanted]), done.output
    assert isinstance(wanted, dict) or wanted in done.output


@pytest.mark.parametrize(("row", "words"), [({"image": "ubuntu"}, "ubuntu"), ({"image": None, "service": "shop_web"}, "service shop_web")])
def test_lists_show_the_service_in_place_of_the_image(row, words):
    assert subject(row) == words


@pytest.mark.parametrize("option", ["-e", "-l", "-v", "--env-file"])
async def test_an_option_that_cannot_be_read_is_said_so(command_line, option):
    done = await command_line("run", option, "NOT-SET-ANYWHERE", IMAGE)
    assert (done.code, done.out) == (125, b"")
    assert "NOT-SET-ANYWHERE" in done.err


async def test_while_it_waits_it_says_what_for(server, command_line):
    await server.report_worker()
    await server.post("/pools/default/pause")
    process = await command_line.start("run", "--stop-on-exit", IMAGE)
    line = await asyncio.wait_for(process.stderr.readline(), 20)
    assert line.decode().startswith("fastlane: ")
    assert "paused" in line.decode()
    heard = datetime.now(UTC)
    (job,) = (await server.get("/jobs")).json["items"]
    assert heard - datetime.fromisoformat(job["createdAt"]) > timedelta(seconds=2.9)  # most jobs start sooner, and nothing has to be said
    process.send_signal(signal.SIGTERM)
    done = await ended(process)
    assert done.code == 130
    assert (await server.get("/jobs")).json["items"][0]["status"] == "stopped"


async def test_all_attempts_are_followed_and_the_last_counts(crewed_line):
    done = await crewed_line("run", "--retries", "1", "--retry-delay", "1s", IMAGE, "out", "x", "exit", "1")
    assert (done.code, done.out) == (1, b"xx")
    assert "attempt 2" in done.err


async def test_detached_it_prints_the_name_that_other_commands_take(crewed_line):
    detached = await crewed_line("run", "-d", "-t", "report", IMAGE, "out", "x\n")
    assert detached.text.startswith("report/")
    followed = await crewed_line("logs", "-f", detached.text.strip())
    assert (followed.code, followed.out) == (0, b"x\n")


@pytest.mark.parametrize(("answer", "status", "code"), [(b"s\n", "stopped", 130), (b"l\n", "running", 130), (b"\x03", "running", 130)])
async def test_ctrl_c_asks_whether_to_stop_it(crewed, crewed_line, answer, status, code):
    with Terminal() as terminal:
        process = await crewed_line.start(
            "run", IMAGE, "out", "begun\n", "hold", stdin=terminal.there, stderr=terminal.there, preexec_fn=own
        )
        assert await process.stdout.readline() == b"begun\n"
        terminal.type(b"\x03")
        await until(lambda: b"[s/l/g]" in terminal.said, lambda: terminal.said)
        terminal.type(answer)
        assert await asyncio.wait_for(process.wait(), 30) == code
        assert (b"stop it with" in terminal.said) is (status == "running")
    assert (await crewed.get("/jobs")).json["items"][0]["status"] == status


def own() -> None:
    """Makes the terminal the process's own, so that Ctrl-C is a signal."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


async def test_ctrl_c_may_be_taken_back(crewed, crewed_line):
    with Terminal() as terminal:
        process = await crewed_line.start(
            "run", IMAGE, "out", "a\n", "hold", "out", "b\n", stdin=terminal.there, stderr=terminal.there, preexec_fn=own
        )
        assert await process.stdout.readline() == b"a\n"
        terminal.type(b"\x03")
        await until(lambda: b"[s/l/g]" in terminal.said, lambda: terminal.said)
        terminal.type(b"g\n")
        crewed.executor.release((await started(crewed))["executionId"])
        assert await process.stdout.readline() == b"b\n"
        assert await asyncio.wait_for(process.wait(), 30) == 0


@pytest.mark.parametrize(("options", "status"), [((), "running"), (("--stop-on-exit",), "stopped")])
async def test_without_a_terminal_a_signal_detaches_or_stops(crewed, crewed_line, options, status):
    process = await crewed_line.start("run", *options, IMAGE, "out", "begun\n", "hold")
    assert await process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert done.code == 130
    assert ("it goes on" in done.err) is not bool(options)
    assert (await crewed.get("/jobs")).json["items"][0]["status"] == status


@pytest.mark.parametrize(("options", "status"), [((), "done"), (("--stop-on-exit",), "stopped")])
async def test_a_closed_pipe_ends_it_and_the_job_only_if_that_is_wanted(crewed, crewed_line, options, status):
    read, write = os.pipe()
    process = await crewed_line.start("run", *options, IMAGE, "out", "one\n", "hold", "out", "two\n", "hold", stdout=write)
    os.close(write)
    assert await asyncio.to_thread(os.read, read, 4) == b"one\n"
    os.close(read)
    execution = (await started(crewed))["executionId"]
    crewed.executor.release(execution)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, b"Traceback" in said, b"it goes on" in said) == (141, False, not options), said
    crewed.executor.release(execution)
    await until(lambda: _is(crewed, status), status)


async def _is(server, status):
    return (await server.get("/jobs")).json["items"][0]["status"] == status
