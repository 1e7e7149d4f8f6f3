"""Sends notifications, and notices late jobs. ``Deliverer`` takes due deliveries from the store, sends them through their channels
(webhooks by HTTP, mails by SMTP), and records each outcome. ``Lateness`` finds jobs without an expected success. ``FallbackDeliverer`` does
both in a server while no worker is alive.

A delivery is taken by a lease: its row says until when no other worker takes it. If the worker ends before then, another one sends the
delivery again, under the same id. Only a few deliveries go to one receiver at once, so a slow or dead receiver delays no other. A channel
is called for one attempt, and may be called again for the same one.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from fastlane.calendars import CalendarBook
from fastlane.clock import Clock, end_if_cancelled, first_of
from fastlane.directory import CurrentPools
from fastlane.errors import QueueDown, TransientError, Unreadable
from fastlane.metrics import LATE, RECOVERED, Metrics
from fastlane.models.delivery import (
    FORGOTTEN_AFTER,
    GIVEN_UP,
    MAX_LOST,
    RECEIVER_ID,
    STARTED_EVENT,
    Delivery,
    DeliveryState,
    JobState,
    Kind,
    MailQuota,
    Receiver,
    Reply,
    Subject,
    checked,
    is_notified,
    notices,
    notified,
    quota_id,
    receiver_id,
    succeeded,
)
from fastlane.models.job import Execution, Job
from fastlane.models.notify import FAILURES, Mailbox, NotificationTrigger, TooLong, Webhook, may_mail
from fastlane.models.pool import RESTORED, Pool, pool_for
from fastlane.models.status import Status
from fastlane.notify.port import Mail, MailParts, Notifier, WebhookMessage
from fastlane.queue.port import WorkerReports
from fastlane.scheduler.known_workers import always
from fastlane.storage.base import CalendarStore, DeliveryStore, ExecutionStore, JobStore, LogStore, PoolStore, Store
from fastlane.streams.reader import last_lines

log = structlog.get_logger()

LINES, LINES_BYTES = 20, 8 * 1024
"""The most lines and bytes of a log that a mail quotes, from its end."""
NO_SERVER = "no smtp_host is set where this worker runs"
NOT_ALLOWED = "notify_allow has no such address"
NO_SERVER_TAKES = 1.0


class ChannelStore(DeliveryStore, LogStore, Protocol):
    """The part of the store that channels need."""


class Channel(Protocol):
    """Makes attempts of one kind of delivery."""

    @property
    def deadline(self) -> float:
        """Seconds that the sending takes at most."""

    async def send(self, subject: Subject, delivery: Delivery, now: int) -> Reply:
        """Makes an attempt, which begins now, and returns its outcome. Raises StoreDown."""

    async def close(self) -> None:
        """Ends its connections."""


class WebhookChannel:
    """Posts to webhooks. ``pools`` have the secrets that the messages are signed with."""

    def __init__(self, notifier: Notifier, pools: Sequence[Pool]) -> None:
        self._notifier = notifier
        self._pools = pools

    @property
    def deadline(self) -> float:
        return self._notifier.sender.deadline

    async def send(self, subject: Subject, delivery: Delivery, now: int) -> Reply:
        """The receiver's answer."""
        webhook = delivery.target
        if not isinstance(webhook, Webhook):
            raise TypeError(f"delivery {delivery.id} does not go to a webhook")
        pool = pool_for(self._pools, delivery.task_id)
        secrets = () if pool is None else pool.secrets_for(webhook)
        try:
            body = self._notifier.make_body(subject, delivery)
        except TooLong as error:
            return Reply(None, f"its body {error}", is_final=True)
        return await self._notifier.sender.send(WebhookMessage(delivery.id, webhook.url, webhook.headers, body, secrets, now))

    async def close(self) -> None:
        await self._notifier.sender.close()


