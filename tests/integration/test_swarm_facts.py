"""What the Swarm adapter takes for granted of a real engine. When one of these fails on a new engine, the adapter rests on sand there."""

import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest

from fastlane.executors.swarm import spec
from fastlane.models.container import literal
from tests.support import frames
from tests.support.engine import IMAGE, connect, remove_all, update
from tests.support.images import docker as run_docker
from tests.support.waiting import wait_until

PATIENCE = 30.0
INSTALLATION = f"facts-{uuid4().hex[:8]}"

FINAL = {"complete", "failed", "rejected", "shutdown", "orphaned"}
HOLD = ("sh", "-c", "trap 'exit 7' TERM; echo begun; while :; do sleep 0.05; done")


@pytest.fixture
def api(engine: str) -> Iterator[docker.APIClient]:
    client = connect(engine)
    yield client
    client.close()
    remove_all(engine, INSTALLATION)


def create(
    api: docker.APIClient,
    command: Sequence[str],
    *,
    replicas: int = 1,
    name: str | None = None,
    labels: dict[str, str] | None = None,
    **changes: Any,
) -> str:
    """A service as the adapter makes it, but for ``changes`` of its container or its log driver; its id."""
    driver = changes.pop("driver", "local")
    container = {"Image": IMAGE, "Args": list(command), "Init": True, "StopGracePeriod": 5_000_000_000, **changes}
    template = {"ContainerSpec": container, "RestartPolicy": {"Condition": "none"}, "LogDriver": {"Name": driver}}
    made = api.create_service(
        template,
        name=name or f"facts-{uuid4().hex}",
        labels={spec.INSTALLATION: INSTALLATION, **(labels or {})},
        mode={"Replicated": {"Replicas": replicas}},
        update_config={"Parallelism": 1, "Order": "stop-first", "FailureAction": "continue"},
    )
    return str(made["ID"])


def tasks(api: docker.APIClient, service: str) -> list[dict[str, Any]]:
    return sorted(api.tasks(filters={"service": service}), key=lambda task: task["CreatedAt"])


