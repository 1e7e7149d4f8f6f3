"""What is submitted for an order, and what an activation and a stop change of it."""

import copy
from typing import Any
from uuid import UUID

import pytest

from fastlane.executors import spec
from fastlane.executors.base import Image, Order

IMAGE = Image("ubuntu@sha256:" + "0" * 64, "sha256:" + "0" * 64)
ORDER = Order(
    str(UUID(int=7)), "a task", "job-1", 2, 3, 1_700_000_000_123, ("echo", "{{x}}"), {"B": "2", "A": "{{.Node.ID}}"}, stop_grace=7
)


def inspected(replicas: int = 0, **labels: str) -> dict[str, Any]:
    made = spec.creation(ORDER, IMAGE, "ours", "local")
    return {
        "ID": "s1",
        "Version": {"Index": 12},
        "CreatedAt": "2026-11-25T13:02:35.347785353Z",
        "Spec": {
            "Name": made["name"],
            "Labels": {**made["labels"], **{f"fastlane.{name}": value for name, value in labels.items()}},
            "TaskTemplate": made["task_template"],
            "Mode": {"Replicated": {"Replicas": replicas}},
            "EndpointSpec": {"Mode": "vip"},
            "SomethingNew": {"kept": True},
        },
    }


def test_an_order_becomes_a_one_shot_service_that_runs_nothing_yet() -> None:
    made = spec.creation(ORDER, IMAGE, "ours", "local")
    assert made["name"] == f"fastlane-{ORDER.execution_id}-3"
    assert len(spec.service_name(Order(ORDER.execution_id, "t", "j", 1, 10**16, 0, None, {}))) <= 63
    assert made["mode"] == {"Replicated": {"Replicas": 0}}
    assert made["update_config"] == {"Parallelism": 1, "Order": "stop-first", "FailureAction": "continue"}
    assert made["labels"] == {
        "fastlane.installation": "ours",
        "fastlane.task": "a task",
        "fastlane.job": "job-1",
        "fastlane.execution": ORDER.execution_id,
        "fastlane.epoch": "3",
    }
    template = made["task_template"]
    assert template["RestartPolicy"] == {"Condition": "none"}
    assert template["LogDriver"]["Name"] == "local"
    container = template["ContainerSpec"]
    assert (container["Image"], container["Init"], container["StopGracePeriod"]) == (IMAGE.reference, True, 7_000_000_000)
    assert container["Args"] == ["echo", "{{x}}"]


def test_the_environment_is_sorted_literal_and_tells_whose_it_is() -> None:
    assert spec.environment(ORDER) == [
        'A={{"{{"}}.Node.ID}}',
        "B=2",
        "FASTLANE_ATTEMPT=2",
        f"FASTLANE_EXECUTION_ID={ORDER.execution_id}",
        "FASTLANE_JOB_ID=job-1",
        "FASTLANE_SCHEDULED_FOR=2023-11-14T22:13:20.123Z",
        "FASTLANE_TASK_ID=a task",
    ]


def test_without_a_command_the_image_keeps_its_own() -> None:
    made = spec.creation(Order("e", "t", "j", 1, 1, 0, None, {}), IMAGE, "ours", "journald")
    assert "Args" not in made["task_template"]["ContainerSpec"]
    assert made["task_template"]["LogDriver"] == {"Name": "journald", "Options": {}}


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
