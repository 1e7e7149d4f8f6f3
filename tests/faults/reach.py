"""A pytest plugin that writes down which functions of fastlane each test calls: ``pytest -p tests.faults.reach --reach FILE``.

It uses ``sys.monitoring`` (Python 3.12 or later), which calls back once a function and test. What another process of the test does is not
seen. A line of FILE is a test: ``[node id without parameters, seconds, [function, …]]``, a function being ``path::qualified name``.
"""

import json
import sys
from collections.abc import Generator
from pathlib import Path
from types import CodeType
from typing import TextIO

import pytest

PACKAGE = str(Path(__file__).parents[2] / "fastlane") + "/"
ROOT = str(Path(__file__).parents[2]) + "/"


class Reach:
    """Collects the functions of one test after the other, and writes those that passed."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._called: set[str] = set()
        self._monitoring = sys.monitoring
        self._tool = self._monitoring.COVERAGE_ID
        self._monitoring.use_tool_id(self._tool, "reach")
        self._monitoring.register_callback(self._tool, self._monitoring.events.PY_START, self._start)
        self._monitoring.set_events(self._tool, self._monitoring.events.PY_START)

    def _start(self, code: CodeType, _offset: int) -> object:
        if code.co_filename.startswith(PACKAGE):
            self._called.add(f"{code.co_filename.removeprefix(ROOT)}::{code.co_qualname.replace('.<locals>', '')}")
        return self._monitoring.DISABLE

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Starts a test with nothing called yet."""
        self._called.clear()
        self._monitoring.restart_events()
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Writes what a test called that passed."""
        if report.when == "call" and report.passed:
            name = report.nodeid.partition("[")[0]
            self._output.write(json.dumps([name, round(report.duration, 2), sorted(self._called)]) + "\n")
            self._output.flush()

    def pytest_unconfigure(self) -> None:
        """Ends before the interpreter does."""
        self._monitoring.set_events(self._tool, 0)
        self._monitoring.free_tool_id(self._tool)
        self._output.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The file to write."""
    parser.addoption("--reach", help="write the functions that each test calls to this file")


def pytest_configure(config: pytest.Config) -> None:
    """Begins, in a run without further processes."""
    if path := config.getoption("--reach"):
        config.pluginmanager.register(Reach(Path(path).open("w", encoding="utf-8")))  # noqa: SIM115 - open until the process ends
