"""One swarm of three managers, all of them hosts of one pool: jobs run on whatever node, whichever manager is asked, and whatever happens
to a node, a manager, a worker or a neighbour. Starts are counted outside of Docker."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fastlane.clock import SystemClock
from fastlane.executors.port import Order, Phase
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.executors.swarm.logs import LogReader
from fastlane.models.container import Container
from fastlane.models.host import Endpoint, Refusals
from fastlane.models.log import Portion
from fastlane.models.pool import KnownHost, Pool, Pull
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler import cleaner
from fastlane.scheduler.cleaner import Leftovers
from fastlane.storage.sqlite.store import SqliteStore
from tests.integration.outages import EngineEvents
from tests.integration.scripted_jobs import HALF, lines, scripted_jobs
from tests.support.defaults import default_executor, ports_of
from tests.support.engine import first_probes, open_probed, task_in
from tests.support.engine_views import LABEL
from tests.support.nodes import availability, docker_command, image_of
from tests.support.redis import RealRedis
from tests.support.swarms import Node, Swarms
from tests.support.waiting import wait_until


@pytest.fixture
def image(three_managers: Swarms) -> Iterator[str]:
    with image_of(three_managers) as reference:
        yield reference


@contextlib.contextmanager
def witnesses(bed: Swarms, folder: Path) -> Iterator[dict[str, EngineEvents]]:
    """By its node's name, who sees what starts there."""
    with contextlib.ExitStack() as stack:
        yield {node.name: stack.enter_context(EngineEvents(node.url, folder / f"starts-{node.name}")) for node in bed.nodes}


def node_of(bed: Swarms, host: str) -> str:
    """The name of the node that a host is."""
    return next(node.name for node in bed.nodes if host in (node.tcp, node.url))