class MailChannel:
    """Sends mails, but only a few about the failures of one job: a mail that comes too soon is held back, and the next mail mentions it.
    ``mail``: None without a mail server."""

    def __init__(self, mail: Mail | None, store: ChannelStore) -> None:
        self._mail = mail
        self._store = store

    @property
    def deadline(self) -> float:
        return NO_SERVER_TAKES if self._mail is None else self._mail.sender.deadline

    async def send(self, subject: Subject, delivery: Delivery, now: int) -> Reply:
        """The mail server's answer, or that the mail is held back."""
        mailbox, mail = delivery.target, self._mail
        if not isinstance(mailbox, Mailbox):
            raise TypeError(f"delivery {delivery.id} does not go to a mailbox")
        if mail is None:
            return Reply(None, NO_SERVER)
        if not may_mail(mailbox.address, mail.allowed):
            return Reply(None, NOT_ALLOWED, is_final=True)
        id = quota_id(delivery.job_id, mailbox.key)
        quota = await self._store.mail_quota(id) if mail.interval else None
        is_failure = isinstance(subject, Execution) and subject.status in FAILURES and delivery.event != STARTED_EVENT
        if mail.interval and isinstance(subject, Execution) and is_failure and not delivery.by_hand:
            quota = await self._reserved(id, quota, subject.id, now, mail.interval)
            if quota is None:
                return Reply(None, is_held=True)
        latest = subject if isinstance(subject, Execution) else subject.latest
        parts = MailParts("" if latest is None else await self._end_of_log(latest), quota)
        reply = await mail.sender.send(mail.write(subject, delivery, parts))
        if reply.is_success and quota is not None and quota.held:
            await self._clear_held(quota)
        return reply

    async def close(self) -> None:
        """Has no connection between two mails."""

    async def _reserved(self, id: str, quota: MailQuota | None, execution_id: str, now: int, interval: int) -> MailQuota | None:
        """Takes the quota for this execution, and returns it; None when its mail is held back, which the quota then counts. When several
        workers have mails of one job, one gets the quota."""
        while True:
            if quota is None:
                after = MailQuota(id, execution_id, now)
            elif quota.admits(execution_id, now, interval):
                after = quota if execution_id == quota.execution_id else quota.reporting(execution_id, now)
            else:
                after = quota.holding(execution_id)
            is_taken = after.execution_id == execution_id
            if after is quota or await self._store.write_mail_quota(after):
                await self._store.prune_receivers(now - FORGOTTEN_AFTER)
                return after if is_taken else None
            quota = await self._store.mail_quota(id)

    async def _clear_held(self, reported: MailQuota) -> None:
        """Removes from the quota the mails that were held back as of ``reported``: a mail has listed them."""
        quota: MailQuota | None = reported
        while quota is not None and quota.held and not await self._store.write_mail_quota(quota.without(reported)):
            quota = await self._store.mail_quota(reported.id)

    async def _end_of_log(self, execution: Execution) -> str:
        """The last lines of both streams, in order of arrival."""
        head = await self._store.log_head(execution.id)
        start = max(head.offset - LINES_BYTES, await last_lines(self._store, execution.id, LINES))
        data = b""
        while start + len(data) < head.offset:
            part = await self._store.read_log(execution.id, start + len(data), LINES_BYTES)
            if not part.pieces:
                break
            data += b"".join(piece.data for piece in part.pieces)
        return data[:LINES_BYTES].decode(errors="replace").strip("\r\n")


def channels_of(notifier: Notifier, store: ChannelStore, pools: Sequence[Pool]) -> Mapping[Kind, Channel]:
    """The channels of a worker, by kind."""
    return {Kind.WEBHOOK: WebhookChannel(notifier, pools), Kind.MAIL: MailChannel(notifier.mail, store)}


class CountedChannel:
    """A channel whose attempts are counted."""

    def __init__(self, channel: Channel, kind: Kind, metrics: Metrics) -> None:
        self._channel = channel
        self._kind = kind
        self._metrics = metrics

    @property
    def deadline(self) -> float:
        return self._channel.deadline

    async def send(self, *arguments: Any) -> Reply:
        """Makes an attempt, counts it, and returns its outcome."""
        reply = await self._channel.send(*arguments)
        self._metrics.delivery_tried(self._kind.value, "held" if reply.is_held else "delivered" if reply.is_success else "failed")
        return reply

    async def close(self) -> None:
        await self._channel.close()


def counted(channels: Mapping[Kind, Channel], metrics: Metrics) -> Mapping[Kind, Channel]:
    """The channels, with their attempts counted."""
    return {kind: CountedChannel(channel, kind, metrics) for kind, channel in channels.items()}


