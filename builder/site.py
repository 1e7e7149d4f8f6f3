"""A hook of MkDocs for the documentation's site: links to files outside docs/ lead to the repository.

``make site`` builds it; mkdocs.yml has the rest.
"""

import posixpath
import re
from typing import Any

from builder.readme import CODE_BLOCK, source

OUTSIDE = re.compile(r"(\]\()((?:\.\./)+[^)\s]+)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The page with whole addresses where a link leaves the folder docs/."""
    return with_addresses(markdown, page.file.src_uri)


def with_addresses(markdown: str, path: str) -> str:
    """The text of the page at that path below docs/; what stands in blocks of code stays."""

    def address(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(path), found[2]))
        return found[0] if target.startswith("docs/") else f"{found[1]}{source()}/blob/main/{target}"

    parts = CODE_BLOCK.split(markdown)
    return "".join(part if part.startswith("```") else OUTSIDE.sub(address, part) for part in parts)
