"""The measured processes: whose cost is counted."""

import sys

from benchmarks.processes import cpu_seconds, session_of, started
from tests.support.waiting import wait_until

PARENT = """
import subprocess, sys
with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
    print(process.pid, flush=True)
    process.wait()
"""


def test_the_processes_that_a_measured_one_starts_are_counted_with_it() -> None:
    with started([sys.executable, "-c", PARENT], {}) as (process, _):
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert set(session_of(process.pid)) == {process.pid, child}
        wait_until(lambda: all(cpu_seconds(pid) > 0 for pid in (process.pid, child)), "both to have used processor time")
