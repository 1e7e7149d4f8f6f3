"""The command line as its user meets it: texts, exit codes, and which stream says what."""

import json
import logging
import os
import pty
import re
import select
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import structlog
from click.testing import CliRunner

from fastlane import __version__
from fastlane.cli.main import main
from fastlane.config import legacy
from fastlane.config.access import hash_password, hash_token, read_password_hash
from fastlane.config.settings import NAMES
from fastlane.errors import FastlaneError

SECRET = "hunter2"


@pytest.fixture
def fastlane(monkeypatch, tmp_path):
    """Runs the command in an empty directory, without variables of ours; logging is afterwards as it was."""
    for name in list(os.environ):
        if name.startswith(("FASTLANE_", "DOCKER_")) or name in legacy.NAMES:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    handlers, level = list(logging.root.handlers), logging.root.level
    yield lambda *arguments, **variables: CliRunner().invoke(main, arguments, env=variables, prog_name="fastlane")
    structlog.reset_defaults()
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def app(monkeypatch):
    """What stands in for all that runs behind the command; each test gives it the end that it needs."""
    module = ModuleType("fastlane.app")
    module.seen = []
    module.ends = lambda: 0

    def run(role, settings, access, announce, read_pools, sockets):
        module.seen.append((role, settings))
        module.announce, module.read_pools = announce, read_pools
        return module.ends()

    module.run = run
    monkeypatch.setitem(sys.modules, "fastlane.app", module)
    monkeypatch.setattr("fastlane.app", module, raising=False)
    return module


def test_as_a_module_it_is_the_same_command():
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "fastlane", "version"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"fastlane {__version__}\n", "")


def test_version_says_the_python_too_when_asked(fastlane):
    assert f"Python {sys.version.split()[0]}" in fastlane("version", "--verbose").stdout


def test_version_is_an_option_too(fastlane):
    done = fastlane("--version")
    assert (done.exit_code, done.stdout) == (0, f"fastlane {__version__}\n")


SERVER_COMMANDS = ("up", "api", "worker", "config", "password", "token", "version")
"""Those that ask no server; ``tests/client`` has the others."""


def examples() -> list[str]:
    """Every command in a help that is one of ours, without its explanation."""
    helps = [
        CliRunner().invoke(main, [*words, "--help"], prog_name="fastlane").stdout for words in ([], *([name] for name in SERVER_COMMANDS))
    ]
    lines = [line.strip() for text in helps for line in text.split("Example")[1].split("\n\n")[0].splitlines()[1:]]
    found = [re.split(r" {3,}", line)[0] for line in lines]
    return [line for line in found if re.search(rf"fastlane ({'|'.join(SERVER_COMMANDS)})\b", line)]


@pytest.mark.parametrize("example", examples())
def test_every_example_of_a_help_works_as_typed(example, tmp_path):
    """``prod.toml`` is what its reader has. Servers are only started as far as their settings."""
    (tmp_path / "prod.toml").write_text(f'redis_url = "redis://q"\n[[tokens]]\nname = "a"\ntoken = "{hash_token("x")}"\nrole = "run"\n')
    stub = "import sys, types; m = types.ModuleType('fastlane.app'); m.run, m.bind = lambda *a, **k: 0, lambda *a: []"
    placed = "import fastlane; fastlane.app = m; sys.modules['fastlane.app'] = m"
    placed += "; from fastlane import process; process.run_together = lambda count, work: work(0)"
    program = f"{stub}; {placed}; from fastlane.cli.main import main; main(prog_name='fastlane')"
    shell = f'fastlane() {{ {shlex.quote(sys.executable)} -c {shlex.quote(program)} "$@"; }}; {example}'
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3]), "PASSWORD": "x"}
    done = subprocess.run(
        ["bash", "-c", shell], cwd=tmp_path, env=environment, input="x", capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), example


