"""Images and the registries that have them: real registries, with a password and without one, that go away, hang, or have a tag moved."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from fastlane.errors import ImageRefused, RegistryDown
from fastlane.executors.port import EngineTask, Image, Order, Phase, TaskEnd
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.executors.swarm.registries import Registries
from fastlane.models.container import Container, Mount, MountKind, Policy
from fastlane.models.image import RegistryLogin
from fastlane.models.job import Spec
from fastlane.models.pool import Pool, Pull
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, connect, open_probed, remove_all, remove_images, task_in
from tests.support.fastlane import Fastlane
from tests.support.installation import installed
from tests.support.redis import RealRedis
from tests.support.registry import Registry
from tests.support.swarms import Swarms
from tests.support.waiting import until

PATIENCE = 60.0
LET_BY = 20.0
"""Seconds: a question to a registry that hangs takes 25."""


@contextlib.asynccontextmanager
async def opened(url: str, *logins: RegistryLogin, config: Path | None = None) -> AsyncIterator[SwarmExecutor]:
    """An executor on this engine, with these log-ins; its services are gone afterwards."""
    installation = f"reg-{uuid4().hex[:8]}"
    executor = default_executor([url], installation, probe_every=0.2, registries=Registries(logins, config))
    await open_probed(executor)
    try:
        yield executor
    finally:
        await executor.close()
        remove_all(url, installation)


@pytest.fixture(autouse=True)
def _pulled(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leaves an engine without the images that a test pulled."""
    registries = [request.getfixturevalue(name) for name in ("registry", "private_registry") if name in request.fixturenames]
    yield
    for registry in registries:
        remove_images(request.getfixturevalue("engine"), registry.address.rpartition(":")[2])


def login(registry: Registry) -> RegistryLogin:
    return RegistryLogin(registry.address, registry.username, registry.password)


async def run(executor: SwarmExecutor, host: str, image: Image, *command: str, **options: object) -> EngineTask:
    """The ended task of a service of this image."""
    service = await executor.park(
        host, Order(str(uuid4()), "t", "j", 1, 1, 0, command or ("true",), {}, container=Container(**options)), image
    )
    await executor.activate(host, service)
    return await task_in(Phase.ENDED, executor, host, service)


def forget(url: str, reference: str) -> None:
    """The engine has this image no more."""
    api = connect(url)
    try:
        api.remove_image(reference, force=True)
    finally:
        api.close()


async def test_every_form_of_reference_is_resolved_to_a_digest_and_runs(engine: str, registry: Registry) -> None:
    first = registry.push(engine, "team/sub/app:1.2", "one")
    latest = registry.push(engine, "plain:latest", "two")
    here, port = registry.address, registry.address.rpartition(":")[2]
    forms = {
        f"{here}/team/sub/app:1.2": (f"{here}/team/sub/app:1.2@{first.digest}", first.digest),
        f"{here}/plain": (f"{here}/plain@{latest.digest}", latest.digest),
        f"localhost:{port}/plain:latest": (f"localhost:{port}/plain:latest@{latest.digest}", latest.digest),
        first.pinned: (first.pinned, first.digest),
        f"{first.reference}@{first.digest}": (f"{first.reference}@{first.digest}", first.digest),
        # The digest is what counts where a tag beside it says otherwise.
        f"{here}/team/sub/app:no-such@{first.digest}": (f"{here}/team/sub/app:no-such@{first.digest}", first.digest),
    }
    async with opened(engine) as executor:
        for form, (reference, digest) in forms.items():
            image = await executor.resolve(engine, form, Pull.MISSING)
            assert (image.reference, image.digest) == (reference, digest), form
            assert (await run(executor, engine, image)).exit_code == 0, form
        local = await executor.resolve(engine, IMAGE, Pull.MISSING)
        assert (await executor.resolve(engine, local.reference, Pull.ALWAYS)) == local
        assert (await executor.resolve(engine, local.reference.removeprefix("sha256:"), Pull.MISSING)) == local
        with pytest.raises(ImageRefused, match="there is no image sha256:0000"):
            await executor.resolve(engine, "sha256:" + "0" * 64, Pull.MISSING)


async def test_what_a_registry_does_not_have_is_refused_with_its_words(engine: str, registry: Registry) -> None:
    pushed = registry.push(engine, "app:1", "one")
    async with opened(engine) as executor:
        for image in (f"{registry.address}/app:2", f"{registry.address}/none:1"):
            words = f"^there is no image {image} in {registry.address}: manifest unknown"
            with pytest.raises(ImageRefused, match=words):
                await executor.resolve(engine, image, Pull.MISSING)
        gone = Image(f"{registry.address}/app@sha256:{'0' * 64}", "sha256:" + "0" * 64)
        task = await run(executor, engine, gone)
        assert (task.end, task.exit_code) == (TaskEnd.IMAGE, None)
        assert "manifest unknown" in task.message
        registry.stop()
        task = await run(executor, engine, replace(gone, reference=gone.reference.replace("/app@", "/other@")))
        registry.start()
        assert (task.end, task.exit_code) == (TaskEnd.IMAGE, None)
        assert "connection refused" in task.message
        assert (await executor.resolve(engine, pushed.reference, Pull.MISSING)).digest == pushed.digest


