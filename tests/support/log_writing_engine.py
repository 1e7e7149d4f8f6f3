"""An engine that is a folder, which several workers may use. Each of its services writes a line every few milliseconds.

A command is three words: the number of lines, the milliseconds between two of them, and the exit code of the first attempt (later ones
exit with 0). Line ``n`` is ``ATTEMPT:n``, every third on stderr. Its time follows from the service's start, so that every reader reads the
same.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastlane.errors import ServiceGone
from fastlane.executors.port import Activation, ClusterSnapshot, EngineService, EngineTask, Image, Order, Phase, ServiceTemplate, TaskEnd
from fastlane.models.host import HostView
from fastlane.models.log import STDERR, STDOUT, Mark, Piece, Portion
from fastlane.models.pool import Pull

HOST = "unix:///log-writing"
MILLISECOND = 1_000_000


def line(attempt: int, number: int) -> str:
    """One line of an attempt's log."""
    return f"{attempt}:{number}\n"


class LogWritingExecutor:
    """An ``Executor`` on a folder: a file for each service, and a second one once it has started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def open(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end."""

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Its host never changes."""

    def hosts(self) -> Sequence[HostView]:
        return [HostView(HOST, usable=True, swarm_id="log-writing")]

    async def resolve(self, host: str, image: str, pull: Pull) -> Image:
        return Image(image, None)

    async def service_template(self, host: str, name: str) -> ServiceTemplate:
        raise NotImplementedError

    async def park(self, host: str, order: Order, image: Image) -> str:
        id = f"{order.execution_id}-{order.epoch}"
        lines, pause, code = map(int, order.command or ())
        parked = {"execution": order.execution_id, "attempt": order.attempt, "lines": lines, "pause": pause, "code": code}
        (self._folder / id).write_text(json.dumps(parked))
        return id

    async def activate(self, host: str, service_id: str) -> Activation:
        try:
            with (self._folder / f"{service_id}.start").open("x") as file:
                file.write(str(time.time_ns()))
        except FileExistsError:
            return Activation.ALREADY
        return Activation.STARTED

    async def stop(self, host: str, service_id: str, why: str = "") -> None:
        raise NotImplementedError

    async def inspect(self, host: str, service_id: str) -> EngineService:
        parked, start = self._read(service_id)
        tasks = () if start is None else (_task(service_id, parked, start),)
        return EngineService(service_id, parked["execution"], start is not None, False, 0, tasks)

    def just_activated(self, host: str, service_id: str) -> EngineService | None:
        return None

    async def detail(self, host: str, task: EngineTask) -> EngineTask | None:
        return task

    async def snapshot(self, watched: Collection[str] | None = None) -> ClusterSnapshot:
        tasks = {}
        for file in self._folder.glob("*.start"):
            view = await self.inspect(HOST, file.stem)
            tasks[file.stem] = view.tasks
        return ClusterSnapshot({HOST: tasks})

    async def services(self, host: str) -> Sequence[EngineService]:
        return []

    async def remove(self, host: str, service_id: str) -> None:
        """They stay, so that late readers find their log."""

    async def logs(self, host: str, task_id: str, marks: Mapping[int, Mark], *, follow: bool) -> AsyncGenerator[Portion, None]:
        parked, start = self._read(task_id.removeprefix("task-"))
        reached = dict(marks)
        for number in range(parked["lines"]):
            moment = (start or 0) + number * parked["pause"] * MILLISECOND
            stream = STDERR if number % 3 == 0 else STDOUT
            mark = marks.get(stream)
            if mark is not None and moment <= mark.time:
                continue
            if follow:
                await asyncio.sleep(max(0, moment - time.time_ns()) / 1e9)
            reached[stream] = Mark(moment, 1)
            yield Portion((Piece(stream, moment, line(parked["attempt"], number).encode()),), dict(reached))
        if follow:
            await asyncio.Event().wait()

    def _read(self, service_id: str) -> tuple[dict[str, Any], int | None]:
        try:
            parked = json.loads((self._folder / service_id).read_text())
        except FileNotFoundError:
            raise ServiceGone(f"service {service_id} not found") from None
        started = self._folder / f"{service_id}.start"
        text = started.read_text() if started.exists() else ""
        return parked, int(text) if text else None


def _task(service_id: str, parked: dict[str, Any], start: int) -> EngineTask:
    end = start + parked["lines"] * parked["pause"] * MILLISECOND
    over = time.time_ns() > end
    code = parked["code"] if parked["attempt"] == 1 else 0
    return EngineTask(
        id=f"task-{service_id}",
        service_id=service_id,
        phase=Phase.ENDED if over else Phase.RUNNING,
        state="complete" if over else "running",
        container_id=f"container-{service_id}",
        node_id="node",
        changed_at=(end if over else start) // MILLISECOND,
        started_at=start // MILLISECOND,
        end=TaskEnd.EXITED if over else None,
        exit_code=code if over else None,
        finished_at=end // MILLISECOND if over else None,
    )