@pytest.mark.parametrize(
    ("listen", "url", "reach"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080", "this machine only"),
        ("::1", "http://[::1]:8080", "this machine only"),
        ("0.0.0.0", "http://localhost:8080", "every address of this machine"),
        ("10.0.0.7", "http://10.0.0.7:8080", "other machines too"),
    ],
)
def test_up_says_where_it_listens_what_to_open_and_who_may_come(fastlane, app, listen, url, reach):
    app.ends = lambda: app.announce(8080) or 0
    done = fastlane("up", "--listen", listen, FASTLANE_ALLOW_ANONYMOUS="true")
    assert done.stdout.startswith(f"fastlane listens on {url} ({reach})\n")
    assert f"{url}/tasks/test-task" in done.stdout
    assert ("can run any container" in done.stderr) is (reach != "this machine only")


def test_up_opens_its_public_url_and_does_not_warn_where_people_log_in(fastlane, app):
    app.ends = lambda: app.announce(8080) or 0
    tokens = [{"name": "ci", "token": hash_token(SECRET), "role": "run"}]
    done = fastlane("up", "--listen", "0.0.0.0", FASTLANE_TOKENS=json.dumps(tokens), FASTLANE_PUBLIC_URL="https://jobs.example.com")
    assert "https://jobs.example.com/" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("command", [[], ["up"], ["api"], ["worker"], ["config"], ["version"]])
def test_every_help_has_an_example(fastlane, command):
    done = fastlane(*command, "--help")
    assert done.exit_code == 0
    example = done.stdout.split("Example")[1].split("\n\n")[0]
    assert f"fastlane {' '.join(command)}".rstrip() in example


@pytest.mark.parametrize("role", ["up", "api", "worker"])
def test_a_command_hands_its_settings_on_and_ends_with_the_code_it_gets(fastlane, app, role, tmp_path):
    app.ends = lambda: 7
    done = fastlane(role, "--data-dir", "here", FASTLANE_REDIS_URL="redis://q", FASTLANE_LISTEN="127.0.0.1")
    assert done.exit_code == 7
    ((seen, settings),) = app.seen
    assert seen == role
    assert settings.data_dir == tmp_path / "here"


def test_options_reach_the_settings(fastlane, app, tmp_path):
    (tmp_path / "other.toml").write_text('installation = "other"')
    assert fastlane("up", "--port", "0", "--listen", "::1", "--config", "other.toml").exit_code == 0
    settings = app.seen[0][1]
    assert (settings.port, settings.listen, settings.installation) == (0, "::1", "other")


@pytest.mark.parametrize("command", ["up", "api", "worker", "config"])
def test_wrong_settings_are_all_named_on_stderr_with_exit_code_2(fastlane, app, command):
    done = fastlane(command, FASTLANE_PROT="1", FASTLANE_LEASE="15", FASTLANE_REDIS_URL=f"http://:{SECRET}@q", FASTLANE_LISTEN="127.0.0.1")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["fastlane", "FASTLANE_PROT"],
        ["fastlane", "FASTLANE_REDIS_URL"],
        ["fastlane", "FASTLANE_LEASE"],
    ]
    assert SECRET not in done.stderr
    assert app.seen == []


@pytest.mark.parametrize("command", ["up", "worker"])
def test_files_of_pools_that_are_not_there_are_named_before_anything_starts(fastlane, app, command):
    tls = {key: f"/nowhere/{key}" for key in ("ca", "certificate", "key")}
    pools = json.dumps([{"name": "p", "match": "", "hosts": ["h:2376"], "tls": tls}])
    variables = {"FASTLANE_POOLS": pools, "FASTLANE_REDIS_URL": "redis://q"}
    done = fastlane(command, **variables)
    assert (done.exit_code, app.seen) == (2, [])
    named = [line.partition(", ")[0] for line in done.stderr.splitlines()]
    assert named == [f"fastlane: FASTLANE_POOLS: tls.{key} of pool 'p' names {path}" for key, path in tls.items()]
    assert fastlane("config", "--for", command, **variables).exit_code == 0


