"""``fastlane mcp``: a program speaks to it by its stdin and stdout, and it asks a server by REST."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastlane.cli.client.commands.mcp import LONGEST
from fastlane.models.log import STDOUT
from tests.support.command_line import CommandLine
from tests.support.credentials import token
from tests.support.fastlane import Fastlane
from tests.support.mcp_client import EARLIER, modern_params, request
from tests.support.redis import RealRedis
from tests.support.waiting import LONG_PATIENCE


class McpOverStdio:
    """A running ``fastlane mcp``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._input, self._output = process, process.stdin, process.stdout

    async def send(self, message: Any) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._input.write(line + b"\n")
        await self._input.drain()

    async def next(self) -> dict[str, Any]:
        """The next message that comes."""
        async with asyncio.timeout(LONG_PATIENCE):
            return dict(json.loads(await self._output.readline()))

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        await self.send(request(method, **params))
        return await self.next()

    async def call(self, name: str, **arguments: Any) -> tuple[bool, str]:
        """Whether a tool failed, and the last text of its result."""
        result = (await self.ask("tools/call", name=name, arguments=arguments))["result"]
        return result["isError"], result["content"][-1]["text"]

    async def close(self) -> tuple[int, bytes, str]:
        """Ends its stdin: its exit code, and what it still writes."""
        async with asyncio.timeout(LONG_PATIENCE):
            out, err = await self._process.communicate()
        return self._process.returncode or 0, out, err.decode()

    async def interrupt(self) -> tuple[int, str]:
        """Ends it by Ctrl-C, while its stdin stays open: its exit code, and what it says."""
        self._process.send_signal(signal.SIGINT)
        assert self._process.stderr is not None
        async with asyncio.timeout(LONG_PATIENCE):
            said = await self._process.stderr.read()
            return await self._process.wait(), said.decode()


@asynccontextmanager
async def started(line: CommandLine, *arguments: str) -> AsyncIterator[McpOverStdio]:
    process = await line.start("mcp", *arguments, stdin=asyncio.subprocess.PIPE, limit=4 * LONGEST)
    try:
        yield McpOverStdio(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_program_looks_and_runs_a_job_of_a_server_that_has_no_mcp(crewed: Fastlane, crewed_line: CommandLine) -> None:
    job = await crewed.enqueue("release", manual=True, parameters={"VERSION": {"required": True}})
    ids = {"task": "release", "job": job["jobId"]}
    async with started(crewed_line, "--allow-run") as program:
        answer = (await program.ask("initialize", protocolVersion=EARLIER, capabilities={}))["result"]
        assert (answer["protocolVersion"], answer["serverInfo"]["name"]) == (EARLIER, "fastlane")
        await program.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert await program.ask("ping") == {"jsonrpc": "2.0", "id": 1, "result": {}}
        assert (await program.ask("server/discover", **modern_params()))["result"]["resultType"] == "complete"
        failed, words = await program.call("runJob", **ids, parameters={"OTHER": 1})
        assert failed
        assert words.startswith("400: ")
        failed, text = await program.call("runJob", **ids, parameters={"VERSION": "7"})
        assert not failed
        execution = json.loads(text)["executionId"]
        assert json.loads((await program.call("getExecution", **ids, execution=execution))[1])["execution"]["parameters"] == {
            "VERSION": "7"
        }
        assert await program.close() == (0, b"", "")


async def test_it_offers_no_tool_that_changes_anything_unless_told(server: Fastlane, command_line: CommandLine) -> None:
    async with started(command_line) as program:
        tools = {tool["name"]: tool for tool in (await program.ask("tools/list"))["result"]["tools"]}
        assert "runJob" not in tools
        assert all(tool["annotations"]["readOnlyHint"] for tool in tools.values())
        assert (await program.ask("tools/call", name="runJob", arguments={}))["error"]["code"] == -32602


async def test_logs_and_refusals_come_as_over_http(server: Fastlane, command_line: CommandLine) -> None:
    made = await server.run_to_end("task", (STDOUT, b"x" * 40_000 + b"\nend\n"))
    silent = await server.run_to_end("silent")
    async with started(command_line) as program:
        answer = await program.ask("tools/call", name="getLogs", arguments={"task": "task", "job": made["jobId"]})
        about, log = (part["text"] for part in answer["result"]["content"])
        assert "bytes 7237 to 40004 of 40005; what comes before: range=bytes=0-7236" in about
        assert log.endswith("x\nend\n")
        assert (await program.call("getLogs", task="silent", job=silent["jobId"]))[1] == "Nothing is written so far."
        failed, words = await program.call("getJob", task="task", job="7")
        assert failed
        assert words.startswith("404: there is no job '7'")


async def test_wrong_lines_are_errors_and_the_session_goes_on(server: Fastlane, command_line: CommandLine) -> None:
    wrong = {
        b"{": -32700,
        b"\xff\xfe": -32700,
        b"[" * 200_000: -32700,
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}': -32700,
        b'"' + b"a" * (LONGEST + 10) + b'"': -32700,
        b"[]": -32600,
        b"[" + json.dumps(request("ping")).encode() + b"]": -32600,
        b"7": -32600,
        b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}': -32600,
        b'{"jsonrpc":"2.0","id":1,"method":"resources/list"}': -32601,
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"listPools","arguments":[]}}': -32602,
    }
    async with started(command_line) as program:
        for line, code in wrong.items():
            await program.send(line)
            assert (await program.next())["error"]["code"] == code, line[:80]
        await program.send(b"  ")
        assert (await program.ask("ping"))["result"] == {}
        assert (await program.close())[0] == 0


