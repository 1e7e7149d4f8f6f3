"""What a log line looks like, and what never stands in one."""

import asyncio
import json
import logging
import os
import re
import sys
import time
import warnings
from pathlib import Path

import pytest
import structlog

from fastlane import log

SECRET = "hunter2"
PACKAGE = Path(__file__).parents[2] / "fastlane"


@pytest.fixture(autouse=True)
def _as_before():
    """Logging is the process's: each test leaves it as it was."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def lines(capsys) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_json_line_has_time_level_event_and_fields(capsys):
    log.configure("json", "info")
    structlog.get_logger().info("execution.started", execution_id="e1", attempt=1)
    (line,) = lines(capsys)
    assert list(line)[:3] == ["time", "level", "event"]
    assert line["time"].endswith("Z")
    assert line | {"time": ""} == {"time": "", "level": "info", "event": "execution.started", "execution_id": "e1", "attempt": 1}


def test_a_console_line_has_the_same_without_colours_where_there_is_no_terminal(capsys):
    log.configure("console", "info")
    structlog.get_logger().warning("host.down", host="h1", reason="no\nroute")
    (line,) = capsys.readouterr().err.splitlines()
    assert "warning" in line
    assert "host.down" in line
    assert "host='h1'" in line
    assert r"reason='no\nroute'" in line
    assert "\x1b" not in line


def test_lines_below_the_level_are_left_out(capsys):
    log.configure("json", "warning")
    logger = structlog.get_logger()
    logger.info("a")
    logger.warning("b")
    assert [line["event"] for line in lines(capsys)] == ["b"]


@pytest.mark.parametrize("name", ["tornado.access", "docker", "aiohttp.client", "asyncio", "urllib3.connectionpool"])
def test_libraries_speak_from_warning_up_in_the_same_format(capsys, name):
    log.configure("json", "debug")
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("trouble with %s", f"redis://:{SECRET}@q")
    (line,) = lines(capsys)
    assert (line["level"], line["event"], line["message"]) == ("warning", name, "trouble with redis://:********@q")


def test_what_any_client_can_cause_is_no_warning(capsys):
    log.configure("json", "info")
    logging.getLogger("tornado.general").warning("SSL Error on %s %s: %s", 7, "peer", "wrong version number")
    logging.getLogger("tornado.general").warning("something else")
    assert [line["message"] for line in lines(capsys)] == ["something else"]


async def test_a_line_may_quote_the_variables_of_its_task_and_no_secret_among_them(capsys):
    log.configure("json", "info", lambda text, envs: text.replace(envs["KEY"], "********"))

    async def work(secret: str) -> None:
        log.may_quote({"KEY": secret})
        await asyncio.sleep(0)
        structlog.get_logger().info("info", said=f"{secret} and two", count=3)
        structlog.get_logger().info("x", error="a\0b two", level_of="info")

    await asyncio.gather(work("one"), work("two"))
    structlog.get_logger().info("x", said="one and two")
    found = [(line["event"], line.get("said") or line["error"]) for line in lines(capsys)]
    assert found == [
        ("info", "******** and two"),
        ("x", "a\0b two"),
        ("info", "******** and ********"),
        ("x", "a\0b ********"),
        ("x", "one and two"),
    ]


async def test_only_the_words_of_others_are_searched_for_secrets(capsys):
    searched = []
    log.configure("json", "info", lambda text, _envs: [text, searched.append(text)][0])
    await asyncio.to_thread(_log_with_variables)
    assert searched == [*log.WORDS]
    assert lines(capsys)[0]["execution_id"] == "e1"


def _log_with_variables() -> None:
    log.may_quote({"KEY": SECRET})
    structlog.get_logger().info("x", execution_id="e1", host="h1", status="done", **{name: name for name in log.WORDS})
    structlog.get_logger().info("execution.started", execution_id="e1", host="h1")


def test_each_word_of_a_caught_error_is_in_a_field_that_is_searched():
    calls = [line for path in PACKAGE.rglob("*.py") for line in re.findall(r"\blog\.\w+\([^\n]*", path.read_text())]
    fields = {name for call in calls for name in re.findall(r"(\w+)=(?:str\((?:error|fault)|error\b|fault\b)", call)}
    assert fields == {"error"}
    assert fields < set(log.WORDS)


def test_warnings_are_logged(capsys):
    log.configure("json", "info")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", stacklevel=1)
    assert [line["event"] for line in lines(capsys)] == ["py.warnings"]


def test_a_traceback_is_a_field(capsys):
    log.configure("json", "info")
    try:
        raise ValueError(f"at redis://u:{SECRET}@q")
    except ValueError:
        structlog.get_logger().exception("loop.failed")
    (line,) = lines(capsys)
    assert "ValueError: at redis://u:********@q" in line["exception"]
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        (f"redis://:{SECRET}@q:6379/0", "redis://:********@q:6379/0"),
        (f"redis://u:{SECRET}@x@q", "redis://u:********@q"),
        (
            f"cannot reach https://u:{SECRET}@h/p, nor mongodb://u:{SECRET}@m",
            "cannot reach https://u:********@h/p, nor mongodb://u:********@m",
        ),
        (f"redis://q?db=1&password={SECRET}&x=1", "redis://q?db=1&password=********&x=1"),
        (f"https://h/hook?access_token={SECRET}", "https://h/hook?access_token=********"),
        ("http://10.0.0.7:2375/v1.45/images/x@sha256:ab", "http://10.0.0.7:2375/v1.45/images/x@sha256:ab"),
        ("registry:5000/name@sha256:ab", "registry:5000/name@sha256:ab"),
        ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
    ],
)
def test_passwords_in_urls_are_scrubbed_and_nothing_else(text, scrubbed):
    assert log.scrub(text) == scrubbed


@pytest.mark.parametrize(
    "hostile", ["&" + "token" * 12_000, "?" * 30_000, "?password" * 900, "://" * 20_000, "://a:@" * 10_000, "?a=" * 20_000]
)
def test_a_text_made_to_be_slow_is_scrubbed_at_once(hostile):
    before = time.process_time()
    log.scrub(f"http://10.0.0.7:2375/{hostile}")
    assert time.process_time() - before < 3  # a thousandth of that; with a pattern that starts over at each character, ten seconds and more


def test_a_long_text_is_cut_before_it_is_scrubbed(monkeypatch, capsys):
    log.configure("json", "info")
    lengths, scrub = [], log.scrub
    monkeypatch.setattr(log, "scrub", lambda text: [scrub(text), lengths.append(len(text))][0])
    structlog.get_logger().info("x", path="/" + "&a=b" * 100_000, names=["/" + "&a=b" * 100_000])
    assert lengths == [log.MAX_FIELD] * 2
    assert lines(capsys)[0]["path"].endswith("… (400001 characters)")


@pytest.mark.parametrize("url", [f"redis://u:{SECRET}@q", f"redis://:{SECRET}@q", f"http://h/?x=1&token={SECRET}&y=2"])
def test_a_password_shows_no_part_wherever_the_text_is_cut(capsys, url):
    log.configure("json", "info")
    for shown in range(1, len(url) + 1):
        text = "x" * (log.MAX_FIELD - shown) + url + "y" * log.MAX_FIELD
        structlog.get_logger().info("x", text=text)
    shown = "".join(str(line["text"]) for line in lines(capsys))
    assert SECRET[:2] not in shown


class Client:
    def __repr__(self) -> str:
        return f"<Client redis://:{SECRET}@q>"


@pytest.mark.parametrize(
    "value",
    [Client(), {"a": [f"redis://:{SECRET}@q"]}, (Client(),), {Client()}, {f"redis://:{SECRET}@q": 1}, f"redis://:{SECRET}@q".encode()],
)
def test_passwords_are_scrubbed_in_values_of_any_type(capsys, value):
    log.configure("json", "info")
    structlog.get_logger().info("x", value=value)
    (line,) = lines(capsys)
    assert "redis://:********@q" in json.dumps(line)
    assert SECRET not in json.dumps(line)


def looped() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", ["x" * 10**6, ["x" * 10**4] * 10**4, looped(), {n: n for n in range(10**4)}], ids=["text", "list", "loop", "dict"]
)
def test_a_field_is_bounded(capsys, value):
    log.configure("json", "info")
    structlog.get_logger().info("x", value=value)
    (line,) = lines(capsys)
    assert len(json.dumps(line)) < 60 * log.MAX_FIELD


@pytest.mark.parametrize("value", [2**70, float("nan"), "\udcff", b"\xff", object(), {1: None}, {(1, 2): 3}])
def test_a_value_that_json_does_not_know_is_logged_all_the_same(capsys, value):
    log.configure("json", "info")
    structlog.get_logger().info("x", value=value)
    assert [line["event"] for line in lines(capsys)] == ["x"]


def test_a_log_without_standard_error_stops_nothing(monkeypatch):
    log.configure("json", "info")
    monkeypatch.setattr(sys, "stderr", None)
    structlog.get_logger().info("x")


def test_a_log_on_a_full_disk_stops_nothing(monkeypatch):
    log.configure("json", "info")
    with open(os.open("/dev/full", os.O_WRONLY), "w", buffering=1) as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", full)
        structlog.get_logger().info("x")
        patch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
