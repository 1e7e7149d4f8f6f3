"""Makes the README's pictures from the real thing: ``python -m tests.browser.readme ENGINE`` (``scripts/pictures``).

The console shows the sample of the screenshots. The terminal has ``fastlane run`` against a ``fastlane up`` of its own on that engine.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.pictures import picture
from tests.browser.recording import drawing, record
from tests.browser.sample import POOLS, Sample, StillClock, hold_still
from tests.support.fastlane import Fastlane
from tests.support.ports import free_port
from tests.support.redis import RealRedis

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs/pictures"
COMMANDS = (
    """fastlane run ubuntu -- sh -c 'for n in 1 2 3; do echo photo $n of 3 resized; sleep 1; done'""",
    "fastlane run ubuntu -- sh -c 'echo no such photo >&2; exit 3'",
    "echo $?",
    "fastlane schedule --cron '0 3 * * mon-fri' --name nightly ubuntu -- ./backup",
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]


async def console(redis_url: str, folder: Path) -> None:
    """Pictures of the overview, in both themes."""
    clock = StillClock()
    server = Fastlane(folder, redis_url, pools=POOLS, queue_time=clock.now)
    server.clock = clock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastlane.app.AlignedClock", lambda _machine: clock)
        async with server, async_playwright() as playwright:
            await Sample(server, clock).fill()
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            for theme in ("light", "dark"):
                (PICTURES / f"console-{theme}.webp").write_bytes(await _overview(browser, server.base, theme))
            await browser.close()


async def _overview(browser: Browser, base: str, theme: str) -> bytes:
    context = await browser.new_context(
        locale="en-GB",
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": 1_280, "height": 800},
        device_scale_factor=1.5,
    )
    await hold_still(context)
    page = await context.new_page()
    await page.goto(base)
    await expect(page.locator("#live")).to_have_text("Live", timeout=30_000)
    made = await picture(await browser.new_page(), page, 0.8)
    await context.unroute_all(behavior="ignoreErrors")
    await context.close()
    return made


def terminal(engine: str, folder: Path) -> str:
    """A recording of the commands."""
    program = folder / "bin/fastlane"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fastlane "$@"\n')
    program.chmod(0o755)
    with _up(engine, folder) as url:
        around = {"FASTLANE_URL": url, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "TZ": "UTC"}
        return drawing(record(COMMANDS, around), COMMANDS)


@contextmanager
def _up(engine: str, folder: Path) -> Iterator[str]:
    port = free_port()
    settings = {"FASTLANE_PORT": str(port), "FASTLANE_DATA_DIR": str(folder / "data"), "FASTLANE_INSTALLATION": "pictures"}
    with (folder / "log").open("wb") as log:
        up = subprocess.Popen([sys.executable, "-m", "fastlane", "up"], env={**os.environ, **settings, "DOCKER_HOST": engine}, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/healthcheck")
        yield url
    finally:
        up.terminate()
        up.wait(60)


def _wait_for(url: str) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)


def main() -> None:
    """Writes all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fl-") as name, RealRedis() as redis:
        folder = Path(name)
        asyncio.run(console(redis.url, folder / "sample"))
        (PICTURES / "run.svg").write_text(terminal(sys.argv[1], folder))


if __name__ == "__main__":
    main()
