"""``resources`` and ``container`` in bodies and in answers: what is shown can be sent again, and every fault is named where it is."""

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, strategies as st

from fastlane.errors import Invalid, nearest
from fastlane.models import container as options
from fastlane.models.container import NO_CONTAINER, NO_RESOURCES, ConfigFile, Container, Mount, MountKind, Resources, Secret, Ulimit
from fastlane.models.job import Spec
from fastlane.web.api import body as body_fields
from fastlane.web.api.body import MAX_FAULTS
from fastlane.web.api.container import CONTAINER, CONTAINER_BODY, OLD_HOSTS, RESOURCES, RESOURCES_BODY, read_resources
from fastlane.web.api.job import SPEC
from fastlane.web.api.job_body import HINTS, JobRules, read_job
from fastlane.web.api.serializer import RenderContext

NOW = 1_700_000_000_000
"""Milliseconds."""
CONTEXT = RenderContext("http://x", ())


def read(**body: Any) -> Spec:
    return read_job({"image": "ubuntu", **body}, NOW, JobRules(hard_retries=10, hard_timeout=1800))[0]


def faults(**body: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        read(**body)
    found = {fault.field: fault.message for fault in caught.value.faults}
    assert len(found) == len(caught.value.faults)
    return found


# there and back

PARTS = st.lists(st.sampled_from(["srv", "data", "..x", "ü", "a b", "{x}"]), max_size=3)
PATHS = PARTS.map(lambda parts: "/" + "/".join(parts))
TARGETS = PARTS.filter(bool).map(lambda parts: "/" + "/".join(parts))
SIZES = st.integers(options.LEAST_MEMORY, options.MAX_BYTES)
MOUNTS = (
    st.builds(Mount, st.just(MountKind.BIND), TARGETS, PATHS, st.booleans())
    | st.builds(Mount, st.just(MountKind.VOLUME), TARGETS, st.sampled_from(["data", "a.b-c"]), st.booleans())
    | st.builds(Mount, st.just(MountKind.TMPFS), TARGETS, st.none(), st.booleans(), st.none() | st.integers(4096, 2**50))
)
SECRETS = st.builds(Secret, st.sampled_from(["a", "db-password"]), st.sampled_from(["a", "x.txt", ".env"]))
FILE_IDS = st.integers(0, options.MAX_FILE_ID)
CONFIGS = st.builds(ConfigFile, st.sampled_from(["a", "shop-conf"]), TARGETS, FILE_IDS, FILE_IDS, st.integers(0, 0o777))
ULIMITS = st.builds(lambda soft, more: Ulimit(soft, soft + more), st.integers(0, 2**62), st.integers(0, 2**62 - 1))
CONTAINERS = st.builds(
    Container,
    user=st.none() | st.sampled_from(["app", "1000:1000"]),
    workdir=st.none() | PATHS,
    init=st.none() | st.booleans(),
    stop_signal=st.none() | st.sampled_from([f"SIG{name}" for name in options.SIGNALS]),
    stop_grace=st.none() | st.integers(options.LEAST_GRACE, options.MAX_GRACE),
    mounts=st.lists(MOUNTS, max_size=3, unique_by=lambda mount: mount.target).map(tuple),
    networks=st.lists(st.sampled_from(["host", "backend", "a"]), unique=True).map(tuple),
    secrets=st.lists(SECRETS, max_size=3, unique_by=lambda secret: secret.target).map(tuple),
    constraints=st.lists(st.sampled_from(["node.role==worker", "node.labels.a!=b"])).map(tuple),
    extra_hosts=st.dictionaries(st.sampled_from(["db", "db.internal"]), st.ip_addresses().map(str).filter(lambda text: "%" not in text)),
    entrypoint=st.lists(st.sampled_from(["sh", "-c", "", "a b", "'"]), max_size=3).map(tuple),
    hostname=st.none() | st.sampled_from(["worker", "a.b_c"]),
    read_only=st.none() | st.booleans(),
    dns=st.lists(st.sampled_from(["10.0.0.53", "2001:db8::7"]), unique=True).map(tuple),
    cap_add=st.lists(st.sampled_from(["ALL", "NET_ADMIN"]), unique=True).map(tuple),
    cap_drop=st.lists(st.sampled_from(["NET_RAW", "CHOWN"]), unique=True).map(tuple),
    sysctls=st.dictionaries(st.sampled_from(["net.core.somaxconn", "net.ipv4.conf.eth0/1.rp_filter"]), st.sampled_from(["1", "4 8"])),
    ulimits=st.dictionaries(st.sampled_from(options.ULIMITS), ULIMITS),
    configs=st.lists(CONFIGS, max_size=3, unique_by=lambda config: config.target).map(tuple),
)
GENERIC = st.dictionaries(st.sampled_from(["gpu", "NVIDIA-GPU"]), st.integers(1, options.MAX_GENERIC))
CPUS = st.none() | st.floats(options.LEAST_CPUS, options.MAX_CPUS)
ANY_RESOURCES = st.builds(Resources, CPUS, st.none() | SIZES, st.none() | st.integers(1, options.MAX_PIDS), reserve_generic=GENERIC)


@given(CONTAINERS, ANY_RESOURCES)
def test_what_is_shown_can_be_sent_again_and_means_the_same(container: Container, resources: Resources) -> None:
    shown = SPEC.serialize(Spec("ubuntu", container=container, resources=resources), CONTEXT)
    again = json.loads(json.dumps({name: shown[name] for name in ("image", "resources", "container")}))
    spec = read_job(again, NOW, JobRules(hard_retries=10, hard_timeout=1800))[0]
    assert (spec.container, spec.resources) == (container, resources)


@given(st.floats(options.LEAST_CPUS, 8), st.floats(0, 1), SIZES)
def test_what_is_kept_free_can_be_sent_again(cpus: float, part: float, memory: int) -> None:
    resources = Resources(cpus, memory, None, max(options.LEAST_CPUS, cpus * part), memory)
    assert read_resources(RESOURCES.serialize(resources, CONTEXT)) == resources


def test_who_asked_for_nothing_is_shown_nothing():
    shown = SPEC.serialize(Spec("ubuntu"), CONTEXT)
    assert (shown["container"], shown["resources"]) == (None, None)
    spec = read(container={}, resources={"reserve": {}}, additionalDNSEntries={})
    assert (spec.container, spec.resources) == (NO_CONTAINER, NO_RESOURCES)
    spec = read(container={"mounts": [], "networks": [], "secrets": [], "constraints": [], "extraHosts": {}})
    assert spec.container == NO_CONTAINER


def test_null_is_the_same_as_absent_at_every_depth():
    assert read(container=dict.fromkeys(CONTAINER_BODY.fields)).container == NO_CONTAINER
    assert read(resources=dict.fromkeys(("cpus", "memory", "pids", "reserve"))).resources == NO_RESOURCES
    assert read(resources={"reserve": {"cpus": None, "memory": None}}).resources == NO_RESOURCES
    mount = {"type": "bind", "source": "/srv", "target": "/data", "readOnly": None, "size": None}
    assert read(container={"mounts": [mount]}).container.mounts == (Mount(MountKind.BIND, "/data", "/srv"),)
    assert read(container={"secrets": [{"name": "a", "target": None}]}).container.secrets == (Secret("a", "a"),)


def test_everything_at_once():
    spec = read(
        resources={"cpus": 1.5, "memory": "512m", "pids": 200, "reserve": {"cpus": 0.5, "memory": 268435456, "generic": {"gpu": "2"}}},
        container={
            "user": "1000:1000",
            "workdir": "/srv/",
            "init": False,
            "stopSignal": 2,
            "stopGrace": "2m",
            "mounts": [
                "/srv/data:/data:ro",
                {"type": "volume", "source": "cache", "target": "/cache"},
                {"type": "tmpfs", "target": "/tmp"},
            ],
            "networks": ["backend"],
            "secrets": ["token", {"name": "db-password", "target": "password.txt"}],
            "constraints": ["node.labels.disk == ssd"],
            "extraHosts": {"DB.internal": "10.0.0.7"},
            "entrypoint": "sh -c",
            "hostname": "Worker",
            "readOnly": True,
            "dns": ["2001:DB8::7"],
            "configs": ["shop-conf", {"name": "x", "target": "/etc/x/", "uid": 1, "gid": None, "mode": "640"}],
            "capAdd": ["CAP_NET_ADMIN"],
            "capDrop": ["all"],
            "sysctls": {"net.core.somaxconn": 1024},
            "ulimits": {"nofile": "1024:2048", "core": 0, "memlock": {"soft": 1, "hard": -1}},
        },
    )
    assert spec.resources == Resources(1.5, 2**29, 200, 0.5, 2**28, {"gpu": 2})
    assert spec.container == Container(
        user="1000:1000",
        workdir="/srv",
        init=False,
        stop_signal="SIGINT",
        stop_grace=120_000,
        mounts=(
            Mount(MountKind.BIND, "/data", "/srv/data", read_only=True),
            Mount(MountKind.VOLUME, "/cache", "cache"),
            Mount(MountKind.TMPFS, "/tmp"),
        ),
        networks=("backend",),
        secrets=(Secret("token", "token"), Secret("db-password", "password.txt")),
        constraints=("node.labels.disk==ssd",),
        extra_hosts={"db.internal": "10.0.0.7"},
        entrypoint=("sh", "-c"),
        hostname="worker",
        read_only=True,
        dns=("2001:db8::7",),
        configs=(ConfigFile("shop-conf", "/shop-conf"), ConfigFile("x", "/etc/x", 1, 0, 0o640)),
        cap_add=("NET_ADMIN",),
        cap_drop=("ALL",),
        sysctls={"net.core.somaxconn": "1024"},
        ulimits={"nofile": Ulimit(1024, 2048), "core": Ulimit(0, 0), "memlock": Ulimit(1, -1)},
    )


def test_every_option_can_be_asked_for_and_is_shown():
    shown = CONTAINER.serialize(Container(user="a"), CONTEXT)
    assert len(shown) == len(fields(Container))
    assert {*CONTAINER_BODY.fields} == {*shown, OLD_HOSTS}


# the name of 2.x


@pytest.mark.parametrize(
    "body",
    [
        {"additionalDNSEntries": {"db": "10.0.0.7"}},
        {"container": {"additionalDNSEntries": {"db": "10.0.0.7"}}},
        {"container": {"extraHosts": {"db": "10.0.0.7"}}},
        {"container": {"extraHosts": {"db": "10.0.0.7"}}, "additionalDNSEntries": {"DB": "10.0.0.7"}},
        {"container": {"extraHosts": {"db": "10.0.0.7"}, "additionalDNSEntries": {"db": "10.0.0.7"}}},
        {"container": {"extraHosts": {}}, "additionalDNSEntries": {"db": "10.0.0.7"}},
        {"container": None, "additionalDNSEntries": {"db": "10.0.0.7"}},
    ],
)
def test_the_old_name_of_extra_hosts_is_read_where_it_stood_and_where_the_new_one_stands(body):
    assert read(**body).container == Container(extra_hosts={"db": "10.0.0.7"})


def test_the_old_name_leaves_the_other_options_alone():
    container = read(container={"user": "app"}, additionalDNSEntries={"db": "10.0.0.7"}).container
    assert container == Container(user="app", extra_hosts={"db": "10.0.0.7"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"container": {"extraHosts": {"db": "10.0.0.7"}}, "additionalDNSEntries": {"db": "10.0.0.8"}}, "additionalDNSEntries"),
        ({"container": {"additionalDNSEntries": {"db": "10.0.0.7"}}, "additionalDNSEntries": {"a": "10.0.0.7"}}, "additionalDNSEntries"),
        ({"container": {"extraHosts": {"a": "::1"}, "additionalDNSEntries": {"a": "::2"}}}, "container.additionalDNSEntries"),
    ],
)
def test_two_names_that_say_different_things_are_a_fault(body, field):
    assert "differs from" in faults(**body)[field]


