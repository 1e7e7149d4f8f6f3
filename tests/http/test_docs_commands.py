"""Every command in the README and the docs, run as it is typed, in bash and in zsh: those with curl against a server, the others as far as
they go on a machine that has only fastlane."""

import asyncio
import contextlib
import os
import re
import shlex
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from fastlane.models.pool import Pool
from tests.support.credentials import token, user
from tests.support.docs import PAGES, ROOT, blocks, commands, commands_in
from tests.support.fastlane import Fastlane
from tests.support.policies import EVERYTHING
from tests.support.ports import free_port
from tests.support.stores import ON_MONGO
from tests.support.waiting import PATIENCE, until

SHELLS = {"bash": ("bash", "--norc", "--noprofile", "-s"), "zsh": ("zsh", "-f", "-i", "-s")}
"""Each reads the command from its input. An interactive zsh takes ``#`` for a word, as it does where people type."""

ELSEWHERE = {
    "tests/integration/test_make_commands.py": ("pipx ", "python3 -m venv", "venv/bin/"),
    "tests/integration/test_image.py": ("docker run -d", "docker logs", "docker exec", "docker stop", "docker rm"),
    "tests/integration/test_stack.py": (
        "IMAGE=", "cp stack/", "curl -H \"Authorization: Bearer $(sed", "docker node update --label-add", "docker push", "docker run --rm",
        "docker service create", "docker service logs", "docker service rm", "docker service scale fastlane_api", "docker stack",
        "docker volume rm", "export IMAGE=", "mkdir -p local", "mongo=", "printf ", "redis=", "(umask 077; set -o pipefail",
    ),
    "tests/unit/test_stack_file.py": (
        "docker node update --label-add", "docker service scale --detach", "echo 'secrets:", "ln -sf", "sed -",
    ),
    "tests/integration/test_stack_one_node.py": ("ln -sf", "mkdir -p local", "stack/deploy"),
    "tests/integration/test_stack_outages.py": ("IMAGE=", "docker node update --label-add", "docker run --rm", "mkdir -p local", "printf "),
    "tests/support/stack/deployed.py": ("docker stack rm",),
    "tests/integration/test_stacks_page.py": ("docker stack",),
    "tests/integration/test_docker_pages.py": (
        "docker node demote", "docker node rm", "docker node update --availability", "docker service inspect",
    ),
    "tests/integration/test_transfer.py": (
        "export FASTLANE_STORE_URL", "fastlane dispatch resume", "fastlane import fastlane.jsonl.gz", "fastlane up",
    ),
    "tests/support/certificates.py": ("curl --cacert", "openssl"),
    "tests/integration/test_ssh_hosts.py": ("ssh-key",),
    "tests/integration/test_pin_script.py": ("scripts/pin",),
    "tests/integration/test_release.py": ("base64 ", "cosign ", "jq ", "sha256sum ", "skopeo copy"),
    "tests/integration/test_swarms_script.py": ("scripts/swarms",),
    "tests/behaviour/retention/test_commands.py": ("fastlane compact",),
    "tests/client/test_receipts.py": ("fastlane receipt backup", "fastlane verify"),
    "scripts/testing.sh": (".venv-test/bin/python", "FASTLANE_TEST_ENGINE=", "scripts/test-engine start", "scripts/test-engine stop"),
    "tests/unit/test_docs.py": (".venv-test/bin/python -m tests.support.generated",),
}  # fmt: skip
"""Files that run these commands, by their beginnings, since they need an engine or an installation. Here a shell only reads them. Each file
types what stands below a heading of the page, or has the beginning of the command itself (with commas and quotes where it is a list)."""

WORKER = "FASTLANE_METRICS_PORT="
BEGINNINGS = tuple({beginning for beginnings in ELSEWHERE.values() for beginning in beginnings})
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


HOLIDAYS = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20271225\nRRULE:FREQ=YEARLY\nEND:VEVENT\nEND:VCALENDAR\n"
FILE_NAME = re.compile(r"# ([\w-]+\.(?:ya?ml|ini))\n")
"""The first line of a block of YAML that says how its file is called; another one is jobs.yaml."""


