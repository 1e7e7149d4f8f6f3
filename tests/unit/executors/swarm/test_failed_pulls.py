"""What an engine says of an image that it could not pull for a task."""

import asyncio
from typing import Any, cast

import pytest

from fastlane.errors import FastlaneError, HostDown, OrderRefused, RefusedForNow, ServiceGone
from fastlane.executors.swarm.client import Request
from fastlane.executors.swarm.faults import DiskFull, HostTimeout
from fastlane.executors.swarm.images import FailedPulls
from fastlane.executors.swarm.registries import Registries
from fastlane.models.image import RegistryLogin

IMAGE = "registry.example.com/app@sha256:12"
FULL = "write /var/lib/docker/tmp/GetImageBlob1: no space left on device"


class Engine:
    """A client that gives these answers, one to each request."""

    host = "unix:///here"

    def __init__(self, *answers: list[dict[str, Any]] | FastlaneError) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.at_once = 0

    async def send(self, request: Request, deadline: float) -> Any:
        assert deadline > 0
        self.requests.append(request)
        self.at_once += 1
        assert self.at_once == 1, "one pull at a time"
        await asyncio.sleep(0)
        self.at_once -= 1
        answer = self.answers.pop(0)
        if isinstance(answer, FastlaneError):
            raise answer
        return answer


def pulls(engine: Engine, *logins: RegistryLogin) -> FailedPulls:
    return FailedPulls(cast(Any, engine), Registries(logins))


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ([{"status": "Pulling"}, {"errorDetail": {"message": FULL}, "error": FULL}], FULL),
        ([{"error": "unauthorized at https://auth.example.com/token?account=me&x=1"}], "unauthorized at https://auth.example.com/token"),
        ([{"status": "Pulling"}, {"status": "Digest: sha256:12"}], None),
        (ServiceGone("manifest unknown"), "manifest unknown"),
        (RefusedForNow("dial tcp: connection refused"), "dial tcp: connection refused"),
        (DiskFull("unix:///here has no space left on its disk"), "no space left on device"),
        (OrderRefused("403 by a proxy"), None),
        (HostTimeout("unix:///here did not answer"), None),
        (HostDown("unix:///here is away"), None),
        ([["no object"]], None),
    ],
)
async def test_the_engine_s_words_are_the_cause(answer: Any, cause: str | None) -> None:
    engine = Engine(answer)
    assert await pulls(engine).cause(IMAGE) == cause
    assert engine.requests[0].params == {"fromImage": "registry.example.com/app", "tag": "sha256:12"}


async def test_the_engine_is_asked_once_for_all_that_failed_with_an_image_and_for_one_image_at_a_time() -> None:
    engine = Engine([{"error": "one"}], [{"error": "two"}])
    found = pulls(engine)
    causes = await asyncio.gather(*(found.cause(image) for image in (IMAGE, IMAGE, f"{IMAGE}3", IMAGE)))
    assert causes == ["one", "one", "two", "one"]


async def test_the_credentials_of_its_registry_go_with_the_request() -> None:
    engine = Engine([], [])
    found = pulls(engine, RegistryLogin("registry.example.com", "reader", "secret"))
    assert await found.cause(IMAGE) is None
    assert await found.cause("elsewhere.example.com/app@sha256:12") is None
    assert [set(request.headers) for request in engine.requests] == [{"X-Registry-Auth"}, set()]
