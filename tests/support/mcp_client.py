"""A client of the Model Context Protocol that sends what a test says: right or wrong."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.fastlane import Answer, Fastlane

MODERN, EARLIER = "2026-07-28", "2025-06-18"
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def modern_params(**params: Any) -> dict[str, Any]:
    """Parameters as they are since 2026-07-28."""
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    return {**params, "_meta": meta}


def request(method: str, id: Any = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


class McpOverHttp:
    """Asks a server's ``/mcp``, with these headers beside its own. ``modern``: as a client of 2026-07-28, else as one of 2025-06-18."""

    def __init__(self, server: Fastlane, headers: Mapping[str, str] | None = None, *, modern: bool = True) -> None:
        self._server = server
        self._headers = {**JSON, **(headers or {})}
        self._modern = modern

    async def send(self, message: Any, **headers: str) -> Answer:
        """The answer to a message as it stands."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        return await self._server.post("/mcp", body, headers={**self._headers, **headers})

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The JSON-RPC answer to a request."""
        headers = {"MCP-Protocol-Version": MODERN if self._modern else EARLIER}
        if self._modern:
            headers["Mcp-Method"] = method
            headers |= {"Mcp-Name": params["name"]} if "name" in params else {}
            params = modern_params(**params)
        answer = await self.send(request(method, **params), **headers)
        assert answer.headers["Content-Type"] == "application/json", answer
        return answer.json

    async def tools(self) -> set[str]:
        return {tool["name"] for tool in (await self.ask("tools/list"))["result"]["tools"]}

    async def call(self, name: str, **arguments: Any) -> list[str]:
        """The texts of a tool's result."""
        result = (await self.ask("tools/call", name=name, arguments=arguments))["result"]
        assert result["isError"] is False, result
        return [part["text"] for part in result["content"]]

    async def json(self, name: str, **arguments: Any) -> Any:
        """The JSON that is a tool's whole result."""
        (text,) = await self.call(name, **arguments)
        return json.loads(text)

    async def refusal(self, name: str, **arguments: Any) -> str:
        """Why a tool had no result."""
        result = (await self.ask("tools/call", name=name, arguments=arguments))["result"]
        assert result["isError"] is True, result
        return str(result["content"][0]["text"])
