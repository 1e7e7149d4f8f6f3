"""A Redis that loses one of the queue's keys while jobs wait and run, or that may: no job is lost, and none runs twice."""

from collections import Counter
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from fastlane import app
from fastlane.errors import QueueUnfit
from fastlane.models.status import Status
from fastlane.queue.port import TICKS, AuditPage
from fastlane.queue.redis.queue import RedisGeneration
from fastlane.scheduler import rebuilder
from fastlane.scheduler.rebuilder import Rebuilder
from fastlane.storage.base import Generation
from tests.support.audits import audited
from tests.support.clock import FakeClock
from tests.support.clocked_queue import clocked_queues
from tests.support.defaults import ports_of
from tests.support.factories import NOW, make_entry
from tests.support.fastlane import POOLS, Fastlane
from tests.support.redis import RealRedis
from tests.support.relay import Relay

FULL = tuple(replace(pool, max_running=1 if pool.name == "default" else 5) for pool in POOLS)
HOUR = 3_600_000
KEYS = (
    *("entries", "leases", "lanes", "groups", "blocked", "waiting:fast", f"timed:{TICKS}"),
    *("timed:fast", "ready:default", "expiries:default", "slots:fast", "slots:default"),
)
"""The slots come last: until they are repaired, more may start."""


async def test_a_lost_key_is_repaired_within_a_round(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, pools=FULL, workers=2) as crew:
        held = [await crew.submit("hold", task=task, concurrency=1) for task in ("fast-g", "full")]
        running = [await crew.reaches(job, "running") for job in held]
        waiting = [await crew.submit("exit", "0", task="fast-g", concurrency=1)]
        waiting += [await crew.submit("exit", "0", task="full-too", expires_in=HOUR) for _ in range(3)]
        later = await crew.submit(at=crew.clock.now() + HOUR)
        failed = await crew.submit("exit", "1", task="fast-again", retries=1, retry_delay=HOUR)
        await crew.reaches(failed, "enqueued")
        for name in KEYS:
            await lose(crew, shared_redis, name)
        for execution in running:
            crew.executor.release(execution.id)
        for job in (*held, *waiting):
            assert (await crew.cleaned(job)).status is Status.DONE
        for job in (later, failed):
            await crew.services.stops.stop_job(job.task_id, job.job_id)
        await crew.idle()
        assert set(Counter(crew.executor.starts).values()) == {1}
        assert len(crew.executor.starts) == len(held) + len(waiting) + 1
        assert await audited(crew.queue, str((await crew.store.generation()).number)) is None


async def lose(crew: Fastlane, redis: RealRedis, name: str) -> None:
    """Deletes the key once it is there, and returns once the queue has been rebuilt."""
    key = f"{{fl:{crew.installation}:v1}}:{name}"
    number = (await crew.store.generation()).number

    async def is_there() -> bool:
        with redis.client() as client:
            return bool(client.exists(key))

    async def is_rebuilt() -> bool:
        stored = await crew.store.generation()
        return stored.number > number and stored.builder is None

    await crew.until(is_there, f"the key {name}")
    with redis.client() as client:
        client.delete(key)
    await crew.until(is_rebuilt, f"the queue to be rebuilt without {name}")


@pytest.mark.parametrize("role", ["api", "worker"])
async def test_no_process_starts_on_a_redis_that_evicts(tmp_path: Path, role: str) -> None:
    with RealRedis("--maxmemory-policy", "allkeys-lru") as redis:
        settings = Fastlane(tmp_path, redis.url).settings
        with pytest.raises(QueueUnfit, match="set it to noeviction"):
            async with app.running(role, settings):
                raise AssertionError("it started")


async def test_a_redis_that_was_away_at_the_start_and_evicts_is_not_used(tmp_path: Path) -> None:
    evicting = RealRedis("--maxmemory-policy", "volatile-lru")
    async with Fastlane(tmp_path, evicting.url) as crew:
        await crew.hire()
        with evicting:
            await crew.until(lambda: answers(crew), "Redis to answer")
            job = await crew.submit("exit", "0")
            assert (await crew.store.generation()).number == 0
            with evicting.client() as client:
                client.config_set("maxmemory-policy", "noeviction")
            assert (await crew.cleaned(job)).status is Status.DONE
            await crew.dismiss()


async def test_a_redis_with_the_queue_that_was_out_of_reach_at_the_start_and_evicts_is_not_used(
    own_redis: RealRedis, tmp_path: Path
) -> None:
    async with Relay(f"{own_redis.url}-relay", own_redis.url) as relay, Fastlane(tmp_path, str(relay.place), workers=1) as crew:
        await crew.dismiss()
        await relay.stop()
        with capture_logs() as logs:
            await crew.hire()
            with own_redis.client() as client:
                client.config_set("maxmemory-policy", "allkeys-lru")
            await relay.start()
            await crew.until(lambda: is_refused(logs), "the worker to refuse it")
        await crew.until(lambda: answers(crew), "Redis to answer")
        job = await crew.submit("exit", "0")
        with own_redis.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
        assert (await crew.cleaned(job)).status is Status.DONE


async def is_refused(logs: list[MutableMapping[str, Any]]) -> bool:
    """Whether a worker waits for a Redis that does not evict."""
    return any(line["event"] == "dispatcher.waiting" and "set it to noeviction" in line["error"] for line in logs)


async def answers(crew: Fastlane) -> bool:
    """Whether the queue answers the api."""
    return (await crew.get("/healthcheck")).json["redis"] is True


async def test_each_audit_looks_at_all_that_is_leased_and_goes_on_with_what_waits(
    shared_redis: RealRedis, installation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much waits, the loss of a lease or a slot is found within a round."""
    monkeypatch.setattr(rebuilder, "AUDIT_PAGES", 2)
    asked = list[str | None]()

    async def audit(self: RedisGeneration, generation: str, page: str | None = None) -> AuditPage:
        asked.append(page)
        return await plain(self, generation, page)

    plain = RedisGeneration.audit
    monkeypatch.setattr(RedisGeneration, "audit", audit)
    async with clocked_queues(shared_redis.url, installation, 1) as (queue,):
        await queue.generation.set_generation("0")
        await queue.put([make_entry(f"later-{number}", NOW + HOUR, TICKS) for number in range(2_000)])
        auditor = Rebuilder(ports_of(StoreWithoutQueue(), queue, FakeClock(), pools=POOLS, owner="auditor"))
        rounds = []
        for _ in range(8):
            asked.clear()
            await auditor.audit()
            rounds.append(list(asked))
    assert [pages[0] for pages in rounds] == [None] * 8
    walked = [page for pages in rounds for page in pages[1:]]
    assert set(Counter(walked[:6]).values()) == {1}
    assert rounds[0][1] in walked[6:]  # it begins anew


class StoreWithoutQueue:
    """A store that has not worked with a queue yet."""

    async def generation(self) -> Generation:
        return Generation(0, "", None, 0)