def test_an_api_that_everyone_could_use_does_not_start(fastlane, app):
    done = fastlane("api", FASTLANE_REDIS_URL="redis://q")
    assert done.exit_code == 2
    assert done.stderr.startswith("fastlane: listen: 0.0.0.0 lets other machines in")
    assert app.seen == []


def test_a_failure_of_ours_is_one_line_and_exit_code_1(fastlane, app):
    app.ends = raising(FastlaneError("port 10000 is in use; choose another with --port"))
    done = fastlane("up")
    assert (done.exit_code, done.stderr) == (1, "fastlane: port 10000 is in use; choose another with --port\n")


def test_a_server_that_cannot_be_asked_is_one_line_and_exit_code_1(fastlane):
    done = fastlane("ps", FASTLANE_URL="ftp://x")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("fastlane: the server's URL must begin with http:// or https://")


def test_an_unforeseen_failure_is_one_line_without_secrets(fastlane, app):
    app.ends = raising(KeyError(f"redis://:{SECRET}@q"))
    done = fastlane("up")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "KeyError" in line
    assert "FASTLANE_LOG_LEVEL=debug" in line
    assert SECRET not in line


def test_an_unforeseen_failure_shows_where_it_was_at_level_debug(fastlane, app):
    app.ends = raising(KeyError(f"redis://:{SECRET}@q"))
    done = fastlane("up", FASTLANE_LOG_LEVEL="debug", FASTLANE_LOG_FORMAT="console")
    assert done.exit_code == 1
    assert "Traceback" in done.stderr
    assert "in end" in done.stderr
    assert SECRET not in done.stderr


def test_config_shows_every_setting_with_its_origin(fastlane):
    done = fastlane("config", "--data-dir", "here", FASTLANE_PORT="8080")
    assert done.exit_code == 0
    header, *lines = done.stdout.splitlines()
    ends = [header.index(word) for word in ("NAME", "VALUE", "FROM", "DEFAULT", "MEANING")][1:]
    rows = {line.split()[0]: [line[start:end].strip() for start, end in pairwise(ends)] for line in lines if not line.startswith(" ")}
    assert tuple(rows) == NAMES
    assert rows["data_dir"][1:] == ["--data-dir", ".fastlane"]
    assert rows["port"] == ["8080", "FASTLANE_PORT", "10000"]
    assert rows["hard_timeout"] == ["30m", "default", "30m"]


def test_config_has_the_defaults_of_the_command_that_is_asked_for(fastlane):
    def listens(*arguments):
        return json.loads(fastlane("config", "--json", *arguments, FASTLANE_REDIS_URL="redis://q", FASTLANE_ALLOW_ANONYMOUS="true").stdout)[
            "listen"
        ]["value"]

    assert (listens(), listens("--for", "api")) == ("127.0.0.1", "0.0.0.0")
    assert fastlane("config", "--for", "worker").exit_code == 2


def test_config_as_json_is_for_machines(fastlane):
    rows = json.loads(fastlane("config", "--json", FASTLANE_MAX_BODY="2MiB").stdout)
    assert tuple(rows) == NAMES
    assert rows["max_body"]["value"] == 2 * 2**20
    assert rows["max_body"]["from"] == "FASTLANE_MAX_BODY"
    assert rows["lease"]["value"] == 15
    assert rows["pools"]["value"][0]["maxRunning"] == 10
    assert all(row["default"] and row["meaning"] for row in rows.values())


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_config_hides_passwords(fastlane, form):
    done = fastlane("config", *form, FASTLANE_REDIS_URL=f"redis://me:{SECRET}@q:6379/0?password={SECRET}")
    assert done.exit_code == 0
    assert SECRET not in done.output
    assert "redis://me:********@q" in done.output


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_config_shows_users_and_tokens_without_their_hashes(fastlane, form):
    password, token = hash_password(SECRET), hash_token(SECRET)
    users = [{"name": "anna", "password": password, "role": "admin"}]
    tokens = [{"name": "ci", "token": token, "role": "run", "tasks": "build-"}]
    done = fastlane("config", *form, FASTLANE_USERS=json.dumps(users), FASTLANE_TOKENS=json.dumps(tokens), COLUMNS="400")
    assert done.exit_code == 0
    assert "anna" in done.stdout
    assert "build-" in done.stdout
    shown = "".join(done.output.split())
    for part in (*password.split(":")[4:], token.split(":")[1], SECRET):
        assert part not in shown


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_config_tells_old_names_and_hides_an_old_password(fastlane, form):
    done = fastlane("config", *form, BASIC_AUTH_USERNAME="anna", BASIC_AUTH_PASSWORD=SECRET, REDIS_URL=f"redis://:{SECRET}@q")
    assert done.exit_code == 0
    assert SECRET not in done.output
    assert [line.split(" is ")[0] for line in done.stderr.splitlines()] == [
        "fastlane: REDIS_URL",
        "fastlane: BASIC_AUTH_USERNAME",
        "fastlane: BASIC_AUTH_PASSWORD",
    ]
    assert "use redis_url" in done.stderr


