"""Runs jobs on three managers while faults strike, and writes down what clients were answered and what stands in the end.

The managers are engines on this machine, each as if on a machine of its own. Two API servers and three workers share a store and a Redis
that keeps its data. See ``checker`` for what is written, and for how it is judged.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import plan
from tests.chaos.checker import FINAL, Witness
from tests.chaos.clients import CRON_RETRIES, TASK, Clients, labels
from tests.chaos.crew import Crew
from tests.chaos.faults import LABELLED, NOTICED_WITHIN, Fault, Ground, allow_dispatch, allow_work, chosen
from tests.chaos.record import Journal, now
from tests.chaos.stores import MongoServer, Store, sqlite_file
from tests.support.installation import Installation, installed
from tests.support.nodes import NodesView, agreed, docker_command, image_of
from tests.support.previous_release import unpack
from tests.support.redis import RealRedis
from tests.support.swarms import Swarms

STORES = ("sqlite", "mongo")
CRONS = 2
SLOTS = 30
ENDED_WITHIN = 300.0
"""Seconds after the last fault in which everything has ended: a lost host is given up after less than one, and then come the retries."""
GONE_WITHIN = 120.0
TO_COME = frozenset({"scheduled", "enqueued", "pulling", "running"})
"""Statuses of a job that runs, or that will."""
SETTINGS = {"lease": "3s", "renew": "1s", "host_lost_after": "30s", "breaker_reset": "3s", "listen": "127.0.0.1"}


@dataclass(frozen=True)
class Order:
    """What to run: the seed decides all that happens. ``program``: the folder of the fastlane to run."""

    seed: int
    seconds: float
    store: str
    program: Path

    @property
    def kind(self) -> str:
        """What more this run has: jobs in labels of services, or processes of the release before."""
        return "labels" if self.seed % 2 else "releases"

    @property
    def kinds(self) -> Mapping[str, Fault]:
        """The faults to choose from."""
        return chosen(self.store, self.kind)


def run(order: Order, folder: Path, say: Callable[[str], None]) -> tuple[list[dict[str, Any]], Witness, str]:
    """Makes a run. Returns its record, what its containers told, and the store in words."""
    durable = ("--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0")
    with contextlib.ExitStack() as stack:
        bed = stack.enter_context(Swarms("joined"))
        image = stack.enter_context(image_of(bed))
        redis = stack.enter_context(RealRedis(*durable))
        store = stack.enter_context(stored(order.store, folder))
        journal = Journal(folder / "record.jsonl")
        stack.callback(journal.close)
        view = NodesView(bed, [node.tcp for node in bed.nodes])
        config = folder / "fastlane.toml"
        settings = SETTINGS | {"config": str(config), "store_url": store.place}
        settings |= {"service_labels": "true"} if order.kind == "labels" else {}
        fastlane = stack.enter_context(installed(folder, view, redis=redis.url, with_token=True, **settings))
        mount = fastlane.witness.mount

        def set_slots(slots: int | None) -> None:
            config.write_text(pool(view, folder, slots or SLOTS, order.kind == "labels"))

        set_slots(None)
        crew = Crew(fastlane, order.program)
        crew.start()
        crew.until_serving()
        fastlane.port = crew.ports[0]
        fastlane.until_healthy()
        assert fastlane.token is not None
        clients = Clients(crew.ports, fastlane.token, image, mount, journal)
        previous = unpack(folder / "previous") if order.kind == "releases" else None
        ground = Ground(crew, bed, redis, store, journal, clients.insist, folder, set_slots, previous)
        crons = [clients.begin_cron(number) for number in range(CRONS)]
        if order.kind == "labels":
            words = [word for one in labels() for word in ("--label", one)]
            mounted = ("--mount", f"type=bind,source={fastlane.witness.folder},target=/witness")
            docker_command(bed.nodes[0], "service", "create", "-d", "--replicas", "0", "--name", LABELLED, *words, *mounted, image)
            crons.append(clients.labelled(LABELLED.removeprefix(f"{TASK}_")))
        strike_and_wish(order, ground, clients, say)
        say("the faults are over; waiting for the ends of all executions")
        crew.start()
        crew.until_serving()
        agreed(bed)
        fastlane.until_healthy(ENDED_WITHIN)
        if any(fault.name == "store-restored" for fault in plan.faults(order.seed, order.seconds, groups(order))):
            allow_work(ground)
            allow_dispatch(clients.insist, NOTICED_WITHIN / 4)
        for job, since in crons:
            journal.write("cron", job=job, retries=CRON_RETRIES, since=since, until=clients.stop(job))
        until_ended(clients)
        for words in crew.crashed():
            journal.write("crashed", words=words)
        write_down(clients, journal, view, fastlane)
        return read(folder / "record.jsonl"), witness_of(fastlane.witness.folder), store.words


@contextlib.contextmanager
def stored(kind: str, folder: Path) -> Iterator[Store]:
    """The store of this kind."""
    if kind == "mongo":
        with MongoServer() as server:
            yield server
    else:
        with sqlite_file(folder / "store") as file:
            yield file


def pool(view: NodesView, folder: Path, slots: int, labelled: bool) -> str:
    """The file of the settings, with the only pool. The release before knows no services."""
    services = f'services = ["{LABELLED}"]\n' if labelled else ""
    return (
        f'[[pools]]\nname = "default"\nmatch = ""\nhosts = {json.dumps(view.hosts)}\ninsecure = true\nmaxRunning = {slots}\n'
        f'{services}[pools.policy]\nmounts = ["{folder}/witness"]\nstopGrace = "10s"\n'
    )


def groups(order: Order) -> Mapping[str, str]:
    """What each fault to choose from strikes."""
    return {name: fault.group for name, fault in order.kinds.items()}


def strike_and_wish(order: Order, ground: Ground, clients: Clients, say: Callable[[str], None]) -> None:
    """Makes the faults and the wishes at their times. Returns once all are over."""
    began = time.monotonic()
    locks = {group: threading.Lock() for group in groups(order).values()}

    def at(moment: float) -> None:
        time.sleep(max(0.0, began + moment - time.monotonic()))

    def strike(planned: plan.PlannedFault) -> None:
        at(planned.at)
        fault = order.kinds[planned.name]
        with locks[fault.group]:  # the plan does not know how long a fault takes to make and to mend
            say(f"{time.monotonic() - began:5.0f} s  {planned.name} {planned.target}, for {planned.lasts:.0f} s")
            sent = now()
            fault.strike(ground, planned.target)
            time.sleep(planned.lasts)
            fault.mend(ground, planned.target)
            ground.journal.write("fault", at=sent, until=now(), name=planned.name, target=planned.target, ends=fault.ends)

    def fulfil(wish: plan.Wish) -> None:
        at(wish.at)
        clients.fulfil(wish)

    faults, wishes = plan.faults(order.seed, order.seconds, groups(order)), plan.wishes(order.seed, order.seconds)
    with ThreadPoolExecutor(len(faults) + len(wishes)) as threads:
        results = [*(threads.submit(strike, fault) for fault in faults), *(threads.submit(fulfil, wish) for wish in wishes)]
        at(order.seconds)
        clients.end()
    for result in results:
        result.result()


def until_ended(clients: Clients) -> None:
    """Returns once no job is to run and all executions have ended, or it takes too long."""
    began = time.monotonic()
    while time.monotonic() < began + ENDED_WITHIN:
        rows = list(clients.rows("/executions"))
        if rows and all(row["status"] in FINAL for row in rows) and not any(job["status"] in TO_COME for job in clients.rows("/jobs")):
            return
        time.sleep(2)


def write_down(clients: Clients, journal: Journal, view: NodesView, fastlane: Installation) -> None:
    """Writes down what stands in the end."""
    for job in clients.rows("/jobs"):
        id = job["id"]
        journal.write("job", job=id, name=job["name"])
        for row in clients.rows(f"/tasks/{TASK}/jobs/{id}/ticks"):
            journal.write("tick", job=id, row=row)
        for row in clients.rows(f"/tasks/{TASK}/jobs/{id}/executions"):
            log = clients.log(f"/tasks/{TASK}/jobs/{id}/executions/{row['executionId']}/stdout")
            journal.write("execution", row=row, log=log)
    left = view.services(fastlane.name)
    began = time.monotonic()
    while left and time.monotonic() < began + GONE_WITHIN:
        time.sleep(1)
        left = view.services(fastlane.name)
    journal.write("left", services=left)


def read(path: Path) -> list[dict[str, Any]]:
    """The record."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def witness_of(folder: Path) -> Witness:
    """What the containers told."""
    starts = [line.split() for line in (folder / "starts").read_text().splitlines()]
    files = {path.name.removeprefix("lines-"): path for path in folder.glob("lines-*")}
    last = {id: round(path.stat().st_mtime * 1000) for id, path in files.items()}
    return Witness([(id, name, int(at) * 1000) for id, name, at in starts], {id: path.read_text() for id, path in files.items()}, last)
