"""The long description of the package: the README with whole addresses, of files that the checkout has."""

import re
import shutil
from pathlib import Path

import pytest

from builder import readme, version
from fastlane import RELEASE
from tests.support.docs import ROOT

REPOSITORY = readme.source()
RAW = REPOSITORY.replace("https://github.com/", "https://raw.githubusercontent.com/")


def test_each_link_and_picture_of_the_package_is_whole_and_leads_to_a_file_of_the_checkout():
    text = re.sub(r"^```.*?^```$", "", readme.long_description(), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"""(?:\]\(|\b(?:src|srcset|href)=["'])([^)"'\s]+)""", text)
    assert [address for address in found if not address.startswith(("https://", "#", "http://localhost:"))] == []
    own = [address for address in found if address.startswith((REPOSITORY, RAW))]
    paths = [re.fullmatch(rf"(?:{REPOSITORY}/blob|{RAW})/[^/]+/([^#]+)(?:#.*)?", address) for address in own]
    assert len(own) > 30
    assert [address for address, path in zip(own, paths, strict=True) if not path or not (ROOT / path[1]).exists()] == []
    assert [path[1] for path in paths if path and path[0].startswith(RAW)] == [
        "docs/pictures/console-dark.webp",
        "docs/pictures/console-light.webp",
        "docs/pictures/run.svg",
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[a](docs/a.md#b)", "[a](https://github.com/o/r/blob/v1/docs/a.md#b)"),
        ("![a](./a.svg)", "![a](https://raw.githubusercontent.com/o/r/v1/a.svg)"),
        ("[![a](a.svg)](b.md)", "[![a](https://raw.githubusercontent.com/o/r/v1/a.svg)](https://github.com/o/r/blob/v1/b.md)"),
        ("[a](#b) [c](https://example.com)", "[a](#b) [c](https://example.com)"),
        ("[a]: b.md", "[a]: https://github.com/o/r/blob/v1/b.md"),
        ("```\n[a](b.md)\n```\n", "```\n[a](b.md)\n```\n"),
    ],
)
def test_what_is_relative_gets_the_address_of_the_release(text, wanted):
    assert readme.absolute(text, "https://github.com/o/r", "v1") == wanted


@pytest.mark.parametrize("path", ["../other/a.md", "/a.md", "ftp://a"])
def test_a_link_that_leads_out_of_the_repository_is_refused(path):
    with pytest.raises(ValueError, match=re.escape(path)):
        readme.absolute(f"[a]({path})", "https://github.com/o/r", "v1")


def test_a_source_package_of_a_release_leads_to_the_files_of_that_release(tmp_path):
    for name in ("setup.cfg", "fastlane/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "README.md").write_text("[a](b.md)", "utf-8")
    (tmp_path / version.FILE).write_text(f'__version__ = "{RELEASE}"\n', "utf-8")
    assert readme.long_description(tmp_path) == f"[a]({REPOSITORY}/blob/v{RELEASE}/b.md)"
    (tmp_path / version.FILE).write_text(f'__version__ = "{RELEASE}.dev1+g0"\n', "utf-8")
    assert readme.long_description(tmp_path) == f"[a]({REPOSITORY}/blob/main/b.md)"


def test_a_python_that_the_package_names_is_one_that_tests_run_on():
    named = re.findall(r":: (3\.\d+)$", Path(ROOT / "setup.cfg").read_text("utf-8"), re.MULTILINE)
    tried = re.search(r"set -- ([\d. ]+)$", (ROOT / "scripts/check-other-pythons").read_text("utf-8"), re.MULTILINE)
    assert tried is not None
    assert named == tried[1].split()
