"""Why nothing more may wait in a pool."""

import pytest

from fastlane.models.pool import Pool, waiting_refusal

POOL = Pool("batch", "", ("unix:///s",), max_waiting=10, max_waiting_of_task=3)


@pytest.mark.parametrize(("of_pool", "of_task", "words"), [
    (9, 2, None),
    (10, 0, "10 executions wait in pool 'batch', and its maxWaiting is 10"),
    (12, 5, "12 executions wait in pool 'batch', and its maxWaiting is 10"),
    (9, 3, "3 executions of the task wait, and the maxWaitingPerTask of pool 'batch' is 3"),
])  # fmt: skip
def test_a_quota_that_is_reached_refuses_in_words(of_pool: int, of_task: int, words: str | None):
    assert waiting_refusal(POOL, of_pool, of_task) == words


def test_a_pool_without_quotas_refuses_nothing():
    assert waiting_refusal(Pool("batch", "", ("unix:///s",)), 10**9, 10**9) is None
