"""The stack on a swarm of one node, without a registry, by the commands of docs/install.md.

MongoDB's image is a stand-in, and the node publishes the port itself: see ``test_stack.py``.
"""

import pytest

from tests.support.images import BuiltImage
from tests.support.installation import LINGER
from tests.support.stack.deployed import one_node
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.repeated, pytest.mark.timeout(1200)]

LABELS = ("docker node update --label-add fastlane.engine=1", "docker node update --label-add fastlane.data=1")
SECRETS = ("redis=", "mongo=", "printf ", "docker run ")
WORDS = "no suitable node (scheduling constraints not satisfied"
"""As docs/troubleshooting.md has them."""


def test_one_node_runs_a_job_with_an_image_that_it_has_once_it_has_secrets_and_labels(built_image: BuiltImage) -> None:
    with one_node(built_image) as stack:
        with pytest.raises(AssertionError, match="secret not found"):
            stack.type_in("One node")
        stack.type_in("Prepare the swarm", *SECRETS)
        stack.type_in("One node")
        wait_until(lambda: WORDS in stack.shell("docker stack ps --no-trunc fastlane"), "the swarm to say what is missing")
        assert "0/1" in stack.shell("docker stack services fastlane")
        stack.type_in("Prepare the swarm", *LABELS)
        stack.until_up()
        with stack.client() as client:
            assert client.run("first", image="ubuntu", command=["sh", "-c", f"echo one{LINGER}"]).stdout == b"one\n"
            assert [host["host"] for host in client.server.status()["hosts"]] == ["engine-1"]
