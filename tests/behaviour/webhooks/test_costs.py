"""What notifications cost a job that has none."""

from benchmarks.counts import Step, count

THEIRS = ("deliveries", "receivers", "quotas", "mail")


def about_notifications(step: Step) -> list[str]:
    """The calls of the store that are for notifications alone."""
    return [call for call in step.statements if any(word in call for word in THEIRS)]


async def test_a_job_without_webhooks_makes_no_call_for_them() -> None:
    plain, told = await count(jobs=1), await count(webhooks=1, jobs=1)
    assert [about_notifications(step) for step in (plain.enqueue, plain.dispatch, plain.end)] == [[], [], []]
    assert (told.enqueue, told.dispatch) == (plain.enqueue, plain.dispatch)
    assert told.end.redis == plain.end.redis
    assert about_notifications(told.end)
