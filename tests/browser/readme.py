"""Makes the README's pictures from the real thing: ``python -m tests.browser.readme ENGINE`` (``scripts/pictures``).

The console shows the sample of the screenshots. ``tests/browser/sessions.py`` records the terminals on that engine.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.browser import sessions
from tests.browser.pictures import picture
from tests.browser.sample import POOLS, Sample, StillClock, hold_still
from tests.browser.sessions import PICTURES
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

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


def main() -> None:
    """Writes all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fl-") as name, RealRedis() as redis:
        asyncio.run(console(redis.url, Path(name) / "sample"))
    sessions.main(sys.argv[1])


if __name__ == "__main__":
    main()
