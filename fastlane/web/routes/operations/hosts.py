"""``/hosts``, ``/hosts/H``, and the route by which users of fastlane 2.x drain a host."""

from fastlane.errors import Fault, Forbidden
from fastlane.models.access import Role
from fastlane.web.api.contract import flag, operation
from fastlane.web.api.requests.host import DrainSchema, HostRegistrationSchema, read_drained, read_registration
from fastlane.web.api.responses.hosts import HOST_DRAINED, HOST_REMOVED, KNOWN_HOST, KNOWN_HOSTS
from fastlane.web.handler.handler import Handler
from fastlane.web.http.query import read_flag
from fastlane.web.http.strict_json import read_object

OPEN_SERVER = (
    "hosts are registered and removed by administrators only, and this server has neither users nor tokens: add some (`fastlane password`, "
    "`fastlane token`), or name the hosts in the settings"
)


class HostsHandler(Handler):
    """``/hosts``."""

    accepts_body = True
    write_role = Role.ADMIN

    @operation("listHosts", KNOWN_HOSTS)
    async def on_get(self) -> None:
        """All hosts: those of the settings, and registered ones."""
        self.set_header("Cache-Control", "no-store")
        await self.answer(KNOWN_HOSTS, await self.services.hosts.read())

    @operation("registerHost", KNOWN_HOST, body=HostRegistrationSchema, refusals=(409,))
    async def on_post(self) -> None:
        """Registers a host in a pool; every worker connects to it within a second."""
        refuse_open_server(self)
        wanted = read_registration(read_object(bytes(self.body)))
        await self.answer(KNOWN_HOST, await self.services.hosts.register(wanted, self.requester))


class HostHandler(Handler):
    """``/hosts/H``."""

    write_role = Role.ADMIN

    @operation(
        "removeHost",
        HOST_REMOVED,
        query={"force": flag("Removes it with all that is left there: what is bound to it ends as host-lost.")},
        refusals=(404, 409),
    )
    async def on_delete(self, host: str) -> None:
        """Removes a host that is drained and has nothing left."""
        refuse_open_server(self)
        await self.answer(
            HOST_REMOVED, await self.services.hosts.remove(host, force=read_flag(self.query, "force"), requester=self.requester)
        )


class BlacklistHandler(Handler):
    """``/docker-executor/blacklist``."""

    accepts_body = True
    write_role = Role.ADMIN

    @operation("drainHost", HOST_DRAINED, body=DrainSchema, refusals=(404, 409))
    async def on_post(self) -> None:
        """Drains a host: it gets no new work, and what runs there goes on."""
        await self._drain(drained=True)

    @operation("drainHostByPut", HOST_DRAINED, body=DrainSchema, refusals=(404, 409))
    async def on_put(self) -> None:
        """Drains a host, as POST does."""
        await self._drain(drained=True)

    @operation("undrainHost", HOST_DRAINED, body=DrainSchema, refusals=(404, 409))
    async def on_delete(self) -> None:
        """Gives a drained host work again."""
        await self._drain(drained=False)

    async def _drain(self, *, drained: bool) -> None:
        name = read_drained(read_object(bytes(self.body)))
        await self.answer(HOST_DRAINED, await self.services.hosts.drain(name, drained=drained, requester=self.requester))


def refuse_open_server(handler: Handler) -> None:
    """Raises Forbidden on a server that anyone may use."""
    if handler.context.authenticator is None:
        raise Forbidden([Fault("", OPEN_SERVER)])