# faults


def test_all_faults_come_at_once_each_under_its_own_path():
    found = faults(
        resources={"cpus": 0, "memory": "1k", "pids": "x", "reserve": {"cpus": "1", "disk": 1, "generic": {"a b": 1, "gpu": 0}}, "cpu": 1},
        container={
            "user": "a b",
            "workdir": "srv",
            "init": "yes",
            "stopSignal": "FOO",
            "stopGrace": 0,
            "mounts": ["/srv:/data", "/srv/..:/data", {"type": "bind"}, {"type": "x", "target": "data", "readonly": True}, None],
            "networks": ["a", "b c"],
            "secrets": ["a", {"nam": "b"}],
            "constraints": "node.role==worker",
            "extraHosts": {"a b": "10.0.0.7", "c": 1},
            "entrypoint": [],
            "hostname": "a_very_long_name" * 5,
            "readOnly": "yes",
            "dns": ["10.0.0.53", "ns1"],
            "configs": ["a", {"nam": "b"}, {"name": "c", "target": "x", "uid": -1, "mode": 440}, 1],
            "capAdd": ["NET_ADMIN", "FLY"],
            "capDrop": ["CHOWN", "CAP_CHOWN"],
            "sysctls": {"somaxconn": 1, "net.core.somaxconn": True},
            "ulimits": {"nofile": "2:1", "files": 1, "core": {"soft": -2}, "nproc": "x"},
            "usr": "app",
        },
        colour=1,
    )
    assert found.keys() == {
        *("resources.cpus", "resources.memory", "resources.pids", "resources.reserve.cpus", "resources.reserve.disk", "resources.cpu"),
        *("resources.reserve.generic.a b", "resources.reserve.generic.gpu"),
        *("container.user", "container.workdir", "container.init", "container.stopSignal", "container.stopGrace"),
        *("container.mounts.1", "container.mounts.2.target", "container.mounts.3.type", "container.mounts.3.target"),
        *(
            "container.mounts.3.readonly",
            "container.mounts.4",
            "container.networks.1",
            "container.secrets.1.nam",
            "container.secrets.1.name",
        ),
        *("container.entrypoint", "container.hostname", "container.readOnly", "container.dns.1"),
        *("container.capAdd.1", "container.capDrop.1", "container.sysctls.somaxconn", "container.sysctls.net.core.somaxconn"),
        *("container.ulimits.nofile", "container.ulimits.files", "container.ulimits.core.soft", "container.ulimits.core.hard"),
        "container.ulimits.nproc",
        *("container.configs.1.nam", "container.configs.1.name", "container.configs.2.target", "container.configs.2.uid"),
        *("container.configs.2.mode", "container.configs.3"),
        *("container.constraints", "container.extraHosts.a b", "container.extraHosts.c", "container.usr", "colour"),
    }


