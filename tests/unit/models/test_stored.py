"""How a spec is stored: the format that older releases read, and how the types of attributes decide it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from fastlane.models.container import Container, Mount, MountKind, Resources, Secret
from fastlane.models.job import Spec
from fastlane.models.notify import Mailbox, NotificationTrigger, Webhook
from fastlane.models.retention import Retention
from fastlane.models.schedule import Overlap
from fastlane.models.stored import SPEC, StoredDocument

FULL = Spec(
    image="ubuntu",
    command=("ls", "-l"),
    envs={"A": "1"},
    metadata={"x": [1, None]},
    retries=3,
    retry_delay=0,
    timeout=1,
    expires_in=2,
    expiration=3,
    priority=-1,
    concurrency=4,
    resources=Resources(1.5, 2**30, reserve_cpus=2.0),
    container=Container(
        user="app",
        init=False,
        mounts=(Mount(MountKind.BIND, "/data", "/srv", read_only=True), Mount(MountKind.TMPFS, "/tmp", size=4096)),
        networks=("backend",),
        secrets=(Secret("token", "file"),),
        extra_hosts={"db": "10.0.0.7"},
    ),
    name="nightly",
    labels={"team": "data"},
    webhooks=(
        Webhook(NotificationTrigger.FAILS, "https://x/", {"A": "b"}, 2),
        Webhook(NotificationTrigger.LATE, "https://x/", body={"text": "{{status}}"}),
    ),
    notify=(Mailbox(NotificationTrigger.FAILS, "a@example.com"),),
    retention=Retention(executions=60_000),
    expect_every=5,
)
STORED = {
    "image": "ubuntu",
    "command": ["ls", "-l"],
    "envs": {"A": "1"},
    "metadata": {"x": [1, None]},
    "retries": 3,
    "retry_delay": 0,
    "timeout": 1,
    "expires_in": 2,
    "expiration": 3,
    "priority": -1,
    "concurrency": 4,
    "resources": {"cpus": 1.5, "memory": 2**30, "reserve_cpus": 2.0},
    "container": {
        "user": "app",
        "init": False,
        "mounts": [["bind", "/data", "/srv", True, None], ["tmpfs", "/tmp", None, False, 4096]],
        "networks": ["backend"],
        "secrets": [["token", "file"]],
        "extra_hosts": {"db": "10.0.0.7"},
    },
    "name": "nightly",
    "labels": {"team": "data"},
    "webhooks": [["fails", "https://x/", {"A": "b"}, 2], ["late", "https://x/", {}, 5, {"text": "{{status}}"}]],
    "notify": [["fails", "a@example.com"]],
    "retention": {"executions": 60_000},
    "expect_every": 5,
}
"""As release 0.1.0 stores it and reads it."""


def written(spec: Spec) -> Any:
    return json.loads(orjson.dumps(SPEC.write(spec)))


def test_the_format_is_the_one_that_older_releases_read():
    assert written(FULL) == STORED
    assert written(Spec("a")) == {"image": "a", "command": None, "envs": {}, "metadata": {}}
    assert SPEC.read(STORED) == FULL


def changed(path: str, value: object) -> Any:
    """What is stored with another value at this path."""
    stored = json.loads(json.dumps(STORED))
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = stored
    for part in above:
        place = place[part]
    place[last] = value
    return stored


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("image", 1), ("command", "ls"), ("command", [1]), ("envs", {"A": 1}), ("envs", []), ("metadata", []), ("retries", "3")),
        *(("timeout", "1s"), ("name", 1), ("labels", {"a": None}), ("resources", 1), ("resources.cpus", "1"), ("resources.disk", 1)),
        *(("container.mounts.0.0", "npipe"), ("container.mounts.0", ["bind"]), ("container.privileged", True), ("container.networks", "a")),
        *(("webhooks.0.1", 1), ("webhooks.0.2", {"A": 1}), ("webhooks.0.3", "2"), ("webhooks.1.4", []), ("webhooks.0.0", "some day")),
        *(("notify.0.1", None), ("notify.0", ["fails"]), ("retention.executions", "1d"), ("retention.years", 1)),
    ],
)
def test_a_damaged_value_is_found_where_it_is_read(path, value):
    with pytest.raises((TypeError, ValueError, LookupError, AttributeError)):
        SPEC.read(changed(path, value))


def test_an_attribute_of_a_newer_release_is_left_out():
    assert SPEC.read({**STORED, "colour": "red"}) == FULL


@dataclass(frozen=True)
class Inner:
    size: float = 0


@dataclass(frozen=True)
class Thing:
    words: tuple[str, ...] = ()
    overlap: Overlap | None = None
    inner: Inner = Inner()
    more: Mapping[str, int] = field(default_factory=dict)


def test_the_types_of_attributes_say_how_they_are_stored():
    thing = Thing(("a",), Overlap.SKIP, Inner(1.5), {"x": 1})
    stored = json.loads(orjson.dumps(StoredDocument(Thing).write(thing)))
    assert stored == {"words": ["a"], "overlap": "skip", "inner": {"size": 1.5}, "more": {"x": 1}}
    assert StoredDocument(Thing).read(stored) == thing
    assert StoredDocument(Thing).write(Thing()) == {}
    assert StoredDocument(Thing, always=("words",)).write(Thing()) == {"words": ()}
