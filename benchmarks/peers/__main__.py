"""A process of a peer: its worker, or a client that enqueues. Run it with the Python of the peer's environment.

    python -m benchmarks.peers PEER SOCKET work
    python -m benchmarks.peers PEER SOCKET enqueue COUNT            one call after another; prints how many a second
    python -m benchmarks.peers PEER SOCKET pace COUNT GAP           a call each GAP seconds; a job's token is the moment of its call
    python -m benchmarks.peers PEER SOCKET delay FROM SPAN COUNT    due at random moments within SPAN; a job's token is its number
    python -m benchmarks.peers PEER SOCKET fill COUNT               due in a day and later

SOCKET is the Redis server's unix socket. Moments in seconds since 1970, durations in seconds.
"""

import os
import random
import sys
import time
from importlib import import_module
from typing import Any

WARM_UP = 100
DAY = 86_400
SEED = 4
WARM = "warm"
"""The token of jobs that are not measured."""


def enqueue(peer: Any, count: int) -> None:
    """Makes calls one after another, after a warm-up."""
    for _ in range(WARM_UP):
        peer.enqueue(WARM)
    began = time.perf_counter()
    for _ in range(count):
        peer.enqueue("0")
    sys.stdout.write(f"{count / (time.perf_counter() - began)}\n")


def pace(peer: Any, count: int, gap: float) -> None:
    """Makes calls at even intervals, after a warm-up."""
    for _ in range(WARM_UP // 10):
        peer.enqueue(WARM)
        time.sleep(gap)
    began = time.time()
    for number in range(count):
        time.sleep(max(0.0, began + number * gap - time.time()))
        peer.enqueue(f"{time.time():.6f}")


def delay(peer: Any, start: float, span: float, count: int) -> None:
    """Enqueues jobs with the same due times for each peer, in a random order."""
    for token, due in delays(start, span, count):
        peer.delay(token, due)


def delays(start: float, span: float, count: int) -> list[tuple[str, float]]:
    """The token and due time of each job."""
    chance = random.Random(SEED)
    return [(f"{number}", round(start + chance.random() * span, 3)) for number in range(count)]


def fill(peer: Any, count: int) -> None:
    """Enqueues far-off jobs."""
    start = time.time() + DAY
    for number in range(count):
        peer.delay("far", start + number)


def main(name: str, socket: str, action: str, *words: str) -> None:
    """Runs one of the commands above."""
    peer = import_module(f"benchmarks.peers.{name}_peer").Peer(socket)
    numbers = [float(word) for word in words]
    match action, numbers:
        case "work", []:
            peer.work(lambda: os.write(1, b"ready\n"))  # Celery has replaced print by then
        case "enqueue", [count]:
            enqueue(peer, int(count))
        case "pace", [count, gap]:
            pace(peer, int(count), gap)
        case "delay", [start, span, count]:
            delay(peer, start, span, int(count))
        case "fill", [count]:
            fill(peer, int(count))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
