"""What a job's container has of a service, and what comes of the job's own fields beside it."""

from dataclasses import replace
from typing import Any

import pytest

from fastlane.errors import OrderRefused, ServiceGone
from fastlane.executors.port import Image, Order
from fastlane.executors.swarm import likeness, spec
from fastlane.executors.swarm.spec import Ids
from fastlane.models.container import ConfigFile, Container, Mount, MountKind, Resources, Secret, Ulimit

IMAGE = Image("shop:1@sha256:1", "sha256:1")
CONTAINER: dict[str, Any] = {
    "Image": "shop:1@sha256:1",
    "Command": ["entry"],
    "Args": ["serve"],
    "Env": ["A=1", "B={{.Node.ID}}", "FASTLANE_JOB_ID=theirs"],
    "Labels": {"traefik.enable": "true"},
    "Healthcheck": {"Test": ["CMD", "false"]},
    "TTY": True,
    "OpenStdin": True,
    "User": "app",
    "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data"}, {"Type": "volume", "Source": "old", "Target": "/own"}],
    "Secrets": [
        {"SecretID": "1", "SecretName": "db", "File": {"Name": "db"}},
        {"SecretID": "2", "SecretName": "x", "File": {"Name": "own"}},
    ],
    "Configs": [{"ConfigID": "1", "ConfigName": "conf", "File": {"Name": "etc/own"}}, {"ConfigID": "2", "ConfigName": "other"}],
    "Hosts": ["10.0.0.1 db"],
    "StopGracePeriod": 60_000_000_000,
    "CapabilityAdd": ["CAP_NET_ADMIN"],
    "CapabilityDrop": ["CAP_CHOWN", "CAP_KILL"],
    "Sysctls": {"net.core.somaxconn": "1", "net.ipv4.tcp_fin_timeout": "5"},
    "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1}, {"Name": "core", "Soft": 0, "Hard": 0}],
    "Hostname": "web",
    "ReadOnly": True,
    "DNSConfig": {"Nameservers": ["10.0.0.5"], "Search": ["lan"]},
}


def gpus(count: int) -> dict[str, Any]:
    return {"DiscreteResourceSpec": {"Kind": "gpu", "Value": count}}


def fpgas(count: int) -> dict[str, Any]:
    return {"DiscreteResourceSpec": {"Kind": "fpga", "Value": count}}


RAW: dict[str, Any] = {
    "ID": "id",
    "Version": {"Index": 12},
    "Spec": {
        "Name": "shop_web",
        "Labels": {"com.docker.stack.namespace": "shop", "swarm.cronjob.enable": "true"},
        "Mode": {"Global": {}},
        "EndpointSpec": {"Mode": "vip", "Ports": [{"TargetPort": 80}]},
        "UpdateConfig": {"Parallelism": 2},
        "TaskTemplate": {
            "ContainerSpec": CONTAINER,
            "Resources": {"Limits": {"MemoryBytes": 64}, "Reservations": {"NanoCPUs": 5, "GenericResources": [gpus(1), fpgas(1)]}},
            "RestartPolicy": {"Condition": "any"},
            "LogDriver": {"Name": "fluentd"},
            "Placement": {"Constraints": ["node.role==manager"], "MaxReplicas": 1, "Platforms": [{"OS": "linux"}]},
            "Networks": [{"Target": "n1", "Aliases": ["web"]}, {"Target": "n2"}],
            "ForceUpdate": 3,
        },
    },
}
ALONE = ("CapabilityAdd", "CapabilityDrop", "ReadOnly", "Sysctls", "Ulimits", "DNSConfig")
LIKE = likeness.read_template(RAW, "shop_web", spec.INSTALLATION)
ORDER = Order("e", "t", "j", 1, 1, 0, None, {}, like=LIKE)


def made(order: Order, **more: Any) -> dict[str, Any]:
    return spec.creation(order, IMAGE, "ours", **more)


