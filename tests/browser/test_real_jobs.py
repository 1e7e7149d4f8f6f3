"""The page of a log in a real browser, of jobs that run in containers of a real engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, expect

from tests.browser.logpage import DESK, PHONE, open_log, shoot
from tests.support.installation import Installation, installed

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = """
for n in 1 2 3 4 5 6 7 8 9 10; do
    printf '\\033[3%smattempt %s, line %s\\033[0m\\n' $((n % 7 + 1)) $FASTLANE_ATTEMPT $n
    [ $n = 5 ] && echo "attempt $FASTLANE_ATTEMPT, trouble" >&2
    sleep 0.4
done
[ $FASTLANE_ATTEMPT = 2 ] || exit 7
"""


@pytest.fixture
def fastlane(engine: str, tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path, engine) as installation:
        installation.serve("up")
        installation.until_healthy()
        yield installation


def lines(attempt: int) -> list[str]:
    """The lines of an attempt on stdout."""
    return [f"attempt {attempt}, line {number}" for number in range(1, 11)]


async def test_a_job_is_seen_live_through_a_failure_and_its_retry(context: BrowserContext, fastlane: Installation) -> None:
    later = fastlane.run("true", task="nightly", startIn="1h")
    waiting = await open_log(context, later["jobUrl"])
    await expect(waiting.notices).to_contain_text("Its next tick is due at")
    await expect(waiting.status).to_have_text("scheduled")
    await shoot(waiting.page, "real-waiting")
    reply = fastlane.run("sh", "-c", SCRIPT, task="nightly", retries=1, retryDelay="1s")
    log = await open_log(context, reply["jobUrl"])
    await log.page.set_viewport_size(DESK)
    out = log.page.locator("#log .row.stdout .text")
    await expect(out.nth(1)).to_have_text("attempt 1, line 2")
    await expect(log.status).to_have_text("running")
    assert await out.count() < 10  # it was seen before the job had ended
    await shoot(log.page, "real-running")
    headings = log.page.locator("#log .row.attempt")
    await expect(headings.nth(1)).to_contain_text("Attempt 2 of 2", timeout=60_000)
    await expect(headings.nth(0)).to_contain_text("Attempt 1 of 2 · failed · exit code 7")
    await expect(log.page.locator("#gist")).to_contain_text("attempt 2 of 2")
    await expect(log.status).to_have_text("running")
    await expect(log.status).to_have_text("done", timeout=60_000)
    await expect(log.link).to_contain_text("Ended")
    assert await out.all_inner_texts() == [*lines(1), *lines(2)]
    await expect(log.page.locator("#log .row.stderr .text")).to_have_text(["attempt 1, trouble", "attempt 2, trouble"])
    await expect(log.page.locator("#gist")).to_contain_text("exit code 0")
    await log.page.reload()
    await expect(headings).to_have_count(2)
    await expect(out).to_have_text([*lines(1), *lines(2)])
    execution = fastlane.execution(reply)
    for words in ("ubuntu:latest", "FASTLANE_ATTEMPT", execution["host"], execution["executionId"]):
        await expect(log.page.locator("#facts")).to_contain_text(words)
    others = log.page.locator("#executions a")
    await expect(others).to_have_count(2)
    await expect(others.nth(1)).to_contain_text("exit 7")
    await shoot(log.page, "real-done")
    await log.page.set_viewport_size(PHONE)
    await log.page.emulate_media(color_scheme="dark")
    await shoot(log.page, "real-done-phone-dark")
    assert log.faults == waiting.faults == []
