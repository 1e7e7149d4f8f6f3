"""What every store promises of deliveries, and of the receivers that fail."""

import asyncio
from dataclasses import replace

from fastlane.models.delivery import Delivery, Kind, MailQuota, Receiver, Reply
from fastlane.models.notify import Mailbox, NotificationTrigger, Webhook
from fastlane.models.status import Status
from fastlane.storage.base import Deletion
from tests.contract.stored import created, types_in
from tests.support.factories import make_spec

WEBHOOK = Webhook(NotificationTrigger.FAILS, "https://example.com:8443/größe?a=b", {"X-A.b$": "é"}, 3, {"a.b$": ["{{x}}", None, 1.5]})
FIRST = Delivery("a", "t", "j", "e", "execution.failed", WEBHOOK, True, 5, 5, 4)
RECEIVER = Receiver("r", "https://example.com:443", 10, 10, "it said ✗")


def other(id: str, **fields: object) -> Delivery:
    return replace(FIRST, id=id, **fields)


async def test_a_delivery_is_kept_whole_with_its_attempts(store, open_store):
    tried = FIRST.taken(50, 6).tried(Reply(503, "said 503", "größe\x00…"), began=6, now=9)
    await store.insert_deliveries([FIRST])
    assert await store.write_delivery(FIRST.taken(50, 6))
    assert await store.write_delivery(tried)
    found = await (await open_store()).delivery("a")
    assert found == tried
    assert types_in(found) == types_in(tried)
    assert await store.delivery("none") is None


async def test_deliveries_are_inserted_once_however_often(store, open_store):
    twin = await open_store()
    await asyncio.gather(store.insert_deliveries([FIRST, other("b")]), twin.insert_deliveries([FIRST, other("b")]))
    assert await store.write_delivery(FIRST.taken(50, 6))
    await store.insert_deliveries([FIRST, other("c"), other("x", execution_id="f")])
    assert list(await store.deliveries_of("e")) == [FIRST.taken(50, 6), other("b"), other("c")]
    assert list(await store.deliveries_of("none")) == []


async def test_of_two_that_take_a_delivery_one_gets_it(store, open_store):
    await store.insert_deliveries([FIRST])
    assert not await store.write_delivery(FIRST.taken(50, 6).taken(60, 6))
    assert not await store.write_delivery(other("b").taken(50, 6))
    answers = await asyncio.gather(store.write_delivery(FIRST.taken(50, 6)), (await open_store()).write_delivery(FIRST.taken(60, 6)))
    assert sorted(answers) == [False, True]
    found = await store.delivery("a")
    assert found.due == (50 if answers[0] else 60)


async def test_the_due_ones_come_soonest_first_without_those_to_origins_that_are_left_out(store):
    slow = replace(WEBHOOK, url="http://slow/x")
    later, sent = other("c", due=8), FIRST.taken(9, 6).tried(Reply(204), began=1, now=2)
    await store.insert_deliveries([FIRST, other("b", due=3), later, other("d", target=slow), other("e", due=None)])
    assert list(await store.deliveries_due(7, 9)) == [other("b", due=3), FIRST, other("d", target=slow)]
    assert list(await store.deliveries_due(7, 9, {"http://slow:80", "http://no:80"})) == [other("b", due=3), FIRST]
    assert list(await store.deliveries_due(8, 1)) == [other("b", due=3)]
    assert await store.write_delivery(FIRST.taken(9, 6))
    assert await store.write_delivery(sent)
    assert [one.id for one in await store.deliveries_due(20, 9)] == ["b", "d", "c"]
    assert await store.write_delivery(sent.again(15))
    assert [one.id for one in await store.deliveries_due(20, 9)] == ["b", "d", "c", "a"]


async def test_tasks_that_have_their_share_are_left_out_of_what_is_due(store):
    rows = [replace(other(id), task_id=task_id) for id, task_id in (("b", "t"), ("c", "u"), ("d", "v"), ("e", "u"))]
    await store.insert_deliveries(rows)
    assert [row.id for row in await store.deliveries_due(1_000, 9, (), ("u",))] == ["b", "d"]
    assert [row.id for row in await store.deliveries_due(1_000, 1, ("https://elsewhere.example.com:443",), ("t", "u"))] == ["d"]
    assert [row.id for row in await store.deliveries_due(1_000, 9)] == ["b", "c", "d", "e"]