LOOK_EVERY = 2.0
"""Seconds between two checks for deliveries that other processes have left."""
AT_ONCE, AT_ONCE_PER_RECEIVER = 128, 4
"""Deliveries of a worker that are on their way at once, in all, and of one pool to one origin. With several pools, one of them has at most
as many as are free."""
SHARES = ((64, 8), (32, 4))
"""Pairs: while more places than the first number are free, one task may have as many deliveries on their way as the second; otherwise 1.
So the hanging receivers of some tasks leave places for the others."""
PAGE = 32
LOOKS = 8
"""Pages that are read in a round, while they have deliveries of tasks, pools or receivers that have their share."""
MOST_OLD = 1_000
"""Receivers of an older version that are forgotten at a start."""
RECORD_WITHIN = 30.0
"""Seconds for which a worker tries to record the outcome of an attempt, before the delivery may be sent again."""
UNREADABLE_BACK_OFF = 60_000
"""Milliseconds after which a delivery about an execution that cannot be read is tried again: a newer fastlane may read it."""
AWAY_BACK_OFF = 30_000
"""Milliseconds after which a delivery is tried again when the store did not answer before it was sent."""
PAUSED = "it is paused, because every attempt has failed for a day; send this again by hand, or wait: one attempt an hour is made"


def share_of(room: int) -> int:
    """How many deliveries of one task may be on their way, by how many places are free."""
    return next((share for above, share in SHARES if room > above), 1)


class DelivererStore(DeliveryStore, JobStore, ExecutionStore, PoolStore, Protocol):
    """The part of the store that a deliverer and the check for late jobs need."""

    @property
    def calendars(self) -> CalendarStore: ...


