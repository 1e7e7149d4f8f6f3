"""The bare broadcast: a Tornado server that makes lines, batches those of 100 ms into one frame, and writes it to each socket.

``python -m benchmarks.followers_bare PORT LINES``; it prints ``ready``. It has no store, no replay, no end of the log and no
limit for slow clients.
"""

import asyncio
import sys
from struct import pack

import click
import uvloop
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from benchmarks.followers_writer import line

GATHER = 0.1

streams: set[IOStream] = set()


class Socket(WebSocketHandler):
    """A listening client."""

    def open(self) -> None:
        assert self.ws_connection is not None
        assert self.ws_connection.stream is not None
        self.set_nodelay(True)
        self.listener = self.ws_connection.stream
        streams.add(self.listener)

    def on_message(self, message: str | bytes) -> None:
        """Nothing."""

    def on_close(self) -> None:
        streams.discard(self.listener)


async def run(port: int, a_second: float) -> None:
    """Serves forever."""
    server = HTTPServer(Application([("/.*", Socket)]))
    server.listen(port, "127.0.0.1")
    click.echo("ready")
    loop = asyncio.get_running_loop()
    number, due, gathered = 0, loop.time(), list[bytes]()
    while True:
        due += 1 / a_second
        await asyncio.sleep(max(0.0, due - loop.time()))
        gathered.append(line(number))
        number += 1
        if len(gathered) >= a_second * GATHER:
            text = b"".join(gathered)
            gathered = []
            frame = pack(">BBH", 0x81, 126, len(text)) + text
            for stream in tuple(streams):
                try:
                    stream.write(frame)
                except StreamClosedError:
                    streams.discard(stream)


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1]), float(sys.argv[2])))
