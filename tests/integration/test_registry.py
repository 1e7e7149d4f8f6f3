"""The tests' own registry: what an engine finds there, what it is refused, and what it meets when the registry is silent or gone."""

from collections.abc import Iterator

import docker
import pytest
import requests

from tests.support.engine import connect
from tests.support.registry import Registry
from tests.support.swarms import Swarms

NAME = "some/image:1"


@pytest.fixture
def api(engine: str) -> Iterator[docker.APIClient]:
    client = connect(engine)
    yield client
    client.close()


def digest(api: docker.APIClient, reference: str) -> str:
    return str(api.inspect_distribution(reference)["Descriptor"]["digest"])


def test_an_engine_reads_the_digest_of_what_was_pushed_and_has_no_copy_of_it(
    engine: str, api: docker.APIClient, registry: Registry
) -> None:
    pushed = registry.push(engine, NAME)
    assert pushed.reference == f"{registry.address}/{NAME}"
    assert digest(api, pushed.reference) == pushed.digest == registry.digest(NAME)
    assert api.images(pushed.reference) == []


def test_another_content_is_another_digest_and_moves_the_tag(engine: str, api: docker.APIClient, registry: Registry) -> None:
    one, two = registry.push(engine, NAME, "one"), registry.push(engine, NAME, "two")
    assert one.digest != two.digest
    assert digest(api, one.reference) == two.digest
    assert digest(api, one.pinned) == one.digest, "what the tag named before is still there by its digest"


def test_a_removed_tag_is_unknown_and_its_image_is_there_by_its_digest_until_that_is_removed_too(
    engine: str, api: docker.APIClient, registry: Registry
) -> None:
    other, pushed = registry.push(engine, "some/image:2", "two"), registry.push(engine, NAME, "one")
    registry.remove_tag(NAME)
    registry.remove_image("some/image:2")
    assert digest(api, pushed.pinned) == pushed.digest
    for unknown in (pushed.reference, other.reference, other.pinned):
        with pytest.raises(docker.errors.APIError, match="manifest unknown"):
            api.inspect_distribution(unknown)


def test_a_private_registry_wants_its_password(engine: str, api: docker.APIClient, private_registry: Registry) -> None:
    pushed = private_registry.push(engine, NAME)
    with pytest.raises(docker.errors.APIError, match="no basic auth credentials"):
        api.inspect_distribution(pushed.reference)
    with pytest.raises(docker.errors.APIError, match="unauthorized"):
        api.inspect_distribution(pushed.reference, auth_config={**private_registry.credentials, "password": "another"})
    found = api.inspect_distribution(pushed.reference, auth_config=private_registry.credentials)
    assert found["Descriptor"]["digest"] == pushed.digest


def test_a_stopped_registry_refuses_connections_and_keeps_its_images(engine: str, api: docker.APIClient, registry: Registry) -> None:
    pushed = registry.push(engine, NAME)
    registry.stop()
    with pytest.raises(docker.errors.APIError, match="connection refused"):
        api.inspect_distribution(pushed.reference)
    registry.start()
    assert digest(api, pushed.reference) == pushed.digest


def test_a_paused_registry_is_silent_until_it_is_resumed(engine: str, api: docker.APIClient, registry: Registry) -> None:
    pushed = registry.push(engine, NAME)
    registry.pause()
    api.timeout = 2
    with pytest.raises(requests.exceptions.ReadTimeout):
        api.inspect_distribution(pushed.reference)
    api.timeout = 30
    registry.resume()
    assert digest(api, pushed.reference) == pushed.digest


def test_every_node_pulls_from_the_registry_of_its_network(three_managers: Swarms) -> None:
    with three_managers.registry(password=True) as registry:
        pushed = registry.push(three_managers.urls[0], NAME, "of all nodes")
        for node in three_managers.nodes:
            client = node.client()
            client.pull(pushed.pinned, auth_config=registry.credentials)
            assert client.inspect_image(pushed.pinned)["Config"]["Labels"]["content"] == "of all nodes"
            client.remove_image(pushed.pinned)
            client.close()
