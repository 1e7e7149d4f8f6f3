"""Which swarm's word that it has no such service is believed at once."""

import pytest

from fastlane.models.host import HostView, Node
from fastlane.models.pool import Pool
from fastlane.scheduler.service_search import ServiceSearch
from tests.support.instant import InstantExecutor

HOST = "10.0.0.7:2375"
OTHERS = (Node("n2", "two", "ready", takes_work=True), Node("n3", "three", "ready", takes_work=True))


@pytest.mark.parametrize("members", [(), OTHERS])
async def test_a_manager_that_others_may_have_been_cut_off_from_is_not_believed_at_once(members: tuple[Node, ...]) -> None:
    view = HostView(HOST, usable=True, swarm_id="s", members=members)
    search = ServiceSearch(InstantExecutor((HOST,)), [view], Pool("all", "", (HOST,), services=("*",)), "shop_web", None)
    assert await search.find(HOST) is None
    assert search.is_certain is (not members)