def until(api: docker.APIClient, service: str, holds: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """The service's tasks once this holds for them."""

    def found() -> list[list[dict[str, Any]]]:
        return [found] if holds(found := tasks(api, service)) else []

    return wait_until(found, f"the tasks of {service}", PATIENCE)[0]


def state(task: dict[str, Any]) -> str:
    return str(task["Status"]["State"])


def ended(api: docker.APIClient, service: str, count: int = 1) -> list[dict[str, Any]]:
    return until(api, service, lambda found: len(found) >= count and state(found[count - 1]) in FINAL)


def running(api: docker.APIClient, service: str) -> list[dict[str, Any]]:
    return until(api, service, lambda found: bool(found) and state(found[0]) == "running")


def read_log(api: docker.APIClient, task: str, **params: Any) -> list[tuple[int, int, bytes]]:
    """(stream, nanoseconds, content) of each frame."""
    url = f"{api.base_url}/v{api.api_version}/tasks/{task}/logs"
    answer = api.get(url, params={"stdout": 1, "stderr": 1, "timestamps": 1, **params}, timeout=30)
    assert answer.status_code == 200, answer.text
    return frames.read(answer.content)


def output(api: docker.APIClient, service: str) -> bytes:
    return b"".join(content for _, _, content in read_log(api, ended(api, service)[0]["ID"]))


def stop(api: docker.APIClient, service: str) -> None:
    raw = api.inspect_service(service)
    assert update(api, raw, spec.stop(raw)).status_code == 200


# activating and stopping


def test_a_parked_service_has_no_task_and_an_activation_starts_one(api: docker.APIClient) -> None:
    service = create(api, ["true"], replicas=0)
    assert tasks(api, service) == []
    raw = api.inspect_service(service)
    assert update(api, raw, spec.activation(raw, "nonce")).status_code == 200
    assert len(ended(api, service)) == 1


def test_an_update_at_an_old_version_is_out_of_sequence(api: docker.APIClient) -> None:
    raw = api.inspect_service(create(api, ["true"], replicas=0))
    assert update(api, raw, spec.stop(raw)).status_code == 200
    late = update(api, raw, spec.activation(raw, "nonce"))
    assert late.status_code == 500
    assert "out of sequence" in late.json()["message"]


def test_a_service_has_a_higher_version_after_each_change_and_so_has_one_that_is_made_after_it(api: docker.APIClient) -> None:
    def version(service: str) -> int:
        return int(api.inspect_service(service)["Version"]["Index"])

    first = create(api, ["true"], replicas=0, name=(name := f"facts-{uuid4().hex}"))
    made = version(first)
    raw = api.inspect_service(first)
    assert update(api, raw, raw["Spec"] | {"Labels": {spec.INSTALLATION: INSTALLATION, "fastlane.cron": "@daily"}}).status_code == 200
    changed = version(first)
    api.remove_service(first)
    again = create(api, ["true"], replicas=0, name=name)
    assert made < changed < version(again)


def test_a_service_that_was_stopped_first_never_starts(api: docker.APIClient) -> None:
    service = create(api, ["true"], replicas=0)
    raw = api.inspect_service(service)
    update(api, raw, spec.stop(raw))
    assert update(api, raw, spec.activation(raw, "nonce")).status_code == 500
    assert tasks(api, service) == []


def test_a_stop_ends_the_task_with_its_own_code_and_leaves_a_second_one_that_waits(api: docker.APIClient) -> None:
    service = create(api, HOLD)
    first = running(api, service)[0]
    until(api, service, lambda found: bool(read_log(api, first["ID"])))
    stop(api, service)
    found = until(api, service, lambda found: len(found) == 2 and state(found[0]) == "shutdown" and "Err" in found[1]["Status"])
    assert found[0]["ID"] == first["ID"]
    assert found[0]["Status"]["ContainerStatus"]["ExitCode"] == 7
    assert state(found[1]) == "pending"
    assert "no suitable node" in found[1]["Status"]["Err"]
    assert [content for _, _, content in read_log(api, first["ID"])] == [b"begun\n"]


def test_a_stop_of_a_finished_service_keeps_its_result(api: docker.APIClient) -> None:
    service = create(api, ["sh", "-c", "exit 3"])
    first = ended(api, service)[0]
    stop(api, service)
    found = until(api, service, lambda found: len(found) == 2)
    assert (found[0]["ID"], state(found[0]), found[0]["Status"]["ContainerStatus"]["ExitCode"]) == (first["ID"], "failed", 3)


def test_a_stop_of_a_task_that_no_node_takes_ends_it_without_a_container_and_takes_the_words_away(api: docker.APIClient) -> None:
    service = create(api, HOLD, replicas=0)
    raw = api.inspect_service(service)
    raw["Spec"]["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.not-there==1"]}
    assert update(api, raw, spec.activation(raw, "nonce")).status_code == 200
    (waiting,) = until(api, service, lambda found: bool(found) and "no suitable node" in found[0]["Status"].get("Err", ""))
    stop(api, service)
    found = until(api, service, lambda found: len(found) == 2 and state(found[0]) == "shutdown")
    assert found[0]["ID"] == waiting["ID"]
    assert (found[0]["Status"].get("Err", ""), found[0]["Status"].get("ContainerStatus")) == ("", None)


def test_a_service_that_is_scaled_to_nothing_loses_its_task(api: docker.APIClient) -> None:
    service = create(api, HOLD)
    running(api, service)
    raw = api.inspect_service(service)
    raw["Spec"]["Mode"]["Replicated"]["Replicas"] = 0
    assert update(api, raw, raw["Spec"]).status_code == 200
    assert until(api, service, lambda found: not found) == []
    assert api.inspect_service(service)["ID"] == service


SICK = {"Test": ["CMD", "false"], "Interval": 1_000_000_000, "Timeout": 1_000_000_000, "Retries": 1}