def test_all_of_the_service_s_container_is_there_and_nothing_of_its_long_run() -> None:
    whole = made(ORDER)
    template, container = whole["TaskTemplate"], whole["TaskTemplate"]["ContainerSpec"]
    same = ("Image", "Command", "Args", "User", "Mounts", "Secrets", "Configs", "Hosts", "StopGracePeriod", *ALONE)
    assert {name: container[name] for name in same} == {name: CONTAINER[name] for name in same}
    assert container["Env"][:2] == ["A=1", "B={{.Node.ID}}"]
    assert [entry for entry in container["Env"] if entry.startswith("FASTLANE_JOB_ID")] == ["FASTLANE_JOB_ID=j"]
    assert container["Healthcheck"] == {"Test": ["NONE"]}
    assert not {"Labels", "TTY", "OpenStdin", "Hostname"} & container.keys()
    assert template["Networks"] == [{"Target": "n1"}, {"Target": "n2"}]
    assert template["Placement"] == {"Constraints": ["node.role==manager"], "Platforms": [{"OS": "linux"}]}
    assert template["Resources"] == RAW["Spec"]["TaskTemplate"]["Resources"]
    assert (template["RestartPolicy"], template["LogDriver"]["Name"]) == ({"Condition": "none"}, "local")
    assert template.keys() == {"ContainerSpec", "Resources", "Networks", "Placement", "RestartPolicy", "LogDriver"}
    assert (whole["Mode"], whole["EndpointSpec"]) == ({"Replicated": {"Replicas": 0}}, {"Mode": "dnsrr"})
    assert all(name.startswith("fastlane.") for name in whole["Labels"])
    assert whole["Labels"]["fastlane.like"] == "id.12"


def test_the_job_s_own_fields_come_before_the_service_s_or_beside_them() -> None:
    own = Container(
        user="root",
        init=False,
        stop_grace=5_000,
        mounts=(Mount(MountKind.TMPFS, "/own"),),
        networks=("n2", "team"),
        secrets=(Secret("mine", "own"),),
        configs=(ConfigFile("mine", "/etc/own"),),
        constraints=("node.labels.a==b",),
        extra_hosts={"db": "10.0.0.9"},
    )
    order = replace(
        ORDER,
        command=("migrate",),
        envs={"A": "{{.Node.ID}}", "C": "3"},
        container=own,
        resources=Resources(memory=128, reserve_generic={"gpu": 2}),
        defaults=Resources(cpus=1, memory=5, pids=9),
    )
    template = made(order, ids=Ids({"n2": "n2", "team": "n3"}, {"mine": "s3"}, {"mine": "c3"}), closed=["full"])["TaskTemplate"]
    container = template["ContainerSpec"]
    assert (container["Command"], container["Args"], container["User"], container["Init"]) == (["entry"], ["migrate"], "root", False)
    assert container["StopGracePeriod"] == 5_000_000_000
    assert container["Env"][:3] == ["B={{.Node.ID}}", 'A={{"{{"}}.Node.ID}}', "C=3"]
    assert [mount["Target"] for mount in container["Mounts"]] == ["/data", "/own"]
    assert container["Mounts"][1]["Type"] == "tmpfs"
    assert [secret["SecretName"] for secret in container["Secrets"]] == ["db", "mine"]
    assert [config["ConfigName"] for config in container["Configs"]] == ["other", "mine"]
    assert container["Hosts"] == ["10.0.0.9 db", "10.0.0.1 db"]
    assert template["Networks"] == [{"Target": "n1"}, {"Target": "n2"}, {"Target": "n3"}]
    assert template["Placement"]["Constraints"] == ["node.role==manager", "node.labels.a==b", "node.id!=full"]
    assert template["Resources"]["Limits"] == {"NanoCPUs": 10**9, "MemoryBytes": 128, "Pids": 9}
    assert template["Resources"]["Reservations"] == {"NanoCPUs": 5, "GenericResources": [fpgas(1), gpus(2)]}


@pytest.mark.parametrize(("service", "job", "both"), [(True, False, True), (None, True, True), (None, False, False), (True, None, True)])
def test_a_job_may_add_a_read_only_root_to_a_service_s_and_not_take_it_away(service: bool | None, job: bool | None, both: bool) -> None:
    parts = {**LIKE.parts, "ContainerSpec": {**LIKE.parts["ContainerSpec"], "ReadOnly": service}}
    if service is None:
        del parts["ContainerSpec"]["ReadOnly"]
    order = replace(ORDER, like=replace(LIKE, parts=parts), container=Container(read_only=job))
    assert made(order)["TaskTemplate"]["ContainerSpec"].get("ReadOnly", False) is both


