"""The faults: each is declared once, with what makes it and what mends it."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import RedisError

from tests.chaos.crew import APIS, SLOTS, WORKERS, Crew
from tests.chaos.record import Journal, now
from tests.chaos.stores import MongoServer, SqliteFile, Store
from tests.support.nodes import AWAY, agreed, docker_command, leader
from tests.support.redis import RealRedis
from tests.support.swarms import Node, Swarms
from tests.support.waiting import wait_until

SLOTS_THEN = 3
"""A pool's ``maxRunning`` while it is changed."""
CLOCK_OFF = (-3600, -5, 5, 3600, 300, -300)
"""Seconds."""
LABELLED = "chaos_service"
"""The service whose labels declare a job."""
NOTICED_WITHIN = 20.0
"""Seconds in which fastlane sees that its store went back."""
RESUMED_WITHIN = 120.0
"""Seconds after which a dispatch that pauses again and again is left alone."""
Ask = Callable[[str, str, object], tuple[int | None, Any]]


@dataclass
class Ground:
    """What faults strike. ``ask``: asks the API until there is an answer. ``folder``: for copies."""

    crew: Crew
    bed: Swarms
    redis: RealRedis
    store: Store
    journal: Journal
    ask: Ask
    folder: Path
    set_slots: Callable[[int | None], None]
    previous: Path | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    copies: int = 0
    deposed: str = ""
    since: int = 0

    def node(self, target: int) -> Node:
        return self.bed.nodes[target % len(self.bed.nodes)]

    def copy(self) -> Path:
        """The place of the last copy."""
        return self.folder / f"copy-{self.copies}"

    def new_copy(self) -> Path:
        """The place of another copy."""
        with self.lock:
            self.copies += 1
        return self.copy()

    @property
    def server(self) -> MongoServer:
        assert isinstance(self.store, MongoServer)
        return self.store

    @property
    def file(self) -> SqliteFile:
        assert isinstance(self.store, SqliteFile)
        return self.store


@dataclass(frozen=True)
class Fault:
    """A fault. ``words``: what happens, for the page. ``group``: of the faults of one group, one is there at a time. ``ends``: whether a
    container may end by it, or end unseen. ``on``: the store that it needs, or "labels" or "releases": a run has one of these two, since
    the older release knows no labels."""

    name: str
    words: str
    strike: Callable[[Ground, int], object]
    mend: Callable[[Ground, int], object]
    group: str
    ends: bool = False
    on: str = ""


def worker(target: int) -> tuple[str, int]:
    return "worker", target % WORKERS


def api(target: int) -> tuple[str, int]:
    return "api", target % APIS


def any_process(target: int) -> tuple[str, int]:
    return SLOTS[target % len(SLOTS)]


def nothing(_ground: Ground, _target: int) -> None:
    """Needs no mending."""


def empty_queue(ground: Ground, _target: int) -> None:
    with contextlib.suppress(OSError, RedisError):
        ground.redis.flush()


def start_queue(ground: Ground, _target: int) -> None:
    ground.redis.kill()
    ground.redis.start()


def copy_store(ground: Ground, _target: int) -> None:
    ground.since = now()
    ground.store.snapshot(ground.new_copy())


def restore_store(ground: Ground, _target: int) -> None:
    """As docs/operations.md says: with all processes ended; what is due is dispatched once someone allows it. A pause of the pool, or a
    drain of a host, that had ended is back, and ends once more."""
    with ground.crew.lock:
        ground.crew.kill(*SLOTS)
        ground.journal.write("restored", since=ground.since, until=now())
        ground.store.restore(ground.copy())
        ground.crew.start()
    ground.crew.until_serving()
    allow_work(ground)
    allow_dispatch(ground.ask, NOTICED_WITHIN)


def allow_work(ground: Ground) -> None:
    """Ends whatever pauses the pool or drains a host."""
    ground.ask("POST", "/pools/default/resume", None)
    for target in range(len(ground.bed.nodes)):
        undrain(ground, target)