def test_two_faults_of_one_part_are_both_reported():
    with pytest.raises(Invalid) as caught:
        read(container={"extraHosts": {"a b": "x"}})
    assert [fault.field for fault in caught.value.faults] == ["container.extraHosts.a b"] * 2


@pytest.mark.parametrize(
    ("body", "field", "near"),
    [
        ({"container": {"stop_grace": "5s"}}, "container.stop_grace", "stopGrace"),
        ({"container": {"volumes": []}}, "container.volumes", "mounts"),
        ({"container": {"mounts": [{"type": "bind", "source": "/a", "target": "/b", "ro": True}]}}, "container.mounts.0.ro", "readOnly"),
        ({"container": {"secrets": [{"name": "a", "file": "b"}]}}, "container.secrets.0.file", "name"),
        ({"resources": {"mem": 1}}, "resources.mem", "memory"),
        ({"resources": {"reserve": {"cpu": 1}}}, "resources.reserve.cpu", "cpus"),
        ({"container": {"": 1}}, "container.(empty)", "user"),
        ({"resources": {"mem": None}}, "resources.mem", "memory"),
    ],
)
def test_an_unknown_field_is_named_with_the_ones_that_there_are(body, field, near):
    message = faults(**body)[field]
    assert "is not a field of" in message
    assert near in message


