"""A worker's pruner over the store of ``virtual``, with rules of the test, and what its metrics say."""

from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastlane.metrics import Metrics
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


def measured(metrics: Metrics, name: str, label: str = "") -> dict[str, float]:
    """The values of a metric by one of its labels; by an empty one where it has none."""
    (family,) = (one for one in text_string_to_metric_families(metrics.text().decode()) if one.name == name)
    return {sample.labels.get(label, ""): sample.value for sample in family.samples if sample.name.endswith(("_total", name))}
