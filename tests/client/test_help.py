"""The helps of all commands: what they say, how soon, and that their examples work as typed."""

import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import chain

import click
import pytest

from fastlane.cli.main import COMMANDS, main
from tests.support.waiting import until

CLIENT = [name for name, entry in COMMANDS.items() if ".client." in entry.place and name not in ("hosts", "reload", "receipt")]
"""Commands whose examples are run here. ``test_hosts.py`` has a server on which hosts may be registered, ``test_commands.py`` one whose
pools can be read again, ``test_receipts.py`` one with a key."""
ON_EXISTING = {
    "backup": {"cron": "0 3 * * *"},
    "report": {"name": "nightly"},
    "old-task": {},
    "shop": {"name": "migrate", "manual": True, "parameters": {"VERSION": {"default": "v1"}, "SIZE": {"default": "small"}}},
}
"""The jobs that examples name, and fields of each."""
HOLIDAYS = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20271225\nEND:VEVENT\nEND:VCALENDAR\n"


def commands(command: click.Command, words: tuple[str, ...]):
    """The words of a command, and those of the commands in it, if it is a group."""
    yield words, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*words, name))


def all_commands():
    with click.Context(main) as context:
        found = [(name, main.get_command(context, name)) for name in COMMANDS]
    return list(chain.from_iterable(commands(command, (name,)) for name, command in found))


ALL = all_commands()


def examples_of(command: click.Command) -> list[str]:
    """The commands in a help, as typed."""
    text = (command.help or "").split("Example", 1)[1].split("\n\n")[0]
    return [line.strip() for line in text.splitlines()[1:] if line.strip()]


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_each_help_has_examples_of_its_command(words, command):
    lines = examples_of(command)
    assert lines
    assert all(f"fastlane {' '.join(words)}" in line for line in lines if not isinstance(command, click.Group)), lines


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_begins_like_the_help(name):
    """It is written a second time so that the list needs no import."""
    help = dict(("".join(words), command) for words, command in ALL)[name].help
    assert help
    assert COMMANDS[name].help.endswith(".")


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_each_option_says_what_it_does(words, command):
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help or not option.help.endswith((".", ":", ")"))] == []


CASES = [line for words, command in ALL if words[0] in CLIENT for line in examples_of(command)]


@pytest.mark.parametrize("line", CASES)
async def test_each_example_works_as_typed(crewed, crewed_line, line):
    """In a folder with the files that examples name. A browser is not opened."""
    for task, fields in ON_EXISTING.items():
        if task in line:
            written = "ERROR: timed out, no space left, a.b[0]\n"
            reply = await crewed.enqueue(task, command=["out", written, "exit", "1"], **fields)
            if not {"cron", "manual"}.isdisjoint(fields):
                await crewed.post(f"{reply['jobUrl']}run")
            await until(lambda: ended_jobs(crewed), "the job to end")
    if line.startswith("fastlane context ") and " add " not in line:
        for name in ("local", "prod"):
            await crewed_line("context", "add", name, crewed.base)
    (crewed_line.folder / "jobs.yaml").write_text("set: data\njobs: {nightly: {image: ubuntu, cron: '@daily'}}\n")
    (crewed_line.folder / "compose.yaml").write_text("services: {}\nx-jobs: {seed: {image: ubuntu, triggers: {manual: true}}}\n")
    (crewed_line.folder / "config.ini").write_text('[job-run "nightly"]\nschedule = @daily\nimage = ubuntu\n')
    (crewed_line.folder / "holidays.ics").write_text(HOLIDAYS)
    if line.startswith("fastlane calendars"):
        assert (await crewed.put("/calendars/holidays", {"dates": ["2027-01-01"]})).status == 200
    line = (
        line.replace("crontab -l", "echo '@daily report'")
        .replace("/etc/crontab", "/dev/null")
        .replace("https://fastlane.example.com", crewed.base)
        .replace("events -f", "events")  # which has no end; test_events.py follows
    )
    line = re.sub(r"http://127\.0\.0\.1:10000", crewed.base, line)
    if "forget-worker" in line:
        line = line.replace("3f2c", await until(lambda: a_worker(crewed), "a worker"))
    if "--tick" in line:
        (tick,) = (await crewed.get(f"{reply['jobUrl']}ticks")).json["items"]
        line = re.sub(r"--tick \S+", f"--tick {tick['due'][:16]}", line)
    if "--execution" in line:
        (execution,) = await ended_jobs(crewed)
        line = re.sub(r"--execution \S+", f"--execution {execution['executionId']}", line)
    if line.startswith("fastlane backfill") and "--from" not in line:
        now = datetime.now(UTC)
        last_days = {"from": (now - timedelta(days=3)).isoformat(), "to": now.isoformat()}
        assert (await crewed.post(f"{reply['jobUrl']}backfill", last_days)).status == 200
    crewed_line.environment |= {"TOKEN": "fl_x", "BROWSER": "true", "EDITOR": "true"}
    plain = not re.search(r"[|>]|^[A-Z_]+=", line)
    done = await (crewed_line(*shlex.split(line)[1:]) if plain else crewed_line.shell(line))
    assert (done.code, "Traceback" in done.err) == (0, False), done


async def a_worker(server):
    return next((report.worker for report in await server.queue.reports.current()), None)


async def ended_jobs(server):
    return (await server.get("/executions?status=failed")).json["items"]


def test_help_and_the_client_commands_import_nothing_of_the_server():
    script = (
        "import sys; from click.testing import CliRunner; from fastlane.cli.main import main; "
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0; print('HELP', *sys.modules); "
        "assert CliRunner().invoke(main, ['ps', '--help']).exit_code == 0; "
        "CliRunner().invoke(main, ['ps'], env={'FASTLANE_URL': 'http://127.0.0.1:1'}); print('PS', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    helped, listed = (set(line.split()[1:]) for line in done.stdout.splitlines())
    ours = {name for name in listed if name.startswith("fastlane.")}
    assert {name.split(".")[1] for name in ours} == {"_version", "cli", "client"}
    assert "fastlane.client" not in helped
    assert not {"httpx", "wcwidth", "rich", "yaml", "asyncio", "tornado", "marshmallow", "docker"} & helped
    assert not {"tornado", "marshmallow", "docker", "redis", "sqlite3", "structlog"} & listed
