"""The sides of ``benchmarks.end_to_end``: fastlane, the bare loop, Celery, Airflow and cron."""

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import docker

from benchmarks import witness
from benchmarks.containers import AT_ONCE, BARE, IMAGE, Bare, serving
from benchmarks.end_to_end import Side
from benchmarks.others import Other
from benchmarks.processes import ROOT, child, started
from fastlane import __version__
from tests.support import airflow
from tests.support.private_cron import cron, cron_version, write_tab
from tests.support.redis import RealRedis
from tests.support.waiting import wait_until

MINUTE = 60
AHEAD = 5.0
"""Seconds that cron's lines stand there before they are due, at the least."""
PATIENCE = 600.0
"""Seconds that one side's jobs may take."""
BETWEEN_LOOKS = 0.25
ALOUD = 'exec "$@" >&2'
"""Has a process write to standard error alone, which is kept in a file: nobody reads the other."""
AIRFLOW_LIMITS = {"CORE__MAX_ACTIVE_TASKS_PER_DAG": str(AT_ONCE), "CORE__MAX_ACTIVE_RUNS_PER_DAG": str(AT_ONCE)}


class BareLoop:
    """The loop of ``benchmarks.containers``."""

    name, version, runs, by_minutes = BARE, docker.__version__, "service", False
    settings = "creates a service for each job, and lists their tasks every 20 ms. It keeps no process."

    def __init__(self, engine: str) -> None:
        self._engine = engine

    @contextlib.contextmanager
    def running(self) -> Iterator[Sequence[int]]:
        """As ``Side`` says."""
        with contextlib.closing(Bare(self._engine)) as self._bare:
            self._bare.one()
            yield ()

    def singles(self, count: int) -> list[float]:
        """As ``Side`` says."""
        return [self._bare.one() for _ in range(count)]

    def many(self, count: int) -> float:
        """As ``Side`` says."""
        return self._bare.many(count)


class Fastlane:
    """fastlane."""

    name, version, runs, by_minutes = "fastlane", __version__.partition("+")[0], "service", False
    settings = "`fastlane up`: server, worker, SQLite and its own Valkey; `maxRunning` 100. A client waits for a single job by `?wait=60`."

    def __init__(self, engine: str) -> None:
        self._engine = engine

    @contextlib.contextmanager
    def running(self) -> Iterator[Sequence[int]]:
        """As ``Side`` says."""
        with serving(self._engine) as (self._client, installation):
            self._client.one()
            yield [process.pid for process in installation.processes]

    def singles(self, count: int) -> list[float]:
        """As ``Side`` says."""
        return [self._client.one() for _ in range(count)]

    def many(self, count: int) -> float:
        """As ``Side`` says."""
        return self._client.many(count)