@pytest.mark.thorough
def test_thirty_jobs_run_once_each_wherever_they_are_put_though_their_worker_is_killed(
    three_managers: Swarms, image: str, tmp_path: Path
) -> None:
    with (
        RealRedis() as redis,
        witnesses(three_managers, tmp_path) as seen,
        scripted_jobs(tmp_path / "f", three_managers, image, redis=redis.url, listen="127.0.0.1") as work,
    ):
        work.fastlane.serve("api")
        first = work.fastlane.start("worker")
        work.fastlane.until_healthy()
        nodes = [three_managers.nodes[number // 8].name if number < 24 else None for number in range(30)]
        jobs = [work.waits(number % 3, node=node) for number, node in enumerate(nodes[::4])]
        work.begun(*jobs)
        jobs += [work.counts(200, number % 3, node=nodes[number]) for number in range(30) if number % 4]
        first.kill()
        first.wait()
        work.let_go(*jobs[:4])
        work.fastlane.start("worker")
        for job in jobs[:4]:
            work.check_whole(job)
        work.let_go(*jobs)
        ended = [work.check_whole(job) for job in jobs]
        places = [[name for name, witness in seen.items() if witness.starts(row["executionId"])] for row in ended]
        assert all(len(place) == 1 for place in places)
        assert all(place == [job.node] for job, place in zip(jobs, places, strict=True) if job.node)
        through_others = [row for row, place in zip(ended, places, strict=True) if node_of(three_managers, row["host"]) not in place]
        assert through_others, "no job was placed through another manager than its node's own"
        assert all(len(work.attempts(job)) == 1 for job in jobs)
        work.check_nothing_left()


@pytest.mark.thorough
def test_two_installations_and_strangers_on_one_swarm_leave_each_other_alone(three_managers: Swarms, image: str, tmp_path: Path) -> None:
    with scripted_jobs(tmp_path / "a", three_managers, image) as one, scripted_jobs(tmp_path / "b", three_managers, image) as two:
        strangers = foreign_services(three_managers.nodes[0], one.fastlane.name, image)
        ours = [one.waits(), one.waits(3), *(one.counts(20) for _ in range(3))]
        theirs = [two.waits(), two.waits(3), *(two.counts(20) for _ in range(3))]
        for work, jobs in ((one, ours), (two, theirs)):
            work.begun(*jobs[:2])
            for job in jobs[2:]:
                work.check_whole(job)
        one.let_go(*ours)
        for job in ours:
            one.check_whole(job)
        wait_until(lambda: not one.fastlane.services(), "the services of one to go")
        assert [row["status"] for job in theirs[:2] for row in two.attempts(job)] == ["running", "running"]
        one.fastlane.end()
        two.let_go(*theirs)
        for job in theirs:
            two.check_whole(job)
        wait_until(lambda: not two.fastlane.services(), "the services of the other to go")
        left = docker_command(three_managers.nodes[1], "service", "ls", "--format", "{{.Name}}").split()
        assert sorted(left) == sorted(strangers)


def foreign_services(node: Node, name: str, image: str) -> list[str]:
    """Services that look like ours and are not, some parked and some not; their names."""
    names = []
    for label in (f"{LABEL}={name}-2", f"{LABEL}={name.upper()}", f"{LABEL}=", "fastlane.execution=x", "other=1"):
        for replicas in ("0", "1"):
            names.append(f"fastlane-{uuid4()}-1")
            options = ["--name", names[-1], "--label", label, "--replicas", replicas, "--restart-condition", "none"]
            docker_command(node, "service", "create", "-d", *options, image, "sh", "-c", "trap exit TERM; while :; do sleep 0.1; done")
    return names


async def test_a_cleaner_to_whom_nothing_is_known_removes_only_its_own_installations_services(
    three_managers: Swarms, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst that a reconciler could do: its store is empty, and nothing is too young to be removed."""
    monkeypatch.setattr(cleaner, "UNKNOWN_AFTER", -1)
    clock, hosts = SystemClock(), [node.url for node in three_managers.nodes]
    store = SqliteStore(tmp_path / "empty.db")
    with RealRedis() as redis:
        ours, theirs = default_executor(hosts, "install"), default_executor(hosts, "install-2")
        queue = RedisQueue(redis.url, "install")
        async with contextlib.AsyncExitStack() as stack:
            for part in (store, queue, ours, theirs):
                await part.open()
                stack.push_async_callback(part.close)
            await asyncio.gather(first_probes(ours), first_probes(theirs))
            kept = set(foreign_services(three_managers.nodes[2], "install", image))
            for executor in (ours, theirs):
                made = Order(str(uuid4()), "t", "j", 1, 1, 0, ("true",), {})
                await executor.park(hosts[0], made, await executor.resolve(hosts[1], image, Pull.MISSING))
            assert len(await theirs.services(hosts[2])) == 3  # two of them are strangers with the very label
            rows = [row["Spec"] for row in list_services(three_managers.nodes[0])]
            kept |= {row["Name"] for row in rows if row["Labels"].get(LABEL) == "install-2"}
            await Leftovers(ports_of(store, queue, clock, executor=ours, pools=(Pool("default", "", tuple(hosts)),))).remove_leftovers()
            assert {row["Spec"]["Name"] for row in list_services(three_managers.nodes[1])} == kept


def list_services(node: Node) -> list[dict[str, Any]]:
    """All services of its swarm."""
    with contextlib.closing(node.client()) as client:
        rows: list[dict[str, Any]] = client.services()
        return rows


@pytest.mark.thorough
def test_jobs_of_a_drained_node_say_so_and_are_tried_again_elsewhere(three_managers: Swarms, image: str, tmp_path: Path) -> None:
    drained = three_managers.nodes[1]
    with witnesses(three_managers, tmp_path) as seen, scripted_jobs(tmp_path / "f", three_managers, image) as work:
        once = work.waits(node=drained.name)
        jobs = [work.waits(retries=1, retryDelay="1s") for _ in range(5)]
        work.begun(once, *jobs)
        lost = [job for job in jobs if seen[drained.name].starts(job.reply["executionId"])]
        assert lost, "Swarm put none of six jobs there"
        with availability(drained, "drain"):
            for job in (once, *lost):
                first = wait_until(
                    lambda job=job: next(iter(row for row in work.attempts(job) if row["status"] == "failed"), None), "its end"
                )
                assert (first["failure"]["reason"], first["exitCode"]) == ("killed", 143)
                assert "drained" in first["failure"]["message"]
                assert work.fastlane.get(f"{job.path}/executions/{first['executionId']}/stdout").body == lines("out", HALF)
            again = [work.fastlane.reaches(job.reply, "running") for job in lost]
            assert all(row["attempt"] == 2 for row in again)
            more = [work.counts(20) for _ in range(6)]
            work.let_go(*jobs)
            ended = [work.check_whole(job) for job in (*jobs, *more)]
            assert len(work.attempts(once)) == 1
            assert not any(seen[drained.name].starts(row["executionId"]) for row in ended)
            work.check_none_twice(once, *jobs, *more)
            work.check_nothing_left()


async def test_a_log_is_read_from_the_node_that_has_it_where_that_is_a_host_and_else_through_the_swarm(
    three_managers: Swarms, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (node.url for node in three_managers.nodes)
    asked: dict[str, list[tuple[str, bool]]] = {first: [], third: []}
    plain = LogReader.open

    async def noted(reader: LogReader, *arguments: Any, **named: Any) -> Any:
        asked[CALLER.get()].append((reader._host, named["container"] is not None))
        return await plain(reader, *arguments, **named)

    monkeypatch.setattr(LogReader, "open", noted)
    await asyncio.gather(check_log(first, [first, second], image), check_log(third, [third], image))
    assert asked == {first: [(second, True)] * 2, third: [(third, False)] * 2}


CALLER: ContextVar[str] = ContextVar("caller")


async def check_log(host: str, hosts: list[str], image: str) -> None:
    """A job of the second node is followed, and read at its end, by an executor that asks this host, and knows these."""
    CALLER.set(host)
    executor = default_executor(hosts, f"logs-{uuid4().hex[:8]}")
    await open_probed(executor)
    try:
        script = "i=0; while [ $i -lt 300 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; sleep 1; echo last; sleep 1"
        order = Order(str(uuid4()), "t", "j", 1, 1, 0, ("sh", "-c", script), {}, container=Container(constraints=("node.hostname==node2",)))
        service = await executor.park(host, order, await executor.resolve(host, image, Pull.MISSING))
        await executor.activate(host, service)
        task = await seen(executor, host, service, Phase.RUNNING)
        async with contextlib.aclosing(executor.logs(host, task, {}, follow=True)) as follow, asyncio.timeout(60):
            live = b""
            while not live.endswith(b"last\n"):
                live += text(await anext(follow))
            await seen(executor, host, service, Phase.ENDED)
            with pytest.raises(TimeoutError):  # its end is for others to see
                await asyncio.wait_for(anext(follow), 1)
        whole = b"".join([text(portion) async for portion in executor.logs(host, task, {}, follow=False)])
        assert sorted(live.splitlines()) == sorted(whole.splitlines())
        assert sorted(whole.splitlines(keepends=True)) == sorted(
            (lines("out", 300) + lines("err", 300) + b"last\n").splitlines(keepends=True)
        )
        await executor.remove(host, service)
    finally:
        await executor.close()


async def seen(executor: SwarmExecutor, host: str, service: str, phase: Phase) -> str:
    """The id of the service's task, once it is in this phase."""
    return (await task_in(phase, executor, host, service)).id


def text(portion: Portion) -> bytes:
    """Its bytes."""
    return b"".join(piece.data for piece in portion.pieces)


@pytest.mark.thorough
@pytest.mark.parametrize("why", ["short of disk", "drained"])
async def test_nothing_new_comes_to_a_node_that_is_closed_whichever_manager_is_asked(three_managers: Swarms, image: str, why: str) -> None:
    hosts = [Endpoint(node.url) for node in three_managers.nodes]
    full = three_managers.nodes[1]
    executor = default_executor(hosts, f"full-{uuid4().hex[:8]}")
    await open_probed(executor)
    try:
        now = SystemClock().now()
        engine = docker_command(full, "info", "--format", "{{.ID}}").strip()
        closed = (
            KnownHost(Endpoint(full.url), None, Refusals(now, now))
            if why != "drained"
            else KnownHost(Endpoint(full.url), drained=frozenset({engine}))
        )
        await executor.use_hosts([closed if host.address == full.url else KnownHost(host) for host in hosts])
        views = {view.name: view for view in executor.hosts()}
        if why != "drained":  # a worker itself gives a drained host no work
            assert [name for name, view in views.items() if not view.is_open] == [full.url]
            assert "is short of disk" in (views[full.url].closed or "")
        nodes = views[full.url].members
        assert [node.name for node in nodes] == sorted(node.name for node in three_managers.nodes)
        assert all(node.state == "ready" and node.takes_work and node.cpus and node.memory for node in nodes)
        placed, parked = set(), []
        for number in range(6):  # while they run and nothing else does, a swarm gives each node two
            asked = hosts[number % 3].address
            order = Order(str(uuid4()), "task", "job", 1, 1, 0, ("sleep", "60"), {})
            parked.append((asked, await executor.park(asked, order, await executor.resolve(asked, image, Pull.MISSING))))
            await executor.activate(*parked[-1])
            placed.add((await task_in(Phase.RUNNING, executor, *parked[-1])).node_id)
        assert len(placed) == 2
        assert docker_command(full, "info", "--format", "{{.Swarm.NodeID}}").strip() not in placed
        for asked, service in parked:
            await executor.remove(asked, service)
    finally:
        await executor.close()
