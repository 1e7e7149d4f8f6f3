"""Runs one program of one seed in a world of its own, and answers with what was wrong."""

import random
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import structlog

from fastlane import app
from fastlane.models.job import Execution
from fastlane.scheduler import cleaner, watcher
from fastlane.storage import logic, retention
from fastlane.storage.retention_port import Most
from tests.model.accounts import Accounts
from tests.model.loop import Stuck, run
from tests.model.operations import OPERATIONS, Step, is_calm, program
from tests.model.world import World
from tests.support.stores import DATABASES

LONGEST_END = 400
"""Seconds of virtual time within which everything has ended once nothing disturbs it any more."""
UNKNOWN_AFTER = 45_000
"""Milliseconds for which a parked service is left alone whose execution was deleted: an hour would be a long simulation."""
SLICED = 0.5
"""The share of runs in which a deletion takes several steps."""
CLEARED = 0.5
"""The share of runs at whose end a task is deleted with all that it has."""
MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Result:
    """What a run found wrong (nothing: it passed), the last things that happened, and the rules that it reached."""

    seed: object
    steps: tuple[Step, ...]
    complaints: tuple[str, ...]
    trace: tuple[str, ...]
    reached: frozenset[str] = frozenset()

    def __str__(self) -> str:
        steps = "\n".join(f"    {step}" for step in self.steps)
        complaints = "\n".join(f"  {words}" for words in self.complaints[:5])
        return f"seed {self.seed!r}:\n{complaints}\n  program:\n{steps}"

    @property
    def kind(self) -> str:
        """The first complaint without the ids and numbers in it: what two failures have in common."""
        return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+", "#", self.complaints[0])[:80] if self.complaints else ""


def simulate(seed: object, redis: Path, steps: Sequence[Step] | None = None, *, keep_trace: bool = False) -> Result:
    """The run of a seed's program, or of these steps of it; Redis listens at the socket ``redis``."""
    random.seed(f"{seed} fastlane")
    steps = program(seed) if steps is None else list(steps)
    folder = Path(tempfile.mkdtemp(prefix="model", dir=MEMORY if MEMORY.is_dir() else None))
    world = World(folder, redis, f"model-{folder.name}", seed)
    if is_calm(steps):
        world.wire.brisk, world.wire.slow = True, 0.0
    try:
        with _logged(world), _scaled(world), patch.object(app, "uuid4", _seeded_id):
            run(world.pulse, _live(world, steps))
    except Stuck:
        world.witness.complain("everybody waits, for nothing that can come")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        DATABASES.release()
    failed = world.witness.complaints or keep_trace
    trace = tuple(_line(*event) for event in world.wire.trace) if failed else ()
    return Result(seed, tuple(steps), tuple(world.witness.complaints), trace, frozenset(world.witness.book.reached))


def _seeded_id() -> UUID:
    """A random id that comes again when the seed does: of several workers, the least id decides."""
    return UUID(int=random.getrandbits(128))


async def _live(world: World, steps: Sequence[Step]) -> None:
    try:
        await world.open()
        await _perform(world, steps)
        await world.calm()
        await _end(world)
        if world.random.random() < CLEARED and not world.witness.complaints:
            world.begin(world.clients.clear())
            await _end(world)
        if not world.witness.complaints:
            world.pulse.busy += 1
            await Accounts(world).examine()
            world.pulse.busy -= 1
    finally:
        await world.close()


async def _perform(world: World, steps: Sequence[Step]) -> None:
    for _ in range(2):
        await world.hire()
    for step in steps:
        world.wire.trace.append((world.clock.now(), "PROGRAM", str(step), None))
        done = OPERATIONS[step.name].do(world, *step.values)
        if done is not None:
            await done
        if step.then:
            await world.clock.sleep(step.then)
        if world.witness.complaints:
            return


async def _end(world: World) -> None:
    """Lets time pass until nothing is left to do."""
    give_up = world.clock.now() + LONGEST_END * 1000
    while not world.witness.complaints and (left := await world.left()):
        if world.clock.now() > give_up:
            for words in left:
                world.witness.complain(f"after {LONGEST_END} quiet seconds {words}")
            return
        for one in world.running():
            world.let_go(one.order.execution_id)
        world.stop_endless()
        world.clients.let_go()
        await world.clock.sleep(1.0)


@contextmanager
def _scaled(world: World) -> Iterator[None]:
    """An hour and a thousand rows are more than a program has: what begins with them begins sooner. Work takes the time that passes for it,
    so that a seed replays."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(watcher, "thread_time", lambda: world.clock.now() / 1000))
        stack.enter_context(patch.object(cleaner, "UNKNOWN_AFTER", UNKNOWN_AFTER))
        if world.random.random() < SLICED:
            stack.enter_context(patch.object(logic, "ONE_STEP", Most(2, 2, 1)))
            stack.enter_context(patch.object(retention, "MAX_CHUNKS", 1))
        yield


@contextmanager
def _logged(world: World) -> Iterator[None]:
    """An error in the log is a complaint: it says that something came that nobody foresaw."""

    def note(_logger: object, level: str, event: Any) -> Any:
        if level in {"error", "exception", "critical"} and event.get("event") != "service.unknown":
            error = event.get("exc_info")
            world.witness.complain(f"{event['event']}: {_exception() if error else event}")
        world.wire.trace.append((world.clock.now(), "LOG", event.get("event", ""), {k: v for k, v in event.items() if k != "event"}))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[note], wrapper_class=structlog.make_filtering_bound_logger(20), cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def _exception() -> str:
    error = sys.exc_info()[1]
    return "".join(traceback.format_exception(error)) if error is not None else "an exception"


def _line(moment: int, who: str, what: str, answer: object) -> str:
    said = "" if answer is None else _row(answer) if isinstance(answer, Execution) else repr(answer)[:300]
    return f"{moment % 10_000_000 / 1000:10.3f} {who:10} {what} {said}"


def _row(row: Execution) -> str:
    return f"{row.id} {row.status} epoch {row.epoch} host {row.host} service {row.service_id} stop {row.stop_requested_at}"
