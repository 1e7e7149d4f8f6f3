"""A Docker configuration and its credential helpers, as docker-py reads them.

``registries`` imports this module when there is a configuration to read: docker-py and what it imports take 14 MiB.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from docker.auth import INDEX_NAME, INDEX_URL, AuthConfig, resolve_index_name
from docker.credentials.errors import process_store_error
from docker.credentials.store import Store
from docker.errors import DockerException

from fastlane.models.image import Credentials

HELPER_WITHIN = 10.0
"""Seconds after which a helper is killed, with all its children."""
ENDED_WITHIN = 1.0
"""Seconds for which the end of a killed helper is waited for."""
MALFORMED = (DockerException, ValueError, TypeError, AttributeError, KeyError)
"""What docker-py raises for a malformed configuration, and for what a helper that failed has said."""


class HelperAnswer(Store):
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


class DockerConfig(AuthConfig):
    """A Docker configuration that is given a helper's answer."""

    _helped: HelperAnswer

    def _get_store_instance(self, _name: str) -> Store:
        return self._helped

    def credentials(self, registry: str, helped: HelperAnswer | None = None) -> Credentials:
        """The credentials for a registry, from its helper's answer if it has a helper. Raises ValueError when docker-py
        can read neither."""
        if helped is not None:
            self._helped = helped
        try:
            found: Mapping[str, str | None] = self.resolve_authconfig(registry) or {}
        except MALFORMED as error:
            raise ValueError("is malformed") from error
        return {key: value for key, value in found.items() if value is not None}

    def names(self, registry: str) -> bool:
        """Whether it names this registry, and not only a helper for all."""
        return any(resolve_index_name(key) == registry for key in (*self.cred_helpers, *self.auths))


def parse(text: str) -> DockerConfig:
    """Reads a configuration. Raises ValueError for a malformed one."""
    content = json.loads(text) if text.strip() else {}
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")
    if not content:
        return DockerConfig({})  # without one, docker-py would read the user's
    try:
        config: DockerConfig = DockerConfig.load_config(None, content)
    except MALFORMED as error:
        raise ValueError("is malformed") from error
    return config


async def ask(helper: str, registry: str) -> HelperAnswer:
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
    return HelperAnswer(name, output, await process.wait())


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Ends a helper with its child processes."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(ENDED_WITHIN):
            await process.wait()
