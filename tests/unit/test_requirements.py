"""What is installed beside fastlane has one version and one content."""

import re

import pytest

from tests.support.docs import ROOT

LISTS = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("name", LISTS)
def test_each_package_of_a_locked_list_has_a_version_and_hashes(name: str) -> None:
    text = re.sub(r"^\s*#.*$", "", (ROOT / "requirements" / name).read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    packages = [line for line in text.splitlines() if line.strip()]
    assert packages != []
    wanted = r"[a-zA-Z0-9._-]+(\[[a-z,]+\])?==[^ ;]+( ;[^-]*)?(\s+--hash=sha256:[0-9a-f]{64})+\s*"
    assert [line.split()[0] for line in packages if not re.fullmatch(wanted, line)] == []


def test_the_image_installs_by_hashes() -> None:
    assert "--no-deps --require-hashes -r" in (ROOT / "Dockerfile").read_text("utf-8")
