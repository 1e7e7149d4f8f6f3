"""Pictures of pages, kept as WebP, and how much two of them differ.

A browser of another version draws the edges of letters otherwise. So a picture is compared by blocks of 8 x 8 pixels, by the mean colour of
each: a letter that is drawn otherwise changes a block by little, and something that moved by a few pixels changes many blocks by much.
"""

import base64
import os
from pathlib import Path

from playwright.async_api import Page

from tests.browser.logpage import SHOTS
from tests.support.waiting import at_rest

KEPT = Path(__file__).parent / "screenshots"
UPDATE = bool(os.environ.get("FASTLANE_UPDATE_SCREENSHOTS"))
"""Whether the kept pictures are replaced by those of this run: ``scripts/screenshots``."""
HIGHEST = 1_100
"""Pixels of a page that are kept, from its top."""
TOLERANCE = 0.0015
"""The share of blocks that may differ."""

READ = """async data => {
    const bitmap = await createImageBitmap(await (await fetch(data)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d", {willReadFrequently: true}).drawImage(bitmap, 0, 0);
    return canvas;
}"""
ENCODE = f"""async ([data, quality]) => {{
    const canvas = await ({READ})(data);
    const bytes = new Uint8Array(await (await canvas.convertToBlob({{type: "image/webp", quality}})).arrayBuffer());
    return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
}}"""
DIFFER = f"""async ([one, other]) => {{
    const [a, b] = await Promise.all([one, other].map({READ}));
    if (a.width !== b.width) return 1;
    const [BLOCK, MOST] = [8, 14];
    const [width, height] = [Math.ceil(a.width / BLOCK), Math.ceil(Math.max(a.height, b.height) / BLOCK)];
    const means = canvas => {{
        const {{data}} = canvas.getContext("2d").getImageData(0, 0, width * BLOCK, height * BLOCK);
        const sums = new Float64Array(width * height * 3);
        for (let at = 0; at < data.length; at += 4) {{
            const pixel = at / 4, column = pixel % (width * BLOCK), row = (pixel - column) / (width * BLOCK);
            const block = 3 * ((row / BLOCK | 0) * width + (column / BLOCK | 0));
            for (let colour = 0; colour < 3; colour++) sums[block + colour] += data[at + colour] / (BLOCK * BLOCK);
        }}
        return sums;
    }};
    const [ours, theirs] = [means(a), means(b)];
    let changed = 0;
    for (let block = 0; block < ours.length; block += 3)
        changed += [0, 1, 2].some(colour => Math.abs(ours[block + colour] - theirs[block + colour]) > MOST);
    return changed / (width * height);
}}"""


def url(data: bytes, kind: str = "webp") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


async def picture(tool: Page, page: Page, quality: float = 0.5) -> bytes:
    """The page as it looks now, as WebP. ``tool`` is any empty page."""
    width, height = await page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    before = page.viewport_size
    # Higher than a window, so that what sticks to the window's edge is at the picture's edge.
    await page.set_viewport_size({"width": width, "height": min(height, HIGHEST)})
    # Just after that, what sticks to the edge may not be drawn yet.
    png = await at_rest(lambda: page.screenshot(animations="disabled", caret="hide"))
    if before is not None:
        await page.set_viewport_size(before)
    return base64.b64decode(await tool.evaluate(ENCODE, [url(png, "png"), quality]))


async def difference(tool: Page, kept: bytes, now: bytes) -> float:
    """The share of their blocks in which the two differ: 0 to 1. Both are WebP: it changes strong colours, in both alike."""
    return float(await tool.evaluate(DIFFER, [url(kept), url(now)]))


async def check(tool: Page, page: Page, name: str) -> str | None:
    """What is wrong with the page's picture, if it is not as the kept one; or replaces that one. ``tool`` is a page of another window: a
    page that another one of its window covers is not drawn."""
    now = await picture(tool, page)
    file = KEPT / f"{name}.webp"
    if UPDATE:
        KEPT.mkdir(exist_ok=True)
        file.write_bytes(now)
        return None
    share = await difference(tool, file.read_bytes(), now) if file.exists() else 1.0
    if share <= TOLERANCE:
        return None
    SHOTS.mkdir(parents=True, exist_ok=True)
    (SHOTS / file.name).write_bytes(now)
    return f"{file.name}: {share:.2%} of it differs; now it looks like {SHOTS / file.name}"
