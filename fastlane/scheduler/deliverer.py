"""Sends what is to be sent: takes deliveries that are due from the store, and writes down what each attempt came to.

A delivery is taken by a lease: its row says until when no other worker takes it. When a worker ends in between, another one sends it again
after that, under the same id. Few deliveries go to one receiver at once, so one that is slow or dead delays no other.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from fastlane.clock import Clock, first_of
from fastlane.errors import QueueDown, TransientError, Unreadable
from fastlane.metrics import Metrics
from fastlane.models.delivery import FORGOTTEN_AFTER, Delivery, DeliveryState, JobState, Kind, Receiver, Reply, Subject, receiver_id
from fastlane.models.pool import RESTORED, Pool
from fastlane.notify.port import Notifier
from fastlane.queue.port import WorkerReports
from fastlane.scheduler.channels import Carrier, carriers_of, counted
from fastlane.scheduler.known_workers import always
from fastlane.scheduler.lateness import Lateness
from fastlane.storage.base import DeliveryStore, ExecutionStore, JobStore, PoolStore, Store

log = structlog.get_logger()

LOOK_EVERY = 2.0
"""Seconds between two looks for deliveries that other processes have left."""
AT_ONCE, AT_ONCE_PER_RECEIVER = 128, 4
"""Deliveries of a worker that are on their way at once, in all and to one receiver."""
PAGE = 32
RECORD_WITHIN = 30.0
"""Seconds for which a worker tries to write down what an attempt came to, before the delivery may be sent again."""
UNREADABLE_BACK_OFF = 60_000
"""Milliseconds after which a delivery about an execution that cannot be read is tried again: a newer fastlane may read it."""
PAUSED = "it is paused, because every attempt has failed for a day; send this again by hand, or wait: one attempt an hour is made"


class DelivererStore(DeliveryStore, JobStore, ExecutionStore, PoolStore, Protocol):
    """What a deliverer needs of the store."""


class Deliverer:
    """The deliveries of one process. ``carriers`` write and send them, by kind. It takes some while ``is_needed``."""

    def __init__(
        self,
        store: DelivererStore,
        carriers: Mapping[Kind, Carrier],
        clock: Clock,
        is_needed: Callable[[], Awaitable[bool]] = always,
    ) -> None:
        self._is_needed = is_needed
        self._store = store
        self._carriers = carriers
        self._clock = clock
        self._wake = asyncio.Event()
        self._under_way: Counter[str] = Counter()
        self._chance = random.Random(random.random())  # its own, so that a seed repeats a run whatever is drawn elsewhere meanwhile

    def wake(self) -> None:
        """Tells it that there is something to send."""
        self._wake.set()

    async def run(self) -> None:
        """Sends what is due, forever."""
        self._under_way.clear()
        async with asyncio.TaskGroup() as sending:
            while True:
                self._wake.clear()
                try:
                    if await self._is_needed():
                        await self._round(sending)
                except TransientError as error:
                    log.warning("deliveries.waiting", error=str(error))
                await first_of(self._clock, LOOK_EVERY * (0.75 + self._chance.random() / 2), self._wake)

    async def close(self) -> None:
        """Ends the senders' connections."""
        for carrier in self._carriers.values():
            await carrier.close()

    async def _round(self, sending: asyncio.TaskGroup) -> None:
        """Takes what is due and can be sent now. When a store went back to an earlier state, nothing is sent until somebody resumes
        dispatch: it may have been sent since."""
        room = AT_ONCE - self._under_way.total()
        if room <= 0:
            return
        full = {origin for origin, count in self._under_way.items() if count >= AT_ONCE_PER_RECEIVER}
        rows = await self._store.deliveries_due(self._clock.now(), min(room, PAGE), full)
        if rows and (await self._store.paused_pools()).hold == RESTORED:
            return
        for row in rows:
            if self._under_way[row.target.origin] < AT_ONCE_PER_RECEIVER:
                await self._take(row, sending)
        if len(rows) == PAGE:
            self._wake.set()

    async def _take(self, row: Delivery, sending: asyncio.TaskGroup) -> None:
        lease = self._clock.now() + round((self._carriers[row.kind].deadline + RECORD_WITHIN) * 1000)
        taken = row.taken(lease)
        if await self._store.write_delivery(taken):
            self._under_way[taken.target.origin] += 1
            sending.create_task(self._send(taken), name=f"delivery {taken.id}")

    async def _send(self, delivery: Delivery) -> None:
        origin = delivery.target.origin
        try:
            await self._attempt(delivery)
        except (TransientError, TimeoutError) as error:
            words = str(error) or f"the store was away for {RECORD_WITHIN:g} s"
            log.warning("delivery.waiting", delivery_id=delivery.id, receiver=origin, error=words)
        except Exception:
            log.exception("delivery.failed", delivery_id=delivery.id, receiver=origin)
        finally:
            self._under_way[origin] -= 1
            if self._under_way[origin] <= 0:
                del self._under_way[origin]
            self._wake.set()

    async def _attempt(self, delivery: Delivery) -> None:
        """Makes one attempt. When its execution or its job is gone, so is the delivery."""
        try:
            subject = await self._subject(delivery)
        except Unreadable as error:
            log.warning("delivery.unreadable", delivery_id=delivery.id, error=str(error))
            await self._store.write_delivery(delivery.taken(self._clock.now() + UNREADABLE_BACK_OFF))
            return
        if subject is None:
            await self._store.drop_delivery(delivery.id)
            return
        began = self._clock.now()
        receiver = await self._store.receiver(receiver_id(delivery.target.url))
        if receiver is not None and not delivery.by_hand and not receiver.takes(began):
            await self._record(delivery, Reply(None, PAUSED, is_final=True), began)
            return
        reply = await self._carriers[delivery.kind].carry(subject, delivery, began)
        await self._record(delivery, reply, began)
        if not reply.is_held:
            await self._note_receiver(delivery, receiver, reply)

    async def _subject(self, delivery: Delivery) -> Subject | None:
        """What it tells of; None when that is gone."""
        if not delivery.is_of_job:
            return await self._store.execution(delivery.execution_id)
        job = await self._store.job(delivery.job_id)
        return None if job is None else JobState(job, (await self._store.latest([job.id])).get(job.id))

    async def _record(self, delivery: Delivery, reply: Reply, began: int) -> None:
        """Writes down what an attempt came to. What a person asked for meanwhile stays: the row is read again."""
        current: Delivery | None = delivery
        async with asyncio.timeout(RECORD_WITHIN):
            while current is not None:
                after = current.tried(reply, began=began, now=self._clock.now())
                try:
                    if await self._store.write_delivery(after):
                        self._log(after, reply)
                        return
                    current = await self._store.delivery(delivery.id)
                except TransientError as error:
                    log.warning("delivery.not_recorded", delivery_id=delivery.id, error=str(error))
                    await self._clock.sleep(1.0)

    def _log(self, after: Delivery, reply: Reply) -> None:
        ids = {"task_id": after.task_id, "job_id": after.job_id, "execution_id": after.execution_id, "delivery_id": after.id}
        if reply.is_success:
            log.debug("delivery.delivered", receiver=after.target.origin, **ids)
            return
        if reply.is_held:
            log.debug("delivery.held", receiver=after.target.origin, **ids)
            return
        log_it = log.warning if after.state is DeliveryState.FAILED else log.info
        log_it("delivery.attempt_failed", receiver=after.target.origin, state=after.state.value, error=reply.error, **ids)

    async def _note_receiver(self, delivery: Delivery, seen: Receiver | None, reply: Reply) -> None:
        """Notes that a receiver fails, or that it does no longer. Of several workers one wins; the others need not."""
        if reply.is_success:
            if seen is not None and await self._store.drop_receiver(seen) and seen.is_paused:
                log.info("receiver.resumed", receiver=seen.origin)
            return
        now, error = self._clock.now(), reply.error or ""
        target = delivery.target
        noted = Receiver(receiver_id(target.url), target.origin, now, now, error) if seen is None else seen.failed(error, now)
        if await self._store.write_receiver(noted) and noted.is_paused and not (seen is not None and seen.is_paused):
            log.warning("receiver.paused", receiver=noted.origin, failing_since=noted.failing_since, error=error)
        await self._store.prune_receivers(now - FORGOTTEN_AFTER)


