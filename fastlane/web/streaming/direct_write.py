"""Writes to a connection without what Tornado adds to each write: a copy, a future and a callback in the loop's next turn. For a frame that
goes to a thousand clients, they cost as much as the system calls."""

from tornado.iostream import IOStream


def write(stream: IOStream, data: bytes) -> None:
    """Writes the data. What the socket does not take at once waits in Tornado's buffer, and so does what is written after that. Raises
    StreamClosedError."""
    if type(stream) is IOStream and not stream.closed() and not stream.writing():  # TLS has a state of its own for what it could not write
        try:
            taken = stream.socket.send(data)
        except OSError:
            taken = 0  # Tornado tries again, and waits or closes the connection
        if taken == len(data):
            return
        data = data[taken:]
    stream.write(data)