async def test_a_registry_is_asked_always_or_only_for_what_is_missing(engine: str, registry: Registry) -> None:
    pushed = registry.push(engine, "app:1", "one")
    api = connect(engine)
    api.tag(IMAGE, f"{registry.address}/app", "1")
    try:
        async with opened(engine) as executor:
            local = await executor.resolve(engine, pushed.reference, Pull.MISSING)
            assert local.reference.startswith("sha256:")
            assert (await executor.resolve(engine, pushed.reference, Pull.ALWAYS)).digest == pushed.digest
            registry.stop()
        async with opened(engine) as executor:  # what the other one remembers is gone with it
            assert await executor.resolve(engine, pushed.reference, Pull.MISSING) == local
            assert await executor.resolve(engine, pushed.reference, Pull.ALWAYS) == local
            api.remove_image(pushed.reference)
            for pull in Pull:
                with pytest.raises(RegistryDown, match="connection refused"):
                    await executor.resolve(engine, pushed.reference, pull)
    finally:
        api.close()


async def test_a_registry_with_a_password_is_asked_and_pulled_from_with_it(engine: str, private_registry: Registry, tmp_path: Path) -> None:
    pushed = private_registry.push(engine, "team/app:1", "secret content")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(private_registry.docker_config))
    for logins, path in (((login(private_registry),), None), ((), config)):
        async with opened(engine, *logins, config=path) as executor:
            image = await executor.resolve(engine, pushed.reference, Pull.MISSING)
            assert image.digest == pushed.digest
            assert (await run(executor, engine, image)).exit_code == 0  # neither the activation nor anything after it names the password
            api = connect(engine)
            shown = json.dumps([api.services(), api.tasks(), api.containers(all=True), api.info()])
            api.close()
            assert private_registry.password not in shown
            assert private_registry.username not in shown
        forget(engine, pushed.pinned)


async def test_without_the_right_password_a_registry_refuses_and_nobody_is_told_the_wrong_one(
    engine: str, private_registry: Registry
) -> None:
    pushed = private_registry.push(engine, "team/app:1", "secret content")
    wrong = "not the password"
    for logins, words in (
        ((), "no basic auth credentials"),
        ((RegistryLogin(private_registry.address, "fastlane", wrong),), "unauthorized: authentication required"),
        ((RegistryLogin("other.example.com", private_registry.username, private_registry.password),), "no basic auth credentials"),
    ):
        async with opened(engine, *logins) as executor:
            with pytest.raises(ImageRefused, match=words) as caught:
                await executor.resolve(engine, pushed.reference, Pull.MISSING)
            assert wrong not in str(caught.value)
            task = await run(executor, engine, Image(pushed.pinned, pushed.digest))
            assert task.end is TaskEnd.IMAGE
            assert wrong not in str(task)


async def test_a_new_password_is_used_without_a_restart(engine: str, private_registry: Registry, tmp_path: Path) -> None:
    pushed = private_registry.push(engine, "app:1", "one")
    password = tmp_path / "password"
    password.write_text("an old one")
    async with opened(engine, RegistryLogin(private_registry.address, private_registry.username, None, password)) as executor:
        with pytest.raises(ImageRefused):
            await executor.resolve(engine, pushed.reference, Pull.MISSING)
        password.write_text(private_registry.password + "\n")
        assert (await executor.resolve(engine, pushed.reference, Pull.MISSING)).digest == pushed.digest


async def test_registries_that_hang_hold_up_no_start_no_other_registry_and_no_probe(
    engine: str, registry: Registry, private_registry: Registry
) -> None:
    ready = registry.push(engine, "app:1", "one")
    other = private_registry.push(engine, "app:1", "two")
    registry.pause()
    async with opened(engine, login(private_registry)) as executor:
        hanging = [asyncio.ensure_future(executor.resolve(engine, f"{registry.address}/hangs-{n}:1", Pull.ALWAYS)) for n in range(20)]
        await asyncio.sleep(0)
        try:
            assert (await executor.resolve(engine, other.reference, Pull.ALWAYS)).digest == other.digest
            local = await executor.resolve(engine, IMAGE, Pull.MISSING)
            pinned = await executor.resolve(engine, ready.pinned, Pull.ALWAYS)
            assert pinned.reference == ready.pinned
            assert (await run(executor, engine, local)).exit_code == 0
            assert executor.hosts()[0].usable
            found = await asyncio.gather(*hanging, return_exceptions=True)  # nobody waits for as long as the registry hangs
            assert {type(answer) for answer in found} == {RegistryDown}
        finally:
            registry.resume()

        async def answered() -> bool:
            try:
                await executor.resolve(engine, ready.reference, Pull.ALWAYS)
            except RegistryDown:
                return False
            return True

        await until(answered, "the registry to be asked again", PATIENCE)


