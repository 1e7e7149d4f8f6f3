"""What the containers of single tasks used. Only these figures name tasks, so they are bounded, and shown to readers who may see them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

OTHERS = ""
"""The label of all tasks beyond the bound."""

Sees = Callable[[str], bool]
"""Whether the reader may see a task."""


@dataclass
class TaskUsage:
    """The sums over a task's executions that were measured; ``memory_peak`` is the last one's."""

    measured: int = 0
    cpu_seconds: float = 0.0
    memory_peak: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


class TaskFigures:
    """Figures of the first ``most`` tasks that were measured, and of the others together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: dict[str, TaskUsage] = {}

    def measured(self, task_id: str, *, cpu_seconds: float, memory_peak: int, read_bytes: int, written_bytes: int) -> None:
        """An execution of this task has ended, and used so much."""
        if self._most == 0:
            return
        named = task_id if task_id in self._tasks or len(self._tasks) - (OTHERS in self._tasks) < self._most else OTHERS
        usage = self._tasks.setdefault(named, TaskUsage())
        usage.measured += 1
        usage.cpu_seconds += cpu_seconds
        usage.memory_peak = memory_peak
        usage.read_bytes += read_bytes
        usage.written_bytes += written_bytes

    def seen_by(self, sees: Sees | None) -> Collector:
        """The figures of the tasks that a reader may see (None: all, and those of the others)."""
        return _Seen({task: usage for task, usage in self._tasks.items() if sees is None or (task != OTHERS and sees(task))})


class _Seen(Collector):
    """Figures as they are now."""

    def __init__(self, tasks: dict[str, TaskUsage]) -> None:
        self._tasks = tasks

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        kinds: tuple[tuple[Metric, Callable[[TaskUsage], float]], ...] = (
            (_counter("fastlane_task_measured", "Settled executions of a task that were measured."), lambda usage: usage.measured),
            (_counter("fastlane_task_cpu_seconds", "Processor seconds of those."), lambda usage: usage.cpu_seconds),
            (_counter("fastlane_task_read_bytes", "Bytes that those read from disks."), lambda usage: usage.read_bytes),
            (_counter("fastlane_task_written_bytes", "Bytes that those wrote to disks."), lambda usage: usage.written_bytes),
            (_gauge("fastlane_task_memory_peak_bytes", "The memory peak of the last of those."), lambda usage: usage.memory_peak),
        )
        for family, value_of in kinds:
            suffix = "_total" if family.type == "counter" else ""
            for task, usage in self._tasks.items():
                family.add_sample(family.name + suffix, {"task": task}, value_of(usage))
            yield family


def _counter(name: str, words: str) -> Metric:
    return CounterMetricFamily(name, words, labels=("task",))


def _gauge(name: str, words: str) -> Metric:
    return GaugeMetricFamily(name, words, labels=("task",))
