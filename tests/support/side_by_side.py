"""Which tests share a process when they run side by side, and which begin first.

pytest-xdist asks for this scheduler (``tests/conftest.py``) when it is started with ``--dist loadgroup``. Its own, which reads the mark
``xdist_group``, stopped grouping with pytest 9.2 (pytest-xdist 1386): each process then started a browser, a bed of engines and all crash
cases of its own. It also knows nothing of durations: a test of a minute that begins last decides how long all of them take.
"""

from collections.abc import Iterable

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

INTEGRATION = "tests/integration/test_"

UNITS = (
    (f"{INTEGRATION}stack.py", f"{INTEGRATION}stack_outages.py", f"{INTEGRATION}stack_one_node.py", f"{INTEGRATION}image.py"),
    ("tests/browser/",),
    (f"{INTEGRATION}engine_troubles.py",),
    (f"{INTEGRATION}three_managers_lost.py",),
    (f"{INTEGRATION}swarm_facts_of_many_nodes.py",),
    (f"{INTEGRATION}main_path.py",),
    ("tests/http/test_openapi_fuzz.py",),
    (f"{INTEGRATION}broken_network.py",),
    (f"{INTEGRATION}logs_whole.py",),
    (f"{INTEGRATION}logs_large.py",),
    ("tests/behaviour/outages/test_disasters.py",),
    ("tests/behaviour/outages/test_mongo_disasters.py",),
    (
        f"{INTEGRATION}registries.py",
        f"{INTEGRATION}registry.py",
        f"{INTEGRATION}three_managers.py",
        f"{INTEGRATION}leader_at_seams.py",
        f"{INTEGRATION}unfit_managers.py",
        f"{INTEGRATION}stack_and_its_jobs.py",
        f"{INTEGRATION}docker_pages.py",
    ),
    (f"{INTEGRATION}three_swarms.py", f"{INTEGRATION}everywhere.py"),
    (f"{INTEGRATION}hosts_under_load.py", f"{INTEGRATION}cut_follow.py"),
    (f"{INTEGRATION}false_words.py", f"{INTEGRATION}swarms_script.py"),
    # Only these create networks, volumes and secrets on the shared engine, so that one of them can look at all that is there.
    (f"{INTEGRATION}containers.py", f"{INTEGRATION}submission_facts.py"),
    # Each starts what looks like an engine in the machine's network, where the other would find it.
    (f"{INTEGRATION}scripts.py::test_an_engine_in_the_way",),
    (f"{INTEGRATION}gone_services.py",),
    (f"{INTEGRATION}tls_hosts.py",),
    (f"{INTEGRATION}why.py",),
    (f"{INTEGRATION}short_of_disk.py",),
    (f"{INTEGRATION}make_commands.py::test_make_run",),
    (f"{INTEGRATION}make_commands.py::test_the_wheel",),
    ("tests/http/test_docs_commands.py::test_every_command_of_a_page_works_as_typed[docs/command-line.md",),
    ("tests/crash/",),
    ("tests/behaviour/schedule/test_year_of_ticks.py::test_the_ledger_of_a_year_accounts_for_each_due_time_once[1]",),
    (f"{INTEGRATION}upgrades.py",),
    (f"{INTEGRATION}endings.py",),
    (f"{INTEGRATION}full_slow_gone.py::test_while_the_engine_is_away_jobs_wait_and_health_says_why[hang",),
    ("tests/contract/test_queue_model.py",),
    ("tests/client/test_installed.py",),
    (f"{INTEGRATION}cleaning.py",),
    ("tests/adapters/redis/test_connections.py",),
)
"""The beginnings of the node ids of tests that run one after the other in one process, since they share what is costly to start (a
session's or a module's fixture), and of single tests that take long. The first unit begins first. Every other test is a unit of its own."""

ALONE = {
    "browser_url": "a browser",
    "built_image": "a build of the image",
    "joined_managers": "three managers",
    "separate_swarms": "three swarms",
    "runner": "all crash cases",
}
"""Session fixtures that a test outside of these units would start once more, and what that is."""


class Units(LoadScopeScheduling):
    """Sends each unit of tests to one process. ``_split_scope`` is what pytest-xdist lets a scheduler of one's own say."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """The name of a test's unit."""
    return next((unit[0] for unit in UNITS if nodeid.startswith(unit)), nodeid)


def in_order(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The tests of each unit, the first unit's first; then the others as they were."""
    rank = {unit[0]: number for number, unit in enumerate(UNITS)}
    return sorted(items, key=lambda item: rank.get(unit_of(item.nodeid), len(rank)))


def check_units(items: Iterable[pytest.Item]) -> None:
    """Fails when a test would start something costly in one more process."""
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            if name in ALONE and unit_of(item.nodeid) == item.nodeid:
                raise pytest.UsageError(f"{item.nodeid} starts {ALONE[name]}: name its file in UNITS of tests/support/side_by_side.py")
