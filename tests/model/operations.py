"""What a program is made of: a table of operations, each with how often it comes, how its values are drawn, and what it does.

A program is a list of steps, drawn once from a seed: values are numbers that name the n-th of what is there at the moment, so a step
makes sense in whatever is left of its program. A new operation is one more row of the table.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from fastlane.models.job import Spec
from fastlane.models.schedule import CatchUp, Overlap
from tests.model.clients import FORGETFUL, KEYED, PLAIN, REUSED, SLOTS, TWICE
from tests.model.places import HOSTS, POOLS, TASKS
from tests.model.troubles import a_trouble
from tests.model.world import World

Values = tuple[Any, ...]
MOST_STEPS = 120

MANNERS = (PLAIN, PLAIN, PLAIN, KEYED, KEYED, TWICE, FORGETFUL, REUSED)
CRONS = ("* * * * *", "* * * * *", "*/2 * * * *", "*/3 * * * *", "*/2 * * * *;*/3 * * * *")
"""Entries of one cron are separated by semicolons."""

COMMANDS = (
    (),
    ("exit", "3"),
    ("out", "one"),
    ("for:0.5", "hold"),
    ("for:3", "out", "one", "hold", "err", "two"),
    ("for:9", "hold", "out", "three", "exit", "1"),
    ("out", "one", "hold", "out", "two"),
    ("end", "oom"),
)
"""What jobs run; the last but one holds until somebody lets it go."""


RULES_OF_JOBS: tuple[tuple[tuple[str, Any], ...], ...] = (
    (("retries", 1), ("retries", 3)),
    (("retry_delay", 0), ("retry_delay", 5_000)),
    (("expires_in", 500), ("expires_in", 4_000), ("expires_in", 15_000)),
    (("expiration", 3_000), ("expiration", 30_000), ("expiration", 100_000)),
    (("timeout", 2_000),),
    (("priority", 3), ("priority", -5)),
    (("concurrency", 1), ("concurrency", 2)),
)
"""What a job may have of each kind; the moment of an ``expiration`` counts from now."""


@dataclass(frozen=True)
class Step:
    """One operation with its values, and the seconds that pass after it."""

    name: str
    values: Values
    then: float

    def __str__(self) -> str:
        return f"Step({self.name!r}, {self.values!r}, {self.then!r}),"


@dataclass(frozen=True)
class Operation:
    """A row of the table. ``often``: its weight among all."""

    often: int
    draw: Callable[[random.Random], Values]
    do: Callable[..., Awaitable[None] | None]


def nothing(draw: random.Random) -> Values:
    return ()


def number(draw: random.Random) -> Values:
    return (draw.randrange(1000),)


def number_and(*choices: object) -> Callable[[random.Random], Values]:
    return lambda draw: (draw.randrange(1000), draw.choice(choices))


def one_of(*choices: object) -> Callable[[random.Random], Values]:
    return lambda draw: (draw.choice(choices),)


def details(draw: random.Random) -> Values:
    """Command, image, when it is due (None: now, or in how many seconds, or a cron's expression and rules, or the overlap of a manual
    job), and fields of its spec."""
    image = "missing" if draw.random() < 0.05 else "not an image" if draw.random() < 0.03 else "ubuntu"
    when = draw.choice((None, None, None, None, 0.0, 0.5, 2.0, 7.0, 20.0, -5.0 if draw.random() < 0.5 else 90.0))
    if draw.random() < 0.2:
        when = (draw.choice(CRONS), draw.choice(list(Overlap)), draw.choice(list(CatchUp)))
    elif draw.random() < 0.1:
        when = draw.choice(list(Overlap))
    rules = tuple(draw.choice(some) for some in RULES_OF_JOBS if draw.random() < 0.15)
    return draw.choice(COMMANDS), image, when, rules


def new_job(draw: random.Random) -> Values:
    """Task, details, and how it is asked for."""
    return draw.choice(TASKS), *details(draw), draw.choice(MANNERS)


def hasty_job(draw: random.Random) -> Values:
    """A job and in how many seconds it is stopped again."""
    return (draw.choice((0.0, 0.0, 0.005, 0.02, 0.3, 1.0)), *new_job(draw))


def busy_job(draw: random.Random) -> Values:
    """A cron, or a manual job, that is run by hand so many times, this often (in seconds)."""
    task, command, image, _, rules, manner = new_job(draw)
    cron = (draw.choice(CRONS), draw.choice(list(Overlap)), draw.choice(list(CatchUp)))
    when = cron if draw.random() < 0.6 else draw.choice(list(Overlap))
    return draw.choice((0.0, 0.02, 0.3, 1.0)), draw.choice((2, 3, 4)), task, command, image, when, rules, manner


def details_of(draw: random.Random) -> Values:
    """The id of a slot (which begin anew), or which job; its details, or whether they stay; how it is asked for."""
    which = draw.choice(SLOTS) if draw.random() < 0.6 else recent(draw)[0]
    return which, draw.choice(TASKS), *details(draw), draw.random() < 0.3, draw.choice(MANNERS)


def recent(draw: random.Random) -> Values:
    """One of the last that there are, most likely."""
    return (-1 - int(draw.expovariate(0.5)),)


def recent_and(*choices: object) -> Callable[[random.Random], Values]:
    return lambda draw: (*recent(draw), draw.choice(choices))


def spec_of(world: World, command: tuple[str, ...], image: str, rules: tuple[tuple[str, Any], ...]) -> Spec:
    fields = dict(rules)
    if "expiration" in fields:
        fields["expiration"] += world.clock.now()
    return Spec(image, command, **fields)


def enqueue(world: World, task: str, command: Any, image: str, when: Any, rules: Any, manner: str) -> None:
    world.begin(world.clients.post(task, spec_of(world, command, image, rules), when, manner))


def enqueue_and_stop(world: World, after: float, task: str, command: Any, image: str, when: Any, rules: Any, manner: str) -> None:
    world.begin(world.clients.post_and_stop(after, task, spec_of(world, command, image, rules), when, manner))


def enqueue_and_run(
    world: World, after: float, times: int, task: str, command: Any, image: str, when: Any, rules: Any, manner: str
) -> None:
    world.begin(world.clients.post_and_run(after, times, task, spec_of(world, command, image, rules), when, manner))


def put(world: World, which: str | int, task: str, command: Any, image: str, when: Any, rules: Any, same: bool, manner: str) -> None:
    known = world.clients.known
    if isinstance(which, int):
        if not known:
            return
        task, job_id = known[which % len(known)]
    else:
        job_id = which
        there = world.witness.jobs.get(job_id)
        task = task if there is None or world.random.random() < 0.05 else there.task_id
    job = world.witness.jobs.get(job_id)
    if job is not None and same:
        world.begin(world.clients.put(task, job_id, job.spec, job.schedule, manner))
    else:
        world.begin(world.clients.put(task, job_id, spec_of(world, command, image, rules), when, manner))


def to_a_job(verb: str) -> Callable[..., None]:
    """A request about one of the jobs that clients know."""

    def ask(world: World, which: int, *values: Any, **named: Any) -> None:
        known = world.clients.known
        if known:
            world.begin(getattr(world.clients, verb)(*known[which % len(known)], *values, **named))

    return ask


def delete_job(world: World, which: int, stop: bool) -> None:
    to_a_job("delete")(world, which, stop=stop)


def run_beside(world: World, which: int, manner: str) -> None:
    to_a_job("run")(world, which, manner, force=True)


def run_instead(world: World, which: int, manner: str) -> None:
    to_a_job("run")(world, which, manner, reschedule=True)


def stop_task(world: World, task: str) -> None:
    world.begin(world.clients.stop_task(task))


def delete_task(world: World, task: str, stop: bool) -> None:
    world.begin(world.clients.delete_task(task, stop=stop))


def pause_pool(world: World, name: str) -> None:
    world.begin(world.clients.pause_pool(name))


def resume_pool(world: World, name: str) -> None:
    world.begin(world.clients.resume_pool(name))


def stop_execution(world: World, which: int) -> None:
    rows = list(world.witness.rows.values())
    if rows:
        row = rows[which % len(rows)]
        world.begin(world.clients.stop_execution(row.task_id, row.job_id, row.id))


def release(world: World, which: int) -> None:
    world.release(which)


async def hire(world: World) -> None:
    if len(world.nodes) < 6:
        await world.hire()


def kill(world: World, which: int) -> None:
    worker = world.worker(which)
    if worker is not None:
        worker.kill()


def dismiss(world: World, which: int) -> None:
    worker = world.worker(which)
    if worker is not None:
        worker.dismiss()


def pause(world: World, which: int, seconds: float) -> None:
    world.pause(world.nodes[which % len(world.nodes)], seconds)


async def replace_api(world: World, which: int) -> None:
    await world.replace(world.replicas[which % len(world.replicas)])


def trouble(world: World, point: str, kind: str) -> None:
    """What befalls the next call of that point, whosever it is."""
    world.wire.faults[point] = kind


def outage(world: World, port: str, seconds: float) -> None:
    world.wire.outages[port] = world.clock.now() + round(seconds * 1000)


def storm(world: World, port: str, seconds: float) -> None:
    world.wire.storms[port] = world.clock.now() + round(seconds * 1000)


def jump(world: World, which: int, seconds: float) -> None:
    world.nodes[which % len(world.nodes)].offset += round(seconds * 1000)


def jump_queue(world: World, seconds: float) -> None:
    world.wire.queue_offset += round(seconds * 1000)


def clocks_right(world: World) -> None:
    world.clocks_right()


def deafen(world: World, seconds: float) -> None:
    world.deaf_until = world.clock.now() + round(seconds * 1000)


async def flush(world: World) -> None:
    await world.lose_queue(None, restarted=False)


async def restart_redis(world: World) -> None:
    await world.lose_queue(None, restarted=True)


async def remember(world: World) -> None:
    async with world.wire.lock:
        world.remembered = world.keys.dump()


async def set_back(world: World) -> None:
    if world.remembered is not None:
        await world.lose_queue(world.remembered, restarted=True)


def fail_over(world: World) -> None:
    world.new_server()


def host_down(world: World, host: str, seconds: float) -> None:
    world.host_down(host)
    world.later(seconds, lambda: world.host_up(host))


def port_for(*seconds: float) -> Callable[[random.Random], Values]:
    return lambda draw: (draw.choice(("store", "queue", "engine")), draw.choice(seconds))


OPERATIONS: dict[str, Operation] = {
    "enqueue": Operation(30, new_job, enqueue),
    "enqueue_and_stop": Operation(12, hasty_job, enqueue_and_stop),
    "enqueue_and_run": Operation(8, busy_job, enqueue_and_run),
    "put": Operation(14, details_of, put),
    "run": Operation(6, recent_and(*MANNERS), to_a_job("run")),
    "run_beside": Operation(1, recent_and(*MANNERS), run_beside),
    "run_instead": Operation(4, recent_and(*MANNERS), run_instead),
    "retry": Operation(5, recent_and(*MANNERS), to_a_job("retry")),
    "pause_job": Operation(6, recent, to_a_job("pause")),
    "resume_job": Operation(5, recent, to_a_job("resume")),
    "delete_job": Operation(6, recent_and(True, True, False), delete_job),
    "delete_task": Operation(1, lambda draw: (draw.choice(TASKS), draw.random() < 0.7), delete_task),
    "stop_task": Operation(2, one_of(*TASKS), stop_task),
    "pause_pool": Operation(3, one_of(*(pool.name for pool in POOLS)), pause_pool),
    "resume_pool": Operation(3, one_of(*(pool.name for pool in POOLS)), resume_pool),
    "stop_job": Operation(5, recent, to_a_job("stop")),
    "stop_execution": Operation(6, recent, stop_execution),
    "release": Operation(8, number, release),
    "hire": Operation(4, nothing, hire),
    "kill": Operation(4, number, kill),
    "dismiss": Operation(2, number, dismiss),
    "pause": Operation(5, number_and(0.3, 3.0, 9.0, 20.0), pause),
    "replace_api": Operation(1, number, replace_api),
    "trouble": Operation(40, a_trouble, trouble),
    "outage": Operation(2, port_for(0.5, 3.0, 12.0), outage),
    "storm": Operation(2, port_for(1.0, 5.0), storm),
    "jump": Operation(2, number_and(-60, -5, -1.5, 1.5, 5, 60), jump),
    "jump_queue": Operation(1, one_of(1, 5, 30), jump_queue),
    "clocks_right": Operation(2, nothing, clocks_right),
    "deafen": Operation(1, one_of(3, 10), deafen),
    "flush": Operation(2, nothing, flush),
    "restart_redis": Operation(1, nothing, restart_redis),
    "remember": Operation(2, nothing, remember),
    "set_back": Operation(2, nothing, set_back),
    "fail_over": Operation(1, nothing, fail_over),
    "host_down": Operation(2, lambda draw: (draw.choice(HOSTS), draw.choice((1.0, 6.0, 25.0))), host_down),
}


ALWAYS = frozenset({"enqueue", "enqueue_and_stop", "hire", "trouble"})
CALM = (
    "enqueue",
    "enqueue_and_stop",
    "enqueue_and_run",
    "put",
    "run",
    "run_beside",
    "run_instead",
    "retry",
    "pause_job",
    "resume_job",
    "delete_job",
    "stop_job",
    "stop_execution",
    "hire",
)
"""The operations of a program in which nothing goes wrong: there nothing may be late."""


def program(seed: object, points: tuple[str, ...] = ()) -> list[Step]:
    """The program of a seed. One in five is calm. Each other one has half of the operations, and favourites among the troubles: what is
    rare in all of them together comes often in some. ``points``: the calls that the favourites are about."""
    draw = random.Random(f"{seed} program")
    if draw.random() < 1 / 5:
        return [step for step in _steps(draw, CALM, 60, 0.5) if is_calm([step])][:16]
    names = tuple(name for name in OPERATIONS if name in ALWAYS or draw.random() < 0.5)
    favourites = [a_trouble(draw) for _ in range(3)]
    favourites = [(draw.choice(points), kind) for _, kind in favourites] if points else favourites
    steps = _steps(draw, names, draw.randint(8, MOST_STEPS), draw.choice((0.02, 0.3, 1.0)))
    return [replace(step, values=draw.choice(favourites)) if step.name == "trouble" and draw.random() < 0.6 else step for step in steps]


def is_calm(steps: list[Step]) -> bool:
    """Whether nothing in it goes wrong, and nothing holds a place."""
    plain = all(step.name in CALM and not any("hold" in value for value in step.values if isinstance(value, tuple)) for step in steps)
    return plain and all("concurrency" not in str(step.values) for step in steps)


def _steps(draw: random.Random, names: tuple[str, ...], count: int, gap: float) -> list[Step]:
    steps = []
    for name in draw.choices(names, [OPERATIONS[name].often for name in names], k=count):
        then = 0.0 if draw.random() < 0.4 else round(draw.expovariate(1 / gap), 4)
        steps.append(Step(name, OPERATIONS[name].draw(draw), then))
    return steps