@pytest.mark.parametrize(
    ("mount", "fault"),
    [
        ({"type": "bind", "target": "/a"}, "source"),
        ({"type": "volume", "target": "/a"}, "source"),
        ({"type": "volume", "target": "/a", "source": "/srv"}, "source"),
        ({"type": "bind", "target": "/a", "source": "srv"}, "source"),
        ({"type": "bind", "target": "/a", "source": "/srv/../etc"}, "source"),
        ({"type": "bind", "target": "/a", "source": "/srv:/etc"}, "source"),
        ({"type": "bind", "target": "/a", "source": '/srv/{{"\\x2e\\x2e"}}'}, "source"),
        ({"type": "bind", "target": '/{{"\\x2e\\x2e"}}', "source": "/srv"}, "target"),
        ({"type": "tmpfs", "target": "/a", "source": "a"}, "source"),
        ({"type": "tmpfs", "target": "/a", "size": 1}, "size"),
        ({"type": "bind", "target": "/a", "source": "/srv", "size": 4096}, "size"),
        ({"type": "tmpfs", "target": "/"}, "target"),
        ({"type": "tmpfs", "target": "/a/../b"}, "target"),
        ({"type": "tmpfs", "target": "/a", "readOnly": "yes"}, "readOnly"),
        ({"type": ["bind"], "target": "/a", "source": "/srv"}, "type"),
        ({"target": "/a", "source": "/srv"}, "type"),
    ],
)
def test_a_mount_has_what_its_type_has(mount, fault):
    assert faults(container={"mounts": [mount]}).keys() == {f"container.mounts.0.{fault}"}