class Deliverer:
    """The deliveries of one process. ``channels`` write and send them, by kind. ``pools``: what a receiver belongs to. It takes deliveries
    only while ``is_needed``."""

    def __init__(
        self,
        store: DelivererStore,
        channels: Mapping[Kind, Channel],
        clock: Clock,
        pools: Sequence[Pool],
        is_needed: Callable[[], Awaitable[bool]] = always,
    ) -> None:
        self._is_needed = is_needed
        self._calendars = CalendarBook(store.calendars, CurrentPools.of(pools).calendars)
        self._pools = pools
        self._store = store
        self._channels = channels
        self._clock = clock
        self._wake = asyncio.Event()
        self._under_way: Counter[tuple[str, str]] = Counter()  # by pool and origin
        self._of_task: Counter[str] = Counter()
        self._of_pool: Counter[str] = Counter()
        self._chance = random.Random(random.random())  # its own, so that a seed repeats a run whatever is drawn elsewhere meanwhile

    async def add(self, deliveries: Sequence[Delivery]) -> None:
        """Inserts deliveries, which are sent at once. Inserting one again changes nothing."""
        if deliveries:
            await self._store.insert_deliveries(deliveries)
            self._wake.set()

    def wake(self) -> None:
        """Looks again for deliveries that are due."""
        self._wake.set()

    async def run(self) -> None:
        """Sends what is due, forever."""
        for counter in (self._under_way, self._of_task, self._of_pool):
            counter.clear()
        has_dropped = False
        async with asyncio.TaskGroup() as sending:
            while True:
                self._wake.clear()
                try:
                    if await self._is_needed():
                        if not has_dropped:
                            await self._drop_old_receivers()
                            has_dropped = True
                        await self._round(sending)
                except TransientError as error:
                    log.warning("deliveries.waiting", error=str(error))
                await first_of(self._clock, LOOK_EVERY * (0.75 + self._chance.random() / 2), self._wake)

    async def close(self) -> None:
        """Ends the senders' connections."""
        for channel in self._channels.values():
            await channel.close()

    async def _drop_old_receivers(self) -> None:
        """Forgets receivers that an older version noted by their URL alone, which would stay among those that fail for a week."""
        for row in await self._store.failing_receivers(MOST_OLD):
            if len(row.id) < RECEIVER_ID:
                await self._store.drop_receiver(row)

    async def _round(self, sending: asyncio.TaskGroup) -> None:
        """Takes due deliveries that can be sent now. After a store went back to an earlier state, nothing is sent until somebody resumes
        dispatch: deliveries may have been sent since that state."""
        if self._room <= 0:
            return
        full = {origin for (_, origin), count in self._under_way.items() if count >= AT_ONCE_PER_RECEIVER}
        passed = {task_id for task_id, count in self._of_task.items() if count >= share_of(self._room)}
        taken = 0
        for look in range(LOOKS):
            limit = min(self._room, PAGE)
            rows = await self._store.deliveries_due(self._clock.now(), limit, full, passed)
            if rows and look == 0 and (await self._store.paused_pools()).hold == RESTORED:
                return
            for row in rows:
                if self._admits(row):
                    taken += await self._take(row, sending)
                else:
                    passed.add(row.task_id)
            if self._room <= 0:
                return
            if len(rows) < limit:
                if not full or len(self._pools) < 2:
                    return
                full = set()  # other pools may have places at these receivers
        if taken:
            self._wake.set()

    def _admits(self, row: Delivery) -> bool:
        """Whether there is a place for a delivery: for its task, its pool, and its receiver."""
        room, pool = self._room, self._pool_of(row)
        if room <= 0 or self._under_way[pool, row.target.origin] >= AT_ONCE_PER_RECEIVER or self._of_task[row.task_id] >= share_of(room):
            return False
        return len(self._pools) < 2 or self._of_pool[pool] < room

    def _pool_of(self, row: Delivery) -> str:
        pool = pool_for(self._pools, row.task_id)
        return "" if pool is None else pool.name

    @property
    def _room(self) -> int:
        return AT_ONCE - self._under_way.total()

    async def _take(self, row: Delivery, sending: asyncio.TaskGroup) -> bool:
        """Takes a delivery, and sends it; False when another worker has taken it."""
        now = self._clock.now()
        if row.lost >= MAX_LOST:
            reply = Reply(None, GIVEN_UP, is_final=True)
            if await self._store.write_delivery(given_up := row.tried(reply, began=now, now=now)):
                self._log(given_up, reply)
            return True
        taken = row.taken(now + round((self._channels[row.kind].deadline + RECORD_WITHIN) * 1000), now)
        if not await self._store.write_delivery(taken):
            return False
        pool = self._pool_of(taken)
        self._under_way[pool, taken.target.origin] += 1
        self._of_task[taken.task_id] += 1
        self._of_pool[pool] += 1
        sending.create_task(self._send(taken, pool), name=f"delivery {taken.id}")
        return True

    async def _send(self, delivery: Delivery, pool: str) -> None:
        """Sends a delivery that was counted as one of this pool, which settings may have changed since."""
        origin = delivery.target.origin
        try:
            await self._attempt(delivery)
        except (TransientError, TimeoutError) as error:
            words = str(error) or f"the store was away for {RECORD_WITHIN:g} s"
            log.warning("delivery.waiting", delivery_id=delivery.id, receiver=origin, error=words)
        except Exception:
            log.exception("delivery.failed", delivery_id=delivery.id, receiver=origin)
        finally:
            for counter, key in ((self._of_task, delivery.task_id), (self._of_pool, pool)):
                counter[key] -= 1
                if counter[key] <= 0:
                    del counter[key]
            self._under_way[pool, origin] -= 1
            if self._under_way[pool, origin] <= 0:
                del self._under_way[pool, origin]
            self._wake.set()

    async def _attempt(self, delivery: Delivery) -> None:
        """Makes one attempt. Drops the delivery when its execution or its job is gone."""
        began = self._clock.now()
        try:
            subject = await self._subject(delivery)
            if subject is None:
                await self._store.drop_delivery(delivery.id)
                return
            receiver, is_paused = await self._store.receiver(self._receiver_id(delivery)), False
            if receiver is not None and receiver.is_paused and not delivery.by_hand:
                receiver = await self._trial_of(receiver, began)
                is_paused = receiver is None
            if is_paused:
                await self._record(delivery, Reply(None, PAUSED, is_final=True), began)
                return
            reply = await self._channels[delivery.kind].send(subject, delivery, began)
        except Unreadable as error:
            log.warning("delivery.unreadable", delivery_id=delivery.id, error=str(error))
            await self._write(delivery, lambda current: current.postponed(began + UNREADABLE_BACK_OFF))
            return
        except TransientError:
            await self._write(delivery, lambda current: current.postponed(began + AWAY_BACK_OFF))
            raise
        await self._record(delivery, reply, began)
        if not reply.is_held:
            await self._note_receiver(delivery, receiver, reply)

    async def _trial_of(self, receiver: Receiver, now: int) -> Receiver | None:
        """The paused receiver, when an attempt is made all the same; None when it is not time, or another worker makes one."""
        if not receiver.takes(now):
            return None
        after = receiver.failed(receiver.error, now)
        return after if await self._store.write_receiver(after) else None

    def _receiver_id(self, delivery: Delivery) -> str:
        return receiver_id(pool_for(self._pools, delivery.task_id), delivery.target)

    async def _subject(self, delivery: Delivery) -> Subject | None:
        """The execution or job that the delivery is about; None when it is gone."""
        if not delivery.is_of_job:
            return await self._store.execution(delivery.execution_id)
        job = await self._store.job(delivery.job_id)
        return None if job is None else JobState(await self._calendars.job(job), (await self._store.latest([job.id])).get(job.id))

    async def _record(self, delivery: Delivery, reply: Reply, began: int) -> None:
        """Records the outcome of an attempt."""
        after = await self._write(delivery, lambda current: current.tried(reply, began=began, now=self._clock.now()))
        if after is not None:
            self._log(after, reply)

    async def _write(self, delivery: Delivery, change: Callable[[Delivery], Delivery]) -> Delivery | None:
        """Writes the delivery's next version, and returns it; None when it is gone. A change that a person made meanwhile is kept: the row
        is read again."""
        current: Delivery | None = delivery
        async with asyncio.timeout(RECORD_WITHIN):
            while current is not None:
                after = change(current)
                try:
                    if await self._store.write_delivery(after):
                        return after
                    current = await self._store.delivery(delivery.id)
                except TransientError as error:
                    log.warning("delivery.not_recorded", delivery_id=delivery.id, error=str(error))
                    await self._clock.sleep(1.0)
        return None

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
        """Records that a receiver fails, or that it works again. Only one of several workers writes the row."""
        if reply.is_success:
            if seen is not None and await self._store.drop_receiver(seen) and seen.is_paused:
                log.info("receiver.resumed", receiver=seen.origin)
            return
        now, error = self._clock.now(), reply.error or ""
        target = delivery.target
        noted = Receiver(self._receiver_id(delivery), target.origin, now, now, error) if seen is None else seen.failed(error, now)
        if await self._store.write_receiver(noted) and noted.is_paused and not (seen is not None and seen.is_paused):
            log.warning("receiver.paused", receiver=noted.origin, failing_since=noted.failing_since, error=error)
        await self._store.prune_receivers(now - FORGOTTEN_AFTER)


