"""The README as a package index shows it: away from the checkout, so each link and picture gets a whole address.

The addresses lead to the files of the same release, or of the main branch where the version is not a release.
"""

import re
from configparser import ConfigParser
from pathlib import Path

from builder.version import release, version, written

ROOT = Path(__file__).parents[1]

PICTURE = re.compile(r"""(!\[[^\]]*\]\(|\b(?:src|srcset)=["'])([^)"'\s]+)""")
LINK = re.compile(r"""((?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(|\bhref=["']|^\[[^\]]+\]:[ ]+)([^)"'\s]+)""", re.MULTILINE)
CODE_BLOCK = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
WHOLE = re.compile(r"https?://|mailto:|#")


def source(root: Path = ROOT) -> str:
    """The address of the repository, without a slash at its end: ``Source`` of the project's URLs in setup.cfg."""
    config = ConfigParser()
    config.read(root / "setup.cfg", "utf-8")
    urls = dict(line.split(" = ") for line in config["metadata"]["project_urls"].strip().splitlines())
    return urls["Source"]


def absolute(text: str, repository: str, ref: str) -> str:
    """The text with whole addresses. A link that leaves the repository is a ``ValueError``, which names it."""
    raw = repository.replace("https://github.com/", "https://raw.githubusercontent.com/")

    def with_base(base: str, found: re.Match[str]) -> str:
        before, path = found.groups()
        if WHOLE.match(path):
            return found[0]
        if path.startswith(("/", "../")) or ":" in path:
            raise ValueError(f"README.md: {path} leads out of the repository; write a path below it, or a whole https address")
        return f"{before}{base}/{path.removeprefix('./')}"

    def prose(part: str) -> str:
        part = PICTURE.sub(lambda found: with_base(f"{raw}/{ref}", found), part)
        return LINK.sub(lambda found: with_base(f"{repository}/blob/{ref}", found), part)

    return "".join(block if block.startswith("```") else prose(block) for block in CODE_BLOCK.split(text))


def long_description(root: Path = ROOT) -> str:
    """The README of the checkout, as the package says it."""
    found = version(root) or written(root)
    ref = f"v{found}" if found == release(root) else "main"
    return absolute((root / "README.md").read_text("utf-8"), source(root), ref)
