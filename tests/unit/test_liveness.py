"""The socket on which a process answers ``fastlane check``, in a process whose event loop the test blocks."""

import asyncio
import stat
import threading

import pytest
from click.testing import CliRunner

from fastlane.cli.servers import check
from fastlane.liveness import answering


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A short path, which the command finds in its environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTLANE_CHECK_SOCKET", "s")
    return tmp_path / "s"


def run_check(timeout: str):
    return CliRunner().invoke(check, ["--timeout", timeout])


def test_a_blocked_event_loop_fails_the_check_until_it_goes_on(path):
    async def scenario():
        async with answering(path, path.parent, lambda: None):
            assert (await asyncio.to_thread(run_check, "20")).exit_code == 0
            checker = threading.Thread(target=lambda: found.append(run_check("0.2")))
            checker.start()
            checker.join()  # the loop's own thread waits here, as in a callback that takes long
            assert (await asyncio.to_thread(run_check, "20")).exit_code == 0

    found = []
    asyncio.run(scenario())
    assert [result.exit_code for result in found] == [1]
    assert "its event loop is blocked" in found[0].stderr


async def test_a_process_that_starts_fails_the_check_and_says_what_it_waits_for(path):
    waits_for: list[str | None] = ["the store to answer"]
    async with answering(path, path.parent, lambda: waits_for[0]):
        starting = await asyncio.to_thread(run_check, "20")
        assert (starting.exit_code, starting.stdout) == (1, "")
        assert "is starting and waits for the store to answer" in starting.stderr
        waits_for[0] = None
        assert (await asyncio.to_thread(run_check, "20")).exit_code == 0


async def test_many_may_ask_at_once_and_only_this_user(path):
    async with answering(path, path.parent, lambda: None):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert {result.exit_code for result in await asyncio.gather(*(asyncio.to_thread(run_check, "20") for _ in range(20)))} == {0}
    assert not path.exists()
    assert run_check("20").exit_code == 1
