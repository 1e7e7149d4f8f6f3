"""Credentials for registries: where they come from, that each goes to its own registry alone, and that a change is seen."""

import asyncio
import base64
import json
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import structlog

from fastlane.errors import RegistryDown
from fastlane.executors.swarm.registries import Registries
from fastlane.models.image import RegistryLogin
from tests.support.waiting import until

SECRET = "hunter2:with spaces "
OURS = RegistryLogin("registry.example.com:5000", "anna", SECRET)


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Registries]]:
    made: list[Registries] = []

    def registries(*logins: RegistryLogin, config: Path | None = None) -> Registries:
        made.append(Registries(logins, config))
        return made[-1]

    yield registries
    await asyncio.gather(*(one.close() for one in made))


def auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def write(path: Path, content: object) -> Path:
    """Writes a file as a careful program does: another one in its place."""
    new = path.with_suffix(".new")
    new.write_text(content if isinstance(content, str) else json.dumps(content))
    new.replace(path)
    return path


def helper(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential helper on PATH, which notes each registry that it is asked for; the file of the notes."""
    notes = folder / f"{name}.asked"
    program = folder / f"docker-credential-{name}"
    program.write_text(f'#!/bin/sh\nread -r registry\necho "$registry" >>{notes}\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return notes


def is_alive(pid: int) -> bool:
    """Whether this process runs: one that ended, and that nobody has waited for yet, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_credentials_go_to_the_registry_that_they_are_for(make: Callable[..., Registries], tmp_path: Path) -> None:
    config = write(
        tmp_path / "config.json", {"auths": {"https://index.docker.io/v1/": auth("hub", "a"), "other.example.com": auth("o", "b")}}
    )
    registries = make(OURS, config=config)
    assert await registries.credentials("registry.example.com:5000/team/app:1") == {
        "username": "anna",
        "password": SECRET,
        "serveraddress": "registry.example.com:5000",
    }
    assert (await registries.credentials("ubuntu"))["username"] == "hub"
    assert (await registries.credentials("other.example.com/app"))["password"] == "b"
    for image in ("registry.example.com/app", "example.com:5000/app", "HUB/app", "index.docker.io.evil.example/x", "sha256:" + "a" * 64):
        assert await registries.credentials(image) == {}, image


async def test_the_settings_count_where_a_docker_configuration_says_otherwise(make: Callable[..., Registries], tmp_path: Path) -> None:
    config = write(tmp_path / "config.json", {"auths": {OURS.host: auth("other", "x")}})
    assert (await make(OURS, config=config).credentials(f"{OURS.host}/app"))["username"] == "anna"


async def test_without_settings_there_are_no_credentials(
    make: Callable[..., Registries], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "config.json", {"auths": {"docker.io": auth("hub", "a")}})
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for config in (None, write(tmp_path / "empty.json", "{}"), write(tmp_path / "nothing.json", ""), tmp_path / "missing.json"):
        assert await make(config=config).credentials("ubuntu") == {}


async def test_a_new_password_needs_no_restart(make: Callable[..., Registries], tmp_path: Path) -> None:
    password = write(tmp_path / "password", "old\n")
    config = write(tmp_path / "config.json", {"auths": {"docker.io": auth("hub", "old")}})
    registries = make(RegistryLogin("r.example.com", "anna", None, password), config=config)
    assert (await registries.credentials("r.example.com/app"))["password"] == "old"
    assert (await registries.credentials("ubuntu"))["password"] == "old"
    write(password, "new\r\n")
    write(config, {"auths": {"docker.io": auth("hub", "new")}})
    assert (await registries.credentials("r.example.com/app"))["password"] == "new"
    assert (await registries.credentials("ubuntu"))["password"] == "new"
    config.unlink()
    assert await registries.credentials("ubuntu") == {}


async def test_a_password_that_cannot_be_read_is_waited_for_and_not_done_without(make: Callable[..., Registries], tmp_path: Path) -> None:
    registries = make(RegistryLogin("r.example.com", "anna", None, tmp_path / "password"))
    with pytest.raises(RegistryDown, match=r"the password for r\.example\.com cannot be read"):
        await registries.credentials("r.example.com/app")
    write(tmp_path / "password", SECRET)
    assert (await registries.credentials("r.example.com/app"))["password"] == SECRET


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "[]",
        {"auths": [1]},
        {"auths": {"docker.io": "x"}},
        {"auths": {"docker.io": {"auth": "!"}}},
        {"auths": {"docker.io": {"auth": 5}}},
        {"auths": {"docker.io": {"auth": base64.b64encode(b"no colon").decode()}}},
        {"auths": {"docker.io": {"auth": base64.b64encode(b"a:\xff").decode()}}},
    ],
)
async def test_a_configuration_that_became_unreadable_holds_as_it_was(
    make: Callable[..., Registries], tmp_path: Path, broken: object
) -> None:
    config = write(tmp_path / "config.json", {"auths": {"docker.io": auth("hub", SECRET)}})
    registries = make(config=config)
    before = await registries.credentials("ubuntu")
    write(config, broken)
    with structlog.testing.capture_logs() as logs:
        assert await registries.credentials("ubuntu") == before
        assert await registries.credentials("ubuntu") == before
        assert await make(config=config).credentials("ubuntu") == {}
    assert [line["event"] for line in logs] == ["registries.docker_config_unreadable"] * 2
    assert SECRET not in str(logs)
    write(config, {"auths": {"docker.io": auth("hub", "new")}})
    assert (await registries.credentials("ubuntu"))["password"] == "new"


