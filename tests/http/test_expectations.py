"""What ``/why`` says of a job that must succeed regularly, and is not late."""

from dataclasses import replace
from datetime import datetime

HOUR = 3_600_000


async def expected(server, reply):
    return (await server.get(f"{reply['jobUrl']}why")).json.get("expected")


def milliseconds(text):
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


async def test_a_job_that_expires_before_it_is_late_will_not_be(server):
    now = server.clock.now()
    soon = await server.enqueue(cron="0 3 * * *", expectEvery="2d", expiration=(now + 30 * HOUR) / 1_000)  # after its first run
    found = await expected(server, soon)
    assert found["lateAt"] is None
    assert "it will not be late, since it is paused, over, or expires before that" in found["message"]
    later = await server.enqueue(cron="0 3 * * *", expectEvery="2d", expiration=(now + 30 * 24 * HOUR) / 1_000)
    assert (await expected(server, later))["lateAt"] is not None


async def test_a_success_that_nobody_has_taken_note_of_puts_off_when_it_is_late(server):
    reply = await server.enqueue(expectEvery="1h")
    await server.end(await server.run(reply))
    job = await server.store.job(reply["jobId"])
    assert await server.store.advance(job, replace(job, check_at=server.clock.now() + 1), (), None)
    found = await expected(server, reply)
    assert milliseconds(found["lateAt"]) == milliseconds(found["lastSuccessAt"]) + HOUR


async def test_nothing_is_expected_of_a_job_that_is_stopped(server):
    reply = await server.enqueue(cron="0 3 * * *", expectEvery="2d")
    assert await expected(server, reply) is not None
    await server.post(f"{reply['jobUrl']}stop")
    assert await expected(server, reply) is None
