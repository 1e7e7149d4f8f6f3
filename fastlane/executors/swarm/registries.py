"""The credentials for each image registry: from the settings, else from a Docker configuration and its credential helpers.

Credentials go through an engine to their registry, and nowhere else: no message and no log line contains them. A file is read again when
it has changed, so a new password needs no restart. A helper's answer is cached for a minute. A helper that hangs is ended, and delays only
the registry that it is asked for.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

import structlog
from docker.auth import INDEX_NAME, INDEX_URL, AuthConfig, resolve_index_name
from docker.credentials.errors import process_store_error
from docker.credentials.store import Store
from docker.errors import DockerException

from fastlane.errors import RegistryDown
from fastlane.models.image import RegistryLogin, registry_of


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
HELPER_WITHIN = 10.0
"""Seconds after which a helper is killed, with all its children."""
ENDED_WITHIN = 1.0
"""Seconds for which the end of a killed helper is waited for."""
HELPERS_AT_ONCE = 8
"""How many helpers run at once, each for a different registry."""
REMEMBERED = 60.0
MAX_REMEMBERED = 256

Credentials = Mapping[str, str]
"""One registry's, in the form that an engine takes; empty for none."""

_MALFORMED = (DockerException, ValueError, TypeError, AttributeError, KeyError)
"""What docker-py raises for a malformed configuration."""


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
                found = await asyncio.get_running_loop().run_in_executor(self._reader, self._find, registry)
            if isinstance(found, _Config):
                async with self._helpers.hold(registry), asyncio.timeout(READ_WITHIN):
                    found = await self._helped_to(found, registry)
        except TimeoutError:
            raise RegistryDown(f"the credentials for {registry} could not be read within {READ_WITHIN:g} s") from None
        return found

    async def close(self) -> None:
        """Ends its thread."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    # in the thread

    def _find(self, registry: str) -> "Credentials | _Config":
        """The credentials in the settings or a file; or the configuration whose helper has to be asked."""
        login = self._logins.get(registry)
        if login is not None:
            return {"username": login.username, "password": self._password_of(login), "serveraddress": registry}
        config = self._docker_config()
        if config is None:
            return {}
        return config.credentials(registry) if config.get_credential_store(registry) is None else config

    def _password_of(self, login: RegistryLogin) -> str:
        if login.password is not None:
            return login.password
        try:
            return self._passwords[login.host].read()
        except (OSError, ValueError):
            raise RegistryDown(f"the file with the password for {login.host} cannot be read") from None

    def _docker_config(self) -> "_Config | None":
        """The current configuration; the last one when it cannot be read now."""
        assert self._config is not None
        try:
            found: _Config | None = self._config.read()
            fault = ""
        except FileNotFoundError:
            found, fault = None, ""
        except (OSError, *_MALFORMED) as error:
            found, fault = self._config.last, type(error).__name__
        if fault != self._config_fault:
            self._config_fault = fault
            if fault:
                log.error("registries.docker_config_unreadable", path=str(self._config.path), error=fault)
        return found

    # in the event loop

    async def _helped_to(self, config: "_Config", registry: str) -> Credentials:
        """The credentials that the configuration's helper has for a registry."""
        known = self._helped.get(registry)
        if known is not None and time.monotonic() - known[0] < REMEMBERED:
            return known[1]
        helper = config.get_credential_store(registry)
        try:
            found = config.credentials(registry, await _ask(helper, registry))
        except (OSError, *_MALFORMED) as error:
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


class _Helped(Store):
    """A helper's answer (what it said, and the code that it ended with), for docker-py to read. The original would run the helper, block
    meanwhile, and wait forever."""

    def __init__(self, program: str, output: bytes, code: int) -> None:
        self.program = program
        self._output = output
        self._code = code

    def _execute(self, subcommand: str, _data: bytes) -> bytes:
        if self._code:
            raise process_store_error(subprocess.CalledProcessError(self._code, [self.program, subcommand], self._output), self.program)
        return self._output


class _Config(AuthConfig):
    """A Docker configuration that is given a helper's answer."""

    _helped: _Helped

    def _get_store_instance(self, _name: str) -> Store:
        return self._helped

    def credentials(self, registry: str, helped: _Helped | None = None) -> Credentials:
        """The credentials for a registry, from its helper's answer if it has a helper. Raises ``_MALFORMED``."""
        if helped is not None:
            self._helped = helped
        found: Mapping[str, str | None] = self.resolve_authconfig(registry) or {}
        return {key: value for key, value in found.items() if value is not None}

    def names(self, registry: str) -> bool:
        """Whether it names this registry, and not only a helper for all."""
        return any(resolve_index_name(key) == registry for key in (*self.cred_helpers, *self.auths))


async def _ask(helper: str, registry: str) -> _Helped:
    """Asks a helper for a registry's credentials. Raises OSError when it cannot be run, and when it takes too long."""
    name = f"docker-credential-{helper}"
    program = shutil.which(name)
    if program is None:
        raise FileNotFoundError(name)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(program, "get", stdin=pipe, stdout=pipe, start_new_session=True)
    try:
        async with asyncio.timeout(HELPER_WITHIN):
            output, _ = await process.communicate((INDEX_URL if registry == INDEX_NAME else registry).encode())
    finally:
        if process.returncode is None:
            await _kill(process)
    return _Helped(name, output, await process.wait())


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Ends a helper with its child processes."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(ENDED_WITHIN):
            await process.wait()


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


def _docker_config(text: str) -> _Config:
    content = json.loads(text) if text.strip() else {}
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")
    if not content:
        return _Config({})  # without one, docker-py would read the user's
    config: _Config = _Config.load_config(None, content)
    return config
