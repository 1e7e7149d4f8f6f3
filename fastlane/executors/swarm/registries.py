"""The credentials for each image registry: from the settings, else from a Docker configuration and its credential helpers.

Credentials go through an engine to their registry, and nowhere else: no message and no log line contains them. A file is read again when
it has changed, so a new password needs no restart. A helper's answer is cached for a minute. A helper that hangs is ended, and delays only
the registry that it is asked for.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from fastlane.errors import RegistryDown
from fastlane.models.image import Credentials, RegistryLogin, registry_of

if TYPE_CHECKING:
    from fastlane.executors.swarm.docker_config import DockerConfig


class _Entry:
    def __init__(self, most: int) -> None:
        self.semaphore = asyncio.Semaphore(most)
        self.users = 0


class KeyedSemaphore:
    """Admits ``most`` users of each key at once, and ``total`` of all keys; others wait, in order, for at most ``patience`` seconds."""

    def __init__(self, most: int, total: int, patience: float) -> None:
        self._most = most
        self._total = asyncio.Semaphore(total)
        self._patience = patience
        self._entries: dict[str, _Entry] = {}

    @property
    def keys(self) -> frozenset[str]:
        """The keys that are in use or waited for."""
        return frozenset(self._entries)

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Holds one of the key's places. Raises TimeoutError when none becomes free in time."""
        entry = self._entries.setdefault(key, _Entry(self._most))
        entry.users += 1
        try:
            async with AsyncExitStack() as places:
                async with asyncio.timeout(self._patience):
                    await places.enter_async_context(entry.semaphore)
                    await places.enter_async_context(self._total)
                yield
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[key]


T = TypeVar("T")
log = structlog.get_logger()

READ_WITHIN = 15.0
"""Seconds that a file or a helper may take, and that a call waits for its turn."""
HELPERS_AT_ONCE = 8
"""How many helpers run at once, each for a different registry."""
REMEMBERED = 60.0
MAX_REMEMBERED = 256


class Registries:
    """Finds credentials. ``docker_config``: the path of a Docker configuration, which may not exist. One thread of its own reads the files,
    so that a file system that hangs holds up no other call. (It may hold up the end of the process.)"""

    def __init__(self, logins: Sequence[RegistryLogin] = (), docker_config: Path | None = None) -> None:
        self._logins = {login.host: login for login in logins}
        self._passwords = {login.host: _ParsedFile(login.password_file, _password) for login in logins if login.password_file is not None}
        self._config = None if docker_config is None else _ParsedFile(docker_config, _docker_config)
        self._config_fault = ""
        self._helped: OrderedDict[str, tuple[float, Credentials]] = OrderedDict()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="registry credentials")
        self._helpers = KeyedSemaphore(1, HELPERS_AT_ONCE, READ_WITHIN)

    async def credentials(self, image: str) -> Credentials:
        """The credentials for the registry of this reference. Raises RegistryDown when they cannot be read now."""
        registry = registry_of(image)
        if registry is None or (self._config is None and registry not in self._logins):
            return {}
        try:
            async with asyncio.timeout(READ_WITHIN):
                found, config = await asyncio.get_running_loop().run_in_executor(self._reader, self._find, registry)
            if config is not None:
                async with self._helpers.hold(registry), asyncio.timeout(READ_WITHIN):
                    found = await self._helped_to(config, registry)
        except TimeoutError:
            raise RegistryDown(f"the credentials for {registry} could not be read within {READ_WITHIN:g} s") from None
        return found

    async def close(self) -> None:
        """Ends its thread."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    # in the thread

    def _find(self, registry: str) -> "tuple[Credentials, DockerConfig | None]":
        """The credentials in the settings or a file; or the configuration whose helper has to be asked."""
        login = self._logins.get(registry)
        if login is not None:
            return {"username": login.username, "password": self._password_of(login), "serveraddress": registry}, None
        config = self._docker_config()
        if config is None:
            return {}, None
        return (config.credentials(registry), None) if config.get_credential_store(registry) is None else ({}, config)

    def _password_of(self, login: RegistryLogin) -> str:
        if login.password is not None:
            return login.password
        try:
            return self._passwords[login.host].read()
        except (OSError, ValueError):
            raise RegistryDown(f"the file with the password for {login.host} cannot be read") from None

    def _docker_config(self) -> "DockerConfig | None":
        """The current configuration; the last one when it cannot be read now."""
        assert self._config is not None
        try:
            found: DockerConfig | None = self._config.read()
            fault = ""
        except FileNotFoundError:
            found, fault = None, ""
        except (OSError, ValueError) as error:
            found, fault = self._config.last, type(error.__cause__ or error).__name__
        if fault != self._config_fault:
            self._config_fault = fault
            if fault:
                log.error("registries.docker_config_unreadable", path=str(self._config.path), error=fault)
        return found

    # in the event loop

    async def _helped_to(self, config: "DockerConfig", registry: str) -> Credentials:
        """The credentials that the configuration's helper has for a registry."""
        known = self._helped.get(registry)
        if known is not None and time.monotonic() - known[0] < REMEMBERED:
            return known[1]
        from fastlane.executors.swarm.docker_config import ask

        helper = config.get_credential_store(registry)
        try:
            found = config.credentials(registry, await ask(helper, registry))
        except (OSError, ValueError) as error:
            if config.names(registry):
                raise RegistryDown(
                    f"docker-credential-{helper} failed, so there are no credentials for {registry}; "
                    f"run it by hand where the worker runs: echo {registry} | docker-credential-{helper} get"
                ) from error
            # This helper serves all registries: an image that needs no credentials must not need it.
            log.warning("registries.helper_failed", helper=helper, registry=registry)
            found = {}
        self._helped[registry] = (time.monotonic(), found)
        self._helped.move_to_end(registry)
        while len(self._helped) > MAX_REMEMBERED:
            self._helped.popitem(last=False)
        return found


class _ParsedFile(Generic[T]):
    """A parsed file, parsed again whenever it has changed. ``last``: the last result."""

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self.path = path
        self.last: T | None = None
        self._parse = parse
        self._stamp: tuple[int, ...] | None = None

    def read(self) -> T:
        """The parsed file. Raises OSError, and the errors of ``parse``."""
        stat = self.path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if self.last is None or stamp != self._stamp:
            self._stamp = None
            self.last = self._parse(self.path.read_text("utf-8"))
            self._stamp = stamp
        return self.last


def _password(text: str) -> str:
    return text.rstrip("\r\n")


def _docker_config(text: str) -> "DockerConfig":
    from fastlane.executors.swarm.docker_config import parse

    return parse(text)
