"""A migration of the stack's store that lasts as long as a test needs it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.stack.deployed import Stack
from tests.support.waiting import LONG_PATIENCE, wait_until

META = """
import threading, pymongo
meta = pymongo.MongoClient(open("/run/secrets/fastlane_store_url").read().strip()).get_default_database()["meta"]
"""
HOLD_MIGRATION = f"""{META}
meta.update_one({{"_id": "schema"}}, {{"$inc": {{"version": -1}}}})
meta.insert_one({{"_id": "migration", "made": "held", "beat": 0}})
while meta.update_one({{"_id": "migration"}}, {{"$inc": {{"beat": 1}}}}).matched_count:
    threading.Event().wait(2)
"""
READ_CLAIM = f"""{META}
print(meta.find_one({{"_id": "migration"}}))
"""
END_MIGRATION = f"""{META}
meta.delete_one({{"_id": "migration"}})
"""
"""What holds a migration, as a process that works at it does, and what ends that."""


@contextmanager
def migration_held(stack: Stack) -> Iterator[None]:
    """Another process brings the store up to date, until the context ends: to a version that it seems not to have yet."""
    node, container = stack.containers("worker")[0]
    with subprocess.Popen(["docker", "-H", node.url, "exec", container, "python", "-c", HOLD_MIGRATION]) as holder:
        try:
            wait_until(lambda: "held" in stack.inside("worker", "python", "-c", READ_CLAIM).stdout, "the migration to begin")
            yield
        finally:
            stack.inside("worker", "python", "-c", END_MIGRATION)
            holder.wait(LONG_PATIENCE)