async def test_a_helper_is_asked_for_its_own_registry_and_once_a_minute(
    make: Callable[..., Registries], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = helper(tmp_path, "one", """echo '{"Username": "anna", "Secret": "from one"}'""", monkeypatch)
    token = helper(tmp_path, "two", """echo '{"Username": "<token>", "Secret": "a token"}'""", monkeypatch)
    config = write(tmp_path / "config.json", {"credHelpers": {"one.example.com": "one"}, "credsStore": "two"})
    registries = make(config=config)
    for _ in range(3):
        found = await registries.credentials("one.example.com/app")
        assert found == {"ServerAddress": "one.example.com", "Username": "anna", "Password": "from one"}
    assert (await registries.credentials("ubuntu"))["IdentityToken"] == "a token"
    assert notes.read_text().split() == ["one.example.com"]
    assert token.read_text().split() == ["https://index.docker.io/v1/"]


@pytest.mark.parametrize("script", [f"echo '{SECRET}'; exit 1", f"echo '{SECRET}'", f"""echo '{{"Secret": "{SECRET}"}}'"""])
async def test_a_helper_that_fails_holds_up_its_own_registries_alone_and_tells_nothing(
    make: Callable[..., Registries], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    helper(tmp_path, "bad", script, monkeypatch)
    config = write(
        tmp_path / "config.json", {"credsStore": "bad", "auths": {"named.example.com": {}}, "credHelpers": {"own.example.com": "bad"}}
    )
    registries = make(config=config)
    with structlog.testing.capture_logs() as logs:
        for image in ("named.example.com/app", "own.example.com/app"):
            with pytest.raises(RegistryDown, match="docker-credential-bad failed") as caught:
                await registries.credentials(image)
            assert SECRET not in str(caught.value)
        assert await registries.credentials("ubuntu") == {}
    assert [(line["event"], line["registry"]) for line in logs] == [("registries.helper_failed", "docker.io")]
    assert SECRET not in str(logs)


async def test_a_helper_without_credentials_for_a_registry_is_not_a_fault(
    make: Callable[..., Registries], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, "empty", "echo 'credentials not found in native keychain'; exit 1", monkeypatch)
    config = write(tmp_path / "config.json", {"credHelpers": {"own.example.com": "empty"}})
    assert await make(config=config).credentials("own.example.com/app") == {}


async def test_a_helper_that_is_not_installed_is_passed_over_for_images_that_need_no_password(
    make: Callable[..., Registries], tmp_path: Path
) -> None:
    config = write(tmp_path / "config.json", {"credsStore": "nowhere"})
    assert await make(config=config).credentials("ubuntu") == {}


async def test_a_helper_that_hangs_holds_up_no_other_registry(
    make: Callable[..., Registries], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastlane.executors.swarm.registries.READ_WITHIN", 1.0)
    go_on = tmp_path / "go-on"
    helper(tmp_path, "slow", f'while [ ! -e {go_on} ]; do sleep 0.05; done; echo \'{{"Username": "a", "Secret": "b"}}\'', monkeypatch)
    registries = make(OURS, config=write(tmp_path / "config.json", {"credHelpers": {"slow.example.com": "slow"}}))
    waiting = [asyncio.ensure_future(registries.credentials("slow.example.com/app")) for _ in range(20)]
    await asyncio.sleep(0)
    assert (await registries.credentials(f"{OURS.host}/app"))["username"] == "anna"
    assert await registries.credentials("ubuntu") == {}
    for one in waiting:
        with pytest.raises(RegistryDown, match=r"slow\.example\.com could not be read within 1 s"):
            await one
    go_on.touch()
    async with asyncio.timeout(30):
        while True:
            try:
                assert (await registries.credentials("slow.example.com/app"))["Username"] == "a"
                break
            except RegistryDown:
                continue


async def test_a_helper_that_hangs_is_ended_with_what_it_started(
    make: Callable[..., Registries], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastlane.executors.swarm.docker_config.HELPER_WITHIN", 1.0)
    started = tmp_path / "started"
    helper(tmp_path, "stuck", f"sleep 3600 & echo $! >>{started}; wait", monkeypatch)
    config = write(tmp_path / "config.json", {"credsStore": "stuck", "credHelpers": {"own.example.com": "stuck"}})
    registries = make(config=config)
    with pytest.raises(RegistryDown, match="docker-credential-stuck failed"):
        await registries.credentials("own.example.com/app")
    assert await registries.credentials("ubuntu") == {}
    pids = [int(pid) for pid in started.read_text().split()]
    assert len(pids) == 2
    await until(lambda: not any(map(is_alive, pids)), "the helper's processes to end")