def test_an_entry_point_of_its_own_has_the_job_s_command_behind_it_or_nothing() -> None:
    own = Container(entrypoint=("sh", "-c"), hostname="worker", dns=("10.0.0.53",))
    container = made(replace(ORDER, container=own))["TaskTemplate"]["ContainerSpec"]
    assert (container["Command"], "Args" in container) == (["sh", "-c"], False)
    assert container["Hostname"] == "worker"
    assert container["DNSConfig"] == {"Nameservers": ["10.0.0.53"], "Search": ["lan"]}
    container = made(replace(ORDER, container=own, command=("true",)))["TaskTemplate"]["ContainerSpec"]
    assert (container["Command"], container["Args"]) == (["sh", "-c"], ["true"])


@pytest.mark.parametrize(
    ("own", "added", "dropped"),
    [
        (Container(), ["CAP_NET_ADMIN"], ["CAP_CHOWN", "CAP_KILL"]),
        (Container(cap_drop=("NET_ADMIN", "KILL")), None, ["CAP_CHOWN", "CAP_NET_ADMIN", "CAP_KILL"]),
        (Container(cap_drop=("ALL",)), None, ["CAP_CHOWN", "CAP_KILL", "ALL"]),
        (Container(cap_add=("CHOWN",)), ["CAP_NET_ADMIN", "CAP_CHOWN"], ["CAP_KILL"]),
        (Container(cap_add=("ALL",)), ["CAP_NET_ADMIN", "ALL"], None),
    ],
)
def test_a_job_may_drop_what_its_service_adds_and_add_what_it_drops(own: Container, added: object, dropped: object) -> None:
    container = made(replace(ORDER, container=own))["TaskTemplate"]["ContainerSpec"]
    assert (container.get("CapabilityAdd"), container.get("CapabilityDrop")) == (added, dropped)


def test_kernel_parameters_and_ulimits_come_one_by_one_before_the_service_s() -> None:
    own = Container(sysctls={"net.core.somaxconn": "2"}, ulimits={"nofile": Ulimit(2, 2)})
    container = made(replace(ORDER, container=own))["TaskTemplate"]["ContainerSpec"]
    assert container["Sysctls"] == {"net.core.somaxconn": "2", "net.ipv4.tcp_fin_timeout": "5"}
    assert container["Ulimits"] == [{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 2, "Hard": 2}]


@pytest.mark.parametrize("name", ["id", "Shop_web", "shop"])
def test_what_an_engine_finds_by_another_name_is_not_the_service(name: str) -> None:
    with pytest.raises(ServiceGone):
        likeness.read_template(RAW, name, spec.INSTALLATION)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"Labels": {spec.INSTALLATION: "another"}}, "is an execution of a job itself"),
        ({"TaskTemplate": {"PluginSpec": {"Name": "x"}}}, "runs no container"),
    ],
)
def test_an_execution_of_a_job_or_a_plugin_gives_no_container(part: dict[str, Any], words: str) -> None:
    with pytest.raises(OrderRefused, match=words):
        likeness.read_template({**RAW, "Spec": {**RAW["Spec"], **part}}, "shop_web", spec.INSTALLATION)


def test_a_template_shows_nothing_of_what_the_service_has() -> None:
    assert "CAP_NET_ADMIN" not in repr(ORDER)


def test_a_service_that_was_parked_from_another_version_is_told_apart() -> None:
    parked = {"Spec": made(ORDER)}
    assert spec.is_made_for(parked, ORDER, "ours")
    assert spec.is_up_to_date(parked, ORDER)
    newer = likeness.read_template({**RAW, "Version": {"Index": 13}}, "shop_web", spec.INSTALLATION)
    assert not spec.is_up_to_date(parked, replace(ORDER, like=newer))


@pytest.mark.parametrize("spelling", ["NET_ADMIN", "cap_net_admin", "CAP_NET_ADMIN"])
def test_a_job_drops_what_its_service_adds_however_the_service_spells_it(spelling: str) -> None:
    parts = {**LIKE.parts, "ContainerSpec": {**LIKE.parts["ContainerSpec"], "CapabilityAdd": [spelling]}}
    container = made(replace(ORDER, like=replace(LIKE, parts=parts), container=Container(cap_drop=("NET_ADMIN",))))["TaskTemplate"][
        "ContainerSpec"
    ]
    assert not container.get("CapabilityAdd")
