"""The documentation as a site: each page is in its navigation once, and links out of docs/ get whole addresses."""

import re

import pytest
import yaml

from builder.readme import source
from builder.site import with_addresses
from tests.support.docs import ROOT

pytestmark = pytest.mark.texts


def named(entries: list) -> list[str]:
    """The pages of a part of the navigation."""
    found = []
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found += named(value) if isinstance(value, list) else [value]
    return found


def test_the_navigation_names_each_page_once_and_decisions_are_reached_from_their_list():
    pages = named(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(pages) == sorted(path for path in there if not re.match(r"decisions/\d", path))
    listed = set(re.findall(r"\]\((\d{4}-[^)]+\.md)\)", (ROOT / "docs/decisions/README.md").read_text("utf-8")))
    assert {f"decisions/{name}" for name in listed} == {path for path in there if re.match(r"decisions/\d", path)}


@pytest.mark.parametrize(
    ("page", "link", "wanted"),
    [
        ("a.md", "../SECURITY.md#x", f"{source()}/blob/main/SECURITY.md#x"),
        ("decisions/0001-a.md", "../../Makefile", f"{source()}/blob/main/Makefile"),
        ("decisions/0001-a.md", "../design.md", "../design.md"),
        ("a.md", "b.md", "b.md"),
    ],
)
def test_a_link_that_leaves_the_pages_leads_to_the_repository(page, link, wanted):
    assert with_addresses(f"[a]({link})\n```\n[a]({link})\n```", page) == f"[a]({wanted})\n```\n[a]({link})\n```"


def test_the_site_loads_nothing_from_elsewhere_and_a_dead_link_fails():
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in settings
    assert not re.search(r"https?://", settings)
    assert "mkdocs build --strict" in (ROOT / "scripts/site").read_text("utf-8")
