"""Every command in the README and the docs, run as it is typed, in bash and in zsh: those with curl against a server, the others as far as
they go on a machine that has only fastlane."""

import asyncio
import os
import re
import shlex
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.models.pool import Pool
from tests.support.credentials import token, user
from tests.support.docs import PAGES, ROOT, blocks, commands
from tests.support.fastlane import Fastlane
from tests.support.policies import EVERYTHING
from tests.support.stores import ON_MONGO
from tests.support.waiting import PATIENCE

SHELLS = {"bash": ("bash", "--norc", "--noprofile", "-s"), "zsh": ("zsh", "-f", "-i", "-s")}
"""Each reads the command from its input. An interactive zsh takes ``#`` for a word, as it does where people type."""

ELSEWHERE = {
    "git clone": "a clone of what is being tested is what test_make_commands.py begins with",
    "python3 -m venv": "test_make_commands.py installs with pip",
    "pipx ": "test_make_commands.py installs the wheel with pip; test_builder.py builds as pipx has it built",
    "venv/bin/": "test_make_commands.py",
    ".venv-test/bin/python -m pytest": "this run",
    ".venv-test/bin/python -m tests.support.generated": "test_docs.py compares what it writes",
    "FASTLANE_TEST_ENGINE=": "this run",
    "scripts/test-engine": "scripts/test",
    "scripts/swarms": "test_swarms_script.py",
    "scripts/pin": "test_pin_script.py",
    "fastlane config --config examples/": "test_examples.py loads each",
    "openssl": "test_tls_hosts.py runs the page's commands one after the other",
    "curl --cacert": "test_tls_hosts.py",
    "ssh-key": "test_ssh_hosts.py",
    "mongod": "MongoDB's own server and tools are in none of the registries that a test may use",
    "FASTLANE_METRICS_PORT=": "test_metrics.py asks a worker for its metrics",
    "docker run": "test_image.py runs the page's commands one after the other",
    "docker logs": "test_image.py",
    "docker exec": "test_image.py",
    "docker stop": "test_image.py",
    "docker rm": "test_image.py",
    **dict.fromkeys(
        (
            "docker node update",
            "redis=",
            "mongo=",
            "printf ",
            "export IMAGE=",
            "docker push",
            "IMAGE=",
            "mkdir -p local",
            "cp stack/fastlane.toml local/",
            "docker stack",  # and test_stacks_page.py
            "docker volume rm",
            "docker service logs",
            "docker service scale",
            "docker service create",
            "docker service rm",
            "(umask 077; set -o pipefail",
            """curl -H "Authorization: Bearer $(sed""",
        ),
        "test_stack.py runs the page's commands one after the other",
    ),
    **dict.fromkeys(
        ("fastlane export -o", "export FASTLANE_STORE_URL", "fastlane import fastlane.jsonl.gz", "fastlane up", "fastlane dispatch resume"),
        "test_transfer.py runs the page's commands one after the other",
    ),
    **dict.fromkeys(
        ("sed -", "ln -sf ../stack/", "echo 'secrets:", "stack/deploy"), "test_stack_file.py runs the page's commands one after the other"
    ),
    **dict.fromkeys(("docker node demote", "docker node rm"), "test_stack_outages.py types them, on a node that is gone for good"),
    "fastlane compact": "tests/behaviour/retention/test_commands.py, with no server beside it",
    "docker service inspect": "test_swarm_facts.py asks the same of an engine",
}
"""Commands that other tests run, since they need an engine or an installation. Here a shell only reads them."""

WITH_POLICY = {"stacks.md"}
"""Pages whose jobs ask for something of their containers: a pool of their server allows it."""
WITH_COMMANDS = [page for page in PAGES if any(commands(page))]
POOLS = (Pool("default", "", ("h1:2375",), 100, policy=EVERYTHING, insecure=True, register=("10.0.0.*:2376",), services=("shop_*",)),)


