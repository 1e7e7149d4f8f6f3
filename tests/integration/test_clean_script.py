"""``make clean`` on a user's engine: it removes what is proved to be its own, and nothing that took its place since."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.checkout import checkout, succeed
from tests.support.engine import IMAGE, private_engine

SHORT = 12
SWARM = "{{with .Swarm.Cluster}}{{.ID}}{{end}}"
DOCKER_THAT_CANNOT_INSPECT = """#!/bin/bash
case " $* " in *" service inspect "*) exit 1 ;; esac
exec {docker} "$@"
"""


@pytest.fixture(scope="module")
def own_engine() -> Iterator[str]:
    """An engine that no other test uses, as a user has it: its URL."""
    with private_engine() as url:
        yield url


class UserEngine:
    """The engine, by the docker command."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *words: str, given: str | None = None) -> str:
        """What the command printed."""
        done = subprocess.run(["docker", "-H", self.url, *words], input=given, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def swarm(self) -> str:
        """The swarm's id; empty without one."""
        return self("info", "--format", SWARM)

    def new_swarm(self) -> str:
        """The user makes another swarm."""
        if self.swarm():
            self("swarm", "leave", "--force")
        self("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
        return self.swarm()

    def service(self, **labels: str) -> str:
        """A service that runs nothing; its id."""
        words = [word for name, value in labels.items() for word in ("--label", f"fastlane.{name}={value}")]
        return self("service", "create", "--detach", "--quiet", "--no-resolve-image", "--replicas", "0", *words, IMAGE)[:SHORT]

    def services(self) -> set[str]:
        return {id[:SHORT] for id in self("service", "ls", "--quiet").split()}


@pytest.fixture
def user(own_engine: str) -> UserEngine:
    """The engine, without a swarm."""
    user = UserEngine(own_engine)
    if user.swarm():
        user("swarm", "leave", "--force")
    return user


@pytest.fixture
def folder() -> Iterator[Path]:
    """What `make run` and `make clean` need of a checkout."""
    with checkout("scripts") as folder:
        yield folder


def choose(folder: Path, user: UserEngine) -> None:
    """The step of `make run` that changes an engine."""
    assert succeed(folder, "scripts/choose-engine", DOCKER_HOST=user.url).strip().endswith(user.url)


def clean(folder: Path, **environment: str) -> str:
    return succeed(folder, "scripts/clean", **environment)


def database(folder: Path, *executions: str, table: str = "executions") -> None:
    """Writes into the database that fastlane had these executions."""
    with sqlite3.connect(folder / ".fastlane/fastlane.db") as rows:
        rows.execute(f"CREATE TABLE {table} (id TEXT PRIMARY KEY)")
        rows.executemany(f"INSERT INTO {table} VALUES (?)", [(execution,) for execution in executions])
    rows.close()


def test_a_swarm_that_was_made_and_never_used_is_removed(folder: Path, user: UserEngine) -> None:
    choose(folder, user)
    assert user.swarm()
    choose(folder, user)

    clean(folder)

    assert user.swarm() == ""
    assert not (folder / ".fastlane").exists()


CONTENTS: dict[str, tuple[str, ...]] = {
    "service": ("service", "create", "--detach", "--quiet", "--no-resolve-image", "--replicas", "0", "--name", "theirs", IMAGE),
    "secret": ("secret", "create", "theirs", "-"),
    "config": ("config", "create", "theirs", "-"),
    "network": ("network", "create", "--driver", "overlay", "theirs"),
}


def test_a_swarm_that_was_made_is_kept_when_the_user_has_put_something_into_it(folder: Path, user: UserEngine) -> None:
    made = user.new_swarm()
    node = user("info", "--format", "{{.Swarm.NodeID}}")

    def cleaned() -> str:
        (folder / ".fastlane").mkdir()
        (folder / ".fastlane/made").write_text(f"swarm {made} {user.url}\n")
        return clean(folder)

    for kind, words in CONTENTS.items():
        user(*words, given="text")
        assert f"{kind} theirs" in cleaned()
        user(kind, "rm", "theirs")
    user("node", "update", "--label-add", "theirs=1", node)
    assert "label theirs" in cleaned()
    assert user.swarm() == made
    user("node", "update", "--label-rm", "theirs", node)
    cleaned()
    assert user.swarm() == ""


def test_another_swarm_at_the_same_url_is_left_alone(folder: Path, user: UserEngine) -> None:
    choose(folder, user)
    execution = str(uuid4())
    database(folder, execution)
    theirs = user.new_swarm()
    service = user.service(installation="fastlane", execution=execution)

    said = clean(folder)

    assert "left alone" in said
    assert user.swarm() == theirs
    assert user.services() == {service}


def test_a_swarm_that_another_made_meanwhile_is_not_taken_for_ours(folder: Path, user: UserEngine) -> None:
    theirs = user.new_swarm()

    assert succeed(folder, "scripts/engine", "swarm", user.url) == ""
    choose(folder, user)
    clean(folder)

    assert user.swarm() == theirs


def test_only_services_that_are_proved_to_be_ours_are_removed(folder: Path, user: UserEngine) -> None:
    user.new_swarm()
    choose(folder, user)
    execution, deleted = str(uuid4()), str(uuid4())
    database(folder, execution)
    database(folder, deleted, table="deleted_executions")
    (folder / ".fastlane/installation").write_text("fastlane-0123456789abcdef\n")
    user.service(installation="fastlane", execution=execution)
    user.service(installation="fastlane", execution=deleted)
    user.service(installation="fastlane-0123456789abcdef", execution=str(uuid4()))
    theirs = {
        user.service(installation="fastlane", execution=str(uuid4())),
        user.service(installation="fastlane"),
        user.service(installation="fastlane", execution=""),
        user.service(installation="", execution=""),
        user.service(execution=execution),
    }

    clean(folder)

    assert user.services() == theirs


def test_a_service_whose_inspection_fails_is_left_alone(folder: Path, user: UserEngine, tmp_path: Path) -> None:
    user.new_swarm()
    choose(folder, user)
    database(folder)
    service = user.service(installation="theirs", execution=str(uuid4()))
    failing = tmp_path / "docker"
    failing.write_text(DOCKER_THAT_CANNOT_INSPECT.format(docker=shutil.which("docker")))
    failing.chmod(0o755)

    clean(folder, PATH=f"{tmp_path}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")

    assert user.services() == {service}


def test_records_without_an_id_prove_nothing(folder: Path, user: UserEngine) -> None:
    swarm = user.new_swarm()
    (folder / ".fastlane").mkdir()
    lines = ("swarm {0}", "swarm  {0}", "services {0}", "services  {0}", "image {0} ubuntu:latest", "image   ubuntu:latest {0}")
    (folder / ".fastlane/made").write_text("".join(line.format(user.url) + "\n" for line in lines))
    execution = str(uuid4())
    database(folder, execution)
    service = user.service(installation="fastlane", execution=execution)

    clean(folder)

    assert user.swarm() == swarm
    assert user.services() == {service}
    assert user("image", "ls", "--quiet", IMAGE)


def test_an_image_is_removed_only_while_it_is_the_one_that_was_pulled(folder: Path, user: UserEngine) -> None:
    engine, image = user("info", "--format", "{{.ID}}"), user("image", "inspect", IMAGE, "--format", "{{.Id}}")
    (folder / ".fastlane").mkdir()
    user("tag", IMAGE, "pulled:1")
    user("tag", IMAGE, "pulled:2")
    user("tag", IMAGE, "pulled:3")
    records = [(engine, image, "pulled:1"), (engine, "sha256:" + "0" * 64, "pulled:2"), ("another", image, "pulled:3")]
    (folder / ".fastlane/made").write_text("".join(f"image {' '.join(record)} {user.url}\n" for record in records))

    clean(folder)

    tags = json.loads(user("image", "inspect", image, "--format", "{{json .RepoTags}}"))
    assert set(tags) >= {"pulled:2", "pulled:3"}
    assert "pulled:1" not in tags


def test_other_virtual_environments_in_the_checkout_stay(folder: Path) -> None:
    for name in (".venv", ".venv-test", ".venv-peers", ".venv-mine"):
        (folder / name).mkdir()

    clean(folder)

    assert [path.name for path in folder.glob(".venv*")] == [".venv-mine"]
