"""When a registry counts as away: an engine is asked over a socket, and it answers when the test lets it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from fastlane.errors import RegistryDown
from fastlane.executors.port import Image
from fastlane.executors.swarm import images
from fastlane.executors.swarm.client import OLDEST_API, Client
from fastlane.executors.swarm.images import Images
from fastlane.executors.swarm.registries import Registries
from fastlane.executors.swarm.transport import Transport
from fastlane.models.host import Endpoint
from fastlane.models.pool import Pull
from tests.support.clock import FakeClock
from tests.support.waiting import until

DIGEST = "sha256:" + "a" * 64
SOON, NEVER = 0.05, 60.0
REFUSED = "dial tcp 10.0.0.9:443: connect: connection refused"


class Asker:
    """Asks an engine about images, mostly of one registry; time does not pass for its memory. ``answer``: whether the engine answers
    from now on; ``fault``: what it says then of a registry that it cannot reach."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = asyncio.Event()
        self.fault: str | None = None
        self.clock = FakeClock()
        self.images: Images

    async def distribution(self, request: web.Request) -> web.Response:
        self.asked.append(request.match_info["image"])
        await self.answer.wait()
        if self.fault is not None:
            return web.json_response({"message": self.fault}, status=500)
        return web.json_response({"Descriptor": {"digest": DIGEST}})

    async def resolve(self, name: str, registry: str = "r.example") -> Image:
        return await self.images.resolve(f"{registry}/{name}:1", Pull.ALWAYS, one_node=False)

    async def refusal(self, name: str, registry: str = "r.example") -> str:
        """Why the image could not be resolved."""
        with pytest.raises(RegistryDown) as caught:
            await self.resolve(name, registry)
        return str(caught.value)


@pytest.fixture
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a question waits for its turn (the test's parameter); no answer is overdue."""
    monkeypatch.setattr(images, "PLACE_WITHIN", request.param)
    monkeypatch.setattr(images, "OVERDUE_AFTER", NEVER)


@pytest.fixture
async def asker(tmp_path: Path, patience: None) -> AsyncIterator[Asker]:
    asker = Asker()
    application = web.Application()
    application.router.add_get(f"/v{OLDEST_API}/distribution/{{image:.+}}/json", asker.distribution)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    client, registries = Client(Transport(Endpoint(f"unix://{tmp_path / 's'}"))), Registries()
    asker.images = Images(client.get, client, registries, asker.clock)
    yield asker
    asker.answer.set()
    await asker.images.close()
    await asyncio.gather(client.close(), registries.close())
    await runner.cleanup()


@pytest.mark.parametrize("patience", [NEVER], indirect=True)
async def test_a_registry_that_is_busy_with_other_questions_does_not_count_as_away(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "ANSWER_WITHIN", SOON)
    words = await asyncio.gather(*(asker.refusal(name) for name in ("one", "two", "three")))
    assert all("did not answer in time" in said for said in words)
    monkeypatch.setattr(images, "ANSWER_WITHIN", NEVER)
    asker.answer.set()
    assert (await asker.resolve("four")).digest == DIGEST


@pytest.mark.parametrize("patience", [NEVER], indirect=True)
async def test_a_registry_whose_answer_is_overdue_counts_as_away(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "ANSWER_WITHIN", SOON)

    async def asked() -> bool:
        await asker.refusal("one")
        return bool(asker.asked)

    await until(asked, "the engine to be asked")
    monkeypatch.setattr(images, "OVERDUE_AFTER", 0.0)
    await asker.refusal("one")
    assert "r.example/one:1 did not answer" in await asker.refusal("two")
    assert asker.asked == ["r.example/one:1"]


@pytest.mark.parametrize("patience", [SOON], indirect=True)
async def test_a_registry_that_could_not_be_asked_for_other_questions_does_not_count_as_away(asker: Asker) -> None:
    asking = [asyncio.create_task(asker.resolve(name)) for name in ("one", "two")]
    await until(lambda: len(asker.asked) == 2, "the engine to be asked")
    for name in ("three", "four"):
        assert f"r.example/{name}:1 could not be asked in time" in await asker.refusal(name)
    asker.answer.set()
    assert {image.digest for image in await asyncio.gather(*asking)} == {DIGEST}


@pytest.mark.parametrize("patience", [NEVER], indirect=True)
async def test_the_failure_of_a_registry_is_remembered_of_it_alone(asker: Asker) -> None:
    asker.answer.set()
    asker.fault = REFUSED
    assert await asker.refusal("one", "away.example") == REFUSED
    assert await asker.refusal("two", "away.example") == REFUSED
    assert asker.asked == ["away.example/one:1"]
    asker.fault = None
    assert (await asker.resolve("one")).digest == DIGEST


@pytest.mark.parametrize("patience", [NEVER], indirect=True)
async def test_a_question_that_waits_for_its_turn_is_not_asked_when_its_registry_fails_meanwhile(asker: Asker) -> None:
    asking = [asyncio.create_task(asker.refusal(name)) for name in ("one", "two", "three", "four")]
    await until(lambda: len(asker.asked) == 2, "the engine to be asked")
    asker.fault = REFUSED
    asker.answer.set()
    assert await asyncio.gather(*asking) == [REFUSED] * 4
    assert len(asker.asked) == 2


@pytest.mark.parametrize("patience", [NEVER], indirect=True)
async def test_an_answer_is_forgotten_when_the_clock_was_set_back(asker: Asker) -> None:
    asker.answer.set()
    for _ in range(2):
        await asker.resolve("one")
    assert len(asker.asked) == 1
    asker.clock.set_back(3600)
    await asker.resolve("one")
    assert len(asker.asked) == 2
