"""The pages and the files that they load, built beforehand by ``scripts/static`` and read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastlane.web.http.problems import Problem

MEDIA = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


MISSING = (
    "this server was installed without its web pages; the API itself works. To have them, install Node.js and npm, run "
    "`pip install --force-reinstall --no-deps .` in a clone, then start the server again"
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load, plain and gzipped."""

    media: str
    data: bytes
    gzipped: bytes


class StaticFiles:
    """The built files below a folder, read on first use. Raises Problem (503) when nothing was built."""

    def __init__(self, root: Traversable | None = None) -> None:
        self._root = root or files("fastlane.static")

    def page(self, name: str, *, path: str, base_url: str, by_ticket: bool = False) -> bytes:
        """A page for a request of this path below ``base_url``, the server's URL. Its links are relative to the path, so that they work
        behind a proxy that adds a prefix. ``by_ticket``: a ticket opened it, which its script cannot find out."""
        root = "../" * (path.count("/") - 1) or "./"
        if not path:  # the path of public_url itself, without a slash at its end
            root = f"./{base_url.rpartition('/')[2]}/"
        visit = "yes" if by_ticket else ""
        return self._pages[name].replace("{{root}}", root).replace("{{base}}", escape(base_url)).replace("{{visit}}", visit).encode()

    def asset(self, name: str) -> Asset | None:
        """A file that pages load; None when it does not exist."""
        return self._assets.get(name)

    @cached_property
    def _pages(self) -> Mapping[str, str]:
        return {file.name: file.read_text("utf-8") for file in self._built("pages")}

    @cached_property
    def _assets(self) -> Mapping[str, Asset]:
        data = {file.name: file.read_bytes() for file in self._built("assets")}
        return {name: Asset(_media(name), data[name], data[f"{name}.gz"]) for name in data if f"{name}.gz" in data}

    def _built(self, folder: str) -> list[Traversable]:
        place = self._root / folder
        if not place.is_dir():
            raise Problem(503, MISSING)
        return list(place.iterdir())


def _media(name: str) -> str:
    return MEDIA.get(name.rpartition(".")[2], "application/octet-stream")
