"""``fastlane/client/synchronous``: the client without asyncio, written from ``fastlane/client/asynchronous`` by exchanging words.

To write it: ``python -m tests.support.sync_client``.
"""

import re
from collections.abc import Mapping

from tests.support.docs import ROOT
from tests.support.formatting import formatted

SOURCE, TARGET = ROOT / "fastlane/client/asynchronous", ROOT / "fastlane/client/synchronous"
DOCSTRING = (
    '"""The client without asyncio: written from ``fastlane.client.asynchronous`` by tests/support/sync_client.py, never by hand."""\n'
)

WORDS = {
    r"async def": "def",
    r"async with": "with",
    r"async for": "for",
    r"await ": "",
    r"``async with``": "``with``",
    r"AsyncIterator": "Iterator",
    r"AsyncGenerator\[(\w+), None\]": r"Generator[\1, None, None]",
    r"AsyncGenerator": "Generator",
    r"asynccontextmanager": "contextmanager",
    r"__aenter__": "__enter__",
    r"__aexit__": "__exit__",
    r"aclose": "close",
    r"aread": "read",
    r"aiter_raw": "iter_raw",
    r"import asyncio\n": "",
    r"asyncio\.sleep": "time.sleep",
    r"httpx\.AsyncClient": "httpx.Client",
    r"\bAsync(?=[A-Z])": "",
    r"client\.asynchronous": "client.synchronous",
}
"""Each pattern in the source, and what stands in its place."""


def synchronous(source: str) -> str:
    """The same code without asyncio."""
    for pattern, words in WORDS.items():
        source = re.sub(pattern, words, source)
    return source


def modules() -> Mapping[str, str]:
    """The text of each module, by its file's name."""
    files = {path.name: path.read_text("utf-8") for path in sorted(SOURCE.glob("*.py"))}
    made = {name: formatted(synchronous(text), TARGET / name) for name, text in files.items() if name != "__init__.py"}
    return {"__init__.py": DOCSTRING, **made}


if __name__ == "__main__":
    for name, text in modules().items():
        (TARGET / name).write_text(text, "utf-8")
