"""What is submitted for an order, and what an activation and a stop change of it."""

import copy
import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from fastlane.executors.port import Image, Order
from fastlane.executors.swarm import spec
from fastlane.executors.swarm.spec import Ids
from fastlane.models.container import Container, Mount, MountKind, Resources, Secret, Ulimit

IMAGE = Image("ubuntu@sha256:" + "0" * 64, "sha256:" + "0" * 64)
ORDER = Order(
    str(UUID(int=7)),
    "a task",
    "job-1",
    2,
    3,
    1_700_000_000_123,
    ("echo", "{{x}}"),
    {"B": "2", "A": "{{.Node.ID}}"},
    container=Container(stop_grace=7000),
)


def inspected(replicas: int = 0, **labels: str) -> dict[str, Any]:
    made = spec.creation(ORDER, IMAGE, "ours")
    return {
        "ID": "s1",
        "Version": {"Index": 12},
        "CreatedAt": "2026-11-25T13:02:35.347785353Z",
        "Spec": {
            **made,
            "Labels": {**made["Labels"], **{f"fastlane.{name}": value for name, value in labels.items()}},
            "Mode": {"Replicated": {"Replicas": replicas}},
            "SomethingNew": {"kept": True},
        },
    }


def test_an_order_becomes_a_one_shot_service_that_runs_nothing_yet() -> None:
    made = spec.creation(ORDER, IMAGE, "ours")
    assert made["Name"] == f"fastlane-{ORDER.execution_id}-3"
    assert len(spec.service_name(Order(ORDER.execution_id, "t", "j", 1, 10**16, 0, None, {}))) <= 63
    assert made["Mode"] == {"Replicated": {"Replicas": 0}}
    assert made["UpdateConfig"] == {"Parallelism": 1, "Order": "stop-first", "FailureAction": "continue"}
    assert made["Labels"] == {
        "fastlane.installation": "ours",
        "fastlane.task": "a task",
        "fastlane.job": "job-1",
        "fastlane.execution": ORDER.execution_id,
        "fastlane.epoch": "3",
    }
    template = made["TaskTemplate"]
    assert template["RestartPolicy"] == {"Condition": "none"}
    assert template["LogDriver"]["Name"] == "local"
    container = template["ContainerSpec"]
    assert (container["Image"], container["Init"], container["StopGracePeriod"]) == (IMAGE.reference, True, 7_000_000_000)
    assert container["Args"] == ["echo", "{{x}}"]
    assert made["EndpointSpec"] == {"Mode": "dnsrr"}
    assert not {"Resources", "Networks", "Placement"} & template.keys()
    assert container.keys() == {"Image", "Env", "Init", "Healthcheck", "StopGracePeriod", "Args"}
    assert container["Healthcheck"] == {"Test": ["NONE"]}


def test_what_an_order_asks_for_is_submitted_and_nothing_else() -> None:
    asked = Container(
        user="1000:100",
        workdir="/srv/{{x",
        init=False,
        stop_signal="SIGINT",
        stop_grace=0,
        mounts=(
            Mount(MountKind.BIND, "/data/{{.Node.ID}}", "/srv/{{.Node.ID}}", read_only=True),
            Mount(MountKind.VOLUME, "/cache", "cache"),
            Mount(MountKind.TMPFS, "/scratch", size=4096),
            Mount(MountKind.TMPFS, "/tmp"),
        ),
        networks=("host", "team"),
        secrets=(Secret("token", "api-token"),),
        constraints=("node.role==worker", "node.labels.disk==ssd"),
        extra_hosts={"db": "10.0.0.1", "db6": "::1"},
        entrypoint=("tini", "{{x}}"),
        hostname="worker",
        read_only=True,
        dns=("10.0.0.53",),
        cap_add=("NET_ADMIN",),
        cap_drop=("ALL",),
        sysctls={"net.core.somaxconn": "1024"},
        ulimits={"nofile": Ulimit(1024, -1)},
    )
    order = replace(ORDER, container=asked, resources=Resources(cpus=0.29, memory=4096, pids=7, reserve_memory=2048))
    template = spec.creation(order, IMAGE, "ours", Ids({"host": "host", "team": "n1"}, {"token": "s1"}))["TaskTemplate"]
    container = template["ContainerSpec"]
    assert (container["User"], container["Dir"], container["Init"]) == ("1000:100", "/srv/{{x", False)
    assert (container["StopSignal"], container["StopGracePeriod"]) == ("SIGINT", 0)
    assert container["Mounts"] == [
        {"Type": "bind", "Source": '/srv/{{"{{"}}.Node.ID}}', "Target": '/data/{{"{{"}}.Node.ID}}', "ReadOnly": True},
        {"Type": "volume", "Source": "cache", "Target": "/cache", "ReadOnly": False},
        {"Type": "tmpfs", "Target": "/scratch", "ReadOnly": False, "TmpfsOptions": {"SizeBytes": 4096}},
        {"Type": "tmpfs", "Target": "/tmp", "ReadOnly": False},
    ]
    assert container["Secrets"] == [
        {"SecretID": "s1", "SecretName": "token", "File": {"Name": "api-token", "UID": "0", "GID": "0", "Mode": 0o444}}
    ]
    assert container["Hosts"] == ["10.0.0.1 db", "::1 db6"]
    assert template["Networks"] == [{"Target": "host"}, {"Target": "n1"}]
    assert template["Placement"] == {"Constraints": ["node.role==worker", "node.labels.disk==ssd"]}
    assert template["Resources"] == {
        "Limits": {"NanoCPUs": 290_000_000, "MemoryBytes": 4096, "Pids": 7},
        "Reservations": {"MemoryBytes": 2048},
    }
    assert (container["Command"], container["Args"]) == (["tini", "{{x}}"], ["echo", "{{x}}"])
    assert (container["Hostname"], container["ReadOnly"], container["DNSConfig"]) == ("worker", True, {"Nameservers": ["10.0.0.53"]})
    assert (container["CapabilityAdd"], container["CapabilityDrop"]) == (["CAP_NET_ADMIN"], ["ALL"])
    assert container["Sysctls"] == {"net.core.somaxconn": "1024"}
    assert container["Ulimits"] == [{"Name": "nofile", "Soft": 1024, "Hard": -1}]
    assert not {"Privileges", "Configs"} & container.keys()