CHECK_EVERY = 2.0
"""Seconds between two looks for jobs whose check is due."""
JOBS_PAGE = 100
SUCCESSES = 100
"""The newest successes of a job among which the one of its latest tick is looked for."""


def due_of(job: Job, success: Execution, now: int) -> int:
    """When the tick of a success was due: one that was run again, or by a backfill, at its own due time. A run in place of a tick that is
    still to come counts as that one."""
    if success.spec.due_at is not None:
        return success.spec.due_at
    last = job.last_tick
    return last if last is not None and last > now else success.scheduled_for


class Lateness:
    """Watches for late jobs: jobs without a success for longer than expected. ``pools`` have the webhooks of jobs that name none.

    The time of a job's check is stored in its row, so any process can notice, whatever happened to the worker that should have run the job:
    another worker or, while no worker is alive, an API server. Each step is a compare-and-set on the job, so only one of several processes
    notifies.
    """

    def __init__(
        self,
        store: DelivererStore,
        clock: Clock,
        pools: Sequence[Pool],
        deliverer: Deliverer,
        is_needed: Callable[[], Awaitable[bool]] = always,
        metrics: Metrics | None = None,
    ) -> None:
        self._calendars = CalendarBook(store.calendars, CurrentPools.of(pools).calendars)
        self._store = store
        self._clock = clock
        self._pools = pools
        self._deliverer = deliverer
        self._is_needed = is_needed
        self._metrics = metrics or Metrics()
        self._chance = random.Random(random.random())  # its own, so that a seed repeats a run whatever is drawn elsewhere meanwhile

    async def run(self) -> None:
        """Looks for jobs that are late, forever."""
        while True:
            try:
                if await self._is_needed():
                    await self.look()
            except TransientError as error:
                log.warning("lateness.waiting", error=str(error))
            await self._clock.sleep(CHECK_EVERY * (0.75 + self._chance.random() / 2))

    async def succeeded(self, execution: Execution) -> None:
        """Records a success of the execution's job; a late job has then recovered. Safe to repeat."""
        at = execution.finished_at
        while at is not None:
            job = await self._store.job(execution.job_id)
            if job is None or not job.spec.is_expected or not execution.belongs_to(job):
                return
            now, job = self._clock.now(), await self._calendars.job(job)
            after = succeeded(job, at, now, due_of(job, execution, now))
            if job.late_since is not None and job.late_since <= at and after.late_since is None:
                if not is_notified(job):  # the process that found it late may have ended before it notified
                    await self._notify(job, NotificationTrigger.LATE, job.late_since)
                await self._notify(job, NotificationTrigger.RECOVERED, at)
            if after == job or await self._store.advance(job, after, (), None):
                if job.late_since is not None and after.late_since is None:
                    self._metrics.lateness_changed(RECOVERED)
                    log.info("job.recovered", task_id=job.task_id, job_id=job.id, execution_id=execution.id)
                return

    async def look(self) -> None:
        """Makes the checks that are due. After a store went back to an earlier state, jobs may seem late that are not: then it waits until
        somebody resumes dispatch."""
        while True:
            rows = await self._store.jobs_to_check(self._clock.now(), JOBS_PAGE)
            if not rows or (await self._store.paused_pools()).hold == RESTORED:
                return
            for job in rows:
                await self._check(job)
            if len(rows) < JOBS_PAGE:
                return

    async def _check(self, job: Job) -> None:
        if job.late_since is None or is_notified(job):
            now, job = self._clock.now(), await self._calendars.job(job)
            last = await self._last_success(job, now)
            after = checked(job, None if last is None else last.finished_at, now, None if last is None else due_of(job, last, now))
            if not await self._store.advance(job, after, (), None) or after.late_since is None:
                return
            self._metrics.lateness_changed(LATE)
            log.warning("job.late", task_id=job.task_id, job_id=job.id, late_since=after.late_since)
            job = after
        if job.late_since is not None:
            await self._notify(job, NotificationTrigger.LATE, job.late_since)
            await self._store.advance(job, notified(job), (), None)

    async def _last_success(self, job: Job, now: int) -> Execution | None:
        """The job's last stored success: an execution may be done and not settled yet. With a ``done_by``, the one of the latest tick:
        older ones may have been run again after it."""
        most = SUCCESSES if job.spec.done_by is not None else 1
        done = await self._store.executions_of(job.id, most, statuses=frozenset({Status.DONE}))
        own = [one for one in done if one.finished_at is not None and one.belongs_to(job)]
        return max(own, key=lambda one: due_of(job, one, now), default=None)

    async def _notify(self, job: Job, trigger: NotificationTrigger, at: int) -> None:
        await self._deliverer.add(notices(job, trigger, self._pools, at, self._clock.now()))


STANDS_IN_AFTER = 30_000
"""Milliseconds without a worker after which a server takes over deliveries: restarting workers takes less time."""


class FallbackDeliverer:
    """Sends deliveries, and notices late jobs, in a server while no worker has been alive for ``after`` milliseconds. Several servers share
    the work: every step is a compare-and-set."""

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
        metrics = metrics or Metrics()
        channels = counted(channels_of(notifier, store, pools), metrics)
        self._deliverer = Deliverer(store, channels, clock, pools, self._is_needed)
        self._lateness = Lateness(store, clock, pools, self._deliverer, self._is_needed, metrics)

    async def run(self) -> None:
        """Does the work of the workers whenever it is needed, forever."""
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
                end_if_cancelled()
            await self._clock.sleep(1.0)

    async def _is_needed(self) -> bool:
        """Whether no worker has been alive for a while. When the queue cannot tell, live workers may do the same work, and one process does
        each step."""
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