def test_a_container_that_fails_its_health_check_is_ended_and_was_not_called_running(api: docker.APIClient) -> None:
    service = create(api, HOLD, Healthcheck=SICK)
    (task,) = until(api, service, lambda found: bool(found) and state(found[0]) in {"running", *FINAL})
    assert state(task) == "failed"
    assert task["Status"]["Err"] == "task: non-zero exit (7): dockerexec: unhealthy container"


def test_a_finished_service_does_not_run_again_when_its_template_is_sent_back_and_does_when_it_is_changed(api: docker.APIClient) -> None:
    service = create(api, ["echo", "ran"])
    ended(api, service)
    raw = api.inspect_service(service)
    sent = raw["Spec"]
    sent["Labels"]["another"] = "label"
    assert update(api, raw, sent).status_code == 200
    raw = api.inspect_service(service)
    assert len(tasks(api, service)) == 1
    raw["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"] = ["A=1"]
    assert update(api, raw, raw["Spec"]).status_code == 200
    assert len(ended(api, service, 2)) == 2


def test_a_second_service_of_one_name_is_a_conflict_even_when_the_first_has_ended(api: docker.APIClient) -> None:
    name = f"facts-{uuid4().hex}"
    ended(api, create(api, ["true"], name=name))
    with pytest.raises(docker.errors.APIError) as refused:
        create(api, ["true"], name=name)
    assert refused.value.status_code == 409
    assert "name conflicts with an existing object" in str(refused.value.explanation)


def test_a_removed_service_is_gone_at_once(api: docker.APIClient) -> None:
    service = create(api, ["true"], replicas=0)
    api.remove_service(service)
    with pytest.raises(docker.errors.NotFound):
        api.inspect_service(service)


# what is expanded, and what is not


def test_templates_are_expanded_in_the_environment_unless_escaped_and_nowhere_else(api: docker.APIClient) -> None:
    text = 'x{{.Service.Name}}y}}z{{{ "q" {{"{{"}}'
    service = create(
        api,
        ["sh", "-c", 'printf "%s\n" "$A" "$B" "$1"', "sh", text],
        labels={"odd": "a\u202e✓{{.Node.ID}}"},
        Env=["A={{.Task.Slot}}", literal(f"B={text}")],
    )
    assert output(api, service).decode().splitlines() == ["1", text, text]
    assert api.inspect_service(service)["Spec"]["Labels"]["odd"] == "a\u202e✓{{.Node.ID}}"


# stacks


def test_a_config_of_a_stack_cannot_change_under_its_name(engine: str, tmp_path: Path) -> None:
    name, file = f"facts-{uuid4().hex[:8]}", tmp_path / "stack.yml"
    file.write_text(f'version: "3.8"\nconfigs: {{rules: {{name: {name}, file: ./rules.yaml}}}}\n')
    command = ["stack", "deploy", "-c", str(file), name]
    try:
        for text in ("one", "one"):
            (tmp_path / "rules.yaml").write_text(text)
            run_docker(engine, *command)
        (tmp_path / "rules.yaml").write_text("two")
        changed = subprocess.run(["docker", "-H", engine, *command], capture_output=True, text=True, check=False, timeout=60)
        assert changed.returncode != 0
        assert "only updates to Labels are allowed" in changed.stderr
    finally:
        run_docker(engine, "stack", "rm", name)


# images


def test_a_local_image_runs_by_its_id(api: docker.APIClient) -> None:
    id = api.inspect_image(IMAGE)["Id"]
    assert id.startswith("sha256:")
    assert output(api, create(api, ["echo", "ran"], Image=id)) == b"ran\n"


def test_a_missing_image_rejects_the_task_and_its_log_is_empty(api: docker.APIClient) -> None:
    (task,) = ended(api, create(api, ["true"], Image="sha256:" + "0" * 64))
    assert state(task) == "rejected"
    assert "No such image" in task["Status"]["Err"]
    assert not task["Status"]["ContainerStatus"]["ContainerID"]
    assert read_log(api, task["ID"]) == []


