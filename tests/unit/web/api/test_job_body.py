"""The body of a job: each field is read whatever is wrong with the others, and each fault is told."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import example, given, strategies as st
from marshmallow import Schema, ValidationError
from marshmallow.fields import List

from fastlane.errors import Invalid
from fastlane.models.job import Spec
from fastlane.web.api.body import attribute_of
from fastlane.web.api.job import ATTRIBUTES, JOB_BODY
from fastlane.web.api.job_body import JobRules, read_job

MOMENT = st.sampled_from([0, 1_645_113_692, 1.5, "1645113692", "2022-02-17T16:01:32Z", "2022-02-17 16:01:32+02:00"])
SPAN = st.sampled_from(["10s", "2m30s", "240h", "1 day", "0s"])
ENVS = st.dictionaries(
    st.sampled_from(["A", "b_1", "PASSWORD", "1A", "A-B", ""]), st.sampled_from(["", "x", 1, 2.5, True, "********", None])
)
HOSTS = st.dictionaries(st.sampled_from(["db", "DB", "a.b", "a b"]), st.sampled_from(["10.0.0.7", "::1", "2001:db8::7"]), max_size=3)
SIZE = st.sampled_from(["4m", "512M", "1GiB", 4 * 2**20, "1b", 17])
RESERVED: dict[str, st.SearchStrategy[Any]] = {"cpus": st.sampled_from([0.5, 2, None, 0]), "memory": SIZE}
RESOURCES: dict[str, st.SearchStrategy[Any]] = {
    **RESERVED,
    "pids": st.sampled_from([1, 200, 0]),
    "reserve": st.none() | st.fixed_dictionaries({}, optional=RESERVED),
}
TARGETS = st.sampled_from(["/data", "/data/", "/x/y", "/", "data"])
SOURCES = st.sampled_from(["/srv/data", "/srv/..", "//", "/", "data", "d", "/srv/{{x}}"])
MOUNTS = (
    st.builds("{}:{}{}".format, SOURCES, TARGETS, st.sampled_from(["", ":ro", ":rw", ":z"]))
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["bind", "volume", "tmpfs"]), "target": TARGETS},
        optional={"source": SOURCES, "readOnly": st.booleans(), "size": SIZE | st.none()},
    )
    | st.sampled_from([None, 1, {}])
)
SECRETS = st.sampled_from(["a", "db-password", {"name": "a"}, {"name": "b", "target": "c"}, {"target": "c"}, "a/b"])
CONFIGS = st.sampled_from(
    ["a", {"name": "a", "target": "/b"}, {"name": "b", "target": "c"}, {"name": "b", "mode": "0400", "uid": 7}, "a/b", 1]
)
CONTAINER: dict[str, st.SearchStrategy[Any]] = {
    "user": st.sampled_from(["app", "1000:1000", "", "a b"]),
    "workdir": st.sampled_from(["/", "/srv/", "srv", "/a/../b"]),
    "init": st.sampled_from([True, False, None, 0]),
    "stopSignal": st.sampled_from(["TERM", "SIGUSR1", 9, "RTMAX-1", "KILL9"]),
    "stopGrace": st.sampled_from(["30s", "1h", "0s", "61m"]),
    "mounts": st.lists(MOUNTS, max_size=3),
    "networks": st.lists(st.sampled_from(["a", "host", "", "a b"]), max_size=3),
    "secrets": st.lists(SECRETS, max_size=3),
    "constraints": st.lists(st.sampled_from(["node.role==worker", "node.labels.a != b", "role==x"]), max_size=2),
    "extraHosts": HOSTS,
    "entrypoint": st.sampled_from(["sh -c", ["sh"], [], "", "'", [1]]),
    "hostname": st.sampled_from(["worker", "A.b", "a b", ""]),
    "readOnly": st.sampled_from([True, False, 1]),
    "dns": st.lists(st.sampled_from(["10.0.0.7", "::1", "x"]), max_size=2),
    "configs": st.lists(CONFIGS, max_size=3),
    "capAdd": st.lists(st.sampled_from(["ALL", "CAP_CHOWN", "kill", "FLY", 1]), max_size=2),
    "capDrop": st.lists(st.sampled_from(["ALL", "CHOWN", ""]), max_size=2),
    "sysctls": st.dictionaries(st.sampled_from(["net.core.somaxconn", "x", "a b"]), st.sampled_from(["1", 2, True, None, ""]), max_size=2),
    "ulimits": st.dictionaries(
        st.sampled_from(["nofile", "x"]), st.sampled_from([1, -1, "1:2", "2:1", "x", {"soft": 1, "hard": 2}, {"soft": 2}, None]), max_size=2
    ),
    "additionalDNSEntries": HOSTS,
    "colour": st.just(1),
}
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "image": st.sampled_from(["ubuntu:latest", "registry.example.com:5000/team/app:1.2", "app@sha256:" + "0" * 64]),
    "command": st.sampled_from(["true", "sh -c 'echo it'", "a  b\tc", ["ls", ""], ["a b"]]),
    "envs": ENVS,
    "startIn": SPAN,
    "startAt": MOMENT,
    "cron": st.sampled_from(["* * * * *", "@hourly", "*/5 0-12 1,15 jan-mar 0"]),
    "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
    "overlap": st.sampled_from(["allow", "skip"]),
    "catchUp": st.sampled_from(["latest", "none"]),
    "retries": st.integers(0, 20),
    "retryDelay": SPAN,
    "retryOn": st.lists(st.sampled_from(["oom", "image", {"exitCodes": [75, 255]}]), min_size=1, max_size=3),
    "onOom": st.sampled_from([{"memory": "x2"}, {"memory": "x1.5", "max": "1g"}]),
    "timeout": st.sampled_from([1, 0.5, 60]),
    "expiration": MOMENT,
    "expiresIn": SPAN,
    "priority": st.integers(-100, 100),
    "concurrency": st.integers(1, 1000),
    "resources": st.fixed_dictionaries({}, optional=RESOURCES),
    "container": st.fixed_dictionaries({}, optional=CONTAINER),
    "additionalDNSEntries": HOSTS,
    "metadata": st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
}
ODD = st.sampled_from([
    *("", " ", "true", "Ubuntu:latest", "nonsense", "'", "\\", "6 * * * * *", "0 0 31 2 *", "-5m", "x" * 700, "sh\0", "latest"),
    *(True, False, 0, -1, 1, 101, 1e300, 2**63 - 1, 1_645_113_692_000),
    *([], [1], ["a", None], {}, {"a": None}, {"": 1}, {"A": []}, {"a": "x" * 17_000}),
])  # fmt: skip
NAME = st.sampled_from([*GOOD, "Image", "cmd", "env", "", "rules", "load"])


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly valid ones, some with a few faults: what ``read_job`` has once nulls are taken out."""
    names = draw(st.sets(st.sampled_from(sorted(GOOD)), max_size=4)) | draw(st.sampled_from([{"image"}, {"image"}, set()]))
    body = {name: draw(GOOD[name]) for name in draw(st.permutations(sorted(names)))}
    return body | draw(st.just({}) | st.dictionaries(NAME, ODD, max_size=2))