async def test_a_dropped_delivery_is_gone_and_dropping_is_safe_to_repeat(store):
    await store.insert_deliveries([FIRST, other("b")])
    await store.drop_delivery("a")
    await store.drop_delivery("a")
    assert list(await store.deliveries_of("e")) == [other("b")]
    assert not await store.write_delivery(FIRST.taken(50, 6))


async def test_deliveries_go_with_their_execution(store):
    execution = await created(store, status=Status.DONE, settled=True, cleaned=True, spec=make_spec(webhooks=(WEBHOOK,)))
    await store.insert_deliveries([other("b", execution_id=execution.id), FIRST])
    job = await store.job(execution.job_id)
    while await store.delete_job(job.id, job.incarnation, 9) is Deletion.MORE:
        pass
    assert await store.execution(execution.id) is None
    assert list(await store.deliveries_of(execution.id)) == []
    assert list(await store.deliveries_of("e")) == [FIRST]


async def test_the_webhooks_of_an_execution_are_kept(store):
    execution = await created(store, spec=make_spec(webhooks=(WEBHOOK, replace(WEBHOOK, trigger=NotificationTrigger.FINISHES, headers={}))))
    found = await store.execution(execution.id)
    assert found.spec == execution.spec
    assert types_in(found.spec) == types_in(execution.spec)


async def test_a_receiver_is_written_at_its_version_and_dropped_at_its_version(store, open_store):
    twin = await open_store()
    assert await store.receiver("r") is None
    assert sorted(await asyncio.gather(store.write_receiver(RECEIVER), twin.write_receiver(RECEIVER))) == [False, True]
    failed = RECEIVER.failed("again", 30)
    assert not await store.write_receiver(failed.failed("too soon", 40))
    assert await store.write_receiver(failed)
    assert await twin.receiver("r") == failed
    other_one = replace(failed, id="s", version=1)
    assert await store.write_receiver(other_one)
    assert await store.write_receiver(other_one := replace(other_one, version=2))
    assert not await store.drop_receiver(RECEIVER)
    assert await store.drop_receiver(failed)
    assert await twin.receiver("r") is None
    assert await twin.receiver("s") == other_one


async def test_the_receivers_that_have_failed_for_longest_come_first_and_old_failures_are_pruned(store):
    rows = [replace(RECEIVER, id=id, failing_since=since, failed_at=at) for id, since, at in (("a", 9, 9), ("b", 3, 20), ("c", 5, 5))]
    for row in rows:
        assert await store.write_receiver(row)
    assert [row.id for row in await store.failing_receivers(2)] == ["b", "c"]
    await store.prune_receivers(9)
    await store.prune_receivers(9)
    assert [row.id for row in await store.failing_receivers(9)] == ["b", "a"]


async def test_a_mail_is_kept_as_a_delivery_and_in_a_spec(store, open_store):
    mailbox = Mailbox(NotificationTrigger.FAILS, "Team@example.com")
    mail = other("m", target=mailbox)
    await store.insert_deliveries([mail])
    assert await store.write_delivery(mail.taken(9, 6))
    held = mail.taken(9, 6).tried(Reply(None, is_held=True), began=6, now=7)
    assert await store.write_delivery(held)
    found = await (await open_store()).delivery("m")
    assert (found, found.kind, found.due) == (held, Kind.MAIL, None)
    assert types_in(found) == types_in(held)
    assert list(await store.deliveries_due(100, 9)) == []
    execution = await created(store, spec=make_spec(notify=(mailbox,)))
    assert (await store.execution(execution.id)).spec == execution.spec


async def test_a_quota_of_mails_is_written_at_its_version_and_old_ones_are_pruned(store, open_store):
    twin = await open_store()
    quota = MailQuota("q", "e", 10)
    assert await store.mail_quota("q") is None
    assert sorted(await asyncio.gather(store.write_mail_quota(quota), twin.write_mail_quota(quota))) == [False, True]
    held = quota.holding("e2").holding("e3")
    assert not await store.write_mail_quota(held)
    assert await store.write_mail_quota(quota.holding("e2"))
    assert await store.write_mail_quota(held)
    found = await twin.mail_quota("q")
    assert found == held
    assert types_in(found) == types_in(held)
    assert await store.write_mail_quota(replace(quota, id="old", told_at=9))
    await store.prune_receivers(10)
    assert await store.mail_quota("old") is None
    assert await store.mail_quota("q") == held
