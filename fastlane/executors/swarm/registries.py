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
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import structlog
from docker.auth import AuthConfig, resolve_index_name
from docker.credentials.errors import StoreError, process_store_error
from docker.credentials.store import Store
from docker.errors import DockerException

from fastlane.errors import RegistryDown
from fastlane.executors.swarm.client import Bulkhead, BulkheadFull
from fastlane.models.image import RegistryLogin, registry_of


class _Entry:
    def __init__(self, most: int) -> None:
        self.semaphore = asyncio.Semaphore(most)
        self.users = 0


class KeyedSemaphore:
    """Admits ``most`` users of each key at once; others wait, in order, for at most ``patience`` seconds."""

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
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
            async with asyncio.timeout(self._patience):
                await entry.semaphore.acquire()
            try:
                yield
            finally:
                entry.semaphore.release()
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
HELPER_THREADS = 8
"""How many helpers run at once, each for a different registry."""
REMEMBERED = 60.0
MAX_REMEMBERED = 256

Credentials = Mapping[str, str]
"""One registry's, in the form that an engine takes; empty for none."""

_MALFORMED = (DockerException, ValueError, TypeError, AttributeError, KeyError)
"""What docker-py raises for a malformed configuration."""


class Registries:
    """Finds credentials. ``docker_config``: the path of a Docker configuration, which may not exist."""

    def __init__(self, logins: Sequence[RegistryLogin] = (), docker_config: Path | None = None) -> None:
        self._logins = {login.host: login for login in logins}
        self._passwords = {login.host: _File(login.password_file, _password) for login in logins if login.password_file is not None}
        self._config = None if docker_config is None else _File(docker_config, _docker_config)
        self._config_fault = ""
        self._helped: OrderedDict[str, tuple[float, Credentials]] = OrderedDict()
        self._lock = threading.Lock()
        self._files = Bulkhead("registry credentials", 2, 4096)
        self._helpers = Bulkhead("credential helpers", HELPER_THREADS, 4096)
        self._helper_of = KeyedSemaphore(1, READ_WITHIN)

    async def credentials(self, image: str) -> Credentials:
        """The credentials for the registry of this reference. Raises RegistryDown when they cannot be read now."""
        registry = registry_of(image)
        if registry is None or (self._config is None and registry not in self._logins):
            return {}
        try:
            found = await self._files.run(lambda: self._find(registry), READ_WITHIN)
            if not isinstance(found, _Question):
                return found
            async with self._helper_of.hold(registry):
                return await self._helpers.run(lambda: self._answer(found), READ_WITHIN)
        except (BulkheadFull, TimeoutError):
            raise RegistryDown(f"the credentials for {registry} could not be read within {READ_WITHIN:g} s") from None

    async def close(self) -> None:
        """Ends its threads."""
        await self._files.close()
        await self._helpers.close()

    def _find(self, registry: str) -> "Credentials | _Question":
        """The credentials in the settings or a file; or the helper to ask."""
        login = self._logins.get(registry)
        if login is not None:
            return {"username": login.username, "password": self._password_of(login), "serveraddress": registry}
        config = self._docker_config()
        if config is None:
            return {}
        helper = config.get_credential_store(registry)
        return _credentials_in(config, registry) if helper is None else _Question(helper, config, registry)

    def _password_of(self, login: RegistryLogin) -> str:
        if login.password is not None:
            return login.password
        try:
            with self._lock:
                return self._passwords[login.host].read()
        except (OSError, ValueError):
            raise RegistryDown(f"the file with the password for {login.host} cannot be read") from None

    def _docker_config(self) -> AuthConfig | None:
        """The current configuration; the last one when it cannot be read now."""
        assert self._config is not None
        with self._lock:
            try:
                found: AuthConfig | None = self._config.read()
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

    def _answer(self, question: "_Question") -> Credentials:
        helper, config, registry = question.helper, question.config, question.registry
        with self._lock:
            known = self._helped.get(registry)
        if known is not None and time.monotonic() - known[0] < REMEMBERED:
            return known[1]
        try:
            found = _ask(helper, config, registry)
        except (OSError, *_MALFORMED) as error:
            if _has_its_own(config, registry):
                raise RegistryDown(
                    f"docker-credential-{helper} failed, so there are no credentials for {registry}; "
                    f"run it by hand where the worker runs: echo {registry} | docker-credential-{helper} get"
                ) from error
            # This helper serves all registries: an image that needs no credentials must not need it.
            log.warning("registries.helper_failed", helper=helper, registry=registry)
            found = {}
        with self._lock:
            self._helped[registry] = (time.monotonic(), found)
            self._helped.move_to_end(registry)
            while len(self._helped) > MAX_REMEMBERED:
                self._helped.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class _Question:
    """The helper of this configuration to ask about a registry."""

    helper: str
    config: AuthConfig
    registry: str


class _Helper(Store):
    """docker-py's call of a helper, with a timeout: the original waits forever."""

    def _execute(self, subcommand: str, data: bytes) -> bytes:
        command = [self.exe or self.program, subcommand]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
            try:
                output, _ = process.communicate(data, HELPER_WITHIN)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise StoreError(f"{self.program} took over {HELPER_WITHIN:g} s") from None
        if process.returncode:
            raise process_store_error(subprocess.CalledProcessError(process.returncode, command, output), self.program)
        return output


class _Config(AuthConfig):
    """A Docker configuration whose helpers time out."""

    def _get_store_instance(self, name: str) -> Store:
        return _Helper(name)


class _File(Generic[T]):
    """A parsed file, parsed again whenever it has changed. ``last``: the last result."""

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self.path = path
        self.last: T | None = None
        self._parse = parse
        self._stamp: tuple[int, ...] | None = None

    def read(self) -> T:
        """Raises OSError, and what ``parse`` raises."""
        stat = self.path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if self.last is None or stamp != self._stamp:
            self._stamp = None
            self.last = self._parse(self.path.read_text("utf-8"))
            self._stamp = stamp
        return self.last


def _password(text: str) -> str:
    return text.rstrip("\r\n")


def _docker_config(text: str) -> AuthConfig:
    content = json.loads(text) if text.strip() else {}
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")
    return _Config.load_config(None, content) if content else _Config({})  # without one, docker-py would read the user's


def _credentials_in(config: AuthConfig, registry: str) -> Credentials:
    found: Mapping[str, str | None] = config.resolve_authconfig(registry) or {}
    return {key: value for key, value in found.items() if value is not None}


def _ask(helper: str, config: AuthConfig, registry: str) -> Credentials:
    if shutil.which(f"docker-credential-{helper}") is None:
        raise FileNotFoundError(f"docker-credential-{helper}")
    return _credentials_in(config, registry)


def _has_its_own(config: AuthConfig, registry: str) -> bool:
    """Whether the configuration names this registry, and not only a helper for all."""
    return any(resolve_index_name(key) == registry for key in (*config.cred_helpers, *config.auths))
