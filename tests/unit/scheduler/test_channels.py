"""The channel of mails on a real store: which mails are held back, what the next one says, and what a repeat changes: nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.models.delivery import Delivery, EndFacts, Reply, deliveries_of, quota_id
from fastlane.models.job import Execution
from fastlane.models.log import Head, Piece
from fastlane.models.notify import Mailbox, NotificationTrigger, Webhook
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from fastlane.notify.port import Mail, MailMessage, MailParts, Notifier
from fastlane.notify.webhooks import WebhookSender
from fastlane.scheduler.deliverer import LINES_BYTES, NO_SERVER, MailChannel, WebhookChannel
from fastlane.storage.base import Store
from fastlane.storage.sqlite.store import SqliteStore
from fastlane.web.api.webhook_payload import body_writer, payload_maker
from tests.support.factories import chunk, make_execution, make_spec
from tests.support.receiver import receiving

HOUR = 3_600_000
TEAM = "team@example.com"
SPEC = make_spec(notify=(Mailbox(NotificationTrigger.FINISHES, TEAM),))


class Outbox:
    """A sender that keeps messages, and answers as the test says."""

    deadline = 1.0

    def __init__(self) -> None:
        self.reply = Reply(250)
        self.told: list[int] = []
        self.lines: list[str] = []

    async def send(self, message: MailMessage) -> Reply:
        return self.reply

    def write(self, execution: Execution, delivery: Delivery, parts: MailParts) -> MailMessage:
        self.told.append(0 if parts.quota is None else parts.quota.held)
        self.lines.append(parts.lines)
        return MailMessage(delivery.id, execution.job_id, TEAM, "", "", "", 0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


def failed(id: str, status: Status = Status.FAILED) -> tuple[Execution, Delivery]:
    execution = make_execution(id=id, status=status, spec=SPEC)
    (delivery,) = deliveries_of(execution, (), EndFacts(), now=0)
    return execution, delivery


def channel(store: Store, outbox: Outbox, interval: int = HOUR, allowed: tuple[str, ...] = ("*",)) -> MailChannel:
    return MailChannel(Mail(outbox.write, outbox, interval, allowed), store)


async def test_an_address_that_may_get_no_mail_any_more_gets_none_and_uses_no_quota(store: Store) -> None:
    outbox = Outbox()
    execution, delivery = failed("00000000-0000-7000-8000-000000000001")
    reply = await channel(store, outbox, allowed=("example.org",)).send(execution, delivery, 1_000)
    assert reply == Reply(None, "notify_allow has no such address", is_final=True)
    assert outbox.told == []
    assert await store.mail_quota(quota_id(execution.job_id, TEAM)) is None


async def test_one_an_hour_and_a_repeat_after_a_crash_counts_once(store: Store) -> None:
    outbox = Outbox()
    mails = channel(store, outbox)
    ids = [f"00000000-0000-7000-8000-00000000000{number}" for number in range(4)]
    first, second, third, last = map(failed, ids)
    assert await mails.send(*first, 1_000) == Reply(250)
    assert await mails.send(*first, 2_000) == Reply(250)  # its row was not written before the crash
    for now in (3_000, 4_000):
        assert (await mails.send(*second, now)).is_held
    assert (await mails.send(*third, 1_000 + HOUR - 1)).is_held
    assert await mails.send(*last, 1_000 + HOUR) == Reply(250)
    assert outbox.told == [0, 0, 2]
    quota = await store.mail_quota(quota_id(first[0].job_id, TEAM))
    assert quota is not None
    assert (quota.execution_id, quota.held, quota.held_ids) == (ids[3], 0, ())


async def test_of_two_workers_with_mails_of_one_job_one_sends(store: Store) -> None:
    outboxes = [Outbox(), Outbox()]
    rows = [failed(f"00000000-0000-7000-8000-00000000000{number}") for number in range(2)]
    replies = await asyncio.gather(*(channel(store, outbox).send(*row, 5) for outbox, row in zip(outboxes, rows, strict=True)))
    assert sorted(reply.is_held for reply in replies) == [False, True]
    assert sum(len(outbox.told) for outbox in outboxes) == 1


async def test_what_was_held_back_stays_so_until_a_mail_that_tells_it_was_taken(store: Store) -> None:
    outbox = Outbox()
    mails = channel(store, outbox)
    first, second, third = (failed(f"00000000-0000-7000-8000-00000000000{number}") for number in range(3))
    await mails.send(*first, 0)
    await mails.send(*second, 1)
    outbox.reply = Reply(451, "not now")
    assert await mails.send(*third, HOUR) == outbox.reply
    outbox.reply = Reply(250)
    assert await mails.send(*third, HOUR + 9) == outbox.reply
    done = failed("00000000-0000-7000-8000-00000000000f", Status.DONE)
    assert await mails.send(*done, HOUR + 10) == outbox.reply
    assert outbox.told == [0, 1, 1, 0]


async def test_what_is_asked_for_by_hand_and_what_is_no_failure_is_never_held_back(store: Store) -> None:
    outbox = Outbox()
    mails = channel(store, outbox)
    await mails.send(*failed("00000000-0000-7000-8000-000000000000"), 0)
    execution, delivery = failed("00000000-0000-7000-8000-000000000001")
    assert not (await mails.send(execution, replace(delivery, by_hand=True), 1)).is_held
    for status in (Status.DONE, Status.STOPPED):
        assert not (await mails.send(*failed("00000000-0000-7000-8000-000000000002", status), 1)).is_held
    everything = channel(store, outbox, interval=0)
    assert not (await everything.send(*failed("00000000-0000-7000-8000-000000000003"), 1)).is_held


async def test_a_mail_quotes_the_end_of_the_log_however_long_its_lines_are(store: Store) -> None:
    outbox = Outbox()
    execution, delivery = failed("00000000-0000-7000-8000-000000000001", Status.DONE)
    log = b"first\n" + b"x" * 300_000 + b"\nlast\n"
    await store.append(chunk(execution.id, Head(), [Piece(1, 1, log)]))
    await channel(store, outbox).send(execution, delivery, 0)
    assert outbox.lines[0].endswith("xx\nlast")
    assert len(outbox.lines[0]) <= LINES_BYTES
    other, its = failed("00000000-0000-7000-8000-000000000002", Status.DONE)
    await store.append(chunk(other.id, Head(), [Piece(1 + number % 2, number, b"%d\n" % number) for number in range(100)]))
    await channel(store, outbox).send(other, its, 0)
    assert outbox.lines[1].split("\n") == [str(number) for number in range(80, 100)]


async def test_without_a_mail_server_an_attempt_says_so(store: Store) -> None:
    assert await MailChannel(None, store).send(*failed("00000000-0000-7000-8000-000000000001"), 0) == Reply(None, NO_SERVER)


async def test_a_template_of_a_pool_that_a_jobs_command_makes_too_long_is_not_sent_and_not_tried_again() -> None:
    async with receiving() as receiver:
        webhook = Webhook(NotificationTrigger.FINISHES, receiver.url, body={"text": "{{command}}" * 9})
        pools = (Pool("all", "", ("h",), webhooks=(webhook,)),)
        execution = make_execution(status=Status.DONE, spec=make_spec(command=("x" * 200_000,)))
        (delivery,) = deliveries_of(execution, pools, EndFacts(), now=0)
        sender = WebhookSender(("127.0.0.1",), 5.0, "0")
        channel = WebhookChannel(Notifier(body_writer(payload_maker(None, ())), sender), pools)
        reply = await channel.send(execution, delivery, 1)
        await channel.close()
    assert (reply.status, reply.is_final) == (None, True)
    assert "longer than 1 MiB" in (reply.error or "")
    assert receiver.received == []