def allow_dispatch(ask: Ask, patience: float) -> None:
    """Lets dispatch go on whenever it pauses, until it has not for so many seconds: each process that starts may notice that the store was
    restored."""
    began = quiet = time.monotonic()
    while time.monotonic() < min(quiet + patience, began + RESUMED_WITHIN):
        status, answer = ask("GET", "/status", None)
        if status != 200 or answer["dispatch"]["paused"]:
            quiet = time.monotonic()
        if status == 200 and answer["dispatch"]["paused"]:
            ask("POST", "/dispatch/resume", None)
        time.sleep(0.5)


def lose_power(ground: Ground, _target: int) -> None:
    ground.crew.kill(*SLOTS)


def start_all(ground: Ground, _target: int) -> None:
    ground.crew.start()


def depose(ground: Ground, _target: int) -> None:
    ground.deposed = leader(ground.bed).name
    on_a_manager(ground, "node", "demote", ground.deposed)


def appoint(ground: Ground, _target: int) -> None:
    on_a_manager(ground, "node", "promote", ground.deposed)
    agreed(ground.bed)


def on_a_manager(ground: Ground, *words: str) -> None:
    """Runs a docker command on the first manager that does it."""

    def done() -> bool:
        for node in ground.bed.nodes:
            with contextlib.suppress(subprocess.SubprocessError, *AWAY):
                docker_command(node, *words)
                return True
        return False

    wait_until(done, f"docker {words}", 120)


def drain(ground: Ground, target: int) -> None:
    ground.ask("POST", "/docker-executor/blacklist", {"host": ground.node(target).tcp})


def undrain(ground: Ground, target: int) -> None:
    ground.ask("DELETE", "/docker-executor/blacklist", {"host": ground.node(target).tcp})


def set_slots(ground: Ground, slots: int | None) -> None:
    ground.set_slots(slots)
    ground.ask("POST", "/pools/reload", None)


def label(ground: Ground, word: str) -> None:
    """Changes a variable of the labelled job."""
    on_a_manager(ground, "service", "update", "-d", "--label-add", f"fastlane.envs.WORD={word}", LABELLED)


