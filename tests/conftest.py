"""The fixtures that any test may ask for, and which tests share a process when they run side by side."""

import pytest

from tests.support.engine import engine
from tests.support.registry import private_registry, registry
from tests.support.swarms import joined_managers, separate_swarms, three_managers, three_swarms

__all__ = ["engine", "joined_managers", "private_registry", "registry", "separate_swarms", "three_managers", "three_swarms"]

SHARED = {
    "browser_url": "browser",
    "joined_managers": "managers",
    "separate_swarms": "swarms",
    "runner": "crash",
    "registry": "registry",
    "private_registry": "registry",
}
"""Session fixtures that are costly to start, or that only one process may have, and the group of tests that uses each."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sends all tests of a group to one process of pytest-xdist."""
    for item in items:
        groups = {SHARED[name] for name in getattr(item, "fixturenames", ()) if name in SHARED}
        if groups:
            item.add_marker(pytest.mark.xdist_group(min(groups)))