def test_the_environment_is_sorted_and_literal_and_has_the_executions_ids() -> None:
    assert spec.environment(ORDER) == [
        'A={{"{{"}}.Node.ID}}',
        "B=2",
        "FASTLANE_ATTEMPT=2",
        f"FASTLANE_EXECUTION_ID={ORDER.execution_id}",
        "FASTLANE_JOB_ID=job-1",
        "FASTLANE_SCHEDULED_FOR=2023-11-14T22:13:20.123Z",
        "FASTLANE_TASK_ID=a task",
    ]


def test_the_size_of_a_spec_counts_the_bytes_of_each_text_and_something_for_each_value() -> None:
    assert spec.size({"A": ["✓", 1, None]}) == spec.OVERHEAD * 6 + len("A") + 3
    made = spec.creation(ORDER, IMAGE, "ours")
    assert spec.size(made) > len(json.dumps(made, ensure_ascii=False))
    longer = spec.creation(replace(ORDER, envs={"A": "{{" * 1_000}), IMAGE, "ours")
    assert spec.size(longer) - spec.size(spec.creation(replace(ORDER, envs={"A": ""}), IMAGE, "ours")) == 8_000


def test_without_a_command_the_image_keeps_its_own() -> None:
    made = spec.creation(Order("e", "t", "j", 1, 1, 0, None, {}), IMAGE, "ours")
    assert "Args" not in made["TaskTemplate"]["ContainerSpec"]


def test_an_activation_changes_the_replicas_and_a_label_and_nothing_else() -> None:
    raw = inspected()
    before = copy.deepcopy(raw)
    changed = spec.activation(raw, "nonce")
    assert raw == before
    assert changed["Mode"] == {"Replicated": {"Replicas": 1}}
    assert changed["Labels"].pop("fastlane.activated") == "nonce"
    changed["Mode"]["Replicated"]["Replicas"] = 0
    assert changed == before["Spec"]


@pytest.mark.parametrize("replicas", [0, 1])
def test_a_stop_adds_a_constraint_and_a_label_and_keeps_the_replicas(replicas: int) -> None:
    raw = inspected(replicas)
    raw["Spec"]["TaskTemplate"]["Placement"] = {"Constraints": ["node.role==manager"]}
    before = copy.deepcopy(raw)
    changed = spec.stop(raw)
    assert raw == before
    assert changed["TaskTemplate"]["Placement"]["Constraints"] == ["node.role==manager", spec.NOWHERE]
    assert changed["Labels"].pop("fastlane.stopped") == "true"
    changed["TaskTemplate"]["Placement"]["Constraints"].pop()
    assert changed == before["Spec"]


@pytest.mark.parametrize(
    ("raw", "activated", "stopping"),
    [
        (inspected(), False, False),
        (inspected(1, activated="x"), True, False),
        (inspected(0, activated="x"), True, False),
        (inspected(1), True, False),
        (inspected(0, stopped="true"), False, True),
        (inspected(1, activated="x", stopped="true"), True, True),
    ],
    ids=["parked", "activated", "scaled down by hand", "scaled up by hand", "stopped before", "stopped after"],
)
def test_the_marks_of_a_service(raw: dict[str, Any], activated: bool, stopping: bool) -> None:
    view = spec.view(raw)
    assert (view.id, view.execution_id, view.activated, view.stopping) == ("s1", ORDER.execution_id, activated, stopping)
    assert view.created_at == 1_795_611_755_347
    assert spec.version(raw) == 12


def test_a_service_is_ones_own_by_installation_execution_and_epoch() -> None:
    assert spec.is_made_for(inspected(), ORDER, "ours")
    assert not spec.is_made_for(inspected(), ORDER, "theirs")
    assert not spec.is_made_for(inspected(epoch="4"), ORDER, "ours")
    assert not spec.is_made_for(inspected(execution="another"), ORDER, "ours")
    assert not spec.is_made_for({"Spec": {"Labels": None}}, ORDER, "ours")
