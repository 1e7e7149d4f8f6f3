"""What the snapshots have shown of one service."""

import asyncio
from collections.abc import Sequence

from fastlane.executors.base import EngineTask, Phase

UNEVENTFUL = frozenset({Phase.WAITING, Phase.PREPARING})


class ServiceObservation:
    """The tasks of one service as last seen. ``changed`` is set when a snapshot shows what its watch would act upon."""

    def __init__(self, host: str, swarm_id: str | None) -> None:
        self.host = host
        self.swarm_id = swarm_id
        self.changed = asyncio.Event()
        self._tasks: Sequence[EngineTask] = ()
        self._phases: tuple[tuple[str, Phase], ...] | None = ()

    @property
    def tasks(self) -> Sequence[EngineTask]:
        """Its tasks, in order of creation, when a host last showed them."""
        return self._tasks

    @property
    def shown(self) -> Sequence[EngineTask]:
        """Its tasks, if a host showed them in the last snapshot; else none."""
        return () if self._phases is None else self._tasks

    def update(self, tasks: Sequence[EngineTask] | None) -> None:
        """Records what a snapshot shows; None: no host answered."""
        vanished = bool(self._tasks) and tasks is not None and not tasks
        self._tasks = self._tasks if tasks is None else tasks
        phases = None if tasks is None else tuple((task.id, task.phase) for task in tasks if task.phase not in UNEVENTFUL)
        if phases != self._phases or vanished:
            self._phases = phases
            self.changed.set()