STANDS_IN_AFTER = 30_000
"""Milliseconds without a worker after which a server stands in: workers are restarted in less."""


class StandIn:
    """Stands in for workers, ``after`` that many milliseconds without one. Of several servers, each takes what the others have not: every
    step is a compare-and-set."""

    def __init__(
        self,
        store: Store,
        reports: WorkerReports,
        notifier: Notifier,
        clock: Clock,
        pools: Sequence[Pool],
        after: int = STANDS_IN_AFTER,
        metrics: Metrics | None = None,
    ) -> None:
        self._reports = reports
        self._clock = clock
        self._after = after
        self._last_worker = clock.now()
        self._stands_in = False
        carriers = counted(carriers_of(notifier, store, pools), (metrics or Metrics()).delivery_tried)
        self._deliverer = Deliverer(store, carriers, clock, self._is_needed)
        self._lateness = Lateness(store, clock, pools, self._deliverer.wake, self._is_needed)

    async def run(self) -> None:
        """Stands in when it is needed, forever."""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._repeat(self._deliverer))
                loops.create_task(self._repeat(self._lateness))
        finally:
            await self._deliverer.close()

    async def _repeat(self, part: Deliverer | Lateness) -> None:
        while True:
            try:
                await part.run()
            except Exception:
                log.exception("stand_in.failed")
            await self._clock.sleep(1.0)

    async def _is_needed(self) -> bool:
        """Whether no worker has been alive for a while. When the queue cannot say, workers that are alive do the same work, and each step
        is done by one."""
        now = self._clock.now()
        try:
            if await self._reports.current():
                self._last_worker = now
        except QueueDown:
            log.debug("stand_in.workers_unknown")
        needed = now - self._last_worker >= self._after
        if needed is not self._stands_in:
            self._stands_in = needed
            log.info("stand_in.began" if needed else "stand_in.ended")
        return needed