@pytest.mark.parametrize(
    ("container", "field"),
    [
        ({"mounts": ["/a:/x", "/b:/x"]}, "container.mounts.1.target"),
        ({"mounts": ["/a:/x", {"type": "tmpfs", "target": "/x/"}]}, "container.mounts.1.target"),
        ({"secrets": ["a", {"name": "b", "target": "a"}]}, "container.secrets.1.target"),
        ({"configs": ["a", {"name": "b", "target": "/a"}]}, "container.configs.1.target"),
        ({"networks": ["a", "b", "a"]}, "container.networks.2"),
    ],
)
def test_nothing_is_mounted_joined_or_given_twice_in_one_place(container, field):
    assert "is there twice" in faults(container=container)[field]


def test_a_capability_is_added_or_dropped():
    assert faults(container={"capAdd": ["KILL"], "capDrop": ["CHOWN", "CAP_KILL"]}).keys() == {"container.capDrop.1"}


def test_two_names_of_one_host_are_a_fault():
    assert "differ only in capitals" in faults(container={"extraHosts": {"db": "10.0.0.7", "DB": "10.0.0.8"}})["container.extraHosts"]


@pytest.mark.parametrize("kept", ["cpus", "memory"])
def test_no_more_is_kept_free_than_may_be_used(kept):
    resources = {"cpus": 1, "memory": "1g", "reserve": {"cpus": 1, "memory": "1g"}}
    assert read(resources=resources).resources.reserve_cpus == 1
    resources["reserve"] = {kept: {"cpus": 1.001, "memory": "1025m"}[kept]}
    assert faults(resources=resources).keys() == {f"resources.reserve.{kept}"}
    assert read(resources={"reserve": resources["reserve"]}).resources.memory is None, "without a limit there is none to be above"


@pytest.mark.parametrize(
    ("container", "field"),
    [
        ({"mounts": [f"/srv:/{number}" for number in range(51)]}, "mounts"),
        ({"networks": [f"n{number}" for number in range(21)]}, "networks"),
        ({"secrets": [f"s{number}" for number in range(51)]}, "secrets"),
        ({"constraints": ["node.role==worker"] * 51}, "constraints"),
        ({"extraHosts": {f"h{number}": "10.0.0.7" for number in range(201)}}, "extraHosts"),
        ({"mounts": "/srv:/data"}, "mounts"),
        ({"networks": "backend"}, "networks"),
        ({"extraHosts": ["db:10.0.0.7"]}, "extraHosts"),
        ({"dns": ["10.0.0.7"] * 11}, "dns"),
        ({"configs": [f"c{number}" for number in range(51)]}, "configs"),
        ({"entrypoint": ["a"] * 101}, "entrypoint"),
        ({"entrypoint": ["sh", "x" * 8192]}, "entrypoint"),
        ({"secrets": {"a": "b"}}, "secrets"),
    ],
)
def test_lists_are_lists_and_bounded(container, field):
    assert faults(container=container).keys() == {f"container.{field}"}


@pytest.mark.parametrize("body", [{"container": 1}, {"container": []}, {"resources": "1"}, {"resources": {"reserve": 1}}, {OLD_HOSTS: 1}])
def test_the_fault_of_a_value_other_than_an_object_shows_an_object(body):
    (message,) = faults(**body).values()
    assert "is not an object; write {" in message


NOISE = {f"{'x' * 75}{number}": {"a": 1} for number in range(4_000)}


@pytest.mark.parametrize(
    "body",
    [
        {"container": NOISE},
        {"resources": NOISE},
        {"resources": {"reserve": NOISE}},
        {"container": {"mounts": [NOISE] * 50}},
        {"container": {"mounts": [{"type": 1, "y": 2}] * 50, **NOISE}},
        {"container": {"mounts": [{f"x{number}": 1 for number in range(10)}] * 50}},
        {"container": {"secrets": [{"x": 1, "y": 2, "z": 3}] * 50}},
        {"container": {"extraHosts": dict.fromkeys(list(NOISE)[:200], "x")}},
    ],
)
def test_noise_is_not_looked_at_for_longer_than_one_answer_needs(monkeypatch, body):
    looked = []
    monkeypatch.setattr(body_fields, "nearest", lambda name, known: looked.append(name) or nearest(name, known))
    with pytest.raises(Invalid) as caught:
        read(**body)
    assert len(looked) <= 2 * MAX_FAULTS
    assert len(caught.value.faults) <= MAX_FAULTS
    assert len(str(caught.value)) < 50_000


def test_every_field_of_resources_and_container_is_told_where_it_belongs():
    hints = {name: HINTS.get(name.lower()) for name in (*RESOURCES_BODY.fields, *CONTAINER_BODY.fields) if name != OLD_HOSTS}
    assert {name: hint.partition(".")[2] for name, hint in hints.items()} == {name: name for name in hints}
