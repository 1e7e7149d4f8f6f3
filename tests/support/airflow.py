"""Airflow 3 as its documentation advises for one machine: PostgreSQL, LocalExecutor, a scheduler, a DAG processor and an API server."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.ports import free_port
from tests.support.waiting import wait_until

POSTGRES = Path("/usr/lib/postgresql/17/bin")
ROLES = ("api-server", "scheduler", "dag-processor")
"""The commands of its processes."""
MIGRATION = 300.0
"""Seconds that the set-up of its tables may take."""


@dataclass(frozen=True)
class Airflow:
    """An Airflow that is set up. ``folder`` holds all that it has; PostgreSQL must be able to enter it."""

    python: Path
    folder: Path
    port: int

    @property
    def database(self) -> list[str]:
        """The command that runs PostgreSQL, which is never root, and is given its port by the folder of its socket."""
        return [*AS_POSTGRES, str(POSTGRES / "postgres"), "-D", f"{self.folder}/postgres/data", "-k", f"{self.folder}/postgres", "-h", ""]

    def command(self, role: str) -> list[str]:
        """The command that runs one of ``ROLES``."""
        return [str(self.python), "-m", "airflow", role]

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment variables of its processes, with these settings (``CORE__PARALLELISM``)."""
        own = {
            "CORE__DAGS_FOLDER": f"{self.folder}/dags",
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres@/postgres?host={self.folder}/postgres",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": f"http://127.0.0.1:{self.port}",
            "API_AUTH__JWT_SECRET": "a secret of an installation that lasts for minutes",
        }
        chosen = {f"AIRFLOW__{name}": value for name, value in {**own, **settings}.items()}
        return {"AIRFLOW_HOME": str(self.folder), "PATH": f"{self.python.parent}:{os.environ['PATH']}", **chosen}

    def ready(self, dag: str) -> bool:
        """Whether its API knows this DAG."""
        with contextlib.suppress(OSError, LookupError):
            return self.call("GET", f"/dags/{dag}")["dag_id"] == dag
        return False

    def call(self, method: str, path: str, body: object = None) -> Any:
        """A request to its REST API; raises LookupError for a 404, and RuntimeError for any other answer that isn't a success."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            return Connection(connection).call(method, path, body)
        finally:
            connection.close()


class Connection:
    """One connection to its REST API that is kept alive."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection
        self._token = self._request("GET", "/auth/token")["access_token"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """As ``Airflow.call`` says."""
        return self._request(method, f"/api/v2{path}", body, {"Authorization": f"Bearer {self._token}"})

    def _request(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, path, sent, {"Content-Type": "application/json", **(headers or {})})
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            kind = LookupError if answer.status == 404 else RuntimeError
            raise kind(f"{method} {path}: {answer.status} {data[:500]!r}")
        return json.loads(data)


AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")


def set_up(python: Path, folder: Path, dag: Path, *, without_sync: bool = False) -> Airflow:
    """Makes the tables of a new Airflow with this DAG's file, and leaves nothing running. Raises CalledProcessError."""
    airflow = Airflow(python, folder, free_port())
    folder.chmod(0o755)
    (folder / "dags").mkdir()
    shutil.copy(dag, folder / "dags")
    (folder / "postgres").mkdir()
    shutil.chown(folder / "postgres", "postgres", "postgres")
    words = ["--no-sync"] if without_sync else []
    run = [*AS_POSTGRES, str(POSTGRES / "initdb"), "-D", f"{folder}/postgres/data", "-A", "trust", "-U", "postgres", *words]
    subprocess.run(run, check=True, capture_output=True, cwd=folder / "postgres")
    with database(airflow):
        subprocess.run(
            [str(python), "-m", "airflow", "db", "migrate"],
            check=True,
            capture_output=True,
            cwd=folder,
            env={**os.environ, **airflow.environment()},
            timeout=MIGRATION,
        )
    return airflow


@contextlib.contextmanager
def database(airflow: Airflow) -> Iterator[subprocess.Popen[bytes]]:
    """Its PostgreSQL, until the end of the block."""
    with (airflow.folder / "database.log").open("ab") as log:
        process = subprocess.Popen(airflow.database, cwd=airflow.folder / "postgres", stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: next((airflow.folder / "postgres").glob(".s.PGSQL.*"), None) is not None, "PostgreSQL to listen")
        yield process
    finally:
        process.terminate()
        process.wait(60)


def run_name() -> str:
    """A new name for a run of a DAG."""
    return f"run-{uuid4().hex}"