NOW = 1_700_000_000_000
"""Milliseconds."""


def is_read(name: str, value: object) -> bool:
    """Whether the field takes this value."""
    try:
        JOB_BODY.fields[name].read(value)
    except (ValueError, ValidationError):
        return False
    return True


def read_parts(body: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The values of the fields that can be read, and the faults of the others."""
    try:
        return JOB_BODY.read(body), {}
    except ValidationError as error:
        return error.valid_data, error.messages_dict


@given(bodies())
@example({"image": "ubuntu:latest", "command": "true"})
@example({"image": "ubuntu:latest", "startIn": "5m", "startAt": 1_645_113_692})
@example({"command": "true"})
@example({})
def test_a_field_is_read_whatever_is_wrong_with_the_others(body: dict[str, Any]) -> None:
    found, tree = read_parts(body)
    good = {name: value for name, value in body.items() if name in JOB_BODY.fields and is_read(name, value)}
    assert found == {name: JOB_BODY.fields[name].read(value) for name, value in good.items()}
    missing = set(JOB_BODY.required) - body.keys()
    assert {*tree} == body.keys() - good.keys() | missing


def test_the_faults_of_a_body_are_told_in_its_order_after_what_is_missing() -> None:
    body = {
        "timezone": "UTC",
        "colour": 1,
        "retries": -1,
        "cmd": "ls",
        "startIn": "x",
        "startAt": 1,
        "container": {"user": "a b", "usr": 1},
    }
    with pytest.raises(Invalid) as caught:
        read_job(body, NOW, JobRules(hard_retries=10, hard_timeout=1800))
    fields = ["image", "timezone", "colour", "retries", "cmd", "startIn", "startIn", "container.user", "container.usr"]
    assert [fault.field for fault in caught.value.faults] == fields


def test_only_a_body_with_a_fault_is_read_with_marshmallow(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []
    monkeypatch.setattr(Schema, "load", lambda schema, data, **_: reads.append(data) or data)
    monkeypatch.setattr(List, "deserialize", lambda field, value: reads.append(value) or value)
    rules, options = JobRules(hard_retries=10, hard_timeout=1800), {"mounts": [{"type": "tmpfs", "target": "/tmp"}], "secrets": ["a"]}
    read_job({"image": "ubuntu", "container": options, "retries": None}, NOW, rules)
    assert reads == []
    with pytest.raises(Invalid):
        read_job({"image": "ubuntu", "container": options, "cmd": "ls"}, NOW, rules)
    assert reads == [{"image": "ubuntu", "container": options}]


def test_every_field_without_a_part_in_the_schedule_is_an_attribute_of_the_spec() -> None:
    of_a_run = ["arguments", "due_at", "backfill", "remedy", "target", "plan"]
    assert sorted([*ATTRIBUTES.values(), *of_a_run]) == sorted(field.name for field in fields(Spec))
    assert not [name for name, attribute in ATTRIBUTES.items() if attribute != attribute_of(name)]
