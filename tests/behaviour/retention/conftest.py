"""A worker's pruner over the store of ``virtual``, with rules of the test."""

from collections.abc import Callable

import pytest

from fastlane.models.retention import Retention
from fastlane.scheduler.pruner import Pruner, RetentionRules
from tests.support.virtual_time import POOLS, VirtualFastlane

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

MakePruner = Callable[..., Pruner]


@pytest.fixture
def pruner_of(virtual: VirtualFastlane) -> MakePruner:
    """Makes a pruner with these rules, and with this age of deliveries."""

    def make(deliveries: int | None = None, **rules: int) -> Pruner:
        return Pruner(virtual.real_store, virtual.clock, POOLS, RetentionRules(Retention(**rules), deliveries))

    return make