class CelerySide:
    """Celery with docker-py."""

    name, runs, by_minutes = "Celery with docker-py", "container", False
    settings = (
        "one worker, `--pool threads --concurrency 100`, Redis as broker and result backend (it keeps nothing on disk), all else by "
        "default. A task creates a container, waits for it and removes it."
    )

    def __init__(self, engine: str, other: Other) -> None:
        self._engine, self._other, self.version = engine, other, other.version

    @contextlib.contextmanager
    def running(self) -> Iterator[Sequence[int]]:
        """As ``Side`` says."""
        with RealRedis() as redis:
            self._words = ("benchmarks.peers.celery_containers", str(redis.socket), self._engine, _image(self._engine))
            with child("peers.celery_containers", *self._words[1:], "work", python=self._other.python) as worker:
                self._client("one", 1)
                yield [worker.pid, redis.pid]

    def singles(self, count: int) -> list[float]:
        """As ``Side`` says."""
        took: list[float] = self._client("one", count)
        return took

    def many(self, count: int) -> float:
        """As ``Side`` says."""
        return count / float(self._client("many", count))

    def _client(self, action: str, count: int) -> Any:
        words = [str(self._other.python), "-m", *self._words, action, str(count)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode:
            raise RuntimeError(f"a client of Celery failed: {done.stderr[-2000:]}")
        return json.loads(done.stdout)


class AirflowSide:
    """Airflow with its operator for swarms. Its tables are made once, and its processes start anew in each round."""

    name, runs, by_minutes = "Airflow, DockerSwarmOperator", "service", False
    settings = (
        "PostgreSQL 17, LocalExecutor, and `airflow scheduler`, `dag-processor` and `api-server`; `parallelism` 32, which is the default; "
        "`max_active_tasks_per_dag` and `max_active_runs_per_dag` 100, all else by default. A DAG of one task: `enable_logging` off (with "
        "it the operator looks every 2 s), `auto_remove` success. A run is asked for by the REST API, since its command line takes "
        "seconds to start."
    )

    def __init__(self, engine: str, other: Other) -> None:
        self._engine, self._other, self.version = engine, other, other.version
        self._airflow: airflow.Airflow | None = None
        self._folder = tempfile.TemporaryDirectory()

    @contextlib.contextmanager
    def running(self) -> Iterator[Sequence[int]]:
        """As ``Side`` says."""
        if self._airflow is None:
            dag = ROOT / "benchmarks/peers/airflow_dag.py"
            self._airflow = airflow.set_up(self._other.python, Path(self._folder.name), dag)
        one = self._airflow
        settings = one.environment(**AIRFLOW_LIMITS) | {"BENCH_ENGINE": self._engine, "BENCH_IMAGE": _image(self._engine)}
        with airflow.database(one) as database, contextlib.ExitStack() as stack:
            processes = [stack.enter_context(started(["sh", "-c", ALOUD, role, *one.command(role)], settings)) for role in airflow.ROLES]
            wait_until(lambda: one.ready("bench"), "Airflow to know its DAG", PATIENCE)
            with contextlib.closing(HTTPConnection("127.0.0.1", one.port, timeout=120)) as connection:
                self._client = airflow.Connection(connection)
                self._run(1)
                yield [database.pid, *(process.pid for process, _ in processes)]

    def singles(self, count: int) -> list[float]:
        """As ``Side`` says."""
        return [self._run(1) * 1000 for _ in range(count)]

    def many(self, count: int) -> float:
        """As ``Side`` says."""
        return count / self._run(count)

    def _run(self, count: int) -> float:
        """The seconds from the first request to the end of the last task, by Airflow's own record."""
        began = time.time()
        names = [airflow.run_name() for _ in range(count)]
        for name in names:
            self._client.call("POST", "/dags/bench/dagRuns", {"dag_run_id": name, "logical_date": None})
        give_up = began + PATIENCE
        ends: dict[str, str] = {}
        while len(ends) < count:
            if time.time() > give_up:
                raise RuntimeError(f"{count - len(ends)} of {count} runs of Airflow did not end")
            time.sleep(BETWEEN_LOOKS if count == 1 else BETWEEN_LOOKS * 10)
            body = {"dag_ids": ["bench"], "dag_run_ids": names, "state": ["success", "failed"], "page_limit": count}
            for task in self._client.call("POST", "/dags/~/dagRuns/~/taskInstances/list", body)["task_instances"]:
                if task["state"] != "success":
                    raise RuntimeError(f"a run of Airflow ended as {task['state']}")
                ends[task["dag_run_id"]] = task["end_date"]
        return max(datetime.fromisoformat(end).timestamp() for end in ends.values()) - began


class CronSide:
    """cron with ``docker run``."""

    name, runs, by_minutes = "cron with `docker run`", "container", True
    settings = (
        "Debian's, a line `docker run --rm --init --log-driver local` for each job. From the due minute, since nothing can be asked for "
        "earlier; a hundred are a hundred lines of one minute."
    )

    def __init__(self, engine: str) -> None:
        self._socket = Path(engine.removeprefix("unix://"))
        self._image = _image(engine)
        self.version = cron_version()

    @contextlib.contextmanager
    def running(self) -> Iterator[Sequence[int]]:
        """As ``Side`` says."""
        with tempfile.TemporaryDirectory() as folder:
            self._folder = Path(folder)
            self._ends = self._folder / "ends"
            self._ends.touch()
            with started(cron(self._folder, "", self._socket), {"TZ": "UTC"}) as (process, _):
                yield [process.pid]

    def singles(self, count: int) -> list[float]:
        """As ``Side`` says."""
        return [self._minute(1) * 1000 for _ in range(count)]

    def many(self, count: int) -> float:
        """As ``Side`` says."""
        return count / self._minute(count)

    def _minute(self, count: int) -> float:
        """The seconds from the next minute to the last end of the jobs that are due then."""
        due = int((time.time() + AHEAD) // MINUTE + 1) * MINUTE
        run = f"docker -H unix://{self._folder}/docker.sock run --rm --init --log-driver local {self._image} true"
        line = f'{datetime.fromtimestamp(due, UTC):%M %H} * * * {run} && echo "0 $(date +\\%s.\\%N)" >> {self._ends}\n'
        after = self._ends.stat().st_size
        write_tab(self._folder, line * count)
        found = witness.wait_for(self._ends, count, PATIENCE, after=after)
        if len(found) < count:
            raise RuntimeError(f"{count - len(found)} of {count} lines of cron did not end well")
        return max(moment for _, moment in found) - due


def _image(engine: str) -> str:
    """The image by its id, as fastlane and the loop name it: nobody looks for it elsewhere."""
    with contextlib.closing(docker.APIClient(base_url=engine, version="1.41", timeout=60)) as client:
        found: str = client.inspect_image(IMAGE)["Id"]
        return found


def sides(engine: str, found: Callable[[str], Other | None]) -> list[Side]:
    """All that are installed."""
    sides: list[Side] = [BareLoop(engine), Fastlane(engine), CronSide(engine)]
    if celery := found("celery"):
        sides.append(CelerySide(engine, celery))
    if one := found("airflow"):
        sides.append(AirflowSide(engine, one))
    return sides
