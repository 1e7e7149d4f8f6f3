"""Which version a checkout, an archive and a package say that they are."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastlane
from builder import version
from tests.support.docs import ROOT

RELEASE = fastlane.RELEASE
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "tag.gpgSign=false", "-c", "commit.gpgSign=false")
    return subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, check=True, timeout=60, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout of two commits."""
    folder = tmp_path / "clone"
    for name in (".gitattributes", ".gitignore", "builder/__init__.py", "builder/version.py", "fastlane/__init__.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    for subject in ("first", "second"):
        git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    return folder


def says(folder: Path) -> str:
    """What the checkout says of itself, which is also what the package in it says (without site, which knows the tests' own). Keeps nothing
    compiled: Python takes a file of the same second and length for the same."""
    written = [sys.executable, "-B", "-m", "builder.version"]
    shown = [sys.executable, "-B", "-S", "-c", "import fastlane; print(fastlane.__version__)"]
    done = subprocess.run(written, cwd=folder, capture_output=True, check=True, timeout=60, text=True)
    assert subprocess.run(shown, cwd=folder, capture_output=True, check=True, timeout=60, text=True).stdout == done.stdout
    return done.stdout.strip()


def commit(folder: Path) -> str:
    return "g" + git(folder, "rev-parse", "HEAD")[:8]


def archive(clone: Path, folder: Path) -> Path:
    """What `git archive` gives, unpacked."""
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=clone, capture_output=True, check=True, timeout=60).stdout
    (folder / "archive").mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder / "archive")], input=packed, check=True, timeout=60)
    return folder / "archive"


def test_the_commit_with_the_tag_of_its_release_is_that_release(clone: Path) -> None:
    git(clone, "tag", "-a", f"v{RELEASE}", "-m", "release")
    assert says(clone) == RELEASE
    (clone / "fastlane/more.py").touch()
    assert says(clone) == RELEASE, "what git does not know is in no archive"
    with (clone / "builder/__init__.py").open("a") as file:
        file.write("# changed\n")
    assert says(clone) == f"{RELEASE}+changed"


def test_a_commit_after_a_tag_is_before_the_next_release_and_counts_from_the_tag(clone: Path) -> None:
    git(clone, "tag", "v0.0.1", "HEAD~1")
    assert says(clone) == f"{RELEASE}.dev1+{commit(clone)}"
    git(clone, "tag", f"v{RELEASE}.1")
    assert says(clone) == f"{RELEASE}.dev0+{commit(clone)}", "the tag of another release"


def test_a_clone_without_tags_counts_from_the_commit_of_the_release_before(clone: Path) -> None:
    assert says(clone) == f"{RELEASE}.dev0+{commit(clone)}", "it does not have that commit"
    path = clone / "builder/version.py"
    path.write_text(path.read_text("utf-8").replace(version.PREVIOUS, git(clone, "rev-parse", "HEAD~1")), "utf-8")
    git(clone, "commit", "-qam", "third")
    assert says(clone) == f"{RELEASE}.dev2+{commit(clone)}"


@pytest.mark.parametrize(
    ("tag", "wanted"), [(f"v{RELEASE}", "{release}"), ("v0.0.1", "{release}.dev1+{commit}"), (None, "{release}.dev0+{commit}")]
)
def test_an_archive_of_git_says_the_same_as_the_clone(clone: Path, tmp_path: Path, tag: str | None, wanted: str) -> None:
    if tag:
        git(clone, "tag", tag, "HEAD" if tag == f"v{RELEASE}" else "HEAD~1")
    assert says(archive(clone, tmp_path)) == says(clone) == wanted.format(release=RELEASE, commit=commit(clone))


def test_the_archive_of_a_clone_without_tags_keeps_what_that_clone_counted(clone: Path, tmp_path: Path) -> None:
    folder = archive(clone, tmp_path)
    for counted, wanted in ((f"{RELEASE}.dev7+{commit(clone)}", 7), (f"{RELEASE}.dev7+g01234567", 0)):
        (folder / version.FILE).write_text(f'__version__ = "{counted}"\n')
        assert says(folder) == f"{RELEASE}.dev{wanted}+{commit(clone)}"


def test_a_package_keeps_what_was_written_and_a_bare_copy_is_before_the_release(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    assert says(clone) == f"{RELEASE}.dev0"
    (clone / version.FILE).write_text('__version__ = "0.1.9"\n')
    version.write(clone)
    assert (clone / version.FILE).read_text() == '__version__ = "0.1.9"\n'


def test_the_changelog_has_a_section_for_what_is_not_released_then_each_release_with_its_day() -> None:
    first, *others = SECTION.findall((ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert first == "Unreleased" or first.startswith(f"{RELEASE} - ")
    found = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - \d{4}-\d\d-\d\d", section) for section in others]
    numbers = [tuple(map(int, match.groups())) for match in found if match]
    assert len(numbers) == len(others)
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] < tuple(map(int, RELEASE.split(".")))
