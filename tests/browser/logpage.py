"""The page of a log as a test sees it."""

import os
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page, expect

STATIC = Path(__file__).parents[2] / "static"
SHOTS = Path(__file__).parents[2] / ".fastlane" / "screenshots"
"""Pictures of the pages, to be looked at; of the last run only."""
SHOOTS = bool(os.environ.get("FASTLANE_TEST_PICTURES"))
"""Whether pictures that no test compares are left there: each takes a tenth of a second of processor time or more."""

PHONE = {"width": 360, "height": 780}
TABLET = {"width": 768, "height": 1024}
DESK = {"width": 1280, "height": 800}


class LogPage:
    """A page at ``…/stream``, and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.lines = page.locator("#log .row .text")
        self.status = page.locator("#status")
        self.link = page.locator("#live")
        self.notices = page.locator("#notices")
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        page.on("console", lambda message: self.faults.append(message.text) if "Content Security Policy" in message.text else None)

    async def copied(self) -> str:
        """All lines that it has, by its button."""
        await self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await self.page.locator("#copy").click()
        await expect(self.page.locator("#copy")).to_have_text("Copied")
        text = await self.page.evaluate("navigator.clipboard.readText()")
        assert isinstance(text, str)
        return text

    async def view(self, **choices: Any) -> None:
        """Chooses what is shown, in its menu."""
        await self.page.locator("#view summary").click()
        for name, value in choices.items():
            box = self.page.locator(f"#{name}")
            await (box.select_option(value) if isinstance(value, str) else box.set_checked(value))
        await self.page.locator("#view summary").click()


def numbered(first: int, last: int, width: int = 0) -> bytes:
    """Lines of a log: `line 7 …`, each with this many dots."""
    return b"".join(b"line %d %s\n" % (number, b"." * width) for number in range(first, last))


async def open_log(context: BrowserContext, url: str) -> LogPage:
    """The page at this address; a job's, or an execution's, or one with all of the path."""
    log = LogPage(await context.new_page())
    await log.page.goto(url if "/stream" in url else f"{url}stream")
    return log


COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules of axe that depend on colours. The theme changes nothing else."""


async def violations(page: Page, theme: str = "light") -> list[str]:
    """What axe has to say against the page as it is now. In the dark theme, after the light one at the same width, of its colours alone."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate((STATIC / "node_modules/axe-core/axe.min.js").read_text("utf-8"))
    only = {"runOnly": COLOURS} if theme == "dark" else {}
    found = await page.evaluate("async only => (await axe.run(document, {resultTypes: ['violations'], ...only})).violations", only)
    return [f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes'][:3]]}" for one in found]


async def shoot(page: Page, name: str) -> None:
    """Leaves a picture, if somebody wants them."""
    if SHOOTS:
        SHOTS.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=SHOTS / f"{name}.png")