async def test_jobs_of_a_registry_that_hangs_let_others_have_their_slot(engine: str, registry: Registry, tmp_path: Path) -> None:
    ready = registry.push(engine, "app:1", "one")
    pool = Pool("default", "", (engine,), max_running=1)
    with RealRedis() as redis:
        async with Fastlane(tmp_path, redis.url, pools=(pool,)) as crew, opened(engine) as executor:
            crew.executor = executor
            registry.pause()
            try:
                images = [ready.reference, f"{registry.address}/hangs-1:1", f"{registry.address}/hangs-2:1"]
                hanging = [await crew.services.submissions.enqueue("task", Spec(image, ("true",)), Schedule()) for image in images]
                other = await crew.services.submissions.enqueue("task", Spec(IMAGE, ("true",)), Schedule())
                await crew.hire()
                async with asyncio.timeout(LET_BY):
                    await crew.reaches(other, "done")
                assert {(await crew.latest_execution(job)).status for job in hanging} <= {Status.PULLING, Status.ENQUEUED}
            finally:
                registry.resume()
            assert (await crew.reaches(hanging[0], "done", "failed")).status is Status.DONE
            assert (await crew.reaches(hanging[1], "done", "failed")).failure.reason is FailureReason.IMAGE
            await crew.cleaned(hanging[0])


async def test_each_attempt_runs_the_same_image_though_its_tag_moved_and_its_registry_is_gone(
    engine: str, registry: Registry, tmp_path: Path
) -> None:
    before = registry.push(engine, "app:1", "one")
    pool = Pool("default", "", (engine,), policy=Policy(mounts=("*",)))
    flag = Container(mounts=(Mount(MountKind.BIND, "/flag", str(tmp_path)),))
    wait = ("sh", "-c", "while [ ! -e /flag/go ]; do sleep 0.05; done; exit 3")
    with RealRedis() as redis:
        async with Fastlane(tmp_path, redis.url, pools=(pool,)) as crew, opened(engine) as executor:
            crew.executor = executor
            await crew.hire()
            spec = Spec(before.reference, wait, container=flag, retries=1, retry_delay=1)
            job = await crew.services.submissions.enqueue("task", spec, Schedule())
            await crew.reaches(job, "running")
            registry.push(engine, "app:1", "two")
            registry.stop()
            (tmp_path / "go").touch()

            async def second() -> bool:
                found = await crew.latest_execution(job)
                return found is not None and found.attempt == 2 and found.status.final

            await crew.until(second, "the end of the second attempt")
            attempts = await crew.attempts(job)
            assert [(one.status, one.exit_code) for one in attempts] == [(Status.FAILED, 3)] * 2
            assert {one.image_digest for one in attempts} == {before.digest}
            await crew.cleaned(job)


def test_a_job_of_a_private_image_runs_by_the_settings_and_its_password_is_nowhere(
    engine: str, private_registry: Registry, tmp_path: Path
) -> None:
    pushed = private_registry.push(engine, "team/app:1", "secret content")
    password = tmp_path / "password"
    password.write_text(private_registry.password)
    registries = [{"host": private_registry.address, "username": private_registry.username, "passwordFile": str(password)}]
    with installed(tmp_path, engine, registries=json.dumps(registries), docker_config="none", log_level="debug") as fastlane:
        fastlane.serve("up")
        reply = fastlane.run("echo", "hello", image=pushed.reference)
        ended = fastlane.ends(reply)
        assert (ended["status"], ended["imageDigest"]) == ("done", pushed.digest)
        refused = fastlane.ends(fastlane.run("true", image=f"{private_registry.address}/team/none:1"))
        assert refused["failure"]["reason"] == "image"
        said = json.dumps([ended, refused]) + (tmp_path / "up.log").read_text()
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("*.db*"))
    assert private_registry.password not in said
    assert private_registry.password.encode() not in stored


async def test_each_node_of_a_swarm_pulls_with_the_password_and_a_local_image_is_none(three_managers: Swarms) -> None:
    first, second, third = three_managers.nodes
    with three_managers.registry(password=True) as registry:
        pushed = registry.push(first.url, "app:1", "one")
        async with opened(first.url, login(registry)) as executor:
            image = await executor.resolve(first.url, pushed.reference, Pull.MISSING)
            assert image.digest == pushed.digest
            for node in (second, third):
                task = await run(executor, first.url, image, constraints=(f"node.hostname=={node.name}",))
                assert (task.exit_code, task.end) == (0, TaskEnd.EXITED), task
            api = first.client()
            try:
                local = api.inspect_image(IMAGE)["Id"]
            finally:
                api.close()
            with pytest.raises(ImageRefused, match="means something on one node only"):
                await executor.resolve(first.url, local, Pull.MISSING)
            with pytest.raises(RegistryDown):
                await executor.resolve(first.url, IMAGE, Pull.MISSING)
        async with opened(first.url) as executor:
            task = await run(executor, first.url, Image(pushed.pinned, pushed.digest), constraints=(f"node.hostname=={first.name}",))
            assert task.end is TaskEnd.IMAGE
