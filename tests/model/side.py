"""A plain way to Redis beside the queue's own: to hear its hints, and to flush, keep and put back what it holds."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import hiredis

PATIENCE = 30.0


class Side:
    """A blocking connection to the server at ``path``; answers are bytes."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(path))
        self._reader = hiredis.Reader()

    def close(self) -> None:
        self._socket.close()

    def command(self, *words: str | bytes | int) -> Any:
        """Redis's answer to one command."""
        self.send(*words)
        answer = self.read()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send(self, *words: str | bytes | int) -> None:
        self._socket.sendall(hiredis.pack_command(words))

    def read(self) -> Any:
        while (answer := self._reader.gets()) is False:
            data = self._socket.recv(65536)
            assert data, "the server has cut the connection"
            self._reader.feed(data)
        return answer


class Hints:
    """The queue's channel, read when somebody asks: everything that was published until then."""

    def __init__(self, path: Path, channel: str) -> None:
        self._side = Side(path)
        self._side.command("SUBSCRIBE", channel)

    def close(self) -> None:
        self._side.close()

    def drain(self) -> Iterator[str]:
        """What was published since the last time."""
        self._side.send("PING")
        while (answer := self._side.read())[0] != b"pong":
            yield answer[2].decode()


class Keys:
    """The keys of one installation, as a whole."""

    def __init__(self, path: Path, pattern: str) -> None:
        self._path = path
        self._pattern = pattern

    def names(self) -> list[str]:
        with closing(Side(self._path)) as side:
            return sorted(name.decode() for name in side.command("KEYS", self._pattern))

    def get(self, name: str) -> str | None:
        """A text that it holds."""
        with closing(Side(self._path)) as side:
            found = side.command("GET", name)
        return None if found is None else str(found.decode())

    def waits(self, entry_id: str) -> bool:
        """Whether the queue has an entry of this id that nobody has leased."""
        prefix = self._pattern.replace("\\{", "{").removesuffix("*")
        with closing(Side(self._path)) as side:
            there = side.command("HEXISTS", prefix + "entries", entry_id)
            return bool(there) and side.command("ZSCORE", prefix + "leases", entry_id) is None

    def flush(self) -> None:
        """All of it is gone."""
        with closing(Side(self._path)) as side:
            for name in side.command("KEYS", self._pattern):
                side.command("DEL", name)

    def dump(self) -> dict[bytes, bytes]:
        """All of it, to be put back."""
        with closing(Side(self._path)) as side:
            found = {name: side.command("DUMP", name) for name in side.command("KEYS", self._pattern)}
        return {name: data for name, data in found.items() if data is not None}

    def put_back(self, state: dict[bytes, bytes]) -> None:
        """It is again as it was then."""
        self.flush()
        with closing(Side(self._path)) as side:
            for name, data in state.items():
                side.command("RESTORE", name, 0, data)
