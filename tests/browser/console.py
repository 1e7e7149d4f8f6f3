"""The console as a test sees it."""

from collections.abc import Mapping
from typing import Any

from playwright.async_api import BrowserContext, Locator, Page

from tests.browser.logpage import DESK, PHONE, TABLET, shoot, violations

FIRST_VIEW = 100_000
"""Bytes of all that a page may load at first, data included."""

VIEWS = [
    ("desk", DESK, "light"),
    ("desk", DESK, "dark"),
    ("tablet", TABLET, "light"),
    ("phone", PHONE, "light"),
    ("phone", PHONE, "dark"),
]
"""Each page is looked at in these: the name for pictures, the size, the theme. Themes differ in colours alone (tokens.css), so that one
width less shows the dark one."""


CUT_OFF = """() => [...document.querySelectorAll("section :is(a, button, input, select, textarea, td)")].filter(part => {
    const [own, around] = [part, part.closest("section")].map(one => one.getBoundingClientRect());
    return own.width && own.right > around.right + 1;
}).map(part => part.innerText)"""
"""What a section hides since it is wider."""

DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Until the page is drawn once more: it hears of another theme just before."""


class Console:
    """A page of the console, and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.live = page.locator("#live")
        self.trouble = page.locator("#trouble")
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self.faults.append(message.text) if "Content Security Policy" in message.text else None)

    def section(self, title: str) -> Any:
        """The part of the page under this heading."""
        return self.page.get_by_role("region", name=title)


async def open_console(context: BrowserContext, url: str) -> Console:
    """The page at this address."""
    console = Console(await context.new_page())
    await console.page.goto(url)
    return console


async def log_in(page: Page | Locator, user: str, password: str) -> None:
    """Logs in where the page asks for a user and a password."""
    await page.get_by_label("User").fill(user)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()


async def inspect(page: Page, name: str) -> Mapping[str, list[str]]:
    """What is wrong with the page in each view: axe's findings, what makes it scroll sideways, and what is cut off. In the dark theme, axe
    looks at the colours alone."""
    await page.bring_to_front()  # Chromium draws no page that another one is in front of
    found: dict[str, list[str]] = {}
    for where, size, theme in VIEWS:
        await page.set_viewport_size(size)
        await page.emulate_media(color_scheme=theme)
        await page.evaluate(DRAWN)
        wrong = await violations(page, theme)
        if not await page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            wrong.append("scrolls sideways")
        wrong += [f"is cut off: {words}" for words in await page.evaluate(CUT_OFF)]
        await shoot(page, f"console-{name}-{where}-{theme}")
        if wrong:
            found[f"{where} {theme}"] = wrong
    return found
