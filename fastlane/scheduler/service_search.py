"""Looks for a service in the swarms of a pool: whose container a job runs as, and on which host. Knows nothing of executions and of what
follows when there is none."""

from collections.abc import Sequence
from dataclasses import replace

from fastlane.errors import ServiceGone
from fastlane.executors.port import Executor, ServiceTemplate
from fastlane.models.host import HostView
from fastlane.models.placement import place
from fastlane.models.pool import Pool


class ServiceSearch:
    """One look for the service ``name``. ``own``: the id of the only swarm that counts, if any."""

    def __init__(self, executor: Executor, hosts: Sequence[HostView], pool: Pool, name: str, own: str | None) -> None:
        self._executor = executor
        self._views = {view.name: view for view in hosts}
        self._pool = pool
        self._name = name
        self._own = own
        self._left = tuple(host for host in pool.hosts if own is None or self._swarm_id(host) in (own, None))
        self._is_missing = False
        self.is_certain = True
        """Whether each swarm that said it has no such service is believed at once: it has one manager, which no other one cuts off."""

    async def find(self, host: str | None) -> tuple[str, ServiceTemplate] | None:
        """The host, or the best open one of another swarm, whose swarm has the service, and the service as it is there."""
        at = host if self._own is None or self._swarm_id(host) == self._own else self._best()
        self.is_certain = at == host
        while at is not None:
            if (found := await self._ask(at)) is not None:
                return at, found
            at = self._best()
        return None

    async def find_closed(self) -> str | None:
        """A host that is full or drained, and that in words, if its swarm has the service."""
        while True:
            at = next((host for host in self._left if host in self._views and self._views[host].usable), None)
            if at is None:
                return None
            words = f"{at} {self._passed_over().get(at, '')}".strip()
            if await self._ask(at) is not None:
                return words

    @property
    def unasked(self) -> bool:
        """Whether a swarm could not be asked."""
        return bool(self._left)

    @property
    def words(self) -> str:
        """Why there is none."""
        words = f"no swarm of pool {self._pool.name!r} has a service named {self._name!r}"
        if self._own is not None:
            words = f"the service {self._name!r}, which declares this job, is gone from its swarm"
            if not self._is_missing:
                words = f"pool {self._pool.name!r} has no host of the swarm whose service {self._name!r} declares this job"
        if not self._left:
            return f"{words}; deploy it, or name another" if self._own is None or self._is_missing else f"{words}; add one"
        reasons = "; ".join(f"{host} {reason}" for host, reason in self._passed_over().items())
        if self._own is not None and not self._is_missing:
            return f"no host of the swarm whose service {self._name!r} declares this job can be asked: {reasons}"
        return f"{words}, among the hosts that can be asked: {reasons}"

    async def _ask(self, at: str) -> ServiceTemplate | None:
        """The service in the swarm of this host, whose hosts are not asked again."""
        view = self._views.get(at)
        self._left = tuple(
            host for host in self._left if host != at and (view is None or host not in self._views or self._views[host].swarm != view.swarm)
        )
        try:
            return await self._executor.service_template(at, self._name)
        except ServiceGone:
            self._is_missing = True
            self.is_certain = self.is_certain and view is not None and not view.members
            return None

    def _best(self) -> str | None:
        return place(replace(self._pool, hosts=self._left), list(self._views.values())).host

    def _passed_over(self) -> dict[str, str]:
        return dict(place(replace(self._pool, hosts=self._left), list(self._views.values())).passed_over)

    def _swarm_id(self, host: str | None) -> str | None:
        view = None if host is None else self._views.get(host)
        return None if view is None else view.swarm_id
