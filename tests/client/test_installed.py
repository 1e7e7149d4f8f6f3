"""The client as others get it: from a wheel that is built from the sources alone, under mypy --strict. No public method gives Any."""

import inspect
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastlane.client import AsyncClient, Client
from tests.support.checkout import checkout

SOURCES = ("pyproject.toml", "setup.cfg", "MANIFEST.in", "README.md", "LICENSE", "builder", "fastlane")
PARTS = ("tasks", "jobs", "executions", "server")

PROGRAM = """
from collections.abc import Iterator

from fastlane.client import AsyncClient, Client, Finished, Output
from fastlane.client.contract import BindMount, JobFields, JobRow, JobStatus


def run(client: Client) -> bytes:
    done: Finished = client.run("task", image="ubuntu", command=["true"], retries=1, on_output=lambda output: output.data)
    return done.check().stdout


def statuses(client: Client) -> Iterator[tuple[str, JobStatus]]:
    rows: Iterator[JobRow] = client.jobs.list(task="task")
    for row in rows:
        yield row["id"], row["status"]


async def put(client: AsyncClient, id: str) -> str | None:
    mount: BindMount = {"type": "bind", "source": "/a", "target": "/b"}
    fields: JobFields = {"image": "ubuntu", "container": {"mounts": [mount]}}
    reply = await client.jobs.put("task", id, fields)
    async for output in client.logs("task", id):
        part: Output = output
        print(part.stream, part.data)
    return reply["executionId"]


with Client("http://localhost", token="x") as client:
    print(run(client), list(statuses(client)))
"""
WRONG = """
from fastlane.client import Client

client = Client()
client.submit("task", image=1)
client.submit("task", imaeg="ubuntu")
client.jobs.get("task", "job")["jbo"]
client.executions.get("task", "job")
"""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, that sees the packages of the tests' own."""

    python: Path

    def mypy(self, folder: Path, **programs: str) -> list[tuple[str, int, str]]:
        """What is wrong with programs by mypy --strict: the name of each, the line, and what it says."""
        for name, text in programs.items():
            (folder / f"{name}.py").write_text(text)
        options = ("--strict", "--config-file=", f"--cache-dir={self.python.parents[1]}/cache", "--no-error-summary")
        environment = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
        done = subprocess.run(
            [sys.executable, "-m", "mypy", *options, f"--python-executable={self.python}", *(f"{name}.py" for name in programs)],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False,
        )  # fmt: skip
        assert not done.stderr, done.stderr
        rows = (re.fullmatch(r"(\w+)\.py:(\d+): error: (.*)", line) for line in done.stdout.splitlines() if ": note: " not in line)
        return [(row[1], int(row[2]), row[3]) if row else pytest.fail(done.stdout) for row in rows]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder)]
    with checkout(*SOURCES) as sources:
        subprocess.run([*pip, *build, str(sources)], check=True, timeout=100)
    venv.create(folder / "venv")
    python = folder / "venv/bin/python"
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True, timeout=60)
    (site,) = folder.glob("venv/lib/python*/site-packages")
    (site / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(python)


def test_the_wheel_has_what_is_generated_and_it_imports(installed):
    script = "import fastlane.client.contract as it, fastlane.client.synchronous.client; print(it.__file__, it.GET_JOB.path)"
    done = subprocess.run([installed.python, "-I", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    file, path = done.stdout.split()
    assert Path(file).is_relative_to(installed.python.parents[1])
    assert path == "/tasks/{task_id}/jobs/{job_id}"


def test_a_program_of_both_kinds_is_typed(installed, tmp_path):
    assert installed.mypy(tmp_path, program=PROGRAM) == []


def test_wrong_uses_are_found(installed, tmp_path):
    assert [line for _, line, _ in installed.mypy(tmp_path, wrong=WRONG)] == [5, 6, 7, 8]


def uses(client: Client | AsyncClient) -> Iterator[str]:
    """A statement for each public method and property, that is wrong unless it gives Any."""
    for place in ("client", *(f"client.{part}" for part in PARTS)):
        owner = client if place == "client" else getattr(client, place.removeprefix("client."))
        for name, value in inspect.getmembers(owner):
            if name.startswith("_") or name in PARTS:
                continue
            if not callable(value):
                yield f"it = {place}.{name}"
            elif inspect.iscoroutinefunction(value):
                yield f"it = await {place}.{name}(*given, **named)"
            elif re.search(r"\b(Async)?(Iterator|Generator)\b", str(inspect.signature(value).return_annotation)):
                yield f"{'async ' * isinstance(client, AsyncClient)}for it in {place}.{name}(*given, **named): pass"
            else:
                yield f"it = {place}.{name}(*given, **named)"


async def test_no_public_method_gives_any(installed, tmp_path):
    head = "from typing import Any\nfrom fastlane.client import AsyncClient, Client\nclass It: ...\n"
    programs = {}
    with Client("http://localhost") as plain:
        async with AsyncClient("http://localhost") as asynchronous:
            for name, client in {"plain": plain, "asynchronous": asynchronous}.items():
                body = "".join(f"    {statement}\n" for statement in uses(client))
                kind = "async def" if client is asynchronous else "def"
                programs[name] = (
                    f"{head}{kind} use(it: It, client: {type(client).__name__}, given: list[Any], named: dict[str, Any]) -> None:\n{body}"
                )
    found = installed.mypy(tmp_path, **programs)
    assert {words.rpartition("[")[2] for _, _, words in found} <= {"assignment]", "func-returns-value]"}
    for name, text in programs.items():
        lines = text.splitlines()
        typed = {line for program, line, _ in found if program == name}
        assert len(lines) > 50
        assert [lines[number] for number in range(4, len(lines)) if number + 1 not in typed] == []
