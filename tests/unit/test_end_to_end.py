"""The comparison of finished containers: what is measured of a side's processes, and how it is told."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.end_to_end import Row, Sizes, as_table, measure

SPINS = "import os, time; os.fork(); data = bytearray(40_000_000); data[:] = b'1' * 40_000_000; print(flush=True)\nwhile True: pass"


class Spinning:
    """A side of two processes with 40 MB each that are never idle."""

    name, version, runs, settings, by_minutes = "spinning", "1", "service", "none.", False

    @contextmanager
    def running(self) -> Iterator[Sequence[int]]:
        with subprocess.Popen([sys.executable, "-c", SPINS], stdout=subprocess.PIPE, start_new_session=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.readline()
            try:
                yield [process.pid]
            finally:
                subprocess.run(["kill", "-9", "--", f"-{process.pid}"], check=True)

    def singles(self, count: int) -> list[float]:
        return [100.0] * count

    def many(self, count: int) -> float:
        return float(count)


def test_the_memory_and_processor_time_of_all_processes_of_a_side_are_counted() -> None:
    (row,) = measure([Spinning()], Sizes(2, 3, 1, 7, 0.0, 1.0), print)
    assert row.singles == [100.0] * 6
    assert row.rates == [7.0, 7.0]
    assert all(80e6 < size < 160e6 for size in (*row.resting, *row.busy))
    assert row.idle[0] > 0.05
    assert len(row.idle) == 1


def test_a_side_without_processes_has_neither_memory_nor_idle_cost() -> None:
    busy = Row("one", "1", "service", "as it comes.", 100, [10.0, 20.0], [3.0, 5.0], [9_000_000], [1_400_000_000], [0.0123])
    none = Row("other", "2", "container", "by hand.", 100, [10.0], [3.0], [0], [0], [0.0])
    lines = as_table([busy, none]).splitlines()
    assert lines[2] == "| one 1 | service | 10 / 20 (2) | 4.00 (3.00 to 5.00) | 9.0 / 1,400 | 1.23 |"
    assert lines[3] == "| other 2 | container | 10 / 10 (1) | 3.00 (3.00 to 3.00) | none | none |"
    assert lines[-2:] == ["- **one 1**: as it comes.", "- **other 2**: by hand."]