def test_a_command_that_runs_logs_old_names(fastlane, app):
    done = fastlane("up", PAGINATION_PER_PAGE="7", FASTLANE_LOG_FORMAT="json")
    assert app.seen[0][1].per_page == 7
    (line,) = (json.loads(line) for line in done.stderr.splitlines())
    assert (line["event"], line["old"], line["new"], line["used"]) == ("setting.renamed", "PAGINATION_PER_PAGE", "per_page", True)


@pytest.mark.parametrize("typed", ["pass wörd", "pass wörd\n", "pass wörd\r\n"])
def test_password_reads_a_line_and_prints_its_hash_alone(typed):
    done = CliRunner().invoke(main, ["password"], input=typed.encode())
    assert done.exit_code == 0
    assert read_password_hash(done.stdout.strip()).matches("pass wörd")
    assert "pass" not in done.output


@pytest.mark.parametrize("typed", [b"", b"\n", b"one\ntwo\n", b"\xff"])
def test_password_refuses_untypable_text(typed):
    done = CliRunner().invoke(main, ["password"], input=typed)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "give one line" in done.stderr


def test_password_asks_twice_on_a_terminal_and_shows_nothing_that_is_typed():
    here, there = pty.openpty()
    command = [sys.executable, "-m", "fastlane", "password"]
    with subprocess.Popen(command, stdin=there, stdout=subprocess.PIPE, stderr=there, start_new_session=True) as process:
        os.close(there)
        said = b""
        for question, typed in ((b"Password: ", b"korrekt\n"), (b"Repeat the password: ", b"falsch\n"), (b"Password: ", b"korrekt\n")):
            said += answer(here, question, typed)
        said += answer(here, b"Repeat the password: ", b"korrekt\n")
        assert process.stdout is not None
        printed = process.stdout.read().decode()
        assert process.wait(30) == 0
    os.close(here)
    assert read_password_hash(printed.strip()).matches("korrekt")
    assert b"korrekt" not in said
    assert b"do not match" in said


def answer(terminal: int, question: bytes, typed: bytes) -> bytes:
    """Types after the question has come; what was said until then."""
    said = b""
    while not said.endswith(question):
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, said
        said += os.read(terminal, 1_000)
    os.write(terminal, typed)
    return said


def test_token_makes_a_token_and_its_hash(fastlane):
    first, second = (fastlane("token").stdout.splitlines() for _ in range(2))
    token, hashed = first[0].removeprefix("token: "), first[1].removeprefix("hash:  ")
    assert hashed == hash_token(token)
    assert first != second


def test_config_writes_the_docs_whatever_the_settings_are(fastlane):
    done = fastlane("config", "--markdown", FASTLANE_PORT="x")
    assert done.exit_code == 0
    assert all(f"| `{name}` |" in done.stdout for name in NAMES)


def raising(error: Exception):
    def end():
        raise error

    return end
