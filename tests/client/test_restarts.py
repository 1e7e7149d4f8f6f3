"""``fastlane run`` while the server that it asks is killed, and comes back."""

import asyncio
import os
import random
import sys

from tests.support.command_line import ended
from tests.support.docs import ROOT
from tests.support.waiting import LONG_PATIENCE, until


class Api:
    """A process ``fastlane api`` beside the test's server, on the same store and queue."""

    def __init__(self, server, folder, port: int) -> None:
        settings = server.settings
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "FASTLANE_STORE_URL": f"sqlite:///{settings.store_path}",
            "FASTLANE_REDIS_URL": str(settings.redis_url),
            "FASTLANE_INSTALLATION": settings.installation,
            "FASTLANE_LISTEN": "127.0.0.1",
            "FASTLANE_PORT": str(port),
        }
        self._port = port
        self._log = folder / "api.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it, and waits until it serves."""
        command = (sys.executable, "-m", "fastlane", "api")
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=self._environment, cwd=self._log.parent, stdout=log, stderr=log
            )
        await until(self._serves, self._log.read_text, LONG_PATIENCE)

    async def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def _serves(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        return True


async def test_a_run_has_each_byte_once_and_its_exit_code_though_the_server_is_killed(server, command_at, tmp_path, unused_tcp_port):
    api = Api(server, tmp_path, unused_tcp_port)
    await api.start()
    process = await command_at(api.url).start("run", "ubuntu", "--", "anything")
    row = await until(lambda: _enqueued(server), "a job", LONG_PATIENCE)
    execution = await server.run({"executionId": row["executionId"]})
    chance, out = random.Random(1), b""
    for turn in range(3):
        for _ in range(20):
            data = chance.randbytes(chance.randrange(1, 5_000))
            await server.append_log(execution, (1, data))
            out += data
        if turn < 2:
            await api.kill()
            await server.append_log(execution, (1, b"while it was away\n"), (2, b"trouble\n"))
            out += b"while it was away\n"
            await api.start()
    await server.end(execution, 7)
    done = await ended(process)
    await api.kill()
    assert (done.code, done.out == out) == (7, True), done.err
    assert done.err.count("trouble\n") == 2


async def _enqueued(server):
    rows = (await server.get("/executions")).json["items"]
    return rows[0] if rows else None
