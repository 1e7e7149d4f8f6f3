"""What is taken for granted of an engine to which a service is submitted. Where one fails, ``spec.py`` rests on sand."""

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import docker
import pytest

from fastlane.executors.swarm import spec
from fastlane.models.container import literal
from tests.support.engine import IMAGE, connect, remove_all, remove_images, update
from tests.support.registry import Registry
from tests.support.waiting import wait_until

PATIENCE = 60.0
INSTALLATION = f"facts-{uuid4().hex[:8]}"
TEMPLATE = "{{.Service.Name}}"


@pytest.fixture
def api(engine: str) -> Iterator[docker.APIClient]:
    client = connect(engine)
    yield client
    client.close()
    remove_all(engine, INSTALLATION)


@pytest.fixture(autouse=True)
def _pulled(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leaves an engine without the images that a test pulled."""
    registries = [request.getfixturevalue(name) for name in ("registry", "private_registry") if name in request.fixturenames]
    yield
    for registry in registries:
        remove_images(request.getfixturevalue("engine"), registry.address.rpartition(":")[2])


def create(
    api: docker.APIClient, container: dict[str, Any], auth: dict[str, str] | None = None, mode: str = "dnsrr", **template: Any
) -> dict[str, Any]:
    """Submits a parked service; the inspected service."""
    wanted = {
        "Name": f"facts-{uuid4().hex}",
        "Labels": {spec.INSTALLATION: INSTALLATION},
        "Mode": {"Replicated": {"Replicas": 0}},
        "TaskTemplate": {"ContainerSpec": {"Image": IMAGE, **container}, "RestartPolicy": {"Condition": "none"}, **template},
        "EndpointSpec": {"Mode": mode},
    }
    header = base64.urlsafe_b64encode(json.dumps(auth).encode()).decode() if auth else ""
    headers = {"X-Registry-Auth": header} if auth else {}
    answer = api.post(f"{api.base_url}/v{api.api_version}/services/create", json=wanted, headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = api.inspect_service(answer.json()["ID"])
    return made


def activate(api: docker.APIClient, service: dict[str, Any]) -> None:
    assert update(api, service, spec.activation(service, "nonce")).status_code == 200


def ended(api: docker.APIClient, service: dict[str, Any]) -> dict[str, Any]:
    """Its first task, in a final state."""

    def found() -> dict[str, Any] | None:
        tasks = sorted(api.tasks(filters={"service": service["ID"]}), key=lambda task: task["CreatedAt"])
        return tasks[0] if tasks and tasks[0]["Status"]["State"] in {"complete", "failed", "rejected", "shutdown"} else None

    return wait_until(found, f"the end of a task of {service['ID']}", PATIENCE)


def test_templates_are_expanded_in_the_environment_and_in_what_is_mounted_where_and_nowhere_else(api: docker.APIClient) -> None:
    mounts = [{"Type": "tmpfs", "Target": f"/{TEMPLATE}"}, {"Type": "tmpfs", "Target": literal(f"/literal-{TEMPLATE}")}]
    script = f"echo $ENV $LITERAL; pwd; grep -o '{TEMPLATE}$' /etc/hosts; cut -d' ' -f2 /proc/mounts | grep -e facts- -e {TEMPLATE}"
    container = {
        "Args": ["sh", "-c", script],
        "Env": [f"ENV={TEMPLATE}", f"LITERAL={literal(TEMPLATE)}"],
        "Dir": f"/{TEMPLATE}",
        "Hosts": [f"10.0.0.1 {TEMPLATE}"],
        "Mounts": mounts,
        "Labels": {"template": TEMPLATE},
    }
    service = create(api, container)
    name = service["Spec"]["Name"]
    activate(api, service)
    found = api.inspect_container(ended(api, service)["Status"]["ContainerStatus"]["ContainerID"])
    lines = api.logs(found["Id"]).decode().splitlines()
    assert lines[:3] == [f"{name} {TEMPLATE}", f"/{TEMPLATE}", TEMPLATE]
    assert set(lines[3:]) == {f"/{name}", f"/literal-{TEMPLATE}"}
    assert found["Config"]["Labels"]["template"] == TEMPLATE


def test_a_template_in_the_name_of_a_volume_is_expanded_or_refused(api: docker.APIClient) -> None:
    mount = {"Type": "volume", "Source": "a{{b", "Target": "/v"}
    with pytest.raises(AssertionError, match="expanding mount source"):
        create(api, {"Mounts": [mount]})


def test_without_a_virtual_address_a_service_on_a_network_takes_no_address_but_its_tasks(api: docker.APIClient) -> None:
    network = api.create_network(f"facts-{uuid4().hex[:8]}", driver="overlay")["Id"]
    services: list[str] = []

    def addresses(service: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = api.inspect_service(service)["Endpoint"].get("VirtualIPs", [])
        return found

    try:
        services += [create(api, {}, Networks=[{"Target": network}], mode=mode)["ID"] for mode in ("dnsrr", "vip")]
        plain, virtual = services
        # The manager gives addresses in the order of creation, a moment after its answer.
        (given,) = wait_until(lambda: addresses(virtual), "an address of the service that asks for one", PATIENCE)
        assert given["NetworkID"] == network
        assert not addresses(plain)
        assert not api.inspect_service(plain)["Endpoint"].get("Ports")
    finally:
        for service in services:
            api.remove_service(service)
        wait_until(lambda: is_removed(api, network), "the network to be free", PATIENCE)


def is_removed(api: docker.APIClient, network: str) -> bool:
    """Removes a network, which an engine refuses while a task has it."""
    with contextlib.suppress(docker.errors.APIError):
        api.remove_network(network)
    return not api.networks(ids=[network])


def test_the_credentials_of_a_create_outlive_updates_that_name_none_and_are_shown_to_nobody(
    api: docker.APIClient, engine: str, private_registry: Registry
) -> None:
    pushed = private_registry.push(engine, "app:1", "one")
    service = create(api, {"Image": pushed.pinned, "Args": ["true"]}, private_registry.credentials)
    relabelled = {**service["Spec"], "Labels": {**service["Spec"]["Labels"], "more": "1"}}
    assert update(api, service, relabelled).status_code == 200
    service = api.inspect_service(service["ID"])
    activate(api, service)
    task = ended(api, service)
    assert task["Status"]["State"] == "complete"
    shown = json.dumps([api.inspect_service(service["ID"]), api.inspect_task(task["ID"])])
    assert private_registry.password not in shown
    assert "PullOptions" not in shown
    without = create(api, {"Image": f"{private_registry.address}/app@{pushed.digest}", "Args": ["true"]})
    api.remove_image(pushed.pinned, force=True)
    activate(api, without)
    assert ended(api, without)["Status"]["Err"] == f"No such image: {pushed.pinned}"


def test_a_digest_that_the_node_has_is_not_pulled_again(api: docker.APIClient, engine: str, registry: Registry) -> None:
    pushed = registry.push(engine, "app:1", "one")
    api.pull(pushed.pinned)
    registry.stop()
    service = create(api, {"Image": f"{pushed.reference}@{pushed.digest}", "Args": ["true"]})
    activate(api, service)
    assert ended(api, service)["Status"]["State"] == "complete"
    api.remove_image(pushed.pinned, force=True)


@pytest.mark.parametrize(("image", "host"), [("NOSUCHHOST/app", "NOSUCHHOST"), ("nosuchhost/app", "registry-1.docker.io")])
def test_a_first_part_with_a_capital_in_it_is_a_host(api: docker.APIClient, image: str, host: str) -> None:
    with pytest.raises(docker.errors.APIError, match=f"lookup {host}"):
        api.inspect_distribution(image, auth_config={})
