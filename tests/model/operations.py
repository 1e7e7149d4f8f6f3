"""What a program is made of: a table of operations, each with how often it comes, how its values are drawn, and what it does.

A program is a list of steps, drawn once from a seed: values are numbers that name the n-th of what is there at the moment, so a step
makes sense in whatever is left of its program. A new operation is one more row of the table.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from fastlane.models.container import Resources
from fastlane.models.job import Spec
from fastlane.models.notify import Mailbox, NotificationTrigger
from fastlane.models.retry import FailureReason, OnOom, RetryOn
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.upstream import AfterJobs, AfterOn
from tests.model.clients import FORGETFUL, KEYED, PLAIN, REUSED, SLOTS, TWICE
from tests.model.places import HOSTS, POOLS, QUICK, TASKS, TODAY, YESTERDAY
from tests.model.troubles import a_trouble
from tests.model.world import World

Values = tuple[Any, ...]
MOST_STEPS = 120

TEAM = (Mailbox(NotificationTrigger.FAILS, "team@example.com"),)
SMALL = Resources(memory=500)
MANNERS = (PLAIN, PLAIN, PLAIN, KEYED, KEYED, TWICE, FORGETFUL, REUSED)
CRONS = (
    "* * * * *",
    "* * * * *",
    "*/2 * * * *",
    "*/3 * * * *",
    "*/2 * * * *;*/3 * * * *",
    "H/1 * * * *",
    "@every 1m;H/3 * * * *",
    "* * * * *~1",
    "*/2 * * * *~3",
    f"* * * * *!{YESTERDAY}",
    f"* * * * *~1!{YESTERDAY}..{TODAY}",
    f"* * * * *!{TODAY}",
)
"""Entries of one cron are separated by semicolons; the minutes of its spread stand behind a tilde, the dates that it skips behind ``!``."""

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
    (("concurrency_key", "db"),),
    (("unique", True),),
    (("pause_after", 1), ("pause_after", 2), ("pause_after", 3)),
    (("notify_after", 2), ("notify_after", 3)),
    (("notify", TEAM),),
    (("retry_on", RetryOn((FailureReason.OOM,))), ("retry_on", RetryOn((FailureReason.HOST_LOST,), (3,)))),
    (("on_oom", OnOom(2.0)), ("on_oom", OnOom(1.5, 700))),
)
FAILING: tuple[tuple[tuple[str, Any], ...], ...] = (
    (("pause_after", 1),),
    (("pause_after", 2),),
    (("pause_after", 2), ("notify_after", 2), ("notify", TEAM)),
    (("notify_after", 2), ("notify", TEAM)),
    (("retries", 2), ("retry_delay", 0), ("retry_on", RetryOn((FailureReason.OOM,), (3,))), ("pause_after", 1)),
    (("retries", 1), ("retry_delay", 0), ("retry_on", RetryOn((FailureReason.HOST_LOST,))), ("notify_after", 1), ("notify", TEAM)),
    (("retries", 3), ("retry_delay", 0), ("on_oom", OnOom(2.0, 1_500)), ("pause_after", 2)),
)
"""Rules of jobs that fail again and again: what becomes of that."""
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


def twins(draw: random.Random) -> Values:
    """A unique job, and how many times it is asked for at once."""
    when = draw.choice((None, None, 0.5, 7.0, ("*/2 * * * *", Overlap.ALLOW, CatchUp.LATEST)))
    return draw.choice((2, 3, 4)), draw.choice(TASKS), draw.choice(COMMANDS[:2]), when, draw.choice(MANNERS)


def hasty_job(draw: random.Random) -> Values:
    """A job and in how many seconds it is stopped again."""
    return (draw.choice((0.0, 0.0, 0.005, 0.02, 0.3, 1.0)), *new_job(draw))


def following_job(draw: random.Random) -> Values:
    """Which one or two jobs it follows, on which ends, and what it does beside others of its own; the job."""
    others = tuple(recent(draw)[0] for _ in range(draw.choice((1, 1, 2))))
    task, command, image, _, rules, manner = new_job(draw)
    return others, draw.choice(list(AfterOn)), draw.choice(list(Overlap)), task, command, image, rules, manner


def failing_job(draw: random.Random) -> Values:
    """How often a job that fails is run by hand, and in how many seconds each; its task, command, and rules, and whether it has a cron."""
    rules = draw.choice(FAILING)
    command = draw.choice((("exit", "3"), ("exit", "3"), ("end", "oom"), ("for:0.5", "hold", "exit", "1"), ("exit", "3,0")))
    command = ("end", "oom") if "on_oom" in dict(rules) else command
    cron = (draw.choice(CRONS), Overlap.ALLOW, CatchUp.LATEST)
    when = cron if draw.random() < 0.8 else Overlap.ALLOW
    return draw.choice((0.02, 1.0, 3.0)), draw.choice((2, 3, 4)), draw.choice((QUICK,) * 6 + TASKS), command, when, rules


def chained_jobs(draw: random.Random) -> Values:
    """The command of a job, which of its ends another one follows, what that one does beside others of its own, and how often it runs."""
    return draw.choice(COMMANDS[:3]), draw.choice(list(AfterOn)), draw.choice(list(Overlap)), draw.choice((1, 2, 3))


def filled_job(draw: random.Random) -> Values:
    """A cron, and a backfill of it: in how many seconds, of how many minutes, how many at once; then perhaps what is done to the job."""
    task, command, image, _, rules, _ = new_job(draw)
    cron = (draw.choice(CRONS), draw.choice(list(Overlap)), draw.choice(list(CatchUp)))
    then = draw.choice((None, None, "pause", "stop", "stop_backfill"))
    task = draw.choice((task, QUICK))
    return draw.choice((0.0, 0.3)), draw.choice((2, 4, 7)), draw.choice((1, 2, 5)), task, command, image, cron, rules, then


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


def range_of(draw: random.Random) -> Values:
    """A job, the last minutes that its backfill is about, and how many run at once."""
    return (*recent(draw), draw.choice((1, 3, 6)), draw.choice((1, 2, 5)))


def spec_of(world: World, command: tuple[str, ...], image: str, rules: tuple[tuple[str, Any], ...]) -> Spec:
    fields = dict(rules)
    if "expiration" in fields:
        fields["expiration"] += world.clock.now()
    if "on_oom" in fields:
        fields.setdefault("resources", SMALL)
    return Spec(image, command, **fields)


def enqueue(world: World, task: str, command: Any, image: str, when: Any, rules: Any, manner: str) -> None:
    world.begin(world.clients.post(task, spec_of(world, command, image, rules), when, manner))


def enqueue_twins(world: World, times: int, task: str, command: Any, when: Any, manner: str) -> None:
    for _ in range(times):
        world.begin(world.clients.post(task, Spec("ubuntu", command, unique=True), when, manner))


def enqueue_after(world: World, others: Any, on: AfterOn, overlap: Overlap, task: str, command: Any, image: str, *more: Any) -> None:
    rules, manner = more
    known = world.clients.known
    if known:
        ids = tuple(dict.fromkeys(known[which % len(known)][1] for which in others))
        schedule = Schedule(ScheduleKind.MANUAL, overlap=overlap, after=AfterJobs(ids, on))
        world.begin(world.clients.post(task, spec_of(world, command, image, rules), schedule, manner))


def enqueue_and_stop(world: World, after: float, task: str, command: Any, image: str, when: Any, rules: Any, manner: str) -> None:
    world.begin(world.clients.post_and_stop(after, task, spec_of(world, command, image, rules), when, manner))


def enqueue_and_run(
    world: World, after: float, times: int, task: str, command: Any, image: str, when: Any, rules: Any, manner: str
) -> None:
    world.begin(world.clients.post_and_run(after, times, task, spec_of(world, command, image, rules), when, manner))


def enqueue_failing(world: World, after: float, times: int, task: str, command: Any, when: Any, rules: Any) -> None:
    world.begin(world.clients.post_failing(after, times, task, spec_of(world, command, "ubuntu", rules), when))


def enqueue_and_fill(
    world: World, after: float, minutes: int, most: int, task: str, command: Any, image: str, cron: Any, rules: Any, then: str | None
) -> None:
    world.begin(world.clients.post_and_fill(after, minutes, most, then, task, spec_of(world, command, image, rules), cron))


def enqueue_chain(world: World, command: Any, on: AfterOn, overlap: Overlap, times: int) -> None:
    world.begin(world.clients.post_chain(QUICK, Spec("ubuntu", command), Spec("ubuntu", ()), on, overlap, times))


def enqueue_and_lose_host(world: World, host: str, retries: int) -> None:
    spec = Spec("ubuntu", ("for:9", "hold", "exit", "1"), retries=retries, retry_delay=0)
    for _ in range(2):
        world.begin(world.clients.post(QUICK, spec, None, PLAIN))
    world.later(3.0, lambda: world.host_down(host))
    world.later(40.0, lambda: world.host_up(host))


async def wait(world: World, seconds: float) -> None:
    await world.clock.sleep(seconds)


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
    "enqueue_after": Operation(8, following_job, enqueue_after),
    "enqueue_and_stop": Operation(12, hasty_job, enqueue_and_stop),
    "enqueue_and_run": Operation(8, busy_job, enqueue_and_run),
    "enqueue_failing": Operation(8, failing_job, enqueue_failing),
    "enqueue_and_fill": Operation(6, filled_job, enqueue_and_fill),
    "enqueue_chain": Operation(5, chained_jobs, enqueue_chain),
    "enqueue_and_lose_host": Operation(3, lambda draw: (draw.choice(HOSTS), draw.choice((1, 3))), enqueue_and_lose_host),
    "enqueue_twins": Operation(6, twins, enqueue_twins),
    "put": Operation(14, details_of, put),
    "run": Operation(6, recent_and(*MANNERS), to_a_job("run")),
    "run_beside": Operation(1, recent_and(*MANNERS), run_beside),
    "run_instead": Operation(4, recent_and(*MANNERS), run_instead),
    "retry": Operation(5, recent_and(*MANNERS), to_a_job("retry")),
    "begin_backfill": Operation(
        8, lambda draw: (*recent(draw), draw.choice((1, 3, 6)), draw.choice((1, 2, 5))), to_a_job("begin_backfill")
    ),
    "stop_backfill": Operation(2, recent, to_a_job("stop_backfill")),
    "pause_job": Operation(6, recent, to_a_job("pause")),
    "resume_job": Operation(5, recent, to_a_job("resume")),
    "delete_job": Operation(6, recent_and(True, True, False), delete_job),
    "delete_task": Operation(1, lambda draw: (draw.choice(TASKS), draw.random() < 0.7), delete_task),
    "stop_task": Operation(2, one_of(*TASKS), stop_task),
    "pause_pool": Operation(3, one_of(*(pool.name for pool in POOLS)), pause_pool),
    "resume_pool": Operation(3, one_of(*(pool.name for pool in POOLS)), resume_pool),
    "stop_job": Operation(5, recent, to_a_job("stop")),
    "stop_execution": Operation(6, recent, stop_execution),
    "wait": Operation(4, one_of(5.0, 25.0, 45.0), wait),
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
    "enqueue_after",
    "enqueue_and_stop",
    "enqueue_and_run",
    "enqueue_failing",
    "enqueue_and_fill",
    "enqueue_chain",
    "wait",
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