@pytest.fixture
async def plain(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    mail = {"smtp_host": "127.0.0.1", "smtp_from": "fastlane@example.com"}
    async with Fastlane(tmp_path / "plain", shared_redis.url, workers=1, **mail) as server:
        await server.post("/tasks/report", {"image": "ubuntu", "command": ["hold"]})
        yield server


@pytest.fixture
async def guarded(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    access = {"users": (user("anna", "secret", "admin"),), "tokens": (token("ci", "fl_ci", "admin"),)}
    async with Fastlane(tmp_path / "guarded", shared_redis.url, workers=1, pools=POOLS, **access) as server:
        await server.post("/tasks/report", {"image": "ubuntu"}, headers={"Authorization": "Bearer fl_ci"})
        yield server


FILE_NAME = re.compile(r"# ([\w-]+\.(?:ya?ml|ini))\n")
"""The first line of a block of YAML that says how its file is called; another one is jobs.yaml."""


class Terminal:
    """Types commands into a shell, in a folder where ``fastlane`` and ``make`` are on the path; ``make`` only says what it would do."""

    def __init__(self, shell: str, folder: Path) -> None:
        self.words = SHELLS[shell]
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / ".curlrc").write_text('silent\nshow-error\nfail-with-body\nnoproxy = "*"\n')
        program = folder / "bin/fastlane"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fastlane "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "CURL_HOME": str(folder),
            "HOME": str(folder),
            "MAKEFLAGS": f"-n -C {ROOT}",
            "TOKEN": "fl_ci",
            "LC_ALL": "C.UTF-8",
        }

    async def types(self, command: str) -> tuple[int, str]:
        """The exit code of a command and all that was printed."""
        process = await asyncio.create_subprocess_exec(
            *self.words, cwd=self.folder, env=self.environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(f"{command}\nexit $?\n".encode()), PATIENCE)
        return process.returncode or 0, out.decode()


async def reply_for(server: Fastlane, task: str, headers: dict[str, str]) -> dict[str, str]:
    """A job of the kind that the docs have in this task: one with a schedule, one that is given a version, or one that has run."""
    if "scheduled" in task:
        return (await server.post(f"/tasks/{task}", {"image": "ubuntu", "cron": "0 0 1 1 *"}, headers=headers)).json
    if "install" in task:
        declared = {"image": "ubuntu", "manual": True, "parameters": {"VERSION": {}}}
        return (await server.post(f"/tasks/{task}", declared, headers=headers)).json
    ended = await server.post(f"/tasks/{task}?wait=60", {"image": "ubuntu", "command": ["out", "one\n", "err", "two\n"]}, headers=headers)
    return ended.json


async def ready(command: str, plain: Fastlane, guarded: Fastlane) -> str:
    """The command with a server's address, and with ids of a job that is there, in place of the words that stand for them."""
    server, headers = plain, {}
    if "-u anna" in command or "$TOKEN" in command:
        server, headers = guarded, {"Authorization": "Bearer fl_ci"}
    command = re.sub(r"https?://(localhost:10000|fastlane\.example\.com)", server.base, command).replace("-u anna", "-u anna:secret")
    command = command.replace("/tasks/TASK", "/tasks/test-task").replace("/pools/POOL", "/pools/default")
    if not re.search(r"/jobs/JOB(-ID)?\b", command):
        return command
    reply = await reply_for(server, re.findall(r"/tasks/([^/]+)/", command)[0], headers)
    return re.sub(r"/jobs/JOB(-ID)?\b", f"/jobs/{reply['jobId']}", command).replace("EXECUTION-ID", str(reply["executionId"]))


@pytest.mark.parametrize("shell", ["bash", pytest.param("zsh", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=[str(page.relative_to(ROOT)) for page in WITH_COMMANDS])
async def test_every_command_of_a_page_works_as_typed(page, shell, plain, guarded, tmp_path):
    terminal = Terminal(shell, tmp_path)
    terminal.environment["FASTLANE_URL"] = plain.base
    if page.name in WITH_POLICY:
        terminal.environment |= {"FASTLANE_URL": guarded.base, "FASTLANE_TOKEN": "fl_ci"}
    for text in (block for language in ("yaml", "ini") for block in blocks(page.read_text("utf-8"), language)):
        named = FILE_NAME.match(text)
        (tmp_path / (named[1] if named else "jobs.yaml")).write_text(text)
    for command in commands(page):
        if any(command.startswith(words) for words in (*ELSEWHERE, *(("sqlite3 ",) if ON_MONGO else ()))):
            typed = f"if false; then\n{command}\nfi"
        elif "curl" in command:
            typed = await ready(command, plain, guarded)
        elif command.startswith("fastlane prune"):
            typed = f"FASTLANE_STORE_URL={shlex.quote(plain.settings.store_url)} {command}"
        elif command.startswith("sqlite3 "):
            typed = command.replace("fastlane.db", str(plain.settings.store_path))
        else:
            typed = f"echo secret | {command}" if command.startswith("fastlane password") else command
        code, said = await terminal.types(typed)
        assert code == 0, f"{command}\n{said}"


async def test_a_shell_of_these_tests_refuses_what_a_person_could_not_type(tmp_path):
    terminal = Terminal("zsh", tmp_path)
    for command in ("echo http://localhost/logs?follow=1", "echo it is # the task's log", "nothing-like-it"):
        code, _ = await terminal.types(command)
        assert code != 0, command
