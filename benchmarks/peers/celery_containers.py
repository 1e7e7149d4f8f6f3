"""Celery with docker-py: a worker whose task runs a container, and a client. Run it with the Python of Celery's environment.

python -m benchmarks.peers.celery_containers SOCKET ENGINE IMAGE work
python -m benchmarks.peers.celery_containers SOCKET ENGINE IMAGE one COUNT      one after another; prints the milliseconds of each
python -m benchmarks.peers.celery_containers SOCKET ENGINE IMAGE many COUNT     at once; prints the seconds of all
"""

import json
import os
import sys
import threading
import time

import docker
from celery import Celery
from celery.signals import worker_ready

AT_ONCE = 100
own = threading.local()


def run(engine: str, image: str) -> float:
    """Runs a container; returns the moment at which it had ended."""
    client = getattr(own, "client", None)
    if client is None:
        client = own.client = docker.DockerClient(base_url=engine, version="1.41", timeout=120)
    container = client.containers.run(image, "true", detach=True, init=True, log_config={"Type": "local"})
    try:
        if (code := container.wait()["StatusCode"]) != 0:
            raise RuntimeError(f"a container ended with {code}")
        return time.time()
    finally:
        container.remove()


def main(socket: str, engine: str, image: str, action: str, count: str = "0") -> None:
    """Runs one of the commands above."""
    app = Celery("bench", broker=f"redis+socket://{socket}", backend=f"redis+socket://{socket}")
    task = app.task(name="run")(run)
    if action == "work":
        worker_ready.connect(lambda **_: os.write(1, b"ready\n"), weak=False)
        app.Worker(pool="threads", concurrency=AT_ONCE, quiet=True, loglevel="ERROR").start()
    elif action == "one":
        task.delay(engine, image).get(timeout=120)  # its connections are made then
        took = []
        for _ in range(int(count)):
            began = time.time()
            took.append((task.delay(engine, image).get(timeout=120) - began) * 1000)
        sys.stdout.write(json.dumps(took))
    else:
        began = time.time()
        waiting = [task.delay(engine, image) for _ in range(int(count))]
        sys.stdout.write(json.dumps(max(one.get(timeout=600) for one in waiting) - began))


if __name__ == "__main__":
    main(*sys.argv[1:])