class Terminal:
    """Types commands into a shell, in a folder where ``fastlane`` and ``make`` are on the path; ``make`` only says what it would do."""

    def __init__(self, shell: str, folder: Path) -> None:
        self.words = SHELLS[shell]
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "holidays.ics").write_text(HOLIDAYS)
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
        if command.startswith((*BEGINNINGS, *(("sqlite3 ",) if ON_MONGO else ()))):
            typed = f"if false; then\n{command}\nfi"
        elif command.startswith("git clone …"):
            typed = command.replace("…", f"-q --shared {shlex.quote(str(ROOT))} fastlane")
        elif "curl" in command:
            typed = await ready(command, plain, guarded)
        elif command.startswith(("fastlane grep ", "fastlane logs import ")):
            found = {"image": "ubuntu", "command": ["out", "ERROR: timed out, no space left, a.b[0]\n"]}
            assert (await plain.post("/tasks/import?wait=60", found)).status == 200
            typed = command
        elif command == "fastlane advise backup/nightly":
            assert (await plain.post("/tasks/backup", {"name": "nightly", "image": "ubuntu", "cron": "@daily"})).status == 200
            typed = command
        elif command.startswith("fastlane stats "):
            assert (await plain.post("/tasks/backup?wait=60", {"image": "ubuntu", "command": ["out", "one\n"]})).status == 200
            typed = command
        elif command.startswith(WORKER):
            typed = f"if false; then\n{command}\nfi"  # the test below starts it
        elif command.startswith(("fastlane prune", "fastlane export -o")):
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


async def test_a_worker_serves_its_metrics_at_the_port_that_the_page_gives_it(shared_redis, tmp_path):
    (command,) = (command for command in commands(ROOT / "docs/metrics.md") if command.startswith(WORKER))
    port = str(free_port())
    own = {"FASTLANE_REDIS_URL": shared_redis.url, "FASTLANE_DATA_DIR": str(tmp_path), "FASTLANE_INSTALLATION": "metrics-page"}
    environment = Terminal("bash", tmp_path).environment | own
    with (tmp_path / "worker.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", command.replace("10001", port), cwd=tmp_path, env=environment, stdout=log, stderr=log
        )
    try:

        async def serves() -> bool:
            assert process.returncode is None, (tmp_path / "worker.log").read_text()
            with contextlib.suppress(httpx.TransportError):
                async with httpx.AsyncClient(trust_env=False) as client:
                    return "fastlane_" in (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            return False

        await until(serves, "the worker's metrics", 60)
    finally:
        process.terminate()
        await process.wait()


HEADINGS = re.compile(r"^#{1,4} (?=[A-Z])(.*)$", re.MULTILINE)


def by_heading(page: Path) -> Iterator[tuple[str, str]]:
    """The commands of a page, each after the heading that it stands below."""
    parts = [page.stem, *HEADINGS.split(page.read_text("utf-8"))]
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        yield from ((heading, command) for command in commands_in(text))


def test_each_command_that_is_not_typed_here_is_run_by_the_file_that_is_named_for_it():
    texts = {name: (ROOT / name).read_text("utf-8") for name in ELSEWHERE}
    found = [(page, heading, command) for page in WITH_COMMANDS for heading, command in by_heading(page)]
    assert [command for _, _, command in found] == [command for page in WITH_COMMANDS for command in commands(page)]
    used, run, missing = set(), set(), []
    for page, heading, command in found:
        named = [(name, words) for name, beginnings in ELSEWHERE.items() for words in beginnings if command.startswith(words)]
        used.update(named)
        if any(f'"{heading}"' in texts[name] or types(words, texts[name]) for name, words in named):
            run.add(command)
        elif named:
            missing.append((page.name, heading, command))
    assert not [row for row in missing if row[2] not in run]
    assert {(name, words) for name, beginnings in ELSEWHERE.items() for words in beginnings} - used == set()


def types(beginning: str, text: str) -> bool:
    """Whether a test's text has the beginning of a command, as a line or as a list of words."""
    words = beginning.split()
    listed = ", ".join(f'"{word}"' for word in words[words[0] == "fastlane" :])
    return beginning.strip() in text or listed in text