async def test_a_cancelled_call_gets_no_answer(command_at: Callable[..., CommandLine]) -> None:
    """The server takes the connection and never answers."""
    connected = asyncio.Event()

    async def keep_silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await asyncio.wait_for(done.wait(), LONG_PATIENCE)
        writer.close()

    done = asyncio.Event()
    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with started(command_at(url)) as program:
            await program.send(request("tools/call", "first", name="listPools"))
            async with asyncio.timeout(LONG_PATIENCE):
                await connected.wait()
            again = request("tools/call", "first", name="listPools")
            await program.send(again)
            assert (await program.next())["error"]["code"] == -32600
            await program.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "first"}})
            await program.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": ["first"]}})
            assert (await program.ask("ping"))["id"] == 1
            assert await program.close() == (0, b"", "")
        done.set()


async def test_a_server_that_is_away_and_a_wrong_token_are_said(
    shared_redis: RealRedis, tmp_path: Path, command_at: Callable[..., CommandLine]
) -> None:
    async with started(command_at("http://user:hunter2@127.0.0.1:9")) as program:
        failed, words = await program.call("getStatus")
        assert failed
        assert "127.0.0.1:9 cannot be reached" in words
        assert "hunter2" not in words
    async with Fastlane(tmp_path / "server", shared_redis.url, tokens=(token("ann", "fl_ann", "read"),)) as server:
        async with started(command_at(server.base, FASTLANE_TOKEN="fl_ann"), "--allow-run") as program:
            failed, words = await program.call("runJob", task="task", job="01a2137a-ea28-776d-a93f-727c6cfea531")
            assert failed
            assert words.startswith("403: ")
        async with started(command_at(server.base, FASTLANE_TOKEN="fl_bob")) as program:
            failed, words = await program.call("getStatus")
            assert failed
            assert "set FASTLANE_TOKEN" in words
    done = await command_at("gopher://127.0.0.1")("mcp")
    assert done.code == 1
    assert "must begin with http://" in done.err


async def test_ctrl_c_ends_it(server: Fastlane, command_line: CommandLine) -> None:
    async with started(command_line) as program:
        await program.ask("ping")
        assert await program.interrupt() == (130, "")