def test_a_registry_whose_name_cannot_be_looked_up_is_told_as_a_failed_lookup(api: docker.APIClient) -> None:
    with pytest.raises(docker.errors.APIError, match=r"dial tcp: lookup registry\.invalid"):
        api.inspect_distribution("registry.invalid/image:1")


def test_what_is_no_reference_is_a_400(api: docker.APIClient) -> None:
    with pytest.raises(docker.errors.APIError) as refused:
        api.inspect_distribution("UPPER")
    assert refused.value.status_code == 400


# watching


def test_the_list_of_tasks_is_filtered_by_the_labels_of_their_services(api: docker.APIClient) -> None:
    mark = uuid4().hex
    service = create(api, ["true"], labels={"mark": mark})
    create(api, ["true"])
    ended(api, service)
    found = api.tasks(filters={"label": f"mark={mark}"})
    assert [task["ServiceID"] for task in found] == [service]
    assert not found[0].get("Labels")


# logs


def test_a_log_read_again_has_the_same_order_in_each_stream_and_since_includes_its_own_nanosecond(api: docker.APIClient) -> None:
    service = create(api, ["sh", "-c", "i=0; while [ $i -lt 300 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done"])
    task = ended(api, service)[0]["ID"]
    first = read_log(api, task)
    for stream, letter in ((1, b"o"), (2, b"e")):
        assert [content for of, _, content in first if of == stream] == [b"%s%d\n" % (letter, number) for number in range(300)]
    for _, moment, content in first[100:103]:
        again = read_log(api, task, since=f"{moment // 10**9}.{moment % 10**9:09d}")
        assert content in [other for _, time, other in again if time == moment]
        for stream in (1, 2):
            later = [entry for entry in first if entry[0] == stream and entry[1] >= moment]
            assert [entry for entry in again if entry[0] == stream][-len(later) :] == later


def test_the_pieces_of_a_long_line_have_one_time(api: docker.APIClient) -> None:
    service = create(api, ["sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x"])
    pieces = read_log(api, ended(api, service)[0]["ID"])
    assert [len(content) for _, _, content in pieces] == [16384, 16384, 7232]
    assert len({moment for _, moment, _ in pieces}) == 1


@pytest.mark.parametrize(("driver", "kept"), [("local", b"\xff\xfe\x00\r\nend"), ("json-file", b"\xef\xbf\xbd\xef\xbf\xbd\x00\r\nend")])
def test_only_the_local_driver_keeps_bytes_that_are_not_utf8(api: docker.APIClient, driver: str, kept: bytes) -> None:
    assert output(api, create(api, ["printf", "\\377\\376\\000\\r\\nend"], driver=driver)) == kept


def test_a_task_that_no_node_has_tells_an_error_in_the_stream_of_its_log(api: docker.APIClient) -> None:
    service = create(api, ["true"], replicas=0)
    raw = api.inspect_service(service)
    raw["Spec"] = spec.stop(raw)
    started = spec.activation(raw, "nonce")
    assert update(api, raw, started).status_code == 200
    (task,) = until(api, service, lambda found: bool(found) and "Err" in found[0]["Status"])
    url = f"{api.base_url}/v{api.api_version}/tasks/{task['ID']}/logs"
    answer = api.get(url, params={"stdout": 1, "timestamps": 1}, timeout=30)
    assert answer.status_code == 200
    stream, size = struct.unpack_from(">BxxxI", answer.content)
    assert (stream, len(answer.content)) == (3, size + 8)
    assert b"has not been scheduled" in answer.content


# times


def test_the_engine_writes_its_times_in_utc_with_nanoseconds(api: docker.APIClient) -> None:
    task = ended(api, create(api, ["true"]))[0]
    container = api.inspect_container(task["Status"]["ContainerStatus"]["ContainerID"])["State"]
    for text in (task["CreatedAt"], task["Status"]["Timestamp"], container["StartedAt"], container["FinishedAt"]):
        assert text.endswith("Z")
        assert abs(datetime.fromisoformat(text[:19] + "+00:00").timestamp() - time.time()) < 60