FAULTS = (
    Fault(
        "worker-killed",
        "SIGKILL, and a new process later",
        lambda g, n: g.crew.kill(worker(n)),
        lambda g, n: g.crew.start(),
        "worker",
    ),
    Fault(
        "worker-frozen",
        "SIGSTOP, and SIGCONT later: it goes on with what it believed",
        lambda g, n: g.crew.freeze(worker(n)),
        lambda g, n: g.crew.thaw(worker(n)),
        "worker",
    ),
    Fault("api-killed", "the same of an API server", lambda g, n: g.crew.kill(api(n)), lambda g, n: g.crew.start(), "api"),
    Fault("api-frozen", "", lambda g, n: g.crew.freeze(api(n)), lambda g, n: g.crew.thaw(api(n)), "api"),
    Fault("all-killed", "SIGKILL to all API servers and workers at once", lose_power, start_all, "all"),
    Fault(
        "clock-moved",
        "the clock of one worker or API server is set by seconds, minutes or an hour, ahead or back",
        lambda g, n: g.crew.move_clock(any_process(n), CLOCK_OFF[n]),
        lambda g, n: g.crew.right_clock(any_process(n)),
        "clock",
    ),
    Fault(
        "worker-downgraded",
        "a worker ends in good order and is one of the release before, and then of this one again",
        lambda g, n: g.crew.replace(worker(n), g.previous),
        lambda g, n: g.crew.replace(worker(n), None),
        "release",
        on="releases",
    ),
    Fault(
        "api-downgraded",
        "the same of an API server",
        lambda g, n: g.crew.replace(api(n), g.previous),
        lambda g, n: g.crew.replace(api(n), None),
        "release",
        on="releases",
    ),
    Fault("queue-killed", "SIGKILL to Redis, and a new process later", lambda g, n: g.redis.kill(), start_queue, "queue"),
    Fault("queue-frozen", "SIGSTOP, and SIGCONT later", lambda g, n: g.redis.pause(), lambda g, n: g.redis.go_on(), "queue"),
    Fault("queue-emptied", "`FLUSHALL`", empty_queue, nothing, "queue"),
    Fault(
        "queue-restored",
        "Redis starts anew from a copy of its file that is some seconds old",
        lambda g, n: g.redis.snapshot(g.new_copy()),
        lambda g, n: g.redis.restore(g.copy()),
        "queue",
    ),
    Fault(
        "store-killed",
        "SIGKILL to the store's server, in the middle of its writes, and a new process later",
        lambda g, n: g.server.kill(),
        lambda g, n: g.server.start(),
        "queue",
        on="mongo",
    ),
    Fault("store-frozen", "SIGSTOP, and SIGCONT later", lambda g, n: g.server.pause(), lambda g, n: g.server.go_on(), "queue", on="mongo"),
    Fault(
        "store-full",
        "nothing can be written on the store's disk",
        lambda g, n: g.file.fill(),
        lambda g, n: g.file.empty(),
        "queue",
        on="sqlite",
    ),
    Fault("store-restored", "the store is put back to a copy that is some seconds old", copy_store, restore_store, "queue", ends=True),
    Fault(
        "engine-killed",
        "SIGKILL to a manager's engine; its containers go on",
        lambda g, n: g.node(n).kill(),
        lambda g, n: g.node(n).start(),
        "node",
        ends=True,
    ),
    Fault(
        "engine-halted",
        "it ends in good order, and its containers with it",
        lambda g, n: g.node(n).halt(),
        lambda g, n: g.node(n).start(),
        "node",
        ends=True,
    ),
    Fault(
        "engine-frozen", "SIGSTOP, and SIGCONT later", lambda g, n: g.node(n).pause(), lambda g, n: g.node(n).resume(), "node", ends=True
    ),
    Fault("node-cut", "its packets vanish, both ways", lambda g, n: g.node(n).cut(), lambda g, n: g.node(n).mend(), "node", ends=True),
    Fault(
        "node-deaf", "only what is sent to it vanishes", lambda g, n: g.node(n).deafen(), lambda g, n: g.node(n).mend(), "node", ends=True
    ),
    Fault("node-mute", "only what it sends vanishes", lambda g, n: g.node(n).mute(), lambda g, n: g.node(n).mend(), "node", ends=True),
    Fault(
        "node-lossy",
        "one packet in ten vanishes, each way",
        lambda g, n: g.node(n).thin(),
        lambda g, n: g.node(n).mend(),
        "node",
        ends=True,
    ),
    Fault("node-slow", "it sends 256 kbit a second", lambda g, n: g.node(n).slow(), lambda g, n: g.node(n).mend(), "node", ends=True),
    Fault(
        "disk-full", "nothing can be written on the node", lambda g, n: g.node(n).fill(), lambda g, n: g.node(n).empty(), "node", ends=True
    ),
    Fault("leader-deposed", "the swarm's leader is demoted, and promoted again", depose, appoint, "node", ends=True),
    Fault("host-drained", "a host gets no new work", drain, undrain, "host"),
    Fault(
        "pool-paused",
        "nothing is dispatched",
        lambda g, n: g.ask("POST", "/pools/default/pause", None),
        lambda g, n: g.ask("POST", "/pools/default/resume", None),
        "pool",
    ),
    Fault(
        "pool-changed",
        f"the pool runs {SLOTS_THEN} at once",
        lambda g, n: set_slots(g, SLOTS_THEN),
        lambda g, n: set_slots(g, None),
        "slots",
    ),
    Fault(
        "labels-changed",
        "the labels of a service that declare a job",
        lambda g, n: label(g, f"word-{n}"),
        lambda g, n: label(g, "word"),
        "labels",
        on="labels",
    ),
)


def chosen(*on: str) -> dict[str, Fault]:
    """The faults of runs on these."""
    return {fault.name: fault for fault in FAULTS if not fault.on or fault.on in on}


def table() -> list[str]:
    """The rows of the page's table. Faults without words go with the one before."""
    rows = list[tuple[list[str], str]]()
    for fault in FAULTS:
        if fault.words:
            rows.append(([], fault.words + {"mongo": " (MongoDB's)", "sqlite": " (SQLite's)"}.get(fault.on, "")))
        rows[-1][0].append(f"`{fault.name}`")
    return [f"| {', '.join(names)} | {words} |" for names, words in rows]
