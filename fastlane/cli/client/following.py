"""Follows one run on the terminal, for ``fastlane run``: its streams byte for byte, what it waits for, Ctrl-C, and its exit code."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import click

from fastlane.cli.client.command import say
from fastlane.cli.client.wording import in_commands
from fastlane.client import AsyncClient, AttemptBegan, ClientError, Ended, Failed, LogQuery, Output

OURS, TIMED_OUT, INTERRUPTED, PIPE_CLOSED = 125, 124, 130, 141
FIRST_LOOK, LONGEST_LOOK = 3.0, 15.0
"""Seconds without a word after which the server is asked what the job waits for, and at most between two of these questions."""


class Choice(Enum):
    """What Ctrl-C means."""

    STOP = "stop"
    DETACH = "detach"
    CONTINUE = "continue"


@dataclass
class Following:
    """One run. ``stop_on_exit``: a signal, or an output that is closed, stops the job without a question."""

    client: AsyncClient
    task: str
    job: str
    execution: str
    stop_on_exit: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        self._heard = asyncio.Event()
        self._asked = self._stopping = False
        self.last = self.execution

    async def exit_code(self) -> int:
        """Follows to the end. Returns the exit code of ``fastlane run``."""
        reading = asyncio.create_task(self._read())
        watching = asyncio.create_task(self._watch())
        try:
            with self._signals_heard():
                return await self._until_end(reading)
        finally:
            for task in (reading, watching):
                task.cancel()
            await asyncio.gather(reading, watching, return_exceptions=True)

    async def _until_end(self, reading: "asyncio.Task[int]") -> int:
        while True:
            hearing = asyncio.create_task(self._signals.get())
            await asyncio.wait([reading, hearing], return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                hearing.cancel()
                return await self._ended(reading)
            number = hearing.result()
            choice = self._choose(number)
            if choice is Choice.STOP:
                await self._stop()
            elif choice is Choice.DETACH:
                return self._detach(128 + number)

    async def _ended(self, reading: "asyncio.Task[int]") -> int:
        try:
            code = reading.result()
        except BrokenPipeError:
            _discard_output()
            if self.stop_on_exit:
                await self._stop()
                return PIPE_CLOSED
            return self._detach(PIPE_CLOSED)
        return INTERRUPTED if self._stopping else code

    async def _read(self) -> int:
        wanted = LogQuery(self.task, self.job, self.execution)
        last = self.last
        async for event in self.client.events(wanted, on_lost=self._lost):
            self._heard.set()
            match event:
                case Output():
                    stream = sys.stdout.buffer if event.stream == "stdout" else sys.stderr.buffer
                    stream.write(event.data)
                    stream.flush()
                case AttemptBegan():
                    last = self.last = event.execution_id
                    self._say(f"attempt {event.attempt}")
                case Failed() | Ended():
                    pass
        execution = await self.client.executions.get(self.task, self.job, last)
        if (words := ending(execution)) is not None:
            say(words)
        return exit_code_of(execution)

    async def _watch(self) -> None:
        """Says what the job waits for while it writes nothing."""
        pause, said = FIRST_LOOK, ""
        while True:
            self._heard.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._heard.wait()
                pause = FIRST_LOOK
                await asyncio.sleep(FIRST_LOOK)
                continue
            pause = min(LONGEST_LOOK, pause * 1.5)
            with contextlib.suppress(ClientError):
                found = await self.client.jobs.why(self.task, self.job)
                words = in_commands("; ".join(wait["message"] for wait in found["waitingFor"]))
                if words and words != said:
                    said = words
                    self._say(words)

    def _lost(self, error: ClientError) -> None:
        self._say(f"{error}; trying again")

    def _choose(self, number: int) -> Choice:
        """Decides what a signal means. Asks the user once, if there is a terminal."""
        if self._asked or self._stopping:
            return Choice.DETACH
        self._asked = True
        if self.stop_on_exit:
            return Choice.STOP
        if number != signal.SIGINT or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return Choice.DETACH
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGINT)  # so that a second Ctrl-C ends the question
        try:
            answer = click.prompt(f"\n{self}: stop it, leave it running, or go on here? [s/l/g]", default="l", show_default=False, err=True)
        except (click.Abort, KeyboardInterrupt):
            return Choice.DETACH
        finally:
            loop.add_signal_handler(signal.SIGINT, self._signals.put_nowait, signal.SIGINT)
        choice = {"s": Choice.STOP, "g": Choice.CONTINUE}.get(answer.strip().lower()[:1], Choice.DETACH)
        self._asked = choice is not Choice.CONTINUE
        return choice

    async def _stop(self) -> None:
        self._stopping = True
        await self.client.jobs.stop(self.task, self.job)
        self._say("stopping it")

    def _detach(self, code: int) -> int:
        say(f"it goes on; see it with `fastlane logs -f {self}`, stop it with `fastlane stop {self}`")
        return code

    def _say(self, text: str) -> None:
        if not self.quiet:
            say(text)

    def __str__(self) -> str:
        return f"{self.task}/{self.job}"

    @contextlib.contextmanager
    def _signals_heard(self) -> Iterator[None]:
        loop, heard = asyncio.get_running_loop(), []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(RuntimeError, ValueError):  # not the main thread
                loop.add_signal_handler(number, self._signals.put_nowait, number)
                heard.append(number)
        try:
            yield
        finally:
            for number in heard:
                loop.remove_signal_handler(number)


def exit_code_of(execution: Any) -> int:
    """The exit code of ``fastlane run``: the command's own if it has one, 124 for a time-out, and 125 for anything else."""
    code = execution["exitCode"]
    match execution["status"]:
        case "done":
            return 0
        case "timedout":
            return TIMED_OUT
        case "failed" | "stopped" if code:
            return int(code) & 0xFF or OURS
        case _:
            return OURS


def ending(execution: Any) -> str | None:
    """Why an execution ended, unless its exit code says so."""
    failure = execution["failure"]
    if failure is not None:
        return None if failure["reason"] == "exit" and execution["exitCode"] else str(failure["message"])
    return {
        "timedout": "it ran for longer than its timeout, and was stopped",
        "stopped": "it was stopped",
        "expired": "it had not started in time, and does not any more",
    }.get(execution["status"])


def _discard_output() -> None:
    """Keeps Python from writing to closed streams at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
