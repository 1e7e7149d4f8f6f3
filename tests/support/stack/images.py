"""The images of the stack beside fastlane's own: Redis, HAProxy and Prometheus from Debian's packages, and a stand-in for MongoDB's.

MongoDB's own image and server are in none of the registries that a test may use. SecantusDB, a server of its protocol, is started by
programs that are called ``mongod`` and ``mongosh``, under the name of the image.
"""

import shutil
import tempfile
from pathlib import Path

from tests.support.images import docker, import_base
from tests.support.mongo import SECANTUS

HERE = Path(__file__).parent
REDIS, HAPROXY, MONGO, PROMETHEUS = "redis:8", "haproxy:3.2", "mongo:8.0", "prom/prometheus:v3.5.0"
PACKAGES = (
    "bson",
    "dateutil",
    "dns",
    "future",
    "gridfs",
    "numpy",
    "numpy.libs",
    "past",
    "pymongo",
    "s2sphere",
    "secantus",
    "secantusdb.libs",
    "shapely",
    "shapely.libs",
    "wiredtiger",
)
"""The parts of SecantusDB's environment that the server uses."""
DOCKERFILE = """
FROM debian-servers AS redis
WORKDIR /data

FROM debian-servers AS mongo
COPY packages /opt/mongo
COPY mongod mongosh /usr/bin/
RUN mkdir -p /data/db /data/configdb
"""


def make_images(engine: str) -> None:
    """Makes the images on an engine, under the names that the stack gives them. They share their base, which is pushed and pulled once."""
    import_base(engine, HAPROXY, ("haproxy", "redis-server", "python3", "libstdc++6"))
    docker(engine, "tag", HAPROXY, "debian-servers")
    (packages,) = SECANTUS.parents[1].glob("lib/python3*/site-packages")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in PACKAGES:
            shutil.copytree(packages / part, folder / "packages" / part, ignore=shutil.ignore_patterns("tests", "__pycache__"))
        for program in ("mongod", "mongosh"):
            shutil.copy(HERE / "mongo" / program, folder / program)
        (folder / "Dockerfile").write_text(DOCKERFILE)
        for stage, image in (("redis", REDIS), ("mongo", MONGO)):
            docker(engine, "build", "-q", "--network", "none", "--target", stage, "-t", image, name, DOCKER_BUILDKIT="0")


def make_prometheus(engine: str) -> None:
    """Makes Prometheus's image on an engine."""
    import_base(engine, "debian-prometheus", ("prometheus", "promtool"))
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "Dockerfile").write_text('FROM debian-prometheus\nRUN mkdir /prometheus\nENTRYPOINT ["/usr/bin/prometheus"]\n')
        docker(engine, "build", "-q", "--network", "none", "-t", PROMETHEUS, name, DOCKER_BUILDKIT="0")
